"""What a process says of the calls that it answers, in the log, in metrics and on /statusz, and what it never says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from controller import pods
from crd.published import catalogs
from crd.published.entries import Backend, Http, Tool
from crd.published.policy import Breaker, HeaderFrom, Policy, Response, Retries
from runtime.app import program
from runtime.telemetry import access_log
from scripts.localcluster.ports import free_port
from tests.runtime.app.test_program import status
from tests.runtime.raw_http import rpc, send

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRETS = ["planted-argument", "planted-header", "planted-reply", "planted-token", "planted-error"]
MODERN = {"MCP-Protocol-Version": "2026-07-28"}


class Backends:
    """A service that answers with what its ``answers`` hold, else with a planted secret."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.port = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def handle(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        await self.hold.wait()
        code = self.statuses.pop(0) if self.statuses else 200
        secret = "planted-reply" if code == 200 else "planted-error"
        return web.json_response({"detail": secret}, status=code, headers={"X-Secret": secret})


@pytest.fixture
async def backends() -> AsyncIterator[Backends]:
    found = Backends()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


class Process:
    """A process under test. ``log`` collects the lines of its access log."""

    def __init__(self, port: int, health: int, stop: asyncio.Event, log: list[bytes]) -> None:
        self.mcp, self.health = f"http://127.0.0.1:{port}/mcp", f"http://127.0.0.1:{health}"
        self.stop = stop
        self._log = log

    async def call(self, name: str, **headers: str) -> dict[str, Any]:
        """The result of tools/call in the stateless era."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = rpc("tools/call", name=name, arguments={"q": "planted-argument"}, _meta=meta)
        sent = {**MODERN, "Mcp-Method": "tools/call", "Mcp-Name": name, **headers}
        answer: dict[str, Any] = (await send(self.mcp, body=body, **sent))[2]
        return answer

    async def lines(self, number: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            while len(b"".join(self._log).splitlines()) < number:
                await asyncio.sleep(0.01)
        return [json.loads(line) for line in b"".join(self._log).splitlines()]

    async def statusz(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await status(f"{self.health}/statusz"))[1])
        return found


@pytest.fixture
async def process(
    tmp_path: Path, backends: Backends, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Process]:
    token = tmp_path / "secrets" / "crm" / "token"
    token.parent.mkdir(parents=True)
    token.write_text("planted-token")
    backend, dead = Backend("127.0.0.1", backends.port, "/"), Backend("127.0.0.1", free_port(), "/")
    policy = Policy(
        headers_from=(HeaderFrom("Authorization", "Secret", "crm", "token", "Bearer "),),
        retries=Retries(1, ("5xx",)),
        response=Response(headers=("X-Secret",)),
    )
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    wanted = catalog_of(
        sessions="Stateless",
        log_level="info",
        tools=(
            Tool("good", "shop/good", "GET", backend, schema, http=Http("/x"), policy=policy),
            Tool("dead", "shop/dead", "GET", dead, schema, policy=Policy(breaker=Breaker(1))),
        ),
    )
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(wanted))
    log: list[bytes] = []
    monkeypatch.setattr(program, "write_to_stderr", log.append)
    monkeypatch.setattr(program, "LINGER", 0.0)
    port, health, stop = free_port(), free_port(), asyncio.Event()
    settings = program.Settings(
        tmp_path, host="127.0.0.1", port=port, health_port=health, drain_seconds=20.0, allow_loopback=True,
        secrets_dir=tmp_path / "secrets", config_maps_dir=tmp_path / "configmaps",
    )  # fmt: skip
    task = asyncio.create_task(program.run(settings, stop))
    found = Process(port, health, stop, log)
    async with asyncio.timeout(10):
        while True:
            try:
                await status(f"{found.health}/healthz")
                break
            except OSError:
                await asyncio.sleep(0.01)
    yield found
    stop.set()
    await task


async def test_a_call_is_one_line_with_all_that_is_known_of_it(process: Process, backends: Backends) -> None:
    backends.statuses = [503]
    answer = await process.call("good", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")

    assert "planted-reply" in json.dumps(answer)
    (line,) = await process.lines(1)
    known = {key: line[key] for key in ("traceId", "tool", "status", "attempts", "operation", "backend")}
    assert known == {
        "traceId": TRACE,
        "tool": "good",
        "status": 200,
        "attempts": 2,
        "operation": "tools/call good",
        "backend": f"127.0.0.1:{backends.port}",
    }
    assert 0 < line["backendMs"] <= line["ms"]
    assert line["requestBytes"] > line["backendResponseBytes"] > 0
    assert line["responseBytes"] > 0
    assert "error" not in line
    parents = [headers["traceparent"].split("-") for headers in backends.headers]
    assert [(parent[1], parent[3]) for parent in parents] == [(TRACE, "01")] * 2
    assert parents[0][2] != parents[1][2]


async def test_the_definition_digest_is_of_what_the_list_shows(process: Process) -> None:
    listed = (await send(process.mcp, body=rpc("tools/list"), **{"MCP-Protocol-Version": "2025-11-25"}))[2]
    await send(process.mcp, body=rpc("tools/call", name="good", arguments={}), **{"MCP-Protocol-Version": "2025-11-25"})

    (shown,) = [tool for tool in listed["result"]["tools"] if tool["name"] == "good"]
    line = (await process.lines(2))[1]
    assert line["definition"] == f"sha256:{hashlib.sha256(orjson.dumps(shown)).hexdigest()}"


async def test_neither_arguments_nor_headers_nor_replies_nor_secrets_are_logged(
    process: Process, backends: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    backends.statuses = [200, 400, 500, 500]
    for name in ("good", "good", "good", "dead", "unknown"):
        await process.call(name, Authorization="Bearer planted-header", Cookie="planted-header")

    lines = await process.lines(5)
    page = (await status(f"{process.health}/metrics"))[1]
    said = "".join((orjson.dumps(lines).decode(), caplog.text, page, str(await process.statusz())))
    assert [secret for secret in SECRETS if secret in said] == []
    assert backends.headers[0]["Authorization"] == "Bearer planted-token"
    assert [line.get("error") for line in lines] == [None, "invalid_request", "upstream_error", "unreachable", "-32602"]
    fates = [None, "refused", "sent, outcome unknown", "not sent", None]
    assert [line.get("request") for line in lines] == fates
    assert [line["level"] for line in lines] == ["info", "info", "warning", "warning", "info"]


async def test_metrics_count_tools_faults_and_retries(process: Process, backends: Backends) -> None:
    backends.statuses = [503, 200]
    await process.call("good")
    await process.call("dead")
    await process.call("dead")

    page = (await status(f"{process.health}/metrics"))[1]
    for wanted in (
        'mcp_server_tool_duration_seconds_count{error_type="",gen_ai_tool_name="good"} 1',
        'mcp_server_tool_duration_seconds_count{error_type="unreachable",gen_ai_tool_name="dead"} 1',
        'mcp_server_tool_duration_seconds_count{error_type="unavailable",gen_ai_tool_name="dead"} 1',
        'mcp_server_backend_retries_total{code="upstream_error"} 1',
        'mcp_server_backend_call_failures_total{code="unreachable",request="not sent"} 1',
        "mcp_server_circuit_breakers_open 1",
        "mcp_server_circuit_breaker_openings_total 1",
        "mcp_server_catalog_stale 0",
        "mcp_server_catalog_loaded_timestamp_seconds 1",
        "mcp_server_in_progress 0",
    ):
        assert wanted in page


async def test_statusz_says_what_is_wrong_with_which_backend(process: Process) -> None:
    assert (await process.statusz())["faults"] == {}
    await process.call("dead")

    found = await process.statusz()

    ((host, fault),) = found["faults"].items()
    assert host.startswith("127.0.0.1:")
    assert fault == {"code": "unreachable", "request": "not sent", "secondsAgo": 0}
    assert found["circuits"] == {"tool shop/dead": "open"}
    assert (found["omitted"], found["redis"]) == (0, None)


def test_what_statusz_says_fits_into_what_the_controller_reads() -> None:
    many = {f"service-{number}.shop.svc:80": {"code": "timeout"} for number in range(1000)}
    kept = program._fit(many, program.STATUS_BYTES)

    assert list(kept) == list(many)[: len(kept)]
    assert 50 < len(kept) < 1000
    assert len(orjson.dumps(kept)) <= program.STATUS_BYTES < pods.ANSWER_LIMIT - 200


async def test_a_call_in_progress_ends_before_the_process_does(process: Process, backends: Backends) -> None:
    backends.hold.clear()
    call = asyncio.create_task(process.call("good"))
    async with asyncio.timeout(10):
        while not backends.headers:
            await asyncio.sleep(0.01)
    try:
        process.stop.set()
        async with asyncio.timeout(10):
            while (await status(f"{process.health}/readyz"))[1] != "draining\n":
                await asyncio.sleep(0.01)
        # New connections are still served: the Service may lead here for some time.
        assert (await send(process.mcp, body=rpc("ping"), **{"MCP-Protocol-Version": "2025-11-25"}))[0] == 200
    finally:
        # The backend would keep the end of this test waiting.
        backends.hold.set()

    assert "planted-reply" in json.dumps(await call)


async def test_the_last_lines_are_written_before_the_process_ends(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "DELAY", 3600.0)
    await process.call("good")

    process.stop.set()

    assert [line["tool"] for line in await process.lines(1)] == ["good"]
