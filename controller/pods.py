"""What the pods of each server report that they serve, asked apart from the reconciles.

A server whose pods do not answer costs its own task its time-outs, and no other server anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

import aiohttp
import orjson

from cluster import resources
from cluster.transport import ApiError
from controller.workloads.deployment import HEALTH_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster.transport import Transport
    from controller.kept import KeptPod
    from crd.ref import Ref

__all__ = ["DirectPods", "PodDigests", "PodReader", "ProxiedPods", "digest_of"]

# Seconds within which one pod answers.
POD_TIMEOUT = 1.0
# Bytes of an answer; a digest has less than a hundred.
ANSWER_LIMIT = 4096
# Seconds between two rounds: while pods catch up nothing in the API changes, so they are asked again, less and less
# often.
FIRST_WAIT, MAX_WAIT, GROWTH = 0.3, 10.0, 1.3
# Seconds that pods have to load a new catalog: a pod that watches it takes less than one, one that cannot waits for its
# kubelet. Until then a server's conditions do not change because of it.
LOADING_SECONDS = 90.0


class PodReader(Protocol):
    """How a pod's ``/statusz`` is read."""

    async def digest(self, pod: KeptPod) -> str | None:
        """The digest that the pod reports; None if it does not answer within `POD_TIMEOUT`. Raises nothing."""
        ...


class PodDigests:
    """Asks the ready pods of a server until they report the digest that is expected of them.

    ``pods`` gives the pods of a server as they are now; ``changed`` is called with a server whose pods report
    something new, or were asked for the first time.
    """

    def __init__(self, reader: PodReader, pods: Callable[[Ref], list[KeptPod]], changed: Callable[[Ref], None]) -> None:
        self._reader = reader
        self._pods = pods
        self._changed = changed
        self._reported: dict[Ref, dict[str, str | None]] = {}
        self._expected: dict[Ref, str] = {}
        # When the digest that is expected was first expected.
        self._since: dict[Ref, float] = {}
        self._wakers: dict[Ref, asyncio.Event] = {}
        self._tasks: dict[Ref, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def reported(self, server: Ref) -> Mapping[str, str | None]:
        """What each ready pod that was asked answered, by uid."""
        return self._reported.get(server, {})

    def expect(self, server: Ref, digest: str) -> None:
        """Ask the ready pods of a server until all report this digest; at once, if it or one of the pods is new."""
        if self._group is None:
            return
        there, before = {pod.uid for pod in self._pods(server)}, self._reported.get(server, {})
        reported = self._reported[server] = {uid: answer for uid, answer in before.items() if uid in there}
        news = self._expected.get(server) != digest
        self._expected[server] = digest
        if news:
            self._since[server] = asyncio.get_running_loop().time()
        late = self._late(server)
        if server in self._tasks:
            if news or any(pod.uid not in reported for pod in late):
                self._wakers[server].set()
        elif late:
            self._wakers[server] = asyncio.Event()
            self._tasks[server] = self._group.create_task(self._poll(server))

    def is_behind(self, server: Ref, digest: str) -> bool:
        """Whether ready pods do not report this digest although they have had time to load it."""
        if self._expected.get(server) != digest or not self._late(server):
            return False
        return asyncio.get_running_loop().time() - self._since[server] >= LOADING_SECONDS

    def forget(self, server: Ref) -> None:
        """The server is gone."""
        for known in (self._reported, self._expected, self._since):
            known.pop(server, None)
        if server in self._tasks:
            self._tasks[server].cancel()

    async def run(self) -> None:
        """Ask until cancelled; nothing goes on afterwards."""
        try:
            async with asyncio.TaskGroup() as self._group:
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            self._reported.clear()
            self._expected.clear()
            self._since.clear()

    def _late(self, server: Ref) -> list[KeptPod]:
        """The ready pods that do not report what is expected."""
        expected, reported = self._expected.get(server), self._reported.get(server, {})
        return [pod for pod in self._pods(server) if pod.ready and reported.get(pod.uid) != expected]

    async def _ask(self, pod: KeptPod) -> str | None:
        # On the network of its node, the address is that of everything there.
        return None if pod.on_host else await self._reader.digest(pod)

    async def _poll(self, server: Ref) -> None:
        waker, wait, told = self._wakers[server], FIRST_WAIT, False
        try:
            while late := self._late(server):
                answers = await asyncio.gather(*(self._ask(pod) for pod in late))
                reported = self._reported.setdefault(server, {})
                news = {pod.uid: answer for pod, answer in zip(late, answers, strict=True)}
                if any(uid not in reported or reported[uid] != answer for uid, answer in news.items()):
                    reported.update(news)
                    self._changed(server)
                if not self._late(server):
                    return
                if not told and self.is_behind(server, self._expected.get(server, "")):
                    self._changed(server)
                    told = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waker.wait(), wait)
                if waker.is_set():
                    told = False
                wait = FIRST_WAIT if waker.is_set() else min(MAX_WAIT, wait * GROWTH)
                waker.clear()
        finally:
            del self._tasks[server], self._wakers[server]


class DirectPods:
    """Asks the pods themselves: for a controller that runs in the cluster.

    Follows no redirect, inflates nothing, and reads at most `ANSWER_LIMIT` bytes.
    """

    def __init__(self, session: aiohttp.ClientSession, port: int = HEALTH_PORT) -> None:
        self._session = session
        self._port = port

    async def digest(self, pod: KeptPod) -> str | None:
        """See `PodReader.digest`."""
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        try:
            async with self._session.get(
                f"http://{host}:{self._port}/statusz",
                timeout=aiohttp.ClientTimeout(total=POD_TIMEOUT),
                headers={"Accept-Encoding": "identity"},
                allow_redirects=False,
                auto_decompress=False,
                read_bufsize=ANSWER_LIMIT,
            ) as response:
                if response.status != 200:
                    return None
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > ANSWER_LIMIT:
                        return None
                return digest_of(bytes(answer))
        except (TimeoutError, OSError, ValueError, aiohttp.ClientError):
            return None


class ProxiedPods:
    """Asks through the API server: for a controller that runs outside the cluster, with a person's rights.

    What the pod answers is held to the same limits as by `DirectPods`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def digest(self, pod: KeptPod) -> str | None:
        """See `PodReader.digest`."""
        path = resources.PODS.path(pod.server.namespace, f"{pod.name}:{HEALTH_PORT}", "proxy/statusz")
        try:
            answer = await self._transport.fetch(path, query={}, timeout=POD_TIMEOUT, limit=ANSWER_LIMIT)
        except (ApiError, TimeoutError, OSError, aiohttp.ClientError):
            return None
        return digest_of(answer)


def digest_of(answer: bytes) -> str | None:
    """The digest in the answer of ``/statusz``; None for any other answer."""
    try:
        decoded = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    digest = decoded.get("digest") if isinstance(decoded, dict) else None
    return digest if isinstance(digest, str) else None
