"""The spans of a call, as the exporter gets them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from crd.published.entries import Backend, Mcp, Tool
from runtime import VERSION
from runtime.backends.faults import CallError, Fate
from runtime.telemetry.call_record import Attempt, CallRecord
from runtime.telemetry.traces import Traces, _Counting

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7", "b7ad6b7169203331"
HTTP = Tool("good", "shop/good", "GET", Backend("a.b.svc", 80, "/"), {})
THEIRS = Tool("other", "shop/other", "POST", Backend("a.b.svc", 80, "/"), {}, mcp=Mcp("/mcp", "theirs", "Modern"))


@pytest.fixture
def counted() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def traces(counted: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """With a queue of five, out of which nothing is taken."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    found = Traces(
        lambda *each: counted.append(each), now=lambda: 1_800_000_100.0, monotonic=lambda: 100.0, max_queue=5
    )
    processor, spans = found._processor, []
    found._processor = type("Kept", (), {"on_end": spans.append, "spans": spans})()  # type: ignore[assignment]
    yield found
    processor.shutdown()


def record(tool: Tool | None = None, **more: Any) -> CallRecord:
    found = CallRecord("r-1")
    known = {"tool": tool, "trace_id": TRACE, "span_id": SPAN, "parent_id": PARENT, "is_sampled": True, **more}
    for name, value in known.items():
        setattr(found, name, value)
    return found


def export(traces: Traces, call: CallRecord, operation: str = "tools/call good", status: int = 200) -> list[Any]:
    traces.export(call, operation, "POST", status, 0.5)
    return list(traces._processor.spans)  # type: ignore[attr-defined]


def test_a_call_that_is_not_sampled_has_no_spans(traces: Traces) -> None:
    assert export(traces, record(is_sampled=False)) == []


def test_a_call_of_a_tool_is_a_span_below_that_of_the_client(traces: Traces) -> None:
    (span,) = export(traces, record(HTTP))

    assert (span.name, span.kind, span.status.status_code) == ("tools/call good", SpanKind.SERVER, StatusCode.UNSET)
    assert (span.context.trace_id, span.context.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert (span.parent.trace_id, span.parent.span_id, span.parent.trace_flags) == (int(TRACE, 16), int(PARENT, 16), 1)
    assert (span.start_time, span.end_time) == (1_800_000_099_500_000_000, 1_800_000_100_000_000_000)
    scope = span.instrumentation_scope
    assert (scope.name, scope.version) == ("mcp-operator", VERSION)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "network.protocol.name": "http",
        "network.transport": "tcp",
        "mcp_operator.request.id": "r-1",
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "good",
        "gen_ai.operation.name": "execute_tool",
    }


@pytest.mark.parametrize(
    ("operation", "name", "more"),
    [
        ("prompts/get greet", "prompts/get greet", {"mcp.method.name": "prompts/get", "gen_ai.prompt.name": "greet"}),
        ("prompts/get", "prompts/get", {"mcp.method.name": "prompts/get"}),
        ("tools/call unknown", "tools/call unknown", {"mcp.method.name": "tools/call"}),
        ("-", "POST", {}),
        ("rest", "POST", {}),
        ("batch", "POST", {}),
    ],
)
def test_a_span_is_named_after_what_was_asked_for(
    traces: Traces, operation: str, name: str, more: dict[str, str]
) -> None:
    (span,) = export(traces, record(parent_id=""), operation)

    own = {
        name: value for name, value in span.attributes.items() if name.startswith(("mcp.", "gen_ai.", "error", "rpc"))
    }
    assert (span.name, span.parent, own) == (name, None, more)


@pytest.mark.parametrize(
    ("more", "status", "is_error", "told", "attributes"),
    [
        ({}, 499, False, None, {}),
        ({}, 500, True, None, {}),
        ({"is_error": True}, 200, True, "tool_error", {"error.type": "tool_error"}),
        ({"error_code": -32602}, 200, True, "-32602", {"error.type": "-32602", "rpc.response.status_code": "-32602"}),
        ({"error_code": 7}, 200, True, "rpc_error", {"error.type": "rpc_error", "rpc.response.status_code": "7"}),
        ({"fault": CallError("timeout", "late", Fate.UNKNOWN)}, 200, True, "timeout", {"error.type": "timeout"}),
    ],
)
def test_the_status_of_a_span_is_that_of_the_call(
    traces: Traces, more: dict[str, Any], status: int, is_error: bool, told: str | None, attributes: dict[str, str]
) -> None:
    (span,) = export(traces, record(**more), "-", status)

    assert (span.status.status_code is StatusCode.ERROR, span.status.description) == (is_error, told)
    assert {name: span.attributes.get(name) for name in attributes} == attributes
    assert attributes.keys() == span.attributes.keys() & {"error.type", "rpc.response.status_code"}
    assert span.attributes["http.response.status_code"] == status


WHERE = {"server.address": "a.b.svc", "server.port": 80}
CALLED = {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool"}


@pytest.mark.parametrize(
    ("tool", "attempt", "name", "attributes"),
    [
        (HTTP, (0, "GET", 200, ""), "GET", {"http.request.method": "GET", "http.response.status_code": 200}),
        (
            HTTP,
            (2, "PUT", None, "timeout"),
            "PUT",
            {"http.request.method": "PUT", "http.request.resend_count": 2, "error.type": "timeout"},
        ),
        (THEIRS, (0, "tools/call", 200, ""), "tools/call theirs",
         {**CALLED, "gen_ai.tool.name": "theirs", "http.response.status_code": 200}),
        (HTTP, (1, "tools/call", None, "-32603"), "tools/call", {**CALLED, "error.type": "-32603"}),
        (None, (1, "tools/call", None, ""), "tools/call", CALLED),
    ],
)  # fmt: skip
def test_each_attempt_is_a_span_of_a_client_below_the_call(
    traces: Traces, tool: Tool | None, attempt: tuple[int, str, int | None, str], name: str, attributes: dict[str, Any]
) -> None:
    number, method, status, error = attempt
    made = Attempt("00000000000000aa", number, method, "a.b.svc:80", 99.25, 99.75, status, error)

    client, server = export(traces, record(tool, spans=(made,)))

    assert (client.name, client.kind, client.attributes) == (name, SpanKind.CLIENT, {**WHERE, **attributes})
    assert (client.context.span_id, client.parent) == (0xAA, server.context)
    times = 1_800_000_099_250_000_000, 1_800_000_099_750_000_000
    assert (client.start_time, client.end_time) == pytest.approx(times, rel=0, abs=1000)
    assert (client.status.status_code is StatusCode.ERROR, client.status.description) == (bool(error), error or None)


def test_above_its_limit_the_queue_takes_no_span_until_some_were_taken(
    traces: Traces, counted: list[tuple[str, int]]
) -> None:
    for _ in range(7):
        export(traces, record())
    assert (len(export(traces, record())), counted) == (5, [("dropped", 1)] * 3)

    traces._exporter.taken = 1

    assert len(export(traces, record())) == 6
    assert len(export(traces, record())) == 6
    assert counted == [("dropped", 1)] * 4


@pytest.mark.parametrize(
    ("result", "outcome"),
    [(SpanExportResult.SUCCESS, "exported"), (SpanExportResult.FAILURE, "failed"), (OSError("gone"), "failed")],
)
def test_what_became_of_spans_is_counted(counted: list[tuple[str, int]], result: Any, outcome: str) -> None:
    class Exporter:
        ended = 0

        def export(self, spans: Any) -> SpanExportResult:
            if isinstance(result, Exception):
                raise result
            assert spans == ["a", "b"]
            found: SpanExportResult = result
            return found

        def shutdown(self) -> None:
            self.ended += 1

    exporter = Exporter()
    counting = _Counting(exporter, lambda *each: counted.append(each))  # type: ignore[arg-type]
    if isinstance(result, Exception):
        with pytest.raises(OSError, match="gone"):
            counting.export(["a", "b"])  # type: ignore[list-item]
    else:
        assert counting.export(["a", "b"]) is result  # type: ignore[list-item]

    assert (counted, counting.taken) == ([(outcome, 2)], 2)
    counting.shutdown()
    assert exporter.ended == 1


@pytest.mark.parametrize(
    ("sampler", "parent", "flags", "expected"),
    [
        ("parentbased_always_off", PARENT, "01", True),
        ("parentbased_always_off", PARENT, "03", True),
        ("parentbased_always_off", PARENT, "00", False),
        ("parentbased_always_off", "", "01", False),
        ("parentbased_always_on", "", "00", True),
        ("parentbased_always_on", PARENT, "10", False),
    ],
)
def test_a_trace_is_sampled_as_its_parent_says_or_the_sampler(
    monkeypatch: pytest.MonkeyPatch, sampler: str, parent: str, flags: str, expected: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    traces = Traces(lambda *_: None, now=lambda: 0.0, monotonic=lambda: 0.0)

    assert traces.samples(TRACE, parent, flags, "ping") is expected
    assert traces.close(5)


def test_the_end_of_a_process_waits_for_no_collector() -> None:
    traces = Traces(lambda *_: None, now=lambda: 0.0, monotonic=lambda: 0.0)
    release, threads = threading.Event(), list[threading.Thread]()

    class Processor:
        def shutdown(self) -> None:
            threads.append(threading.current_thread())
            release.wait(10)

    processor, traces._processor = traces._processor, Processor()  # type: ignore[assignment]

    assert traces.close(0.01) is False
    assert [thread.daemon for thread in threads] == [True]
    release.set()
    assert traces.close(10) is True
    processor.shutdown()
