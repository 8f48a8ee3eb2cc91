"""What the webhook's copy of a large cluster costs: ``python -m scripts.bench.informers [--tools 50000] [--distinct]``.

A fake API server runs in a process of its own. The webhook's informers feed its live snapshot in another one, over real
HTTPS, through the same client and with the same cache of contents as in a cluster. Prints peak memory (VmHWM), the time
to be synced, the CPU of a list that finds nothing new, and the longest time for which the event loop stood still.
"""

from __future__ import annotations

import argparse
import asyncio
import random  # noqa: TID251 -- jitter of watches, no secret
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from cluster.clock import Clock
from cluster.informers import collector
from cluster.pod import PodTransport
from crd import fields
from crd.ref import Kind
from scripts.bench.process import Ticker, status
from webhook import program, watches
from webhook.live_snapshot import LiveSnapshot
from webhook.object_cache import ObjectCache

BUDGET_PEAK, BUDGET_SYNC, BUDGET_RELIST, BUDGET_BLOCK = 250.0, 15.0, 3.0, 50.0


async def measure(directory: Path, port: int, tools: int) -> None:
    """Sync, list again, and print the figures."""
    transport = PodTransport(directory, "127.0.0.1", port)
    fields.prepare()
    print(f"before: {status('VmRSS'):.0f} MiB (with {program.__name__} and all it imports)")
    live, ticker = LiveSnapshot(time.monotonic), Ticker()
    ends: list[str] = []
    clock = Clock(time.monotonic, asyncio.sleep, random.random)
    cache = ObjectCache()
    watched = watches.informers(
        transport, live, clock, lambda plural, end: ends.append(f"{plural} {end}"), fact_of=cache.fact_of
    )
    started, cpu = time.perf_counter(), time.process_time()
    tasks = [asyncio.ensure_future(informer.run()) for informer in watched.values()]
    tasks.append(asyncio.ensure_future(collector.keep_short(asyncio.sleep)))
    ticking = asyncio.ensure_future(ticker.run())
    try:
        await asyncio.gather(*(informer.synced.wait() for informer in watched.values()))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        print(f"synced: {seconds:.1f} s, CPU {cpu:.1f} s, {len(live.current)} facts (must be <= {BUDGET_SYNC} s)")
        print(f"after sync: {status('VmRSS'):.0f} MiB; longest block {ticker.longest * 1000:.0f} ms")
        assert len(live.current) >= tools
        before, ticker.longest = live.current, 0.0
        await asyncio.sleep(1)
        started, cpu = time.perf_counter(), time.process_time()
        await transport.request("POST", "/-/expire")
        while watched[Kind.TOOL].reached is not None:  # noqa: ASYNC110 -- there is no event for it
            await asyncio.sleep(0.01)
        while any(one.reached is None and len(one) for one in watched.values()):  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.01)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        print(f"unchanged relist: CPU {cpu:.2f} s, {seconds:.1f} s (must be <= {BUDGET_RELIST} s CPU)")
        print(f"longest block while listing again: {ticker.longest * 1000:.0f} ms (must be <= {BUDGET_BLOCK:.0f} ms)")
        print(f"the snapshot is {'the same object' if live.current is before else 'ANOTHER OBJECT'}; ends: {ends}")
        print(f"peak: VmHWM {status('VmHWM'):.0f} MiB (must be <= {BUDGET_PEAK:.0f} MiB)")
    finally:
        for task in (*tasks, ticking):
            task.cancel()
        await asyncio.gather(*tasks, ticking, return_exceptions=True)
        await transport.close()


def main() -> None:
    """Start the API server, and this module again as the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, default=50_000)
    parser.add_argument("--distinct", action="store_true", help="no two tools have the same schema")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.port:
        uvloop.run(measure(options.directory, options.port, options.tools))
        return
    with tempfile.TemporaryDirectory() as directory:
        shared = ["--tools", str(options.tools), "--directory", directory]
        more = ["--distinct"] if options.distinct else []
        command = [sys.executable, "-m", "scripts.bench.fake_api", *shared, *more]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as api:
            try:
                assert api.stdout is not None
                port = api.stdout.readline().strip()
                measured = [sys.executable, "-m", "scripts.bench.informers", *shared, "--port", port]
                subprocess.run(measured, check=True)
            finally:
                api.kill()


if __name__ == "__main__":
    main()
