"""The plain-HTTP doors: the same calls without MCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from crd.published import catalogs
from runtime.app.compiled import Serving
from runtime.backends.faults import CallError
from runtime.backends.http_mapping.replies import Reply
from runtime.http import rest
from runtime.mcp.context import Context


class Backends:
    """Says what it was asked."""

    async def ask(self, tool: Any, arguments: Any, context: Context) -> Reply:
        if arguments.get("q") == "away":
            raise CallError("unreachable", "nobody there")
        return Reply(200, "text/plain", f"{tool.name} {arguments}".encode())

    async def operate(self, operation: Any, values: Any, body: bytes | None, context: Context) -> Reply:
        return Reply(418, "", f"{operation.name} {values} {body!r}".encode())


@pytest.fixture
async def url(catalog_of: Any) -> AsyncIterator[str]:
    current = Serving.of(catalogs.dump(catalog_of()))

    async def handle(request: web.Request) -> web.Response:
        return await rest.enter(current, Backends(), request, request.path, Context("r-1"))  # type: ignore[arg-type]

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/echo", b'{"q":"x"}', 200, "echo {'q': 'x'}"),
        ("POST", "/echo", b"", 200, "echo {}"),
        ("POST", "/echo", b"{", 400, "the body is not JSON"),
        ("POST", "/echo", b"[]", 400, "the body is a JSON object"),
        ("POST", "/echo", b'{"q":7}', 400, "/q: breaks"),
        ("POST", "/echo", b'{"q":"away"}', 502, '"requestId":"r-1"'),
        ("GET", "/echo", b"", 404, "no GET door at /echo"),
        ("GET", "/greet?who=Ada", b"", 200, "Dear Ada, hello"),
        ("GET", "/greet", b"", 400, "is required"),
        ("GET", "/stock/a%20b?warehouse=north&other=1", b"", 418, "stock {'warehouse': 'north', 'sku': 'a b'} None"),
        ("POST", "/order", b"raw", 418, "order {} b'raw'"),
        ("DELETE", "/order", b"", 404, "no DELETE door"),
    ],
)
async def test_a_door_answers(url: str, method: str, path: str, body: bytes, status: int, said: str) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, url + path, data=body) as answer:
        assert (answer.status, said in await answer.text()) == (status, True)
