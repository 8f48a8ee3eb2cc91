"""A backend, a Redis server and replicas of the server, all on loopback. The replicas call fake backends."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web

from cluster.connections import Deadlines
from cluster.listener import Listener
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import (
    Backend,
    HttpResource,
    InlineResource,
    Message,
    Operation,
    Parameter,
    Prompt,
    Tool,
    Variable,
)
from crd.published.policy import Bucket
from crd.published.settings import Settings
from runtime.app.catalog_store import CatalogStore
from runtime.auth.authenticator import Authenticator
from runtime.auth.jwks import Fetcher, KeySets
from runtime.backends.faults import CallError, Fate
from runtime.http import responses, server
from runtime.http.endpoint import Endpoint
from runtime.http.exchange import Reply
from runtime.http.streams import Streams
from runtime.mcp.jsonrpc import RpcError
from runtime.mcp.methods import Methods
from runtime.state.limits import Buckets, Limiter, MemoryBuckets
from runtime.state.redis import Redis as Connection
from runtime.state.redis import RedisBuckets, RedisSessions
from runtime.state.redis_servers import Options
from runtime.state.sessions import MemorySessions
from runtime.telemetry.access_log import AccessLog
from runtime.telemetry.metrics import Metrics
from scripts.localcluster import packages
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from cluster.message import Request, Response
    from runtime.app.compiled import CompiledCatalog
    from runtime.mcp.context import Context


class Redis:
    """A redis-server for one test. ``more`` are further command-line arguments. ``resolve`` as in `Servers`."""

    resolve: Any = None

    def __init__(self, *more: str, port: int = 0, address: str = "127.0.0.1") -> None:
        self.port = port or free_port()
        self.address = address
        self.more = list(more)
        self.start()

    def start(self) -> None:
        # Before all options: the file of a Sentinel.
        file = self.more[:1] if self.more and not self.more[0].startswith("--") else []
        own = ["--port", str(self.port), "--save", "", "--bind", self.address]
        command = [shutil.which("redis-server") or "", *file, *own, *self.more[len(file) :]]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((self.address, self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")

    def restart(self, *more: str) -> None:
        """Restart with other arguments."""
        self.kill()
        self.more = list(more)
        self.start()

    def options(self, **more: Any) -> Options:
        """How to connect."""
        return Options("127.0.0.1", self.port, allow_loopback=True, **more)

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
    """The port of an HTTP service. The path selects its answer."""

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
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


FAULTS = {
    "missing": CallError("not_found", "the backend answered 404", Fate.REFUSED, status=404),
    "gone": CallError("unreachable", "the request to 127.0.0.1 failed", is_transient=True),
    "slow": CallError("timeout", "no reply within 1 s", Fate.UNKNOWN),
}


class FakeBackends:
    """Answers with the arguments that it was given, or with the fault that the name selects."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []

    async def call(self, tool: Tool, arguments: Any, context: Context) -> dict[str, Any]:
        self.contexts.append(context)
        if tool.name in FAULTS:
            raise FAULTS[tool.name]
        if tool.name == "odd":
            raise RpcError(-32603, "the backend failed", {"code": -32001})
        if tool.name == "bug":
            raise ZeroDivisionError
        said = {"arguments": arguments, "principal": context.principal}
        text = orjson.dumps(said).decode()
        return {"content": [{"type": "text", "text": text}], "structuredContent": said, "_meta": {"x/y": 1}}

    async def read(self, resource: HttpResource, values: Any, context: Context) -> Reply:
        self.contexts.append(context)
        if resource.name in FAULTS:
            raise FAULTS[resource.name]
        return Reply(200, {"content-type": "application/json"}, orjson.dumps({"read": resource.name, "values": values}))

    async def operate(self, operation: Operation, values: Any, body: bytes | None, context: Context) -> Reply:
        self.contexts.append(context)
        if operation.name == "none":
            return Reply(404, {"content-type": "application/json"}, b'{"title":"No such thing"}')
        if operation.name == "strict":
            raise CallError("invalid_arguments", "/sku: dot segment")
        return Reply(
            200,
            {"content-type": "text/plain"},
            orjson.dumps({"operated": operation.name, "values": values, "body": body}),
        )


async def rest(compiled: CompiledCatalog, request: Request, path: str, body: bytes, context: Context) -> Response:
    """Answers with its arguments."""
    said = {"path": path, "principal": context.principal, "body": body.decode()}
    return responses.json_response(orjson.dumps(said))


BACKEND = Backend("orders.shop.svc", 80, "/orders")


def tool(name: str, **more: Any) -> Tool:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "additionalProperties": False}
    return Tool(name, f"shop/{name}", "POST", BACKEND, more.pop("schema", schema), **more)


REGION = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "size": {"default": 7}},
}


def catalog(**settings: Any) -> Catalog:
    members = {k: settings.pop(k) for k in ("tools", "prompts", "http_resources") if k in settings}
    sku, warehouse = Parameter("sku", "path", required=True), Parameter("warehouse", "query")
    return Catalog("shop/main", Settings(**settings), **{
        "tools": (
            tool("echo", title="Echo", annotations={"readOnlyHint": True}, ingress_path="/echo"),
            tool("rare", rate_limit=Bucket(1, 3600), ingress_path="/rare"),
            tool("region", schema=REGION, output_schema={"type": "array"}),
            *(tool(name) for name in ("bug", "gone", "missing", "odd", "slow")),
        ),
        "prompts": (
            Prompt("greet", "shop/greet", (Message("user", "Dear {{who}}, {{tone}}"),), "Greet", "A greeting",
                   (Variable("who", "Who", required=True),
                    Variable("tone", default="hello", enum=("hello", "howdy", "Hi"))), "/greet"),
            Prompt("review", "shop/review", (
                Message("user", "Mind these:"), Message("user", resource="shop://terms"),
                Message("assistant", resource="shop://logo"), Message("user", resource="shop://price/mug"),
                Message("user", resource="shop://unknown"))),
        ),
        "resources": (
            InlineResource("shop://terms", "terms", "shop/terms", "Terms", text="p",
                           annotations={"audience": ["user"]}),
            InlineResource("shop://logo", "logo", "shop/logo", mime_type="image/png", blob="eA=="),
        ),
        "http_resources": (
            HttpResource("shop://gone", "gone", "shop/gone", BACKEND),
            HttpResource("shop://missing", "missing", "shop/missing", BACKEND),
            HttpResource("shop://price/{sku}", "price", "shop/price", BACKEND, "Price", "Of a thing",
                         "application/json"),
            HttpResource("shop://price/special", "special", "shop/special", BACKEND),
        ),
        "operations": (
            Operation("none", "shop/none", "GET", "/none", BACKEND, "shop://none"),
            Operation("order", "shop/order", "POST", "/order", BACKEND),
            Operation("stock", "shop/stock", "GET", "/stock/{sku}", BACKEND, "mcp://stock/{sku}{?warehouse}", "Stock",
                      parameters=(sku, warehouse)),
            Operation("strict", "shop/strict", "GET", "/strict", BACKEND, "shop://strict"),
        ),
    } | members)  # fmt: skip


class Replica:
    """One replica: its URL, and its state that a test may change."""

    def __init__(
        self, url: str, catalog_store: CatalogStore, listener: Listener, metrics: Metrics, backends: FakeBackends
    ) -> None:
        self.url = url
        self.mcp = f"{url}/mcp"
        self.catalog_store = catalog_store
        self.listener = listener
        self.metrics = metrics
        self.backends = backends
        self.draining = False
        self.app: server.App
        self.streams: Streams

    def serve(self, wanted: Catalog) -> None:
        self.catalog_store.put({"data": {catalogs.FILE: catalogs.dump(wanted).decode()}})

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Replicas:
    """Starts replicas, and stops them at the end. ``now`` is the Unix time for tokens."""

    def __init__(self, secrets: Path) -> None:
        self._open: list[Any] = []
        self._counter = 0
        self.secrets = secrets
        self.log: list[bytes] = []
        self.now = 1_800_000_000.0

    async def start(
        self, wanted: Catalog | None, redis: Redis | None = None, deadlines: Deadlines | None = None
    ) -> Replica:
        backends, metrics = FakeBackends(), Metrics()
        catalog_store = CatalogStore(lambda compiled: streams.apply(compiled))
        stores: dict[str, Any] = {"Memory": MemorySessions(time.monotonic)}
        buckets: Buckets = MemoryBuckets(time.monotonic)
        if redis is not None:
            clock, options = time.monotonic, redis.options()
            connection = Connection(options, monotonic=clock, jitter=lambda: 0.0, resolve=redis.resolve)
            stores["Redis"], buckets = RedisSessions(connection, "test:"), RedisBuckets(connection, "test:")
            self._open.append(connection.close)
        limiter = Limiter(buckets, metrics.uncounted.inc)
        fetcher = Fetcher(cluster_domain="cluster.local", allow_http=True, allow_loopback=True)
        authenticator = Authenticator(self.secrets, KeySets(fetcher.fetch, time.monotonic), lambda: self.now)
        streams = Streams(
            authenticator,
            stores,
            now=lambda: self.now,
            monotonic=time.monotonic,
            on_notify=lambda kind: metrics.notified.labels(kind.value).inc(),
        )
        following = asyncio.create_task(streams.follow())
        self._open.append(lambda: cancel(following))
        replica: Replica

        handler = server.App(
            catalog_store,
            authenticator,
            Endpoint(Methods(backends), stores, limiter, metrics, streams, self._new_id),
            rest,
            limiter,
            metrics,
            AccessLog(self.log.append, lambda: self.now),
            new_id=self._new_id,
            monotonic=time.monotonic,
            now=lambda: self.now,
            draining=lambda: replica.draining,
            deadlines=deadlines or Deadlines(),
        )
        listener = await server.listen(handler, "127.0.0.1", 0)
        replica = Replica(f"http://127.0.0.1:{listener.port}", catalog_store, listener, metrics, backends)
        replica.app = handler
        replica.streams = streams
        self._open.append(lambda: listener.close(0))
        if wanted is not None:
            replica.serve(wanted)
        return replica

    def _new_id(self) -> str:
        self._counter += 1
        return f"id-{self._counter}"

    async def close(self) -> None:
        for each in reversed(self._open):
            await each()


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    made = Replicas(tmp_path / "secrets")
    yield made
    await made.close()


@pytest.fixture
def catalog_of() -> Any:
    return catalog
