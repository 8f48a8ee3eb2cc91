"""The webhook's metrics."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cluster.metrics import ApiMetrics
from crd.manifest import OURS

__all__ = ["Metrics"]

# Past the time-out of the registration, so that a slow answer is seen as one.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One set for one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reviews = Counter(
            "mcp_operator_admission_reviews",
            "Admission reviews answered.",
            ("webhook", "kind", "operation", "verdict"),
            registry=self.registry,
        )
        self.findings = Counter(
            "mcp_operator_admission_findings",
            "Findings of reviews.",
            ("kind", "reason", "level"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "mcp_operator_admission_duration_seconds",
            "Time to answer.",
            ("webhook",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge("mcp_operator_admission_in_flight", "Reviews being answered.", registry=self.registry)
        self.shed = Counter("mcp_operator_admission_shed", "Reviews turned away for overload.", registry=self.registry)
        self.exceeded = Counter(
            "mcp_operator_admission_exceeded",
            "Judgements that were ended because they took too long or too much memory.",
            registry=self.registry,
        )
        self.slow = Counter(
            "mcp_operator_admission_slow",
            "Judgements that took 3 ms of CPU on the event loop; after some, others judge the namespace for 60 s.",
            registry=self.registry,
        )
        self.connections_closed = Counter(
            "mcp_operator_admission_connections_closed",
            "Connections closed at the limit of their number or at a deadline.",
            registry=self.registry,
        )
        self.panics = Counter(
            "mcp_operator_admission_panics", "Reviews that met a bug of ours.", registry=self.registry
        )
        self.objects = Gauge(
            "mcp_operator_admission_snapshot_objects", "Objects in the snapshot.", registry=self.registry
        )
        self.staleness = Gauge(
            "mcp_operator_admission_snapshot_staleness_seconds",
            "Time since the API server last answered or sent an event, of the kind that waits longest.",
            registry=self.registry,
        )
        api = ApiMetrics(self.registry)
        self.refresh_failures, self.watch_ended = api.refresh_failures, api.watch_ended
        # A child is looked up under a lock, which costs as much as a rule; there are few combinations of labels.
        self._review = lru_cache(maxsize=1024)(self.reviews.labels)
        self._finding = lru_cache(maxsize=1024)(self.findings.labels)
        self.latency_of = lru_cache(maxsize=8)(self.latency.labels)

    def count_review(self, webhook: str, kind: str, operation: str, *, allowed: bool) -> None:
        """A review was answered. A kind that is not ours counts as ``other``: labels must be few."""
        kind = kind if kind in OURS else "other"
        self._review(webhook, kind, operation, "allowed" if allowed else "denied").inc()

    def count_finding(self, kind: str, reason: str, level: str) -> None:
        """A review had this finding."""
        self._finding(kind if kind in OURS else "other", reason, level).inc()
