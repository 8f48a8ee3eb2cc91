"""Traces: what a collector gets of a call, and what a collector that does not answer costs."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cli.options import pod
from crd.published import catalogs
from crd.published.entries import Backend, Http, Mcp, Tool
from crd.published.policy import HeaderFrom, Policy, Retries
from runtime.app import program
from runtime.telemetry.call_record import CallRecord
from runtime.telemetry.traces import Traces, _service_adapter
from scripts.localcluster.ports import free_port
from tests.runtime.raw_http import modern, send

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT, ERROR = 2, 3, 2
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}


def traceparent(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}


class Collector:
    """Takes spans. While ``statuses`` has some, it answers with the first of them."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.path == "/v1/traces"
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        message = ExportTraceServiceRequest.FromString(await request.read())
        for each in message.resource_spans:
            self.resources.append(attributes(each.resource))
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return web.Response()

    async def wait(self, number: int) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.spans) < number:
                await asyncio.sleep(0.01)
        return sorted(self.spans, key=lambda span: (span.kind, span.start_time_unix_nano))


def attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


async def serve(answer: Any) -> tuple[web.AppRunner, int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    found = Collector()
    runner, found.port = await serve(found.answer)
    configure(monkeypatch, found.port)
    yield found
    await runner.cleanup()


def configure(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "main")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")


class Backends:
    """Answers with JSON, and to MCP of the stateless era. ``statuses`` as in `Collector`."""

    def __init__(self) -> None:
        self.parents: list[str] = []
        self.meta: list[str] = []
        self.statuses: list[int] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.parents.append(request.headers["traceparent"])
        if request.path == "/mcp":
            message = await request.json()
            self.meta.append(message["params"]["_meta"]["traceparent"])
            result = {"content": [], "isError": True, "resultType": "complete"}
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})
        return web.json_response({"said": "planted-reply"}, status=self.statuses.pop(0) if self.statuses else 200)


class Process:
    """A server that exports traces."""

    def __init__(self, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        self.url, self.health = "", ""
        self.stop = stop
        self.task = task

    async def metric(self, name: str) -> float:
        text = (await send(f"{self.health}/metrics", "GET"))[2]
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@pytest.fixture
async def backends() -> AsyncIterator[Backends]:
    found = Backends()
    runner, found.port = await serve(found.answer)
    yield found
    await runner.cleanup()


@pytest.fixture
async def process(
    tmp_path: Path, collector: Collector, backends: Backends, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Process]:
    (tmp_path / "secrets" / "crm").mkdir(parents=True)
    (tmp_path / "secrets" / "crm" / "token").write_text("planted-token")
    backend = Backend("127.0.0.1", backends.port, "/")
    secret = HeaderFrom("Authorization", "Secret", "crm", "token", "Bearer ")
    policy = Policy(headers_from=(secret,), retries=Retries(2, ("5xx",)))
    wanted = catalog_of(
        sessions="Stateless",
        tools=(
            Tool("good", "shop/good", "GET", backend, SCHEMA, http=Http("/x"), policy=policy),
            Tool("other", "shop/other", "POST", backend, SCHEMA, mcp=Mcp("/mcp", "theirs", "Modern")),
            Tool("dead", "shop/dead", "GET", Backend("127.0.0.1", free_port(), "/"), SCHEMA),
        ),
    )
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(wanted))
    monkeypatch.setattr(program, "LINGER", 0.0)
    port, health, stop = free_port(), free_port(), asyncio.Event()
    settings = program.Settings(
        tmp_path, host="127.0.0.1", port=port, health_port=health, drain_seconds=5.0, allow_loopback=True,
        secrets_dir=tmp_path / "secrets", config_maps_dir=tmp_path, traces=True,
    )  # fmt: skip
    found = Process(stop, asyncio.create_task(program.run(settings, stop)))
    found.url, found.health = f"http://127.0.0.1:{port}/mcp", f"http://127.0.0.1:{health}"
    async with asyncio.timeout(10):
        while True:
            try:
                await send(f"{found.health}/healthz", "GET")
                break
            except OSError:
                await asyncio.sleep(0.01)
    yield found
    stop.set()
    await found.task


async def test_a_sampled_call_is_a_span_with_one_for_each_attempt(
    process: Process, collector: Collector, backends: Backends
) -> None:
    backends.statuses = [503]
    before = time.time_ns()
    await modern(process.url, "tools/call", name="good", arguments={"q": "planted-argument"}, sent=traceparent())

    server, first, second = await collector.wait(3)

    assert (server.name, server.kind, server.trace_id.hex()) == ("tools/call good", SERVER, TRACE)
    assert server.parent_span_id.hex() == PARENT
    known = attributes(server)
    assert known.pop("mcp_operator.request.id")
    assert known == {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "good",
        "gen_ai.operation.name": "execute_tool",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "network.protocol.name": "http",
        "network.transport": "tcp",
    }
    assert [span.parent_span_id for span in (first, second)] == [server.span_id] * 2
    assert backends.parents == [f"00-{TRACE}-{span.span_id.hex()}-01" for span in (first, second)]
    where = {"server.address": "127.0.0.1", "server.port": backends.port, "http.request.method": "GET"}
    assert attributes(first) == {**where, "http.response.status_code": 503, "error.type": "upstream_error"}
    assert attributes(second) == {**where, "http.response.status_code": 200, "http.request.resend_count": 1}
    assert [(span.name, span.kind, span.status.code) for span in (first, second)] == [
        ("GET", CLIENT, ERROR),
        ("GET", CLIENT, 0),
    ]
    times = [before, server.start_time_unix_nano, first.start_time_unix_nano, first.end_time_unix_nano]
    times += [second.start_time_unix_nano, second.end_time_unix_nano, server.end_time_unix_nano]
    times.append(time.time_ns())
    assert times == sorted(times)
    assert collector.resources[0]["service.name"] == "main"
    assert collector.resources[0]["service.namespace"] == "shop"
    assert "planted" not in str(collector.spans)
    assert await process.metric('mcp_server_spans_total{outcome="exported"}') == 3


async def test_a_call_of_an_mcp_backend_has_one_span_in_header_and_meta(
    process: Process, collector: Collector, backends: Backends
) -> None:
    await modern(process.url, "tools/call", name="other", arguments={}, sent=traceparent())
    server, client = await collector.wait(2)
    assert backends.meta == backends.parents == [f"00-{TRACE}-{client.span_id.hex()}-01"]
    assert client.name == "tools/call theirs"
    assert attributes(client) == {
        "server.address": "127.0.0.1",
        "server.port": backends.port,
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "theirs",
        "error.type": "tool_error",
    }
    assert (attributes(server)["error.type"], server.status.code) == ("tool_error", ERROR)


async def test_what_the_client_does_not_sample_is_not_exported(
    process: Process, collector: Collector, backends: Backends
) -> None:
    for sent in (traceparent("00"), {}):
        await modern(process.url, "tools/call", name="good", arguments={}, sent=sent)
    await modern(process.url, "tools/call", name="dead", arguments={}, sent=traceparent())

    server, client = await collector.wait(2)

    assert [each[-2:] for each in backends.parents] == ["00", "00"]
    assert attributes(server)["error.type"] == attributes(client)["error.type"] == "unreachable"
    assert len(collector.spans) == 2


async def test_each_call_of_a_batch_and_a_method_without_a_tool_have_spans(
    process: Process, collector: Collector
) -> None:
    calls = [{"jsonrpc": "2.0", "id": number, "method": method} for number, method in ((1, "ping"), (2, "tools/list"))]
    headers = {"MCP-Protocol-Version": "2025-03-26", **traceparent()}
    await send(process.url, body=calls, **headers)
    assert sorted(span.name for span in await collector.wait(2)) == ["ping", "tools/list"]


async def test_a_trace_that_begins_here_is_sampled_as_the_environment_says(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ratio, expected in (("1", True), ("0", False)):
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
        traces = Traces(lambda *_: None, now=lambda: 1_800_000_000.0, monotonic=lambda: 0.0)
        record = CallRecord("r")
        record.tracer = traces
        assert record.next_span().endswith("-01" if expected else "-00")
        assert record.is_sampled is expected
        assert traces.close(5)


async def test_the_last_spans_are_sent_when_the_server_stops(
    process: Process, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    await modern(process.url, "tools/list", sent=traceparent())
    process.stop.set()
    async with asyncio.timeout(10):
        await process.task
    assert [span.name for span in collector.spans] == ["tools/list"]


def call(traces: Traces) -> None:
    record = CallRecord("r")
    record.tracer = traces
    record.join_trace(traceparent()["traceparent"])
    record.begin_span()
    traces.export(record, "ping", "POST", 200, 0.001)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a collector that accepts connections, and answers nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


def test_a_collector_that_does_not_answer_costs_spans_and_no_time(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, silent)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    outcomes: dict[str, int] = {}

    def count(outcome: str, number: int) -> None:
        outcomes[outcome] = outcomes.get(outcome, 0) + number

    traces = Traces(count, now=lambda: 1_800_000_000.0, monotonic=time.monotonic, max_queue=50)
    begun = time.monotonic()
    for _ in range(1000):
        call(traces)
    assert time.monotonic() - begun < 2
    # The queue, and the batch that is on its way.
    assert 1000 - 50 - 10 <= outcomes["dropped"] <= 1000 - 50
    begun = time.monotonic()
    assert not traces.close(0.2)
    assert time.monotonic() - begun < 2


async def test_a_collector_that_refuses_is_counted(collector: Collector) -> None:
    collector.statuses = [400]
    outcomes: list[tuple[str, int]] = []
    traces = Traces(lambda *found: outcomes.append(found), now=lambda: 1_800_000_000.0, monotonic=time.monotonic)
    call(traces)
    async with asyncio.timeout(10):
        while not outcomes:
            await asyncio.sleep(0.01)
    assert outcomes == [("failed", 1)]
    assert await asyncio.to_thread(traces.close, 5)


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1"])
async def test_a_collector_that_is_a_service_is_not_called_at_a_forbidden_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    configure(monkeypatch, 1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.shop.svc:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    asked: list[str] = []

    def resolve(name: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    outcomes: list[tuple[str, int]] = []
    traces = Traces(lambda *found: outcomes.append(found), now=lambda: 1_800_000_000.0, monotonic=time.monotonic)
    call(traces)
    async with asyncio.timeout(10):
        while not outcomes:
            await asyncio.sleep(0.01)
    assert outcomes == [("failed", 1)]
    # Threads of other tests may still look for their collectors.
    assert set(asked) - {"127.0.0.1"} == {"collector.shop.svc.cluster.local."}
    assert "must not be called" in caplog.text
    assert await asyncio.to_thread(traces.close, 5)


def test_a_collector_that_is_not_found_is_an_error_of_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", _service_adapter("cluster.local"))
        with pytest.raises(requests.ConnectionError, match=r"collector\.shop\.svc\.cluster\.local\.: no such name"):
            session.get("http://collector.shop.svc:4318/", timeout=5)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"ENDPOINT": "http://c:4318"}, True),
        ({"TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"TRACES_ENDPOINT": "http://c:4317", "PROTOCOL": "grpc"}, False),
        ({"ENDPOINT": "http://c:4318", "PROTOCOL": "grpc", "TRACES_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_traces_are_exported_when_the_standard_variables_say_so(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    assert pod.exports_traces() is expected
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not pod.exports_traces()


def test_an_exporter_of_another_kind_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert not pod.exports_traces()


def test_without_a_tracer_a_call_has_no_spans() -> None:
    record = CallRecord("r")
    record.begin_attempt()
    record.end_attempt((0.0, 1.0), "GET", 200, "")
    assert (record.spans, record.span_id, json.dumps(record.members())) == ((), "", "{}")


def test_what_a_client_writes_into_a_tracestate_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    traces = Traces(lambda _outcome, _number: None, now=lambda: 0.0, monotonic=time.monotonic)
    sampled = []
    for state in ("A=b", "x" * 512, "a=b=c", "a=1"):
        record = CallRecord("r")
        record.tracer = traces
        record.follow({"traceparent": [traceparent()["traceparent"]], "tracestate": [state]})
        record.begin_span()
        sampled.append(record.is_sampled)
        assert record.trace_headers()[1] == ("tracestate", state)
    assert sampled == [True] * 4
    assert caplog.records == []
    assert traces.close(5.0)
