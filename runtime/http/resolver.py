"""The addresses of hosts, by DNS without threads: a name that is slow to resolve delays only those who ask for it."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
from collections.abc import Awaitable, Callable

import aiodns

__all__ = ["Lookup", "Resolver", "look_up"]

# The addresses of a name, and for how many seconds they hold. Raises OSError.
Lookup = Callable[[str], Awaitable[tuple[tuple[str, ...], float]]]

# Seconds. Services change their addresses rarely, but a headless one does with each of its pods.
MIN_TTL, MAX_TTL = 1.0, 30.0
LOOKUP_TIMEOUT = 10.0
MAX_NAMES = 4096


class Resolver:
    """Remembers addresses for as long as their TTL says. ``monotonic`` gives seconds."""

    def __init__(self, look_up: Lookup, monotonic: Callable[[], float]) -> None:
        self._look_up = look_up
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._running: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of a host; of an address itself. Raises OSError.

        Whoever asks for a name that is being looked up waits for that answer.
        """
        known = self._known.get(host)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        try:
            literal = str(ipaddress.ip_address(host.strip("[]")))
        except ValueError:
            pass
        else:
            return self._remember(host, (literal,), math.inf)
        task = self._running.get(host)
        if task is None:
            task = self._running[host] = asyncio.create_task(self._refresh(host))
            task.add_done_callback(lambda _: self._running.pop(host, None))
        # Who gives up must not end it for the others.
        return await asyncio.shield(task)

    async def _refresh(self, host: str) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                addresses, ttl = await self._look_up(host)
        except TimeoutError as error:
            raise OSError(f"no answer of DNS within {LOOKUP_TIMEOUT:g} s") from error
        return self._remember(host, addresses, self._monotonic() + min(MAX_TTL, max(MIN_TTL, ttl)))

    def _remember(self, host: str, addresses: tuple[str, ...], until: float) -> tuple[str, ...]:
        if len(self._known) >= MAX_NAMES:
            del self._known[next(iter(self._known))]
        self._known.pop(host, None)
        self._known[host] = until, addresses
        return addresses

    async def close(self) -> None:
        """Give up what is being looked up."""
        for task in list(self._running.values()):
            task.cancel()


def look_up() -> Lookup:
    """A lookup by the name servers of /etc/resolv.conf, and by /etc/hosts."""
    resolver: aiodns.DNSResolver | None = None

    async def ask(host: str) -> tuple[tuple[str, ...], float]:
        nonlocal resolver
        if resolver is None:
            resolver = aiodns.DNSResolver()
        try:
            found = await resolver.getaddrinfo(host, socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            raise OSError(error.args[-1]) from error
        addresses = tuple(dict.fromkeys(node.addr[0].decode() for node in found.nodes))
        return addresses, float(min((node.ttl for node in found.nodes), default=0))

    return ask
