"""A backend, a Redis and servers in front of them, all on loopback."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from crd import published
from crd.published import Backend, Catalog, InlineResource, Operation, Parameter, Prompt, Settings, Tool, Variable
from runtime import redis as door
from runtime import server
from runtime.catalog import Holder
from runtime.metrics import Metrics
from runtime.protocol import Protocol
from runtime.sessions import MemorySessions
from runtime.upstream import Upstream
from scripts.localcluster import packages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Redis:
    """A redis-server of one test."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = [shutil.which("redis-server") or "", "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis() -> Iterator[Redis]:
    packages.ensure(packages.REDIS)
    found = Redis()
    yield found
    found.kill()


@pytest.fixture
async def backend() -> AsyncIterator[int]:
    """An HTTP service whose answer the path asks for; gives its port."""

    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/echo":
                return web.json_response(
                    {"method": request.method, "query": dict(request.query), "body": await request.text()}
                )
            case "/list":
                return web.json_response([1, 2])
            case "/text":
                return web.Response(text="hello")
            case "/missing":
                return web.json_response({"title": "No such thing"}, status=404)
            case "/denied":
                return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
            case "/away":
                return web.Response(status=302, headers={"Location": "/echo"})
            case "/huge":
                return web.Response(body=b"x" * (1024 * 1024 + 1))
            case "/slow":
                await asyncio.sleep(30)
        return web.json_response({"path": request.path, "query": dict(request.query)})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


def catalog(port: int, **settings: Any) -> Catalog:
    def tool(name: str, method: str = "POST", path: str = "", **more: Any) -> Tool:
        schema = {"type": "object", "properties": {"q": {"type": "string"}}}
        return Tool(name, f"shop/{name}", method, Backend("127.0.0.1", port, path or f"/{name}"), schema, **more)

    names = ("away", "denied", "huge", "list", "missing", "slow", "text")
    warehouse, sku = Parameter("warehouse", "query"), Parameter("sku", "path", required=True)
    trace = Parameter("X-Trace", "header")
    return Catalog(
        "shop/main",
        Settings(**{"request_timeout": 1.0, **settings}),
        tools=(tool("echo", ingress_path="/echo"), tool("find", "GET", "/echo"), *map(tool, names),
               Tool("gone", "shop/gone", "POST", Backend("127.0.0.1", 1), {"type": "object"}),
               Tool("lost", "shop/lost", "POST", Backend("127.0.0.1", 0), {"type": "object"})),
        prompts=(Prompt("greet", "shop/greet", "Dear {{who}}, {{tone}}", "A greeting",
                        (Variable("who", required=True), Variable("tone", default="hello")), "/greet"),
                 Prompt("plain", "shop/plain", "Just this")),
        resources=(InlineResource("shop://terms", "terms", "shop/terms", "Terms", text="pay"),
                   InlineResource("shop://logo", "logo", "shop/logo", mime_type="image/png", blob="eA==")),
        operations=(
            Operation("stock", "shop/stock", "GET", "/stock/{sku}", Backend("127.0.0.1", port, "/stock/{sku}"),
                      "mcp://stock/{sku}{?warehouse}", "Stock", parameters=(sku, warehouse, trace)),
            Operation("all", "shop/all", "GET", "/all", Backend("127.0.0.1", port, "/text"), "shop://all"),
            Operation("none", "shop/none", "GET", "/none", Backend("127.0.0.1", port, "/missing"), "shop://none"),
            Operation("off", "shop/off", "GET", "/off", Backend("127.0.0.1", 1, "/"), "shop://off"),
            Operation("order", "shop/order", "POST", "/order", Backend("127.0.0.1", port, "/echo")),
        ),
    )  # fmt: skip


class Front:
    """One replica: its URL, and what a test may change of it."""

    def __init__(self, url: str, holder: Holder, runner: web.AppRunner) -> None:
        self.url = url
        self.mcp = f"{url}/mcp"
        self.holder = holder
        self.runner = runner
        self.draining = False

    def serve(self, wanted: Catalog) -> None:
        self.holder.put({"data": {published.FILE: published.dump(wanted).decode()}})


class Fronts:
    """Makes replicas, and takes them down at the end."""

    def __init__(self) -> None:
        self._open: list[Any] = []
        self._counter = 0

    async def start(self, wanted: Catalog | None, redis: Redis | None = None) -> Front:
        holder, upstream = Holder(), Upstream(allow_loopback=True)
        stores: dict[str, Any] = {"Memory": MemorySessions(time.monotonic)}
        if redis is not None:
            connection = door.connect("127.0.0.1", redis.port)
            stores["Redis"] = door.RedisSessions(connection, "test:")
            self._open.append(connection.aclose)
        front: Front

        def mint() -> str:
            self._counter += 1
            return f"id-{self._counter}"

        handler = server.Front(
            holder, upstream, Protocol(upstream), stores, Metrics(),
            mint=mint, monotonic=time.monotonic, draining=lambda: front.draining,
        )  # fmt: skip
        runner = web.AppRunner(server.application(handler), shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        front = Front(f"http://127.0.0.1:{runner.addresses[0][1]}", holder, runner)
        self._open += [upstream.close, runner.cleanup]
        if wanted is not None:
            front.serve(wanted)
        return front

    async def close(self) -> None:
        for each in reversed(self._open):
            await each()


@pytest.fixture
async def fronts() -> AsyncIterator[Fronts]:
    made = Fronts()
    yield made
    await made.close()


@pytest.fixture
def catalog_of() -> Any:
    return catalog
