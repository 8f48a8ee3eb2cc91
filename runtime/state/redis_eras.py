"""The eras of backends that speak MCP, known to all replicas: one of them asks a backend, the others wait for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from runtime.state.limits import hash_key
from runtime.state.redis import Script
from runtime.state.sessions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runtime.state.redis import Redis

__all__ = ["RedisEras"]

# Milliseconds for which one replica is expected to ask, and seconds between two looks of the others.
CLAIM, LOOK = 2000, 0.05

# KEYS: the era, the claim. ARGV: milliseconds of a claim. Returns the era with its remaining time, or who is to ask.
_FIND = Script("""
local era = redis.call('GET', KEYS[1])
if era then return {era, redis.call('PTTL', KEYS[1])} end
if redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[1]) then return {'ask', 0} end
return {'wait', redis.call('PTTL', KEYS[2])}
""")
# KEYS: the era, the claim. ARGV: the era, milliseconds for which it holds; without them only the claim ends.
_PUT = Script("""
if ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('DEL', KEYS[2])
""")


class RedisEras:
    """Implements `runtime.backends.mcp.client.Eras`. Without Redis each replica asks for itself."""

    def __init__(self, redis: Redis, prefix: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._redis = redis
        self._prefix = f"{{{prefix}}}era:"
        self._sleep = sleep

    async def find(self, name: str) -> tuple[bool, float] | None:
        """See `Eras.find`."""
        with contextlib.suppress(StoreUnavailableError):
            for _ in range(int(CLAIM / 1000 / LOOK)):
                found, left = await self._redis.run_script(_FIND, self._keys(name), [CLAIM])
                if found not in ("ask", "wait"):
                    return found == "modern", left / 1000
                if found == "ask":
                    break
                await self._sleep(LOOK)
        return None

    async def put(self, name: str, *, is_modern: bool, seconds: float) -> None:
        """See `Eras.put`."""
        values: list[str | int] = ["modern" if is_modern else "legacy", int(seconds * 1000)]
        with contextlib.suppress(StoreUnavailableError):
            await self._redis.run_script(_PUT, self._keys(name), values)

    async def give_up(self, name: str) -> None:
        """See `Eras.give_up`."""
        with contextlib.suppress(StoreUnavailableError):
            await self._redis.run_script(_PUT, self._keys(name), [])

    def _keys(self, name: str) -> list[str]:
        key = f"{self._prefix}{hash_key(name)}"
        return [key, f"{key}:claim"]
