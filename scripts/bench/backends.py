"""One bad backend among ten at full load: what the callers of the other nine notice.

The server runs on one core, load and backends on the other. Calls go to ten tools in turn. In a round the tenth tool
has another backend: a good one, a dead one, one that does not answer, or one that sends a byte of its answer at a time.
A round with a bad one lies between two with a good one, and is compared with these two alone, so whatever else the
machine does for longer than a round hits both. Prints, for each kind, the median of the ratios of the p99 of the nine
and of the CPU time of the server for a call, with the interval in which the median of many rounds lies with 95 %
probability.

At full load, 48 connections call the nine, each again as soon as it has its answer. After nine answers, the tenth is
called once. The server uses up its core then, however fast this machine is at the moment.

In the open loop, calls are sent at fixed times whatever the answers do, at 0.3 of the rate that the server answers when
many clients send at once. This takes almost half of its core, because calls that come one by one cost more than those
that come together. The load looks once a millisecond for what is due, and sends that together. A latency counts from
the moment of sending. How late requests were sent is printed: a load that is late by more than that measures itself.
Where the machine becomes slower meanwhile, this loop measures queues that grow.
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
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import uvloop

from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, Tool
from crd.published.policy import Policy
from crd.published.settings import Settings
from scripts.bench import ratios, runtime
from scripts.bench.runtime import BackendProtocol, Process, message, wait_for
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

GOOD = 9
KINDS = ("dead", "slow", "dripping")
ROUNDS, SECONDS, SHARE = 11, 2.5, 0.3
# At full load: the connections that call the nine, those that are opened for the tenth, and the calls to the nine.
CALLERS, OPENED, CALLS = 48, 80, 6000
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
    # The p99 of how late the requests were sent.
    late: float
    # Of its core.
    used: float


class FullClient(runtime.OpenClient):
    """One connection of the full load. ``answered`` is called with it after each answer."""

    def __init__(self, took: list[float], answered: Callable[[FullClient], None]) -> None:
        super().__init__(took)
        self._answered = answered

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._answered(self)


async def measure_full(process: Process, kind: str) -> Figures:
    """Call the nine as fast as they answer, and the tenth once for nine answers. Waits for all answers."""
    took: list[float] = []
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    names, numbers = cycle(f"tool_{number}" for number in range(GOOD)), count()
    tenth: list[runtime.OpenClient] = []

    def send(client: runtime.OpenClient, name: str) -> None:
        client.send(call(next(numbers), name), time.perf_counter())

    def go_on(client: FullClient) -> None:
        if len(took) % GOOD == 0 and (free := next((each for each in tenth if each.is_free), None)):
            send(free, kind)
        if len(took) <= CALLS - CALLERS:
            send(client, next(names))
        elif len(took) == CALLS:
            done.set()

    async def connect(make: Callable[[], runtime.OpenClient]) -> runtime.OpenClient:
        return (await loop.create_connection(make, "127.0.0.1", process.port))[1]

    tenth.extend([await connect(lambda: runtime.OpenClient([])) for _ in range(OPENED)])
    callers = [await connect(lambda: FullClient(took, go_on)) for _ in range(CALLERS)]
    gc.collect()
    gc.disable()
    started, used = time.perf_counter(), process.cpu_seconds()
    for client in callers:
        send(client, next(names))
    async with asyncio.timeout(60.0):
        await done.wait()
    seconds, cpu = time.perf_counter() - started, process.cpu_seconds() - used
    async with asyncio.timeout(TIMEOUT + 5.0):
        while any(each.is_waiting for each in tenth):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    gc.enable()
    took.sort()
    return Figures(took[len(took) // 2], took[int(len(took) * 0.99)], cpu / next(numbers), 0.0, cpu / seconds)


async def measure_round(process: Process, kind: str, rate: float) -> Figures:
    """Send at a rate for a round, and wait for the answers."""
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
    used = cpu * rate
    return Figures(took[len(took) // 2], took[int(len(took) * 0.99)], cpu, late[int(len(late) * 0.99)], used)


def report(rounds: list[tuple[str, Figures]], load: float) -> None:
    """``rounds`` begins and ends with a good one, and every second one is good. ``load``: the CPU share of the load."""
    good = [figures for kind, figures in rounds if kind == "good"]
    p50, p99, cpu, late, used = (statistics.median(values) for values in zip(*good, strict=True))
    shares = f"{used:.0%} of its core, load and backends {load:.0%} of theirs"
    print(f"{used / cpu:.0f} calls/s: the server used {shares}; sent late: p99 {late * 1000:.2f} ms")
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


def run_rounds(measure: Callable[[str], Coroutine[Any, Any, Figures]], others: Process, number: int) -> None:
    """Run so many rounds with each bad backend, and report. ``others`` share the core of the load."""
    for kind in ("good", *KINDS):
        # What is done once is not measured.
        uvloop.run(measure(kind))
    began, used = time.perf_counter(), time.process_time() + others.cpu_seconds()
    rounds = [("good", uvloop.run(measure("good")))]
    for _ in range(number):
        for kind in KINDS:
            rounds.append((kind, uvloop.run(measure(kind))))
            rounds.append(("good", uvloop.run(measure("good"))))
    load = (time.process_time() + others.cpu_seconds() - used) / (time.perf_counter() - began)
    report(rounds, load)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--share", type=float, default=SHARE)
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
            others, rate = Process(backends, 0), options.share * max(server.rates)
            print("== full load")
            run_rounds(partial(measure_full, server), others, options.rounds)
            print(f"== open loop at {options.share} of the rate at full load")
            run_rounds(partial(measure_round, server, rate=rate), others, options.rounds)
    finally:
        for process in (backends, *([server.process] if server else [])):
            process.kill()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
