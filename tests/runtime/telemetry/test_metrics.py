"""Metrics have bounded labels, and traces as exemplars."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics import exposition

from crd.published.entries import Backend, Tool
from runtime.telemetry import metrics as telemetry
from runtime.telemetry.call_record import CallRecord
from runtime.telemetry.metrics import Metrics
from tests import metric_names

LABELS = {
    "mcp_server_backend_call_failures_total": {"code", "request"},
    "mcp_server_backend_retries_total": {"code"},
    "mcp_server_catalog_rejections_total": {"reason"},
    "mcp_server_denied_total": {"http_response_status_code"},
    "mcp_server_operation_duration_seconds_count": {
        *("http_request_method", "mcp_method_name", "http_response_status_code", "error_type"),
    },
    "mcp_server_notifications_total": {"list"},
    "mcp_server_pin_probes_total": {"result"},
    "mcp_server_rate_limited_total": {"scope"},
    "mcp_server_spans_total": {"outcome"},
    "mcp_server_streams_ended_total": {"reason"},
    "mcp_server_tool_duration_seconds_count": {"gen_ai_tool_name", "error_type"},
}


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


def test_the_metrics_have_the_names_and_labels_of_the_documents() -> None:
    metrics = Metrics()
    metrics.observe("POST", "tools/call a", 200, 1.0, call("a"))
    for each in vars(metrics).values():
        if getattr(each, "_labelnames", ()):
            each.labels(*("x" for _ in each._labelnames))

    names = metric_names.check(metrics.registry, "mcp_server")

    documented = {name for name in metric_names.DOCUMENTED if name.startswith("mcp_server_")}
    families = {f"{each.name}{'_total' * (each.type == 'counter')}" for each in metrics.registry.collect()}
    assert (documented - names, families - documented) == (set(), set())
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    counted = [each for each in samples if not each.name.endswith(("_created", "_bucket", "_sum"))]
    assert {each.name: set(each.labels) for each in counted if each.labels} == LABELS


@pytest.mark.parametrize(
    ("method", "operation", "labels"),
    [
        ("PATCH", "resources/read shop://a b", ("PATCH", "resources/read")),
        ("OPTIONS", "-", ("OPTIONS", "-")),
        ("BREW", "batch", ("other", "batch")),
        ("POST", "tools/steal a", ("POST", "other")),
        ("HEAD", "ping", ("HEAD", "ping")),
    ],
)
def test_what_clients_choose_makes_no_new_labels(method: str, operation: str, labels: tuple[str, str]) -> None:
    metrics = Metrics()
    metrics.observe(method, operation, 404, 1.0, CallRecord())

    (counted,) = [
        sample.labels
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "mcp_server_operation_duration_seconds_count"
    ]
    assert (counted["http_request_method"], counted["mcp_method_name"]) == labels
    assert (counted["http_response_status_code"], counted["error_type"]) == ("404", "")


def test_the_seconds_of_a_tool_are_summed() -> None:
    metrics = Metrics()
    for seconds in (1.5, 0.25):
        metrics.observe("POST", "tools/call", 200, seconds, call("a"))

    labels = {"gen_ai_tool_name": "a", "error_type": ""}
    assert metrics.registry.get_sample_value("mcp_server_tool_duration_seconds_sum", labels) == 1.75
