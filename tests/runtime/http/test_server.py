"""The server as clients see it: the official client in both eras, REST paths, sessions in a real Redis, failures."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from mcp import Client, MCPError

from cluster.message import Request
from crd.clients.tolerances import Fault
from crd.published import catalogs
from crd.published.policy import Bucket
from crd.published.settings import Auth, Limits
from runtime.mcp.eras import MODERN
from tests.runtime.raw_http import INITIALIZE, modern, rpc, send


@pytest.fixture
async def replica(replicas: Any, catalog_of: Any) -> Any:
    return await replicas.start(catalog_of())


ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


def fault(result: Any) -> dict[str, Any]:
    assert result.is_error
    return dict(json.loads(result.content[0].text)["error"])


@ERAS
async def test_lists_calls_prompts_and_resources(replica: Any, mode: Any) -> None:
    async with Client(replica.mcp, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["echo"].title == "Echo"
        assert tools["echo"].annotations.read_only_hint is True
        result = await client.call_tool("echo", {"q": "tea"})
        assert result.structured_content["arguments"] == {"q": "tea"}
        assert [p.name for p in (await client.list_prompts()).prompts] == ["greet", "review"]
        prompt = await client.get_prompt("greet", {"who": "{{tone}}"})
        assert prompt.messages[0].content.text == "Dear {{tone}}, hello"
        listed = {str(r.uri): r for r in (await client.list_resources()).resources}
        assert listed["shop://terms"].annotations.audience == ["user"]
        assert set(listed) >= {"shop://terms", "shop://none", "shop://gone"}
        templates = (await client.list_resource_templates()).resource_templates
        assert [t.uri_template for t in templates] == ["shop://price/{sku}", "mcp://stock/{sku}{?warehouse}"]
        assert (templates[0].title, templates[0].mime_type) == ("Price", "application/json")
        assert (await client.read_resource("shop://terms")).contents[0].text == "p"
        assert (await client.read_resource("shop://logo")).contents[0].blob == "eA=="
        found = await client.read_resource("mcp://stock/a%20b?warehouse=west")
        assert json.loads(found.contents[0].text)["values"] == {"sku": "a b", "warehouse": "west"}
        found = await client.read_resource("shop://price/mug")
        assert json.loads(found.contents[0].text) == {"read": "price", "values": {"sku": "mug"}}
        found = await client.read_resource("shop://price/special")
        assert json.loads(found.contents[0].text)["read"] == "special"


@ERAS
@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("echo", {"q": 7}, "invalid_arguments"),
        ("missing", {}, "not_found"),
        ("gone", {}, "unreachable"),
        ("slow", {}, "timeout"),
    ],
)
async def test_a_failed_call_is_reported_to_the_model(
    replica: Any, mode: Any, tool: str, arguments: Any, code: str
) -> None:
    async with Client(replica.mcp, mode=mode) as client:
        found = fault(await client.call_tool(tool, arguments))

    assert found["code"] == code
    assert found["requestId"].startswith("id-")


@ERAS
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.call_tool("nothing", {}), "Unknown tool"),
        (lambda client: client.call_tool("odd", {}), "the backend failed"),
        (lambda client: client.call_tool("bug", {}), "Internal error; see request id-"),
        (lambda client: client.get_prompt("nothing", {}), "Unknown prompt"),
        (lambda client: client.get_prompt("greet", {}), 'missing required argument "who" of prompt "greet"'),
        (lambda client: client.get_prompt("greet", {"who": "x" * 9000}), "at most 8192"),
        (
            lambda client: client.get_prompt("greet", {"who": "x", "tone": "rude"}),
            "/tone: must be one of hello, howdy, Hi",
        ),
        (lambda client: client.read_resource("shop://nothing"), "Resource not found"),
        (lambda client: client.read_resource("shop://none"), "Resource not found"),
        (lambda client: client.read_resource("shop://missing"), "Resource not found"),
        (lambda client: client.read_resource("shop://gone"), "the request to 127.0.0.1 failed"),
        (lambda client: client.read_resource("shop://strict"), "dot segment"),
        (lambda client: client.list_tools(cursor="x"), "list again without a cursor"),
    ],
)
async def test_an_invalid_request_is_answered_with_an_error(replica: Any, mode: Any, call: Any, message: str) -> None:
    async with Client(replica.mcp, mode=mode) as client:
        with pytest.raises(MCPError, match=message):
            await call(client)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "echo", "arguments": []}),
        ("tools/call", {}),
        ("prompts/get", {"name": "greet", "arguments": []}),
        ("resources/read", {"uri": 7}),
        ("tools/list", {"cursor": 7}),
        ("completion/complete", {}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": "tone"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "tone"}}),
        ("completion/complete", {"ref": {"type": "ref/odd", "name": "greet"}, "argument": {"name": "t", "value": ""}}),
    ],
)
async def test_params_of_a_wrong_type_are_an_error(replica: Any, method: str, params: dict[str, Any]) -> None:
    replica.serve(_stateless(replica))

    _, _, answer = await send(replica.mcp, body=rpc(method, **params))

    assert answer["error"]["code"] == -32602


def _stateless(replica: Any, **settings: Any) -> Any:
    import dataclasses

    catalog = replica.catalog_store.compiled.catalog
    return dataclasses.replace(
        catalog, settings=dataclasses.replace(catalog.settings, sessions="Stateless", **settings)
    )


async def test_before_2025_11_25_invalid_arguments_are_a_protocol_error(replica: Any) -> None:
    initialize = {**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": "2025-06-18"}}
    _, headers, _ = await send(replica.mcp, body=initialize)

    _, _, answer = await send(
        replica.mcp,
        body=rpc("tools/call", name="echo", arguments={"q": 7}),
        **{"Mcp-Session-Id": headers["Mcp-Session-Id"]},
    )

    assert answer["error"]["code"] == -32602


async def test_2025_03_26_has_batches(replica: Any) -> None:
    initialize = {**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": "2025-03-26"}}
    _, headers, answer = await send(replica.mcp, body=initialize)
    assert answer["result"]["protocolVersion"] == "2025-03-26"
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    notification = rpc("notifications/x", None)

    items = [rpc("ping", 1), notification, {"jsonrpc": "1.0"}, rpc("tools/call", 2, name="nothing")]
    status, _, answers = await send(replica.mcp, body=items, **session)
    assert status == 200
    assert [each.get("id") for each in answers] == [1, None, 2]
    assert [each.get("error", {}).get("code") for each in answers] == [None, -32600, -32602]
    assert (await send(replica.mcp, body=[notification], **session))[0] == 202
    for wrong in ([], [rpc("ping")] * 51, [initialize]):
        assert (await send(replica.mcp, body=wrong, **session))[0] == 400
    assert (await send(replica.mcp, body=[rpc("ping")]))[0] == 400


async def test_later_versions_have_no_batches(replica: Any) -> None:
    _, headers, _ = await send(replica.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}

    status, _, answer = await send(replica.mcp, body=[rpc("ping")], **session)

    assert (status, answer["error"]["message"]) == (
        400,
        "protocol version 2025-11-25 has no batches; send one message per request",
    )


async def test_defaults_of_the_schema_are_filled_in(replica: Any) -> None:
    _, _, answer = await modern(replica.mcp, "tools/call", name="region", arguments={})

    assert answer["result"]["structuredContent"]["arguments"] == {"size": 7}
    assert answer["result"]["_meta"]["x/y"] == 1
    assert "io.modelcontextprotocol/serverInfo" in answer["result"]["_meta"]


@pytest.mark.parametrize(
    ("arguments", "header", "status"),
    [
        ({"region": "eu"}, "eu", 200),
        ({"region": "eu"}, "=?base64?ZXU=?=", 200),
        ({}, None, 200),
        ({"region": "eu"}, "us", 400),
        ({"region": "eu"}, None, 400),
        ({}, "eu", 400),
    ],
)
async def test_an_argument_must_equal_its_header(replica: Any, arguments: Any, header: str | None, status: int) -> None:
    sent = {"Mcp-Param-Region": header} if header else {}

    found, _, answer = await modern(replica.mcp, "tools/call", name="region", arguments=arguments, sent=sent)

    assert found == status
    assert status == 200 or answer["error"]["code"] == -32020


async def test_a_rest_request_is_handled_with_its_path_and_body(replica: Any) -> None:
    assert (await send(f"{replica.mcp}/greet?who=Ada", "GET"))[2]["path"] == "/greet"
    assert (await send(f"{replica.mcp}/echo", body={"q": 1}))[2]["body"] == '{"q": 1}'


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("GET", {}, None, 405),
        ("PUT", {}, None, 405),
        ("OPTIONS", {}, None, 405),
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
async def test_http_statuses_of_the_endpoint(
    replica: Any, method: str, headers: dict[str, str], body: Any, status: int
) -> None:
    assert (await send(replica.mcp, method, body, **headers))[0] == status


async def test_a_uri_has_a_limit(replica: Any) -> None:
    uri = "shop://price/" + "x" * 2048
    _, _, answer = await modern(replica.mcp, "resources/read", uri=uri)

    assert (answer["error"]["code"], "at most 2048" in answer["error"]["message"]) == (-32602, True)


async def test_an_origin_that_is_not_utf_8_is_refused_like_any_other(replica: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(replica.url.rpartition(":")[2]))
    writer.write(b"POST /mcp HTTP/1.1\r\nHost: x\r\nOrigin: http://\xff\r\nConnection: close\r\n\r\n")

    assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
    assert replica.count("mcp_server_unexpected_errors_total") == 0
    writer.close()


async def test_other_paths_are_not_found(replica: Any) -> None:
    assert (await send(f"{replica.url}/elsewhere", "GET"))[0] == 404


async def test_the_catalog_limits_the_size_of_requests(replica: Any) -> None:
    replica.serve(_stateless(replica, max_request_bytes=2 * 1024 * 1024))
    body = rpc("tools/call", name="echo", arguments={"q": "x" * 1024 * 1024})
    assert (await send(replica.mcp, body=body))[0] == 200

    replica.serve(_stateless(replica, max_request_bytes=64))
    status, _, text = await send(replica.mcp, body=rpc("ping", padding="x" * 64))
    assert (status, text) == (413, "the request body must have at most 64 bytes\n")


async def test_pages_of_an_allowed_origin_get_cors_headers(replica: Any) -> None:
    page = {"Origin": "https://app.example.com"}
    replica.serve(_stateless(replica, allowed_origins=("https://app.example.com",)))

    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    status, headers, _ = await send(replica.mcp, "OPTIONS", **page, **asked)
    assert (status, headers["Access-Control-Allow-Headers"]) == (204, "authorization,content-type")
    status, headers, _ = await send(replica.mcp, body=INITIALIZE, **page)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://app.example.com")
    status, headers, _ = await send(replica.mcp, body=INITIALIZE, Origin="https://other.example.com")
    assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)
    status, headers, _ = await send(replica.mcp, body=INITIALIZE)
    assert (status, headers["Vary"]) == (200, "Origin")


async def test_a_session_is_valid_until_it_is_deleted(replica: Any) -> None:
    _, headers, answer = await send(replica.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    assert answer["result"]["protocolVersion"] == "2025-11-25"

    assert (await send(replica.mcp, body=rpc("notifications/initialized", None), **session))[0] == 202
    assert (await send(replica.mcp, body=rpc("ping"), **session))[2]["result"] == {}
    assert (await send(replica.mcp, body=rpc("logging/setLevel"), **session))[2]["error"]["code"] == -32601
    assert (await send(replica.mcp, "DELETE", **session))[0] == 204
    assert (await send(replica.mcp, body=rpc("ping"), **session))[0] == 404


async def test_a_doubled_session_header_ends_the_session_and_a_conflicting_one_does_not(replica: Any) -> None:
    _, headers, _ = await send(replica.mcp, body=INITIALIZE)
    session = headers["Mcp-Session-Id"]

    assert (await send(replica.mcp, "DELETE", **{"Mcp-Session-Id": f"{session}, other"}))[0] == 400
    assert (await send(replica.mcp, body=rpc("ping"), **{"Mcp-Session-Id": session}))[0] == 200
    assert (await send(replica.mcp, "DELETE", **{"Mcp-Session-Id": f"{session}, {session}"}))[0] == 204


async def test_a_content_type_that_a_proxy_doubled_is_that_content_type(replica: Any) -> None:
    media = "application/json; charset=utf-8, application/json"
    assert (await send(replica.mcp, body=INITIALIZE, **{"Content-Type": media}))[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_request_for_an_unknown_session_counts_for_the_limit_of_its_client(
    replicas: Any, catalog_of: Any, method: str
) -> None:
    replica = await replicas.start(catalog_of(limits=Limits(per_client=Bucket(2, 3600))))
    body = rpc("ping") if method == "POST" else None

    statuses = [(await send(replica.mcp, method, body, **{"Mcp-Session-Id": f"guess-{n}"}))[0] for n in range(4)]

    assert statuses == [404, 404, 429, 429]


async def test_a_stateless_server_keeps_no_session(replica: Any) -> None:
    replica.serve(_stateless(replica))

    _, headers, _ = await send(replica.mcp, body=INITIALIZE)

    assert "Mcp-Session-Id" not in headers
    assert (await send(replica.mcp, body=rpc("ping")))[2]["result"] == {}
    assert (await send(replica.mcp, "DELETE"))[0] == 405


async def test_a_session_in_redis_is_valid_on_every_replica(replicas: Any, catalog_of: Any, redis: Any) -> None:
    wanted = catalog_of(sessions="Redis")
    first, second = await replicas.start(wanted, redis), await replicas.start(wanted, redis)
    _, headers, _ = await send(first.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    await first.listener.close(0)

    assert (await send(second.mcp, body=rpc("ping"), **session))[2]["result"] == {}
    assert (await send(second.mcp, "DELETE", **session))[0] == 204
    assert (await send(second.mcp, body=rpc("ping"), **session))[0] == 404


async def test_while_redis_is_down_only_sessions_are_unavailable(replicas: Any, catalog_of: Any, redis: Any) -> None:
    replica = await replicas.start(catalog_of(sessions="Redis"), redis)
    _, headers, _ = await send(replica.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    redis.kill()

    status, answered, _ = await send(replica.mcp, body=rpc("ping"), **session)
    assert (status, answered["Retry-After"]) == (503, "1")
    async with Client(replica.mcp) as client:
        assert not (await client.call_tool("echo", {"q": "tea"})).is_error

    redis.start()
    assert (await send(replica.mcp, body=INITIALIZE))[0] == 200


async def test_a_pod_without_a_redis_connection_answers_503(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(sessions="Redis"))

    assert (await send(replica.mcp, body=INITIALIZE))[0] == 503


async def test_without_a_catalog_requests_are_answered_with_503(replicas: Any) -> None:
    replica = await replicas.start(None)

    assert (await send(replica.mcp, body=INITIALIZE))[0] == 503


async def test_requests_over_the_concurrency_limit_are_rejected(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(max_concurrent_requests=0))

    status, headers, answer = await send(replica.mcp, body=INITIALIZE)

    assert (status, headers["Retry-After"], answer["error"]["code"]) == (503, "1", 503)


async def test_a_new_catalog_applies_at_once_and_a_broken_one_is_ignored(replica: Any, catalog_of: Any) -> None:
    replica.serve(catalog_of(path_prefix="/other"))
    assert (await send(f"{replica.url}/other", body=INITIALIZE))[0] == 200

    replica.catalog_store.put({"data": {catalogs.FILE: "{"}})
    replica.catalog_store.put({"data": {}})
    replica.catalog_store.put({"binaryData": {catalogs.GZIP_FILE: "AAAA"}})

    assert replica.catalog_store.error is not None
    assert (await send(f"{replica.url}/other", body=INITIALIZE))[0] == 200
    replica.serve(catalog_of(path_prefix="/other"))
    assert replica.catalog_store.error is None


async def test_a_draining_server_closes_its_connections(replica: Any) -> None:
    replica.draining = True

    assert (await send(replica.mcp, body=INITIALIZE))[1]["Connection"] == "close"


async def test_clients_cannot_create_metric_labels_or_long_log_lines(
    replica: Any, replicas: Any, caplog: pytest.LogCaptureFixture
) -> None:
    replica.serve(_stateless(replica))
    with caplog.at_level(logging.INFO, "access"):
        await send(replica.mcp, body=rpc("made/up", name="x" * 9000))
        await send(replica.mcp, "PROPFIND")
    replica.app.access_log.flush()

    name = "mcp_server_operation_duration_seconds_count"
    wanted = {
        "http_request_method": "POST",
        "mcp_method_name": "other",
        "http_response_status_code": "200",
        "error_type": "-32601",
    }
    assert replica.count(name, **wanted) == 1
    wanted |= {
        "http_request_method": "other",
        "mcp_method_name": "-",
        "http_response_status_code": "405",
        "error_type": "",
    }
    assert replica.count(name, **wanted) == 1
    lines = [json.loads(line) for line in b"".join(replicas.log).splitlines()]
    assert [line["status"] for line in lines] == [200, 405]
    assert max(map(len, b"".join(replicas.log).splitlines())) < 400


@pytest.mark.parametrize("requested", ["2024-11-05", "2025-03-26"])
async def test_older_clients_are_answered_in_their_version(replica: Any, requested: str) -> None:
    initialize = {**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": requested}}
    status, headers, answer = await send(replica.mcp, body=initialize, **{"MCP-Protocol-Version": requested})
    assert (status, answer["result"]["protocolVersion"]) == (200, requested)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": requested}

    assert (await send(replica.mcp, body=rpc("notifications/initialized", None), **session))[0] == 202
    assert (await send(replica.mcp, body=rpc("tools/list"), **session))[2]["result"]["tools"]


@pytest.mark.parametrize("requested", ["2031-01-01", "2024-10-07", "2026-07-28", None, 7])
async def test_a_version_that_is_not_served_is_negotiated(replica: Any, requested: Any) -> None:
    initialize = {**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": requested}}

    _, _, answer = await send(replica.mcp, body=initialize)

    assert answer["result"]["protocolVersion"] == "2025-11-25"


async def test_the_endpoint_is_served_with_a_slash_at_the_end(replica: Any) -> None:
    status, _, answer = await send(f"{replica.mcp}/", body={**INITIALIZE, "id": ""})

    assert (status, answer["id"]) == (200, "")
    status, _, answer = await send(f"{replica.url}/", body=INITIALIZE)
    assert (status, answer) == (404, "not found; the MCP endpoint is /mcp\n")


async def test_each_fault_of_clients_has_a_switch(replica: Any, catalog_of: Any) -> None:
    _, headers, _ = await send(replica.mcp, body=INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    version = {"MCP-Protocol-Version": "2025-11-25"}
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    faulty: dict[Fault, tuple[str, dict[str, Any], dict[str, str]]] = {
        Fault.NULL_MEMBER: (replica.mcp, {**ping, "params": None}, session),
        Fault.REPEATED_HEADER: (replica.mcp, ping, {**session, "MCP-Protocol-Version": "2025-11-25, 2025-11-25"}),
        Fault.TRAILING_SLASH: (f"{replica.mcp}/", ping, session),
        Fault.EMPTY_CURSOR: (replica.mcp, rpc("tools/list", cursor=""), session),
        Fault.LEGACY_VERSION_HEADER: (
            replica.mcp,
            rpc("tools/list", _meta=meta),
            {"Mcp-Method": "tools/list", **version},
        ),
    }
    for fault, (url, body, given) in faulty.items():
        for is_tolerated in (True, False):
            replica.serve(catalog_of(tolerances={fault.value: is_tolerated, "unknown": True}))
            _, _, answer = await send(url, body=body, **given)
            assert ("result" in answer) is is_tolerated, (fault, answer)
    assert set(faulty) == set(Fault)


async def test_the_oldest_transport_is_refused_in_words(replica: Any) -> None:
    status, headers, text = await send(replica.mcp, "GET", Accept="text/event-stream")

    assert (status, headers["Allow"]) == (405, "POST, DELETE")
    assert "MCP messages are sent by POST" in text


async def test_null_and_repeated_headers_of_a_session_are_tolerated(replica: Any) -> None:
    _, headers, _ = await send(replica.mcp, body=INITIALIZE)
    identifier = headers["Mcp-Session-Id"]
    session = {"Mcp-Session-Id": f"{identifier}, {identifier}", "MCP-Protocol-Version": "2025-11-25,2025-11-25"}

    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": None}}
    assert "isError" not in (await send(replica.mcp, body=call, **session))[2]["result"]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None}
    assert (await send(replica.mcp, body=ping, **session))[2]["result"] == {}
    listed = await send(replica.mcp, body=rpc("tools/list", cursor=""), **session)
    assert listed[2]["result"]["tools"]
    status, _, answer = await send(replica.mcp, body=ping, **{"Mcp-Session-Id": f"{identifier}, other"})
    assert (status, "Mcp-Session-Id is sent with different values" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize("where", ["rest", "admit"])
async def test_every_unexpected_exception_is_answered_counted_and_logged(
    replica: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    async def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(
        replica.app if where == "rest" else replica.app._limiter, f"_{where}".replace("_admit", "admit"), fail
    )
    path = "/mcp/echo" if where == "rest" else "/mcp"
    body = {} if where == "rest" else {**INITIALIZE, "id": 7}

    status, _, answer = await send(f"{replica.url}{path}", body=body)

    assert (status, answer.get("id")) == (500, None if where == "rest" else 7)
    assert "Internal error; see request id-" in answer["error"]["message"]
    assert replica.count("mcp_server_unexpected_errors_total") == 1
    assert "ZeroDivisionError" in caplog.text


class Waiting:
    """A backend that answers no call, and knows how many wait."""

    def __init__(self, replica: Any) -> None:
        self.waiting = 0
        replica.app._endpoint._methods._backends.call = self.call

    async def call(self, *_: Any) -> Any:
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1

    async def until(self, number: int) -> None:
        async with asyncio.timeout(10):
            while self.waiting != number:
                await asyncio.sleep(0.001)


async def session_of(replica: Any) -> dict[str, str]:
    _, headers, _ = await send(replica.mcp, body=INITIALIZE)
    return {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}


async def test_a_client_with_a_session_cancels_its_call_and_no_other(replica: Any) -> None:
    backend, session, other = Waiting(replica), await session_of(replica), await session_of(replica)
    call = rpc("tools/call", 7, name="echo", arguments={})
    running = asyncio.create_task(send(replica.mcp, body=call, **session))
    await backend.until(1)

    for identifier, sender in ((8, session), ("7", session), (None, session), ([7], session), (7, other)):
        cancel = rpc("notifications/cancelled", None, requestId=identifier)
        assert (await send(replica.mcp, body=cancel, **sender))[0] == 202
    assert backend.waiting == 1
    for _ in range(2):
        await send(replica.mcp, body=rpc("notifications/cancelled", None, requestId=7), **session)
    status, _, answer = await running

    assert (status, answer["id"], answer["error"]["message"]) == (200, 7, "Request cancelled")
    assert (backend.waiting, replica.app.in_progress, replica.app._endpoint._running) == (0, 0, {})
    assert (await send(replica.mcp, body=rpc("ping", 7), **session))[2]["result"] == {}
    assert replica.app._endpoint._cancelled == set()


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_client_that_leaves_cancels_its_call(replica: Any, replicas: Any, era: str) -> None:
    backend, session = Waiting(replica), await session_of(replica)
    if era == "modern":
        running = asyncio.create_task(modern(replica.mcp, "tools/call", name="echo", arguments={}))
    else:
        running = asyncio.create_task(send(replica.mcp, body=rpc("tools/call", 7, name="echo"), **session))
    await backend.until(1)

    running.cancel()
    await backend.until(0)

    async with asyncio.timeout(10):
        while replica.app.open_requests:
            await asyncio.sleep(0.001)
    assert (replica.app.in_progress, replica.app._endpoint._running) == (0, {})
    wanted = {
        "http_request_method": "POST",
        "mcp_method_name": "tools/call",
        "http_response_status_code": "499",
        "error_type": "",
    }
    assert replica.count("mcp_server_operation_duration_seconds_count", **wanted) == 1


async def test_a_backend_is_called_in_the_era_of_the_client(replica: Any) -> None:
    session = await session_of(replica)
    await send(replica.mcp, body=rpc("tools/call", name="echo", arguments={}), **session)
    await modern(replica.mcp, "tools/call", name="echo", arguments={})

    assert [context.modern for context in replica.backends.contexts] == [False, True]


def list_request(method: str = "tools/list", body: bytes | None = None, path: str = "/mcp", **headers: str) -> Request:
    """A request that is there as a whole."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    sent = {
        "content-type": "application/json",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    found = Request("POST", path, {name: [value] for name, value in sent.items()}, "127.0.0.1")
    found.put(json.dumps(rpc(method, 7, _meta=meta)).encode() if body is None else body)
    return found


TRACED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
LISTED: list[tuple[bool, dict[str, Any], dict[str, Any]]] = [
    (True, {}, {}),
    (True, {}, {"method": "prompts/list"}),
    (True, {}, {"method": "resources/list"}),
    (True, {}, {"method": "resources/templates/list"}),
    (True, {}, {"body": json.dumps(rpc("tools/list", 0, _meta=META)).encode()}),
    (True, {}, {"body": json.dumps(rpc("tools/list", "", _meta=META)).encode()}),
    (True, {}, {"body": json.dumps(rpc("tools/list", 7, cursor="", _meta=META)).encode()}),
    (
        False,
        {"tolerances": {Fault.EMPTY_CURSOR.value: False}},
        {"body": json.dumps(rpc("tools/list", 7, cursor="", _meta=META)).encode()},
    ),
    (True, {"limits": Limits(tools=())}, {}),
    (False, {"limits": Limits(server=Bucket(5, 60))}, {}),
    (False, {"limits": Limits(per_client=Bucket(5, 60))}, {}),
    (False, {"max_concurrent_requests": 0}, {}),
    (False, {"max_request_bytes": 10}, {}),
    (False, {"allowed_origins": ("https://a.example",)}, {"origin": "https://a.example"}),
    (False, {"allowed_origins": ("https://a.example",)}, {}),
    (False, {"auth": Auth("APIKey", api_key_secret="clients")}, {"authorization": "Bearer a"}),
    (False, {}, {"origin": "https://b.example"}),
    (False, {}, {"content_encoding": "gzip"}),
    (False, {}, {"content_type": "text/plain"}),
    (False, {}, {"path": "/mcp/"}),
    (False, {}, {"path": "/other"}),
    (False, {}, {"method": "tools/call"}),
    (False, {}, {"mcp_method": "prompts/list", "body": list_request().peek()}),
    (False, {}, {"mcp_protocol_version": "2025-11-25"}),
    (False, {}, {"body": b"{"}),
    (False, {}, {"body": b"[]"}),
    (False, {}, {"body": json.dumps(rpc("tools/list", 7)).encode()}),
    (False, {}, {"body": json.dumps(rpc("tools/list", None, _meta=META)).encode()}),
    (False, {}, {"body": json.dumps(rpc("tools/list", 7, cursor="x", _meta=META)).encode()}),
    (False, {}, {"body": json.dumps(rpc("tools/list", 7, cursor=1, _meta=META)).encode()}),
    (False, {}, TRACED),
    (False, {}, {"body": json.dumps(rpc("tools/list", 7, _meta=META | TRACED)).encode()}),
]


@pytest.mark.parametrize(("at_once", "changes", "sent"), LISTED)
async def test_a_list_that_is_answered_at_once_is_the_list_of_everybody(
    replicas: Any, catalog_of: Any, at_once: bool, changes: dict[str, Any], sent: dict[str, Any]
) -> None:
    replica = await replicas.start(catalog_of(log_level="info", **changes))
    logging.getLogger("access").setLevel(logging.INFO)

    quick = replica.app.answer_at_once(list_request(**sent))
    replica.app.access_log.flush()
    seen = [json.loads(line) for line in b"".join(replicas.log).splitlines()]
    replicas.log.clear()
    assert (quick is not None, bool(seen)) == (at_once, at_once)
    if quick is None:
        return
    usual = await replica.app.handle(list_request(**sent))
    replica.app.access_log.flush()

    assert b"".join((quick.body, *quick.parts)) == b"".join((usual.body, *usual.parts))
    assert (quick.status, quick.content_type, quick.headers) == (usual.status, usual.content_type, usual.headers)
    own = {"requestId", "ms"}
    (again,) = [json.loads(line) for line in b"".join(replicas.log).splitlines()]
    assert {n: v for n, v in seen[0].items() if n not in own} == {n: v for n, v in again.items() if n not in own}
    wanted = {"http_request_method": "POST", "mcp_method_name": sent.get("method", "tools/list")}
    more = {"http_response_status_code": "200", "error_type": ""}
    assert replica.count("mcp_server_operation_duration_seconds_count", **wanted, **more) == 2


async def test_a_pod_that_drains_answers_no_list_at_once(replica: Any) -> None:
    replica.draining = True
    assert replica.app.answer_at_once(list_request()) is None
    assert (await replica.app.handle(list_request())).close
