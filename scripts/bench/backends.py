"""One bad backend among ten at full load: what the callers of the other nine notice.

The server runs on one core, load and backends on the other. Calls go to ten tools in turn, at fixed times whatever the
answers do (an open loop), at half of the rate that the server can answer. In each round the tenth tool has another
backend: a good one, a dead one, one that does not answer, and one that sends a byte of its answer at a time. Rounds
alternate. Prints p99 of the nine and the CPU time of the server for a call, and their ratios to those of the rounds in
which all are good. On a machine that does other work, only the CPU time says something.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, Tool
from crd.published.policy import Policy
from crd.published.settings import Settings
from scripts.bench import runtime
from scripts.bench.runtime import BackendProtocol, Process, free_port, message, wait_for

GOOD = 9
KINDS = ("good", "dead", "slow", "dripping")
ROUNDS, SECONDS, SHARE = 5, 4.0, 0.5
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
    names = [*(f"tool_{number}" for number in range(GOOD)), *KINDS]
    tools = tuple(
        Tool(name, f"shop/{name}", "GET", Backend("127.0.0.1", port, ""), SCHEMA, http=Http("/x"),
             policy=Policy(timeout=TIMEOUT))
        for name, port in zip(names, backends, strict=True)
    )  # fmt: skip
    return catalogs.dump(Catalog("shop/main", Settings(), tools))


def start_server(folder: Path, ports: list[int]) -> Process:
    (folder / catalogs.FILE).write_bytes(catalog(ports))
    port = free_port()
    words = ("--catalog-dir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--allow-loopback")
    process = runtime.start(runtime.UNDER_TEST, "-m", "cli", "serve", *words, "--health-port", str(free_port()))
    wait_for(port)
    return Process(process, port)


def call(number: int, name: str) -> bytes:
    return message(number, "tools/call", name=name, arguments={"q": str(number)})


async def measure_round(process: Process, kind: str, rate: float) -> tuple[float, float]:
    """The p99 of the calls to the nine, and the CPU time of the server for each call to any, in seconds."""
    took: list[float] = []
    rest: list[float] = []
    loop = asyncio.get_running_loop()
    # A connection that waits for the tenth backend is not for others.
    clients: dict[bool, list[runtime.OpenClient]] = {True: [], False: []}
    names = cycle([*(f"tool_{number}" for number in range(GOOD)), kind])
    started, used = time.perf_counter(), process.cpu_seconds()
    for number in range(int(rate * SECONDS)):
        due = started + number / rate
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        name = next(names)
        is_tenth = name == kind
        client = next((each for each in clients[is_tenth] if each.is_free), None)
        if client is None:
            into = rest if is_tenth else took
            make = lambda into=into: runtime.OpenClient(into)  # noqa: E731
            _, client = await loop.create_connection(make, "127.0.0.1", process.port)  # type: ignore[misc]
            clients[is_tenth].append(client)
        client.send(call(number, name), due)
    # The calls of this round do not disturb the next one.
    await asyncio.sleep(TIMEOUT + 0.5)
    expected = int(rate * SECONDS) - int(rate * SECONDS) // (GOOD + 1)
    if len(took) < expected - GOOD - 1:
        raise RuntimeError(f"{expected - len(took)} of {expected} calls to the nine were not answered ({kind})")
    took.sort()
    return took[int(len(took) * 0.99)], (process.cpu_seconds() - used) / int(rate * SECONDS)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
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
            server = start_server(Path(folder), ports)
            for _ in range(3):
                uvloop.run(runtime.run_round(server, [call(number, "tool_0") for number in range(runtime.CALLS)]))
            rate = SHARE * max(server.rates)
            found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
            for _ in range(options.rounds):
                for kind in KINDS:
                    found[kind].append(uvloop.run(measure_round(server, kind, rate)))
    finally:
        for process in (backends, *([server.process] if server else [])):
            process.kill()
            process.wait()
    p99 = {kind: statistics.median(each[0] for each in rounds) for kind, rounds in found.items()}
    cpu = {kind: statistics.median(each[1] for each in rounds) for kind, rounds in found.items()}
    for kind in KINDS:
        shown = f"p99 of the other nine {p99[kind] * 1000:.2f} ms, {cpu[kind] * 1e6:.0f} µs CPU a call"
        ratios = f"{p99[kind] / p99['good']:.2f} (must be ≤ 1.2) and {cpu[kind] / cpu['good']:.2f}"
        ratio = f"; {ratios} of those with a good one"
        print(f"tenth backend {kind:9} at {rate:.0f} calls/s: {shown}{ratio if kind != 'good' else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
