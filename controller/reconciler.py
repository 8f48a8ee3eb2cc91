"""One reconcile: gather, plan, carry out. And the workers that do it key by key."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp

from cluster import events, objects, resources
from cluster.transport import ApiError
from controller import gather
from controller.planning import plan
from controller.planning.plan import Apply, Publish, Remove, Scale
from controller.status import envelope, member, server
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.transport import Transport
    from cluster.workqueue import Workqueue
    from controller.cache import Knowledge
    from controller.gather import PodReader
    from controller.metrics import Metrics
    from controller.planning.plan import Action
    from crd.manifest import Object

__all__ = ["MANAGER", "SCALE_MANAGER", "STATUS_MANAGER", "Reconciler"]

logger = logging.getLogger(__name__)

MANAGER = "mcp-operator"
SCALE_MANAGER = "mcp-operator-scale"
STATUS_MANAGER = "mcp-operator-status"
WORKERS = 4
# Answers that are about what was asked for: only a person can help.
REFUSALS = (400, 403, 422)
# While pods catch up nothing in the API changes, so they are asked again.
WAIT = 0.3
WAIT_MAX = 10.0


class Reconciler:
    """``queue`` holds the keys of work; ``image`` is what servers run that name none."""

    def __init__(
        self,
        transport: Transport,
        knowledge: Knowledge,
        queue: Workqueue[Ref],
        pods: PodReader,
        metrics: Metrics,
        *,
        image: str,
        identity: str,
        now: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self._knowledge = knowledge
        self._queue = queue
        self._pods = pods
        self._metrics = metrics
        self._image = image
        self._identity = identity
        self._now = now
        self._waits: dict[Ref, float] = {}

    async def run(self) -> None:
        """Work until cancelled; none of the work goes on afterwards."""
        for ref in self._knowledge.everything():
            self._queue.add(ref)
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            ref = await self._queue.take()
            self._metrics.queue.set(len(self._queue))
            try:
                with self._metrics.duration.labels(ref.kind).time():
                    await (self._server(ref) if ref.kind is Kind.SERVER else self._member(ref))
            except (ApiError, TimeoutError, OSError, aiohttp.ClientError) as error:
                conflict = isinstance(error, ApiError) and error.status == 409
                self._metrics.reconciles.labels(ref.kind, "conflict" if conflict else "error").inc()
                delay = self._queue.failed(ref)
                level = logging.DEBUG if conflict else logging.WARNING
                logger.log(level, "%s: %s: %s; again in %.2f s", ref, type(error).__name__, error, delay)
            except Exception:
                self._metrics.reconciles.labels(ref.kind, "bug").inc()
                logger.exception("%s: a bug; again in %.2f s", ref, self._queue.failed(ref))
            else:
                self._metrics.reconciles.labels(ref.kind, "done").inc()
                self._queue.done(ref)

    async def _server(self, ref: Ref) -> None:
        world = await gather.server_world(
            self._transport, self._knowledge, self._pods, ref, image=self._image, now=self._stamp()
        )
        if world is None:
            self._waits.pop(ref, None)
            return
        compilation = plan.compiled(world)
        planned = plan.plan_server(world, compilation)
        try:
            for action in planned.actions:
                await self._carry_out(action)
        except ApiError as error:
            if error.status in REFUSALS:
                told = replace(planned, obstacle=("Refused", f"the API server refuses it: {error.message}"))
                await self._write_status(world.server, server.status(world, compilation, told))
            raise
        wanted = server.status(world, compilation, planned)
        await self._write_status(world.server, wanted)
        if envelope.settled(wanted) or not any(pod.ready for pod in world.pods):
            self._waits.pop(ref, None)
        else:
            wait = self._waits[ref] = min(WAIT_MAX, self._waits.get(ref, WAIT / 1.3) * 1.3)
            self._queue.add_after(ref, wait)

    async def _member(self, ref: Ref) -> None:
        world = gather.member_world(self._knowledge, ref, now=self._stamp())
        if world is not None:
            await self._write_status(world.member, member.status(world))

    async def _carry_out(self, action: Action) -> None:
        self._metrics.writes.labels(type(action).__name__.lower()).inc()
        metadata = action.manifest["metadata"]
        match action:
            case Publish(manifest) if "resourceVersion" in metadata:
                await objects.replace(self._transport, manifest)
            case Publish(manifest):
                await objects.create(self._transport, manifest)
            case Apply(manifest):
                await objects.apply(self._transport, manifest, manager=MANAGER)
            case Scale(manifest):
                await objects.apply(self._transport, manifest, manager=SCALE_MANAGER)
            case Remove(manifest):
                kind = resources.of(manifest)
                await objects.delete(
                    self._transport, kind, metadata["namespace"], metadata["name"], uid=metadata["uid"]
                )

    async def _write_status(self, item: Object, wanted: dict[str, object]) -> None:
        stored = item.raw.get("status")
        if not envelope.differs(stored, wanted):
            return
        self._metrics.writes.labels("status").inc()
        try:
            await objects.apply_status(self._transport, wanted, manager=STATUS_MANAGER)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        await self._tell(item, stored or {}, wanted)

    async def _tell(self, item: Object, stored: dict[str, object], wanted: dict[str, object]) -> None:
        """An Event where a condition other than Ready has changed for the worse, and where Ready has come true."""
        before = {c["type"]: c["status"] for c in stored.get("conditions") or ()}  # type: ignore[attr-defined]
        for condition in wanted["status"]["conditions"]:  # type: ignore[index]
            kind, truth = condition["type"], condition["status"]
            if before.get(kind) == truth or (kind == "Ready") != (truth == "True") or truth == "Unknown":
                continue
            await events.record(
                self._transport,
                item.ref,
                str(item.metadata.get("uid") or ""),
                reason=condition["reason"],
                note=condition["message"],
                now=self._now(),
                reporter=self._identity,
                warning=truth == "False",
            )

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
