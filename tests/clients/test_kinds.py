"""Kinds of input that are common in the world and that once failed, each with several examples.

A schema that real clients cannot use, a request that breaks the protocol where its meaning is clear, and a reply as
backends send it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from crd import defaults, integrity, manifest
from crd.finding import Level
from crd.published import catalogs
from crd.published.catalogs import Catalog
from tests.clients.test_sdks import listed_tool
from tests.laws import members
from tests.laws.bench import Answer, Bench, published
from tests.runtime.raw_http import INITIALIZE, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object
    from scripts.clients.node import Judge

SERVICE = {"service": {"name": "orders", "port": 80, "path": "/x"}, "method": "GET"}
SELECTOR = {"toolSelector": {"matchLabels": {"app": "shop"}}}
SERVER = manifest.decode({**members.manifest_of("MCPServer", "main", {}), "spec": SELECTOR})
INTEGER = {"type": "integer"}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def tool(**spec: Any) -> Object:
    return manifest.decode(defaults.set_defaults(members.manifest_of("MCPTool", "a", {**SERVICE, **spec})))


def reported(**spec: Any) -> list[tuple[str, str]]:
    return [(f.level.value, f"{f.field_path}: {f.message}") for f in integrity.find_own(tool(**spec))]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("catalog")
    (directory / catalogs.FILE).write_bytes(catalogs.dump(Catalog("shop/main")))
    made = Bench(directory)
    yield made
    made.close()


def call(bench: Bench, arguments: dict[str, Any] | None = None, answer: Answer | None = None, **spec: Any) -> Any:
    """The result of a call of a tool that is admitted, by the official client."""
    item = tool(**spec)
    assert [f for f in integrity.find_own(item) if f.level is Level.ERROR] == []
    bench.serve(published(SERVER, [item], bench.port))
    bench.answer = lambda _: answer or Answer()
    bench.received.clear()
    return bench.do(bench.client.call_tool("a", arguments or {}))


def texts(result: Any) -> list[str]:
    return [each.text for each in result.content]


def fault(result: Any) -> dict[str, Any]:
    assert result.is_error
    return dict(json.loads(result.content[0].text)["error"])


def reply(body: bytes | str, media: str = "application/json", status: int = 200, *more: tuple[str, str]) -> Answer:
    return Answer(status, body.encode() if isinstance(body, str) else body, (("Content-Type", media), *more))


@pytest.mark.parametrize(
    "pattern",
    [r"\A\d+\Z", "[[:alpha:]]+", "^(?#c)a$", r"\Qa\E", r"^\h+$", "(?x) a b", "^[^]]+$", "(?-i:a)", "a{,5}", "(?i)x"],
)
@pytest.mark.parametrize("inside", ["property", "definition", "names"])
def test_a_pattern_of_another_dialect_is_refused_before_a_client_fails(pattern: str, inside: str) -> None:
    node = {"type": "string", "pattern": pattern}
    schema = {
        "property": of(a={"type": "array", "items": {"anyOf": [node, {"type": "null"}]}}),
        "definition": {**of(a={"$ref": "#/$defs/x"}), "$defs": {"x": node}},
        "names": {"type": "object", "patternProperties": {pattern: {}}},
    }[inside]

    (found,) = reported(outputSchema=schema)

    assert found[0] == "error"
    assert json.dumps(pattern)[1:-1].replace("\\\\", "\\") in found[1]


@pytest.mark.parametrize(
    "node",
    [
        False,
        {"type": "array", "items": True},
        {"anyOf": [True, {"type": "null"}]},
        {"type": "array", "prefixItems": [True], "items": False},
        {"type": "object", "propertyNames": True},
        {"not": False},
        {"type": "array", "contains": True},
        {"if": True, "then": False},
        {"oneOf": [{"type": "object"}, {"type": "null"}], "discriminator": {"propertyName": "k"}},
        {"type": "string", "example": "x", "xml": {"name": "y"}, "externalDocs": {"url": "u"}},
        {"allOf": [{"type": "string"}], "nullable": True},
        {"readOnly": True, "nullable": True, "enum": ["x"], "x-go-name": "A"},
        {"type": "string", "format": "binary", "deprecated": True, "x-nullable": True},
    ],
)
def test_a_schema_that_is_admitted_is_listed_by_both_generations(judge: Judge, node: Any) -> None:
    item = tool(method="POST", inputSchema=of(a=node), outputSchema=of(a=node))

    assert {f.level for f in integrity.find_own(item)} <= {Level.WARNING}
    assert judge.tools([listed_tool(item)]) == {"v1": None, "v2": None}


@pytest.mark.parametrize(
    "node",
    [
        {"type": "integer", "exclusiveMinimum": True, "minimum": 0},
        {"type": "file"},
        {"$ref": "#/components/schemas/Order"},
        {"type": "string", "required": True},
        {"type": "array", "items": [{"type": "string"}]},
    ],
)
def test_what_openapi_and_older_drafts_mean_otherwise_is_refused(node: Any) -> None:
    assert {level for level, _ in reported(outputSchema=of(a=node))} == {"error"}


@pytest.mark.parametrize(
    ("node", "place"),
    [
        ({"type": "array", "items": {"type": "string"}, "default": [1]}, "a.default"),
        ({"type": "integer", "maximum": 10, "default": 20}, "a.default"),
        ({"type": "object", "required": ["b"], "properties": {"b": {}}, "default": {}}, "a.default"),
        ({"type": "object", "properties": {"b": {"type": "boolean", "default": "yes"}}}, "a.properties.b.default"),
        ({"type": "string", "pattern": "^a", "default": "b"}, "a.default"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": 5}, "a.default"),
        ({"$ref": "#/$defs/s", "default": "open"}, "a.default"),
    ],
)
def test_a_default_that_its_schema_rejects_is_reported_and_the_call_works(bench: Bench, node: Any, place: str) -> None:
    schema = {**of(a=node, q={"type": "string"}), "$defs": {"s": {"enum": ["OPEN"]}}}

    found = [text for level, text in reported(method="POST", inputSchema=schema) if level == "warning"]

    assert any(text.startswith(f"spec.inputSchema.properties.{place}: ") for text in found)
    for arguments in ({}, {"q": "x"}, {"a": {}} if "properties" in node and "default" not in node else {}):
        result = call(bench, arguments, method="POST", inputSchema=schema)
        assert not result.is_error
        assert json.loads(bench.received[0].body) == arguments


@pytest.mark.parametrize(
    ("node", "place"),
    [
        ({"type": "array", "items": {"type": "string", "nullable": True}}, "a.items.nullable"),
        ({"type": "string", "enum": ["a"], "nullable": True}, "a.nullable"),
        ({"$ref": "#/$defs/s", "nullable": True}, "a.nullable"),
        ({"type": "object", "properties": {"b": {"type": "integer", "nullable": True}}}, "a.properties.b.nullable"),
    ],
)
def test_nullable_is_reported_wherever_it_is(node: Any, place: str) -> None:
    for member in ("inputSchema", "outputSchema"):
        schema = {**of(a=node), "$defs": {"s": {"type": "string"}}}
        assert any(
            f"{member}.properties.{place}: nullable has no effect" in text for _, text in reported(**{member: schema})
        )


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf", "not", "enum"])
def test_composition_at_the_root_is_reported(keyword: str) -> None:
    value = {"not": {"required": ["b"]}, "enum": [{"a": "x"}]}.get(keyword, [{"required": ["a"]}])

    found = reported(inputSchema={**of(a={"type": "string"}), keyword: value})

    assert any(f"spec.inputSchema.{keyword}: " in text and "must not be at the root" in text for _, text in found)


@pytest.mark.parametrize("name", ["a b", "x:y", "@id", "a/b", "", "größe", "a" * 65, "a,b", "filter[a][b]"])
def test_a_name_of_an_argument_that_a_model_api_refuses_is_reported(name: str) -> None:
    assert any(
        "argument names must match" in text for _, text in reported(inputSchema=of(**{name: {"type": "string"}}))
    )


def test_every_object_and_array_of_a_listed_schema_says_what_is_in_it(bench: Bench) -> None:
    node = {"type": "array", "items": {"type": "object"}}
    call(bench, method="POST", inputSchema=of(a={"type": ["object", "null"]}, b={"type": "array"}, c=node))

    (found,) = bench.do(bench.client.list_tools()).tools

    assert found.input_schema["properties"] == {
        "a": {"type": ["object", "null"], "properties": {}},
        "b": {"type": "array", "items": {}},
        "c": {"type": "array", "items": {"type": "object", "properties": {}}},
    }


@pytest.mark.parametrize(
    "pattern",
    [
        "^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|(([0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{1,4})?::)(/(12[0-8]|[0-9]{1,2}))?$",
        r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.[0-9a-zA-Z-]+)*))?$",
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        r"^((25[0-5]|2[0-4]\d|1?\d?\d)(\.|$)){4}$",
        "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        "^(a+)+$",
    ],
)
def test_a_usual_pattern_draws_nothing(pattern: str) -> None:
    assert reported(inputSchema=of(a={"type": "string", "pattern": pattern})) == []


async def session_at(bench: Bench) -> dict[str, str]:
    call_result = await send(bench.url, body=INITIALIZE)
    return {"Mcp-Session-Id": call_result[1]["Mcp-Session-Id"]}


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/list", {"cursor": None}),
        ("tools/list", {"_meta": None}),
        ("prompts/list", None),
        ("resources/templates/list", None),
        ("tools/call", {"name": "a", "arguments": None, "_meta": None}),
        ("initialize", {"protocolVersion": "2025-11-25", "capabilities": None, "clientInfo": None}),
        ("initialize", None),
    ],
)
async def test_null_is_read_as_absent(bench: Bench, method: str, params: Any) -> None:
    bench.serve(published(SERVER, [tool()], bench.port))
    given = await session_at(bench)

    status, _, answer = await send(
        bench.url, body={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, **given
    )

    assert (status, "result" in answer) == (200, True), answer


@pytest.mark.parametrize(
    "headers",
    [
        {"MCP-Protocol-Version": "2025-11-25,2025-11-25"},
        {"MCP-Protocol-Version": "2025-11-25, 2025-11-25, 2025-11-25"},
        {"MCP-Protocol-Version": "2025-11-25,"},
        {"MCP-Protocol-Version": ", 2025-11-25 ,"},
        {"Content-Type": "application/json, application/json"},
        {"Content-Type": "application/json; charset=UTF-8"},
    ],
)
async def test_equal_values_of_a_header_are_one(bench: Bench, headers: dict[str, str]) -> None:
    given = await session_at(bench)

    assert (await send(bench.url, body=PING, **given, **headers))[2] == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize("path", ["/", "/?a=1", "?a=1"])
async def test_the_endpoint_is_found_with_a_slash_and_a_query(bench: Bench, path: str) -> None:
    given = await session_at(bench)

    assert (await send(f"{bench.url}{path}", body=PING, **given))[2] == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize("path", ["/mcp//", "/mcp/mcp", "/mcp/sse", "//mcp", "/", "/MCP", "/sse", "/messages"])
async def test_every_other_path_says_where_the_endpoint_is(bench: Bench, path: str) -> None:
    status, _, answer = await send(bench.url.removesuffix("/mcp") + path, body=PING)

    assert status == 404
    assert "the MCP endpoint is /mcp" in str(answer)


@pytest.mark.parametrize(
    ("arguments", "spec", "target", "body"),
    [
        ({"n": 5.0, "l": [1.0, 2.5], "d": {"x": 1e3}}, {"method": "POST"}, "/x", '{"n":5,"l":[1,2.5],"d":{"x":1000}}'),
        ({"n": 1e22, "l": [], "d": {}}, {"method": "POST"}, "/x", '{"n":10000000000000000000000,"l":[],"d":{}}'),
        (
            {"n": 7.0, "l": [1.0, 2.0]},
            {
                "http": {
                    "path": "/{n}",
                    "query": [
                        {"name": "l", "argument": "l", "style": "Comma"},
                        {"name": "d", "argument": "d", "style": "Json"},
                    ],
                }
            },
            "/x/7?l=1,2",
            "",
        ),
    ],
)
def test_an_integer_with_a_fraction_of_zero_arrives_as_an_integer(
    bench: Bench, arguments: Any, spec: Any, target: str, body: str
) -> None:
    schema = {
        **of(n=INTEGER, l={"type": "array", "items": {"type": "number"}}, d={"type": "object"}),
        "required": ["n"],
    }

    assert not call(bench, arguments, inputSchema=schema, **spec).is_error
    assert (bench.received[0].target, bench.received[0].body.decode()) == (target, body)


@pytest.mark.parametrize(
    ("text", "charset", "media"),
    [
        ("Grüße € „x“", "cp1252", "text/plain; charset=windows-1252"),
        ("Grüße", "utf-16", "text/plain; charset=utf-16"),
        ("日本", "shift_jis", "text/html; charset=Shift_JIS"),
        ("日本", "gb18030", "text/csv;charset=GB2312"),
        ("привет", "koi8-r", "text/plain; charset=KOI8-R"),
        ('{"a":"Zürich"}', "latin-1", 'application/json; charset="latin1"'),
        ('{"a":"日本"}', "utf-16", "application/json"),
        ('{"a":"ü"}', "utf-8-sig", "application/json"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a>ü</a>", "latin-1", "application/xml"),
    ],
)
def test_a_reply_is_read_in_its_charset(bench: Bench, text: str, charset: str, media: str) -> None:
    assert texts(call(bench, answer=reply(text.encode(charset), media))) == [text]


def test_a_problem_is_read_in_its_charset(bench: Bench) -> None:
    answer = reply('{"detail":"Größe fehlt"}'.encode("latin-1"), "application/problem+json; charset=iso-8859-1", 400)

    assert fault(call(bench, answer=answer))["detail"] == "Größe fehlt"


@pytest.mark.parametrize("body", [b"", b"   ", b"\r\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_blank_reply_is_an_empty_one(bench: Bench, body: bytes, status: int) -> None:
    assert texts(call(bench, answer=reply(body, status=status), method="POST")) == [f"{status} No Content"]


@pytest.mark.parametrize(
    "body", ["OK", '{"a":1', '{"a":1}\n{"a":2}\n', ')]}\',\n{"a":1}', "<html>done</html>", "'ok'", "NaN"]
)
def test_a_success_that_is_not_json_is_done_and_reaches_the_model(bench: Bench, body: str) -> None:
    result = call(bench, answer=reply(body, status=201), method="POST")

    assert (fault(result)["request"], fault(result)["retryable"]) == ("done", False)
    assert texts(result)[1] == body


@pytest.mark.parametrize(
    "written",
    [
        lambda at: format_datetime(at, usegmt=True),
        lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        lambda at: at.strftime("%a %b %d %H:%M:%S %Y"),
        lambda at: "120",
        lambda at: "119.5",
    ],
    ids=["a date", "a date of RFC 850", "a date of asctime", "seconds", "a fraction"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_waits_until_the_time_that_the_backend_names(bench: Bench, written: Any, status: int) -> None:
    value = written(datetime.now(UTC) + timedelta(seconds=120))  # noqa: TID251 -- a backend reads its own clock
    retries = {"retries": {"attempts": 3, "retryOn": ["429", "5xx"]}, "timeout": "20s"}
    result = call(bench, answer=reply("{}", "application/json", status, ("Retry-After", value)), **retries)

    assert len(bench.received) == 1
    assert 60 < fault(result)["retryAfter"] <= 121


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ({"status": 400, "error": "Bad Request", "errors": [{"field": "qty", "defaultMessage": "positive"}]}, "qty"),
        ({"errors": {"name": ["can't be blank"]}}, "can't be blank"),
        ({"errors": [{"detail": "is missing", "source": {"pointer": "/data/name"}}]}, "/data/name"),
        ({"message": "The given data was invalid.", "errors": {"email": ["taken"]}}, "taken"),
        ({"qty": ["A valid integer is required."]}, "qty"),
        ({"error": {"code": 400, "message": "bad", "details": [{"field": "a"}]}}, "details"),
        ({"statusCode": 400, "message": ["qty must be a number"], "error": "Bad Request"}, "qty must be a number"),
        ({"type": "about:blank", "title": "Bad", "detail": "see", "invalid-params": [{"name": "age"}]}, "age"),
        ({"error": "invalid_request", "error_description": "missing scope"}, "missing scope"),
        (["qty", "bad"], "qty"),
    ],
)
def test_what_a_framework_says_of_an_argument_reaches_the_model_as_json(bench: Bench, problem: Any, words: str) -> None:
    found = fault(call(bench, answer=reply(json.dumps(problem), "application/json", 422)))

    assert words in json.dumps(found["detail"])
    assert isinstance(found["detail"], dict | list)


@pytest.mark.parametrize(
    ("node", "value", "http", "target"),
    [
        ({"type": "array", "items": {"type": "array"}}, [[1, 2], [3]], {}, "/x?p=%5B1%2C2%5D&p=%5B3%5D"),
        (
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
            ["x", {"a": 1}],
            {"query": [{"name": "p", "argument": "p", "style": "Pipe"}]},
            "/x?p=x%7C%7B%22a%22%3A1%7D",
        ),
        (
            {"type": "object", "properties": {"n": {"type": "array", "items": {"type": "object"}}}},
            {"n": [{"a": 1}], "m": {"k": [1, 2]}},
            {"query": [{"name": "p", "argument": "p", "style": "DeepObject"}]},
            "/x?p%5Bn%5D=%7B%22a%22%3A1%7D&p%5Bm%5D%5Bk%5D=1&p%5Bm%5D%5Bk%5D=2",
        ),
    ],
)
def test_what_a_style_has_no_notation_for_is_reported_and_sent_as_json(
    bench: Bench, node: Any, value: Any, http: Any, target: str
) -> None:
    spec = {"inputSchema": of(p=node), **({"http": http} if http else {})}

    assert any("sends as JSON text" in text for _, text in reported(**spec))
    assert not call(bench, {"p": value}, **spec).is_error
    assert bench.received[0].target == target


@pytest.mark.parametrize("mode", ["Form", "Multipart"])
def test_a_form_holds_no_object(mode: str) -> None:
    found = reported(method="POST", inputSchema=of(p={"type": "object"}), http={"body": {"mode": mode}})

    assert [level for level, text in found if "can be an object, which a form cannot carry" in text] == ["error"]
