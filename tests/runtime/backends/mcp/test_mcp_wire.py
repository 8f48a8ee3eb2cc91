"""MCP towards a backend: what exactly is sent, what a reply means, and in which words one is refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest

from crd.published.entries import Backend, Mcp, Tool
from crd.published.policy import Policy, Response, Retries
from runtime import VERSION
from runtime.backends.faults import CallError, Fate
from runtime.backends.mcp import mcp_wire
from runtime.backends.mcp.client import McpClient, Target
from runtime.http.exchange import Reply, Request
from runtime.mcp import eras
from runtime.mcp.context import Context
from runtime.mcp.jsonrpc import RpcError
from runtime.telemetry.call_record import CallRecord

CLIENT = {"name": "mcp-operator", "version": VERSION}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
TOTAL = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
ACCEPT = ("Accept", "application/json, text/event-stream")


def a_tool(**more: Any) -> Tool:
    mcp = Mcp(**{"path": "/mcp", "tool": "theirs", **more.pop("mcp", {})})
    return Tool("a", "shop/a", "POST", Backend("b.shop.svc", 80), {"type": "object"}, mcp=mcp, **more)


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


AGAIN = {"idempotentHint": True}
DONE = "; the request itself is done, do not repeat it"


@pytest.mark.parametrize(
    ("result", "message", "fate"),
    [
        (
            {"resultType": "input_required"},
            "the backend's tool requests input from its client, which this server does not pass on",
            Fate.UNKNOWN,
        ),
        ({"content": {}}, f"/content of the backend's result must be a list of objects{DONE}", Fate.DONE),
        ({"content": [{}, 1]}, f"/content of the backend's result must be a list of objects{DONE}", Fate.DONE),
        ({"isError": 0}, f"/isError of the backend's result must be a boolean{DONE}", Fate.DONE),
        ({"isError": None}, f"/isError of the backend's result must be a boolean{DONE}", Fate.DONE),
        ({"x": nested(32)}, f"the backend's result is nested deeper than 32 levels{DONE}", Fate.DONE),
    ],
)
def test_a_result_that_is_none_is_refused_in_words(result: dict[str, Any], message: str, fate: Fate) -> None:
    with pytest.raises(CallError) as caught:
        mcp_wire.tool_result(dict(result), a_tool(), modern=True, request_id="r")
    assert (caught.value.code, caught.value.message, caught.value.fate) == ("bad_response", message, fate)

    with pytest.raises(CallError) as caught:
        mcp_wire.tool_result(dict(result), a_tool(annotations=AGAIN), modern=True, request_id="r")
    assert caught.value.message == message.removesuffix(DONE)
    assert mcp_wire.tool_result({"x": nested(31)}, a_tool(), modern=True, request_id="r")["x"] == nested(31)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ({}, "/structuredContent is missing"),
        ({"structuredContent": {}}, 'missing required property "total"'),
        ({"structuredContent": {"total": "7"}}, "/total: must be an integer"),
        ({"structuredContent": []}, "must be an object"),
    ],
)
def test_a_result_that_breaks_its_schema_says_why_and_keeps_its_content(result: dict[str, Any], why: str) -> None:
    text = {"type": "text", "text": "x"}
    given = a_tool(output_schema=TOTAL)

    found = mcp_wire.tool_result({"content": [text], "_meta": {"a/b": 1}, **result}, given, modern=True, request_id="r")

    assert found.keys() == {"content", "isError", "_meta"}
    error = json.loads(found["content"][0]["text"])["error"]
    assert error == {
        "code": "bad_response",
        "status": 200,
        "message": f"the result does not match the outputSchema: {why}{DONE}",
        "request": "done",
        "retryable": False,
        "requestId": "r",
    }
    assert (found["content"][1:], found["_meta"], found["isError"]) == ([text], {"a/b": 1}, True)
    observed = replace(given, policy=Policy(response=Response(on_schema_mismatch="Observe")))
    kept = mcp_wire.tool_result({"content": [text], **result}, observed, modern=True, request_id="r")
    assert kept == {"content": [text]}


def test_members_between_the_backend_and_this_client_are_not_passed_on() -> None:
    result = {"resultType": "complete", "ttlMs": 1, "cacheScope": "public", "own": 1, "structuredContent": 7}

    assert mcp_wire.tool_result(dict(result), a_tool(), modern=True, request_id="r") == {
        "own": 1,
        "structuredContent": 7,
        "content": [],
    }
    found = mcp_wire.tool_result(dict(result), a_tool(), modern=False, request_id="r")
    assert found["structuredContent"] == {"result": 7}


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("error", "code", "message", "data"),
    [
        ({"code": -32700, "message": "m", "data": {"x": 1}}, -32700, "m", {"x": 1}),
        ({"code": -32603, "message": ""}, -32603, "the backend answered with an error", None),
        ({"code": -32768, "message": "m", "data": 1}, -32603, "m", {"code": -32768}),
        ({"code": -32769, "message": "m", "data": 1}, -32769, "m", 1),
        ({"code": -32000, "message": 7}, -32603, "7", {"code": -32000}),
        ({"code": -31999, "message": "m"}, -31999, "m", None),
        ({"code": True, "message": "m", "data": 1}, -32603, "m", None),
        ({"message": "m"}, -32603, "m", None),
        ({}, -32603, "the backend answered with an error", None),
        ({"code": 1, "message": nested(1000)}, 1, "the backend answered with an error", None),
        ({"code": 1, "message": "m", "data": nested(32)}, 1, "m", nested(32)),
        ({"code": 1, "message": "m", "data": nested(33)}, 1, "m", None),
    ],
)
def test_the_error_of_a_backend_for_our_client(error: Any, code: int, message: str, data: Any) -> None:
    found = mcp_wire.translate_error(error)

    assert (found.code, found.message, found.data) == (code, message, data)


def reply(*messages: Any, media: str = "application/json") -> Reply:
    if media == "text/event-stream":
        body = "".join(f"data: {json.dumps(message)}\n\n" for message in messages).encode()
    else:
        body = json.dumps(messages[0]).encode()
    return Reply(200, {"content-type": media}, body)


@pytest.mark.parametrize(
    ("messages", "modern", "offers"),
    [
        ([{"result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}, "x": {}}}}], True, {"tools"}),
        ([{"result": {"supportedVersions": ["2025-11-25"]}}], False, set()),
        ([{"result": {"supportedVersions": "2026-07-28"}}], False, set()),
        ([{"result": ["2026-07-28"]}], False, set()),
        ([{"result": {"capabilities": ["tools"]}}], False, set()),
        ([{"error": {"code": -32022, "data": {"supported": ["2026-07-28"]}}}], True, set()),
        ([{"error": {"code": -32022, "data": ["2026-07-28"]}}], False, set()),
        ([{"error": {"code": -32601, "data": {"supported": ["2026-07-28"]}}}], False, set()),
        ([{"error": "no"}], False, set()),
        ([{"method": "x"}, {"result": {"supportedVersions": ["2026-07-28"]}}], True, set()),
        ([[1]], False, set()),
    ],
)
def test_what_a_backend_says_of_itself(messages: list[Any], modern: bool, offers: set[str]) -> None:
    found = reply(*messages, media="text/event-stream")

    assert (mcp_wire.speaks_modern(found), mcp_wire.capabilities_of(found)) == (modern, offers)
    assert mcp_wire.capabilities_of(Reply(200, {}, b"x")) == frozenset()


@pytest.mark.parametrize(
    ("message", "answers"),
    [
        ({"id": "a", "result": {}}, True),
        ({"id": "a", "error": {}}, True),
        ({"error": {}}, True),
        ({"id": None, "error": {}}, True),
        ({"id": None, "result": {}}, False),
        ({"id": "b", "result": {}}, False),
        ({"id": "b", "error": {}}, False),
        ({"id": "a", "method": "x"}, False),
        ({"error": {}, "method": "x"}, False),
    ],
)
def test_only_a_response_to_the_request_answers_it(message: dict[str, Any], answers: bool) -> None:
    for media in ("application/json", "text/event-stream"):
        found = mcp_wire.find_response(reply(message, media=media), "a")
        assert (found is not None) is answers
        assert found is None or found == (message, json.dumps(message))
    watch = mcp_wire.ResponseWatch("a")
    assert watch.ends(f"data: {json.dumps(message)}\n\n".encode()) is answers


ANSWER = b'{"id":"a","result":{}}'


@pytest.mark.parametrize(
    "stream",
    [
        b"data: %b\n\n" % ANSWER,
        b"data:%b\n\n" % ANSWER,
        b"data: %b\r\n\r\n" % ANSWER,
        b": c\r\rdata: %b\r\r" % ANSWER,
        b": c\r\n\ndata: [1]\r\n\rdata: %b\n\r" % ANSWER,
        b": c\n\nevent: message\ndata: %b\n\n" % ANSWER,
        b'data: {"id":"a",\ndata: "result":{}}\n\n',
        b"data: broken\n\ndata: [1]\n\ndata: \xff\n\ndata: %b\n\n" % ANSWER,
    ],
)
def test_the_end_of_a_stream_is_found_in_any_parts(stream: bytes) -> None:
    for size in (1, 3, 7, len(stream)):
        watch = mcp_wire.ResponseWatch("a")
        ends = [watch.ends(stream[at : at + size]) for at in range(0, len(stream), size)]
        read = stream[: (ends.index(True) + 1) * size]
        assert read.replace(b"\r\n", b"\n").replace(b"\r", b"\n").endswith(b"\n\n")
        # What is left is the rest of the last line ending.
        assert stream[len(read) :] in (b"", b"\n")
    media = {"content-type": "text/event-stream"}
    found = mcp_wire.find_response(Reply(200, media, stream), "a")
    assert found is not None
    assert found[0] == {"id": "a", "result": {}}
    assert mcp_wire.find_response(Reply(200, media, stream.replace(b"\r\n", b"\r")), "a") == found
    # The last event may lack its empty line.
    assert mcp_wire.find_response(Reply(200, media, stream.rstrip()), "a") is not None


def test_what_is_sent_in_the_stateless_era() -> None:
    assert mcp_wire.with_meta({"a": 1}, "00-t") == {"a": 1, "_meta": {"traceparent": "00-t", **META}}
    assert mcp_wire.with_meta({}) == {"_meta": META}
    assert mcp_wire.modern_headers("m") == (("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "m"))
    schema = {"properties": {"r": {"type": "string", "x-mcp-header": "R"}}}
    assert mcp_wire.routing_headers("ü", schema, {"r": "eu"}) == (
        ("Mcp-Name", "=?base64?w7w=?="),
        ("mcp-param-r", "eu"),
    )
    assert mcp_wire.initialize_params("v") == {"protocolVersion": "v", "capabilities": {}, "clientInfo": CLIENT}


class Scripted:
    """A backend that answers each method with what ``answers`` has for it, and keeps what it was sent."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name.replace("_", "/"): answer for name, answer in answers.items()}
        self.sent: list[tuple[Request, dict[str, Any], float, dict[str, Any]]] = []

    async def send(self, request: Request, timeout: float, **options: Any) -> Reply:
        message = json.loads(request.body) if request.body else {}
        self.sent.append((request, message, timeout, options))
        answer = self.answers.get(message.get("method", request.method), Reply(202))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        headers = {"content-type": "application/json", "mcp-session-id": "s-1"}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}).encode()
        return Reply(200, headers, body)


DISCOVERED = {"result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}}


def a_client(server: Scripted, **more: Any) -> McpClient:
    numbers = iter(range(1, 1000))
    return McpClient(server, new_id=lambda: f"n{next(numbers)}", **more)


async def test_a_call_in_the_stateless_era_is_discovered_and_sent_in_full() -> None:
    server = Scripted(server_discover=DISCOVERED, tools_call={"result": {"content": []}})
    record = CallRecord("r")
    policy = Policy(retries=Retries(1, ("5xx",)), response=Response(max_bytes=77))
    secret = ("Authorization", "Bearer k")

    given = a_tool(policy=policy)
    found = await a_client(server).call(given, {"q": 1}, Context("r", record=record), (secret,), 5.0)

    assert found == {"content": []}
    (asked, question, *_), (called, call, timeout, options) = server.sent
    assert question == {"jsonrpc": "2.0", "id": "n1", "method": "server/discover", "params": {"_meta": META}}
    assert dict(asked.headers)["Mcp-Method"] == "server/discover"
    trace = call["params"]["_meta"].pop("traceparent")
    params = {"name": "theirs", "arguments": {"q": 1}, "_meta": META}
    assert call == {"jsonrpc": "2.0", "id": "n2", "method": "tools/call", "params": params}
    assert (called.method, called.url, called.idempotent) == ("POST", "http://b.shop.svc:80/mcp", False)
    version = ("MCP-Protocol-Version", "2026-07-28")
    *own, (name, parent) = called.headers
    assert own == [
        ("Content-Type", "application/json"), ACCEPT, version, ("Mcp-Method", "tools/call"), ("Mcp-Name", "theirs"),
        secret,
    ]  # fmt: skip
    assert (name, parent.split("-")[1]) == ("traceparent", trace.split("-")[1])
    assert (timeout, options["tls"], options["max_bytes"]) == (5.0, None, 77)
    assert options["ends"](b'data: {"id":"n2","result":{}}\n\n') is True
    assert (record.attempts, record.sent) == (1, len(asked.body or b"") + len(called.body or b""))
    assert record.received > 0


async def test_a_session_of_one_call_is_opened_used_and_ended() -> None:
    opened = {"result": {"protocolVersion": "2025-03-26"}}
    server = Scripted(initialize=opened, tools_call={"result": {"content": []}})
    caller = a_client(server)

    await caller.call(a_tool(mcp={"protocol": "Legacy"}, annotations=AGAIN), {}, Context("r"), (("X-A", "b"),), 5.0)
    await caller.close()

    session = ("mcp-session-id", "s-1")
    said = [(request.method, message.get("method"), session in request.headers) for request, message, *_ in server.sent]
    assert said == [
        ("POST", "initialize", False),
        ("POST", "notifications/initialized", True),
        ("POST", "tools/call", True),
        ("DELETE", None, True),
    ]
    initialize, initialized, call, end = server.sent
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
    assert initialize[1] == {"jsonrpc": "2.0", "id": "n1", "method": "initialize", "params": client}
    assert initialized[1] == {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert call[1]["params"] == {"name": "theirs", "arguments": {}}
    assert (call[0].idempotent, call[2]) == (True, 5.0)
    assert (end[2], end[0].body, ACCEPT in end[0].headers) == (1.0, None, True)
    assert all(("X-A", "b") in request.headers for request, *_ in server.sent)
    # This version has no header for itself.
    assert all("MCP-Protocol-Version" not in dict(request.headers) for request, *_ in server.sent)
    server.answers["initialize"] = {"result": {"protocolVersion": "2025-06-18"}}
    await caller.call(a_tool(mcp={"protocol": "Legacy"}), {}, Context("r"), (), 5.0)
    assert dict(server.sent[6][0].headers)["MCP-Protocol-Version"] == "2025-06-18"


NO_SESSION = "no session with the backend could be opened: "


@pytest.mark.parametrize(
    ("answers", "code", "message", "fate"),
    [
        (
            {"initialize": {"result": {"protocolVersion": "1" * 50}}},
            "bad_response",
            f"{NO_SESSION}the backend speaks MCP version {'1' * 40}; supported are {', '.join(eras.SERVED)}",
            Fate.NOT_SENT,
        ),
        (
            {"initialize": {"result": {"protocolVersion": [1]}}},
            "bad_response",
            f"{NO_SESSION}the backend names no version of MCP as a string; supported are {', '.join(eras.SERVED)}",
            Fate.NOT_SENT,
        ),
        (
            {"initialize": {"result": [1]}},
            "bad_response",
            f"{NO_SESSION}the backend's reply contains no JSON-RPC result for the request",
            Fate.NOT_SENT,
        ),
        (
            {"initialize": Reply(403)},
            "upstream_denied",
            f"{NO_SESSION}the backend answered 403 Forbidden",
            Fate.NOT_SENT,
        ),
        (
            {"initialize": {"result": {"protocolVersion": "2025-06-18"}}, "tools_call": Reply(200, {}, b"x")},
            "bad_response",
            "the backend's reply contains no JSON-RPC result for the request",
            Fate.UNKNOWN,
        ),
        (
            {"initialize": {"result": {"protocolVersion": "2025-06-18"}}, "tools_call": Reply(300)},
            "upstream_error",
            "the backend answered 300 Multiple Choices",
            Fate.UNKNOWN,
        ),
    ],
)
async def test_a_call_that_fails_says_where(answers: Any, code: str, message: str, fate: Fate) -> None:
    caller = a_client(Scripted(**answers))

    with pytest.raises(CallError) as caught:
        await caller.call(a_tool(mcp={"protocol": "Legacy"}), {}, Context("r"), (), 5.0)

    assert (caught.value.code, caught.value.message, caught.value.fate) == (code, message, fate)
    await caller.close()


@pytest.mark.parametrize(("status", "is_error"), [(200, True), (400, True), (404, False)])
async def test_an_error_in_json_counts_whatever_the_status_but_404(status: int, is_error: bool) -> None:
    body = b'{"jsonrpc":"2.0","error":{"code":-32602,"message":"no"}}'
    server = Scripted(tools_call=Reply(status, {"content-type": "application/json"}, body))

    with pytest.raises(RpcError if is_error else CallError, match="no" if is_error else "404"):
        await a_client(server).call(a_tool(mcp={"protocol": "Modern"}), {}, Context("r"), (), 5.0)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "upstream_denied"), (403, "upstream_denied"), (429, "upstream_busy"), (500, "upstream_error")],
)
async def test_a_backend_that_cannot_answer_has_said_nothing_of_its_era(status: int, code: str) -> None:
    server = Scripted(server_discover=Reply(status))
    caller = a_client(server)

    for _ in range(2):
        with pytest.raises(CallError) as caught:
            await caller.call(a_tool(), {}, Context("r"), (), 5.0)
        assert (caught.value.code, caught.value.fate) == (code, Fate.NOT_SENT)
    assert [message.get("method") for _, message, *_ in server.sent] == ["server/discover"] * 2


@pytest.mark.parametrize(("answer", "seconds"), [(DISCOVERED, 300.0), (Reply(404), 60.0)])
async def test_an_era_is_remembered_for_a_time(answer: Any, seconds: float) -> None:
    now = [0.0]
    opened = {"result": {"protocolVersion": "2025-06-18"}}
    server = Scripted(server_discover=answer, initialize=opened, tools_call={"result": {"content": []}})
    caller = a_client(server, monotonic=lambda: now[0])
    asked = []
    for now[0] in (0.0, seconds - 1, seconds):
        await caller.call(a_tool(), {}, Context("r"), (), 5.0)
        asked.append(sum(message.get("method") == "server/discover" for _, message, *_ in server.sent))
    await caller.close()

    assert asked == [1, 1, 2]


async def test_a_list_is_read_page_by_page_in_its_era() -> None:
    pages = iter([{"tools": [{"name": "a"}], "nextCursor": "c"}, {"tools": [{"name": "b"}]}])
    server = Scripted(server_discover=DISCOVERED)
    send = server.send

    async def answer(request: Request, timeout: float, **options: Any) -> Reply:
        message = json.loads(request.body or b"{}")
        if message.get("method") == "tools/list":
            server.answers["tools/list"] = {"result": next(pages)}
        return await send(request, timeout, **options)

    server.send = answer  # type: ignore[method-assign]
    caller = a_client(server)

    found = await caller.list_tools(Target("http://b/mcp", (("X-A", "b"),)), 5.0)

    assert (found.tools, found.fault, found.capabilities) == (({"name": "a"}, {"name": "b"}), "", {"tools"})
    listed = [(request, message) for request, message, *_ in server.sent if message["method"] == "tools/list"]
    assert [message["params"] for _, message in listed] == [{"_meta": META}, {"cursor": "c", "_meta": META}]
    assert all(("Mcp-Method", "tools/list") in request.headers for request, _ in listed)
    assert all(("X-A", "b") in request.headers for request, _ in listed)
    assert {options["max_bytes"] for *_, options in server.sent} == {2 * 1024 * 1024}


async def test_a_tool_without_mcp_is_not_called_by_it() -> None:
    with pytest.raises(ValueError, match=r"^the backend of tool shop/a does not speak MCP$"):
        await a_client(Scripted()).call(replace(a_tool(), mcp=None), {}, Context("r"), (), 1.0)


class Shared:
    """What other replicas know."""

    def __init__(self, known: tuple[bool, float] | None) -> None:
        self.known = known
        self.said: list[Any] = []

    async def find(self, name: str) -> tuple[bool, float] | None:
        self.said.append(("find", name))
        return self.known

    async def put(self, name: str, *, is_modern: bool, seconds: float) -> None:
        self.said.append(("put", name, is_modern, seconds))

    async def give_up(self, name: str) -> None:
        self.said.append(("give up", name))


@pytest.mark.parametrize(
    ("known", "answer", "said", "is_asked"),
    [
        ((True, 7.0), DISCOVERED, [], False),
        (None, DISCOVERED, [("put", True, 300.0)], True),
        (None, Reply(503), [("give up",)], True),
    ],
)
async def test_replicas_share_what_they_know_of_eras(known: Any, answer: Any, said: list[Any], is_asked: bool) -> None:
    shared = Shared(known)
    server = Scripted(server_discover=answer, tools_call={"result": {"content": []}})
    caller = a_client(server, eras=shared)

    with contextlib.suppress(CallError):
        await caller.call(a_tool(), {}, Context("r"), (("A", "b"),), 5.0)

    name = "http://b.shop.svc:80/mcp ()"
    assert shared.said == [("find", name), *((each[0], name, *each[1:]) for each in said)]
    assert ("server/discover" in [message.get("method") for _, message, *_ in server.sent]) is is_asked
