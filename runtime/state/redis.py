"""Redis as the store of sessions and rate limits. Commands have a timeout; failures are StoreUnavailableErrors."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import redis.asyncio as driver
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from crd import addresses
from runtime.state import limits
from runtime.state.limits import PASSED, Verdict
from runtime.state.sessions import PER_CLIENT, Session, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from runtime.state.limits import Charge

__all__ = ["Options", "Redis", "RedisBuckets", "RedisSessions"]

TIMEOUT = 1.0
CONNECTIONS = 64

# Takes from all buckets of a call, by the clock of Redis, which all replicas share. The arithmetic is that of
# `runtime.state.limits`. Lua numbers are exact below 2^53, and are written without an exponent.
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
    """How to connect. Without ``ca_file``, TLS trusts the certificate authorities of the system.

    ``credentials`` is a folder (a mounted Secret) with the files ``password`` and, optionally, ``username``. They are
    read for every connection, so a rotated password applies to the next one.
    A host that is a Service of ``cluster_domain`` is resolved by its absolute name. Addresses that
    `crd.addresses` forbids are not connected; ``allow_loopback`` allows loopback addresses.
    """

    host: str
    port: int = 6379
    db: int = 0
    tls: bool = False
    ca_file: Path | None = None
    credentials: Path | None = None
    cluster_domain: str = "cluster.local"
    allow_loopback: bool = False


class _MountedCredentials(CredentialProvider):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """See `CredentialProvider`."""
        username, password = self._folder / "username", (self._folder / "password").read_text().strip()
        name = username.read_text().strip() if username.is_file() else ""
        return (name, password) if name else (password,)


class _GuardedConnection(driver.Connection):
    """Connects to the address that was checked, so no other answer of the resolver can take its place."""

    guarded: Options
    _address = ""

    async def _connect(self) -> None:
        host = self.host
        if addresses.is_service(host, self.guarded.cluster_domain):
            host = addresses.absolute_name(host, self.guarded.cluster_domain)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.socket_connect_timeout):
            found = await loop.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        for index, (*_, address) in enumerate(found):
            self._address = str(address[0])
            fault = addresses.find_fault(self._address, allow_loopback=self.guarded.allow_loopback)
            if fault is not None:
                raise RedisConnectionError(f"{self._address} is {fault}, which must not be called")
            try:
                await super()._connect()  # type: ignore[no-untyped-call]
            except OSError:
                if index == len(found) - 1:
                    raise
            else:
                return

    def _connection_arguments(self) -> Mapping[str, Any]:
        given = {**super()._connection_arguments(), "host": self._address}
        # The certificate is that of the name.
        return {**given, "server_hostname": self.host} if "ssl" in given else given


class _GuardedTlsConnection(_GuardedConnection, driver.SSLConnection):
    """The same with TLS."""


class Redis:
    """A connection pool. Connections are made at first use, and again after a failure.

    A refused connection costs no time, but a timeout does. So after a timeout all commands fail at once for about
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
        security: dict[str, Any] = {"ssl_check_hostname": True} if options.tls else {}
        if options.ca_file is not None and options.tls:
            security["ssl_ca_certs"] = str(options.ca_file)
        if options.credentials is not None:
            security["credential_provider"] = _MountedCredentials(options.credentials)
        kind = _GuardedTlsConnection if options.tls else _GuardedConnection
        pool = driver.ConnectionPool(
            connection_class=type(kind.__name__, (kind,), {"guarded": options}),
            host=options.host,
            port=options.port,
            db=options.db,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=15,
            max_connections=CONNECTIONS,
            # One retry: a pooled connection may have been closed by a restart of Redis.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            decode_responses=True,
            **security,
        )
        self._client = driver.Redis.from_pool(pool)
        self._monotonic = monotonic
        self._jitter = jitter
        self._timeout = timeout
        self._suspended_until = 0.0
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def run(self, command: Callable[[driver.Redis], Awaitable[T]]) -> T:
        """The result of a command. Raises StoreUnavailableError; at once, if Redis has just timed out."""
        try:
            # Wait for a free connection, so that a burst of calls does not count as a failure of Redis.
            async with self._connections:
                remaining = self._suspended_until - self._monotonic()
                if remaining > 0:
                    raise StoreUnavailableError(f"Redis timed out; retrying in {max(0.1, round(remaining, 1)):g} s")
                return await command(self._client)
        except (RedisTimeoutError, TimeoutError) as error:
            pause = self._timeout * (0.5 + self._jitter())
            self._suspended_until = self._monotonic() + pause
            message = f"Redis did not answer within {self._timeout:g} s; retrying in {max(0.1, round(pause, 1)):g} s"
            raise StoreUnavailableError(message) from error
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"Redis: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


# KEYS: the prefix of the session's key, the client's set. ARGV: identifier, version, ttl in ms, sessions per client.
_CREATE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local excess = redis.call('ZCARD', KEYS[2]) - ARGV[4] + 1
if excess > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[2], excess)
  for i = 1, #gone, 2 do redis.call('DEL', KEYS[1] .. gone[i]) end
end
redis.call('HSET', KEYS[1] .. ARGV[1], 'version', ARGV[2], 'client', KEYS[2])
redis.call('PEXPIRE', KEYS[1] .. ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
"""
# KEYS: the session. ARGV: identifier, ttl in ms. Returns the version.
_USE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HMGET', KEYS[1], 'version', 'client')
if not found[1] then return false end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if found[2] then
  redis.call('ZADD', found[2], 'XX', now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', found[2], ARGV[2])
end
return found[1]
"""


class RedisSessions:
    """A `SessionStore` that all replicas share. Each session is a hash with a time to live.

    The identifiers of a client's sessions are a sorted set, by the time at which each expires.
    """

    def __init__(self, redis: Redis, prefix: str, per_client: int = PER_CLIENT) -> None:
        self._redis = redis
        self._prefix = prefix
        self._per_client = per_client

    async def create(self, identifier: str, session: Session, ttl: float, *, client: str) -> None:
        """See `SessionStore.create`."""
        own = f"{self._prefix}sessions:{limits.hash_key(client)}"
        keys = [self._key("", session.principal), own]
        values: list[str | int] = [identifier, session.version, int(ttl * 1000), self._per_client]

        async def run_script(redis: driver.Redis) -> None:
            await redis.register_script(_CREATE)(keys=keys, args=values)

        await self._redis.run(run_script)

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """See `SessionStore.use`."""
        keys = [self._key(identifier, principal)]
        values: list[str | int] = [identifier, int(ttl * 1000)]

        async def run_script(redis: driver.Redis) -> str | None:
            version: str | None = await redis.register_script(_USE)(keys=keys, args=values)
            return version

        version = await self._redis.run(run_script)
        return Session(version, principal) if version else None

    async def end(self, identifier: str, principal: str) -> bool:
        """See `SessionStore.end`."""
        return bool(await self._redis.run(lambda redis: redis.delete(self._key(identifier, principal))))

    def _key(self, identifier: str, principal: str) -> str:
        """The key of a session. It contains the principal, so that no other principal finds the session."""
        return f"{self._prefix}session:{limits.hash_key(principal)}:{identifier}"


class RedisBuckets:
    """`Buckets` that all replicas share."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def take(self, charges: Sequence[Charge]) -> Verdict:
        """See `Buckets.take`."""
        keys = [f"{self._prefix}limit:{charge.key}" for charge in charges]
        numbers = [
            number
            for bucket in (charge.bucket for charge in charges)
            for number in (bucket.requests, limits.period_ms(bucket), bucket.capacity * limits.period_ms(bucket))
        ]

        async def run_script(redis: driver.Redis) -> list[int]:
            answer: list[int] = await redis.register_script(_TAKE)(keys=keys, args=numbers)
            return answer

        refused, wait = await self._redis.run(run_script)
        return Verdict(charges[refused - 1].scope, wait) if refused else PASSED
