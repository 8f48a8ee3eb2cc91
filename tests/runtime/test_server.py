"""The server as its clients meet it: the official client in both eras, doors, sessions on a real Redis, trouble."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from mcp import Client, MCPError

from crd import published
from runtime.ladder import MODERN


@pytest.fixture
async def front(fronts: Any, catalog_of: Any, backend: int) -> Any:
    return await fronts.start(catalog_of(backend))


ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


def fault(result: Any) -> dict[str, Any]:
    assert result.is_error
    return dict(json.loads(result.content[0].text)["error"])


async def send(url: str, method: str = "POST", body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    async with aiohttp.ClientSession() as session, session.request(method, url, data=data, headers=headers) as answer:
        text = await answer.read()
        is_json = text[:1] in (b"{", b"[")
        return answer.status, dict(answer.headers), json.loads(text) if is_json else text.decode()


def rpc(method: str, identifier: int | None = 1, **params: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return message if identifier is None else {**message, "id": identifier}


INITIALIZE = rpc("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t", "version": "1"})


@ERAS
async def test_lists_calls_prompts_and_resources(front: Any, mode: Any) -> None:
    async with Client(front.mcp, mode=mode) as client:
        assert "echo" in [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("echo", {"q": "tea"})
        assert result.structured_content["body"] == '{"q":"tea"}'
        result = await client.call_tool("find", {"q": "a b"})
        assert result.structured_content["query"] == {"q": "a b"}
        assert (await client.call_tool("text", {})).content[0].text == "hello"
        assert [p.name for p in (await client.list_prompts()).prompts] == ["greet", "plain"]
        prompt = await client.get_prompt("greet", {"who": "{{tone}}"})
        assert prompt.messages[0].content.text == "Dear {{tone}}, hello"
        assert {str(r.uri) for r in (await client.list_resources()).resources} >= {"shop://terms", "shop://all"}
        assert len((await client.list_resource_templates()).resource_templates) == 1
        assert (await client.read_resource("shop://terms")).contents[0].text == "pay"
        assert (await client.read_resource("shop://logo")).contents[0].blob == "eA=="
        found = await client.read_resource("mcp://stock/a%20b?warehouse=west")
        assert json.loads(found.contents[0].text) == {"path": "/stock/a b", "query": {"warehouse": "west"}}


@ERAS
@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("echo", {"q": 7}, "invalid_arguments"),
        ("missing", {}, "not_found"),
        ("denied", {}, "upstream_denied"),
        ("away", {}, "upstream_error"),
        ("huge", {}, "bad_response"),
        ("slow", {}, "timeout"),
        ("gone", {}, "unreachable"),
        ("lost", {}, "misconfigured"),
    ],
)
async def test_a_call_that_fails_says_so_to_the_model(
    front: Any, mode: Any, tool: str, arguments: Any, code: str
) -> None:
    async with Client(front.mcp, mode=mode) as client:
        found = fault(await client.call_tool(tool, arguments))

    assert found["code"] == code
    assert found["requestId"].startswith("id-")


@ERAS
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.call_tool("nothing", {}), "Unknown tool"),
        (lambda client: client.get_prompt("nothing", {}), "Unknown prompt"),
        (lambda client: client.get_prompt("greet", {}), '"who" of prompt greet is required'),
        (lambda client: client.get_prompt("greet", {"who": "x" * 9000}), "at most 8192"),
        (lambda client: client.read_resource("shop://nothing"), "Resource not found"),
        (lambda client: client.read_resource("shop://none"), "Resource not found"),
        (lambda client: client.read_resource("shop://off"), "cannot be reached"),
        (lambda client: client.read_resource("mcp://stock/%2e%2e"), "dot segment"),
        (lambda client: client.list_tools(cursor="x"), "one page only"),
    ],
)
async def test_a_request_that_means_nothing_is_an_error(front: Any, mode: Any, call: Any, message: str) -> None:
    async with Client(front.mcp, mode=mode) as client:
        with pytest.raises(MCPError, match=message):
            await call(client)


async def test_before_2025_11_25_bad_arguments_are_a_protocol_error(front: Any) -> None:
    initialize = {**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": "2025-06-18"}}
    _, headers, _ = await send(front.mcp, body=initialize)

    _, _, answer = await send(
        front.mcp,
        body=rpc("tools/call", name="echo", arguments={"q": 7}),
        **{"Mcp-Session-Id": headers["Mcp-Session-Id"]},
    )

    assert answer["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("POST", "/mcp/echo", {"q": "tea"}, 200, '{"q":"tea"}'),
        ("POST", "/mcp/echo", {"q": 7}, 400, "invalid_arguments"),
        ("POST", "/mcp/echo", [], 400, "invalid_arguments"),
        ("POST", "/mcp/echo", b"{", 400, "invalid_arguments"),
        ("GET", "/mcp/greet?who=Ada", None, 200, "Dear Ada, hello"),
        ("GET", "/mcp/greet", None, 400, "required"),
        ("GET", "/mcp/stock/mug?warehouse=west", None, 200, "west"),
        ("GET", "/mcp/stock/%2e%2e", None, 404, ""),
        ("GET", "/mcp/none", None, 404, "No such thing"),
        ("GET", "/mcp/off", None, 502, "unreachable"),
        ("POST", "/mcp/order", {"a": 1}, 200, "POST"),
        ("GET", "/mcp/echo", None, 404, "no GET door"),
        ("GET", "/elsewhere", None, 404, "/mcp"),
    ],
)
async def test_a_door_answers_without_mcp(
    front: Any, method: str, path: str, body: Any, status: int, expected: str
) -> None:
    found, _, answer = await send(front.url + path, method, body)

    assert found == status
    assert expected in (
        answer if isinstance(answer, str) else json.dumps(answer).replace('\\"', '"').replace(": ", ":")
    )


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("GET", {}, None, 405),
        ("PUT", {}, None, 405),
        ("DELETE", {"MCP-Protocol-Version": MODERN}, None, 405),
        ("DELETE", {}, None, 400),
        ("DELETE", {"Mcp-Session-Id": "unknown"}, None, 404),
        ("POST", {"Content-Type": "text/plain"}, b"{}", 415),
        ("POST", {"Origin": "https://evil.example.com"}, INITIALIZE, 403),
        ("POST", {"Origin": "http://localhost:3000"}, INITIALIZE, 200),
        ("POST", {}, b"{", 400),
        ("POST", {}, [], 400),
        ("POST", {}, b'"' + b"x" * 1024 * 1024 + b'"', 413),
        ("POST", {}, rpc("tools/list"), 400),
        ("POST", {"Mcp-Session-Id": "unknown"}, rpc("tools/list"), 404),
        ("POST", {"MCP-Protocol-Version": "2025-99-99"}, rpc("tools/list"), 400),
        ("POST", {"MCP-Protocol-Version": MODERN}, rpc("notifications/x", None), 202),
    ],
)
async def test_the_edges_of_the_endpoint(
    front: Any, method: str, headers: dict[str, str], body: Any, status: int
) -> None:
    assert (await send(front.mcp, method, body, **headers))[0] == status


async def test_a_session_lives_until_it_is_ended(front: Any) -> None:
    _, headers, answer = await send(front.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    assert answer["result"]["protocolVersion"] == "2025-11-25"

    assert (await send(front.mcp, body=rpc("notifications/initialized", None), **session))[0] == 202
    assert (await send(front.mcp, body=rpc("ping"), **session))[2]["result"] == {}
    assert (await send(front.mcp, body=rpc("logging/setLevel"), **session))[2]["error"]["code"] == -32601
    assert (await send(front.mcp, "DELETE", **session))[0] == 204
    assert (await send(front.mcp, body=rpc("ping"), **session))[0] == 404


async def test_a_stateless_server_keeps_no_session(fronts: Any, catalog_of: Any, backend: int) -> None:
    front = await fronts.start(catalog_of(backend, sessions="Stateless"))

    _, headers, _ = await send(front.mcp, body=INITIALIZE)

    assert "Mcp-Session-Id" not in headers
    assert (await send(front.mcp, body=rpc("ping")))[2]["result"] == {}
    assert (await send(front.mcp, "DELETE"))[0] == 405


async def test_a_session_goes_on_at_another_replica(fronts: Any, catalog_of: Any, backend: int, redis: Any) -> None:
    wanted = catalog_of(backend, sessions="Redis")
    first, second = await fronts.start(wanted, redis), await fronts.start(wanted, redis)
    _, headers, _ = await send(first.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    await first.runner.cleanup()

    assert (await send(second.mcp, body=rpc("ping"), **session))[2]["result"] == {}
    assert (await send(second.mcp, "DELETE", **session))[0] == 204
    assert (await send(second.mcp, body=rpc("ping"), **session))[0] == 404


async def test_without_redis_sessions_wait_and_everything_else_goes_on(
    fronts: Any, catalog_of: Any, backend: int, redis: Any
) -> None:
    front = await fronts.start(catalog_of(backend, sessions="Redis"), redis)
    _, headers, _ = await send(front.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    redis.kill()

    status, answered, _ = await send(front.mcp, body=rpc("ping"), **session)
    assert (status, answered["Retry-After"]) == (503, "1")
    async with Client(front.mcp) as client:
        assert not (await client.call_tool("echo", {"q": "tea"})).is_error

    redis.start()
    assert (await send(front.mcp, body=INITIALIZE))[0] == 200


async def test_a_pod_without_the_way_to_redis_says_so(fronts: Any, catalog_of: Any, backend: int) -> None:
    front = await fronts.start(catalog_of(backend, sessions="Redis"))

    assert (await send(front.mcp, body=INITIALIZE))[0] == 503


async def test_without_a_catalog_nothing_is_served(fronts: Any) -> None:
    front = await fronts.start(None)

    assert (await send(front.mcp, body=INITIALIZE))[0] == 503


async def test_over_the_limit_a_request_is_turned_away(fronts: Any, catalog_of: Any, backend: int) -> None:
    front = await fronts.start(catalog_of(backend, max_concurrent_requests=0))

    status, headers, answer = await send(front.mcp, body=INITIALIZE)

    assert (status, headers["Retry-After"], answer["error"]["code"]) == (503, "1", 503)


async def test_a_new_catalog_is_served_at_once_and_a_broken_one_changes_nothing(
    front: Any, catalog_of: Any, backend: int
) -> None:
    front.serve(catalog_of(backend, path_prefix="/other"))
    assert (await send(f"{front.url}/other", body=INITIALIZE))[0] == 200

    front.holder.put({"data": {published.FILE: "{"}})
    front.holder.put({"data": {}})
    front.holder.put({"binaryData": {published.GZIP_FILE: "AAAA"}})
    front.holder.drop({})

    assert front.holder.error is not None
    assert (await send(f"{front.url}/other", body=INITIALIZE))[0] == 200
    front.serve(catalog_of(backend, path_prefix="/other"))
    assert front.holder.error is None


async def test_a_leaving_server_closes_its_connections(front: Any) -> None:
    front.draining = True

    assert (await send(front.mcp, body=INITIALIZE))[1]["Connection"] == "close"
