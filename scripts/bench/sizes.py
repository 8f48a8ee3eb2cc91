"""A call through a server with 10,000 tools, beside one through a server with 10.

Two processes that do the same work differ by several percent of CPU, each in its own way for as long as it lives: the
memory of each is laid out differently. So many pairs of processes are started, one pair after the other, each process
with 16 connections on a core of its own, as in `scripts.bench.runtime`. The rounds of a pair alternate. The ratio of a
pair is the median of those of its rounds. Prints the median of the ratios of the pairs, the interval in which the
median of many pairs lies with 95 % probability, and the mean with its standard error: once for calls to one tool, and
once for calls to ten tools of the one and to 1,000 of the other in turn. `scripts.bench.instructions` counts what the
two execute.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from scripts.bench import ratios, runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.bench.runtime import Process

SIZES = SMALL, LARGE = 10, 10_000
PAIRS, ROUNDS, CALLS = 24, 6, 1600
KINDS = ("one tool", "tools in turn")
# Tools of the large server that are called in turn.
IN_TURN = 1000
# The first rounds of a pair, in which some things are done once.
WARM = 1


def requests(kind: str, tools: int, calls: int, start: int) -> list[bytes]:
    """So many calls: to one tool, or to the tools in turn. ``start`` is the number of the first."""
    called = 1 if kind == "one tool" else min(tools, IN_TURN)
    return [runtime.call(number, tool=number % called) for number in range(start, start + calls)]


def measure_pair(ports: tuple[int, int], first: int, rounds: int, others: Sequence[Process]) -> dict[str, float]:
    """For each kind of call, the CPU of the small server ÷ that of the large one. The ``first`` size starts first."""
    started: dict[int, Process] = {}
    backend, redis = ports
    with tempfile.TemporaryDirectory() as folder:
        try:
            for size in (first, *(size for size in SIZES if size != first)):
                started[size] = runtime.start_server(Path(folder) / str(size), size, backend, redis)
            found: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for number in range(WARM + rounds):
                for kind in KINDS:
                    for size in SIZES if number % 2 else reversed(SIZES):
                        sent = requests(kind, size, CALLS, number * CALLS)
                        uvloop.run(runtime.run_round(started[size], sent, others=others))
                    found[kind].append(started[SMALL].cpu[-1] / started[LARGE].cpu[-1])
            return {kind: statistics.median(values[WARM:]) for kind, values in found.items()}
        finally:
            for process in started.values():
                process.process.kill()
                process.process.wait()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {runtime.LOAD})
    with runtime.start_others() as (backend, redis):
        pairs = [
            measure_pair((backend.port, redis.port), SIZES[number % 2], options.rounds, (backend, redis))
            for number in range(options.pairs)
        ]
    for kind in KINDS:
        values = [pair[kind] for pair in pairs]
        error = statistics.stdev(values) / len(values) ** 0.5
        print(
            f"{LARGE:,} tools ÷ {SMALL}, calls to {kind}: {ratios.show(values)} by CPU, "
            f"mean {statistics.mean(values):.3f} ± {error:.3f} (must be ≥ 0.97)",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
