"""The MCP server as a process: catalog, sessions, two ports, graceful shutdown."""

from __future__ import annotations

import asyncio
import gc
import logging
import random  # noqa: TID251 -- the entry point of the process; jitter, not a secret
import resource
import secrets
import time
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from cluster import probes, resources
from cluster.clock import Clock
from crd.published.settings import CATALOG_SUFFIX, CONFIG_MAPS, SECRETS
from runtime.app.catalog_store import CatalogStore
from runtime.auth import tokens
from runtime.auth.authenticator import Authenticator
from runtime.auth.jwks import Fetcher, KeySets
from runtime.backends.dispatch import Dispatcher
from runtime.backends.mcp import pin_watch
from runtime.backends.mcp.client import McpClient
from runtime.backends.mcp.pin_watch import PinWatch
from runtime.backends.secret_files import SecretFiles
from runtime.http import responses, rest, server
from runtime.http.client import HttpClient
from runtime.http.endpoint import Endpoint
from runtime.http.streams import MAX_STREAMS, Streams
from runtime.mcp.methods import Methods
from runtime.state.limits import Buckets, Limiter, MemoryBuckets
from runtime.state.sessions import MemorySessions, SessionStore
from runtime.telemetry.access_log import AccessLog, write_to_stderr
from runtime.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cluster.listener import Listener
    from cluster.message import Request, Response
    from cluster.probes import Page
    from runtime.app.catalog_store import Trust
    from runtime.app.compiled import CompiledCatalog
    from runtime.backends.mcp.client import Eras
    from runtime.mcp.context import Context
    from runtime.state.redis import Redis
    from runtime.state.redis_servers import Options
    from runtime.telemetry.call_record import Tracer
    from runtime.telemetry.traces import Traces

__all__ = ["Settings", "run"]


logger = logging.getLogger(__name__)

# Seconds until what failed is started again, and between two looks at a directory.
RESTART, POLL = 1.0, 5.0
# Seconds until no Service leads here any more.
LINGER = 5.0
# Seconds without a byte after which a connection is closed when the streams are about to end, and until clients know.
QUIET, SETTLE = 0.5, 0.5
# Seconds within which all streams end.
SPREAD = 10.0
# Seconds to wait at start for the version of the newest catalog.
ANSWER = 3.0
# Seconds for which the last spans may be sent: at least, and at most.
FLUSH = 1.0, 5.0
# File descriptors for all else than streams: connections of clients and to backends, files.
OTHER_FILES = 3000
# What /statusz says at most; the controller reads 4 KiB.
STATUS_BYTES = 3500
# Of these, for the verdicts on pinned tools.
PIN_ROOM = 1500


@dataclass(frozen=True, slots=True)
class Settings:
    """The catalog in ``catalog_dir`` is read at start. ``config_map`` is watched if ``api_host`` is set.

    With ``trust`` the catalog must be signed. Backends are Services of ``cluster_domain``; ``allow_loopback`` adds
    loopback addresses, for local use. The keys of token issuers are fetched over https; with ``jwks_over_http`` those
    of Services of the cluster over http, too. ``probe_seconds`` lie between two comparisons of pinned tools with the
    list of their MCP server. With ``traces``, spans are exported as the environment says.
    """

    catalog_dir: Path
    namespace: str = ""
    config_map: str | None = None
    host: str = "0.0.0.0"  # noqa: S104 -- a pod serves on all its addresses
    port: int = 8080
    health_port: int = 9090
    redis: Options | None = None
    key_prefix: str = "mcp:"
    secrets_dir: Path = Path(SECRETS)
    config_maps_dir: Path = Path(CONFIG_MAPS)
    drain_seconds: float = 27.0
    api_host: str | None = None
    api_port: int = 443
    api_directory: Path | None = None
    allow_loopback: bool = False
    trust: Trust | None = None
    cluster_domain: str = "cluster.local"
    jwks_over_http: bool = False
    probe_seconds: float = pin_watch.INTERVAL
    traces: bool = False


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then drain."""
    # A call leaves nothing behind for the cyclic collector, not even a failed one, so it may look more seldom. To look
    # at 20,000 objects at once would stop all calls for up to 20 ms.
    gc.set_threshold(5_000, 20, 100)
    metrics = Metrics()
    # Tokens expire by wall-clock time; everything else uses the monotonic clock.
    unix_time = time.time  # noqa: TID251 -- the entry point of the process

    def apply(compiled: CompiledCatalog) -> None:
        metrics.swaps.inc()
        metrics.loaded.set(unix_time())
        metrics.tools.set(len(compiled.tools))
        metrics.keep_tools(compiled.tools)
        dispatcher.keep_tools(compiled.tools)
        watch.keep(compiled.catalog.tools)
        streams.apply(compiled)
        logging.getLogger().setLevel(compiled.catalog.settings.log_level.upper())
        if compiled.catalog.settings.auth.type == "JWT":
            # In a thread, it stops no request.
            asyncio.get_running_loop().run_in_executor(None, tokens.load)

    catalog_store = CatalogStore(
        apply, trust=settings.trust, on_rejection=lambda reason: metrics.rejected.labels(reason).inc()
    )
    files = SecretFiles(settings.secrets_dir, settings.config_maps_dir, time.monotonic)
    http = HttpClient(files, cluster_domain=settings.cluster_domain, allow_loopback=settings.allow_loopback)
    redis = _connect(settings.redis) if settings.redis else None
    authenticator = _authenticator(settings, unix_time)
    stores = _stores(redis, settings.key_prefix)
    streams = Streams(
        authenticator,
        stores,
        now=unix_time,
        monotonic=time.monotonic,
        on_notify=lambda kind: metrics.notified.labels(kind.value).inc(),
        limit=min(MAX_STREAMS, max(0, _open_files(MAX_STREAMS + OTHER_FILES) - OTHER_FILES)),
    )
    mcp = McpClient(http, new_id=_new_id, eras=_shared_eras(redis, settings.key_prefix))
    dispatcher = Dispatcher(
        files,
        http,
        mcp,
        monotonic=time.monotonic,
        jitter=random.random,
        new_id=_new_id,
        verdict=lambda tool: watch.verdict(tool),
        on_fault=lambda fault: metrics.count_failed_call(fault.code, fault.fate),
        on_retry=lambda fault: metrics.retries.labels(fault.code).inc(),
        on_open=metrics.breakers_opened.inc,
    )
    watch = _pin_watch(settings, mcp, files, redis, metrics)
    metrics.breakers.set_function(lambda: float(len(dispatcher.open_circuits())))
    metrics.drifted.set_function(lambda: float(watch.drifted()))
    metrics.streams.set_function(lambda: float(len(streams)))
    metrics.is_stale.set_function(lambda: float(catalog_store.error is not None))
    newest = asyncio.create_task(_require_newest(settings, catalog_store, unix_time))
    # An API server that does not answer keeps no pod from starting.
    await asyncio.wait((newest,), timeout=ANSWER)
    catalog_store.read(settings.catalog_dir)
    # The first catalog and the code live as long as the process. The garbage collector need not look at them. Later
    # catalogs are left to it: a collection would stop the loop.
    gc.collect()
    gc.freeze()
    traces = _export_traces(settings, metrics, unix_time) if settings.traces else None
    app = _app(
        settings, catalog_store, dispatcher, redis, metrics, stop, unix_time, authenticator, stores, streams, traces
    )
    metrics.in_progress.set_function(lambda: float(app.in_progress))
    health = await probes.serve(
        _health(catalog_store, metrics, stop, dispatcher, redis, watch, streams), settings.host, settings.health_port
    )
    tasks = [
        newest,
        asyncio.create_task(_supervise("the watch of the catalog", partial(_watch, settings, catalog_store), metrics)),
        asyncio.create_task(_supervise("the loading of the catalog", catalog_store.work, metrics)),
        asyncio.create_task(_supervise("the comparison of pinned tools", watch.run, metrics)),
        asyncio.create_task(_supervise("the notification of streams", streams.follow, metrics)),
        asyncio.create_task(_supervise("the upkeep of streams", streams.keep_alive, metrics)),
    ]
    listener: Listener | None = None
    try:
        listener = await server.listen(app, settings.host, settings.port)
        await stop.wait()
        deadline = time.monotonic() + settings.drain_seconds
        await _drain(app, streams, settings.drain_seconds)
        if traces is not None:
            # Of the time that is left, and a little at least.
            left = min(FLUSH[1], max(FLUSH[0], deadline - time.monotonic()))
            await asyncio.to_thread(traces.close, left)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if listener is not None:
            await listener.close(1.0)
        # The lines of the last calls.
        app.access_log.flush()
        await health.close()
        await mcp.close()
        await dispatcher.close()
        if redis is not None:
            await redis.close()


def _pin_watch(
    settings: Settings, mcp: McpClient, files: SecretFiles, redis: Redis | None, metrics: Metrics
) -> PinWatch:
    shared = None
    if redis is not None:
        from runtime.state.redis import RedisVerdicts

        shared = RedisVerdicts(redis, settings.key_prefix)
    return PinWatch(
        mcp,
        lambda sources: tuple(files.header(source) for source in sources),
        monotonic=time.monotonic,
        jitter=random.random,
        shared=shared,
        interval=settings.probe_seconds,
        on_probe=lambda result: metrics.probes.labels(result).inc(),
    )


def _connect(options: Options) -> Redis:
    # Its driver is large, and most servers have no Redis.
    from runtime.state.redis import Redis

    return Redis(options, monotonic=time.monotonic, jitter=random.random)


def _shared_eras(redis: Redis | None, prefix: str) -> Eras | None:
    if redis is None:
        return None
    from runtime.state.redis_eras import RedisEras

    return RedisEras(redis, prefix)


def _export_traces(settings: Settings, metrics: Metrics, unix_time: Callable[[], float]) -> Traces:
    # The SDK is large, and most servers export nothing.
    from runtime.telemetry.traces import Traces

    def count(outcome: str, number: int) -> None:
        metrics.spans.labels(outcome).inc(number)

    return Traces(count, now=unix_time, monotonic=time.monotonic, cluster_domain=settings.cluster_domain)


def _new_id() -> str:
    return secrets.token_urlsafe(24)


def _request_ids() -> Callable[[], str]:
    """Ids that tell the requests of all pods apart. They need not be hard to guess."""
    prefix, numbers = secrets.token_hex(6), count(1)
    return lambda: f"{prefix}-{next(numbers):x}"


def _open_files(wanted: int) -> int:
    """How many files this process may open. The limit is raised to ``wanted`` as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        return soft
    return wanted


def _authenticator(settings: Settings, unix_time: Callable[[], float]) -> Authenticator:
    fetcher = Fetcher(
        cluster_domain=settings.cluster_domain,
        allow_http=settings.jwks_over_http,
        allow_loopback=settings.allow_loopback,
    )
    return Authenticator(settings.secrets_dir, KeySets(fetcher.fetch, time.monotonic), unix_time, time.monotonic)


def _stores(redis: Redis | None, prefix: str) -> dict[str, SessionStore]:
    stores: dict[str, SessionStore] = {"Memory": MemorySessions(time.monotonic)}
    if redis is not None:
        from runtime.state.redis import RedisSessions

        stores["Redis"] = RedisSessions(redis, prefix)
    return stores


def _app(
    settings: Settings,
    catalog_store: CatalogStore,
    dispatcher: Dispatcher,
    redis: Redis | None,
    metrics: Metrics,
    stop: asyncio.Event,
    unix_time: Callable[[], float],
    authenticator: Authenticator,
    stores: Mapping[str, SessionStore],
    streams: Streams,
    tracer: Tracer | None = None,
) -> server.App:
    buckets: Buckets = MemoryBuckets(time.monotonic)
    if redis is not None:
        from runtime.state.redis import RedisBuckets

        buckets = RedisBuckets(redis, settings.key_prefix)
    limiter = Limiter(buckets, metrics.uncounted.inc)

    async def answer_rest(
        compiled: CompiledCatalog, request: Request, path: str, body: bytes, context: Context
    ) -> Response:
        return await rest.answer(compiled, dispatcher, request, path, body, context)

    return server.App(
        catalog_store,
        authenticator,
        Endpoint(Methods(dispatcher), stores, limiter, metrics, streams, _new_id),
        answer_rest,
        limiter,
        metrics,
        AccessLog(write_to_stderr, unix_time),
        new_id=_request_ids(),
        monotonic=time.monotonic,
        now=unix_time,
        draining=stop.is_set,
        tracer=tracer,
    )


async def _drain(app: server.App, streams: Streams, seconds: float) -> None:
    """Keep serving until the endpoints of the Service no longer list this pod, then until all requests are done.

    Streams end in between: whoever listens again reaches another pod. It would not over a connection that the client
    has kept from before, so these are closed first. All on which something came during the time to linger were closed
    with the answer.
    """
    deadline = time.monotonic() + seconds
    await asyncio.sleep(min(LINGER, seconds))
    app.connections.close_quiet(QUIET)
    await asyncio.sleep(max(0.0, min(SETTLE, deadline - time.monotonic())))
    await streams.drain(min(SPREAD, max(0.0, deadline - time.monotonic()) / 2))
    while app.open_requests and time.monotonic() < deadline:  # noqa: ASYNC110 -- once per process, bounded by the deadline
        await asyncio.sleep(0.05)


async def _supervise(
    name: str,
    work: Callable[[], Awaitable[None]],
    metrics: Metrics,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Do work that never ends, and begin it again if it does."""
    while True:
        try:
            await work()
            logger.error("%s ended; it is started again in %g s", name, RESTART)
        except Exception:
            logger.exception("%s failed; it is started again in %g s", name, RESTART)
        metrics.restarts.inc()
        await sleep(RESTART)


async def _watch(settings: Settings, catalog_store: CatalogStore) -> None:
    """Load the catalog whenever it changes: in the API, or without one in its directory."""
    if not (settings.config_map and settings.api_host and settings.api_directory):
        await _follow(settings.catalog_dir, catalog_store)
        return
    # What asks the API server is large. A server of a local catalog does not.
    from cluster.informers.informer import Informer
    from cluster.pod import PodTransport

    transport = PodTransport(settings.api_directory, settings.api_host, settings.api_port)
    try:
        # The catalog is loaded from each manifest at once. The informer keeps no copy.
        await Informer(
            transport,
            resources.CONFIG_MAPS,
            catalog_store.submit,
            namespace=settings.namespace,
            field_selector=f"metadata.name={settings.config_map}",
            clock=Clock(time.monotonic, asyncio.sleep, random.random),
        ).run()
    finally:
        await transport.close()


async def _require_newest(settings: Settings, catalog_store: CatalogStore, seconds: Callable[[], float]) -> None:
    """Let no catalog be loaded that is older than the newest one by the status of the server."""
    trust, name = settings.trust, settings.config_map
    if trust is None or name is None or settings.api_host is None or settings.api_directory is None:
        return
    from cluster.pod import PodTransport
    from runtime.app import newest_version

    transport = PodTransport(settings.api_directory, settings.api_host, settings.api_port)
    try:
        lowest = await newest_version.learn(
            transport,
            namespace=settings.namespace,
            server=name.removesuffix(CATALOG_SUFFIX),
            uid=trust.server_uid,
            seconds=seconds,
        )
        if lowest is not None:
            catalog_store.require(lowest)
    except Exception:
        # Without it, the pod serves what it would have served before there was such a rule.
        logger.exception("the newest version of the catalog cannot be learned")
    finally:
        await transport.close()


async def _follow(
    directory: Path, catalog_store: CatalogStore, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Load the catalog of a directory again when its files have changed."""
    seen = catalog_store.seen(directory)
    while True:
        await sleep(POLL)
        found = catalog_store.seen(directory)
        if found != seen:
            seen = found
            catalog_store.reread(directory)


def _health(
    catalog_store: CatalogStore,
    metrics: Metrics,
    stop: asyncio.Event,
    dispatcher: Dispatcher | None = None,
    redis: Redis | None = None,
    watch: PinWatch | None = None,
    streams: Streams | None = None,
) -> dict[str, Page]:
    """Probes, metrics, and ``/statusz``: the catalog in force, by which the controller goes, and what is wrong."""

    def unready() -> str | None:
        if stop.is_set():
            return "draining"
        return (catalog_store.error or "no catalog is loaded yet") if catalog_store.compiled is None else None

    async def statusz() -> Response:
        compiled = catalog_store.compiled
        catalog = compiled.catalog if compiled else None
        status: dict[str, Any] = {
            "digest": compiled.digest if compiled else None,
            "tools": len(catalog.tools) if catalog else 0,
            "prompts": len(catalog.prompts) if catalog else 0,
            "resources": len(catalog.resources) + len(catalog.http_resources) if catalog else 0,
            "error": catalog_store.error and catalog_store.error[:500],
            "redis": None if redis is None else redis.failure or "available",
            "streams": len(streams) if streams is not None else 0,
        }
        if watch is not None:
            room = (STATUS_BYTES - len(orjson.dumps(status))) // 2
            status["pins"] = watch.status(min(PIN_ROOM, room))
        if dispatcher is not None:
            # The controller reads a few kilobytes. What does not fit is counted.
            room = STATUS_BYTES - len(orjson.dumps(status))
            circuits, faults = dispatcher.open_circuits(), dispatcher.last_faults()
            status["circuits"], room = _fit(circuits, room // 2), room // 2
            status["faults"] = _fit(faults, room)
            status["omitted"] = len(circuits) + len(faults) - len(status["circuits"]) - len(status["faults"])
        return responses.json_response(orjson.dumps(status))

    def describe_rejection() -> str | None:
        return f"the newest catalog was rejected: {catalog_store.error}" if catalog_store.error else None

    return {**probes.pages(metrics.registry, unready, note=describe_rejection), "/statusz": statusz}


def _fit(members: Mapping[str, Any], room: int) -> dict[str, Any]:
    """The first members, as many as fit into ``room`` bytes of JSON."""
    kept: dict[str, Any] = {}
    for name, value in members.items():
        room -= len(orjson.dumps({name: value}))
        if room < 0:
            break
        kept[name] = value
    return kept
