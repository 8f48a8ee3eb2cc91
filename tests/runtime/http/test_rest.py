"""REST paths: the same calls without MCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from cluster.connections import Connections, Deadlines, Listener
from cluster.message import Request, Response
from crd.published import catalogs
from runtime.app.compiled import CompiledCatalog
from runtime.backends.faults import CallError
from runtime.http import rest
from runtime.http.exchange import Reply
from runtime.mcp.context import Context


class FakeBackends:
    """Answers with its arguments."""

    async def forward(self, tool: Any, arguments: Any, context: Context) -> Reply:
        if arguments.get("q") == "away":
            raise CallError("unreachable", "cannot connect")
        return Reply(200, {"content-type": "text/plain"}, f"{tool.name} {arguments}".encode())

    async def operate(self, operation: Any, values: Any, body: bytes | None, context: Context) -> Reply:
        return Reply(418, {"content-type": ""}, f"{operation.name} {values} {body!r}".encode())


@pytest.fixture
async def url(catalog_of: Any) -> AsyncIterator[str]:
    compiled = CompiledCatalog.load(catalogs.dump(catalog_of()))

    async def handle(request: Request) -> Response:
        body = b""
        while part := await request.receive():
            body += part
        return await rest.answer(compiled, FakeBackends(), request, request.path, body, Context("r-1"))  # type: ignore[arg-type]

    listener = Listener(Connections(handle, Deadlines(), now=lambda: 0.0, added={}))
    await listener.start("127.0.0.1", 0)
    yield f"http://127.0.0.1:{listener.port}"
    await listener.close(0)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/echo", b'{"q":"x"}', 200, "echo {'q': 'x'}"),
        ("POST", "/echo", b"", 200, "echo {}"),
        ("POST", "/echo", b"{", 400, "the body must be JSON"),
        ("POST", "/echo", b"[]", 400, "the body must be a JSON object"),
        ("POST", "/echo", b'{"q":7}', 400, "/q: must be a string"),
        ("POST", "/echo", b'{"q":"away"}', 502, '"requestId":"r-1"'),
        ("GET", "/echo", b"", 404, "no tool, prompt or operation answers GET /echo"),
        ("GET", "/greet?who=Ada", b"", 200, "Dear Ada, hello"),
        ("GET", "/greet?" + "&".join(["who=Ada"] * 100), b"", 200, "Dear Ada, hello"),
        ("GET", "/greet?" + "&".join(["who=Ada"] * 101), b"", 400, "the query must have at most 100 parameters"),
        ("GET", "/stock/a?" + "&" * 100, b"", 400, "the query must have at most 100 parameters"),
        ("GET", "/greet", b"", 400, 'missing required argument \\"who\\" of prompt \\"greet\\"'),
        ("GET", "/stock/a%20b?warehouse=north&other=1", b"", 418, "stock {'warehouse': 'north', 'sku': 'a b'} None"),
        ("POST", "/order", b"raw", 418, "order {} b'raw'"),
        ("DELETE", "/order", b"", 404, "no tool, prompt or operation answers DELETE /order"),
    ],
)
async def test_a_rest_path_answers(url: str, method: str, path: str, body: bytes, status: int, text: str) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, url + path, data=body) as answer:
        assert (answer.status, text in await answer.text()) == (status, True)


@pytest.mark.parametrize(("status", "relayed"), [(204, 204), (599, 599), (101, 502), (999, 502), (0, 502)])
def test_only_a_final_status_is_relayed(status: int, relayed: int) -> None:
    assert rest._relay(Reply(status)).status == relayed
