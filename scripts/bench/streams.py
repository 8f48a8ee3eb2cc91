"""What streams cost on which clients listen: memory, CPU at rest, and how long a change of the catalog holds the loop.

A server of a pod runs in a process of its own, whose clients send `subscriptions/listen` from several addresses, as a
client may have a thousand streams. A stream is counted when its first event has come. At rest, the CPU time of the
server is read from /proc: comments that keep connections open are a part of it. Measured in the other process, as in
`scripts.bench.swap`: the CPU time of the loop's thread between two turns, while 10,000 clients are notified of a change
and when their streams end.

With ``--cgroup``, the server runs in this memory cgroup, which has a limit, as a container has. Then the benchmark also
prints the most memory that was charged to the cgroup, with that of the kernel for the connections, and how often
something was killed in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvloop

from runtime.app.catalog_store import CatalogStore
from runtime.auth.authenticator import Authenticator
from runtime.auth.jwks import Fetcher, KeySets
from runtime.http import server
from runtime.http.endpoint import Endpoint
from runtime.http.streams import KEEP_ALIVE, PER_CLIENT, Streams
from runtime.mcp.methods import Methods
from runtime.state.limits import Limiter, MemoryBuckets
from runtime.state.sessions import MemorySessions
from runtime.telemetry.access_log import AccessLog
from runtime.telemetry.metrics import Metrics
from scripts.bench.process import Ticker
from scripts.bench.swap import config_map, tool

if TYPE_CHECKING:
    from runtime.mcp.methods import Backends
    from runtime.mcp.subscriptions import Kind

__all__ = ["main"]

STREAMS = 10_000
MOST_KIB = 40.0
BOUND = 0.020
TOOLS = 1000
# At rest: all comments of one period.
SECONDS = KEEP_ALIVE
BODY = orjson.dumps(
    {
        "jsonrpc": "2.0",
        "id": "listen-1",
        "method": "subscriptions/listen",
        "params": {
            "notifications": {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
)
REQUEST = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
    b"Mcp-Method: subscriptions/listen\r\nUser-Agent: bench\r\n"
    b"Content-Length: %d\r\n\r\n%s"
) % (len(BODY), BODY)
ACKNOWLEDGED = b"notifications/subscriptions/acknowledged"
CHANGED = b"notifications/tools/list_changed"
RESULT = b'"resultType":"complete"'


def catalog(edition: int) -> dict[str, Any]:
    """A ConfigMap with the catalog. One of its tools is another one in each edition."""
    return config_map(tuple(tool(number, edition if number == TOOLS // 2 else 1) for number in range(TOOLS)))


async def serve() -> None:
    """Serve until standard input closes. Each line on it is an order, and is answered with a line of figures."""
    metrics, unix_time = Metrics(), time.time  # noqa: TID251 -- an entry point
    fetcher = Fetcher(cluster_domain="cluster.local")
    authenticator = Authenticator(Path("/nonexistent"), KeySets(fetcher.fetch, time.monotonic), unix_time)
    notified = [0]

    def count(_: Kind) -> None:
        notified[0] += 1

    sessions = {"Memory": MemorySessions(time.monotonic)}
    streams = Streams(
        authenticator, sessions, now=unix_time, monotonic=time.monotonic, on_notify=count, limit=2 * STREAMS
    )
    store, limiter = CatalogStore(streams.apply), Limiter(MemoryBuckets(time.monotonic), lambda: None)
    unused: Backends = None  # type: ignore[assignment] -- nothing is called
    app = server.App(
        store,
        authenticator,
        Endpoint(Methods(unused), sessions, limiter, metrics, streams, lambda: "id"),
        None,  # type: ignore[arg-type] -- nothing is asked for at a REST path
        limiter,
        metrics,
        AccessLog(lambda _: None, unix_time),
        new_id=lambda: "id",
        monotonic=time.monotonic,
        now=unix_time,
        draining=lambda: False,
    )
    store.put(catalog(1))
    listener = await server.listen(app, "127.0.0.1", 0)
    tasks = [asyncio.create_task(work()) for work in (store.work, streams.follow, streams.keep_alive)]
    print(listener.port, flush=True)
    other = catalog(2)
    while order := (await asyncio.to_thread(sys.stdin.readline)).strip():
        ticker = Ticker()
        ticking = asyncio.create_task(ticker.run())
        await asyncio.sleep(0.05)
        ticker.longest = 0.0
        started = time.perf_counter()
        if order == "swap":
            store.submit(other)
            while notified[0] < len(streams):  # noqa: ASYNC110 -- a benchmark
                await asyncio.sleep(0.01)
        else:
            await streams.drain()
        ticking.cancel()
        print(ticker.longest, time.perf_counter() - started, flush=True)
    for task in tasks:
        task.cancel()


class Client(asyncio.Protocol):
    """One connection. ``seen`` is called when the event that is waited for has come."""

    wanted = ACKNOWLEDGED

    def __init__(self, seen: asyncio.Semaphore) -> None:
        self._seen = seen
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if Client.wanted in self._received:
            self._seen.release()
            self._received = b""


def resident(process: int) -> float:
    """Resident memory in KiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def used(process: int) -> float:
    """Seconds of CPU."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def charged(cgroup: Path) -> str:
    """What was charged to a cgroup at most, in MiB, and how often something in it was killed. Version 1 or 2."""
    peak = next(each for name in ("memory.peak", "memory.max_usage_in_bytes") if (each := cgroup / name).exists())
    events = next(each for name in ("memory.events", "memory.oom_control") if (each := cgroup / name).exists())
    killed = next(line.split()[1] for line in events.read_text().splitlines() if line.startswith("oom_kill "))
    return f"{int(peak.read_text()) / 2**20:.1f} MiB at most, {killed} killed"


async def measure(process: subprocess.Popen[bytes], cgroup: Path | None) -> bool:
    """Print the figures. Whether all bounds are held."""
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())
    loop, seen = asyncio.get_running_loop(), asyncio.Semaphore(0)
    transports: list[Any] = []

    async def open_streams(number: int) -> None:
        for _ in range(number):
            address = f"127.0.0.{2 + len(transports) // PER_CLIENT}"
            made = await loop.create_connection(lambda: Client(seen), "127.0.0.1", port, local_addr=(address, 0))
            transports.append(made[0])
        for _ in range(number):
            await seen.acquire()

    async def order(what: bytes, wanted: bytes) -> tuple[float, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        Client.wanted = wanted
        process.stdin.write(what + b"\n")
        process.stdin.flush()
        for _ in transports:
            await seen.acquire()
        longest, took = (await asyncio.to_thread(process.stdout.readline)).split()
        return float(longest), float(took)

    # What the first ones need once.
    await open_streams(100)
    before = resident(process.pid)
    await open_streams(STREAMS)
    await asyncio.sleep(1.0)
    each = (resident(process.pid) - before) / STREAMS
    print(f"{STREAMS} streams: {each:.1f} KiB each (must be ≤ {MOST_KIB:g})")
    swap, took = await order(b"swap", CHANGED)
    print(f"a catalog with one other tool of {TOOLS}: longest block {swap * 1000:.1f} ms of CPU (must be ≤ 20), "
          f"all were notified after {took:.2f} s")  # fmt: skip
    # The deadlines of their requests, which no longer count, pass once.
    await asyncio.sleep(11.0)
    cpu = used(process.pid)
    await asyncio.sleep(SECONDS)
    cpu = used(process.pid) - cpu
    print(f"at rest: {cpu * 1000:.1f} ms of CPU in {SECONDS:g} s, with a comment on each stream "
          f"({cpu / SECONDS:.2%} of a core)")  # fmt: skip
    drain, took = await order(b"drain", RESULT)
    print(f"the end of all streams: longest block {drain * 1000:.1f} ms of CPU (must be ≤ 20), after {took:.2f} s")
    for transport in transports:
        transport.abort()
    if cgroup is not None:
        print(f"the cgroup: {charged(cgroup)}")
    return each <= MOST_KIB and max(swap, drain) <= BOUND


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--cgroup", type=Path, help="directory of a memory cgroup, for the server")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
        return 0
    command = [sys.executable, "-m", "scripts.bench.streams", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if options.cgroup is not None:
                (options.cgroup / "cgroup.procs").write_text(str(process.pid))
            held = uvloop.run(measure(process, options.cgroup))
        finally:
            process.kill()
    print(f"all bounds are held: {'yes' if held else 'no'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
