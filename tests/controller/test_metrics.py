"""The metrics of the controller have the names of the documents."""

from __future__ import annotations

from controller.metrics import Metrics
from tests import metric_names


def test_the_metrics_have_plain_names_and_descriptions() -> None:
    metrics = Metrics()
    for counter in (metrics.reconciles, metrics.writes, metrics.foreign, metrics.repairs):
        counter.labels(*("x" for _ in counter._labelnames))
    metrics.duration.labels("MCPTool")
    metrics.watch_ended("mcptools", "expired")

    names = metric_names.check(metrics.registry, "mcp_operator")

    documented = {name for name in metric_names.DOCUMENTED if name.startswith("mcp_operator_")}
    others = {name for name in documented if name.startswith("mcp_operator_admission_") and "canary" not in name}
    assert documented - others - names == set()
    labels = {sample.name: set(sample.labels) for family in metrics.registry.collect() for sample in family.samples}
    assert labels["mcp_operator_reconciles_total"] == {"kind", "result"}
    assert labels["mcp_operator_watch_ends_total"] == {"resource", "end"}
    assert labels["mcp_operator_foreign_objects_total"] == {"resource"}
    assert labels["mcp_operator_writes_total"] == {"action"}
    assert labels["mcp_operator_reconcile_duration_seconds_count"] == {"kind"}
    assert labels["mcp_operator_admission_repairs_total"] == {"configuration"}
