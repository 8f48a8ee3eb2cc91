"""A pod stays within the memory that it requests by default."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.workloads.deployment import MEMORY_REQUEST
from crd import extraction, manifest
from crd.compiler import compilation
from crd.published import catalogs
from crd.snapshot import Snapshot
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
TOOLS = 400


def decoded(kind: str, name: str, spec: dict[str, Any]) -> manifest.Object:
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "shop"}}
    return manifest.decode({"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})


def tools() -> Iterator[manifest.Object]:
    argument = {"type": "string", "description": "An argument of the tool, as clients see it.", "pattern": "^[a-z]+$"}
    schema = {"type": "object", "properties": {f"argument_{n}": argument for n in range(12)}}
    for number in range(TOOLS):
        spec = {"service": {"name": "orders", "port": 80}, "description": "Returns one order. " * 15}
        yield decoded("MCPTool", f"tool-{number}", {**spec, "inputSchema": schema})


def catalog() -> bytes:
    server = decoded("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}})
    metadata = {"name": "orders", "namespace": "shop"}
    service = extraction.service_fact({"metadata": metadata, "spec": {"ports": [{"name": "http", "port": 80}]}})
    items = [*tools()]
    facts = (item.fact for item in (server, *items))
    snapshot = Snapshot.of([service, *(fact for fact in facts if fact is not None)])
    return catalogs.dump(compilation.compile_server(server, items, snapshot, None).catalog)


def is_ready(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_a_pod_with_a_large_catalog_stays_within_its_request(tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_bytes(catalog())
    health = str(free_port())
    ports = ("--host", "127.0.0.1", "--port", "0", "--health-port", health, "--drain-seconds", "0")
    command = [sys.executable, "-m", "cli", "serve", "--catalog-dir", str(tmp_path), *ports]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not is_ready(health) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert is_ready(health)
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    finally:
        process.terminate()
        process.wait(30)

    assert peak is not None
    assert int(peak[1]) / 1024 < 0.9 * int(MEMORY_REQUEST.removesuffix("Mi"))
