"""The controller as a process: watches, leader election, workers, the admission hook's upkeep."""

from __future__ import annotations

import asyncio
import logging
import random  # noqa: TID251 -- an entry point: jitter of watches, no secret
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

import aiohttp

from cluster import client, objects, probes, resources
from cluster.clock import Clock
from cluster.election import Election
from cluster.informers import collector, informer
from cluster.workqueue import Workqueue
from controller.cache import Cache
from controller.installation.condition import STANDBY, PodCondition
from controller.installation.installer import SETTLING, Installer
from controller.installation.registration import Injected, ServiceTarget, UrlTarget
from controller.metrics import Metrics
from controller.pods import DirectPods, ProxiedPods
from controller.reconciler import Reconciler
from controller.signing.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from cluster.transport import Transport
    from crd.ref import Ref

__all__ = ["Settings", "pod_arguments", "run"]

logger = logging.getLogger(__name__)

# Those of the program in the pods, too.
DEFAULT_DOMAIN = "cluster.local"
DEFAULT_PROBE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """``pod`` is the name of this pod, which shows whether admission is in force; None outside a cluster.

    ``runtime_image`` is the image of servers that name none; without it, that of this very pod.

    ``webhook_url`` is set where the webhook runs as a process, outside the cluster; ``webhook_next_url`` is where that
    process serves a certificate of the next CA, and ``ca_settling_seconds`` how long the proof of that CA has to hold.
    With ``inject_ca_from``, a Certificate of cert-manager in the operator's namespace, there is no CA of ours:
    cert-manager writes the bundle into the configurations, and ``path_secret`` holds the keys of their paths.
    ``cluster_domain``, ``jwks_over_http`` and ``probe_seconds`` are passed on to the pods of all servers. With
    ``namespaces``, these are all that is watched, Roles there are enough, and an administrator installs the webhook
    configurations.
    """

    namespace: str
    identity: str
    pod: str | None = None
    runtime_image: str | None = None
    lease: str = "mcp-operator-controller"
    ca_secret: str = "mcp-operator-ca"  # noqa: S105 -- a name, not a secret
    inject_ca_from: str | None = None
    path_secret: str = "mcp-operator-path"  # noqa: S105 -- a name, not a secret
    keys_secret: str = "mcp-operator-catalog-keys"  # noqa: S105 -- a name, not a secret
    working_key_days: float = 90
    webhook_service: str = "mcp-operator-webhook"
    webhook_url: str | None = None
    webhook_next_url: str | None = None
    ca_settling_seconds: float = SETTLING.total_seconds()
    host: str = "0.0.0.0"  # noqa: S104 -- a pod's server
    health_port: int = 9090
    context: str | None = None
    kubeconfig: Path | None = None
    pod_access: Literal["direct", "proxy"] = "direct"
    cluster_domain: str = DEFAULT_DOMAIN
    jwks_over_http: bool = False
    probe_seconds: float = DEFAULT_PROBE_SECONDS
    namespaces: tuple[str, ...] = ()


def utc() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)  # noqa: TID251 -- an entry point


def pod_arguments(settings: Settings) -> tuple[str, ...]:
    """The arguments of the program in the pods that are the same for every server. Defaults are left out."""
    domain = () if settings.cluster_domain == DEFAULT_DOMAIN else ("--cluster-domain", settings.cluster_domain)
    seconds = settings.probe_seconds
    probes = () if seconds == DEFAULT_PROBE_SECONDS else ("--probe-seconds", f"{seconds:g}")
    return (*domain, *(("--jwks-over-http",) if settings.jwks_over_http else ()), *probes)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop`` is set; the lease is given back on the way out."""
    metrics = Metrics()
    transport = await client.connect(settings.context, settings.kubeconfig, refresh_failed=metrics.refresh_failures.inc)
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            await _work(settings, transport, session, metrics, stop)
    finally:
        await transport.close()


async def _work(
    settings: Settings, transport: Transport, session: aiohttp.ClientSession, metrics: Metrics, stop: asyncio.Event
) -> None:
    queue: Workqueue[Ref] = Workqueue()
    clock = Clock(time.monotonic, asyncio.sleep, random.random)
    leading = False

    def resign() -> None:
        """After a change of the keys: every catalog gets a new signature and, with a new root, new pods."""
        if leading:
            for ref in cache.servers():
                queue.add(ref, resync=True)

    keyring = Keyring(
        transport,
        namespace=settings.namespace,
        name=settings.keys_secret,
        lifetime=timedelta(days=settings.working_key_days),
        now=utc,
        clock=clock,
        changed=resign,
    )
    cache = Cache(
        transport,
        queue.add,
        later=partial(queue.add, resync=True),
        keys=lambda: keyring.keys,
        clock=clock,
        seconds=lambda: utc().timestamp(),
        count=metrics.watch_ended,
        foreign=lambda plural: metrics.foreign.labels(plural).inc(),
        namespaces=settings.namespaces,
    )

    # That of the term in which this process leads.
    installer: Installer | None = None

    async def lead() -> None:
        nonlocal installer, leading
        await keyring.refresh()
        pods = DirectPods(session) if settings.pod_access == "direct" else ProxiedPods(transport)
        image = settings.runtime_image or await _own_image(transport, settings)
        reconciler = Reconciler(
            transport,
            cache,
            queue,
            pods,
            metrics,
            keyring=keyring,
            image=image,
            identity=settings.identity,
            now=utc,
            arguments=pod_arguments(settings),
            jitter=random.random,
        )
        metrics.leader.set(1)
        leading = True
        try:
            async with asyncio.TaskGroup() as group:
                installer = _installer(settings, transport, metrics, clock)
                group.create_task(installer.run())
                for each in cache.informers:
                    await each.synced.wait()
                group.create_task(reconciler.run())
        finally:
            metrics.leader.set(0)
            leading, installer = False, None

    pages = probes.pages(
        metrics.registry,
        lambda: informer.unready(cache.informers),
        note=lambda: installer.trouble if installer else None,
    )
    health = await probes.serve(pages, settings.host, settings.health_port)

    async def watch() -> None:
        # What the informers see is judged by the keys.
        await keyring.open()
        upkeep = keyring.maintain(lead=lambda: leading)
        await asyncio.gather(*(each.run() for each in cache.informers), cache.endpoints.run(), upkeep)

    tasks = [
        asyncio.create_task(collector.keep_short(asyncio.sleep), name="the garbage collector"),
        asyncio.create_task(watch(), name="the watch of objects and keys"),
        asyncio.create_task(_run_forever(settings, transport, lead), name="the election"),
    ]
    if settings.pod is not None:
        condition = PodCondition(
            transport,
            namespace=settings.namespace,
            name=settings.pod,
            state=lambda: installer.state if installer else STANDBY,
            now=utc,
            clock=clock,
        )
        tasks.append(asyncio.create_task(condition.run(), name="the condition of the pod"))
    try:
        await _wait(stop, tasks)
    finally:
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await health.close()


async def _wait(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for ``stop``. None of the tasks ends by itself: if one does, raise, so that the process is started again."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((stopped, *tasks), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    for task in tasks:
        if task.done():
            raise RuntimeError(f"{task.get_name()} has ended, which it never does") from task.exception()


async def _run_forever(settings: Settings, transport: Transport, lead: Callable[[], Awaitable[None]]) -> None:
    """Take part in the election, lead while elected, and again; also after an unexpected exception."""
    election = Election(
        transport,
        namespace=settings.namespace,
        name=settings.lease,
        identity=settings.identity,
        monotonic=time.monotonic,
        now=utc,
    )
    while True:
        try:
            await election.run(lead)
        except Exception:
            logger.exception("leading ended by an exception; taking part in the election again")
            await asyncio.sleep(1)


def _installer(settings: Settings, transport: Transport, metrics: Metrics, clock: Clock) -> Installer:
    url = settings.webhook_url
    certificate = settings.inject_ca_from
    injected = Injected(settings.namespace, certificate) if certificate else None
    return Installer(
        transport,
        namespace=settings.namespace,
        secret_name=settings.path_secret if injected else settings.ca_secret,
        injected=injected,
        target=UrlTarget(url, settings.webhook_next_url or url)
        if url
        else ServiceTarget(settings.namespace, settings.webhook_service),
        identity=settings.identity,
        metrics=metrics,
        now=utc,
        clock=clock,
        settling=timedelta(seconds=settings.ca_settling_seconds),
        namespaces=settings.namespaces,
    )


async def _own_image(transport: Transport, settings: Settings) -> str:
    """The image of this pod, which is named like the identity. Raises RuntimeError if there is no such pod."""
    pod = await objects.get(transport, resources.PODS, settings.namespace, settings.identity)
    if pod is None:
        raise RuntimeError(
            f"no pod {settings.namespace}/{settings.identity}: name the image of the servers with --runtime-image"
        )
    return str(pod["spec"]["containers"][0]["image"])
