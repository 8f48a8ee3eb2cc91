"""The metrics of the webhook have the names of the documents, and the labels that they are counted by."""

from __future__ import annotations

from prometheus_client import generate_latest

from tests import metric_names
from webhook.metrics import Metrics


def test_the_metrics_have_plain_names_and_descriptions() -> None:
    metrics = Metrics()

    names = metric_names.check(metrics.registry, "mcp_operator")

    documented = {name for name in metric_names.DOCUMENTED if name.startswith("mcp_operator_admission_")}
    assert documented - names == {name for name in documented if "canary" in name or "repairs" in name}


def test_what_is_counted_is_shown_with_its_labels() -> None:
    metrics = Metrics()
    metrics.count_review("validate", "MCPTool", "CREATE", allowed=True)
    metrics.count_review("validate", "Pod", "CREATE", allowed=False)
    metrics.count_finding("MCPTool", "NameConflict", "error")
    metrics.count_finding("Pod", "NameConflict", "warning")
    metrics.watch_ended("mcptools", "expired")
    with metrics.latency_of("validate").time():
        pass

    shown = [line for line in generate_latest(metrics.registry).decode().splitlines() if not line.startswith("#")]
    for line in (
        'reviews_total{kind="MCPTool",operation="CREATE",verdict="allowed",webhook="validate"} 1.0',
        'reviews_total{kind="other",operation="CREATE",verdict="denied",webhook="validate"} 1.0',
        'findings_total{kind="MCPTool",level="error",reason="NameConflict"} 1.0',
        'findings_total{kind="other",level="warning",reason="NameConflict"} 1.0',
        'duration_seconds_count{webhook="validate"} 1.0',
    ):
        assert f"mcp_operator_admission_{line}" in shown
    assert 'mcp_operator_watch_ends_total{end="expired",resource="mcptools"} 1.0' in shown
    metric_names.check(metrics.registry, "mcp_operator")
