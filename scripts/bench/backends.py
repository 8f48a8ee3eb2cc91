"""One bad backend among ten at full load: what the callers of the other nine notice.

The server runs on one core, load and backends on the other. Calls go to ten tools in turn, at fixed times whatever
the answers do (an open loop), at shares of the rate that the server answers when many clients send at once. 0.3 of it
takes almost half of its core, because calls that come one by one cost more than those that come together. In a round
the tenth tool has another backend: a good one, a dead one, one that does not answer, or one that sends a byte of its
answer at a time. A round with a bad one lies between two with a good one, and is compared with these two alone, so
whatever else the machine does for longer than a round hits both. Prints, for each kind, the median of the ratios of the
p99 of the nine and of the CPU time of the server at the same rate, with the interval in which the median of many rounds
lies with 95 % probability.

The load looks once a millisecond for what is due, and sends that together. A latency counts from the moment of sending.
How late requests were sent is printed: a load that is late by more than that measures itself.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, Tool
from crd.published.policy import Policy
from crd.published.settings import Settings
from scripts.bench import ratios, runtime
from scripts.bench.runtime import BackendProtocol, Process, free_port, message, wait_for

GOOD = 9
KINDS = ("dead", "slow", "dripping")
ROUNDS, SECONDS, SHARES = 11, 2.5, (0.3, 0.55)
# Seconds between two looks at what is due.
TICK = 0.001
# Of a call to the tenth tool, in seconds.
TIMEOUT = 1.0
SCHEMA = {"type": "object", "properties": {"q": {"type": "string", "maxLength": 64}}}


class SlowProtocol(asyncio.Protocol):
    """Answers nothing."""


class DrippingProtocol(asyncio.Protocol):
    """Sends a byte of its answer each 50 ms."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._drip(0)

    def _drip(self, index: int) -> None:
        if not self.transport.is_closing() and index < len(BackendProtocol.answer):
            self.transport.write(BackendProtocol.answer[index : index + 1])
            asyncio.get_running_loop().call_later(0.05, self._drip, index + 1)


async def serve_backends() -> None:
    """Serve until standard input closes. Prints the ports: of the good ones, then of the others."""
    loop = asyncio.get_running_loop()
    kinds: list[Any] = [BackendProtocol] * (GOOD + 1) + [SlowProtocol, DrippingProtocol]
    servers = [await loop.create_server(kind, "127.0.0.1", 0) for kind in kinds]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def catalog(ports: list[int]) -> bytes:
    """Nine tools, and one of each kind."""
    dead = free_port()
    backends = [*ports[: GOOD + 1], dead, *ports[GOOD + 1 :]]
    names = [*(f"tool_{number}" for number in range(GOOD)), "good", *KINDS]
    tools = tuple(
        Tool(name, f"shop/{name}", "GET", Backend("127.0.0.1", port, ""), SCHEMA, http=Http("/x"),
             policy=Policy(timeout=TIMEOUT))
        for name, port in zip(names, backends, strict=True)
    )  # fmt: skip
    return catalogs.dump(Catalog("shop/main", Settings(), tools))


def start_server(folder: Path, published: bytes) -> Process:
    """The MCP server with a published catalog, which is written to the folder."""
    (folder / catalogs.FILE).write_bytes(published)
    port = free_port()
    words = ("--catalog-dir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--allow-loopback")
    process = runtime.start(runtime.UNDER_TEST, "-m", "cli", "serve", *words, "--health-port", str(free_port()))
    wait_for(port)
    return Process(process, port)


def call(number: int, name: str) -> bytes:
    return message(number, "tools/call", name=name, arguments={"q": str(number)})


class Figures(NamedTuple):
    """Of one round, in seconds: of the calls to the nine, and of the server for each call to any."""

    p50: float
    p99: float
    cpu: float
    late: float


async def measure_round(process: Process, kind: str, rate: float) -> Figures:
    """Send for a round, and wait for the answers. ``late`` is the p99 of how late the requests were sent."""
    took: list[float] = []
    rest: list[float] = []
    late: list[float] = []
    loop = asyncio.get_running_loop()
    # A connection that waits for the tenth backend is not for others.
    clients: dict[bool, list[runtime.OpenClient]] = {True: [], False: []}
    names = cycle([*(f"tool_{number}" for number in range(GOOD)), kind])
    requests = [(name == kind, call(number, name)) for number, name in enumerate(islice(names, int(rate * SECONDS)))]
    gc.collect()
    gc.disable()
    started, used = time.perf_counter() + TICK, process.cpu_seconds()
    for number, (is_tenth, request) in enumerate(requests):
        due = started + number / rate
        while (now := time.perf_counter()) < due:  # noqa: ASYNC110 -- the clock says when
            await asyncio.sleep(TICK)
        client = next((each for each in clients[is_tenth] if each.is_free), None)
        if client is None:
            into = rest if is_tenth else took
            make = lambda into=into: runtime.OpenClient(into)  # noqa: E731
            _, client = await loop.create_connection(make, "127.0.0.1", process.port)  # type: ignore[misc]
            clients[is_tenth].append(client)
        late.append(now - due)
        client.send(request, time.perf_counter())
    # The calls of this round do not disturb the next one.
    async with asyncio.timeout(TIMEOUT + 5.0):
        while any(each.is_waiting for each in (*clients[True], *clients[False])):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    gc.enable()
    cpu = (process.cpu_seconds() - used) / len(requests)
    took.sort()
    late.sort()
    return Figures(took[len(took) // 2], took[int(len(took) * 0.99)], cpu, late[int(len(late) * 0.99)])


def report(rounds: list[tuple[str, Figures]], rate: float, load: float) -> None:
    """``rounds`` begins and ends with a good one, and every second one is good. ``load``: the CPU share of the load."""
    good = [figures for kind, figures in rounds if kind == "good"]
    late = statistics.median(figures.late for _, figures in rounds)
    p50, p99, cpu = (statistics.median(values) for values in zip(*(each[:3] for each in good), strict=True))
    shares = f"{cpu * rate:.0%} of its core, load and backends {load:.0%} of theirs"
    print(f"{rate:.0f} calls/s: the server used {shares}; sent late: p99 {late * 1000:.2f} ms")
    print(f"ten good backends: p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms, {cpu * 1e6:.0f} µs CPU a call")
    among = [good[i + 1].p99 / good[i].p99 for i in range(len(good) - 1)]
    print(f"p99 of two rounds of ten good ones, one ÷ the other: {ratios.show(among)}")
    for kind in KINDS:
        latency, used = [], []
        for index, (each, figures) in enumerate(rounds):
            if each == kind:
                around = [rounds[index - 1][1], rounds[index + 1][1]]
                latency.append(figures.p99 / statistics.mean(one.p99 for one in around))
                used.append(figures.cpu / statistics.mean(one.cpu for one in around))
        print(
            f"tenth backend {kind:9}p99 of the other nine {ratios.show(latency)} (must be ≤ 1.2), "
            f"CPU {ratios.show(used)}"
        )


def run_rounds(server: Process, others: Process, rate: float, number: int) -> None:
    """Send at a rate, so many rounds with each bad backend, and report. ``others`` share the core of the load."""
    for kind in ("good", *KINDS):
        # What is done once is not measured.
        uvloop.run(measure_round(server, kind, rate))
    began, used = time.perf_counter(), time.process_time() + others.cpu_seconds()
    rounds = [("good", uvloop.run(measure_round(server, "good", rate)))]
    for _ in range(number):
        for kind in KINDS:
            rounds.append((kind, uvloop.run(measure_round(server, kind, rate))))
            rounds.append(("good", uvloop.run(measure_round(server, "good", rate))))
    load = (time.process_time() + others.cpu_seconds() - used) / (time.perf_counter() - began)
    report(rounds, rate, load)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve_backends())
        return 0
    os.sched_setaffinity(0, {runtime.LOAD})
    backends = runtime.start(runtime.LOAD, "-m", "scripts.bench.backends", "--serve")
    server: Process | None = None
    try:
        assert backends.stdout is not None
        ports = [int(port) for port in backends.stdout.readline().split()]
        with tempfile.TemporaryDirectory() as folder:
            server = start_server(Path(folder), catalog(ports))
            for _ in range(3):
                uvloop.run(runtime.run_round(server, [call(number, "tool_0") for number in range(runtime.CALLS)]))
            for share in options.shares:
                run_rounds(server, Process(backends, 0), share * max(server.rates), options.rounds)
    finally:
        for process in (backends, *([server.process] if server else [])):
            process.kill()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
