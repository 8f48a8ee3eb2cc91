"""Backends that speak MCP: our own server in both eras, and a scripted server of the era of sessions."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import web

from crd.published.entries import Backend, Mcp, Tool
from crd.published.policy import Policy, Response
from crd.published.settings import Auth
from runtime.backends import faults
from runtime.backends.faults import CallError, Fate
from runtime.backends.mcp import client, mcp_wire
from runtime.backends.mcp.client import McpClient, Target
from runtime.backends.secret_files import SecretFiles
from runtime.http.client import HttpClient
from runtime.http.exchange import Reply, Request
from runtime.mcp.context import Context
from runtime.mcp.jsonrpc import RpcError

CONTEXT = Context("r")


def tool(port: int = 80, *, schema: dict[str, Any] | None = None, **mcp: Any) -> Tool:
    spoken = Mcp(**{"path": "/mcp", "tool": "echo", **mcp})
    return Tool("a", "shop/a", "POST", Backend("127.0.0.1", port), schema or {"type": "object"}, mcp=spoken)


@pytest.fixture
async def upstream(tmp_path: Any) -> AsyncIterator[HttpClient]:
    found = HttpClient(SecretFiles(tmp_path, tmp_path), allow_loopback=True)
    yield found
    await found.close()


def counter() -> Any:
    count = 0

    def new_id() -> str:
        nonlocal count
        count += 1
        return f"id-{count}"

    return new_id


def as_read(result: dict[str, Any]) -> dict[str, Any]:
    """The result as a client reads it."""
    return dict(json.loads(orjson.dumps(result)))


@pytest.mark.parametrize("protocol", ["Auto", "Modern", "Legacy"])
@pytest.mark.parametrize("session", ["PerCall", "Shared"])
@pytest.mark.parametrize("mode", ["Memory", "Stateless"])
async def test_our_own_server_is_called_in_both_eras(
    replicas: Any, catalog_of: Any, upstream: HttpClient, protocol: str, session: str, mode: str
) -> None:
    replica = await replicas.start(catalog_of(sessions=mode))
    port = int(replica.url.rpartition(":")[2])
    caller = McpClient(upstream, new_id=counter())

    for _ in range(2):
        given = tool(port, protocol=protocol, session=session)
        result = as_read(await caller.call(given, {"q": "x"}, CONTEXT, (), 5.0))
        assert result["structuredContent"]["arguments"] == {"q": "x"}
    assert result["_meta"] == {"x/y": 1}


async def test_arguments_with_x_mcp_header_are_sent_in_headers(
    replicas: Any, catalog_of: Any, upstream: HttpClient
) -> None:
    replica = await replicas.start(catalog_of())
    port = int(replica.url.rpartition(":")[2])
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    given = tool(port, tool="region", protocol="Modern", schema=schema)

    result = as_read(await McpClient(upstream, new_id=counter()).call(given, {"region": "süd"}, CONTEXT, (), 5.0))

    assert result["structuredContent"]["arguments"]["region"] == "süd"


async def test_the_error_of_a_backend_is_passed_on(replicas: Any, catalog_of: Any, upstream: HttpClient) -> None:
    replica = await replicas.start(catalog_of())
    port = int(replica.url.rpartition(":")[2])

    with pytest.raises(RpcError) as caught:
        await McpClient(upstream, new_id=counter()).call(tool(port, tool="nobody"), {}, CONTEXT, (), 5.0)

    assert (caught.value.code, "nobody" in caught.value.message) == (-32602, True)


async def test_credentials_are_sent_and_a_401_does_not_select_the_legacy_era(
    replicas: Any, catalog_of: Any, upstream: HttpClient
) -> None:
    (replicas.secrets / "keys").mkdir(parents=True)
    (replicas.secrets / "keys" / "agent").write_text("k-1")
    replica = await replicas.start(catalog_of(auth=Auth("APIKey", "keys")))
    port = int(replica.url.rpartition(":")[2])
    caller = McpClient(upstream, new_id=counter())

    result = as_read(await caller.call(tool(port), {}, CONTEXT, (("Authorization", "Bearer k-1"),), 5.0))
    with pytest.raises(CallError) as caught:
        await caller.call(tool(port), {}, CONTEXT, (("Authorization", "Bearer k-2"),), 5.0)

    assert result["structuredContent"]["principal"] == "agent"
    assert caught.value.code == "upstream_denied"


class Legacy:
    """A scripted server of the era of sessions."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.sessions: list[str | None] = []
        self.results: list[Any] = []
        self.opened = 0
        self.stream = False
        self.identifier = True
        self.version = "2025-06-18"

    async def send(self, request: Request, timeout: float, **_: Any) -> Reply:
        message = json.loads(request.body) if request.body else {}
        headers = {name.lower(): value for name, value in request.headers}
        self.methods.append(message.get("method", request.method))
        self.sessions.append(headers.get("mcp-session-id"))
        match message.get("method"):
            case "initialize":
                self.opened += 1
                more = {"mcp-session-id": f"s{self.opened}"} if self.identifier else {}
                return self._json(message["id"], {"protocolVersion": self.version}, **more)
            case "server/discover":
                return Reply(400, {"content-type": "application/json"}, b'{"jsonrpc":"2.0","error":{"code":-32601}}')
            case "tools/call":
                answer = self.results.pop(0) if self.results else {"content": []}
                if isinstance(answer, int):
                    return Reply(answer, {}, b"")
                return self._json(message["id"], answer)
        return Reply(202, {}, b"")

    def _json(self, identifier: Any, result: Any, **headers: str) -> Reply:
        key = "error" if "code" in result else "result"
        message = json.dumps({"jsonrpc": "2.0", "id": identifier, key: result})
        if not self.stream:
            return Reply(200, {"content-type": "application/json; charset=utf-8", **headers}, message.encode())
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress"})
        text = f": ping\r\n\r\nevent: message\r\ndata: {note}\r\n\r\ndata: broken\n\nid: 7\ndata:{message}\n\n"
        return Reply(200, {"content-type": "text/event-stream", **headers}, text.encode())


async def test_a_session_per_call_is_deleted_after_the_call(upstream: HttpClient) -> None:
    server = Legacy()
    caller = McpClient(server, new_id=counter())

    await caller.call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0)
    await caller.close()

    assert server.methods == ["initialize", "notifications/initialized", "tools/call", "DELETE"]
    assert server.sessions == [None, "s1", "s1", "s1"]


async def test_a_shared_session_is_kept_and_replaced_when_it_has_ended() -> None:
    server = Legacy()
    caller = McpClient(server, new_id=counter())
    shared = tool(session="Shared")
    await caller.call(shared, {}, CONTEXT, (), 5.0)
    await caller.call(shared, {}, CONTEXT, (), 5.0)
    assert (server.opened, server.methods.count("server/discover"), "DELETE" in server.methods) == (1, 1, False)

    server.results = [404]
    await caller.call(shared, {}, CONTEXT, (), 5.0)
    assert (server.opened, server.sessions[-1]) == (2, "s2")

    server.results = [404, 404]
    with pytest.raises(CallError) as caught:
        await caller.call(shared, {}, CONTEXT, (), 5.0)
    assert caught.value.code == "not_found"


async def test_each_set_of_credentials_has_its_own_session() -> None:
    server = Legacy()
    caller = McpClient(server, new_id=counter())
    for token in ("a", "b", "a"):
        await caller.call(tool(session="Shared"), {}, CONTEXT, (("Authorization", token),), 5.0)

    assert server.opened == 2


async def test_a_backend_without_session_ids_is_supported() -> None:
    server = Legacy()
    server.identifier = False

    await McpClient(server, new_id=counter()).call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0)

    assert "DELETE" not in server.methods


async def test_an_event_stream_is_read_up_to_the_response() -> None:
    server = Legacy()
    server.stream = True
    server.results = [{"content": [{"type": "text", "text": "ü"}], "isError": True}]

    result = await McpClient(server, new_id=counter()).call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0)

    assert result == {"content": [{"type": "text", "text": "ü"}], "isError": True}


@pytest.mark.parametrize(
    ("answer", "code", "data"),
    [
        ({"code": -32602, "message": "no", "data": 1}, -32602, 1),
        ({"code": 7, "message": "own"}, 7, None),
        ({"code": -32001, "message": "odd"}, -32603, {"code": -32001}),
        ({"code": "x"}, -32603, None),
    ],
)
async def test_error_codes_of_one_era_become_internal_errors(answer: Any, code: int, data: Any) -> None:
    server = Legacy()
    server.results = [answer]

    with pytest.raises(RpcError) as caught:
        await McpClient(server, new_id=counter()).call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0)

    assert (caught.value.code, caught.value.data) == (code, data)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (503, "upstream_error"), (429, "upstream_busy"), ([1], "bad_response"), ({"content": "x"}, "bad_response"),
        ({"content": [1]}, "bad_response"), ({"resultType": "input_required"}, "bad_response"),
    ],
)  # fmt: skip
async def test_a_reply_without_a_usable_result_is_a_fault(answer: Any, code: str) -> None:
    server = Legacy()
    server.results = [answer]

    with pytest.raises(CallError) as caught:
        await McpClient(server, new_id=counter()).call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0)

    assert caught.value.code == code


def test_structured_content_that_is_not_an_object_is_wrapped_for_older_clients() -> None:
    found = {"content": [], "structuredContent": [1], "_meta": {"io.modelcontextprotocol/serverInfo": {}}}

    assert received(found) == {"content": [], "structuredContent": [1]}
    assert received(found, modern=False)["structuredContent"] == {"result": [1]}


@pytest.mark.parametrize(
    ("body", "modern"),
    [
        ({"result": {"supportedVersions": ["2026-07-28"]}}, True),
        ({"result": {"supportedVersions": ["2025-11-25"]}}, False),
        ({"error": {"code": -32022, "data": {"supported": ["2026-07-28"]}}}, True),
        ({"error": {"code": -32022, "data": []}}, False),
        ({"error": {"code": -32601}}, False),
        ([], False),
    ],
)
def test_the_supported_versions_determine_the_era(body: Any, modern: bool) -> None:
    assert mcp_wire.speaks_modern(Reply(200, {"content-type": "application/json"}, json.dumps(body).encode())) is modern


async def test_an_unsupported_version_is_reported() -> None:
    server = Legacy()
    server._json = lambda identifier, result, **_: Reply(  # type: ignore[method-assign]
        200,
        {"content-type": "application/json"},
        json.dumps({"id": identifier, "result": {"protocolVersion": "1999"}}).encode(),
    )

    with pytest.raises(CallError, match="1999"):
        await McpClient(server, new_id=counter()).call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0)


async def test_one_timeout_covers_the_whole_call(upstream: HttpClient) -> None:
    done = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/mcp", never)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    with pytest.raises(CallError) as caught:
        await McpClient(upstream, new_id=counter()).call(tool(runner.addresses[0][1]), {}, CONTEXT, (), 0.1)

    assert caught.value.code == "timeout"
    done.set()
    await runner.cleanup()


async def test_an_unknown_port_is_a_misconfiguration(upstream: HttpClient) -> None:
    with pytest.raises(CallError, match="has no port of that name"):
        await McpClient(upstream, new_id=counter()).call(tool(0), {}, CONTEXT, (), 1.0)
    with pytest.raises(ValueError, match="does not speak MCP"):
        await McpClient(upstream, new_id=counter()).call(
            Tool("a", "s/a", "GET", Backend("h", 1), {}), {}, CONTEXT, (), 1.0
        )


SCHEMA = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}


def received(
    result: dict[str, Any], *, modern: bool = True, schema: dict[str, Any] | None = None, observe: bool = False
) -> dict[str, Any]:
    """What our client gets of a backend's result."""
    response = Response(on_schema_mismatch="Observe" if observe else "Error")
    given = replace(tool(), output_schema=schema, policy=Policy(response=response))
    return mcp_wire.tool_result(copy.deepcopy(result), given, modern=modern, request_id="r-1")


TEXT = {"type": "text", "text": "hello"}


@pytest.mark.parametrize(
    "result",
    [
        {"content": [TEXT]},
        {"content": [TEXT], "structuredContent": {}},
        {"content": [TEXT], "structuredContent": {"total": "7"}},
        {"content": [TEXT], "structuredContent": None},
        {"content": [TEXT], "structuredContent": [7]},
    ],
)
def test_a_result_is_held_to_the_output_schema(result: dict[str, Any]) -> None:
    found = received(result, schema=SCHEMA)

    assert (found["isError"], "structuredContent" in found) == (True, False)
    assert "outputSchema" in found["content"][0]["text"]
    assert found["content"][1] == TEXT
    assert received(result, schema=SCHEMA, observe=True) == {"content": [TEXT]}
    # An error of the backend needs no structured content, but has none that does not match.
    assert received({**result, "isError": True}, schema=SCHEMA) == {"content": [TEXT], "isError": True}


def test_a_result_that_matches_passes() -> None:
    result = {"content": [TEXT], "structuredContent": {"total": 7}}

    assert received(result, schema=SCHEMA) == result
    assert received({**result, "isError": True}, schema=SCHEMA) == {**result, "isError": True}


@pytest.mark.parametrize(
    ("block", "is_kept"),
    [
        ({"type": "text", "text": "a"}, True),
        ({"type": "image", "data": "eA==", "mimeType": "image/png"}, True),
        ({"type": "audio", "data": "eA==", "mimeType": "audio/wav"}, True),
        ({"type": "resource_link", "uri": "a:b", "name": "b"}, True),
        ({"type": "resource", "resource": {"uri": "a:b", "text": "c"}}, True),
        ({"type": "resource", "resource": {"uri": "a:b", "blob": "eA=="}}, True),
        ({"type": "text", "text": None}, False),
        ({"type": "text", "text": {"a": 1}}, False),
        ({"type": "image", "data": "eA=="}, False),
        ({"type": "resource_link", "uri": "a:b"}, False),
        ({"type": "resource", "resource": {"uri": "a:b"}}, False),
        ({"type": "resource", "resource": {"uri": "a:b", "text": "c", "blob": "eA=="}}, False),
        ({"type": "resource", "resource": "a:b"}, False),
        ({"type": "video", "data": "eA=="}, False),
        ({"type": ["text"], "text": "a"}, False),
        ({}, False),
    ],
)
def test_a_content_block_that_clients_cannot_read_becomes_text(block: dict[str, Any], is_kept: bool) -> None:
    (found,) = received({"content": [block]})["content"]

    if is_kept:
        assert found == block
    else:
        assert (found["type"], json.loads(found["text"])) == ("text", block)


def test_a_backend_sets_no_meta_of_ours() -> None:
    meta = {
        "io.modelcontextprotocol/serverInfo": {"name": "trusted"},
        "IO.ModelContextProtocol/related-task": 1,
        "mcp.example.com/headers": {"x": "y"},
        "example.com/own": 1,
        "plain": 2,
    }
    kept = {"example.com/own": 1, "plain": 2}
    block = {"type": "resource", "resource": {"uri": "a:b", "text": "", "_meta": meta}, "_meta": meta}

    found = received({"content": [block], "_meta": meta})

    assert found["_meta"] == kept
    assert found["content"][0]["_meta"] == kept
    assert found["content"][0]["resource"]["_meta"] == kept
    for odd in (None, [], "x", {"mcp.example.com/headers": {}}):
        assert received({"content": [{**TEXT, "_meta": odd}], "_meta": odd}) == {"content": [TEXT]}
    # Nor with a result that is replaced.
    assert received({"content": [TEXT], "_meta": meta}, schema=SCHEMA)["_meta"] == kept


DIGITS = '{"n":115792089237316195423570985008687907853,"price":1.10,"huge":1E400,"zero":-0}'


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("schema", [None, {"type": "object", "properties": {"n": {"multipleOf": 2}}}])
def test_structured_content_has_the_digits_of_the_backend(stream: bool, schema: Any) -> None:
    text = f'{{"jsonrpc":"2.0","id":"a","result":{{"content":[],"structuredContent": {DIGITS}}}}}'
    media, body = ("text/event-stream", f"data: {text}\n\n") if stream else ("application/json", text)
    message = mcp_wire.find_response(Reply(200, {"content-type": media}, body.encode()), "a", exact=True)
    assert message is not None
    given = replace(tool(), output_schema=schema)

    found = mcp_wire.tool_result(message[0]["result"], given, modern=True, request_id="r", text=message[1])

    if schema is None:
        assert orjson.dumps(found["structuredContent"]).decode() == DIGITS
    else:
        assert "must be a multiple of 2" in found["content"][0]["text"]


def test_the_end_of_a_stream_is_found_behind_a_number_that_no_double_holds() -> None:
    watch = mcp_wire.ResponseWatch("a")

    assert watch.ends(b'data: {"jsonrpc":"2.0","id":"a","result":{"n":1E400}}\n\n')


def test_a_result_that_no_client_can_use_is_a_bad_response() -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]

    for result in ({"content": [], "structuredContent": deep}, {"content": [], "isError": "yes"}, {"content": ["x"]}):
        with pytest.raises(CallError, match="bad_response"):
            received(result)


@pytest.mark.parametrize(
    ("failing", "fate", "retryable"),
    [("initialize", Fate.NOT_SENT, True), ("tools/call", Fate.UNKNOWN, False), ("DELETE", None, None)],
)
async def test_only_tools_call_itself_has_an_effect(failing: str, fate: Fate | None, retryable: bool | None) -> None:
    server = Legacy()
    answer = server.send

    async def send(request: Request, timeout: float, **_: Any) -> Reply:
        method = json.loads(request.body)["method"] if request.body else request.method
        if method == failing:
            raise faults.timeout(timeout, idempotent=request.idempotent)
        return await answer(request, timeout)

    server.send = send  # type: ignore[method-assign]
    caller = McpClient(server, new_id=counter())
    call = caller.call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0)
    if fate is None:
        assert await call == {"content": []}
        await caller.close()
        return
    with pytest.raises(CallError) as caught:
        await call
    assert (caught.value.code, caught.value.fate, caught.value.retryable) == ("timeout", fate, retryable)


class Held(Legacy):
    """Answers to ``method`` only when ``hold`` is set."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.hold, self.method = asyncio.Event(), method
        self.timeouts: list[float] = []

    async def send(self, request: Request, timeout: float, **more: Any) -> Reply:
        self.timeouts.append(timeout)
        method = json.loads(request.body)["method"] if request.body else request.method
        if method == self.method:
            await self.hold.wait()
        return await super().send(request, timeout, **more)


async def test_a_session_that_is_slow_to_end_does_not_delay_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ENDING", 3)
    server = Held("DELETE")
    caller = McpClient(server, new_id=counter())

    for _ in range(5):
        assert await caller.call(tool(protocol="Legacy"), {}, CONTEXT, (), 5.0) == {"content": []}

    assert len(caller._ending) == 3
    server.hold.set()
    await caller.close()
    assert (server.timeouts[:3], server.timeouts[-1]) == ([5.0, 5.0, 5.0], 1.0)
    assert server.methods.count("DELETE") == 3


@pytest.mark.parametrize(("held", "shared"), [("server/discover", "PerCall"), ("initialize", "Shared")])
async def test_what_all_calls_need_is_asked_once_also_when_the_first_caller_leaves(held: str, shared: str) -> None:
    server = Held(held)
    caller = McpClient(server, new_id=counter())
    calls = [asyncio.create_task(caller.call(tool(session=shared), {}, CONTEXT, (), 5.0)) for _ in range(5)]
    async with asyncio.timeout(10):
        while len(caller._running) == 0:
            await asyncio.sleep(0)
    calls[0].cancel()
    await asyncio.gather(calls[0], return_exceptions=True)
    server.hold.set()

    assert await asyncio.gather(*calls[1:]) == [{"content": []}] * 4
    assert server.methods.count(held) == 1
    assert caller._running == {}


async def test_an_era_is_no_verdict_for_life() -> None:
    server, now = Legacy(), [0.0]
    caller = McpClient(server, new_id=counter(), monotonic=lambda: now[0])
    for at in (0.0, client.LEGACY_TTL - 1, client.LEGACY_TTL + 1):
        now[0] = at
        await caller.call(tool(session="Shared"), {}, CONTEXT, (), 5.0)

    assert server.methods.count("server/discover") == 2


async def test_what_is_remembered_of_backends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_PEERS", 10)
    server = Legacy()
    caller = McpClient(server, new_id=counter())
    for number in range(30):
        await caller.call(tool(session="Shared"), {}, CONTEXT, (("Authorization", str(number)),), 5.0)

    assert (len(caller._eras), len(caller._sessions), caller._running) == (10, 10, {})


async def test_an_answered_event_stream_ends_the_call(upstream: HttpClient) -> None:
    left = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        message = await request.json()
        if message["method"] == "server/discover":
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": {"supportedVersions": []}})
        if "id" not in message:
            return web.Response(status=202)
        result = {"protocolVersion": "2025-06-18"} if message["method"] == "initialize" else {"content": []}
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        try:
            for part in (": ping\n\ndata: {}\n\nda", f"ta: {text[:9]}", text[9:], "\r", "\n", "\r\n"):
                await stream.write(part.encode())
                await asyncio.sleep(0.001)
            async with asyncio.timeout(30):
                while True:
                    await stream.write(b": ping\n\n")
                    await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            left.set()
            raise

    app = web.Application()
    app.router.add_post("/mcp", answer)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async with asyncio.timeout(10):
        result = await McpClient(upstream, new_id=counter()).call(
            tool(runner.addresses[0][1], session="Shared"), {}, CONTEXT, (), 20.0
        )
        await left.wait()

    assert result == {"content": []}
    await runner.cleanup()


def test_a_request_of_the_backend_is_not_the_response() -> None:
    watch = mcp_wire.ResponseWatch("1")

    assert not watch.ends(b'data: {"id": "1", "method": "ping"}\n\ndata: not json\n\ndata: []\n\n')
    assert not watch.ends(b'data: {"id": "2", "result": {}}\n\ndata: {"id": "1",\ndata: "result": {}}\n')
    assert watch.ends(b"\n")


FIND = {"name": "find", "description": "Finds.", "inputSchema": {"type": "object"}}


@pytest.mark.parametrize("protocol", ["Auto", "Modern", "Legacy"])
@pytest.mark.parametrize("mode", ["Memory", "Stateless"])
async def test_the_tools_of_our_own_server_are_listed_in_both_eras(
    replicas: Any, catalog_of: Any, upstream: HttpClient, protocol: str, mode: str
) -> None:
    replica = await replicas.start(catalog_of(sessions=mode, page_size=3))
    caller = McpClient(upstream, new_id=counter())

    listing = await caller.list_tools(Target(f"{replica.url}/mcp", protocol=protocol), 5.0)
    await caller.close()

    assert listing.fault == ""
    assert [found["name"] for found in listing.tools] == [entry.name for entry in catalog_of().tools]
    if protocol != "Modern":
        assert listing.capabilities == {"tools", "prompts", "resources"}


class Pages:
    """A scripted server that lists tools: ``answer`` makes the result for a cursor."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.methods: list[str] = []

    async def send(self, request: Request, timeout: float, *, max_bytes: int = 0, **_: Any) -> Reply:
        message = json.loads(request.body) if request.body else {}
        self.methods.append(message.get("method", request.method))
        headers = {"content-type": "application/json", "mcp-session-id": "s1"}
        match message.get("method"):
            case "initialize":
                result: Any = {"protocolVersion": "2025-06-18", "capabilities": {"prompts": {}, "evil": {}}}
            case "tools/list":
                result = self.answer(message["params"].get("cursor"))
                if isinstance(result, BaseException):
                    raise result
                if isinstance(result, int):
                    return Reply(result)
            case _:
                return Reply(202)
        key = "error" if "code" in result else "result"
        return Reply(200, headers, json.dumps({"jsonrpc": "2.0", "id": message["id"], key: result}).encode())


@pytest.mark.parametrize(
    ("answer", "fault", "count"),
    [
        (lambda _: {"tools": [FIND]}, "", 1),
        (lambda _: {"tools": [FIND], "nextCursor": ""}, "", 1),
        (lambda cursor: {"tools": [FIND], "nextCursor": str(int(cursor or 0) + 1)}, "more than 500 pages", 500),
        (lambda _: {"tools": [FIND], "nextCursor": "x"}, "names the same next page again", 2),
        (lambda _: {"tools": [FIND], "nextCursor": 7}, "/nextCursor of the server's list must be a string", 0),
        (lambda _: {"tools": [FIND] * 10_001}, "lists more than 10000 tools", 10_000),
        (lambda _: {"tools": {"a": FIND}}, "/tools of the server's list must be a list of objects", 0),
        (lambda _: {"tools": [FIND, 7]}, "/tools of the server's list must be a list of objects", 0),
        (lambda _: {}, "/tools of the server's list must be a list of objects", 0),
        (lambda _: {"code": -32601, "message": "no"}, "the server answered with error -32601: no", 0),
        (lambda _: 503, "upstream_error: the backend answered 503 Service Unavailable", 0),
        (lambda cursor: {"tools": [FIND], "nextCursor": "2"} if cursor is None else 500, "upstream_error", 1),
        (lambda _: CallError("unreachable", "gone"), "unreachable: gone", 0),
    ],
)
async def test_what_a_server_lists_is_read_within_bounds(answer: Any, fault: str, count: int) -> None:
    server = Pages(answer)
    caller = McpClient(server, new_id=counter())

    listing = await caller.list_tools(Target("http://b:80/mcp", protocol="Legacy"), 5.0)
    await caller.close()

    assert fault in listing.fault
    assert bool(listing.fault) == bool(fault)
    assert len(listing.tools) == count
    assert listing.capabilities == {"prompts"}
    assert (server.methods[0], server.methods[-1]) == ("initialize", "DELETE")


async def test_large_pages_end_a_list() -> None:
    large = {**FIND, "description": "x" * 1_500_000}
    server = Pages(lambda cursor: {"tools": [large], "nextCursor": str(int(cursor or 0) + 1)})

    listing = await McpClient(server, new_id=counter()).list_tools(Target("http://b:80/mcp", protocol="Legacy"), 5.0)

    assert "larger than 8388608 bytes" in listing.fault
    assert len(listing.tools) == 6


async def test_one_timeout_covers_the_whole_list() -> None:
    class Slow(Pages):
        async def send(self, request: Request, timeout: float, **options: Any) -> Reply:
            await asyncio.sleep(0.06)
            return await super().send(request, timeout, **options)

    server = Slow(lambda cursor: {"tools": [FIND], "nextCursor": str(int(cursor or 0) + 1)})

    listing = await McpClient(server, new_id=counter()).list_tools(Target("http://b:80/mcp", protocol="Legacy"), 0.3)

    assert listing.fault == "timeout: the list did not end within 0.3 s"
    assert 1 <= len(listing.tools) <= 4
