"""A process whose backend is an MCP server that changes: what it reports, refuses and lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from crd.published import catalogs, pins
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Mcp, Tool
from crd.published.settings import Settings
from runtime.app import program
from scripts.localcluster.ports import free_port
from tests.runtime import raw_http

MARK = "FOREIGN"
FIND: dict[str, Any] = {
    "name": "find",
    "description": "Finds an order of the shop.",
    "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}},
}
SAVE: dict[str, Any] = {"name": "save", "description": "Saves an order of the shop.", "inputSchema": {"type": "object"}}


class Backing:
    """An MCP server over HTTP; ``tools`` is what it lists."""

    def __init__(self) -> None:
        self.tools: list[dict[str, Any]] = [FIND, SAVE]
        self.status = 200
        self.lists = 0
        self.called: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        message = await request.json()
        match message.get("method"):
            case "server/discover":
                result: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "instructions": MARK}
            case "tools/list":
                self.lists += 1
                if self.status != 200:
                    return web.Response(status=self.status, text=MARK)
                result = {"tools": self.tools, "_meta": {"x/y": MARK}}
            case _:
                self.called.append(message["params"]["name"])
                result = {"content": [{"type": "text", "text": "done"}]}
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})


@pytest.fixture
async def backing() -> AsyncIterator[tuple[Backing, int]]:
    found = Backing()
    app = web.Application()
    app.router.add_post("/mcp", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield found, runner.addresses[0][1]
    await runner.cleanup()


def pinned(port: int, listed: dict[str, Any], on_drift: str) -> Tool:
    name = listed["name"]
    mcp = Mcp("/mcp", name, pin=pins.pin_of(listed), on_drift=on_drift)
    backend = Backend("127.0.0.1", port)
    schema = listed["inputSchema"]
    return Tool(name, f"shop/{name}", "POST", backend, schema, description=listed["description"], mcp=mcp)


class Pod:
    """A process of the server."""

    def __init__(self, port: int, health_port: int) -> None:
        self.port, self.health_port = port, health_port

    async def statusz(self) -> dict[str, Any]:
        text = await self._read("statusz")
        assert len(text) < 4096
        return dict(json.loads(text))

    async def metric(self, name: str) -> float:
        lines = (await self._read("metrics")).splitlines()
        return float(next((line.rpartition(" ")[2] for line in lines if line.startswith(name)), "0"))

    async def _read(self, page: str) -> str:
        url = f"http://127.0.0.1:{self.health_port}/{page}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    async def ask(self, method: str, **params: Any) -> str:
        _, _, answer = await raw_http.modern(f"http://127.0.0.1:{self.port}/mcp", method, **params)
        return json.dumps(answer)

    async def lists(self) -> str:
        """The tools that clients of both eras list."""
        url = f"http://127.0.0.1:{self.port}/mcp"
        _, _, legacy = await raw_http.send(url, body=raw_http.rpc("tools/list"))
        assert "result" in legacy
        return json.dumps(legacy) + await self.ask("tools/list")

    async def until(self, verdicts: str) -> None:
        async with asyncio.timeout(15):
            while (await self.statusz())["pins"] != verdicts:
                await asyncio.sleep(0.02)


async def start(directory: Path, *tools: Tool, **more: Any) -> tuple[asyncio.Event, asyncio.Task[None], Pod]:
    payload = catalogs.dump(Catalog("shop/main", Settings(sessions="Stateless"), tools=tools))
    (directory / catalogs.FILE).write_bytes(payload)
    pod, stop = Pod(free_port(), free_port()), asyncio.Event()
    settings = program.Settings(
        directory, host="127.0.0.1", port=pod.port, health_port=pod.health_port, drain_seconds=0.1,
        allow_loopback=True, probe_seconds=0.3, **more,
    )  # fmt: skip
    task = asyncio.create_task(program.run(settings, stop))
    async with asyncio.timeout(15):
        while True:
            try:
                await pod.statusz()
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)
            else:
                return stop, task, pod


async def test_a_change_of_the_server_is_reported_refused_and_never_listed(
    tmp_path: Path, backing: tuple[Backing, int]
) -> None:
    server, port = backing
    stop, task, pod = await start(tmp_path, pinned(port, FIND, "Refuse"), pinned(port, SAVE, "Report"))
    await pod.until("2A")
    before = await pod.lists()
    assert "Finds an order" in before

    for tool in (
        {**FIND, "description": f"{MARK} deletes everything"},
        {**FIND, "title": MARK, "annotations": {"title": MARK, "readOnlyHint": True}, "outputSchema": {"title": MARK}},
        {**FIND, "inputSchema": {"type": "object", "properties": {MARK: {"type": "string"}}}},
    ):
        server.tools = [tool, SAVE, {**SAVE, "name": MARK}]
        expected = str(pins.encode([pins.compare(pins.pin_of(FIND), [pins.pin_of(tool)]), pins.AS_PINNED], 100))
        await pod.until(expected)
        listed = await pod.lists()
        assert listed == before
        assert MARK not in listed + json.dumps(await pod.statusz())
    assert await pod.metric("mcp_server_pinned_tools_drifted") == 1

    refused = await pod.ask("tools/call", name="find", arguments={})
    assert "no longer lists it as it was reviewed: changed: inputSchema; calls are refused until" in refused
    assert "drifted" in refused
    assert "done" in await pod.ask("tools/call", name="save", arguments={})
    assert server.called == ["save"]

    # A server that cannot be asked changes no verdict.
    server.status, asked = 503, server.lists
    async with asyncio.timeout(15):
        while server.lists < asked + 2:
            await asyncio.sleep(0.02)
    assert (await pod.statusz())["pins"] == expected
    assert await pod.metric('mcp_server_pin_probes_total{result="failed"}') >= 1

    server.status, server.tools = 200, [SAVE, FIND]
    await pod.until("2A")
    assert "done" in await pod.ask("tools/call", name="find", arguments={})
    stop.set()
    await task


async def test_pods_with_redis_share_their_probes(tmp_path: Path, backing: tuple[Backing, int], redis: Any) -> None:
    server, port = backing
    pods = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        tools = (pinned(port, FIND, "Refuse"), pinned(port, SAVE, "Report"))
        pods.append(await start(tmp_path / name, *tools, redis=redis.options()))
    for _, _, pod in pods:
        await pod.until("2A")
    server.tools = [SAVE]
    for _, _, pod in pods:
        await pod.until("xA")
        assert "no longer lists it" in await pod.ask("tools/call", name="find", arguments={})

    async def probes() -> float:
        return sum([await pod.metric('mcp_server_pin_probes_total{result="complete"}') for _, _, pod in pods])

    async with asyncio.timeout(20):
        # A probe is complete a little after the server has answered it.
        while await probes() != server.lists:
            await asyncio.sleep(0.05)
    for stop, task, _ in pods:
        stop.set()
        await task


async def test_the_verdicts_of_many_tools_fit_into_the_status(tmp_path: Path, backing: tuple[Backing, int]) -> None:
    server, port = backing
    listed = [{**FIND, "name": f"t{number:04}"} for number in range(1500)]
    server.tools = [
        {**tool, "description": f"Other {index}."} if index % 2 else tool for index, tool in enumerate(listed)
    ]
    stop, task, pod = await start(tmp_path, *(pinned(port, tool, "Report") for tool in listed))
    async with asyncio.timeout(20):
        while (await pod.statusz())["pins"].startswith("1500?"):
            await asyncio.sleep(0.05)
    found = pins.decode((await pod.statusz())["pins"], 1500)
    assert found is not None
    known = [verdict for verdict in found if verdict is not None]
    assert len(known) >= 1400
    assert [verdict.changed for verdict in known[:4]] == [(), ("description",)] * 2
    stop.set()
    await task
