"""What the pods of each server report: the catalog that they serve, and whether pinned tools have drifted.

They are asked apart from the reconciles.

A server whose pods do not answer costs its own task its time-outs, and no other server anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp
import orjson

from cluster import resources
from cluster.transport import ApiError
from controller.workloads.deployment import HEALTH_PORT
from crd.published import pins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cluster.transport import Transport
    from controller.kept import KeptPod
    from crd.ref import Ref

__all__ = ["DirectPods", "PodReader", "PodReport", "PodReports", "ProxiedPods", "report_of"]

# Seconds within which one pod answers.
POD_TIMEOUT = 1.0
# Bytes of an answer.
ANSWER_LIMIT = 4096
# Seconds between two rounds: while pods catch up nothing in the API changes, so they are asked again, less and less
# often.
FIRST_WAIT, MAX_WAIT, GROWTH = 0.3, 10.0, 1.3
# Seconds that pods have to load a new catalog: a pod that watches it takes less than one, one that cannot waits for its
# kubelet. Until then a server's conditions do not change because of it.
LOADING_SECONDS = 90.0
# Seconds between two looks at what pods say of pinned tools. They compare every minute.
PIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class PodReport:
    """The digest of the catalog that a pod serves, and its verdicts on the pinned tools, see `crd.published.pins`."""

    digest: str
    pins: str = ""


class PodReader(Protocol):
    """How a pod's ``/statusz`` is read."""

    async def report(self, pod: KeptPod) -> PodReport | None:
        """What the pod reports; None if it does not answer within `POD_TIMEOUT`. Raises nothing."""
        ...


class PodReports:
    """Asks the ready pods of a server until they report the digest that is expected of them.

    The pods of a server with pinned tools are asked every `PIN_SECONDS` afterwards. ``jitter`` gives numbers from 0
    to 1.

    ``pods`` gives the pods of a server as they are now; ``changed`` is called with a server whose pods report
    something new, or were asked for the first time.
    """

    def __init__(
        self,
        reader: PodReader,
        pods: Callable[[Ref], list[KeptPod]],
        changed: Callable[[Ref], None],
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._reader = reader
        self._pods = pods
        self._changed = changed
        self._jitter = jitter
        self._reported: dict[Ref, dict[str, PodReport | None]] = {}
        # The servers with pinned tools.
        self._watched: set[Ref] = set()
        self._expected: dict[Ref, str] = {}
        # When the digest that is expected was first expected.
        self._since: dict[Ref, float] = {}
        self._wakers: dict[Ref, asyncio.Event] = {}
        self._tasks: dict[Ref, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def reported(self, server: Ref) -> Mapping[str, str | None]:
        """The digest that each ready pod that was asked reported, by uid."""
        return {uid: report.digest if report else None for uid, report in self._reported.get(server, {}).items()}

    def pins(self, server: Ref) -> Iterator[str]:
        """What the pods that serve the expected catalog say of its pinned tools."""
        expected = self._expected.get(server)
        for report in self._reported.get(server, {}).values():
            if report is not None and report.digest == expected:
                yield report.pins

    def expect(self, server: Ref, digest: str, *, pinned: bool = False) -> None:
        """Ask the ready pods of a server until all report this digest; at once, if it or one of the pods is new.

        With ``pinned`` they are asked afterwards, too.
        """
        if self._group is None:
            return
        (self._watched.add if pinned else self._watched.discard)(server)
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
        elif late or pinned:
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
        self._watched.discard(server)
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
            self._watched.clear()

    def _late(self, server: Ref) -> list[KeptPod]:
        """The ready pods that do not report what is expected."""
        expected, reported = self._expected.get(server), self._reported.get(server, {})
        return [
            pod
            for pod in self._pods(server)
            if pod.ready and ((report := reported.get(pod.uid)) is None or report.digest != expected)
        ]

    async def _ask(self, pod: KeptPod) -> PodReport | None:
        # On the network of its node, the address is that of everything there.
        return None if pod.on_host else await self._reader.report(pod)

    async def _poll(self, server: Ref) -> None:
        waker, wait, told = self._wakers[server], FIRST_WAIT, False
        try:
            while (late := self._late(server)) or server in self._watched:
                asked = late or [pod for pod in self._pods(server) if pod.ready]
                answers = await asyncio.gather(*(self._ask(pod) for pod in asked))
                reported = self._reported.setdefault(server, {})
                news = {pod.uid: answer for pod, answer in zip(asked, answers, strict=True)}
                if not late:
                    # Of a pod that does not answer now, what it reported last stays.
                    news = {uid: answer for uid, answer in news.items() if answer is not None}
                if any(uid not in reported or reported[uid] != answer for uid, answer in news.items()):
                    reported.update(news)
                    self._changed(server)
                is_late = bool(self._late(server))
                if not is_late and server not in self._watched:
                    return
                # New pins are compared within seconds.
                settled = not is_late and not any(pins.UNKNOWN in each for each in self.pins(server))
                if not told and self.is_behind(server, self._expected.get(server, "")):
                    self._changed(server)
                    told = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waker.wait(), PIN_SECONDS * (0.5 + self._jitter()) if settled else wait)
                if waker.is_set():
                    told = False
                wait = FIRST_WAIT if waker.is_set() or settled else min(MAX_WAIT, wait * GROWTH)
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

    async def report(self, pod: KeptPod) -> PodReport | None:
        """See `PodReader.report`."""
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
                return report_of(bytes(answer))
        except (TimeoutError, OSError, ValueError, aiohttp.ClientError):
            return None


class ProxiedPods:
    """Asks through the API server: for a controller that runs outside the cluster, with a person's rights.

    What the pod answers is held to the same limits as by `DirectPods`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def report(self, pod: KeptPod) -> PodReport | None:
        """See `PodReader.report`."""
        path = resources.PODS.path(pod.server.namespace, f"{pod.name}:{HEALTH_PORT}", "proxy/statusz")
        try:
            answer = await self._transport.fetch(path, query={}, timeout=POD_TIMEOUT, limit=ANSWER_LIMIT)
        except (ApiError, TimeoutError, OSError):
            return None
        return report_of(answer)


def report_of(answer: bytes) -> PodReport | None:
    """The report in the answer of ``/statusz``; None for any other answer."""
    try:
        decoded = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    digest = decoded.get("digest") if isinstance(decoded, dict) else None
    if not isinstance(digest, str):
        return None
    found = decoded.get("pins")
    return PodReport(digest, found if isinstance(found, str) else "")
