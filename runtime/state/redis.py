"""Redis as the store of sessions and rate limits. Commands have a timeout; failures are StoreUnavailableErrors."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import redis.asyncio as driver
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from crd import addresses
from runtime.state import limits
from runtime.state.limits import PASSED, Verdict
from runtime.state.pipeline import Pipeline, pack
from runtime.state.sessions import PER_CLIENT, Session, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from runtime.state.limits import Charge

__all__ = ["Options", "Redis", "RedisBuckets", "RedisSessions", "RedisVerdicts"]

TIMEOUT = 1.0
CONNECTIONS = 64


class Script:
    """A Lua script, and the digest by which Redis knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


# Takes from all buckets of a call, by the clock of Redis, which all replicas share. The arithmetic is that of
# `runtime.state.limits`. Lua numbers are exact below 2^53, and are written without an exponent.
_TAKE = Script("""
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
""")

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
        target = {
            "connection_class": type(kind.__name__, (kind,), {"guarded": options}),
            "host": options.host,
            "port": options.port,
            "db": options.db,
            "socket_connect_timeout": timeout,
            "decode_responses": True,
            **security,
        }
        pool = driver.ConnectionPool(
            socket_timeout=timeout,
            max_connections=CONNECTIONS,
            # One retry: a pooled connection may have been closed by a restart of Redis.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            **target,
        )
        self._client = driver.Redis.from_pool(pool)
        # The pipeline has deadlines of its own, and sees at once when Redis closes the connection.
        single = driver.ConnectionPool(socket_timeout=None, retry=Retry(NoBackoff(), 0), **target)
        self._pipeline = Pipeline(single.make_connection(), timeout)  # type: ignore[no-untyped-call]
        self._monotonic = monotonic
        self._jitter = jitter
        self._timeout = timeout
        self._suspended_until = 0.0
        # What the last command failed with; None if it succeeded, or if there was none.
        self.failure: str | None = None
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def run(self, command: Callable[[driver.Redis], Awaitable[T]]) -> T:
        """The result of a command. Raises StoreUnavailableError; at once, if Redis has just timed out."""
        try:
            # Wait for a free connection, so that a burst of calls does not count as a failure of Redis.
            async with self._connections:
                self._check_suspension()
                result = await command(self._client)
        except (RedisTimeoutError, TimeoutError) as error:
            raise self._suspend() from error
        except (RedisError, OSError) as error:
            raise self._fail(error) from error
        self.failure = None
        return result

    async def run_script(self, script: Script, keys: Sequence[str], values: Sequence[str | int]) -> Any:
        """The result of a script, which is loaded into Redis when it is not there. Raises like `run`."""
        return await self.run_packed(script, keys, values, pack("EVALSHA", script.digest, len(keys), *keys, *values))

    async def run_packed(self, script: Script, keys: Sequence[str], values: Sequence[str | int], packed: bytes) -> Any:
        """Like `run_script`. ``packed`` is the command that runs the script by its digest."""
        self._check_suspension()
        try:
            try:
                result = await self._pipeline.execute_packed(packed)
            except NoScriptError:
                result = await self._pipeline.execute("EVAL", script.text, len(keys), *keys, *values)
        except RedisTimeoutError as error:
            raise self._suspend() from error
        except (RedisError, OSError) as error:
            raise self._fail(error) from error
        self.failure = None
        return result

    def _fail(self, error: Exception) -> StoreUnavailableError:
        self.failure = type(error).__name__
        return StoreUnavailableError(f"Redis: {type(error).__name__}: {error}")

    def _check_suspension(self) -> None:
        remaining = self._suspended_until - self._monotonic()
        if remaining > 0:
            raise StoreUnavailableError(f"Redis timed out; retrying in {max(0.1, round(remaining, 1)):g} s")

    def _suspend(self) -> StoreUnavailableError:
        pause = self._timeout * (0.5 + self._jitter())
        self._suspended_until = self._monotonic() + pause
        self.failure = "TimeoutError"
        shown = max(0.1, round(pause, 1))
        return StoreUnavailableError(f"Redis did not answer within {self._timeout:g} s; retrying in {shown:g} s")

    async def close(self) -> None:
        """Close the connections."""
        await self._pipeline.close()
        await self._client.aclose()


# KEYS: the prefix of the session's key, the client's set. ARGV: identifier, version, ttl in ms, sessions per client.
_CREATE = Script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- First: a full Redis refuses it, but no write after one that only frees memory.
redis.call('HSET', KEYS[1] .. ARGV[1], 'version', ARGV[2], 'client', KEYS[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local excess = redis.call('ZCARD', KEYS[2]) - ARGV[4] + 1
if excess > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[2], excess)
  for i = 1, #gone, 2 do redis.call('DEL', KEYS[1] .. gone[i]) end
end
redis.call('PEXPIRE', KEYS[1] .. ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
""")
# KEYS: the session. ARGV: identifier, ttl in ms. Returns the version.
_USE = Script("""
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
""")


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

        await self._redis.run_script(_CREATE, keys, values)

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """See `SessionStore.use`."""
        keys = [self._key(identifier, principal)]
        values: list[str | int] = [identifier, int(ttl * 1000)]

        version = await self._redis.run_script(_USE, keys, values)
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
        # By the identity of the charges of a call, which are remembered as one object.
        self._packed: dict[int, tuple[Sequence[Charge], list[str], list[int], bytes]] = {}
        # A hash tag: all buckets of a call lie in one slot of a Redis Cluster.
        self._tag = f"{{{prefix}}}"

    async def take(self, charges: Sequence[Charge]) -> Verdict:
        """See `Buckets.take`."""
        known = self._packed.get(id(charges))
        if known is None or known[0] is not charges:
            keys = [f"{self._tag}limit:{charge.key}" for charge in charges]
            numbers = [number for charge in charges for number in charge.numbers]
            if len(self._packed) >= limits.MAX_KNOWN:
                del self._packed[next(iter(self._packed))]
            packed = pack("EVALSHA", _TAKE.digest, len(keys), *keys, *numbers)
            known = self._packed[id(charges)] = (charges, keys, numbers, packed)
        refused, wait = await self._redis.run_packed(_TAKE, *known[1:])
        return Verdict(charges[refused - 1].scope, wait) if refused else PASSED


class RedisVerdicts:
    """`runtime.backends.mcp.pin_watch.SharedVerdicts` of all replicas."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = f"{prefix}pins:"

    async def claim(self, key: str, seconds: float) -> bool:
        """See `SharedVerdicts.claim`."""
        name, lasts = f"{self._prefix}{key}:probe", int(seconds * 1000)
        return bool(await self._redis.run(lambda redis: redis.set(name, "1", nx=True, px=lasts)))

    async def put(self, key: str, text: str, seconds: float) -> None:
        """See `SharedVerdicts.put`."""
        lasts = int(seconds * 1000)
        await self._redis.run(lambda redis: redis.set(f"{self._prefix}{key}", text, px=lasts))

    async def get(self, key: str) -> str | None:
        """See `SharedVerdicts.get`."""
        found = await self._redis.run(lambda redis: redis.get(f"{self._prefix}{key}"))
        return found if isinstance(found, str) else None
