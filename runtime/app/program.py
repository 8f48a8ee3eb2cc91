"""The MCP server as a process: catalog, sessions, two ports, drain."""

from __future__ import annotations

import asyncio
import logging
import random  # noqa: TID251 -- this is the rim: jitter of a watch, no secret
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from cluster import probes, resources
from cluster.clock import Clock
from cluster.informers.informer import Informer
from cluster.pod import PodTransport
from crd.published.settings import CONFIG_MAPS, SECRETS
from runtime.app.catalog_store import Holder
from runtime.app.endpoint import Endpoint
from runtime.app.methods import Protocol
from runtime.auth import jwks
from runtime.auth.gatekeeper import Gatekeeper
from runtime.auth.jwks import KeySets
from runtime.backends.dispatch import Backends
from runtime.backends.http_mapping import mapping, replies
from runtime.backends.mcp.client import McpUpstream
from runtime.backends.secret_files import SecretFiles
from runtime.http import rest, server
from runtime.http.client import Upstream
from runtime.mcp.lists import Schemas
from runtime.state.limits import Buckets, Limiter, MemoryBuckets
from runtime.state.redis import Redis, RedisBuckets, RedisSessions
from runtime.state.sessions import MemorySessions, SessionStore
from runtime.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from runtime.app.compiled import Serving
    from runtime.mcp.context import Context
    from runtime.state.redis import Options

__all__ = ["Settings", "run"]


@dataclass(frozen=True, slots=True)
class Settings:
    """``config_map`` in ``namespace`` is watched if the API server is named; the directory is read at the start."""

    catalog_dir: Path
    namespace: str = ""
    config_map: str | None = None
    host: str = "0.0.0.0"  # noqa: S104 -- a pod's server
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


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then drain."""
    metrics = Metrics()

    def swapped(serving: Serving) -> None:
        metrics.swaps.inc()
        metrics.tools.set(len(serving.tools))
        logging.getLogger().setLevel(serving.catalog.settings.log_level.upper())

    holder = Holder(swapped, Schemas(mapping.listed_input_schema, replies.listed_output_schema))
    holder.read(settings.catalog_dir)
    files = SecretFiles(settings.secrets_dir, settings.config_maps_dir)
    upstream = Upstream(files, allow_loopback=settings.allow_loopback)
    mcp = McpUpstream(upstream, mint=_mint)
    backends = Backends(files, upstream, mcp, monotonic=time.monotonic, jitter=random.random, mint=_mint)
    connection = _redis(settings)
    front = _front(settings, holder, backends, connection, metrics, stop)
    health = await probes.serve(_health(holder, metrics, stop), settings.host, settings.health_port)
    watch = asyncio.create_task(_watch(settings, holder))
    runner = web.AppRunner(server.application(front), access_log=None, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.TCPSite(runner, settings.host, settings.port).start()
        await stop.wait()
        await _drained(front, settings.drain_seconds)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await runner.cleanup()
        await health.cleanup()
        await backends.close()
        if connection is not None:
            await connection.close()


def _mint() -> str:
    return secrets.token_urlsafe(24)


def _redis(settings: Settings) -> Redis | None:
    return Redis(settings.redis, monotonic=time.monotonic, jitter=random.random) if settings.redis else None


def _front(
    settings: Settings,
    holder: Holder,
    backends: Backends,
    connection: Redis | None,
    metrics: Metrics,
    stop: asyncio.Event,
) -> server.Front:
    stores: dict[str, SessionStore] = {"Memory": MemorySessions(time.monotonic)}
    buckets: Buckets = MemoryBuckets(time.monotonic)
    if connection is not None:
        stores["Redis"] = RedisSessions(connection, settings.key_prefix)
        buckets = RedisBuckets(connection, settings.key_prefix)
    limiter = Limiter(buckets, metrics.uncounted.inc)
    # The one place where a token's time is compared with the day's.
    unix_time = time.time  # noqa: TID251 -- this is the rim
    gatekeeper = Gatekeeper(settings.secrets_dir, KeySets(jwks.fetch, time.monotonic), unix_time)

    async def entered(current: Serving, request: web.Request, path: str, context: Context) -> web.Response:
        return await rest.enter(current, backends, request, path, context)

    return server.Front(
        holder,
        gatekeeper,
        Endpoint(Protocol(backends), stores, limiter, metrics, _mint),
        entered,
        limiter,
        metrics,
        mint=_mint,
        monotonic=time.monotonic,
        draining=stop.is_set,
    )


async def _drained(front: server.Front, seconds: float) -> None:
    """Serve on until the endpoints have been told that we leave, then until the calls in progress are done."""
    deadline = time.monotonic() + seconds
    await asyncio.sleep(min(5.0, seconds))
    while front.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 -- ends within seconds, once in a life
        await asyncio.sleep(0.05)


async def _watch(settings: Settings, holder: Holder) -> None:
    if not (settings.config_map and settings.api_host and settings.api_directory):
        return
    transport = PodTransport(settings.api_directory, settings.api_host, settings.api_port)
    try:
        # The catalog is taken out of each manifest at once, and nothing of it kept here.
        await Informer(
            transport,
            resources.CONFIG_MAPS,
            holder.put,
            namespace=settings.namespace,
            field_selector=f"metadata.name={settings.config_map}",
            clock=Clock(time.monotonic, asyncio.sleep, random.random),
        ).run()
    finally:
        await transport.close()


def _health(holder: Holder, metrics: Metrics, stop: asyncio.Event) -> web.Application:
    def unready() -> str | None:
        if stop.is_set():
            return "draining"
        return (holder.error or "no catalog yet") if holder.serving is None else None

    async def statusz(_request: web.Request) -> web.Response:
        serving = holder.serving
        return web.json_response(
            {
                "digest": serving.digest if serving else None,
                "tools": len(serving.tools) if serving else 0,
                "prompts": len(serving.prompts) if serving else 0,
                "resources": len(serving.catalog.resources) + len(serving.catalog.http_resources) if serving else 0,
                "error": holder.error,
            }
        )

    app = probes.application(metrics.registry, unready)
    app.router.add_get("/statusz", statusz)
    return app
