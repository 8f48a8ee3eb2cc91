"""Redis as the store of sessions and rate limits. Commands have a timeout; failures are StoreUnavailableErrors."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.state import limits
from runtime.state.limits import PASSED, Verdict
from runtime.state.pipeline import Pipeline, pack
from runtime.state.redis_servers import Node, Servers
from runtime.state.sessions import PER_CLIENT, Session, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.state.limits import Charge
    from runtime.state.redis_servers import Options, Resolve

logger = logging.getLogger(__name__)

__all__ = ["Redis", "RedisBuckets", "RedisSessions", "RedisVerdicts", "Script"]

# Seconds: for an answer, and about how long no other server is looked for again.
TIMEOUT, RECONNECT = 1.0, 0.1
# Seconds between two lines of the log that say what is wrong.
LOG_AGAIN = 10.0
# How often a command is sent on to another server, and to how many servers there are connections.
MAX_REDIRECTS, MAX_NODES = 5, 16
# Characters of what a server says is wrong.
MAX_SHOWN = 300
# Answers of a server that is not the master any more, or lost its cluster.
_LOST = (ReadOnlyError, ClusterDownError, MasterDownError)


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


class Redis:
    """A Redis: a server, the master that Sentinels name, or the node of a cluster that has the slot of our keys.

    A connection is made at first use, and again after a failure. All commands fail at once for about ``timeout``
    seconds after a timeout, and for a short time when another server has to be found. ``monotonic`` gives seconds,
    ``jitter`` a number from 0 to 1.
    """

    def __init__(
        self,
        options: Options,
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        timeout: float = TIMEOUT,
        resolve: Resolve | None = None,
    ) -> None:
        self._servers = Servers(options, timeout, resolve) if resolve else Servers(options, timeout)
        # By node; None is where the options lead to: in a cluster, to any of its nodes.
        self._pipelines: dict[Node | None, Pipeline] = {None: Pipeline(self._servers.connection(), timeout)}
        self._pipeline = self._pipelines[None]
        self._closing: set[asyncio.Task[None]] = set()
        self.is_cluster = options.is_cluster
        self._has_others = options.is_cluster or options.sentinels is not None
        self._monotonic = monotonic
        self._jitter = jitter
        self._timeout = timeout
        self._suspended_until, self._suspended_for = 0.0, ""
        self._log_from = 0.0
        # What the last command failed with; None if it succeeded, or if there was none.
        self.failure: str | None = None

    async def run_script(self, script: Script, keys: Sequence[str], values: Sequence[str | int]) -> Any:
        """The result of a script, which is loaded into Redis when it is not there.

        Raises StoreUnavailableError; at once, if Redis has just failed. In a cluster, all keys have the same hash tag.
        """
        return await self.run_packed(script, keys, values, pack("EVALSHA", script.digest, len(keys), *keys, *values))

    async def run(self, *words: str | int) -> Any:
        """The answer to a command. Raises like `run_script`."""
        return await self.run_packed(None, (), (), pack(*words))

    async def run_packed(
        self, script: Script | None, keys: Sequence[str], values: Sequence[str | int], packed: bytes
    ) -> Any:
        """Like `run_script`. ``packed`` is the command that runs the script by its digest."""
        self._check_suspension()
        pipeline = self._pipeline
        try:
            result = await pipeline.execute_packed(packed)
        except (NoScriptError, AskError) as error:
            full = pack("EVAL", script.text, len(keys), *keys, *values) if script is not None else packed
            result = await self._run_elsewhere(error, pipeline, packed, full)
        except (RedisError, OSError) as error:
            raise self._fail(error, pipeline) from error
        self.failure = None
        return result

    def prefixed(self, prefix: str) -> str:
        """The prefix of all keys of a server. In a cluster it is a hash tag, as all keys have to be in one slot."""
        return f"{{{prefix}}}" if self.is_cluster else prefix

    async def _run_elsewhere(self, error: RedisError, pipeline: Pipeline, packed: bytes, full: bytes) -> Any:
        """The result of a command that was not run: the server lacks the script, or another one has the slot."""
        asking = False
        for _ in range(MAX_REDIRECTS):
            if not isinstance(error, AskError):
                packed = full
            elif self.is_cluster:
                pipeline = self._find_pipeline(pipeline, error)
                # MOVED: from now on. ASK: for this command, while the slot is being moved.
                asking = not isinstance(error, MovedError)
                if not asking:
                    self._pipeline = pipeline
            else:
                break
            try:
                if asking:
                    return await pipeline.execute_asking(packed)
                return await pipeline.execute_packed(packed)
            except (NoScriptError, AskError) as another:
                error = another
            except (RedisError, OSError) as another:
                raise self._fail(another, pipeline) from another
        raise self._fail(error, pipeline)

    def _fail(self, error: Exception, pipeline: Pipeline) -> StoreUnavailableError:
        """Give up a server that cannot be used, and say what is wrong."""
        self.failure = type(error).__name__
        if self._monotonic() >= self._log_from:
            self._log_from = self._monotonic() + LOG_AGAIN
            logger.warning("Redis cannot be used: %s: %s", self.failure, str(error)[:MAX_SHOWN])
        if isinstance(error, RedisTimeoutError):
            self._leave(pipeline)
            pause = self._suspend(self._timeout, "timed out")
            return StoreUnavailableError(
                f"Redis did not answer within {self._timeout:g} s; retrying in {_shown(pause):g} s"
            )
        is_lost = isinstance(error, _LOST)
        if is_lost:
            pipeline.end_connection("the server cannot be used any more")
        if not pipeline.is_connected:
            self._leave(pipeline)
            # A refused connection costs no time. To find another server takes some.
            if is_lost or self._has_others:
                self._suspend(RECONNECT, f"failed ({self.failure})")
        hint = "" if self.is_cluster or not isinstance(error, AskError) else " (the server belongs to a Redis Cluster)"
        return StoreUnavailableError(f"Redis: {self.failure}: {error}{hint}")

    def _find_pipeline(self, asked: Pipeline, error: AskError) -> Pipeline:
        """The pipeline to the node that a redirection names."""
        # Without a host, it is that of the server which answered.
        node = Node(error.host or asked.host, error.port)
        pipeline = self._pipelines.get(node)
        if pipeline is None:
            pipeline = self._pipelines[node] = Pipeline(self._servers.connection(node), self._timeout)
            if len(self._pipelines) > MAX_NODES:
                in_use = (self._pipelines[None], self._pipeline, asked, pipeline)
                oldest = next(each for each, found in self._pipelines.items() if found not in in_use)
                task = asyncio.create_task(self._pipelines.pop(oldest).close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return pipeline

    def _leave(self, pipeline: Pipeline) -> None:
        """Of a cluster, ask any node next time which one has the slot."""
        if pipeline is self._pipeline:
            self._pipeline = self._pipelines[None]

    def _check_suspension(self) -> None:
        remaining = self._suspended_until - self._monotonic()
        if remaining > 0:
            raise StoreUnavailableError(f"Redis {self._suspended_for}; retrying in {_shown(remaining):g} s")

    def _suspend(self, seconds: float, why: str) -> float:
        """Let commands fail for about this time. Returns how long."""
        pause = seconds * (0.5 + self._jitter())
        self._suspended_until, self._suspended_for = self._monotonic() + pause, why
        return pause

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(pipeline.close() for pipeline in self._pipelines.values()), *self._closing)


def _shown(seconds: float) -> float:
    return max(0.1, round(seconds, 1))


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
# KEYS: the session. Returns the number of deleted ones.
_END = Script("return redis.call('DEL', KEYS[1])")
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
        self._prefix = redis.prefixed(prefix)
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
        return bool(await self._redis.run_script(_END, [self._key(identifier, principal)], []))

    def _key(self, identifier: str, principal: str) -> str:
        """The key of a session. It contains the principal, so that no other principal finds the session."""
        return f"{self._prefix}session:{limits.hash_key(principal)}:{identifier}"


class RedisBuckets:
    """`Buckets` that all replicas share."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        # By the identity of the charges of a call, which are remembered as one object.
        self._packed: dict[int, tuple[Sequence[Charge], list[str], list[int], bytes]] = {}
        # A hash tag: all buckets of a call are in one slot of a cluster.
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
        self._prefix = f"{redis.prefixed(prefix)}pins:"

    async def claim(self, key: str, seconds: float) -> bool:
        """See `SharedVerdicts.claim`."""
        name, lasts = f"{self._prefix}{key}:probe", int(seconds * 1000)
        return bool(await self._redis.run("SET", name, "1", "NX", "PX", lasts))

    async def put(self, key: str, text: str, seconds: float) -> None:
        """See `SharedVerdicts.put`."""
        await self._redis.run("SET", f"{self._prefix}{key}", text, "PX", int(seconds * 1000))

    async def get(self, key: str) -> str | None:
        """See `SharedVerdicts.get`."""
        found = await self._redis.run("GET", f"{self._prefix}{key}")
        return found if isinstance(found, str) else None
