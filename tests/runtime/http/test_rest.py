"""REST paths: the same calls without MCP."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from cluster.connections import Connections, Deadlines
from cluster.listener import Listener
from cluster.message import Request, Response
from crd.published import catalogs
from crd.published.entries import Backend, Operation, Parameter
from runtime.app.compiled import CompiledCatalog
from runtime.backends.faults import CallError
from runtime.http import rest
from runtime.http.exchange import Reply
from runtime.mcp.context import Context
from runtime.telemetry.call_record import CallRecord


class FakeBackends:
    """Answers with its arguments."""

    async def forward(self, tool: Any, arguments: Any, context: Context) -> Reply:
        assert context.request_id == "r-1"
        if arguments.get("q") == "away":
            raise CallError("unreachable", "cannot connect")
        return Reply(200, {"content-type": "text/plain"}, f"{tool.name} {arguments}".encode())

    async def operate(self, operation: Any, values: Any, body: bytes | None, context: Context) -> Reply:
        assert context.request_id == "r-1"
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


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "message"),
    [
        ("POST", "/echo", b"[]", 400, "invalid_arguments", "the body must be a JSON object with the arguments"),
        ("POST", "/echo", b"1", 400, "invalid_arguments", "the body must be a JSON object with the arguments"),
        ("POST", "/echo", b'{"q":"away"}', 502, "unreachable", "cannot connect"),
        (
            "GET",
            "/greet",
            b"",
            400,
            "invalid_request",
            'missing required argument "who" of prompt "greet"',
        ),
        (
            "POST",
            "/greet",
            b"",
            404,
            "invalid_request",
            "no tool, prompt or operation answers POST /greet; the MCP endpoint is /mcp",
        ),
        (
            "PUT",
            "/stock/a",
            b"",
            404,
            "invalid_request",
            "no tool, prompt or operation answers PUT /stock/a; the MCP endpoint is /mcp",
        ),
    ],
)
async def test_an_error_is_json_with_a_code(
    url: str, method: str, path: str, body: bytes, status: int, code: str, message: str
) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, url + path, data=body) as answer:
        said = await answer.json()
        assert (answer.status, answer.content_type) == (status, "application/json")
    assert (said["error"]["code"], said["error"]["message"]) == (code, message)
    assert said["error"].keys() - {"requestId", "request", "retryable"} == {"code", "message"}


@pytest.mark.parametrize(
    ("method", "has_body"), [("GET", False), ("DELETE", False), ("POST", True), ("PUT", True), ("PATCH", True)]
)
async def test_the_parameters_of_an_operation_are_those_that_it_declares(
    catalog_of: Any, method: str, has_body: bool
) -> None:
    declared = (
        Parameter("sku", "path", required=True),
        Parameter("limit", "query"),
        Parameter("blank", "query"),
        Parameter("absent", "query"),
        Parameter("X-Tenant", "header"),
        Parameter("X-Absent", "header"),
    )
    operation = Operation("o", "shop/o", method, "/o/{sku}", Backend("a.b.svc", 80, "/"), "", parameters=declared)
    compiled = CompiledCatalog.load(catalogs.dump(dataclasses.replace(catalog_of(), operations=(operation,))))
    headers = {"x-tenant": ["shop"], "x-other": ["no"], "limit": ["8"]}
    request = Request(method, "/o/mug?limit=1&limit=2&blank=&X-Tenant=no&sku=no", headers)
    seen: list[Any] = []

    class Seen(FakeBackends):
        async def operate(self, operation: Any, values: Any, body: bytes | None, context: Context) -> Reply:
            seen.append((operation.name, values, body))
            return Reply(201, {"content-type": "text/csv; header=present"}, b"a,b")

    context = Context("r-1")
    found = await rest.answer(compiled, Seen(), request, "/o/mug", b"raw", context)  # type: ignore[arg-type]

    parameters = {"limit": "1", "blank": "", "X-Tenant": "shop", "sku": "mug"}
    assert seen == [("o", parameters, b"raw" if has_body else None)]
    assert (found.status, found.body, found.content_type) == (201, b"a,b", "text/csv; header=present")


async def test_a_fault_is_in_the_record_of_its_call(catalog_of: Any) -> None:
    compiled = CompiledCatalog.load(catalogs.dump(catalog_of()))
    context, request = Context("r-1", record=CallRecord()), Request("POST", "/echo", {})

    found = await rest.answer(compiled, FakeBackends(), request, "/echo", b"{", context)  # type: ignore[arg-type]

    assert (found.status, context.record.error_type) == (400, "invalid_arguments")
    assert b"the body must be JSON: " in found.body


@pytest.mark.parametrize(
    ("status", "relayed"),
    [(200, 200), (199, 502), (600, 502), (204, 204), (599, 599), (101, 502), (999, 502), (0, 502)],
)
def test_only_a_final_status_is_relayed(status: int, relayed: int) -> None:
    assert rest._relay(Reply(status)).status == relayed
