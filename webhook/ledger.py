"""The ledgers: a ConfigMap for each namespace with a Strict server, in the operator's namespace, written before a yes.

Compare-and-swap on the resourceVersion makes the replicas of the webhook take turns: of two that answer at the same
moment, the second is refused by the API server, reads what the first noted, and decides again. Within a replica one
writer for each namespace notes all the changes that wait in one write. The decisions are made by `crd.ledger`.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import logging
import zlib
from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cluster import objects, resources
from cluster.transport import ApiError
from crd.finding import Verdict
from crd.ledger import conflicts, intent, page
from crd.ledger.page import Page
from crd.ref import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster.transport import Transport
    from crd.integrity import Change
    from crd.ledger.intent import Intent
    from crd.manifest import Object
    from crd.ref import Ref
    from webhook.live_snapshot import LiveSnapshot
    from webhook.reader import Reader
    from webhook.slices import Slices

__all__ = ["LedgerError", "Ledgers", "name_of"]

logger = logging.getLogger(__name__)

PLAIN, PACKED = "intents.json", "intents.json.gz"
# Above this many bytes the text is packed; a packed one above the other does not fit into a ConfigMap (1 MiB in all).
READABLE = 4 * 1024
LIMIT = 700 * 1024
# What a packed text may inflate to.
TEXT_LIMIT = 8 * 1024 * 1024
# Intents that a ledger holds at most: each decision looks at all of them.
MAX_INTENTS = 4096
# Changes of one namespace that wait to be noted at most; and withdrawals, and deletions: of more, the oldest are
# forgotten, and their intents end by themselves.
WAITING = 256
NOTES = 4096
# Namespaces whose ledgers are remembered while nothing waits for them.
IDLE_WRITERS = 256
# Changes that one write notes at most, and objects that are read at once for them.
BATCH = 128
LOOKS = 64
# Seconds after a write until the next one: changes gather meanwhile, and other replicas get their turn.
GATHER = 0.05
# Seconds at most, with jitter, until the next attempt after another replica wrote first.
PAUSE = 0.02
# How long to wait for the watches to reach what the ledger takes for known.
BEHIND_SECONDS = 2.0
BEHIND_INTERVAL = 0.005


class LedgerError(Exception):
    """A change cannot be noted, so it must not be admitted; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A ledger as it stands at a resourceVersion; None before its ConfigMap exists."""

    version: str | None
    page: Page


@dataclass(frozen=True, slots=True, eq=False)
class _Reservation:
    change: Change
    dry_run: bool
    verdict: asyncio.Future[Verdict]


class Ledgers:
    """``namespace`` is the operator's own; ``now`` gives seconds of the epoch, ``jitter`` numbers from 0 to 1."""

    def __init__(
        self,
        transport: Transport,
        live: LiveSnapshot,
        reader: Reader,
        slices: Slices,
        namespace: str,
        *,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._live = live
        self._reader = reader
        self._slices = slices
        self._namespace = namespace
        self._now = now
        self._jitter = jitter
        self._writers: OrderedDict[str, _Writer] = OrderedDict()

    async def reserve(self, change: Change, *, dry_run: bool = False) -> Verdict:
        """Note the change, and find nothing; or note nothing, and find what it clashes with.

        Takes as many turns as it needs: the caller sets the time-out. Raises LedgerError, and as `Transport.request`.
        """
        return await self._writer(change.ref.namespace).reserve(change, dry_run=dry_run)

    def withdraw(self, change: Change) -> None:
        """A change that was noted is not admitted after all. Written in the background, if it can be."""
        self._writer(change.ref.namespace).withdraw(change)

    def note_deletion(self, namespace: str, uid: str) -> None:
        """An object of this uid, which is stored, is being deleted. Written in the background, if it can be."""
        self._writer(namespace).mark_stored(uid)

    async def stop(self) -> None:
        """End what runs in the background."""
        await asyncio.gather(*(writer.stop() for writer in self._writers.values()))

    def _writer(self, namespace: str) -> _Writer:
        writer = self._writers.pop(namespace, None) or _Writer(
            self._transport,
            self._live,
            self._reader,
            self._slices,
            self._namespace,
            namespace,
            self._now,
            self._jitter,
        )
        if len(self._writers) >= IDLE_WRITERS:
            # The one that was not used for the longest time; what it remembers can be read again.
            idle = next((each for each, found in self._writers.items() if found.is_idle), None)
            if idle is not None:
                del self._writers[idle]
        self._writers[namespace] = writer
        return writer


class _Writer:
    """The ledger of one namespace: what waits to be noted in it, and the task that does so while anything waits."""

    def __init__(
        self,
        transport: Transport,
        live: LiveSnapshot,
        reader: Reader,
        slices: Slices,
        home: str,
        namespace: str,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._live = live
        self._reader = reader
        self._slices = slices
        self._home = home
        self._namespace = namespace
        self._now = now
        self._jitter = jitter
        # What was written last is what stands, unless another replica wrote.
        self._stored: _Stored | None = None
        # The version that was written or read last, and whether another replica has written since.
        self._version: str | None = None
        self._is_shared = False
        self._waiting: list[_Reservation] = []
        self._withdrawn: deque[Intent] = deque(maxlen=NOTES)
        self._marked: deque[str] = deque(maxlen=NOTES)
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, and nothing is being written."""
        return self._task is None or self._task.done()

    async def reserve(self, change: Change, *, dry_run: bool) -> Verdict:
        if len(self._waiting) >= WAITING:
            text = f"{WAITING} changes in {self._namespace}, where an MCPServer is Strict, are waiting"
            raise LedgerError(f"{text}; try again in a second")
        reservation = _Reservation(change, dry_run, asyncio.get_running_loop().create_future())
        self._waiting.append(reservation)
        self._wake()
        try:
            return await reservation.verdict
        except asyncio.CancelledError:
            if reservation in self._waiting:
                self._waiting.remove(reservation)
            elif not dry_run:
                # Perhaps it is being written at this moment.
                self.withdraw(change)
            raise

    def withdraw(self, change: Change) -> None:
        own = intent.of(change, 0.0)
        if own is not None:
            self._withdrawn.append(own)
            self._wake()

    def mark_stored(self, uid: str) -> None:
        self._marked.append(uid)
        self._wake()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._waiting or self._withdrawn or self._marked:
            batch = self._waiting[:BATCH]
            del self._waiting[:BATCH]
            withdrawn, marked = [*self._withdrawn], [*self._marked]
            self._withdrawn.clear()
            self._marked.clear()
            batch = [each for each in batch if not each.verdict.done()]
            try:
                wrote = await self._commit(batch, withdrawn, marked)
            except (LedgerError, ApiError, TimeoutError, OSError) as error:
                self._stored = None
                logger.warning("the ledger of %s cannot be kept: %s", self._namespace, error)
                for each in batch:
                    if not each.verdict.done():
                        each.verdict.set_exception(error)
                wrote = False
            except BaseException:
                for each in batch:
                    each.verdict.cancel()
                raise
            if wrote:
                await asyncio.sleep(GATHER)

    async def _commit(self, batch: list[_Reservation], withdrawn: list[Intent], marked: list[str]) -> bool:
        """Answer the batch by a ledger that is known to stand; whether it had to be written."""
        # While other replicas write too, what was written last is seldom what stands, and the attempt would be refused.
        remembered = None if self._is_shared else self._stored
        while True:
            stored = remembered or await self._read()
            self._stored = None
            await self._reach(stored.page)
            before = page.mark_stored(stored.page, marked)
            before = replace(before, intents=conflicts.without(before.intents, withdrawn))
            is_changed = before != stored.page
            after, verdicts = await self._decide(before, batch)
            noted = any(verdict.allowed and not each.dry_run for each, verdict in zip(batch, verdicts, strict=True))
            if noted or is_changed:
                if not await self._written(stored, after):
                    remembered = None
                    await asyncio.sleep(PAUSE * self._jitter())
                    continue
            elif remembered is not None:
                # Nothing was written that would have shown that this is how the ledger stands.
                remembered = None
                continue
            else:
                self._stored = stored
            for each, verdict in zip(batch, verdicts, strict=True):
                if not each.verdict.done():
                    each.verdict.set_result(verdict)
            return noted or is_changed

    async def _reach(self, stored: Page) -> None:
        """Wait until the snapshot has what the ledger takes for known. Raises LedgerError."""
        waited = 0.0
        while self._live.is_behind(self._namespace) or page.is_behind(stored, self._reader.reached):
            if waited >= BEHIND_SECONDS:
                raise LedgerError(
                    f"this replica has yet to see changes that the ledger of {self._namespace} takes for known; "
                    "try again in a second"
                )
            await asyncio.sleep(BEHIND_INTERVAL)
            waited += BEHIND_INTERVAL

    async def _decide(self, stored: Page, batch: list[_Reservation]) -> tuple[Page, list[Verdict]]:
        """The ledger to write, and the verdicts once everybody who is to blame has been looked at."""
        known = page.collect(stored, self._live.sighting)
        overdue = page.list_overdue(known, self._now())[:LOOKS]
        if overdue:
            known = page.resolve(known, await self._reader.look(overdue), self._now())
        changes = [(each.change, each.dry_run) for each in batch]
        looked: dict[Ref, Object | None] = {}
        asked: set[Ref] = set()
        while True:
            now = self._now()
            intents = conflicts.drop_moot(known.intents, looked, now)
            dearer = self._live.dearer(self._namespace)
            steps = conflicts.decide_all_in_steps(self._live.current, intents, changes, now, dearer)
            intents, outcomes = await self._slices.finish(steps)
            unseen: set[Ref] = set()
            for (change, _), outcome in zip(changes, outcomes, strict=True):
                if outcome is not None:
                    unseen |= outcome.involved(change.ref) - asked
            if not unseen:
                break
            first = sorted(unseen)[:LOOKS]
            asked.update(first)
            looked.update(await self._reader.look(first))
        verdicts = [
            conflicts.findings(outcome, change, looked) if outcome is not None else Verdict()
            for (change, _), outcome in zip(changes, outcomes, strict=True)
        ]
        return replace(known, intents=intents), verdicts

    async def _read(self) -> _Stored:
        name = name_of(self._namespace)
        found = await objects.get(self._transport, resources.CONFIG_MAPS, self._home, name)
        if found is None:
            return _Stored(None, Page())
        version = found["metadata"]["resourceVersion"]
        self._is_shared = self._version not in (None, version)
        self._version = version
        try:
            return _Stored(version, await self._slices.finish(page.load_in_steps(_unpacked(found))))
        except (ValueError, OSError, EOFError, zlib.error) as error:
            raise LedgerError(f"ConfigMap {self._home}/{name} is not a ledger ({error}); delete it") from error

    async def _written(self, stored: _Stored, after: Page) -> bool:
        """Whether the ledger is now this; False if somebody else wrote since it was read."""
        manifest = _packed(self._home, self._namespace, after)
        try:
            if stored.version is None:
                answer = await objects.create(self._transport, manifest)
            else:
                manifest["metadata"]["resourceVersion"] = stored.version
                answer = await objects.replace(self._transport, manifest)
        except ApiError as error:
            if error.status == 409 or (error.status == 404 and stored.version is not None):
                return False
            raise
        self._version = answer["metadata"]["resourceVersion"]
        self._stored = _Stored(self._version, after)
        return True


def name_of(namespace: str) -> str:
    """The name of the ConfigMap that is the ledger of a namespace."""
    return f"mcp-operator-ledger-{namespace}"


def _packed(home: str, namespace: str, after: Page) -> dict[str, Any]:
    text = page.dump(after)
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "namespace": home,
            "name": name_of(namespace),
            "labels": {"app.kubernetes.io/part-of": "mcp-operator", f"{GROUP}/ledger-of": namespace},
        },
    }
    if len(text) <= READABLE:
        return {**manifest, "data": {PLAIN: text.decode()}}
    small = gzip.compress(text, compresslevel=1)
    if len(text) > TEXT_LIMIT or len(small) > LIMIT or len(after.intents) > MAX_INTENTS:
        count, seconds = len(after.intents), intent.KEEP
        raise LedgerError(
            f"the {count} writes of the last {seconds:.0f} s fill the ledger of {namespace}; try again in a minute"
        )
    return {**manifest, "binaryData": {PACKED: base64.b64encode(small).decode()}}


def _unpacked(found: Mapping[str, Any]) -> bytes:
    data, packed = found.get("data") or {}, found.get("binaryData") or {}
    if PACKED in packed:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text: bytes = inflater.decompress(base64.b64decode(packed[PACKED]), TEXT_LIMIT + 1)
        if len(text) > TEXT_LIMIT or not inflater.eof:
            raise page.InvalidLedgerError(f"{PACKED} is cut, or inflates to more than {TEXT_LIMIT} bytes")
        return text
    if PLAIN not in data:
        raise page.InvalidLedgerError(f"neither {PLAIN} nor {PACKED} is there")
    plain: str = data[PLAIN]
    return plain.encode()
