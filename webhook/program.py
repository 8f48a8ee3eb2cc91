"""The webhook as a process: watches, certificate, server, drain."""

from __future__ import annotations

import asyncio
import gc
import random  # noqa: TID251 -- this is the rim: jitter of watches, no secret
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from certs import leaf
from certs.issued import IssuedKeeper
from cluster import client, objects, resources
from cluster.access import AccessReviews
from cluster.clock import Clock
from cluster.informers import collector
from cluster.informers import informer as informers
from cluster.listener import Listener
from crd import fields
from webhook import closing, placement, watches
from webhook.health import Health
from webhook.ledger import Ledgers
from webhook.live_snapshot import LiveSnapshot
from webhook.metrics import Metrics
from webhook.object_cache import ObjectCache
from webhook.object_processes import ObjectProcesses
from webhook.reader import Reader
from webhook.reviewer import Reviewer
from webhook.rights import RequesterRights
from webhook.server import Hook
from webhook.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from certs.keeper import Keeper
    from certs.tls import HotContext
    from cluster.transport import Transport
    from webhook.rights import Mode

__all__ = ["Settings", "run", "spare_collector"]

T = TypeVar("T")

# Seconds for what is in progress when the drain is over: longer than an API server waits for an answer by default.
ENDING_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Settings:
    """``ca_secret`` holds the CA that signs the certificates, and the keys of the paths. With ``certificate_secret``,
    somebody else issues the certificate and writes it there, and ``path_secret`` holds the keys of the paths.

    ``hosts`` are further names the certificate holds; ``drain_seconds`` how long a leaving pod goes on serving.

    On ``next_port`` the same application serves with a certificate of the next CA; without it, no CA can be proved.
    ``ingress_annotations`` are allowed beyond the built-in list. With ``namespaced_hosts``, an annotation of the
    Namespace must list the host of an Ingress. With ``namespaces``, these are all that is watched and judged, and Roles
    there are enough. With ``client_ca``, a file, callers need a certificate of this CA; with ``client_names``, one of
    these names too.
    """

    namespace: str
    service: str = "mcp-operator-webhook"
    ca_secret: str = "mcp-operator-ca"  # noqa: S105 -- a name, not a secret
    certificate_secret: str | None = None
    path_secret: str = "mcp-operator-path"  # noqa: S105 -- a name, not a secret
    host: str = "0.0.0.0"  # noqa: S104 -- a pod's server
    port: int = 8443
    next_port: int | None = None
    health_port: int = 9090
    hosts: tuple[str, ...] = ()
    context: str | None = None
    kubeconfig: Path | None = None
    drain_seconds: float = 10.0
    requester_rights: Mode = "Warn"
    ingress_annotations: tuple[str, ...] = ()
    namespaced_hosts: bool = False
    namespaces: tuple[str, ...] = ()
    client_ca: Path | None = None
    client_names: tuple[str, ...] = ()


def utc() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)  # noqa: TID251 -- this is the rim


def spare_collector() -> None:
    """Let the cyclic garbage collector run less often, and never for long.

    A review makes some thousand objects that reference counting frees. By default the collector would look at them
    twice a review, which takes a third of its time. Of 20,000 objects at once, a collection takes up to 20 ms.
    """
    gc.set_threshold(2_000, 10, 100)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then drain."""
    spare_collector()
    metrics = Metrics()
    transport = await client.connect(settings.context, settings.kubeconfig, refresh_failed=metrics.refresh_failures.inc)
    try:
        await _serve(settings, transport, metrics, stop)
    finally:
        await transport.close()


async def _serve(settings: Settings, transport: Transport, metrics: Metrics, stop: asyncio.Event) -> None:
    fields.prepare()
    live = LiveSnapshot(time.monotonic)
    clock = Clock(time.monotonic, asyncio.sleep, random.random)
    cache = ObjectCache()
    watched = watches.informers(transport, live, clock, metrics.watch_ended, settings.namespaces, cache.fact_of)
    keeper = _keeper(settings, transport)

    def unready() -> str | None:
        return informers.unready([*watched.values()])

    listening = asyncio.Event()

    def out_of_service() -> str | None:
        metrics.objects.set(len(live.current))
        metrics.staleness.set(max(informer.silent_for() for informer in watched.values()))
        if stop.is_set():
            return "draining"
        if keeper.context is None:
            return "no certificate yet"
        return unready() or (None if listening.is_set() else "not listening yet")

    async def prepare() -> tuple[HotContext, HotContext]:
        """The TLS contexts, once there is a CA and everything has been listed, however long that takes."""
        contexts = await keeper.first()
        for informer in watched.values():
            await informer.synced.wait()
        return contexts

    processes = ObjectProcesses(exceeded=metrics.exceeded.inc)
    reader, slices = Reader(transport, live, watched), Slices()
    ledgers = Ledgers(
        transport, live, reader, slices, settings.namespace, now=lambda: utc().timestamp(), jitter=random.random
    )
    rights = RequesterRights(
        AccessReviews(transport, now=time.monotonic, local=bool(settings.namespaces)),
        mode=settings.requester_rights,
        annotations=settings.ingress_annotations,
        read_namespace=partial(objects.get, transport, resources.NAMESPACES, None)
        if settings.namespaced_hosts
        else None,
    )
    hook = Hook(
        Reviewer(live, reader, ledgers, rights, slices),
        processes,
        metrics,
        unready=unready,
        draining=stop.is_set,
        accepts=keeper.keys.accepts,
        client_names=settings.client_names,
        namespaces=settings.namespaces,
        cache=cache,
    )
    health = Health(metrics.registry, out_of_service, time.monotonic)
    health.start(settings.host, settings.health_port)
    processes.start()
    tasks = [
        asyncio.create_task(coroutine)
        for coroutine in (
            health.run(),
            collector.keep_short(asyncio.sleep),
            *(informer.run() for informer in watched.values()),
        )
    ]
    try:
        contexts = await _unless(stop, prepare())
        if contexts is not None:
            tasks += [asyncio.create_task(keeper.run()), asyncio.create_task(placement.keep_up(live, slices))]
            await _answer(settings, hook, contexts, listening, stop)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await processes.stop()
        await ledgers.stop()
        await health.stop()


def _keeper(settings: Settings, transport: Transport) -> Keeper:
    if settings.certificate_secret is not None:
        return IssuedKeeper(
            transport,
            namespace=settings.namespace,
            name=settings.certificate_secret,
            keys_name=settings.path_secret,
            now=utc,
            client_ca=settings.client_ca,
        )
    return leaf.SigningKeeper(
        transport,
        namespace=settings.namespace,
        name=settings.ca_secret,
        hosts=leaf.names(settings.service, settings.namespace, settings.hosts),
        now=utc,
        client_ca=settings.client_ca,
    )


async def _answer(
    settings: Settings,
    hook: Hook,
    contexts: tuple[HotContext, HotContext],
    listening: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Serve until told to stop, and then for as long as the API server may still come to a pod that leaves.

    From then on every answer closes its connection, and those that wait are closed early, while a new one still finds
    the port open. At the end nothing is accepted any more, and what is in progress is completed.
    """
    connections = hook.connections()
    closes = asyncio.create_task(hook.close_waiting(connections, asyncio.sleep))
    listeners: list[Listener] = []
    try:
        for port, context in zip((settings.port, settings.next_port), contexts, strict=True):
            if port is not None:
                listeners.append(Listener(connections))
                await listeners[-1].start(settings.host, port, context.outer)
        listening.set()
        await stop.wait()
        await asyncio.sleep(settings.drain_seconds)
        for listener in listeners:
            await listener.stop_accepting()
        await closing.until_closed(connections, ENDING_SECONDS, asyncio.sleep)
    finally:
        closes.cancel()
        await asyncio.gather(*(listener.close(ENDING_SECONDS) for listener in listeners))


async def _unless(stop: asyncio.Event, wanted: Coroutine[Any, Any, T]) -> T | None:
    """The result, or None if ``stop`` is set before it is there."""
    task, stopped = asyncio.ensure_future(wanted), asyncio.ensure_future(stop.wait())
    await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        return task.result()
    task.cancel()
    return None
