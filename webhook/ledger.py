"""The ledgers: a ConfigMap for each namespace with a Strict server, in the operator's namespace, written before a yes.

Compare-and-swap on the resourceVersion makes the replicas of the webhook take turns: of two that answer at the same
moment, the second is refused by the API server, reads what the first noted, and decides again. The decision is
made by `crd.ledger.conflicts`.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import objects, resources
from cluster.transport import ApiError
from crd.finding import Verdict
from crd.ledger import conflicts, intent
from crd.ref import GROUP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cluster.transport import Transport
    from crd.integrity import Change
    from crd.ledger.conflicts import Intents
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

    Look = Callable[[frozenset[Ref]], Awaitable[Mapping[Ref, Object | None]]]

__all__ = ["LedgerError", "Ledgers", "name_of"]

PLAIN, PACKED = "intents.json", "intents.json.gz"
# Above this many bytes the text is packed; a packed one above the other does not fit into a ConfigMap (1 MiB in all).
READABLE = 64 * 1024
LIMIT = 700 * 1024
PAUSE = 0.02


class LedgerError(Exception):
    """A change cannot be noted, so it must not be admitted; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A ledger as it stood at a resourceVersion; None before its ConfigMap exists."""

    version: str | None
    intents: Intents


class Ledgers:
    """``namespace`` is the operator's own; ``now`` gives seconds of the epoch, ``jitter`` numbers from 0 to 1."""

    def __init__(
        self, transport: Transport, namespace: str, *, now: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._now = now
        self._jitter = jitter
        # One after the other within a replica; what was written last is what stands, unless another replica wrote.
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._pages: dict[str, _Page] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def reserve(
        self, change: Change, snapshot: Callable[[], Snapshot], look: Look, *, dry_run: bool = False
    ) -> Verdict:
        """Note the change, and find nothing; or note nothing, and find what it clashes with.

        ``look`` reads objects linearizably and leaves out what it could not read. Takes as many turns as it needs: the
        caller sets the time-out. Raises LedgerError, and as `Transport.request`.
        """
        namespace = change.ref.namespace
        async with self._turns[namespace]:
            while True:
                remembered = self._pages.pop(namespace, None)
                page = remembered or await self._read(namespace)
                intents, verdict = await self._decided(page.intents, change, snapshot, look)
                if verdict.allowed and not dry_run:
                    if await self._written(namespace, page, intents):
                        return verdict
                    await asyncio.sleep(PAUSE * self._jitter())
                elif remembered is None:
                    return verdict

    def withdraw(self, change: Change) -> None:
        """A reserved change was not admitted after all; its intent lapses by itself."""

    def note_deletion(self, namespace: str, uid: str) -> None:
        """An object of this uid, which is stored, is being deleted. Written in the background, if it can be."""
        task = asyncio.create_task(self._release(namespace, uid))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def stop(self) -> None:
        """End what runs in the background."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _release(self, namespace: str, uid: str) -> None:
        """Note of an object that is being deleted that it was stored, so that its name is free once it is gone.

        Raises as `reserve`.
        """
        async with self._turns[namespace]:
            while True:
                self._pages.pop(namespace, None)
                page = await self._read(namespace)
                intents = conflicts.landed(page.intents, uid)
                if intents == page.intents or await self._written(namespace, page, intents):
                    return
                await asyncio.sleep(PAUSE * self._jitter())

    async def _decided(
        self, intents: Intents, change: Change, snapshot: Callable[[], Snapshot], look: Look
    ) -> tuple[Intents, Verdict]:
        """The ledger to write, or the findings once everybody who is to blame has been looked at."""
        sightings: dict[Ref, Object | None] = {}
        asked: frozenset[Ref] = frozenset()
        while True:
            outcome = conflicts.decide(snapshot(), intents, change, self._now())
            if isinstance(outcome, conflicts.Grant):
                return outcome.intents, Verdict()
            unseen = outcome.involved(change.ref) - asked
            if not unseen:
                return (), conflicts.findings(outcome, change, sightings)
            asked |= unseen
            sightings.update(await look(unseen))
            intents = conflicts.settled(intents, sightings, self._now())

    async def _read(self, namespace: str) -> _Page:
        name = name_of(namespace)
        found = await objects.get(self._transport, resources.CONFIG_MAPS, self._namespace, name)
        if found is None:
            return _Page(None, ())
        try:
            return _Page(found["metadata"]["resourceVersion"], _unpacked(found))
        except (ValueError, OSError, EOFError, zlib.error) as error:
            raise LedgerError(f"ConfigMap {self._namespace}/{name} is no ledger ({error}); delete it") from error

    async def _written(self, namespace: str, page: _Page, intents: Intents) -> bool:
        """Whether the ledger is now this; False if somebody else wrote since the page was read."""
        manifest = _packed(self._namespace, namespace, intents)
        try:
            if page.version is None:
                stored = await objects.create(self._transport, manifest)
            else:
                manifest["metadata"]["resourceVersion"] = page.version
                stored = await objects.replace(self._transport, manifest)
        except ApiError as error:
            if error.status == 409 or (error.status == 404 and page.version is not None):
                return False
            raise
        self._pages[namespace] = _Page(stored["metadata"]["resourceVersion"], intents)
        return True


def name_of(namespace: str) -> str:
    """The name of the ConfigMap that is the ledger of a namespace."""
    return f"mcp-operator-ledger-{namespace}"


def _packed(home: str, namespace: str, intents: Intents) -> dict[str, Any]:
    text = intent.dump(intents)
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
    small = gzip.compress(text, compresslevel=1, mtime=0)
    if len(small) > LIMIT:
        count, seconds = len(intents), intent.KEEP
        raise LedgerError(
            f"the {count} writes of the last {seconds:.0f} s fill the ledger of {namespace}; try again in a minute"
        )
    return {**manifest, "binaryData": {PACKED: base64.b64encode(small).decode()}}


def _unpacked(found: Mapping[str, Any]) -> Intents:
    data, packed = found.get("data") or {}, found.get("binaryData") or {}
    if PACKED in packed:
        return intent.load(gzip.decompress(base64.b64decode(packed[PACKED])))
    if PLAIN not in data:
        raise intent.InvalidLedgerError(f"neither {PLAIN} nor {PACKED} is there")
    return intent.load(data[PLAIN].encode())
