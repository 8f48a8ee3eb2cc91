"""What the controller's work costs: ``python -m scripts.bench.controller [--quick] [--distinct]``.

An API server that keeps objects runs in a process of its own. The controller's informers and reconciler run in another
one, over real HTTPS, through the same client as in a cluster. Prints

- the CPU time of the controller from the edit of a tool until its catalog is written, on a server with 1,000 and with
  5,000 tools, and with a thousand other servers;
- for 50,000 tools of 4.5 KB and 1,000 servers, the peak memory (VmHWM), the time from the start in a settled cluster
  until there is nothing left to do, the writes meanwhile, and the longest time for which the event loop stood still.
"""

from __future__ import annotations

import argparse
import asyncio
import random  # noqa: TID251 -- jitter of watches, no secret
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from cluster.clock import Clock
from cluster.informers import collector
from cluster.pod import PodTransport
from cluster.workqueue import Workqueue
from controller import program
from controller.cache import Cache
from controller.metrics import Metrics
from controller.pods import PodReport
from controller.reconciler import Reconciler
from controller.signing.keyring import Keyring
from scripts.bench.process import Ticker, status

if TYPE_CHECKING:
    from controller.kept import KeptPod
    from crd.ref import Ref

EDITS = 21


class Counted(PodTransport):
    """Notes the writes, and the CPU time at which the last catalog was written."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory, "127.0.0.1", port)
        self.writes = 0
        self.published = asyncio.Event()
        self.published_at = 0.0

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """See `Transport.request`."""
        answer = await super().request(method, path, **options)
        if method != "GET" and "/-/" not in path:
            self.writes += 1
            if "configmaps" in path:
                self.published_at = time.process_time()
                self.published.set()
        return answer


class Synced:
    """Pods that report the published digest at once."""

    cache: Cache

    async def report(self, pod: KeptPod) -> PodReport | None:
        """See `PodReader.report`."""
        published = self.cache.published(pod.server)
        return PodReport(published.digest) if published else None


async def measure(directory: Path, port: int, edits: str | None) -> None:
    """Start, settle, and print the figures; with ``edits``, of edits of a tool of that namespace too."""
    transport, queue, metrics, ticker = Counted(directory, port), Workqueue[Any](), Metrics(), Ticker()
    pods = Synced()
    before = status("VmRSS")
    clock = Clock(time.monotonic, asyncio.sleep, random.random)

    def now() -> datetime:
        return datetime.now(UTC)  # noqa: TID251 -- an entry point

    keyring = Keyring(transport, namespace="mcp-system", name="keys", lifetime=timedelta(days=90), now=now, clock=clock)
    await keyring.open()
    cache = pods.cache = Cache(
        transport, queue.add, keys=lambda: keyring.keys, clock=clock, seconds=lambda: now().timestamp()
    )
    reconciler = Reconciler(
        transport, cache, queue, pods, metrics, keyring=keyring, image="operator:1", identity="bench", now=now
    )
    begun, cpu = time.monotonic(), time.process_time()
    tasks = [asyncio.create_task(each.run()) for each in cache.informers]
    tasks.append(asyncio.create_task(collector.keep_short(asyncio.sleep)))
    tasks.append(asyncio.create_task(ticker.run()))
    for each in cache.informers:
        await each.synced.wait()
    synced, synced_memory = time.monotonic() - begun, status("VmRSS")
    tasks.append(asyncio.create_task(reconciler.run()))
    idle_since = await idle(queue, metrics, transport)
    print(
        f"  synced after {synced:.1f} s, idle after {idle_since - begun:.1f} s, {transport.writes} writes,"
        f" {time.process_time() - cpu:.1f} s of CPU",
        f"  {before:.0f} MiB with {program.__name__} imported, {synced_memory:.0f} MiB synced, peak"
        f" {status('VmHWM'):.0f} MiB; longest computing without a pause {ticker.longest * 1000:.0f} ms",
        sep="\n",
        flush=True,
    )
    if edits:
        ticker.longest, costs, walls = 0.0, [], []
        for number in range(EDITS):
            transport.published.clear()
            started, wall = time.process_time(), time.monotonic()
            await transport.request("POST", f"/-/edit/{edits}/tool-{number * 37}")
            await transport.published.wait()
            costs.append((transport.published_at - started) * 1000)
            walls.append((time.monotonic() - wall) * 1000)
            await idle(queue, metrics, transport, quiet=0.3)
        print(
            f"  edit until published: {statistics.median(costs):.1f} ms of CPU (median of {EDITS}, at most"
            f" {max(costs):.1f}), {statistics.median(walls):.0f} ms elapsed",
            f"  longest computing without a pause {ticker.longest * 1000:.0f} ms",
            sep="\n",
            flush=True,
        )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await transport.close()


async def idle(queue: Workqueue[Ref], metrics: Metrics, transport: Counted, quiet: float = 2.0) -> float:
    """Wait until nothing is done for ``quiet`` seconds; when that began."""
    since, last = time.monotonic(), -1.0
    while time.monotonic() - since < quiet:
        families = metrics.reconciles.collect()
        done = transport.writes + sum(sample.value for family in families for sample in family.samples)
        if done != last or len(queue):
            since, last = time.monotonic(), done
        await asyncio.sleep(0.05)
    return since


def run_cluster(
    tools: int,
    per_server: int,
    further_servers: int,
    *,
    restarts: int,
    edits: str | None = None,
    distinct: bool = False,
) -> None:
    """Run a cluster and a controller on it, again for each restart."""
    with tempfile.TemporaryDirectory() as directory:
        sizes = ["--tools", str(tools), "--per-server", str(per_server), "--further-servers", str(further_servers)]
        sizes += ["--distinct"] if distinct else []
        command = [sys.executable, "-m", "scripts.bench.fake_writable_api", "--directory", directory, *sizes]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            port = process.stdout.readline().decode().strip()
            for _ in range(1 + restarts):
                own = [sys.executable, "-m", "scripts.bench.controller", "--directory", directory, "--port", port]
                subprocess.run(own + (["--edits", edits] if edits else []), check=True)
            process.terminate()


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the large cluster, and no 5,000 tools")
    parser.add_argument(
        "--distinct", action="store_true", help="no two tools of the large cluster have the same schema"
    )
    parser.add_argument("--only", choices=("edits", "world"))
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--edits", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.directory:
        uvloop.run(measure(options.directory, options.port, options.edits))
        return 0
    if options.only != "world":
        for tools, others in ((1000, 0), (1000, 1000), *(() if options.quick else ((5000, 0),))):
            print(f"a server with {tools} tools, {others} other servers", flush=True)
            run_cluster(tools, tools, others, restarts=0, edits="team-0")
    if options.only != "edits":
        tools = 5_000 if options.quick else 50_000
        print(f"{tools} tools on {tools // 50} servers: first start, then a restart in the settled cluster", flush=True)
        run_cluster(tools, 50, 0, restarts=1, distinct=options.distinct)
    return 0


if __name__ == "__main__":
    sys.exit(main())
