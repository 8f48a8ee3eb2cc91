"""How long `mcp-operator dev` takes from a save to the new catalog: ``python -m scripts.bench.dev``.

500 tools of one server, as files of their own and as one file. The time contains the wait until the files are looked at
again. Prints the median of the saves, and the CPU time of one.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from cli.commands import dev
from scripts.bench import fake_api

TOOLS, SAVES, BUDGET = 500, 15, 0.5
REST = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPServer
metadata: {name: main, namespace: shop}
spec: {toolSelector: {matchLabels: {app: shop}}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{port: 80}]}
"""


def tool(number: int) -> dict[str, Any]:
    """A tool with eight arguments."""
    spec = fake_api.tool(number)["spec"]
    properties = dict(list(spec["inputSchema"]["properties"].items())[:8])
    spec["inputSchema"]["properties"] = properties
    spec["http"] = {
        "path": "/orders/{id}",
        "query": [{"name": name, "argument": name} for name in properties if name != "id"],
    }
    metadata = {"name": f"tool-{number}", "namespace": "shop", "labels": {"app": "shop"}}
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPTool", "metadata": metadata, "spec": spec}


def save(file: Path, number: int) -> None:
    """Change one description."""
    file.write_text(file.read_text().replace("Returns one order", f"Returns one order{number % 10}", 1))


async def measure(folder: Path, saved: Path) -> tuple[float, float]:
    """Seconds from a save until it is served, and seconds of CPU."""
    with tempfile.TemporaryDirectory() as values:
        workspace = dev.Workspace(dev.Options((str(folder),)), Path(values), out=io.StringIO())
        await workspace.reload()
        assert len(workspace.plan.servers[0].catalog.tools) == TOOLS
        seconds, used = [], []
        try:
            for number in range(SAVES):
                save(saved, number)
                started, cpu = time.perf_counter(), time.process_time()
                await workspace.reload()
                # On average half of the time between two looks passes before.
                seconds.append(time.perf_counter() - started + dev.POLL / 2)
                used.append(time.process_time() - cpu)
                assert f"Returns one order{number % 10}" in str(workspace.plan.servers[0].catalog.tools)
        finally:
            await workspace.servers.close()
        return statistics.median(seconds), statistics.median(used)


def main() -> None:
    """Print the figures of both layouts."""
    documents = [yaml.dump(tool(number)) for number in range(TOOLS)]
    for layout in ("a file each", "one file"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "server.yaml").write_text(REST)
            if layout == "one file":
                saved = folder / "tools.yaml"
                saved.write_text("---\n".join(documents))
            else:
                for number, document in enumerate(documents):
                    saved = folder / f"tool-{number}.yaml"
                    saved.write_text(document)
            seconds, cpu = asyncio.run(measure(folder, saved))
            print(f"{TOOLS} tools, {layout}: {seconds:.2f} s from save to served, {cpu:.2f} s CPU (must be < {BUDGET})")


if __name__ == "__main__":
    main()
