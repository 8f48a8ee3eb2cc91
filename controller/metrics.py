"""The controller's metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cluster.metrics import ApiMetrics

__all__ = ["Metrics"]


class Metrics:
    """One set for one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.leader = Gauge("mcp_operator_leader", "1 while this process leads.", registry=self.registry)
        self.reconciles = Counter(
            "mcp_operator_reconciles", "Reconciles done.", ("kind", "result"), registry=self.registry
        )
        self.duration = Histogram(
            "mcp_operator_reconcile_duration_seconds", "Time of one reconcile.", ("kind",), registry=self.registry
        )
        self.queue = Gauge("mcp_operator_queue_depth", "Keys waiting for work.", registry=self.registry)
        self.writes = Counter("mcp_operator_writes", "Writes to the API.", ("action",), registry=self.registry)
        self.drifted = Gauge(
            "mcp_operator_drifted_tools",
            "Pinned tools that their MCP server no longer lists as they were reviewed.",
            registry=self.registry,
        )
        api = ApiMetrics(self.registry)
        self.refresh_failures, self.watch_ended = api.refresh_failures, api.watch_ended
        self.foreign = Counter(
            "mcp_operator_foreign_objects",
            "Objects seen that carry the labels of the operator and do not belong to it; they are ignored.",
            ("resource",),
            registry=self.registry,
        )
        self.canary = Gauge(
            "mcp_operator_admission_canary_last_success_timestamp_seconds",
            "When the canary was last refused as it should be.",
            registry=self.registry,
        )
        self.canary_failures = Counter(
            "mcp_operator_admission_canary_failures",
            "Canaries that the webhook did not refuse.",
            registry=self.registry,
        )
        self.repairs = Counter(
            "mcp_operator_admission_repairs",
            "Foreign edits of a webhook configuration that were undone.",
            ("configuration",),
            registry=self.registry,
        )
