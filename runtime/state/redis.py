"""The one door to Redis. Nothing waits long for it, and whatever it does wrong is a StoreUnavailableError."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import redis.asyncio as client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.state import limits
from runtime.state.limits import PASSED, Verdict
from runtime.state.sessions import Session, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from runtime.state.limits import Charge

__all__ = ["Options", "Redis", "RedisBuckets", "RedisSessions"]

TIMEOUT = 1.0
CONNECTIONS = 64

# Every bucket of a call, on the one clock that all replicas share. The arithmetic is that of `runtime.state.limits`;
# numbers of Lua are exact below 2^53, and written without an exponent.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local levels, refused, wait = {}, 0, 0
for i, key in ipairs(KEYS) do
  local requests, period, full = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local stored = redis.call('HMGET', key, 'level', 'at')
  levels[i] = full
  if stored[1] then
    levels[i] = math.min(full, stored[1] + math.max(0, now - stored[2]) * requests)
  end
  if levels[i] < period then
    if refused == 0 then refused = i end
    wait = math.max(wait, math.ceil((period - levels[i]) / requests))
  end
end
if refused > 0 then return {refused, wait} end
for i, key in ipairs(KEYS) do
  local requests, period, full = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local level = levels[i] - period
  redis.call('HSET', key, 'level', string.format('%.0f', level), 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', key, string.format('%.0f', math.ceil((full - level) / requests) + 1000))
end
return {0, 0}
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """Where Redis is. ``ca_file`` is for TLS; without it the system's authorities count.

    ``credentials`` is a folder (a mounted Secret) with the files ``username``, which may be missing, and ``password``;
    they are read at every connection, so that a rotated password counts.
    """

    host: str
    port: int = 6379
    db: int = 0
    tls: bool = False
    ca_file: Path | None = None
    credentials: Path | None = None


class _Mounted(CredentialProvider):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """See `CredentialProvider`."""
        username, password = self._folder / "username", (self._folder / "password").read_text().strip()
        name = username.read_text().strip() if username.is_file() else ""
        return (name, password) if name else (password,)


class Redis:
    """A pooled connection: made at first use, and again after a failure.

    A Redis that refuses costs nothing. One that is silent costs a time-out, so it is then left alone for about
    ``timeout`` seconds. ``monotonic`` gives seconds, ``jitter`` a number from 0 to 1.
    """

    def __init__(
        self,
        options: Options,
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        timeout: float = TIMEOUT,
    ) -> None:
        secured: dict[str, Any] = {"ssl": True, "ssl_check_hostname": True} if options.tls else {}
        if options.ca_file is not None and options.tls:
            secured["ssl_ca_certs"] = str(options.ca_file)
        if options.credentials is not None:
            secured["credential_provider"] = _Mounted(options.credentials)
        self._client = client.Redis(
            host=options.host,
            port=options.port,
            db=options.db,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=15,
            max_connections=CONNECTIONS,
            # One try anew: a pooled connection may have died with the Redis before.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            decode_responses=True,
            **secured,
        )
        self._monotonic = monotonic
        self._jitter = jitter
        self._timeout = timeout
        self._silent_until = 0.0
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, question: Callable[[client.Redis], Awaitable[T]]) -> T:
        """The answer to a question. Raises StoreUnavailableError, at once while Redis is left alone."""
        try:
            # Whoever finds no connection free waits for one: else a burst would be counted as a failure of Redis.
            async with self._free:
                if self._monotonic() < self._silent_until:
                    raise StoreUnavailableError("Redis: silent a moment ago")
                return await question(self._client)
        except (RedisTimeoutError, TimeoutError) as error:
            self._silent_until = self._monotonic() + self._timeout * (0.5 + self._jitter())
            raise StoreUnavailableError(f"Redis: silent for {self._timeout:g} s") from error
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"Redis: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class RedisSessions:
    """A `SessionStore` that any replica shares: one hash a session, with a time to live."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def create(self, identifier: str, session: Session, ttl: float) -> None:
        """See `SessionStore.create`."""
        key = self._key(identifier, session.principal)

        async def question(redis: client.Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.hset(key, mapping={"version": session.version})
                pipe.pexpire(key, int(ttl * 1000))
                await pipe.execute()

        await self._redis.ask(question)

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """See `SessionStore.use`."""
        key = self._key(identifier, principal)

        async def question(redis: client.Redis) -> dict[str, str]:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(key)
                pipe.pexpire(key, int(ttl * 1000))
                stored, _ = await pipe.execute()
                found: dict[str, str] = stored
                return found

        stored = await self._redis.ask(question)
        return Session(stored["version"], principal) if stored else None

    async def end(self, identifier: str, principal: str) -> bool:
        """See `SessionStore.end`."""
        return bool(await self._redis.ask(lambda redis: redis.delete(self._key(identifier, principal))))

    def _key(self, identifier: str, principal: str) -> str:
        """A session is bound to its principal by its key; a principal may be any text, so its digest stands there."""
        who = hashlib.blake2b(principal.encode(errors="replace"), digest_size=16).hexdigest()
        return f"{self._prefix}session:{who}:{identifier}"


class RedisBuckets:
    """`Buckets` that all replicas share, on the clock of Redis."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def take(self, wanted: Sequence[Charge]) -> Verdict:
        """See `Buckets.take`."""
        keys = [f"{self._prefix}limit:{charge.key}" for charge in wanted]
        numbers = [
            number
            for bucket in (charge.bucket for charge in wanted)
            for number in (bucket.requests, limits.period(bucket), bucket.capacity * limits.period(bucket))
        ]

        async def question(redis: client.Redis) -> list[int]:
            answer: list[int] = await redis.register_script(_TAKE)(keys=keys, args=numbers)
            return answer

        refused, wait = await self._redis.ask(question)
        return Verdict(wanted[refused - 1].scope, wait) if refused else PASSED
