"""Every read of a reconcile: what is known from watches, what has to be asked, and what the pods say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol

import aiohttp
import orjson

from cluster import objects, resources
from cluster.transport import ApiError
from controller.knowledge import OWNED, read_catalog
from controller.world import MemberWorld, Pod, ServerWorld, catalog_name, workload_name

if TYPE_CHECKING:
    from cluster.transport import Transport
    from controller.knowledge import Knowledge
    from crd.ref import Ref

__all__ = ["DirectPods", "PodReader", "ProxiedPods", "member_world", "server_world"]

HEALTH_PORT = 9090
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
    members = sorted(knowledge.catalog.view(server).members)
    existing = await _existing(transport, knowledge, server)
    stored = existing.get("ConfigMap")
    return ServerWorld(
        server=item,
        members=tuple(knowledge.objects[ref] for ref in members if ref in knowledge.objects),
        catalog=knowledge.catalog,
        incumbents=read_catalog(stored) if stored else None,
        existing=existing,
        pods=tuple(await asyncio.gather(*(_pod(pods, pod) for pod in knowledge.pods(server)))),
        image=image,
        now=now,
    )


def member_world(knowledge: Knowledge, member: Ref, *, now: str) -> MemberWorld | None:
    """The world of a tool, prompt or resource; None if it is gone, or going."""
    item = knowledge.objects.get(member)
    if item is None or "deletionTimestamp" in item.metadata:
        return None
    servers = knowledge.catalog.selecting(member.namespace, item.labels) if item.fact else ()
    return MemberWorld(item, knowledge.catalog, {ref: knowledge.published(ref) for ref in servers}, now)


async def _existing(transport: Transport, knowledge: Knowledge, server: Ref) -> dict[str, dict[str, Any]]:
    """What stands under the names that the server uses. What carries no label of ours no watch shows: that is read."""
    found: dict[str, dict[str, Any]] = {}
    for kind in OWNED:
        if kind is resources.PODS:
            continue
        stored = knowledge.existing(server, kind)
        if stored is None:
            name = catalog_name(server.name) if kind is resources.CONFIG_MAPS else workload_name(server.name)
            stored = await objects.get(transport, kind, server.namespace, name)
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
