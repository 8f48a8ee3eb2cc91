"""How long the event loop of a pod is held while another catalog is loaded, with 1,000 and 10,000 tools.

Measured is the CPU time of the loop's thread between two turns: on a machine that others use as well, the clock would
show their work, too. A catalog in which every tool is another one, and one in which a single tool is.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import sys
import time
from typing import Any

import orjson
import uvloop

from crd.published import catalogs, chunks
from crd.published.entries import Backend, Http, ParameterEntry, Tool
from runtime.app.catalog_store import CatalogStore
from scripts.bench.process import Ticker
from scripts.bench.runtime import SCHEMA

BOUND = 0.020
SIZES = (1000, 10_000)


def tool(number: int, edition: int) -> Tool:
    """One tool, of 1.5 KB."""
    text = f"Edition {edition}. " + "Returns the order with its lines, its state and what is still to be shipped. " * 12
    name = f"get_order_{number}"
    http = Http(path="/orders/{order}", query=(ParameterEntry("limit", argument="limit"),))
    return Tool(name, f"shop/{name}", "GET", Backend("orders.shop.svc", 80, ""), SCHEMA, description=text, http=http)


def config_map(tools: tuple[Tool, ...]) -> dict[str, Any]:
    """The ConfigMap of a catalog as the controller writes it: chunks of entries, and the JSON text between them."""
    entries = {each.name: orjson.dumps(catalogs.lean(each)) for each in tools}
    packed, line = b"", orjson.dumps({"format": catalogs.FORMAT, "server": "shop/main"})[:-1] + b',"tools":['
    for chunk in chunks.edit((), (), entries):
        packed += chunks.pack(line + b"\n") + chunk.packed
        line = b","
    packed += chunks.pack(b'],"prefix":null}')
    return {"binaryData": {catalogs.GZIP_FILE: base64.b64encode(packed).decode()}}


async def swap(store: CatalogStore, item: dict[str, Any]) -> tuple[float, float]:
    """The longest block, and the seconds until the catalog is in force."""
    before, ticker = store.compiled, Ticker()
    ticking = asyncio.create_task(ticker.run())
    await asyncio.sleep(0.05)
    ticker.longest = 0.0
    started = time.perf_counter()
    store.submit(item)
    while store.compiled is before:  # noqa: ASYNC110 -- a benchmark
        await asyncio.sleep(0.01)
    took = time.perf_counter() - started
    # The old one is freed.
    del before
    await asyncio.sleep(1.0)
    ticking.cancel()
    return ticker.longest, took


async def measure(size: int) -> bool:
    """Print the figures of one size. Whether the bound is held."""
    gc.set_threshold(20_000, 50, 100)
    store = CatalogStore()
    tools = tuple(tool(number, 1) for number in range(size))
    changed = (*tools[: size // 2], tool(size // 2, 2), *tools[size // 2 + 1 :])
    others = tuple(tool(number, 3) for number in range(size))
    items = {"one tool changes": config_map(changed), "all tools change": config_map(others)}
    working = asyncio.create_task(store.work())
    store.submit(config_map(tools))
    while store.compiled is None:  # noqa: ASYNC110 -- a benchmark
        await asyncio.sleep(0.01)
    gc.collect()
    gc.freeze()
    longest = 0.0
    for what, item in items.items():
        block, took = await swap(store, item)
        longest = max(longest, block)
        print(f"{size:6} tools, {what}: longest block {block * 1000:.1f} ms of CPU, in force after {took:.2f} s")
    working.cancel()
    return longest <= BOUND


def main() -> int:
    """Run the benchmark."""
    held = [uvloop.run(measure(size)) for size in SIZES]
    print(f"the longest block must be ≤ {BOUND * 1000:.0f} ms: {'yes' if all(held) else 'no'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
