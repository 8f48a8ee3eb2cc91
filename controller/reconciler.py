"""One reconcile: gather, plan, carry out. And the workers that do it key by key."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cluster import objects, resources
from cluster.events import Recorder
from cluster.transport import ApiError
from controller import gather, pinned
from controller.kept import PublishedCatalog, hash_data
from controller.planning.plan import Apply, Publish, Remove, Repair, Scale, plan_removal, plan_server, replacement
from controller.pods import PodReports
from controller.status import member as member_status
from controller.status import server as server_status
from controller.status import transitions
from controller.workloads.inputs import MANAGER, SCALE_MANAGER
from crd.compiler import compilation as compiler
from crd.compiler.compilation import Incumbents
from crd.published import signature
from crd.published.signature import Stamp
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.transport import Transport
    from cluster.workqueue import Workqueue
    from controller.cache import Cache
    from controller.kept import KeptServer
    from controller.metrics import Metrics
    from controller.planning.plan import Action, Plan
    from controller.planning.state import ServerState
    from controller.pods import PodReader
    from controller.signing.keys import Keys
    from crd.compiler.compilation import Compilation
    from crd.facts import ServerFact
    from crd.manifest import Object
    from crd.published.pins import Verdict
    from crd.snapshot import Snapshot
    from crd.steps import Steps

__all__ = ["STATUS_MANAGER", "Reconciler"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

STATUS_MANAGER = "mcp-operator-status"
WORKERS = 4
# So many keys are added at once when a term begins, which takes some milliseconds.
BATCH = 2000
# Seconds until a server is looked at again that cannot be served because a name is taken: no watch shows what takes it.
TAKEN_SECONDS = 15.0
# Seconds between two repairs of one object. Who changes it again and again does so no faster.
REPAIR_SECONDS = 30.0
# Answers about the content of a request: the same request will get them again.
REFUSALS = (400, 403, 422)
_NOBODY = Incumbents()


class SigningKeys(Protocol):
    """Where the keys come from that sign catalogs: a `controller.signing.keyring.Keyring`."""

    @property
    def keys(self) -> Keys:
        """The present keys."""
        ...

    async def reach(self, generation: int) -> None:
        """Have a working key of at least this generation."""
        ...


class Reconciler:
    """The work of one term as leader.

    ``queue`` holds the keys of work; ``image`` is for servers that name none. ``arguments`` are further ones of the
    program in the pods. ``jitter`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        transport: Transport,
        cache: Cache,
        queue: Workqueue[Ref],
        pods: PodReader,
        metrics: Metrics,
        *,
        keyring: SigningKeys,
        image: str,
        identity: str,
        now: Callable[[], datetime],
        arguments: tuple[str, ...] = (),
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._transport = transport
        self._cache = cache
        self._turns = cache.turns
        self._queue = queue
        self._metrics = metrics
        self._keyring = keyring
        self._image = image
        self._now = now
        self._events = Recorder(transport, reporter=identity, now=now)
        self._arguments = arguments
        self._reports = PodReports(pods, cache.pods, queue.add, jitter)
        self._compilations: dict[Ref, Compilation] = {}
        # Members whose statuses depend on a catalog that was written, by server.
        self._affected: defaultdict[Ref, set[Ref]] = defaultdict(set)
        # The pinned tools of each server in the order of the catalog with this digest, and the verdicts on them.
        self._pinned: dict[Ref, tuple[str, tuple[Ref, ...]]] = {}
        self._verdicts: dict[Ref, dict[Ref, Verdict]] = {}
        # When an object of a server was repaired last, by kind.
        self._repaired: dict[Ref, dict[str, datetime]] = {}

    async def run(self) -> None:
        """Work on everything, then on what changes, until cancelled; none of the work goes on afterwards."""
        try:
            for index, ref in enumerate(self._cache.everything()):
                self._queue.add(ref, resync=True)
                if index % BATCH == BATCH - 1:
                    await asyncio.sleep(0)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reports.run())
                for _ in range(WORKERS):
                    group.create_task(self._work())
        finally:
            self._metrics.drifted.set(0)

    async def _work(self) -> None:
        while True:
            ref = await self._queue.take()
            self._metrics.queue.set(len(self._queue))
            try:
                with self._metrics.duration.labels(ref.kind).time():
                    await (self._reconcile_server(ref) if ref.kind is Kind.SERVER else self._reconcile_member(ref))
            except asyncio.CancelledError:
                self._queue.put_back(ref)
                raise
            except (ApiError, TimeoutError, OSError) as error:
                conflict = isinstance(error, ApiError) and error.status == 409
                self._metrics.reconciles.labels(ref.kind, "conflict" if conflict else "error").inc()
                delay = self._queue.failed(ref)
                level = logging.DEBUG if conflict else logging.WARNING
                logger.log(level, "%s: %s: %s; retrying in %.2f s", ref, type(error).__name__, error, delay)
            except Exception:
                self._metrics.reconciles.labels(ref.kind, "bug").inc()
                logger.exception("%s: unexpected exception; retrying in %.2f s", ref, self._queue.failed(ref))
            else:
                self._metrics.reconciles.labels(ref.kind, "done").inc()
                self._queue.done(ref)
            # A reconcile that waits for nothing must not keep the event loop from others.
            await (self._turns.wait() if self._turns.is_over() else asyncio.sleep(0))

    async def _reconcile_server(self, ref: Ref) -> None:
        kept = self._cache.server(ref)
        if kept is None or kept.going:
            self._compilations.pop(ref, None)
            self._affected.pop(ref, None)
            self._repaired.pop(ref, None)
            self._reports.forget(ref)
            self._pinned.pop(ref, None)
            self._learn(ref, {})
        if kept is None:
            return
        server, snapshot = kept.decode(), self._cache.snapshot
        compilation = await self._compile(server, kept.fact, snapshot) if kept.fact else None
        state = await gather.server_state(
            self._transport,
            self._cache,
            server,
            snapshot,
            compilation,
            self._reports.reported(ref),
            keys=self._keyring.keys,
            image=self._image,
            now=self._timestamp(),
            arguments=self._arguments,
            is_behind=compilation is not None and self._reports.is_behind(ref, compilation.digest()),
        )
        if kept.going:
            for action in plan_removal(state).actions:
                await self._carry_out(action)
            return
        planned = plan_server(state)
        try:
            for action in planned.actions:
                await self._write(action, kept, planned.digest, compilation)
            self._enqueue_affected(ref)
        except ApiError as error:
            if error.status in REFUSALS:
                refused = replace(planned, blocked_by=("Refused", f"the API server refuses it: {error.message}"))
                await self._write_server_status(kept, state, refused)
            raise
        if planned.blocked_by and planned.blocked_by[0] == "NameTaken":
            self._queue.add_after(ref, TAKEN_SECONDS)
        if planned.digest and compilation is not None:
            tools = self._pinned_tools(ref, planned.digest, compilation)
            self._reports.expect(ref, planned.digest, pinned=bool(tools))
            drifted = self._learn(ref, pinned.verdicts_of(self._reports.pins(ref), tools))
            if drifted:
                await self._tell_drift(kept, drifted)
            if not all(pod.asked for pod in state.pods):
                # Their answers, or the lack of them, bring this key back within a second.
                return
        await self._write_server_status(kept, state, planned)

    async def _write_server_status(self, kept: KeptServer, state: ServerState, plan: Plan) -> None:
        """With the order of the newest catalog, below which a pod that starts loads none."""
        desired = server_status.status(state, plan, self._cache.published_order(kept.ref))
        await self._write_status(kept.ref, kept.uid, state.server.raw.get("status"), desired)

    def _pinned_tools(self, server: Ref, digest: str, compilation: Compilation) -> tuple[Ref, ...]:
        """The pinned tools of the catalog with this digest, in its order."""
        known = self._pinned.get(server)
        if known is None or known[0] != digest:
            known = self._pinned[server] = (digest, compilation.pinned())
        return known[1]

    def _learn(self, server: Ref, verdicts: dict[Ref, Verdict]) -> dict[Ref, Verdict]:
        """Queue the tools whose verdict has changed, and return those that have drifted now.

        A verdict that was written into a status before, by another leader perhaps, is none of these.
        """
        before = self._verdicts.pop(server, {})
        if verdicts:
            self._verdicts[server] = verdicts
        changed = {ref for ref in {*before, *verdicts} if before.get(ref) != verdicts.get(ref)}
        for ref in changed:
            self._queue.add(ref)
        if changed:
            all_ = self._verdicts.values()
            self._metrics.drifted.set(len({ref for each in all_ for ref, verdict in each.items() if verdict.is_drift}))
        return {
            ref: verdicts[ref] for ref in changed if ref in verdicts and verdicts[ref].is_drift and self._is_new(ref)
        }

    def _is_new(self, tool: Ref) -> bool:
        member = self._cache.member(tool)
        if member is None:
            return False
        conditions = member.status().get("conditions") or ()
        return not any(each.get("type") == member_status.DRIFTED and each["status"] == "True" for each in conditions)

    async def _tell_drift(self, server: KeptServer, drifted: dict[Ref, Verdict]) -> None:
        await self._events.record(
            server.ref,
            server.uid,
            reason=member_status.DRIFTED,
            note=pinned.note_of(drifted),
            warning=True,
        )

    async def _write(self, action: Action, server: KeptServer, digest: str, compilation: Compilation | None) -> None:
        """Carry out one action for a server. With a catalog that is stored, its members come first."""
        if isinstance(action, Publish) and compilation is not None:
            await self._publish(action, digest, compilation)
            return
        self._enqueue_affected(server.ref)
        await (self._repair(server, action) if isinstance(action, Repair) else self._carry_out(action))

    async def _compile(self, server: Object, fact: ServerFact, snapshot: Snapshot) -> Compilation:
        """What the server would serve now: what it would serve last time, and what has changed since."""
        ref = server.ref
        incumbents = self._cache.incumbents(ref) or _NOBODY
        # Taken out, so that what is interrupted here begins anew.
        before = self._compilations.pop(ref, None)
        if before is not None and (
            before.prefix != fact.prefix
            or not (incumbents is before.incumbents or incumbents.holders is before.holders)
        ):
            before = None
        changed = self._cache.take_changed(ref)
        if before is None:
            changed |= set(snapshot.view(ref).members)
        selected = self._cache.selected(ref)
        made = await self._in_slices(compiler.advance(before, server, changed, selected, snapshot, incumbents))
        self._compilations[ref] = made
        return made

    async def _publish(self, action: Publish, digest: str, compilation: Compilation) -> None:
        """Sign and write the catalog, and note the members that are served otherwise than before."""
        server, uid = compilation.server, action.manifest["metadata"]["ownerReferences"][0]["uid"]
        generation, newest = self._cache.highest_order(server) or (0, 0)
        if generation > self._keyring.keys.generation:
            await self._keyring.reach(generation)
        keys = self._keyring.keys
        # The time, so that it also grows where nothing is stored, or where what is stored is not ours.
        version = max(int(self._now().timestamp() * 1000), newest + 1)
        envelope = keys.sign(server_uid=uid, version=version, name=action.name, content=action.content)
        data = {**action.manifest.get("data", {}), signature.FILE: envelope}
        manifest = {**action.manifest, "data": data}
        stamp = Stamp(keys.generation, version, hashlib.sha256(action.content).hexdigest())
        published = PublishedCatalog(hash_data(manifest), digest, compilation.published(), stamp, keys.argument, uid)
        first = compilation.incumbents is _NOBODY
        # Kept until it is certain that the catalog is stored: the answer to a write may get lost.
        self._affected[server] |= set(compilation.members) if first else compilation.affected()
        self._cache.expect(server, published)
        token = self._cache.sequence()
        self._metrics.writes.labels("publish").inc()
        write = objects.replace if "resourceVersion" in manifest["metadata"] else objects.create
        self._cache.offer_catalog(await write(self._transport, manifest, manager=MANAGER), token)

    def _enqueue_affected(self, server: Ref) -> None:
        """The catalog that was written last is stored."""
        for member in self._affected.pop(server, ()):
            self._queue.add(member)

    async def _carry_out(self, action: Action) -> None:
        manifest = action.manifest
        self._metrics.writes.labels(type(action).__name__.lower()).inc()
        match action:
            case Apply():
                await objects.apply(self._transport, manifest, manager=MANAGER)
            case Scale():
                await objects.apply(self._transport, manifest, manager=SCALE_MANAGER)
            case Remove():
                metadata = manifest["metadata"]
                await objects.delete(
                    self._transport,
                    resources.of(manifest),
                    metadata["namespace"],
                    metadata["name"],
                    uid=metadata["uid"],
                )
            case Publish() | Repair():
                raise ValueError("catalogs and repairs are written in their own ways")

    async def _repair(self, server: KeptServer, action: Repair) -> None:
        """Take away what somebody has set in an object, and say so."""
        ref, manifest, now = server.ref, action.manifest, self._now()
        kind, metadata = manifest["kind"], manifest["metadata"]
        repaired = self._repaired.setdefault(ref, {})
        wait = (repaired[kind] - now).total_seconds() + REPAIR_SECONDS if kind in repaired else 0.0
        if wait > 0:
            self._queue.add_after(ref, wait)
            return
        live = await objects.get(self._transport, resources.of(manifest), metadata["namespace"], metadata["name"])
        repaired[kind] = now
        self._metrics.writes.labels("repair").inc()
        if live is not None:
            await objects.replace(self._transport, replacement(live, manifest), manager=MANAGER)
        # A field that somebody has set to our own value becomes ours by this.
        await objects.apply(self._transport, manifest, manager=MANAGER)
        note = f"{kind} {metadata['name']}: removed what {action.editor} has set; change the MCPServer instead"
        await self._events.record(
            ref,
            server.uid,
            reason="Repaired",
            note=note,
            warning=True,
        )

    async def _reconcile_member(self, ref: Ref) -> None:
        state = gather.member_state(self._cache, ref, self._verdicts, now=self._timestamp())
        if state is not None:
            member = state.member
            await self._write_status(ref, member.uid, member.status(), member_status.status(state))

    async def _write_status(self, ref: Ref, uid: str, stored: dict[str, Any] | None, desired: dict[str, Any]) -> None:
        if (stored or {}) == desired["status"]:
            return
        self._metrics.writes.labels("status").inc()
        try:
            await objects.apply_status(self._transport, desired, manager=STATUS_MANAGER)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        before = (stored or {}).get("conditions") or ()
        event = transitions.event_of(ref.kind, before, desired["status"]["conditions"])
        if event:
            await self._events.record(
                ref,
                uid,
                reason=event.reason,
                note=event.note,
                warning=event.is_warning,
            )

    async def _in_slices(self, steps: Steps[T]) -> T:
        """Take the steps one by one, in turns with others."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            if self._turns.is_over():
                await self._turns.wait()

    def _timestamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
