"""What is known of a call: its trace, and why it failed."""

from __future__ import annotations

import re

import pytest

from crd.published.entries import Backend, Tool
from runtime.backends.faults import CallError, Fate
from runtime.telemetry.call_record import CallRecord

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_the_trace_of_the_client_is_continued_with_a_span_of_ours() -> None:
    record = CallRecord("r")
    record.follow({"traceparent": [PARENT], "tracestate": ["a=1", "b=2"]})

    headers = dict(record.trace_headers())

    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", headers["traceparent"])
    assert headers["traceparent"] != PARENT
    assert headers["tracestate"] == "a=1,b=2"
    assert record.next_span() != record.next_span()


@pytest.mark.parametrize(
    "parents",
    [
        [],
        ["x"],
        [PARENT, PARENT],
        [PARENT.replace("00-", "ff-", 1)],
        [f"{PARENT}-more"],
        [f"00-{'0' * 32}-b7ad6b7169203331-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [PARENT.upper()],
        [f"{PARENT}\n"],
    ],
)
def test_without_a_valid_trace_a_call_begins_one_that_is_not_sampled(parents: list[str]) -> None:
    record = CallRecord("r")
    record.follow({"traceparent": parents, "tracestate": ["a=1"]})
    assert record.trace_id == ""

    headers = record.trace_headers()

    assert [name for name, _ in headers] == ["traceparent"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", headers[0][1])
    assert TRACE not in headers[0][1]


def test_a_later_version_of_traceparent_may_have_more() -> None:
    assert CallRecord().join_trace(f"01-{TRACE}-b7ad6b7169203331-01-more")


@pytest.mark.parametrize("state", ["a=1\r\nX: y", "ü=1", "a" * 513])
def test_a_tracestate_that_is_not_one_is_dropped(state: str) -> None:
    record = CallRecord("r")
    record.follow({"traceparent": [PARENT], "tracestate": [state]})

    assert [name for name, _ in record.trace_headers()] == ["traceparent"]


def test_the_type_of_an_error_is_one_of_a_fixed_set() -> None:
    record = CallRecord()
    assert record.error_type == ""
    record.is_error = True
    assert record.error_type == "tool_error"
    record.error_code = -32602
    assert record.error_type == "-32602"
    record.error_code = 123456
    assert record.error_type == "rpc_error"
    record.fault = CallError("timeout", "late", Fate.UNKNOWN)
    assert record.error_type == "timeout"
    assert record.members() == {"error": "timeout", "request": "sent, outcome unknown"}


class Sampler:
    """A tracer that samples or not, and remembers what it was asked."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked: list[tuple[str, ...]] = []

    def samples(self, *asked: str) -> bool:
        self.asked.append(asked)
        return self.answer

    def export(self, *_: object) -> None:
        raise AssertionError("nothing is exported before the end")


@pytest.mark.parametrize("answer", [True, False])
def test_with_a_tracer_a_call_is_a_span_and_each_attempt_one_below_it(answer: bool) -> None:
    tracer, record = Sampler(answer), CallRecord("r")
    record.tracer = tracer  # type: ignore[assignment]
    record.backend, record.operation = "a.b.svc:80", "tools/call echo"
    record.follow({"traceparent": [PARENT], "tracestate": ["a=1"]})

    record.begin_attempt()
    (_, sent), state = record.trace_headers()
    record.end_attempt((1.0, 2.0), "GET", 503, "upstream_error")
    record.begin_attempt()
    record.end_attempt((3.0, 4.0), "GET", 200, "")
    record.end_attempt((5.0, 6.0), "GET", 200, "")

    assert tracer.asked == [(TRACE, "b7ad6b7169203331", "01", "tools/call echo")]
    assert state == ("tracestate", "a=1")
    assert re.fullmatch(r"[0-9a-f]{16}", record.span_id)
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-0{int(answer)}", sent)
    if not answer:
        assert record.spans == ()
        return
    first, second = record.spans
    assert first == (first.span_id, 0, "GET", "a.b.svc:80", 1.0, 2.0, 503, "upstream_error")
    assert second == (second.span_id, 1, "GET", "a.b.svc:80", 3.0, 4.0, 200, "")
    assert sent == f"00-{TRACE}-{first.span_id}-01"
    assert len({first.span_id, second.span_id, record.span_id}) == 3


def test_a_trace_that_begins_here_has_no_parent() -> None:
    tracer, record = Sampler(False), CallRecord("r")
    record.tracer = tracer  # type: ignore[assignment]

    record.begin_span()
    record.begin_span()

    assert tracer.asked == [(record.trace_id, "", "00", "-")]
    assert re.fullmatch(r"[0-9a-f]{32}", record.trace_id)
    assert re.fullmatch(rf"00-{record.trace_id}-[0-9a-f]{{16}}-00", record.next_span())


def test_random_digits_are_used_once() -> None:
    records = [CallRecord() for _ in range(300)]
    spans = [record.next_span().split("-") for record in records]

    assert {(len(trace), len(span), flags) for _, trace, span, flags in spans} == {(32, 16, "00")}
    assert len({trace for _, trace, _, _ in spans}) == len({span for _, _, span, _ in spans}) == 300
    assert [record.trace_id for record in records] == [trace for _, trace, _, _ in spans]


def test_a_traceparent_replaces_the_state_of_an_earlier_one() -> None:
    record = CallRecord()
    record.follow({"traceparent": [PARENT], "tracestate": ["a=1"]})

    assert record.join_trace(f"00-{'1' * 32}-{'2' * 16}-00")
    assert (record.trace_id, record.parent_id) == ("1" * 32, "2" * 16)
    assert [name for name, _ in record.trace_headers()] == ["traceparent"]
    assert not record.join_trace("00-x")
    assert record.trace_id == "1" * 32


@pytest.mark.parametrize(
    ("code", "named"),
    [(-32800, "-32800"), (-32801, "rpc_error"), (-32000, "-32000"), (-31999, "rpc_error"), (0, "rpc_error")],
)
def test_only_reserved_codes_are_names_of_errors(code: int, named: str) -> None:
    record = CallRecord()
    record.error_code = code

    assert record.error_type == named


def test_what_the_log_says_of_a_call() -> None:
    record = CallRecord("r")
    assert record.members() == {}
    record.trace_id = TRACE
    record.tool = Tool("echo", "shop/echo", "GET", Backend("a.b.svc", 80, "/"), {})
    record.backend, record.attempts, record.backend_seconds, record.sent, record.received = (
        "a.b.svc:80",
        2,
        0.12345,
        3,
        4,
    )
    record.fault = CallError("upstream_error", "no", Fate.UNKNOWN, status=503)

    assert record.members() == {
        "traceId": TRACE,
        "tool": "echo",
        "backend": "a.b.svc:80",
        "attempts": 2,
        "backendMs": 123.5,
        "backendRequestBytes": 3,
        "backendResponseBytes": 4,
        "error": "upstream_error",
        "request": "sent, outcome unknown",
        "backendStatus": 503,
    }
