"""PURE. How often: token buckets, all buckets of a call decided together, so that a refused call costs nothing.

A bucket's level is a whole number of 1/period parts of a token: each millisecond adds ``requests`` parts, a call takes
``period`` (in milliseconds). So nothing is rounded, here or in the script of
`runtime.state.redis`, which computes the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runtime.state.sessions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crd.published.entries import Tool
    from crd.published.policy import Bucket
    from crd.published.settings import Limits

__all__ = ["PASSED", "Buckets", "Charge", "Limiter", "MemoryBuckets", "Verdict", "charges", "client", "period"]

MAX_BUCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Charge:
    """One token out of one bucket. ``scope`` is server, client or tool."""

    scope: str
    key: str
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Verdict:
    """``scope`` is that of the first bucket that is empty, None if the call passes; ``wait`` is in milliseconds."""

    scope: str | None = None
    wait: int = 0

    @property
    def retry_after(self) -> int:
        """Seconds, at least one."""
        return max(1, -(-self.wait // 1000))


PASSED = Verdict()


class Buckets(Protocol):
    """Where buckets are kept. May raise StoreUnavailableError."""

    async def take(self, wanted: Sequence[Charge]) -> Verdict:
        """Take a token out of every bucket, or none out of any."""
        ...


def client(principal: str, session: str, address: str) -> str:
    """What tells a client from others: the principal it has shown to be, else its session, else its address."""
    return next((f"{kind}:{who}" for kind, who in (("user", principal), ("session", session)) if who), f"at:{address}")


def charges(limits: Limits, client: str, tool: Tool | None) -> tuple[Charge, ...]:
    """What a call costs, the widest bucket first. ``client`` is whatever tells clients apart."""
    hashed = hashlib.blake2b(client.encode(errors="replace"), digest_size=16).hexdigest()
    wanted = [("server", "server", limits.server), ("client", f"client:{hashed}", limits.per_client)]
    if tool is not None:
        wanted += [("tool", f"tool:{tool.name}", each.bucket) for each in limits.tools if each.tool == tool.name]
        wanted.append(("tool", f"own:{tool.name}", tool.rate_limit))
    return tuple(Charge(scope, f"{key}:{_shape(b)}", b) for scope, key, b in wanted if b is not None)


def period(bucket: Bucket) -> int:
    """In milliseconds."""
    return max(1, round(bucket.period * 1000))


def _shape(bucket: Bucket) -> str:
    """Part of the key: a bucket that was changed begins anew, because its parts are others."""
    return f"{bucket.requests}:{period(bucket)}:{bucket.capacity}"


class MemoryBuckets:
    """For one replica. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], limit: int = MAX_BUCKETS) -> None:
        self._monotonic = monotonic
        self._limit = limit
        self._levels: dict[str, tuple[int, int, Bucket]] = {}

    async def take(self, wanted: Sequence[Charge]) -> Verdict:
        """See `Buckets.take`."""
        now = int(self._monotonic() * 1000)
        levels = [self._level(charge.key, charge.bucket, now) for charge in wanted]
        empty = [(c, level) for c, level in zip(wanted, levels, strict=True) if level < period(c.bucket)]
        if empty:
            wait = max(-((level - period(c.bucket)) // c.bucket.requests) for c, level in empty)
            return Verdict(empty[0][0].scope, wait)
        for charge, level in zip(wanted, levels, strict=True):
            self._levels[charge.key] = (level - period(charge.bucket), now, charge.bucket)
        if len(self._levels) > self._limit:
            self._forget(now)
        return PASSED

    def _level(self, key: str, bucket: Bucket, now: int) -> int:
        full = bucket.capacity * period(bucket)
        level, at, _ = self._levels.get(key, (full, now, bucket))
        return min(full, level + (now - at) * bucket.requests)

    def _forget(self, now: int) -> None:
        """A full bucket and one that was never used are the same. If that is not enough, the oldest go."""
        kept = [
            (key, entry)
            for key, entry in self._levels.items()
            if self._level(key, entry[2], now) < entry[2].capacity * period(entry[2])
        ]
        self._levels = dict(sorted(kept, key=lambda pair: pair[1][1])[-self._limit :])


class Limiter:
    """``failed`` is told of every call that could not be counted."""

    def __init__(self, buckets: Buckets, failed: Callable[[], None]) -> None:
        self._buckets = buckets
        self._failed = failed

    async def admit(self, limits: Limits, client: str, tool: Tool | None) -> Verdict:
        """Whether a call passes. Without an answer of the store, what ``onStoreFailure`` says: Closed raises on."""
        wanted = charges(limits, client, tool)
        if not wanted:
            return PASSED
        try:
            return await self._buckets.take(wanted)
        except StoreUnavailableError:
            self._failed()
            if limits.on_store_failure == "Closed":
                raise
            return PASSED
