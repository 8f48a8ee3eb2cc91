"""The methods of MCP: their results, and the exact words in which a request is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from crd.published import catalogs
from crd.published.settings import Info
from runtime.app.compiled import CompiledCatalog
from runtime.backends.faults import CallError
from runtime.http.exchange import Reply
from runtime.mcp import subscriptions
from runtime.mcp.context import Context
from runtime.mcp.eras import LEGACY, MODERN, Call
from runtime.mcp.jsonrpc import RpcError
from runtime.mcp.methods import Methods
from runtime.state.limits import Verdict
from runtime.telemetry.call_record import CallRecord


def a_context() -> Context:
    return Context("r-1", record=CallRecord("r-1"))


class Answers:
    """Backends that answer everything with ``reply``, or raise it."""

    def __init__(self) -> None:
        self.reply: Any = Reply(200, {"content-type": "text/plain"}, b"x")
        self.asked: list[tuple[str, str, Any]] = []

    async def _answer(self, kind: str, entry: Any, values: Any) -> Any:
        self.asked.append((kind, entry.name, values))
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def call(self, tool: Any, arguments: Any, _: Context) -> Any:
        return await self._answer("call", tool, arguments)

    async def read(self, resource: Any, values: Any, _: Context) -> Any:
        return await self._answer("read", resource, values)

    async def operate(self, operation: Any, values: Any, body: bytes | None, _: Context) -> Any:
        assert body is None
        return await self._answer("operate", operation, values)


@pytest.fixture
def backends() -> Answers:
    return Answers()


@pytest.fixture
def ask(backends: Answers, catalog_of: Any) -> Callable[..., Any]:
    compiled = CompiledCatalog.load(catalogs.dump(catalog_of(info=Info(instructions="Mind."), list_ttl=2.5)))

    async def answer(method: str, version: str = MODERN, context: Context | None = None, **params: Any) -> Any:
        call = Call(method, params, 1, version == MODERN)
        return json.loads(await Methods(backends).answer(compiled, call, version, context or a_context()))

    return answer


PROMPT, RESOURCE = {"type": "ref/prompt", "name": "greet"}, {"type": "ref/resource", "uri": "shop://terms"}
TONE = {"name": "tone", "value": ""}


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("tools/call", {"name": "nothing"}, "Unknown tool: nothing"),
        ("tools/call", {"name": ["echo"]}, "/params/name: must be a string"),
        ("tools/call", {}, "/params/name: must be a string"),
        ("tools/call", {"name": "echo", "arguments": [1]}, "/params/arguments: must be an object"),
        ("prompts/get", {"name": "nothing"}, "Unknown prompt: nothing"),
        ("prompts/get", {"name": {}}, "/params/name: must be a string"),
        ("prompts/get", {"name": "greet", "arguments": "x"}, "/params/arguments: must be an object"),
        ("resources/read", {}, "/params/uri: must be a string"),
        ("resources/read", {"uri": 7}, "/params/uri: must be a string"),
        ("resources/read", {"uri": "a" * 2049}, "/params/uri: must have at most 2048 characters"),
        ("completion/complete", {"argument": TONE}, "/params/ref: must be an object"),
        ("completion/complete", {"ref": PROMPT}, "/params/argument: must be an object"),
        (
            "completion/complete",
            {"ref": PROMPT, "argument": {"name": "tone"}},
            "/params/argument: name and value must be strings",
        ),
        (
            "completion/complete",
            {"ref": PROMPT, "argument": {"value": ""}},
            "/params/argument: name and value must be strings",
        ),
        (
            "completion/complete",
            {"ref": {**PROMPT, "type": "ref/tool"}, "argument": TONE},
            "/params/ref/type: must be ref/prompt or ref/resource",
        ),
        (
            "completion/complete",
            {"ref": {**RESOURCE, "uri": "shop://no"}, "argument": TONE},
            "Unknown resource: shop://no",
        ),
        ("completion/complete", {"ref": {**RESOURCE, "uri": 7}, "argument": TONE}, "/params/ref/uri: must be a string"),
        ("completion/complete", {"ref": {**PROMPT, "name": "no"}, "argument": TONE}, "Unknown prompt: no"),
        (
            "completion/complete",
            {"ref": {**PROMPT, "name": []}, "argument": TONE},
            "/params/ref/name: must be a string",
        ),
        (
            "completion/complete",
            {"ref": PROMPT, "argument": {"name": "no", "value": ""}},
            'prompt "greet" has no argument "no"',
        ),
        (
            "tools/list",
            {"cursor": "x"},
            "/params/cursor: invalid cursor; list again without a cursor, because the catalog may have changed",
        ),
        (
            "tools/list",
            {"cursor": [1]},
            "/params/cursor: invalid cursor; list again without a cursor, because the catalog may have changed",
        ),
    ],
)
async def test_params_that_mean_nothing_are_refused(
    ask: Any, backends: Answers, method: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(RpcError) as caught:
        await ask(method, **params)

    assert (caught.value.code, caught.value.message, caught.value.data) == (-32602, message, None)
    assert backends.asked == []


@pytest.mark.parametrize(
    ("method", "version", "is_known"),
    [
        ("server/discover", MODERN, True),
        ("server/discover", LEGACY[0], False),
        ("ping", MODERN, False),
        ("ping", LEGACY[0], True),
        ("logging/setLevel", MODERN, False),
        ("tools/Call", LEGACY[0], False),
    ],
)
async def test_each_era_has_its_methods(ask: Any, method: str, version: str, is_known: bool) -> None:
    if is_known:
        await ask(method, version)
        return
    with pytest.raises(RpcError) as caught:
        await ask(method, version)
    assert (caught.value.code, caught.value.message) == (-32601, f"Method not found: {method}")


async def test_a_server_says_what_it_is(ask: Any) -> None:
    found = await ask("server/discover")

    assert found.pop("_meta")["io.modelcontextprotocol/serverInfo"]["name"] == "shop/main"
    assert found == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
        "capabilities": {**subscriptions.CAPABILITIES, "completions": {}},
        "instructions": "Mind.",
        "ttlMs": 2500,
        "cacheScope": "private",
    }
    assert await ask("ping", LEGACY[0]) == {}


@pytest.mark.parametrize("uri", ["shop://price/mug", "mcp://stock/mug"])
async def test_a_resource_of_a_backend_is_not_cached(ask: Any, backends: Answers, uri: str) -> None:
    media = {"shop://price/mug": "application/json"}.get(uri, "text/plain")
    found = await ask("resources/read", uri=uri)

    assert found["contents"] == [{"uri": uri, "mimeType": media, "text": "x"}]
    assert (found["ttlMs"], found["cacheScope"], found["resultType"]) == (0, "private", "complete")
    assert await ask("resources/read", LEGACY[0], uri=uri) == {"contents": found["contents"]}
    kind, name = ("read", "price") if "price" in uri else ("operate", "stock")
    assert backends.asked == [(kind, name, {"sku": "mug"})] * 2


@pytest.mark.parametrize(("version", "code"), [(MODERN, -32602), (LEGACY[0], -32002)])
@pytest.mark.parametrize("uri", ["shop://nothing", "shop://price/mug", "mcp://stock/mug"])
async def test_a_resource_that_is_not_there_is_not_found_in_the_code_of_its_era(
    ask: Any, backends: Answers, uri: str, version: str, code: int
) -> None:
    backends.reply = CallError("not_found", "no") if "price" in uri else Reply(404)
    context = a_context()

    with pytest.raises(RpcError) as caught:
        await ask("resources/read", version, context, uri=uri)

    assert (caught.value.code, caught.value.message, caught.value.data) == (code, "Resource not found", {"uri": uri})
    assert (context.record.fault is None) is (uri == "shop://nothing")


async def test_a_resource_of_the_longest_uri_is_looked_for(ask: Any) -> None:
    with pytest.raises(RpcError, match="Resource not found"):
        await ask("resources/read", uri="a" * 2048)


@pytest.mark.parametrize("status", [199, 300, 302, 500])
async def test_an_operation_without_success_is_no_resource(ask: Any, backends: Answers, status: int) -> None:
    backends.reply = Reply(status, {}, b"x")
    context = a_context()

    with pytest.raises(RpcError) as caught:
        await ask("resources/read", context=context, uri="mcp://stock/mug")

    assert (caught.value.code, caught.value.data["uri"], caught.value.data["requestId"]) == (
        -32603,
        "mcp://stock/mug",
        "r-1",
    )
    assert caught.value.message.startswith(f"the backend answered {status}")
    assert caught.value.data["retryable"] is (status == 500)
    assert context.record.fault is not None
    backends.reply = Reply(299, {"content-type": "text/plain"}, b"y")
    assert (await ask("resources/read", uri="mcp://stock/mug"))["contents"][0]["text"] == "y"


async def test_a_variable_that_cannot_be_sent_is_an_error_of_the_client(ask: Any, backends: Answers) -> None:
    backends.reply = CallError("invalid_arguments", "/sku: dot segment")

    with pytest.raises(RpcError) as caught:
        await ask("resources/read", uri="shop://price/..")

    assert (caught.value.code, caught.value.message) == (-32602, "/sku: dot segment")
    assert caught.value.data == {"uri": "shop://price/.."}


async def test_a_tool_result_keeps_its_meta_and_says_whether_it_failed(ask: Any, backends: Answers) -> None:
    context = a_context()
    backends.reply = {"content": [], "isError": True, "_meta": {"a/b": 1}}

    found = await ask("tools/call", context=context, name="echo", arguments={"q": "tea"})

    assert found["_meta"].pop("io.modelcontextprotocol/serverInfo")["name"] == "shop/main"
    assert found == {"resultType": "complete", "content": [], "isError": True, "_meta": {"a/b": 1}}
    assert context.record.is_error is True
    assert backends.asked == [("call", "echo", {"q": "tea"})]
    backends.reply = {"content": []}
    assert await ask("tools/call", LEGACY[0], context, name="echo") == {"content": []}
    assert context.record.is_error is False
    assert (await ask("tools/call", name="echo"))["_meta"].keys() == {"io.modelcontextprotocol/serverInfo"}


@pytest.mark.parametrize(
    ("version", "code", "is_reported"),
    [
        (MODERN, "invalid_arguments", True),
        ("2025-11-25", "invalid_arguments", True),
        ("2025-06-18", "invalid_arguments", False),
        ("2025-06-18", "timeout", True),
    ],
)
async def test_a_fault_is_reported_to_the_model_and_the_log(
    ask: Any, backends: Answers, version: str, code: str, is_reported: bool
) -> None:
    context = a_context()
    backends.reply = CallError(code, "why")

    if is_reported:
        found = await ask("tools/call", version, context, name="echo")
        assert (found["isError"], json.loads(found["content"][0]["text"])["error"]["requestId"]) == (True, "r-1")
    else:
        with pytest.raises(RpcError, match="why") as caught:
            await ask("tools/call", version, context, name="echo")
        assert caught.value.code == -32602
    assert context.record.fault is backends.reply


@pytest.mark.parametrize("modern", [True, False])
def test_a_rate_limit_is_a_result_that_says_when_to_come_again(catalog_of: Any, modern: bool) -> None:
    compiled, context = CompiledCatalog.load(catalogs.dump(catalog_of())), a_context()
    call = Call("tools/call", {"name": "rare"}, 1, modern)

    found = json.loads(Methods(Answers()).report_rate_limit(compiled, call, Verdict("tool", 6_001), context))

    assert found["isError"] is True
    assert json.loads(found["content"][0]["text"])["error"] == {
        "code": "rate_limited",
        "message": "the rate limit of this tool is exceeded; retry in 7 s",
        "request": "not sent",
        "retryable": True,
        "retryAfter": 7,
        "requestId": "r-1",
    }
    assert context.record.error_type == "rate_limited"
    assert ("resultType" in found) is modern
