"""The MCP server as a process: catalog, sessions, two ports, drain."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- this is the rim: jitter of a watch, no secret
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from cluster import probes, resources
from cluster.pod import PodTransport
from cluster.reflector import Reflector
from runtime import redis, server
from runtime.catalog import Holder
from runtime.metrics import Metrics
from runtime.protocol import Protocol
from runtime.sessions import MemorySessions, SessionStore
from runtime.upstream import Upstream

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.serving import Serving

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
    redis_host: str | None = None
    redis_port: int = 6379
    key_prefix: str = "mcp:"
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

    holder = Holder(swapped)
    holder.read(settings.catalog_dir)
    upstream = Upstream(allow_loopback=settings.allow_loopback)
    stores: dict[str, SessionStore] = {"Memory": MemorySessions(time.monotonic)}
    connection = redis.connect(settings.redis_host, settings.redis_port) if settings.redis_host else None
    if connection is not None:
        stores["Redis"] = redis.RedisSessions(connection, settings.key_prefix)
    front = _front(holder, upstream, stores, metrics, stop)
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
        await upstream.close()
        if connection is not None:
            await connection.aclose()


def _front(
    holder: Holder, upstream: Upstream, stores: dict[str, SessionStore], metrics: Metrics, stop: asyncio.Event
) -> server.Front:
    return server.Front(
        holder,
        upstream,
        Protocol(upstream),
        stores,
        metrics,
        mint=lambda: secrets.token_urlsafe(24),
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
        await Reflector(
            transport,
            resources.CONFIG_MAPS,
            holder,
            namespace=settings.namespace,
            field_selector=f"metadata.name={settings.config_map}",
            monotonic=time.monotonic,
            jitter=random.random,
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
                "resources": len(serving.resources) if serving else 0,
                "error": holder.error,
            }
        )

    app = probes.application(metrics.registry, unready)
    app.router.add_get("/statusz", statusz)
    return app
