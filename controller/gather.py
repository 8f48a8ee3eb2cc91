"""Every read of a reconcile: what is known from watches, what has to be asked, and what the pods say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol

import aiohttp
import orjson

from cluster import objects, resources
from cluster.transport import ApiError
from controller.cache import OWNED, name_of, read_catalog
from controller.planning.state import MemberWorld, Pod, ServerWorld
from controller.workloads import inventory, mounts, network
from controller.workloads.deployment import HEALTH_PORT
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cluster.transport import Transport
    from controller.cache import Knowledge
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["DirectPods", "PodReader", "ProxiedPods", "member_world", "server_world"]

POD_TIMEOUT = 1.0
PodAccess = Literal["direct", "proxy"]


class PodReader(Protocol):
    """How a pod's ``/statusz`` is read."""

    async def digest(self, pod: dict[str, Any]) -> str | None:
        """The digest that the pod says it serves; None if it does not say."""
        ...


async def server_world(
    transport: Transport, knowledge: Knowledge, pods: PodReader, server: Ref, *, image: str, now: str
) -> ServerWorld | None:
    """The world of an MCPServer; None if it is gone, or going."""
    item = knowledge.objects.get(server)
    if item is None or "deletionTimestamp" in item.metadata:
        return None
    refs = sorted(knowledge.snapshot.view(server).members)
    members = tuple(knowledge.objects[ref] for ref in refs if ref in knowledge.objects)
    existing = await _existing(transport, knowledge, item)
    stored = existing.get("ConfigMap")
    return ServerWorld(
        server=item,
        members=members,
        catalog=knowledge.snapshot,
        incumbents=read_catalog(stored) if stored else None,
        existing=existing,
        pods=tuple(await asyncio.gather(*(_pod(pods, pod) for pod in knowledge.pods(server)))),
        services=knowledge.services(network.API_SERVER, *_called((item, *members))),
        image=image,
        now=now,
    )


def member_world(knowledge: Knowledge, member: Ref, *, now: str) -> MemberWorld | None:
    """The world of a tool, prompt or resource; None if it is gone, or going."""
    item = knowledge.objects.get(member)
    if item is None or "deletionTimestamp" in item.metadata:
        return None
    servers = tuple(knowledge.snapshot.selecting(member.kind, member.namespace, item.labels)) if item.fact else ()
    return MemberWorld(
        item,
        knowledge.snapshot,
        {ref: knowledge.holders(ref) for ref in servers},
        {ref: missing for ref in servers if (missing := _unmounted(knowledge, ref, item))},
        now,
    )


def _called(items: Iterable[Object]) -> Iterator[Ref]:
    for item in items:
        for backend in item.fact.backends if item.fact else ():
            yield backend.service


def _unmounted(knowledge: Knowledge, server: Ref, item: Object) -> tuple[Ref, ...]:
    """What an object reads and some pod of a server does not have yet."""
    wanted = {mount.ref for mount in item.fact.mounts} if item.fact else set()
    if not wanted:
        return ()
    pods = [mounts.standing(server.namespace, pod.get("spec") or {}) for pod in knowledge.pods(server)]
    return tuple(sorted(ref for ref in wanted if not all(ref in pod for pod in pods)))


async def _existing(transport: Transport, knowledge: Knowledge, server: Object) -> dict[str, dict[str, Any]]:
    """What stands under the names that the server uses. What carries no label of ours no watch shows: that is read."""
    needed = {"ConfigMap", *inventory.wished(server.spec)} if isinstance(server.spec, ServerSpec) else set()
    found: dict[str, dict[str, Any]] = {}
    for kind in OWNED:
        if kind is resources.PODS:
            continue
        stored = knowledge.existing(server.ref, kind)
        if stored is None and kind.kind in needed:
            stored = await objects.get(transport, kind, server.ref.namespace, name_of(server.ref, kind))
        if stored is not None:
            found[kind.kind] = stored
    return found


async def _pod(reader: PodReader, pod: dict[str, Any]) -> Pod:
    conditions = pod.get("status", {}).get("conditions") or ()
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return Pod(pod["metadata"]["name"], ready, await reader.digest(pod) if ready else None)


class DirectPods:
    """Asks the pods themselves: for a controller that runs in the cluster."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def digest(self, pod: dict[str, Any]) -> str | None:
        """See `PodReader.digest`."""
        address = pod.get("status", {}).get("podIP") or ""
        host = f"[{address}]" if ":" in address else address
        timeout = aiohttp.ClientTimeout(total=POD_TIMEOUT)
        try:
            async with self._session.get(f"http://{host}:{HEALTH_PORT}/statusz", timeout=timeout) as response:
                return _digest(await response.read())
        except (TimeoutError, OSError, aiohttp.ClientError):
            return None


class ProxiedPods:
    """Asks through the API server: for a controller that runs outside the cluster, with a person's rights."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def digest(self, pod: dict[str, Any]) -> str | None:
        """See `PodReader.digest`."""
        metadata = pod["metadata"]
        path = resources.PODS.path(metadata["namespace"], f"{metadata['name']}:{HEALTH_PORT}", "proxy/statusz")
        try:
            answer = await self._transport.request("GET", path, timeout=POD_TIMEOUT)
        except (ApiError, TimeoutError, OSError, aiohttp.ClientError):
            return None
        return _digest(orjson.dumps(answer))


def _digest(payload: bytes) -> str | None:
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    digest = answer.get("digest") if isinstance(answer, dict) else None
    return digest if isinstance(digest, str) else None
