"""The longest time that a decision by a ledger holds up the webhook's event loop: ``[part of a name]``.

In each case one write of the ledger decides up to 128 changes beside thousands of objects or intents. Prints, in
milliseconds of CPU time, the longest block of the event loop and its blocks together.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import TYPE_CHECKING, Any

from crd import manifest
from crd.integrity import Change
from crd.ledger import conflicts, intent, page
from crd.ledger.page import Page
from crd.snapshot import Snapshot
from scripts.bench.relations import Blocks, server, tool
from webhook import program
from webhook.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from crd.ledger.intent import Intent
    from crd.steps import Steps

COUNT = 4000
BATCH = 128
ROUNDS = 2
NOW = 1000.0
Case = tuple[str, "Callable[[], Steps[Any]]"]


def changes(items: Iterable[dict[str, Any]]) -> list[Change]:
    """The creations of these objects."""
    decoded = map(manifest.decode, items)
    return [Change(item.ref, None, item) for item in decoded]


def intents(items: Iterable[dict[str, Any]]) -> tuple[Intent, ...]:
    """As they stand in a ledger."""
    found = (intent.of(change, NOW) for change in changes(items))
    return tuple(entry for entry in found if entry is not None)


def snapshot(items: Iterable[dict[str, Any]]) -> Snapshot:
    """Of these objects."""
    facts = (manifest.decode(item).fact for item in items)
    return Snapshot.of(fact for fact in facts if fact is not None)


def deciding(known: Snapshot, stored: tuple[Intent, ...], asked: list[Change]) -> Callable[[], Steps[Any]]:
    """The steps of a decision."""
    return lambda: conflicts.decide_all_in_steps(known, stored, [(change, False) for change in asked], NOW + 1)


def cases() -> Iterator[Case]:
    """A name, and the steps to take."""
    tools = [tool(f"tool-{number}", f"get_order_{number}") for number in range(COUNT)]
    new = changes(tool(f"new-{number}", f"put_order_{number}") for number in range(BATCH))
    strict = server(integrity="Strict")
    many = intents(tools)
    yield "tools, many intents", deciding(snapshot([strict]), many, new)
    yield "server, many intents", deciding(snapshot([]), many, changes([strict]))
    yield "tools, a server intended, many tools", deciding(snapshot(tools), intents([strict]), new)
    alike = [tool(f"tool-{number}", "get_order") for number in range(COUNT)]
    yield "server, many intents of one name", deciding(snapshot([]), intents(alike), changes([strict]))
    servers = [server(f"server-{number}", integrity="Strict") for number in range(COUNT)]
    rival = intents([tool("rival", "put_order_0")])
    yield "tool, many servers, a rival", deciding(snapshot(servers), rival, new[:1])
    wide = [server(f"server-{number}", integrity="Strict", contextBudget=100_000) for number in range(COUNT)]
    yield "tool, many servers with budgets, intents", deciding(snapshot(wide), many[:100], new[:1])
    narrow = server(integrity="Strict", contextBudget=1000)
    yield "tools, an exceeded budget, many intents", deciding(snapshot([narrow]), many, new)
    text = page.dump(Page(many))

    def load() -> Steps[Page]:
        page._parsed.cache_clear()
        return page.load_in_steps(text)

    yield "a ledger of many intents is read", load


async def measure(begin: Callable[[], Steps[Any]]) -> tuple[float, float]:
    """The longest block, and the blocks together."""
    steps = begin()
    gc.collect()
    gc.freeze()
    blocks = Blocks()
    ticking = asyncio.create_task(blocks.run())
    await asyncio.sleep(0)
    await Slices().finish(steps)
    await asyncio.sleep(0)
    blocks.stop()
    await ticking
    return max(blocks.taken), sum(blocks.taken)


def in_one_piece(begin: Callable[[], Steps[Any]]) -> float:
    """Seconds of CPU that the steps take without a pause."""
    steps = begin()
    started = time.thread_time()
    for _ in steps:
        pass
    return time.thread_time() - started


def main(part: str = "") -> int:
    """Print the table."""
    program.spare_collector()
    print("  block   in all   one piece")
    for name, begin in cases():
        if part in name:
            found = [(*asyncio.run(measure(begin)), in_one_piece(begin)) for _ in range(ROUNDS)]
            block, total, whole = (min(column) * 1000 for column in zip(*found, strict=True))
            print(f"{block:7.1f} {total:8.1f} {whole:11.1f}  {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
