"""The webhook as a process: watches, certificate, server, drain."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- this is the rim: jitter of watches, no secret
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from certs import leaf
from cluster import client, probes
from cluster.clock import Clock
from cluster.informers import informer as informers
from webhook import server, watches
from webhook.ledger import Ledgers
from webhook.live_snapshot import Memory
from webhook.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from certs.tls import HotContext
    from cluster.transport import Transport

__all__ = ["Settings", "run"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """``hosts`` are further names the certificate holds; ``drain_seconds`` how long a leaving pod goes on serving."""

    namespace: str
    service: str = "mcp-operator-webhook"
    ca_secret: str = "mcp-operator-ca"  # noqa: S105 -- a name, not a secret
    host: str = "0.0.0.0"  # noqa: S104 -- a pod's server
    port: int = 8443
    health_port: int = 9090
    hosts: tuple[str, ...] = ()
    context: str | None = None
    kubeconfig: Path | None = None
    drain_seconds: float = 10.0


def utc() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)  # noqa: TID251 -- this is the rim


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then drain."""
    transport = await client.connect(settings.context, settings.kubeconfig)
    try:
        await _serve(settings, transport, stop)
    finally:
        await transport.close()


async def _serve(settings: Settings, transport: Transport, stop: asyncio.Event) -> None:
    memory, metrics = Memory(time.monotonic), Metrics()
    clock = Clock(time.monotonic, asyncio.sleep, random.random)
    watched = list(watches.informers(transport, memory, clock, metrics.watch_ended).values())
    keeper = leaf.Keeper(
        transport,
        namespace=settings.namespace,
        name=settings.ca_secret,
        hosts=leaf.names(settings.service, settings.namespace, settings.hosts),
        now=utc,
    )

    def unready() -> str | None:
        metrics.objects.set(len(memory.snapshot))
        metrics.staleness.set(max(informer.silent_for() for informer in watched))
        return informers.unready(watched)

    def out_of_service() -> str | None:
        if stop.is_set():
            return "draining"
        return "no certificate yet" if keeper.context is None else unready()

    ledgers = Ledgers(transport, settings.namespace, now=lambda: utc().timestamp(), jitter=random.random)
    hook = server.Hook(transport, memory, metrics, ledgers, unready=unready, draining=stop.is_set)
    probed = probes.application(metrics.registry, out_of_service)
    health = await probes.serve(probed, settings.host, settings.health_port)
    tasks = [asyncio.create_task(informer.run()) for informer in watched]
    try:
        context = await _unless(stop, keeper.first())
        if context is not None:
            tasks.append(asyncio.create_task(keeper.run()))
            await _answer(settings, hook, context, stop)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await health.cleanup()


async def _answer(settings: Settings, hook: server.Hook, context: HotContext, stop: asyncio.Event) -> None:
    """Serve until told to stop, and then for as long as the API server may still come to a pod that leaves."""
    runner = web.AppRunner(server.application(hook), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=context.outer).start()
        await stop.wait()
        await asyncio.sleep(settings.drain_seconds)
    finally:
        await runner.cleanup()


async def _unless(stop: asyncio.Event, wanted: Coroutine[Any, Any, T]) -> T | None:
    """The result, or None if ``stop`` is set before it is there."""
    task, stopped = asyncio.ensure_future(wanted), asyncio.ensure_future(stop.wait())
    await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        return task.result()
    task.cancel()
    return None
