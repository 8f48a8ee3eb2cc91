"""The official TypeScript clients, of both generations and in both eras, hear of a change and list again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Tool
from crd.published.settings import Settings
from runtime.app import program
from scripts.clients import node
from scripts.localcluster.ports import free_port

CLIENTS = {"v1", "v2", "v2 stateless"}


def catalog(*names: str) -> bytes:
    tools = (Tool(name, f"shop/{name}", "POST", Backend("a.b.svc", 80, ""), {"type": "object"}) for name in names)
    return catalogs.dump(Catalog("shop/main", Settings(), tools=tuple(tools)))


async def test_typescript_clients_list_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "POLL", 0.05)
    directory = await asyncio.to_thread(node.install)
    (tmp_path / catalogs.FILE).write_bytes(catalog("first"))
    stop, port = asyncio.Event(), free_port()
    settings = program.Settings(tmp_path, host="127.0.0.1", port=port, health_port=free_port(), drain_seconds=0.0)
    running = asyncio.create_task(program.run(settings, stop))
    pipe = asyncio.subprocess.PIPE
    url = f"http://127.0.0.1:{port}/mcp"
    process = await asyncio.create_subprocess_exec("node", "listen.mjs", url, cwd=directory, stdin=pipe, stdout=pipe)
    assert process.stdout is not None

    async def read(member: str) -> dict[str, Any]:
        """What each client says first that has this member."""
        assert process.stdout is not None
        said: dict[str, Any] = {}
        async with asyncio.timeout(60):
            while said.keys() != CLIENTS:
                line = await process.stdout.readline()
                assert line, "listen.mjs has ended"
                found = json.loads(line)
                if member in found:
                    said[found["client"]] = found[member]
        return said

    try:
        await read("listens")
        async with asyncio.timeout(20):
            # With a session, the client opens its stream after it has said so.
            while b"mcp_server_streams 3.0" not in await metrics(settings.health_port):
                await asyncio.sleep(0.05)
        (tmp_path / catalogs.FILE).write_bytes(catalog("first", "second"))
        assert await read("tools") == {client: ["first", "second"] for client in CLIENTS}
    finally:
        process.kill()
        await process.wait()
        stop.set()
        await running


async def metrics(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer
