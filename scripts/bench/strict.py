"""Strict changes of one namespace through two webhook processes and a real API server.

Prints the changes per second, the latency of a change, the share that each replica judged, and the bytes of the ledger
that were written for each change. A balancer between the API server and the replicas gives each connection to the next
one, as a Service does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from certs import authority, issuance, secret
from certs.authority import Authority
from cluster import client, objects, resources
from controller.installation import registration
from controller.installation.registration import UrlTarget
from scripts import localcluster
from scripts.localcluster import installation
from scripts.localcluster.ports import free_port
from webhook import ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.transport import Transport
    from scripts.localcluster import Cluster

ROOT = Path(__file__).parents[2]
HOME, SHOP = "mcp-bench", "bench-shop"
CLIENTS = 48


def tool(number: int, served: str) -> dict[str, Any]:
    """One tool of the Strict server."""
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": f"tool-{number}", "namespace": SHOP, "labels": {"app": "shop"}},
        "spec": {"name": served, "service": {"name": "orders", "port": 80}},
    }


SERVER = {
    "apiVersion": "mcp.example.com/v1alpha1",
    "kind": "MCPServer",
    "metadata": {"name": "main", "namespace": SHOP},
    "spec": {"toolSelector": {"matchLabels": {"app": "shop"}}, "integrity": "Strict"},
}


async def balance(port: int, behind: Sequence[int]) -> None:
    """Give connections to the ports behind, in turn, until standard input closes."""
    turns = cycle(behind)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", next(turns))
        with suppress(asyncio.CancelledError):
            await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer), return_exceptions=True)

    async with await asyncio.start_server(connect, "127.0.0.1", port):
        await asyncio.to_thread(sys.stdin.read)


class Replicas:
    """Two webhook processes and the balancer before them."""

    def __init__(self, cluster: Cluster) -> None:
        self.port, self.behind, self.health = free_port(), [free_port(), free_port()], [free_port(), free_port()]
        options = ("--kubeconfig", str(cluster.kubeconfig), "--namespace", HOME, "--host", "127.0.0.1")
        command = (sys.executable, "-m", "cli", "webhook", *options, "--name", "127.0.0.1", "--drain-seconds", "0.1")
        self.processes = [
            subprocess.Popen(
                (*command, "--port", str(port), "--health-port", str(health), "--next-port", str(free_port())),
                cwd=ROOT,
            )
            for port, health in zip(self.behind, self.health, strict=True)
        ]
        words = (sys.executable, "-m", "scripts.bench.strict", "--balance", str(self.port), *map(str, self.behind))
        self.balancer = subprocess.Popen(words, stdin=subprocess.PIPE, cwd=ROOT)

    def judged(self) -> list[int]:
        """How many changes each replica has judged."""
        counts = []
        for port in self.health:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            found = re.findall(
                r'^mcp_operator_admission_reviews_total\{.*webhook="validate".*\} ([0-9.]+)', text, re.MULTILINE
            )
            counts.append(int(sum(map(float, found))))
        return counts

    def stop(self) -> None:
        """End the processes."""
        self.balancer.communicate(timeout=10)
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=30)


def cpu_seconds() -> dict[str, float]:
    """What the processes of this benchmark have used so far, by what they are."""
    found: dict[str, float] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_text().split("\0")
            stat = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        text = " ".join(words)
        if HOME in words or "bench-strict" in text or "scripts.bench.strict" in text:
            what = "webhooks" if HOME in words else Path(words[0]).name
            what = "client and balancer" if "scripts.bench.strict" in text else what
            found[what] = found.get(what, 0.0) + (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return found


class LedgerBytes:
    """Counts what is written of one ConfigMap: each version that a watch shows, as JSON."""

    def __init__(self, transport: Transport) -> None:
        self.written = self.writes = self.largest = 0
        self._transport = transport

    async def run(self) -> None:
        """Count until cancelled."""
        query = {"fieldSelector": f"metadata.name={ledger.name_of(SHOP)}"}
        async with self._transport.watch(resources.CONFIG_MAPS.path(HOME), query=query, idle=600) as events:
            async for event in events:
                size = len(json.dumps(event["object"]))
                self.writes += 1
                self.written += size
                self.largest = max(self.largest, size)


async def measure(cluster: Cluster, replicas: Replicas, changes: int) -> None:
    """Create tools as fast as the API server takes them, and print what it came to."""
    transport = await client.connect(None, cluster.kubeconfig)
    written = LedgerBytes(transport)
    counting = asyncio.create_task(written.run())
    numbers = iter(range(changes + 200))
    seconds: list[float] = []
    failures: list[str] = []

    async def apply(last: int) -> None:
        for number in numbers:
            started = time.perf_counter()
            try:
                await objects.create(transport, tool(number, f"get_{number}"))
            except Exception as error:  # noqa: BLE001 -- counted and shown
                failures.append(str(error))
            seconds.append(time.perf_counter() - started)
            if number >= last:
                return

    # Connections and caches first.
    await asyncio.gather(*(apply(150 + each) for each in range(CLIENTS)))
    seconds.clear()
    before, bytes_before, writes_before = replicas.judged(), written.written, written.writes
    started, cpu = time.perf_counter(), cpu_seconds()
    await asyncio.gather(*(apply(changes + 200) for _ in range(CLIENTS)))
    took = time.perf_counter() - started
    used = {what: seconds - cpu.get(what, 0.0) for what, seconds in cpu_seconds().items()}
    await asyncio.sleep(1)
    counting.cancel()
    shares = [after - earlier for after, earlier in zip(replicas.judged(), before, strict=True)]
    clashes = await asyncio.gather(
        *(objects.create(transport, tool(1_000_000 + number, "get_7")) for number in range(10)), return_exceptions=True
    )
    await transport.close()
    count = len(seconds)
    seconds.sort()
    print(f"{count} changes in {took:.1f} s: {count / took:.0f}/s (must be ≥ 200), {len(failures)} failed")
    for text in sorted(set(failures))[:3]:
        print(f"  {text[:300]}")
    p50, p99 = seconds[count // 2] * 1000, seconds[count * 99 // 100] * 1000
    print(f"latency p50 {p50:.0f} ms, p99 {p99:.0f} ms (must be < 2 s)")
    percent = ", ".join(f"{100 * share / sum(shares):.0f} %" for share in shares)
    print(f"judged by each replica: {percent} (must be ≥ 20 %)")
    parts = ", ".join(f"{what} {1000 * seconds / count:.1f}" for what, seconds in sorted(used.items()))
    print(f"CPU milliseconds a change: {parts}; in all {1000 * sum(used.values()) / count:.1f}")
    bytes_each = (written.written - bytes_before) / count
    print(
        f"ledger: {written.writes - writes_before} writes, {bytes_each:.0f} bytes a change (must be ≤ 4096), "
        f"largest {written.largest} bytes"
    )
    print(f"of 10 that conflict {sum(isinstance(each, Exception) for each in clashes)} were denied")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--balance", type=int, nargs="+", metavar="PORT")
    parser.add_argument("--changes", type=int, default=3000)
    options = parser.parse_args()
    if options.balance:
        uvloop.run(balance(options.balance[0], options.balance[1:]))
        return 0
    with localcluster.running("bench-strict") as cluster:
        cluster.run("apply", "-k", str(ROOT / "manifests" / "base" / "crds"))
        cluster.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        for namespace in (HOME, SHOP):
            cluster.run("create", "namespace", namespace)
        now = datetime.now(UTC)  # noqa: TID251 -- a benchmark's own clock
        ca = Authority(issuance.authority("bench", now))
        cluster.run("apply", "-f", "-", stdin=json.dumps(secret.manifest(HOME, "mcp-operator-ca", ca)))
        replicas = Replicas(cluster)
        try:
            installation.until("both replicas are ready", lambda: all(map(is_ready, replicas.health)), 60)
            validating, _ = registration.configurations(
                UrlTarget(f"https://127.0.0.1:{replicas.port}", f"https://127.0.0.1:{replicas.port}"),
                authority.bundle(ca, now),
                failure_policy="Fail",
                namespace=HOME,
                owner=None,
            )
            cluster.run("apply", "-f", "-", stdin=json.dumps(validating))
            cluster.run("apply", "-f", "-", stdin=json.dumps(SERVER))
            time.sleep(2)
            uvloop.run(measure(cluster, replicas, options.changes))
        finally:
            replicas.stop()
    return 0


def is_ready(port: int) -> bool:
    """Whether a replica's readiness probe succeeds."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
