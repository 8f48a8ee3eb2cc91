"""Compares what MCP servers list with what is pinned of their tools, again and again.

What clients see is the object, whatever a server lists; see docs/decisions/0042. A probe that fails is not drift: the
last verdict stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from crd.published import pins
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import mapping
from runtime.backends.mcp.client import Target
from runtime.state.sessions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crd.published.entries import Backend, Tool
    from crd.published.pins import Pin, Verdict
    from crd.published.policy import HeaderFrom, Tls
    from runtime.backends.mcp.tool_pages import Listing
    from runtime.http.exchange import Header

__all__ = ["INTERVAL", "Lister", "PinWatch", "SharedVerdicts"]

logger = logging.getLogger(__name__)

# Seconds between two probes of one server, and within which one ends.
INTERVAL, TIMEOUT = 60.0, 10.0
# Seconds until the first probe after a pin is new, and until another look at what another pod is about to find out.
FIRST, AGAIN = 1.0, 2.0
# Servers that are probed at the same time.
PARALLEL = 4
# Characters of the verdicts that pods share.
SHARED_ROOM = 100_000


class Lister(Protocol):
    """Lists the tools of an MCP server. See `runtime.backends.mcp.client.McpClient.list_tools`."""

    async def list_tools(self, target: Target, timeout: float) -> Listing:
        """The tools, as far as they could be listed. Raises nothing."""
        ...


class SharedVerdicts(Protocol):
    """What the pods of a server tell one another, so that one of them probes. May raise StoreUnavailableError."""

    async def claim(self, key: str, seconds: float) -> bool:
        """Whether this pod is the one that probes during the next seconds."""
        ...

    async def put(self, key: str, text: str, seconds: float) -> None:
        """Tell the other pods what was found; it is forgotten after some seconds."""
        ...

    async def get(self, key: str) -> str | None:
        """What was found last, by any pod."""
        ...


class _Endpoint(NamedTuple):
    """An MCP server, and the credentials with which some tools of it are called."""

    backend: Backend
    path: str
    protocol: str
    tls: Tls | None
    headers_from: tuple[HeaderFrom, ...]


class _Pinned(NamedTuple):
    endpoint: _Endpoint
    tool: str
    pin: Pin


@dataclass(slots=True)
class _Group:
    """The pinned tools of one endpoint, in a fixed order, and when they are compared next."""

    pinned: tuple[_Pinned, ...]
    due: float
    is_due_again: bool = field(default=False)

    @property
    def key(self) -> str:
        """The same in all pods that have these pins, and in no others."""
        return hashlib.sha256(repr(self.pinned).encode()).hexdigest()


class PinWatch:
    """``headers`` gives the credentials of an endpoint. ``jitter`` gives numbers from 0 to 1, ``monotonic`` seconds.

    ``on_probe`` is called with ``complete`` or ``failed`` after each probe of this pod. With ``shared``, one pod of
    several probes.
    """

    def __init__(
        self,
        lister: Lister,
        headers: Callable[[tuple[HeaderFrom, ...]], tuple[Header, ...]],
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        shared: SharedVerdicts | None = None,
        interval: float = INTERVAL,
        on_probe: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._lister = lister
        self._headers = headers
        self._monotonic = monotonic
        self._jitter = jitter
        self._shared = shared
        self._interval = interval
        self._on_probe = on_probe
        self._order: tuple[_Pinned, ...] = ()
        self._present: frozenset[_Pinned] = frozenset()
        self._groups: dict[_Endpoint, _Group] = {}
        self._verdicts: dict[_Pinned, Verdict] = {}
        self._running: set[_Endpoint] = set()
        self._wake = asyncio.Event()

    def keep(self, tools: Iterable[Tool]) -> None:
        """Watch the pins of these tools, in their order, and no others. What is known of a pin is kept."""
        self._order = tuple(found for tool in tools if (found := _pinned(tool)) is not None)
        groups: defaultdict[_Endpoint, set[_Pinned]] = defaultdict(set)
        for each in self._order:
            groups[each.endpoint].add(each)
        first = self._monotonic() + FIRST * self._jitter()
        before, self._groups = self._groups, {}
        for endpoint, members in groups.items():
            pinned, known = tuple(sorted(members, key=repr)), before.get(endpoint)
            is_known = known is not None and all(each in self._verdicts for each in pinned)
            self._groups[endpoint] = _Group(pinned, known.due if known is not None and is_known else first)
        self._present = frozenset(self._order)
        self._verdicts = {each: verdict for each, verdict in self._verdicts.items() if each in self._present}
        self._wake.set()

    def verdict(self, tool: Tool) -> Verdict | None:
        """The last verdict on a tool; None if it has no pin or was not compared yet."""
        pinned = _pinned(tool)
        return None if pinned is None else self._verdicts.get(pinned)

    def status(self, room: int) -> str:
        """The verdicts on all pinned tools, in the order of the catalog, in at most so many characters."""
        return pins.encode([self._verdicts.get(each) for each in self._order], room)

    def drifted(self) -> int:
        """How many tools are no longer what is pinned."""
        return sum(verdict.is_drift for each in self._order if (verdict := self._verdicts.get(each)) is not None)

    async def run(self) -> None:
        """Compare until cancelled."""
        self._running.clear()
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = self._monotonic()
                waiting = [(group.due, key) for key, group in self._groups.items() if key not in self._running]
                for due, key in sorted(waiting, key=lambda each: each[0]):
                    if due <= now and len(self._running) < PARALLEL:
                        self._running.add(key)
                        tasks.create_task(self._visit(key))
                left = [due for due, key in waiting if key not in self._running]
                pause = max(0.0, min(left) - now) if left and len(self._running) < PARALLEL else None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)
                self._wake.clear()

    async def _visit(self, endpoint: _Endpoint) -> None:
        group = self._groups.get(endpoint)
        try:
            if group is not None:
                wait = await self._compare(endpoint, group)
                group.due = self._monotonic() + wait
        finally:
            self._running.discard(endpoint)
            self._wake.set()

    async def _compare(self, endpoint: _Endpoint, group: _Group) -> float:
        """Compare the pins of one endpoint, or take what another pod found. The seconds until the next time."""
        pause = self._interval * (0.8 + 0.4 * self._jitter())
        shared = self._shared
        if shared is not None:
            try:
                # Less than the shortest pause, so that a pod that probed may do so again.
                if not await shared.claim(group.key, self._interval * 0.7):
                    found = pins.decode(await shared.get(group.key) or "", len(group.pinned))
                    if found is not None:
                        self._learn(group, found)
                        return pause
                    if not group.is_due_again:
                        group.is_due_again = True
                        return AGAIN
            except StoreUnavailableError:
                shared = None
        group.is_due_again = False
        if await self._probe(endpoint, group) and shared is not None:
            verdicts = pins.encode([self._verdicts.get(each) for each in group.pinned], SHARED_ROOM)
            with contextlib.suppress(StoreUnavailableError):
                await shared.put(group.key, verdicts, self._interval * 10)
        return pause

    async def _probe(self, endpoint: _Endpoint, group: _Group) -> bool:
        """Ask the server. Whether its list is complete; of an incomplete one, what it contains counts."""
        try:
            headers = self._headers(endpoint.headers_from)
        except CallError as fault:
            self._failed(endpoint, str(fault))
            return False
        url = mapping.base_url(endpoint.backend) + endpoint.path
        listing = await self._lister.list_tools(Target(url, headers, endpoint.tls, endpoint.protocol), TIMEOUT)
        wanted = {each.tool for each in group.pinned}
        listed: defaultdict[str, set[Pin]] = defaultdict(set)
        for tool in listing.tools:
            name = tool.get("name")
            if isinstance(name, str) and name in wanted:
                # One name may have many entries, and each of them may be large: calls are answered in between.
                listed[name].add(pins.pin_of(tool))
                await asyncio.sleep(0)
        found: list[Verdict | None] = []
        for each in group.pinned:
            there = listed.get(each.tool, ())
            found.append(None if listing.fault and not there else pins.compare(each.pin, there))
        self._learn(group, found)
        if listing.fault:
            self._failed(endpoint, listing.fault)
        else:
            self._on_probe("complete")
        return not listing.fault

    def _failed(self, endpoint: _Endpoint, fault: str) -> None:
        self._on_probe("failed")
        logger.warning(
            "the tools of %s:%d%s could not be compared with their pins, the last verdicts stay: %s",
            endpoint.backend.host,
            endpoint.backend.port,
            endpoint.path,
            ascii(fault[:500]),
        )

    def _learn(self, group: _Group, found: Iterable[Verdict | None]) -> None:
        for each, verdict in zip(group.pinned, found, strict=True):
            if verdict is None or each not in self._present:
                continue
            before = self._verdicts.get(each, pins.AS_PINNED)
            self._verdicts[each] = verdict
            if verdict != before:
                logger.warning("tool %s of %s: %s", ascii(each.tool), each.endpoint.backend.host, verdict)


def _pinned(tool: Tool) -> _Pinned | None:
    mcp = tool.mcp
    if mcp is None or mcp.pin is None:
        return None
    policy = tool.policy
    endpoint = _Endpoint(tool.backend, mcp.path, mcp.protocol, policy.tls, policy.headers_from)
    return _Pinned(endpoint, mcp.tool, mcp.pin)
