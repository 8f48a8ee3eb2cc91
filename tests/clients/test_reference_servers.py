"""The reference servers of MCP are imported as they are; what is imported passes `check` and is called."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from mcp import Client

from cli.__main__ import main
from crd import manifest
from crd.compiler import members
from crd.published import catalogs
from crd.snapshot import Snapshot
from runtime.app import program
from scripts.clients import node
from scripts.localcluster.ports import free_port

TOOLS = {"everything": 12, "filesystem": 14, "memory": 9, "sequential-thinking": 1}


def command(server: str) -> str:
    return str(node.install() / "node_modules" / ".bin" / f"mcp-server-{server}")


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err, before = io.StringIO(), io.StringIO(), (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        code = main(words)
    finally:
        sys.stdout, sys.stderr = before
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("server", TOOLS)
def test_a_reference_server_is_imported_and_passes_check(server: str, tmp_path: Path) -> None:
    words = shlex.join([command(server), *([str(tmp_path)] if server == "filesystem" else [])])
    output = tmp_path / "tools.yaml"

    code, _, err = run(
        "import", "mcp", "--stdio", words, "--service", f"{server}:8000", "--server", server, "-o", str(output)
    )  # fmt: skip
    assert code == 0, err
    tools = "1 tool" if TOOLS[server] == 1 else f"{TOOLS[server]} tools"
    told = "1 NotSupported" if server == "everything" else f"{tools}: {TOOLS[server]} MCPTool"
    assert told in err

    code, out, err = run("check", str(output), "--format", "json")
    assert code == 0, out + err
    assert {each["level"] for each in json.loads(out)["findings"]} == {"warning"}
    assert len([*yaml.safe_load_all(output.read_text())]) == TOOLS[server] + 1

    # Again, nothing has changed.
    before = output.read_text()
    code, _, err = run(
        "import", "mcp", "--stdio", words, "--service", f"{server}:8000", "--server", server, "-o", str(output)
    )  # fmt: skip
    assert (code, output.read_text(), "updated" in err) == (0, before, False)


@asynccontextmanager
async def everything() -> AsyncIterator[int]:
    """The port of server-everything over Streamable HTTP."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "env",
        f"PORT={port}",
        command("everything"),
        "streamableHttp",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/"):
                        break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
        yield port
    finally:
        process.kill()
        await process.wait()


def catalog(objects: str, port: int) -> bytes:
    """A published catalog of imported tools, with their Service at a port of this machine."""
    entries: dict[str, Any] = {}
    for raw in yaml.safe_load_all(objects):
        for placed in members.place(members.compile_member(manifest.decode(raw)), "", lambda _claim: True, Snapshot()):
            entry = entries[placed.key] = orjson.loads(placed.text)
            entry["backend"] |= {"host": "127.0.0.1", "port": port}
    tools = [entries[name] for name in sorted(entries)]
    return orjson.dumps({"format": catalogs.FORMAT, "server": "shop/main", "tools": tools})


async def test_imported_tools_are_as_pinned_and_are_called_through_the_runtime(tmp_path: Path) -> None:
    async with everything() as port:
        url = f"http://127.0.0.1:{port}/mcp"
        code, objects, err = await asyncio.to_thread(run, "import", "mcp", url, "--service", "everything:3001")
        assert code == 0, err
        (tmp_path / catalogs.FILE).write_bytes(catalog(objects, port))
        ports, stop = (free_port(), free_port()), asyncio.Event()
        settings = program.Settings(
            tmp_path, host="127.0.0.1", port=ports[0], health_port=ports[1], drain_seconds=0.1, allow_loopback=True
        )
        task = asyncio.create_task(program.run(settings, stop))
        try:
            async with asyncio.timeout(60), aiohttp.ClientSession() as session:
                pins = "?"
                while pins != "12A":
                    await asyncio.sleep(0.05)
                    try:
                        async with session.get(f"http://127.0.0.1:{ports[1]}/statusz") as answer:
                            pins = (await answer.json())["pins"]
                    except aiohttp.ClientConnectorError:
                        continue
            async with Client(f"http://127.0.0.1:{ports[0]}/mcp") as client:
                listed = {tool.name for tool in (await client.list_tools()).tools}
                echoed = await client.call_tool("echo", {"message": "hello"})
                total = await client.call_tool("get-sum", {"a": 2, "b": 3})
        finally:
            stop.set()
            await task

    assert len(listed) == 12
    assert "hello" in str(echoed.content)
    assert "5" in str(total.content)
