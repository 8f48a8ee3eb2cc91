"""What a call that fails costs the server, beside one that succeeds.

The server runs on one core, load and backends on the other. Rounds of each kind of call alternate, each over many
connections, so that whatever else the machine does hits all kinds. Prints the CPU time of the server for a call of
each kind, and its ratio to that of a good one: the median of those of the rounds, with the interval in which the median
of many rounds lies with 95 % probability.

``refused``: nobody listens at the port of the backend. ``open``: the circuit breaker is open. ``full``: as many calls
are in progress as are allowed. ``silent`` and ``dripping``: the backend answers nothing, or a byte at a time, until the
time of the call is over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import uvloop

from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, Tool
from crd.published.policy import Breaker, Policy
from crd.published.settings import Settings
from scripts.bench import backends, ratios, runtime
from scripts.localcluster.ports import free_port

ROUNDS = 15
# Seconds: of a call that is waited for, and of one that lasts.
TIMEOUT, LONG = 0.3, 600.0


class Kind(NamedTuple):
    """Calls of a kind. ``backend`` is the index of a port of `backends.serve_backends`, None for a closed one.

    ``answer`` is in each of their answers; ``calls`` are made in a round, over so many ``connections``.
    """

    name: str
    backend: int | None
    policy: Policy
    answer: bytes
    calls: int = 640
    connections: int = runtime.CONNECTIONS


SILENT, DRIPPING = backends.GOOD + 1, backends.GOOD + 2
KINDS = (
    Kind("good", 0, Policy(), b"shipped"),
    Kind("refused", None, Policy(), b"unreachable"),
    Kind("open", None, Policy(breaker=Breaker(1, LONG)), b"circuit open"),
    Kind("full", SILENT, Policy(timeout=LONG, concurrency=1), b"which is the limit"),
    Kind("silent", SILENT, Policy(timeout=TIMEOUT), b" within ", 300, 60),
    Kind("dripping", DRIPPING, Policy(timeout=TIMEOUT), b" within ", 300, 60),
)


class Client(runtime.Client):
    """One connection, to which an error is as good an answer as another."""

    def _judge(self, body: bytes) -> None:
        self._bad += self._wanted not in body
        self._send()


def catalog(ports: list[int]) -> bytes:
    closed = free_port()
    tools = tuple(
        Tool(kind.name, f"shop/{kind.name}", "GET",
             Backend("127.0.0.1", closed if kind.backend is None else ports[kind.backend], ""),
             backends.SCHEMA, http=Http("/x"), policy=kind.policy)
        for kind in sorted(KINDS)
    )  # fmt: skip
    return catalogs.dump(Catalog("shop/main", Settings(request_timeout=LONG), tools))


async def run_round(process: runtime.Process, kind: Kind) -> float:
    """CPU seconds for a call."""
    loop, used = asyncio.get_running_loop(), process.cpu_seconds()
    futures: list[asyncio.Future[int]] = []
    requests = [backends.call(number, kind.name) for number in range(kind.calls)]
    for number in range(kind.connections):
        future = loop.create_future()
        futures.append(future)
        share = requests[number :: kind.connections]
        make = lambda share=share, future=future: Client(share, future, kind.answer)  # noqa: E731
        await loop.create_connection(make, "127.0.0.1", process.port)  # type: ignore[misc]
    bad = sum(await asyncio.gather(*futures))
    if bad:
        raise RuntimeError(f"{bad} of {kind.calls} answers of {kind.name} were wrong")
    return (process.cpu_seconds() - used) / kind.calls


async def measure(process: runtime.Process, rounds: int) -> dict[str, list[float]]:
    """CPU seconds for a call of each kind in each round."""
    async with asyncio.timeout(LONG):
        # One call opens the circuit, another one is in progress until the end.
        _, opening = await asyncio.open_connection("127.0.0.1", process.port)
        opening.write(backends.call(1, "open"))
        _, lasting = await asyncio.open_connection("127.0.0.1", process.port)
        lasting.write(backends.call(1, "full"))
        await asyncio.sleep(1.0)
        found: dict[str, list[float]] = {kind.name: [] for kind in KINDS}
        for _ in range(rounds + 1):
            for kind in KINDS:
                found[kind.name].append(await run_round(process, kind))
        for writer in (opening, lasting):
            writer.close()
    # In the first round, some things are done once.
    return {name: values[1:] for name, values in found.items()}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {runtime.LOAD})
    others = runtime.start(runtime.LOAD, "-m", "scripts.bench.backends", "--serve")
    server: runtime.Process | None = None
    try:
        assert others.stdout is not None
        ports = [int(port) for port in others.stdout.readline().split()]
        with tempfile.TemporaryDirectory() as folder:
            server = backends.start_server(Path(folder), catalog(ports))
            found = uvloop.run(measure(server, options.rounds))
    finally:
        for process in (others, *([server.process] if server else [])):
            process.kill()
            process.wait()
    for name, values in found.items():
        ratio = ratios.show([each / good for each, good in zip(values, found["good"], strict=True)])
        print(f"{name:9}{statistics.median(values) * 1e6:6.0f} µs CPU a call, ÷ a good one {ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
