"""PURE. Rate limits as token buckets. All buckets of a call are decided together, so a rejected call takes no token.

The level of a bucket is counted in parts of a token: a token is ``period`` (in milliseconds) parts, a call takes one
token, and each millisecond adds ``requests`` parts. All numbers are integers, so nothing is rounded, here or in the
script of `runtime.state.redis`, which computes the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from runtime.state.sessions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crd.published.entries import Tool
    from crd.published.policy import Bucket
    from crd.published.settings import Limits

__all__ = [
    "PASSED",
    "Buckets",
    "Charge",
    "Limiter",
    "MemoryBuckets",
    "Verdict",
    "charges_for",
    "client_key",
    "hash_key",
    "period_ms",
]

MAX_BUCKETS = 100_000
# Near the limit: buckets that are looked at for each new one.
LOOKED_AT = 16
# Clients and tools whose charges are remembered.
MAX_KNOWN = 8192


@dataclass(frozen=True, slots=True)
class Charge:
    """One token from one bucket. ``scope`` is server, client or tool.

    ``numbers`` are parts of a token for a millisecond, parts of a token, and parts of a full bucket.
    """

    scope: str
    key: str
    bucket: Bucket
    numbers: tuple[int, int, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        period = period_ms(self.bucket)
        object.__setattr__(self, "numbers", (self.bucket.requests, period, self.bucket.capacity * period))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``scope`` is that of the first empty bucket, None if the call passes. ``wait`` is in milliseconds."""

    scope: str | None = None
    wait: int = 0

    @property
    def retry_after(self) -> int:
        """Seconds, at least one."""
        return max(1, -(-self.wait // 1000))


PASSED = Verdict()


class Buckets(Protocol):
    """A store of buckets. May raise StoreUnavailableError."""

    async def take(self, charges: Sequence[Charge]) -> Verdict:
        """Take a token from every bucket, or from none."""
        ...


@lru_cache(maxsize=8192)
def hash_key(name: str) -> str:
    """A name that a client chose, as a part of a key: of bounded length, and without revealing the name."""
    return hashlib.blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()


def client_key(principal: str, address: str) -> str:
    """Identifies a client: by its principal, else by its address (`runtime.http.client_address`).

    A session identifies nobody: a client opens as many as it likes.
    """
    return f"user:{principal}" if principal else f"at:{address}"


def charges_for(limits: Limits, client: str, tool: Tool | None) -> tuple[Charge, ...]:
    """The charges of a call, the widest bucket first. ``client`` is a `client_key`."""
    buckets = [("server", "server", limits.server)]
    if limits.per_client is not None:
        buckets.append(("client", f"client:{hash_key(client)}", limits.per_client))
    if tool is not None:
        buckets += [("tool", f"tool:{tool.name}", each.bucket) for each in limits.tools if each.tool == tool.name]
        buckets.append(("tool", f"own:{tool.name}", tool.rate_limit))
    return tuple([_charge(scope, key, bucket) for scope, key, bucket in buckets if bucket is not None])


@lru_cache(maxsize=8192)
def _charge(scope: str, key: str, bucket: Bucket) -> Charge:
    # The numbers are part of the key: a changed bucket starts full, because its parts have another size.
    return Charge(scope, f"{key}:{bucket.requests}:{period_ms(bucket)}:{bucket.capacity}", bucket)


def period_ms(bucket: Bucket) -> int:
    """The period in milliseconds."""
    return max(1, round(bucket.period * 1000))


class MemoryBuckets:
    """`Buckets` of one replica. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], limit: int = MAX_BUCKETS) -> None:
        self._monotonic = monotonic
        self._limit = limit
        # The least recently used first.
        self._levels: dict[str, tuple[int, int, Bucket]] = {}
        # The keys of those that are still to be looked at, the last one first.
        self._unseen: list[str] = []

    async def take(self, charges: Sequence[Charge]) -> Verdict:
        """See `Buckets.take`."""
        now = int(self._monotonic() * 1000)
        levels = [self._level(charge.key, charge.bucket, now) for charge in charges]
        empty = [(c, level) for c, level in zip(charges, levels, strict=True) if level < period_ms(c.bucket)]
        if empty:
            wait = max(-((level - period_ms(c.bucket)) // c.bucket.requests) for c, level in empty)
            return Verdict(empty[0][0].scope, wait)
        for charge, level in zip(charges, levels, strict=True):
            self._levels.pop(charge.key, None)
            self._levels[charge.key] = (level - period_ms(charge.bucket), now, charge.bucket)
        if len(self._levels) > self._limit - self._limit // 10:
            self._evict(now)
        return PASSED

    def _level(self, key: str, bucket: Bucket, now: int) -> int:
        full = bucket.capacity * period_ms(bucket)
        level, updated, _ = self._levels.get(key, (full, now, bucket))
        return min(full, level + (now - updated) * bucket.requests)

    def _evict(self, now: int) -> None:
        """Remove full buckets, which equal unused ones; at the limit also those that were unused for longest.

        It looks at some of them, for all would take too long.
        """
        levels = self._levels
        if not self._unseen:
            self._unseen = list(reversed(levels))
        for key in [self._unseen.pop() for _ in range(min(LOOKED_AT, len(self._unseen)))]:
            bucket = levels[key][2] if key in levels else None
            if bucket is not None and self._level(key, bucket, now) >= bucket.capacity * period_ms(bucket):
                del levels[key]
        if len(levels) > self._limit:
            for key in list(islice(levels, max(1, self._limit // 1000))):
                del levels[key]


class Limiter:
    """``on_failure`` is called for every call that could not be counted."""

    def __init__(self, buckets: Buckets, on_failure: Callable[[], None]) -> None:
        self._buckets = buckets
        self._on_failure = on_failure
        # By client and name of the tool, with the limits and the tool for which they hold.
        self._known: dict[tuple[str, str], tuple[Limits, Tool | None, tuple[Charge, ...]]] = {}

    async def admit(self, limits: Limits, client: str, tool: Tool | None) -> Verdict:
        """Charge a call. If the store is unavailable, ``onStoreFailure`` decides: Open passes, Closed raises."""
        known = self._known.get((client, tool.name if tool is not None else ""))
        if known is not None and known[0] is limits and known[1] is tool:
            # The same call of a client has the same charges until there is another catalog.
            charges = known[2]
        else:
            charges = self._find_charges(limits, client, tool)
        if not charges:
            return PASSED
        try:
            return await self._buckets.take(charges)
        except StoreUnavailableError:
            self._on_failure()
            if limits.on_store_failure == "Closed":
                raise
            return PASSED

    def _find_charges(self, limits: Limits, client: str, tool: Tool | None) -> tuple[Charge, ...]:
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        charges = charges_for(limits, client, tool)
        self._known[client, tool.name if tool is not None else ""] = (limits, tool, charges)
        return charges
