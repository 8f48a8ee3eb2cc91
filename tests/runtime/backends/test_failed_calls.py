"""What a call that fails leaves behind: nothing that the garbage collector would have to look for."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.message import Request
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, HttpResource, Mcp, Tool
from crd.published.policy import Breaker, Policy, Retries
from crd.published.settings import Settings
from runtime.app.compiled import CompiledCatalog
from runtime.backends.dispatch import Dispatcher
from runtime.backends.faults import CallError
from runtime.backends.mcp.client import McpClient
from runtime.backends.secret_files import SecretFiles
from runtime.http import pool, rest
from runtime.http.client import HttpClient
from runtime.mcp.context import Context
from runtime.mcp.eras import MODERN, Call
from runtime.mcp.jsonrpc import RpcError
from runtime.mcp.methods import Methods
from runtime.telemetry.call_record import CallRecord
from scripts.localcluster.ports import free_port

OF_A_CALL = (
    CallRecord, Context, CallError, RpcError,
    pool._Exchange, pool.LateError, pool.LostError, pool.MalformedError, pool.NotConnectedError,
)  # fmt: skip
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
SOON, NEVER = 0.25, 3600.0
POLICY = Policy(timeout=SOON)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(answer: bytes, *, ends: bool = True) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not ends:
            await reader.read()
        writer.close()

    return serve


SILENT = answering(b"", ends=False)
FAILING = answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno")
# By what the client reads: who answers (None: nobody listens there), under which policy.
ROWS: dict[str, tuple[Serve | None, Policy]] = {
    "unreachable": (None, Policy()),
    "disconnected": (answering(b""), Policy()),
    "timeout: silent": (SILENT, POLICY),
    "timeout: dripping": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", ends=False), POLICY),
    "bad_response: not HTTP": (answering(b"hello\r\n\r\n"), Policy()),
    "bad_response: ends early": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), Policy()),
    "upstream_error": (FAILING, Policy()),
    "not_found": (answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"), Policy()),
    "unavailable: open": (None, Policy(breaker=Breaker(1, NEVER))),
    "unreachable: after a retry": (None, Policy(retries=Retries(1, ("connect",)))),
}


@pytest.fixture
def unused() -> int:
    """A port at which nobody listens."""
    return free_port()


class Stack:
    """The methods of MCP above calls of real backends."""

    def __init__(self, folder: Path, tools: tuple[Tool, ...], resources: tuple[HttpResource, ...] = ()) -> None:
        files = SecretFiles(folder, folder)
        self.http = HttpClient(files, allow_loopback=True, lookup=self.look_up)
        self.dispatcher = Dispatcher(
            files,
            self.http,
            McpClient(self.http, new_id=lambda: "id"),
            monotonic=time.monotonic,
            jitter=lambda: 0.0,
            new_id=lambda: "id",
        )
        settings = Settings(path_prefix="/mcp")
        self.compiled = CompiledCatalog.load(
            catalogs.dump(Catalog("shop/main", settings, tools, http_resources=resources))
        )

    async def look_up(self, _: str) -> Any:
        await asyncio.sleep(NEVER)

    async def ask(self, method: str, **params: Any) -> bytes:
        context = Context("r-1", record=CallRecord("r-1"))
        try:
            return await Methods(self.dispatcher).answer(self.compiled, Call(method, params, 1, True), MODERN, context)
        except RpcError as error:
            return error.message.encode()

    async def post(self, path: str) -> bytes:
        request, context = Request("POST", f"/mcp{path}", {}), Context("r-1", record=CallRecord("r-1"))
        return (await rest.answer(self.compiled, self.dispatcher, request, path, b"{}", context)).body

    async def close(self) -> None:
        await self.dispatcher.close()


def a_tool(port: int, policy: Policy, host: str = "127.0.0.1", **more: Any) -> Tool:
    backend = Backend(host, port, "")
    return Tool("a", "shop/a", "GET", backend, SCHEMA, http=Http("/x"), policy=policy, ingress_path="/a", **more)


def left(before: frozenset[int] = frozenset()) -> list[Any]:
    """What there is of calls, except what was there ``before``."""
    return [each for each in gc.get_objects() if type(each) in OF_A_CALL and id(each) not in before]


async def expect_nothing_left(make_call: Callable[[], Awaitable[bytes]], told: str) -> None:
    """Make a call twice. What the second one left would still be there, because nothing is collected."""
    await make_call()
    gc.collect()
    gc.disable()
    try:
        before = frozenset(map(id, left()))
        assert told.encode() in await make_call()
        async with asyncio.timeout(5):
            # The event loop reports later that a connection is closed.
            while left(before):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"left: {[type(each).__name__ for each in left(before)]}") from None
    finally:
        gc.enable()


@asynccontextmanager
async def listening(serve: Serve | None, port: int) -> AsyncIterator[int]:
    """The port of a backend; without one, a port at which nobody listens."""
    if serve is None:
        yield port
        return
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("row", ROWS)
async def test_a_failed_call_leaves_nothing_to_the_garbage_collector(tmp_path: Path, row: str, unused: int) -> None:
    serve, policy = ROWS[row]
    async with listening(serve, unused) as port:
        stack = Stack(tmp_path, (a_tool(port, policy),))
        await expect_nothing_left(lambda: stack.ask("tools/call", name="a"), row.partition(":")[0])
        await expect_nothing_left(lambda: stack.post("/a"), "")
        await stack.close()


async def test_a_call_that_is_refused_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    async with listening(SILENT, 0) as port:
        stack = Stack(tmp_path, (a_tool(port, Policy(timeout=5.0, concurrency=1)),))
        first = asyncio.create_task(stack.ask("tools/call", name="a"))
        await asyncio.sleep(0)
        await expect_nothing_left(lambda: stack.ask("tools/call", name="a"), "which is the limit")
        await expect_nothing_left(lambda: stack.ask("tools/call", name="a", arguments={"q": 1}), "invalid_arguments")
        await expect_nothing_left(lambda: stack.ask("tools/call", name="b"), "Unknown tool")
        await expect_nothing_left(lambda: stack.ask("resources/read", uri="shop://b"), "Resource not found")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await stack.close()


async def test_a_connection_that_takes_too_long_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    stack = Stack(tmp_path, (a_tool(80, POLICY, "a.shop.svc"),))
    await expect_nothing_left(lambda: stack.ask("tools/call", name="a"), "no connection to a.shop.svc")
    await stack.close()


@pytest.mark.parametrize("told", ["unreachable", "timeout", "upstream_error"])
@pytest.mark.parametrize("protocol", ["Modern", "Legacy"])
async def test_neither_does_a_call_of_another_mcp_server(tmp_path: Path, told: str, protocol: str, unused: int) -> None:
    policy = Policy(timeout=SOON if told == "timeout" else None, retries=Retries(1, ("connect", "5xx")))
    more = {"mcp": Mcp("/mcp", "a", protocol), "annotations": {"idempotentHint": True}}
    async with listening({"timeout": SILENT, "upstream_error": FAILING}.get(told), unused) as port:
        stack = Stack(tmp_path, (a_tool(port, policy, **more),))
        await expect_nothing_left(lambda: stack.ask("tools/call", name="a"), told)
        await stack.close()


async def test_neither_does_a_resource_that_cannot_be_read(tmp_path: Path, unused: int) -> None:
    backend = Backend("127.0.0.1", unused, "")
    stack = Stack(tmp_path, (), (HttpResource("shop://a", "a", "shop/a", backend, http=Http("/x")),))
    await expect_nothing_left(lambda: stack.ask("resources/read", uri="shop://a"), "nothing was sent")
    await stack.close()
