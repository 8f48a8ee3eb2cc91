"""Measures the cost of validating a change with a small and a large snapshot: ``python -m scripts.benchmark``.

Prints the median time of each kind of change for both snapshots, their ratio, and the memory of one object's facts.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from crd import extraction, integrity, manifest
from crd.integrity import Change
from crd.snapshot import Snapshot

SMALL, LARGE = 100, 50_000
PER_SERVER = 50
ROUNDS = 400


def tool(number: int, **spec: Any) -> dict[str, Any]:
    """One tool of a team, as a person would write it."""
    team = number // PER_SERVER
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {
            "name": f"tool-{number}",
            "namespace": f"team-{team}",
            "labels": {"app": "shop", "tier": "backend", "app.kubernetes.io/part-of": f"team-{team}"},
            "uid": f"{number:036}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "name": f"get_order_{number}",
            "description": "Returns one order of the shop by its number, with its lines and its state.",
            "service": {"name": "orders", "port": 80, "path": "/api"},
            "method": "GET",
            "http": {"path": "/orders/{id}", "query": [{"name": "verbose", "argument": "verbose"}]},
            "inputSchema": {
                "type": "object",
                "required": ["id"],
                "properties": {"id": {"type": "string", "pattern": "^[0-9]+$"}, "verbose": {"type": "boolean"}},
            },
            **spec,
        },
    }


def background(team: int) -> list[dict[str, Any]]:
    """The server of a team and the Service behind its tools."""
    metadata = {"namespace": f"team-{team}", "name": "orders"}
    selector = {"matchLabels": {"app.kubernetes.io/part-of": f"team-{team}"}}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}},
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPServer",
            "metadata": {**metadata, "name": "main"},
            "spec": {"toolSelector": selector},
        },
    ]


def build_snapshot(size: int) -> Snapshot:
    """A snapshot of this many tools, fifty a namespace and server."""
    snapshot = Snapshot()
    for number in range(size):
        if number % PER_SERVER == 0:
            service, server = background(number // PER_SERVER)
            for fact in (extraction.facts_of_foreign(service), manifest.decode(server).fact):
                snapshot = snapshot.put(fact) if fact is not None else snapshot
        fact = manifest.decode(tool(number)).fact
        snapshot = snapshot.put(fact) if fact is not None else snapshot
    return snapshot


def changes(number: int) -> dict[str, Change]:
    """A change of each kind to one tool."""
    old = manifest.decode(tool(number))
    edit = manifest.decode(tool(number, title="Order"))
    rename = manifest.decode(tool(number, name=f"order_{number}"))
    clash = manifest.decode(tool(number, name=f"get_order_{number - number % PER_SERVER + (number + 1) % PER_SERVER}"))
    new = manifest.decode({**tool(number, name="new"), "metadata": {**tool(number)["metadata"], "name": "new"}})
    return {
        "edit": Change(old.ref, old, edit),
        "rename": Change(old.ref, old, rename),
        "clash": Change(old.ref, old, clash),
        "create": Change(new.ref, None, new),
        "delete": Change(old.ref, old, None),
    }


def medians(snapshot: Snapshot, size: int) -> dict[str, float]:
    """Median microseconds of judging a change that is decoded already, by its kind."""
    taken: dict[str, list[float]] = {}
    for round_ in range(ROUNDS):
        for name, change in changes(round_ * 7919 % size).items():
            started = time.perf_counter_ns()
            integrity.judge(snapshot, change)
            taken.setdefault(name, []).append((time.perf_counter_ns() - started) / 1000)
    return {name: statistics.median(values) for name, values in taken.items()}


def resident() -> int:
    """Bytes that the process holds: the indexes are not all Python's own memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Print the table."""
    small = build_snapshot(SMALL)
    gc.collect()
    before = resident()
    large = build_snapshot(LARGE)
    gc.collect()
    used = resident() - before
    gc.freeze()
    few, many = medians(small, SMALL), medians(large, LARGE)
    print(f"{'change':10}{f'{SMALL} tools':>14}{f'{LARGE} tools':>16}{'ratio':>8}")
    for name, value in few.items():
        print(f"{name:10}{value:11.0f} µs{many[name]:13.0f} µs{many[name] / value:8.2f}")
    print(f"facts and indexes: {used / len(large) / 1024:.2f} KiB an object")
    return 0


if __name__ == "__main__":
    sys.exit(main())
