"""What is known of a call: its trace, and why it failed."""

from __future__ import annotations

import re

import pytest

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
