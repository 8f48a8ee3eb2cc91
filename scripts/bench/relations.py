"""The longest time that one review, or what a watch shows, holds up the webhook's event loop: ``[part of a name]``.

In each case a change concerns 5,000 objects, and is judged as the webhook does it beside plain reviews of another
namespace: at once, or else with waiting. Then a watch shows the object, there and to another replica. Prints, in
milliseconds of CPU time, the longest block of the event loop, its blocks together, and the same of the event loop of
the other replica until its snapshot has the object; then the median and the longest wall time of the plain reviews
beside. The judgement of the object alone is left out.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from cluster.access import AccessReviews
from cluster.clock import Clock
from cluster.transport import ApiError
from crd import extraction, manifest
from crd.access import Requester
from webhook import admit, placement, program, review, watches
from webhook.ledger import Ledgers
from webhook.live_snapshot import LiveSnapshot
from webhook.object_cache import ObjectCache
from webhook.reader import Reader
from webhook.reviewer import Reviewer
from webhook.rights import RequesterRights
from webhook.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from webhook.admit import Decision, JudgedObject

COUNT = 5000
PENDING = 500
ROUNDS = 2
# Seconds to answer in.
TIMEOUT = 30.0
# Seconds from one plain review to the next.
INTERVAL = 0.002
Raw = dict[str, Any]
Case = tuple[str, "list[Raw]", "list[tuple[Raw, Raw]]", "Raw | None", Raw]


def tool(name: str, served: str, app: str = "shop", namespace: str = "shop", **spec: Any) -> Raw:
    """A tool."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    described = {"description": "Returns one order of the shop by its number.", "inputSchema": schema}
    service = {"service": {"name": "orders", "port": 80}}
    return raw("MCPTool", name, {"name": served, **described, **service, **spec}, app, namespace)


def server(name: str = "main", app: str = "shop", **spec: Any) -> Raw:
    """A server."""
    return raw("MCPServer", name, {"toolSelector": {"matchLabels": {"app": app}}, **spec}, app)


def raw(kind: str, name: str, spec: Raw, app: str, namespace: str = "shop") -> Raw:
    """An object that is stored."""
    metadata = {"name": name, "namespace": namespace, "uid": f"{kind}-{name}", "labels": {"app": app}}
    stored = {"resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": {**metadata, **stored}, "spec": spec}


def cases() -> Iterator[Case]:
    """A name, what is stored, which updates of it are on their way, and a change by its old and new object."""
    tools = [tool(f"tool-{number}", f"get_order_{number}") for number in range(COUNT)]
    elsewhere = server(app="nothing")
    yield "server: create", tools, [], None, server()
    yield "server: widen", tools, [], elsewhere, server()
    yield "server: prefix", tools, [], server(), server(naming={"prefix": "shop_"})
    yield "server: long prefix", tools, [], server(), server(naming={"prefix": f"{'x' * 60}_"})
    yield "server: spec", tools, [], server(), server(config={"requestTimeout": "20s"})
    yield "server: clients", tools, [], server(), server(clients=_profiles())
    yield (
        "server: clients, long names",
        [tool(f"tool-{number}", f"get_order_{number}_{'x' * 60}") for number in range(COUNT)],
        [],
        server(),
        server(clients=_profiles()),
    )
    yield "server: budget", tools, [], server(), server(contextBudget=1000)
    limits = {"tools": {f"limit_{number}": {"requests": 1} for number in range(64)}}
    yield "server: limits", tools, [], server(), server(rateLimits=limits)
    alike = [tool(f"tool-{number}", "get_order") for number in range(COUNT)]
    yield "server: all clash", alike, [], elsewhere, server()
    pairs = [tool(f"tool-{number}", f"get_order_{number // 2}") for number in range(COUNT)]
    yield "server: pairs clash", pairs, [], elsewhere, server()
    long = [tool(f"tool-{number}", f"get_order_{number}", timeout="60s") for number in range(COUNT)]
    yield "server: timeouts", long, [], elsewhere, server()
    servers = [server(f"server-{number}") for number in range(COUNT)]
    one = tool("one", "get")
    yield "tool: create", servers, [], None, one
    yield "tool: labels", [*servers, one], [], one, tool("one", "get", "other")
    yield "tool: rename", [*servers, one], [], one, tool("one", "put")
    prefixed = [server(f"server-{number}", naming={"prefix": f"{'x' * 62}_"}) for number in range(COUNT)]
    yield "tool: create, prefixes", prefixed, [], None, one
    yield "tool: create, clash", [*servers, tool("other", "get")], [], None, one
    budgets = [server(f"server-{number}", contextBudget=1) for number in range(COUNT)]
    yield "tool: create, budgets", budgets, [], None, one
    moves = [(each, tool(each["metadata"]["name"], f"put_{each['metadata']['name']}")) for each in tools[:PENDING]]
    yield "pending: server widens", tools, moves, elsewhere, server()
    widths = [(server(), server(naming={"prefix": f"p{number}_"})) for number in range(7)]
    yield "pending: tool", [*tools, server()], widths, None, one
    selectors = [(server(), server(toolSelector={"matchExpressions": [_exists(n)]})) for n in range(7)]
    yield "pending: tool, selectors", [*tools, server()], selectors, None, one


def _exists(number: int) -> Raw:
    return {"key": "app", "operator": "NotIn", "values": [f"other-{number}"]}


def _profiles() -> list[str]:
    from crd.clients import profiles

    return sorted(profiles.NAMED)[:8]


class Blocks:
    """Ticks in each iteration of the event loop, and notes the CPU time of each iteration."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._is_running = True

    async def run(self) -> None:
        """Until `stop`."""
        last = time.thread_time()
        while self._is_running:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.taken.append(now - last)
            last = now

    def stop(self) -> None:
        """End."""
        self._is_running = False


class Stored:
    """An API server that has these objects."""

    def __init__(self, items: Iterable[Raw]) -> None:
        self._items = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        """See `cluster.transport.Transport`."""
        found = self._items.get((path.split("/")[-3], path.split("/")[-1]))
        if found is None:
            raise ApiError(404, "NotFound", path)
        return found


class Replica:
    """A webhook without its HTTP server, whose watches have shown these objects."""

    def __init__(self, items: Iterable[Raw]) -> None:
        items = [*items]
        self.live = LiveSnapshot(time.monotonic)
        api: Any = Stored(items)
        watched = watches.informers(api, self.live, Clock(time.monotonic, asyncio.sleep, lambda: 0.5), lambda *_: None)
        reader = Reader(api, self.live, watched)
        self.slices = Slices()
        ledgers = Ledgers(api, self.live, reader, self.slices, "mcp-system", now=time.monotonic, jitter=lambda: 0.5)
        rights = RequesterRights(AccessReviews(api, now=time.monotonic))
        self.reviewer = Reviewer(self.live, reader, ledgers, rights, self.slices)
        self._cache = ObjectCache()
        for namespace in ("shop", "plain"):
            service = {"metadata": {"name": "orders", "namespace": namespace}, "spec": {"ports": [{"port": 80}]}}
            fact = extraction.facts_of_foreign({"apiVersion": "v1", "kind": "Service", **service})
            assert fact is not None
            self.live.observe(fact.ref, fact)
        for item in items:
            self.show(item)
        assert self.live.current is not None

    def show(self, item: Raw) -> None:
        """A watch shows it."""
        fact = manifest.decode(item).fact
        assert fact is not None
        self.live.observe(fact.ref, fact)

    def judge(self, old: Raw | None, new: Raw) -> JudgedObject:
        """The judgement of the object alone."""
        metadata = new["metadata"]
        operation = review.Operation.UPDATE if old else review.Operation.CREATE
        asked = review.Review("u", operation, new["kind"], metadata["namespace"], metadata["name"], new, old)
        judged = admit.judge_object(asked, self._cache)
        assert judged is not None
        return judged

    async def review(self, judged: JudgedObject, *, dry_run: bool = False) -> Decision:
        """The review of a change, as the webhook does it."""
        decision = self.reviewer.validate_at_once(judged, dry_run=dry_run)
        if decision is None:
            deadline = asyncio.get_running_loop().time() + TIMEOUT
            requester = Requester("jane")
            decision = await self.reviewer.validate(judged, deadline, requester=requester, dry_run=dry_run)
        return decision

    async def review_plain(self, latencies: list[float]) -> None:
        """Review new tools of another namespace, until it is cancelled."""
        number = 0
        while True:
            judged = self.judge(None, tool(f"plain-{number}", f"plain_{number}", namespace="plain"))
            due = asyncio.get_running_loop().time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            assert (await self.review(judged)).allowed
            latencies.append(asyncio.get_running_loop().time() - due)
            number += 1


async def measure(case: Case) -> tuple[float, float, float, float, list[float], str]:
    """The longest block and the blocks together, the same of the watch, latencies, and what was decided."""
    _, stored, pending, old, new = case
    replica = Replica([*stored, *([old] if old is not None and old not in stored else [])])
    for before, after in pending:
        await replica.review(replica.judge(before, after))
    judged = replica.judge(old, new)
    # As `cluster.informers.collector` does it in the webhook.
    gc.collect()
    gc.freeze()
    latencies: list[float] = []
    keeping = asyncio.create_task(placement.keep_up(replica.live, replica.slices))
    plain = asyncio.create_task(replica.review_plain(latencies))
    await asyncio.sleep(0.02)
    latencies.clear()
    blocks = Blocks()
    ticking = asyncio.create_task(blocks.run())
    await asyncio.sleep(0)
    try:
        decision = await replica.review(judged)
        told = f"{len(decision.verdict.errors)} errors, {len(decision.verdict.warnings)} warnings"
    except TimeoutError:
        told = "no verdict in time"
    assert replica.live.current is not None
    await asyncio.sleep(0)
    blocks.stop()
    await ticking
    plain.cancel()
    await asyncio.gather(plain, return_exceptions=True)
    keeping.cancel()
    shown = await measure_watch(replica, new)
    other = Replica([*stored, *([old] if old is not None and old not in stored else [])])
    shown = max(shown, await measure_watch(other, new))
    return max(blocks.taken), sum(blocks.taken), *shown, latencies, told


async def measure_watch(replica: Replica, new: Raw) -> tuple[float, float]:
    """The longest block and the blocks together, from when a watch shows an object until the snapshot has it."""
    keeping = asyncio.create_task(placement.keep_up(replica.live, replica.slices))
    blocks = Blocks()
    ticking = asyncio.create_task(blocks.run())
    await asyncio.sleep(0)
    blocks.taken.clear()
    replica.show(new)
    assert replica.live.current is not None
    while replica.live.is_behind(new["metadata"]["namespace"]):  # noqa: ASYNC110 -- its blocks are measured
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    blocks.stop()
    await ticking
    keeping.cancel()
    return max(blocks.taken), sum(blocks.taken)


def main(part: str = "") -> int:
    """Print the table."""
    program.spare_collector()
    print("  block   in all    watch   in all   plain p50      max")
    for case in cases():
        if part in case[0]:
            found = [asyncio.run(measure(case)) for _ in range(ROUNDS)]
            times = "".join(f" {min(row[index] for row in found) * 1000:8.1f}" for index in range(4))  # type: ignore[type-var]
            latencies = [seconds * 1000 for row in found for seconds in row[4]] or [0.0]
            beside = f"{statistics.median(latencies):12.1f} {max(latencies):8.1f}"
            print(f"{times[2:]}{beside}  {case[0]}: {found[0][5]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
