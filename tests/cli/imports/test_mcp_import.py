"""Tools of an MCP server become MCPTools with pins; what a server sends does no harm here."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from cli.__main__ import main
from cli.check.formats import text
from cli.imports import drafts, mcp_tools
from cli.imports.mcp_tools import Credential
from cli.imports.outcomes import Why
from cli.imports.selection import Imported, Placement
from crd.published import pins
from tests.threads import Program

SCRIPT = Path(__file__).with_name("mcp_server.py")
FIND: dict[str, Any] = {
    "name": "find_orders",
    "title": "Find orders",
    "description": "Find the orders of the shop by status.",
    "inputSchema": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string", "enum": ["open", "done"]}},
    },
    "outputSchema": {"type": "object", "properties": {"count": {"type": "integer"}}},
    "annotations": {"readOnlyHint": True},
}
CANCEL: dict[str, Any] = {
    "name": "cancel_order",
    "description": "Cancel one order of the shop.",
    "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}},
}
HERE = Placement("orders", 8080, namespace="shop")


def imported(*tools: dict[str, Any], **more: Any) -> Imported:
    return mcp_tools.import_tools(tools, mcp_tools.Options(HERE, **more))


def test_a_tool_becomes_an_object_with_a_pin() -> None:
    found = imported(FIND, credentials=(Credential("Authorization", "authorization", "Bearer "),), on_drift="Refuse")
    pin = pins.pin_of(FIND)

    [raw] = found.objects
    assert raw == {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": "find-orders", "namespace": "shop", "labels": {"mcp.example.com/api": "orders"}},
        "spec": {
            "name": "find_orders",
            "title": "Find orders",
            "description": "Find the orders of the shop by status.",
            "annotations": {"readOnlyHint": True},
            "service": {"name": "orders", "port": 8080},
            "mcp": {
                "path": "/mcp",
                "toolName": "find_orders",
                "onDrift": "Refuse",
                "pin": {
                    "title": pin.title,
                    "description": pin.description,
                    "inputSchema": pin.input_schema,
                    "outputSchema": pin.output_schema,
                    "annotations": pin.annotations,
                },
            },
            "inputSchema": {
                "type": "object",
                "required": ["status"],
                "properties": {"status": {"type": "string", "enum": ["open", "done"]}},
            },
            "outputSchema": {"type": "object", "properties": {"count": {"type": "integer"}}},
            "headersFrom": [
                {
                    "name": "Authorization",
                    "prefix": "Bearer ",
                    "secretKeyRef": {"name": "orders-credentials", "key": "authorization"},
                }
            ],
        },
    }


def test_a_file_of_another_namespace_is_left_alone(tmp_path: Path) -> None:
    tool = "apiVersion: mcp.example.com/v1alpha1\nkind: MCPTool\nmetadata: {name: find, namespace: shop}\nspec: {}\n"
    (tmp_path / ".tools.yaml.imported").write_text(tool)

    code, _, told = run("http://127.0.0.1:1/mcp", "--service", "orders:80", "-o", str(tmp_path / "tools.yaml"))

    assert code == 2
    assert "was imported for namespace shop, not default; add --namespace shop" in told


@pytest.mark.parametrize(
    ("tool", "why", "message"),
    [
        ({**FIND, "name": None}, Why.INVALID, "has no name"),
        ({**FIND, "name": "a\x1b[31m"}, Why.INVALID, "printable characters"),
        ({**FIND, "name": "x" * 129}, Why.INVALID, "at most 128"),
        ({**FIND, "name": "private_x"}, Why.EXCLUDED, "an --exclude names it"),
        ({**FIND, "name": "other"}, Why.EXCLUDED, "no --include names it"),
        ({**FIND, "inputSchema": None}, Why.INVALID, "has no inputSchema"),
        ({**FIND, "inputSchema": [1]}, Why.INVALID, "inputSchema must be an object"),
        ({**FIND, "outputSchema": "x"}, Why.INVALID, "outputSchema must be an object"),
        ({**FIND, "inputSchema": {"type": "array"}}, Why.NOT_SUPPORTED, "InvalidSchema"),
        ({**FIND, "execution": {"taskSupport": "required"}}, Why.NOT_SUPPORTED, "as a task only"),
        (
            {**FIND, "inputSchema": {"type": "object", "description": "x" * 300_000}},
            Why.NOT_SUPPORTED,
            "inputSchema has more than 64 KiB or 64 levels",
        ),
    ],
)
def test_what_is_not_imported_has_a_reason(tool: dict[str, Any], why: Why, message: str) -> None:
    found = imported(tool, include=("find*", "private*", "a*", "x*"), exclude=("private*",))

    [outcome] = found.outcomes
    assert (found.objects, outcome.why) == ((), why)
    assert message in outcome.message


def test_the_second_of_two_tools_of_one_name_is_not_imported() -> None:
    found = imported(FIND, {**CANCEL, "name": "find_orders"})

    assert [each.why for each in found.outcomes] == [None, Why.INVALID]


def test_what_an_object_has_in_another_form_is_a_note() -> None:
    found = imported(
        {
            **FIND,
            "name": "find/orders",
            "description": f"Find\u202e them.{' More words.' * 400}",
            "annotations": {"readOnlyHint": True, "destructiveHint": True, "idempotentHint": "yes"},
            "inputSchema": {"type": "object", "properties": {"a": {"pattern": "(?<=a)b"}}},
        }
    )

    [raw] = found.objects
    assert (raw["spec"]["name"], raw["spec"]["mcp"]["toolName"]) == ("find_orders", "find/orders")
    assert len(raw["spec"]["description"]) <= 2048
    assert raw["spec"]["annotations"] == {"readOnlyHint": True}
    notes = " | ".join(found.outcomes[0].notes)
    for told in (
        'clients see the name "find_orders"',
        "description: characters that reviewers cannot see are left out",
        "description: cut",
        "annotations.idempotentHint is left out",
        "annotations.destructiveHint is left out",
        "pattern is left out",
    ):
        assert told in notes
    # What was left out of the object is in the pin all the same.
    assert raw["spec"]["mcp"]["pin"]["annotations"].startswith("sha256:")


def test_a_budget_chooses_tools_that_only_read_first() -> None:
    cost = imported(FIND).outcomes[0].tokens
    found = imported(CANCEL, FIND, budget=cost)

    assert [each.why for each in found.outcomes] == [Why.OVER_BUDGET, None]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"$schema": "x", "type": "object"}, {"type": "object"}),
        ({"properties": {"$schema": {"type": "string"}}}, {"properties": {"$schema": {"type": "string"}}}),
        ({"items": [{}, {"$schema": "x"}], "additionalItems": False}, {"prefixItems": [{}, {}], "items": False}),
        ({"items": {}, "additionalItems": False}, {"items": {}, "additionalItems": False}),
        (
            {"dependencies": {"a": ["b"], "c": {"items": [{}]}}},
            {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"prefixItems": [{}]}}},
        ),
        ({"minimum": 3, "exclusiveMinimum": True}, {"exclusiveMinimum": 3}),
        ({"maximum": 3, "exclusiveMaximum": False}, {"maximum": 3}),
        ({"exclusiveMinimum": 3}, {"exclusiveMinimum": 3}),
        ({"default": {"items": [1], "$schema": 1}}, {"default": {"items": [1], "$schema": 1}}),
    ],
)  # fmt: skip
def test_schemas_of_older_drafts_are_read(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert drafts.modernize(old) == new


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        code = main(["import", "mcp", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout, sys.stderr = before
    return code, out.getvalue(), err.getvalue()


def stdio(tmp_path: Path, scene: str, *tools: dict[str, Any]) -> tuple[str, ...]:
    listed = tmp_path / "tools.json"
    listed.write_text(json.dumps(tools))
    return "--stdio", f"{sys.executable} {SCRIPT} '{scene}' {listed}", "--service", "orders:8080", "-n", "shop"


@pytest.mark.parametrize("scene", ["modern", "legacy"])
def test_a_program_is_asked_in_both_eras_page_by_page(tmp_path: Path, scene: str) -> None:
    report = tmp_path / "report.json"
    code, out, err = run(*stdio(tmp_path, scene, FIND, CANCEL), "--server", "orders", "--report", str(report))

    assert code == 0, err
    assert [raw["kind"] for raw in yaml.safe_load_all(out)] == ["MCPServer", "MCPTool", "MCPTool"]
    assert f"note: the server also has {'prompts' if scene == 'modern' else 'resources'}, which are not imported" in err
    assert "2 tools: 2 MCPTool" in err
    assert "needed: Service shop/orders with port 8080" in err
    assert [each["tool"] for each in json.loads(report.read_text())["tools"]] == ["find_orders", "cancel_order"]


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ("silent", "timeout: the list did not end within 1 s"),
        ("endless line", "a line is larger than 2097152 bytes"),
        ("endless pages", "has more than 500 pages"),
        ("same page", "names the same next page again"),
        ("no list", "/tools of the server's list must be a list of objects"),
        ("error", "the server answered with error -32603: broken \\x1b[2J"),
        ("dies", "the program ended without an answer; it wrote: no licence \\x1b]0;owned\\x07"),
    ],
)
def test_a_hostile_program_is_left_in_time_and_shown_without_control_characters(
    tmp_path: Path, scene: str, message: str
) -> None:
    code, out, err = run(*stdio(tmp_path, scene), "--timeout", "1" if scene == "silent" else "30")

    assert (code, out) == (2, "")
    assert message in err
    assert text.escape(err.replace("\n", "")) == err.replace("\n", "")


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    code, _, err = run("--stdio", str(tmp_path / "none"), "--service", "orders:8080")

    assert code == 2
    assert "cannot be started: No such file or directory; install it or correct --stdio" in err


def test_what_nobody_sees_is_written_as_an_escape(tmp_path: Path) -> None:
    hidden = "a\u202eb\x9bc\u200b"
    tool = {**FIND, "inputSchema": {"type": "object", "properties": {hidden: {"const": f"{hidden}\nx"}}}}
    code, out, err = run(*stdio(tmp_path, "modern", tool))

    assert code == 0, err
    assert yaml.safe_load(out)["spec"]["inputSchema"]["properties"] == {hidden: {"const": f"{hidden}\nx"}}
    for line in (*out.splitlines(), *err.splitlines()):
        assert text.escape(line) == line


def test_a_later_import_is_merged_and_told(tmp_path: Path) -> None:
    output = tmp_path / "tools.yaml"
    assert run(*stdio(tmp_path, "modern", FIND, CANCEL), "-o", str(output))[0] == 0
    edited = output.read_text().replace("Find the orders of the shop by status.", "Find orders, as we call it here.")
    output.write_text(edited)

    changed = {**FIND, "outputSchema": {"type": "object"}}
    code, _, err = run(*stdio(tmp_path, "modern", changed), "-o", str(output))
    assert code == 0, err
    assert "removed: MCPTool shop/cancel-order: the server no longer has it" in err
    raw = yaml.safe_load(output.read_text())
    assert raw["spec"]["description"] == "Find orders, as we call it here."
    assert raw["spec"]["mcp"]["pin"]["outputSchema"] == pins.pin_of(changed).output_schema

    code, _, err = run(*stdio(tmp_path, "modern", {**changed, "description": "Delete everything."}), "-o", str(output))
    assert code == 1
    assert "conflict: MCPTool shop/find-orders spec.description" in err


class Endpoint:
    """An MCP server over HTTP, in a thread: `run` has a loop of its own."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.status = 200
        self.trickle = ""
        self.port = 0
        self._ready = threading.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(dict(request.headers))
        if self.trickle:
            return await self._trickle(request)
        if self.status not in (200, 400):
            return web.Response(status=self.status, headers={"Location": "http://127.0.0.1:1/"})
        if self.status == 400:
            message = f"wrong token {request.headers.get('Authorization')}"
            body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32603, "message": message}}
            return web.json_response(body, status=400)
        message = await request.json()
        result: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "tools": [FIND, CANCEL]}
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    async def _trickle(self, request: web.Request) -> web.StreamResponse:
        """An answer without end: of comments in a stream, or of bytes."""
        response = web.StreamResponse(headers={"Content-Type": self.trickle})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not self._end.is_set():
                await response.write(b": ping\n\n" * (1 if "event" in self.trickle else 100_000))
                await asyncio.sleep(0.02)
        return response

    async def _serve(self, stop: asyncio.Event) -> None:
        self._end = stop
        app = web.Application()
        app.router.add_post("/mcp/v1", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await stop.wait()
        await runner.cleanup()

    def start(self) -> Program:
        program = Program(self._serve)
        assert self._ready.wait(10)
        return program


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    program = found.start()
    yield found
    program.stop()


def test_a_url_is_asked_with_headers_that_are_shown_nowhere(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_TOKEN", "Bearer s3cret-value")
    key = tmp_path / "key"
    key.write_text("an0ther\n")
    url = f"http://127.0.0.1:{endpoint.port}/mcp/v1"
    words = (
        url,
        "--service",
        "orders:8080",
        "--header",
        "Authorization=env:ORDERS_TOKEN",
        "--header",
        f"X-Key=file:{key}",
    )

    code, out, err = run(*words)
    assert code == 0, err
    assert {(each["Authorization"], each["X-Key"]) for each in endpoint.seen} == {("Bearer s3cret-value", "an0ther")}
    first = next(yaml.safe_load_all(out))["spec"]
    assert first["mcp"]["path"] == "/mcp/v1"
    assert [each["secretKeyRef"]["key"] for each in first["headersFrom"]] == ["authorization", "x-key"]
    assert (
        'needed: Secret default/orders-credentials with key "authorization": the value of header Authorization' in err
    )

    endpoint.status = 400
    code, more, told = run(*words)
    assert code == 2
    assert "the server answered with error -32603: wrong token …" in told
    for shown in (out, err, more, told):
        assert "s3cret" not in shown
        assert "an0ther" not in shown


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "upstream_denied: "), (307, "redirects are not followed"), (503, "the backend answered 503")],
)
def test_a_url_that_does_not_answer_as_expected_is_told(endpoint: Endpoint, status: int, message: str) -> None:
    endpoint.status = status
    code, out, err = run(f"http://127.0.0.1:{endpoint.port}/mcp/v1", "--service", "orders:8080")

    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [("application/json", "the reply is larger than 2097152 bytes"), ("text/event-stream", "timeout: ")],
)
def test_an_answer_without_end_is_left(endpoint: Endpoint, content: str, message: str) -> None:
    endpoint.trickle = content
    seconds = "30" if "json" in content else "1"
    url = f"http://127.0.0.1:{endpoint.port}/mcp/v1"
    code, out, err = run(url, "--service", "orders:8080", "--timeout", seconds)

    assert (code, out) == (2, "")
    assert message in err


def test_a_url_where_nobody_listens_is_told() -> None:
    code, _, err = run("http://127.0.0.1:1/mcp", "--service", "orders:8080")

    assert code == 2
    assert "unreachable" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "exactly one of URL and --stdio"),
        (("http://a/mcp", "--stdio", "x"), "exactly one of URL and --stdio"),
        (("ftp://a/mcp",), "URL must be one of http or https"),
        (("http://user:pass@a/mcp",), "must not contain credentials"),
        (("http://a/mcp", "--header", "Authorization=Bearer x"), "a value is not taken from the command line"),
        (("--stdio", "x", "--header", "A=env:B"), "--header goes with URL"),
        (("http://a/mcp", "--header", "A=env:NOT_SET_ANYWHERE"), "the variable NOT_SET_ANYWHERE is empty"),
    ],
)
def test_wrong_arguments_are_told(words: tuple[str, ...], message: str) -> None:
    code, _, err = run(*words, "--service", "orders:8080")

    assert code == 2
    assert message in err
