"""How many instructions a call takes, counted by valgrind.

A count depends on no load and no clock. It leaves out the kernel, and what an instruction costs: for that, misses of
simulated caches are counted (32 KiB for code and for data, and 512 KiB behind them). Under valgrind a process is fifty
times slower, so the calls of the 16 connections come together more than without. Prints, for a call to each server and
to the bare proxy, the counts and their ratios. Needs the Debian package valgrind, and takes minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from scripts.bench import runtime

if TYPE_CHECKING:
    from scripts.bench.runtime import Process

CALLS = 1600
SMALL, LARGE = 10, 10_000
# Tools of the large server that are called in turn.
IN_TURN = 1000
# Calls before those that are counted: some things are done once, and some once for each tool.
WARM = IN_TURN
# Sizes and lines in bytes, and associativity.
CACHES = ("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=524288,8,64")


class Counts(NamedTuple):
    """Of one call."""

    instructions: float
    # Accesses to code and data that miss the first cache, and those of them that miss the second.
    first: float
    second: float


def control(process: Process, *words: str) -> None:
    subprocess.run(["callgrind_control", *words, str(process.process.pid)], check=True, stdout=subprocess.DEVNULL)


def read(file: Path, calls: int) -> Counts:
    """The counts of an output of callgrind."""
    lines = file.read_text().splitlines()
    names, totals = (
        next(line.partition(":")[2].split() for line in lines if line.startswith(start))
        for start in ("events:", "totals:")
    )
    counted = dict(zip(names, map(int, totals), strict=True))
    first, second = (
        sum(counted[name] for name in names if name.startswith(caches)) for caches in (("I1", "D1"), ("IL", "DL"))
    )
    return Counts(counted["Ir"] / calls, first / calls, second / calls)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=CALLS)
    options = parser.parse_args()
    if shutil.which("callgrind_control") is None:
        print("the Debian package valgrind is missing", file=sys.stderr)
        return 1
    os.sched_setaffinity(0, {runtime.LOAD})
    found: dict[str, Counts] = {}
    with runtime.start_others() as (backend, redis), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        token = runtime.write_secrets(folder / "secrets")
        kinds: dict[str, tuple[int, str, int]] = {
            # How many tools the server has, the token, and how many of them are called in turn. The proxy has none.
            "proxy": (0, "", 1),
            "server": (SMALL, "", 1),
            "token": (SMALL, token, 1),
            "10,000 tools": (LARGE, "", 1),
            "10 in turn": (SMALL, "", SMALL),
            "1,000 in turn": (LARGE, "", IN_TURN),
        }
        for what, (tools, sent, called) in kinds.items():
            out = folder / f"{what}.out"
            under = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", *CACHES)
            if tools:
                secrets = folder / "secrets" if sent else None
                process = runtime.start_server(folder / what, tools, backend.port, redis.port, secrets, under)
            else:
                process = runtime.start_part(
                    runtime.UNDER_TEST, "--serve", "proxy", "--backend", str(backend.port), under=under
                )
            try:
                requests = [runtime.call(number, sent, number % called) for number in range(WARM + options.calls)]
                uvloop.run(runtime.run_round(process, requests[:WARM]))
                control(process, "-i", "on")
                uvloop.run(runtime.run_round(process, requests[WARM:]))
                control(process, "-i", "off")
                process.process.terminate()
                process.process.wait(60)
            finally:
                process.process.kill()
                process.process.wait()
            found[what] = read(out, options.calls)
            print(
                f"{what:15}{found[what].instructions:9.0f} instructions a call, misses of the first cache "
                f"{found[what].first:7.0f}, of the second {found[what].second:6.0f}",
                flush=True,
            )
    report(found)
    return 0


def report(found: dict[str, Counts]) -> None:
    for upper, lower, bound in (
        ("proxy", "server", ""),
        ("proxy", "token", ""),
        ("server", "10,000 tools", " (must be ≥ 0.97)"),
        ("10 in turn", "1,000 in turn", " (must be ≥ 0.97)"),
    ):
        values = [above / below for above, below in zip(found[upper], found[lower], strict=True)]
        print(f"{upper} ÷ {lower}: instructions {values[0]:.3f}{bound}, misses {values[1]:.2f} and {values[2]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
