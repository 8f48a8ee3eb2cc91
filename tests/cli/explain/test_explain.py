"""`mcp-operator explain`: the request is the one that arrives, and every part of it names a field."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import __main__ as command
from cli.commands import explain, files
from cli.explain.rehearsal import Untraced, rehearse
from cli.manifests import compilations, transaction
from crd.ref import Kind
from runtime.app.compiled import CompiledCatalog
from runtime.backends.dispatch import Dispatcher
from runtime.backends.faults import CallError
from runtime.backends.mcp.client import McpClient
from runtime.backends.secret_files import SecretFiles
from runtime.http.client import HttpClient
from runtime.mcp.context import Context
from tests.cli.samples import SERVER, SERVICE, TOOL
from tests.cli.samples import files as write

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "manifests" / "examples"
READING = files.read((str(EXAMPLES / "valid"), str(EXAMPLES / "backend" / "service.yaml")), io.BytesIO())
SORTED = transaction.sort_documents(READING.documents, READING.faults)
SNAPSHOT = compilations.snapshot_of(SORTED.objects, SORTED.facts)
MEMBERS = compilations.compile_members(SORTED.objects)
CATALOGS = [
    CompiledCatalog.load(compilation.text())
    for compilation in compilations.compile_servers(SORTED.objects, MEMBERS, SNAPSHOT).values()
]
TOOLS = {(c.catalog.server, tool.name): (c, tool) for c in CATALOGS for tool in c.tools.values()}
MATCHING = {
    "^[A-Z]-[0-9]{1,9}$": "D-7",
    "^[0-9]{4}-Q[1-4]$": "2026-Q3",
    "^[A-Z]{2}$": "SE",
    "^[0-9]{4,8}$": "12345",
    "^[A-Z]{3}$": "EUR",
}
SPECS = {ref.key: origin.raw["spec"] for ref, origin in SORTED.origins.items() if ref.kind is Kind.TOOL}
NEW_ID = "<a new id for each call>"


def sample(schema: Any) -> Any:
    """A value that satisfies a schema of the examples."""
    for word in ("default", "const"):
        if word in schema:
            return schema[word]
    if "enum" in schema:
        return schema["enum"][-1]
    if "pattern" in schema:
        return MATCHING[schema["pattern"]]
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: sample(each) for name, each in schema.get("properties", {}).items()}
    if kind == "boolean":
        return True
    if kind == "array":
        return [sample(schema.get("items", {}))]
    if kind in ("integer", "number"):
        return schema.get("minimum", 3)
    texts = {
        "date": "2026-01-31",
        "date-time": "2026-01-31T10:00:00Z",
        "email": "a@b.example",
        "uri": "https://a.example",
    }
    text = texts.get(schema.get("format", ""), "abcd")
    return text * (1 + schema.get("minLength", 0) // 4)


async def receive(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]], bytes]:
    """The request line, the headers in order, and the body of a request as bytes arrive."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head[1:-2]]
    length = int(dict(headers).get("Content-Length", 0))
    return head[0], headers, await reader.readexactly(length)  # type: ignore[return-value]


@pytest.mark.parametrize(("server", "name"), sorted(TOOLS))
async def test_what_is_explained_is_what_arrives(server: str, name: str, tmp_path: Path) -> None:
    compiled, tool = TOOLS[server, name]
    arrived: list[Any] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await receive(reader))
        writer.close()

    backend = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = backend.sockets[0].getsockname()[1]
    tool = replace(tool, backend=replace(tool.backend, host="127.0.0.1", port=port, scheme="http"))
    tool = replace(tool, mcp=replace(tool.mcp, protocol="Modern")) if tool.mcp else tool
    namespace = tool.source.partition("/")[0]
    for each in tool.policy.headers_from:
        (tmp_path / each.object).mkdir(exist_ok=True)
        (tmp_path / each.object / each.key).write_text(f"<{each.kind} {namespace}/{each.object} key {each.key}>")
    mounted = SecretFiles(tmp_path, tmp_path)
    http = HttpClient(mounted, allow_loopback=True)
    dispatcher = Dispatcher(
        mounted, http, McpClient(http, new_id=lambda: NEW_ID), monotonic=float, jitter=float, new_id=lambda: NEW_ID
    )
    arguments = sample(tool.input_schema)
    entries = (*tool.http.query, *tool.http.headers, *tool.http.body.fields)
    claims = {entry.claim: f"<claim {entry.claim}>" for entry in entries if entry.claim}
    forwarded = {f.name.lower(): [f"<header {f.name} of the client>"] for f in tool.policy.forward_headers}
    context = Context("r", claims=claims, headers=forwarded, record=Untraced())

    with pytest.raises(CallError):
        await dispatcher.call(tool, compiled.check_arguments(tool, arguments), context)
    await dispatcher.close()
    backend.close()
    explained = await rehearse(compiled, tool, arguments, {}, SPECS[tool.source])

    line, headers, body = arrived[0]
    assert line == f"{explained.method} {explained.url.removeprefix(f'http://127.0.0.1:{port}')} HTTP/1.1"
    assert headers == list(explained.headers)
    assert body == (explained.body or b"")
    assert all(field.startswith(("spec.", "the runtime")) for part in explained.parts for field in part.fields)
    query = explained.url.partition("?")[2]
    assert len([part for part in explained.parts if part.where == "query"]) == (query.count("&") + 1 if query else 0)


def run(folder: str, *words: str, capsys: Any) -> tuple[int, str, str]:
    code = command.main(["explain", *words, "-f", folder])
    said = capsys.readouterr()
    return code, said.out, said.err


MAPPED = (
    TOOL.format(name="find", served="find_orders").replace("port: 80", "port: http, path: /v1")
    + """\
  description: Finds the orders of a customer.
  method: GET
  http:
    path: /customers/{customer}/orders
    query:
      - {name: state, argument: status}
      - {name: kind, value: order}
      - {name: who, claim: sub}
    headers:
      - {name: X-Trace, argument: trace}
  headersFrom:
    - {name: X-Api-Key, secretKeyRef: {name: crm, key: token}}
  forwardHeaders:
    - {name: X-Request-Id}
  inputSchema:
    type: object
    properties:
      customer: {type: string}
      status: {type: string, default: open}
      trace: {type: string}
      page: {type: integer}
    required: [customer]
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return write(tmp_path, find=MAPPED, server=SERVER, service=SERVICE)


def test_every_part_names_its_field(folder: str, capsys: Any) -> None:
    arguments = '{"customer": "a b", "page": 2, "trace": "t"}'

    code, out, _ = run(folder, "find", "--args", arguments, "-o", "json", capsys=capsys)

    document = json.loads(out)
    assert code == 0
    assert (document["name"], document["server"]) == ("find_orders", "MCPServer shop/main")
    assert document["place"] == f"{folder}/find.yaml:1"
    url = "http://orders.shop.svc:80/v1/customers/a%20b/orders?state=open&kind=order&who=%3Cclaim%20sub%3E&page=2"
    assert document["request"]["url"] == url
    assert [(p["where"], p["name"], p["fields"], p["source"]) for p in document["parts"]] == [
        ("method", "", ["spec.method"], ""),
        ("host", "", ["spec.service.scheme (default)", "spec.service.name",
                      "spec.service.port (a name, looked up in the Service)"], ""),
        ("path", "", ["spec.service.path", "spec.http.path"], "argument customer"),
        ("query", "state", ["spec.http.query[0]"], "argument status (default of spec.inputSchema)"),
        ("query", "kind", ["spec.http.query[1]"], "the constant in value"),
        ("query", "who", ["spec.http.query[2]"], "claim sub of the client's token"),
        ("query", "page", ["spec.inputSchema.properties.page, which no entry of spec.http names"], "argument page"),
        ("header", "Host", ["the runtime, for every request"], ""),
        ("header", "Accept", ["the runtime, for every request"], ""),
        ("header", "Accept-Encoding", ["the runtime, for every request"], ""),
        ("header", "X-Trace", ["spec.http.headers[0]"], "argument trace"),
        ("header", "X-Request-Id", ["spec.forwardHeaders[0]"], "header X-Request-Id of the client"),
        ("header", "X-Api-Key", ["spec.headersFrom[0]"], "Secret shop/crm key token"),
        ("header", "traceparent", ["the runtime, for every request"], ""),
    ]  # fmt: skip
    assert ["X-Api-Key", "<Secret shop/crm key token>"] in document["request"]["headers"]
    assert document["notes"] == [
        "headers of spec.forwardHeaders are sent only if the client sends them",
        "defaults of spec.inputSchema were added for status",
    ]


def test_the_text_shows_the_request_first(folder: str, capsys: Any) -> None:
    words = ("find_orders", "--args", '{"customer": "7"}', "--claims", '{"sub": "mia"}')

    code, out, _ = run(folder, *words, capsys=capsys)

    assert code == 0
    assert out.splitlines()[2] == "GET http://orders.shop.svc:80/v1/customers/7/orders?state=open&kind=order&who=mia"
    assert "X-Api-Key: <Secret shop/crm key token>\n" in out
    assert "  query   state=open " in out
    assert "note: defaults of spec.inputSchema were added for status\n" in out


def test_a_call_that_the_runtime_refuses_is_not_explained(folder: str, capsys: Any) -> None:
    assert run(folder, "shop/find", "--args", '{"customer": ".."}', capsys=capsys) == (
        1, "", "mcp-operator explain: find_orders would not be called: /customer: must not contain a dot segment\n"
    )  # fmt: skip
    code, out, _ = run(folder, "find", "-o", "json", capsys=capsys)
    assert (code, json.loads(out)["error"]["code"]) == (1, "invalid_arguments")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fnd"], 'no MCPTool "fnd" in '),
        (["find", "--args", "{"], "--args must be JSON"),
        (["find", "--args", "[]"], "--args must be a JSON object"),
        (["find", "--claims", "7"], "--claims must be a JSON object"),
    ],
)
def test_without_a_tool_or_arguments_there_is_nothing_to_explain(
    folder: str, words: list[str], message: str, capsys: Any
) -> None:
    code, out, err = run(folder, *words, capsys=capsys)

    assert (code, out) == (2, "")
    assert message in err


def test_an_unknown_port_an_ambiguous_name_and_a_faulty_tool_are_named(tmp_path: Path, capsys: Any) -> None:
    other = TOOL.format(name="b", served="x").replace("namespace: shop", "namespace: bank")
    broken = TOOL.format(name="c", served="c") + "  retries: {attempts: many}\n"
    folder = write(tmp_path, a=MAPPED, b=TOOL.format(name="b", served="other"), other=other, broken=broken)

    assert 'names port "http" of Service shop/orders' in run(folder, "find", capsys=capsys)[2]
    assert "use one of bank/b, shop/b" in run(folder, "b", capsys=capsys)[2]
    assert "MCPTool shop/c would be refused: spec.retries.attempts: " in run(folder, "c", capsys=capsys)[2]
    assert "no MCPServer in these files selects it" in run(folder, "shop/b", capsys=capsys)[1]


def test_a_body_that_is_not_text_is_counted_and_encoded(tmp_path: Path, capsys: Any) -> None:
    raw = TOOL.format(name="put", served="put") + (
        "  http: {body: {mode: Raw, argument: file, encoding: Base64, contentType: image/png}}\n"
        "  inputSchema: {type: object, properties: {file: {type: string}}, required: [file]}\n"
    )
    folder = write(tmp_path, put=raw)

    _, out, _ = run(folder, "put", "--args", '{"file": "/w=="}', capsys=capsys)
    _, document, _ = run(folder, "put", "--args", '{"file": "/w=="}', "-o", "json", capsys=capsys)

    assert "(1 bytes that are not text)\n" in out
    assert json.loads(document)["request"]["bodyBase64"] == "/w=="


def test_the_page_about_tools_shows_what_is_printed(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = re.search(r"\$ mcp-operator (explain .*)\n((?:.*\n)*?)```", (ROOT / "docs" / "tools.md").read_text())
    assert shown is not None

    assert command.main(shlex.split(shown[1])) == 0
    assert capsys.readouterr().out == shown[2]


def test_the_options_have_defaults() -> None:
    assert explain.Options("x").paths == (".",)
