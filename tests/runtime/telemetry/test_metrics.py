"""Metrics have bounded labels, and traces as exemplars."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics import exposition

from crd.published.entries import Backend, Tool
from runtime.telemetry import metrics as telemetry
from runtime.telemetry.call_record import CallRecord
from runtime.telemetry.metrics import Metrics


def call(name: str, **more: object) -> CallRecord:
    record = CallRecord()
    record.tool = Tool(name, f"shop/{name}", "GET", Backend("a.b.svc", 80, "/"), {})
    for key, value in more.items():
        setattr(record, key, value)
    return record


def test_a_duration_is_counted_in_its_bucket_with_the_trace_that_took_it() -> None:
    metrics = Metrics()
    metrics.observe("POST", "tools/call echo", 200, 0.015, call("echo", trace_id="f" * 32))
    metrics.observe("POST", "tools/call echo", 200, 0.5, call("echo"))
    metrics.observe("POST", "tools/call echo", 200, 999.0, call("echo"))

    labels = {
        "http_request_method": "POST",
        "mcp_method_name": "tools/call",
        "http_response_status_code": "200",
        "error_type": "",
    }
    name, value = "mcp_server_operation_duration_seconds", metrics.registry.get_sample_value
    found = [value(f"{name}_bucket", {**labels, "le": le}) for le in ("0.01", "0.02", "0.2", "0.5", "300.0", "+Inf")]
    assert found == [0, 1, 1, 2, 2, 3]
    assert value(f"{name}_sum", labels) == pytest.approx(999.515)
    text = exposition.generate_latest(metrics.registry).decode()
    assert f'le="0.02",mcp_method_name="tools/call"}} 1.0 # {{trace_id="{"f" * 32}"}} 0.015' in text


def test_tools_are_counted_by_name_and_error_as_long_as_the_catalog_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MAX_TOOLS", 2)
    metrics = Metrics()
    for name in ("a", "b", "c", "d"):
        metrics.observe("POST", "tools/call", 200, 1.0, call(name))
    metrics.observe("POST", "tools/call", 200, 2.0, call("a", is_error=True))

    def count(name: str, error: str = "") -> float | None:
        labels = {"gen_ai_tool_name": name, "error_type": error}
        return metrics.registry.get_sample_value("mcp_server_tool_duration_seconds_count", labels)

    assert [count("a"), count("a", "tool_error"), count("b"), count("c"), count("other")] == [1, 1, 1, None, 2]
    metrics.keep_tools({"b"})
    assert [count("a"), count("a", "tool_error"), count("b"), count("other")] == [None, None, 1, 2]
