"""Applies as clients send them, and who refused them: the API server itself, or the product."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster import client, objects
from cluster.transport import ApiError, Transport
from tests.faults.replicas import NAMESPACE, Replica, tool
from tests.threads import meanwhile

if TYPE_CHECKING:
    import threading

    from scripts.localcluster import Cluster

UNANSWERED = (TimeoutError, OSError)


async def connected(cluster: Cluster, body: Callable[[Transport], Awaitable[Any]]) -> Any:
    """What ``body`` returns, called with a connection of the administrator."""
    transport = await client.connect(None, cluster.kubeconfig)
    try:
        return await body(transport)
    finally:
        await transport.close()


async def refusal(transport: Transport, manifest: dict[str, Any], *, dry_run: bool = False) -> str | None:
    """None if the object was admitted, else why not."""
    try:
        await objects.create(transport, manifest, dry_run=dry_run)
    except ApiError as error:
        return f"{error.status} {error.message}"
    except UNANSWERED as error:
        return f"{type(error).__name__} {error}"
    return None


async def create_all(
    cluster: Cluster, manifests: list[dict[str, Any]], at_once: int, *, interval: float = 0.0
) -> list[str | None]:
    """Create objects, so many at once and one every ``interval`` seconds: for each why it was refused, or None."""
    gate = asyncio.Semaphore(at_once)

    async def create_each(transport: Transport) -> list[str | None]:
        async def create(manifest: dict[str, Any]) -> str | None:
            try:
                return await refusal(transport, manifest)
            finally:
                gate.release()

        tasks = []
        for manifest in manifests:
            await gate.acquire()
            tasks.append(asyncio.create_task(create(manifest)))
            await asyncio.sleep(interval)
        return list(await asyncio.gather(*tasks))

    answers: list[str | None] = await connected(cluster, create_each)
    return answers


@dataclass
class Recovery:
    """Answers to applies after an outage, by seconds since the API server has admitted one that we are not asked of."""

    admitted: list[float] = field(default_factory=list)
    refused: list[tuple[float, str]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long we refused what the API server admitted."""
        return max((at for at, _ in self.refused), default=0.0)


async def recovery(transport: Transport, shop: str, *, going_on: float = 4.0, within: float = 180.0) -> Recovery:
    """Apply five times a second, as a dry run, until ``going_on`` seconds after both applies were admitted once.

    In the operator's own namespace no webhook is asked: what is admitted there the API server itself can do.
    """
    found = Recovery()
    alone, asked = tool(NAMESPACE, "probe", "probe"), tool(shop, "probe", "probe")
    since: float | None = None
    deadline = time.monotonic() + within
    end: float | None = None
    while end is None or time.monotonic() < end:
        if since is None:
            if await refusal(transport, alone, dry_run=True) is None:
                since = time.monotonic()
        else:
            sent = time.monotonic() - since
            why = await refusal(transport, asked, dry_run=True)
            if why is None:
                found.admitted.append(sent)
                end = end or time.monotonic() + going_on
            else:
                found.refused.append((sent, why))
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing was admitted within {within:.0f} s: {found}")
        await asyncio.sleep(0.2)
    return found


@contextmanager
def readiness(replicas: list[Replica], interval: float = 0.1) -> Iterator[list[str]]:
    """The names of the logs of replicas that were not ready meanwhile, once for each time they were asked."""
    unready: list[str] = []

    def ask(stop: threading.Event) -> None:
        while not stop.wait(interval):
            unready.extend(replica.log.name for replica in replicas if not replica.ready())

    with meanwhile(ask):
        yield unready
