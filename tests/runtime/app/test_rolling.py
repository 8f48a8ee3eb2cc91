"""Replicas are replaced one after the other under load, as in a rolling update: no call is lost."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crd.published import catalogs
from crd.published.entries import Backend, Http, Tool
from runtime.mcp.eras import MODERN
from scripts.localcluster.ports import free_port
from tests.runtime.raw_http import rpc

CLIENTS = 8
# Seconds for which the Service still leads to a replica that is stopping.
LAG = 3.0
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
HEADERS = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "get"}


class Replica:
    """A server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port, self.health = free_port(), free_port()
        words = ["--catalog-dir", str(folder), "--host", "127.0.0.1", "--port", str(self.port), "--allow-loopback"]
        more = ["--health-port", str(self.health)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", *words, *more], stderr=subprocess.DEVNULL
        )

    async def ready(self) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    if (await session.get(f"http://127.0.0.1:{self.health}/readyz")).status == 200:
                        return
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 40)


class Balancer:
    """Leads each new connection to the next replica, as a Service does. It knows nothing of HTTP."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.port = 0
        self._turn = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        there = await asyncio.open_connection("127.0.0.1", self.ports[self._turn % len(self.ports)])
        await asyncio.gather(self._pass_on(reader, there[1]), self._pass_on(there[0], writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def close(self) -> None:
        self._server.close()


@pytest.fixture
async def balancer() -> AsyncIterator[Balancer]:
    found = Balancer()
    await found.start()
    yield found
    await found.close()


async def load(url: str, outcomes: Counter[str], stop: asyncio.Event) -> None:
    """Calls over kept connections, one after the other."""
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                body = rpc("tools/call", number, name="get", arguments={"q": str(number)}, _meta=META)
                async with session.post(url, json=body) as answer:
                    result = (await answer.json())["result"]
                    outcomes["error" if result.get("isError") else "answered"] += 1
            except (aiohttp.ClientError, KeyError, ValueError) as error:
                outcomes[f"lost: {error!r}"] += 1


async def test_no_call_is_lost_while_replicas_are_replaced(
    tmp_path: Path, backend: int, balancer: Balancer, catalog_of: Any
) -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    tool = Tool("get", "shop/get", "GET", Backend("127.0.0.1", backend, ""), schema, http=Http("/x"))
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of(sessions="Stateless", tools=(tool,), prompts=())))
    replicas = [Replica(tmp_path) for _ in range(2)]
    outcomes, stop = Counter[str](), asyncio.Event()
    clients: list[asyncio.Task[None]] = []
    try:
        for replica in replicas:
            await replica.ready()
        balancer.ports = [replica.port for replica in replicas]
        url = f"http://127.0.0.1:{balancer.port}/mcp"
        clients = [asyncio.create_task(load(url, outcomes, stop)) for _ in range(CLIENTS)]
        for index in range(2):
            old, new = replicas[index], Replica(tmp_path)
            replicas.append(new)
            await new.ready()
            balancer.ports = [*balancer.ports, new.port]
            begun = time.monotonic()
            leaving = asyncio.create_task(old.stop())
            await asyncio.sleep(LAG)
            balancer.ports = [port for port in balancer.ports if port != old.port]
            assert await leaving == 0
            assert time.monotonic() - begun < 20
        stop.set()
        await asyncio.gather(*clients)
    finally:
        for task in clients:
            task.cancel()
        for replica in replicas:
            replica.process.kill()
            replica.process.wait()
    assert list(outcomes) == ["answered"]
    assert outcomes["answered"] > 1000
