"""The one door to Redis. Nothing waits long for it, and whatever it does wrong is a StoreUnavailableError."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import redis.asyncio as client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from runtime.sessions import Session, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["RedisSessions", "connect"]

TIMEOUT = 1.0

T = TypeVar("T")


def connect(host: str, port: int) -> client.Redis:
    """A pooled connection; made at first use, and again after a failure."""
    return client.Redis(
        host=host,
        port=port,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        health_check_interval=15,
        max_connections=64,
        # One try anew: a pooled connection may have died with the Redis before.
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
    )


class RedisSessions:
    """A `SessionStore` that any replica shares: one hash a session, with a time to live."""

    def __init__(self, redis: client.Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def create(self, identifier: str, session: Session, ttl: float) -> None:
        """See `SessionStore.create`."""
        key = self._key(identifier)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping={"version": session.version})
            pipe.pexpire(key, int(ttl * 1000))
            await _asked(pipe.execute())

    async def use(self, identifier: str, ttl: float) -> Session | None:
        """See `SessionStore.use`."""
        key = self._key(identifier)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(key)
            pipe.pexpire(key, int(ttl * 1000))
            stored, _ = await _asked(pipe.execute())
        return Session(stored["version"]) if stored else None

    async def end(self, identifier: str) -> bool:
        """See `SessionStore.end`."""
        return bool(await _asked(self._redis.delete(self._key(identifier))))

    def _key(self, identifier: str) -> str:
        return f"{self._prefix}session:{identifier}"


async def _asked(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailableError(f"Redis: {type(error).__name__}: {error}") from error
