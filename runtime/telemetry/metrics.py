"""The server's metrics, named after the OpenTelemetry semantic conventions for MCP, version 1.39.0.

`docs/operations/README.md` lists them. Labels are bounded: methods, statuses and codes are fixed sets, and tools are
those of the catalog, at most `MAX_TOOLS` of them.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Exemplar, HistogramMetricFamily, SummaryMetricFamily

from runtime.mcp import eras

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from prometheus_client.core import Metric

    from runtime.telemetry.call_record import CallRecord

__all__ = ["MAX_TOOLS", "Metrics"]

_HTTP_METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD")
_OPERATIONS = frozenset((*eras.METHODS, "initialize", "ping", "batch", "rest", "listen", "-"))
# Seconds: those of the conventions, and three below.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_BOUNDS = (*map(str, _BUCKETS), "+Inf")
# Tools that are called later share the name "other". The page of metrics is made by the loop that answers calls.
MAX_TOOLS = 2000
OTHER = "other"


class _Observed:
    """How often each bucket was hit, the sum of all seconds, and of each bucket the last trace and its seconds."""

    __slots__ = ("counts", "sum", "traces")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.sum = 0.0
        self.traces: dict[int, tuple[str, float]] = {}


class _Durations:
    """A collector of the durations of operations and of the calls of tools. Only the event loop changes it."""

    def __init__(self) -> None:
        self._operations: dict[tuple[str, str, int, str], _Observed] = {}
        self._tools: dict[tuple[str, str], tuple[int, float]] = {}
        self._names: set[str] = set()

    def observe(self, key: tuple[str, str, int, str], seconds: float, trace_id: str) -> None:
        observed = self._operations.get(key)
        if observed is None:
            observed = self._operations[key] = _Observed()
        bucket = bisect_left(_BUCKETS, seconds)
        observed.counts[bucket] += 1
        observed.sum += seconds
        if trace_id:
            observed.traces[bucket] = (trace_id, seconds)

    def observe_tool(self, name: str, error_type: str, seconds: float) -> None:
        if name not in self._names:
            if len(self._names) < MAX_TOOLS:
                self._names.add(name)
            else:
                name = OTHER
        number, total = self._tools.get((name, error_type), (0, 0.0))
        self._tools[name, error_type] = number + 1, total + seconds

    def keep_tools(self, names: Container[str]) -> None:
        """Forget the tools that are in the catalog no more."""
        self._names = {name for name in self._names if name in names}
        self._tools = {key: count for key, count in self._tools.items() if key[0] in self._names or key[0] == OTHER}

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        operations = HistogramMetricFamily(
            "mcp_server_operation_duration_seconds",
            "Duration of requests.",
            labels=("http_request_method", "mcp_method_name", "http_response_status_code", "error_type"),
        )
        for (method, operation, status, error), observed in self._operations.items():
            total, buckets = 0, list[tuple[str, float] | tuple[str, float, Exemplar]]()
            for index, bound in enumerate(_BOUNDS):
                total += observed.counts[index]
                trace = observed.traces.get(index)
                exemplar = (Exemplar({"trace_id": trace[0]}, trace[1]),) if trace else ()
                buckets.append((bound, total, *exemplar))
            operations.add_metric((method, operation, str(status), error), buckets, observed.sum)
        yield operations
        tools = SummaryMetricFamily(
            "mcp_server_tool_duration_seconds",
            "Duration of the calls of a tool.",
            labels=("gen_ai_tool_name", "error_type"),
        )
        for labels, (number, seconds) in self._tools.items():
            tools.add_metric(labels, number, seconds)
        yield tools


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._durations = _Durations()
        self.registry.register(self._durations)
        self.shed = Counter(
            "mcp_server_shed",
            "Requests rejected because too many were in progress.",
            registry=self.registry,
        )
        self.in_progress = Gauge("mcp_server_in_progress", "Requests that are being answered.", registry=self.registry)
        self.closed = Counter(
            "mcp_server_connections_closed",
            "Connections closed because there were too many, or because a client sent or received too slowly.",
            registry=self.registry,
        )
        self.denied = Counter(
            "mcp_server_denied",
            "Requests rejected by authentication or authorization.",
            ("http_response_status_code",),
            registry=self.registry,
        )
        self.failed_calls = Counter(
            "mcp_server_backend_call_failures",
            "Calls to backends that failed, by what went wrong and what became of the request.",
            ("code", "request"),
            registry=self.registry,
        )
        self._failed: dict[tuple[str, str], Counter] = {}
        self.retries = Counter(
            "mcp_server_backend_retries",
            "Attempts that were followed by another one, by what went wrong.",
            ("code",),
            registry=self.registry,
        )
        self.breakers = Gauge(
            "mcp_server_circuit_breakers_open",
            "Circuit breakers that are open or half open.",
            registry=self.registry,
        )
        self.breakers_opened = Counter(
            "mcp_server_circuit_breaker_openings", "Circuit breakers that opened.", registry=self.registry
        )
        self.unexpected = Counter(
            "mcp_server_unexpected_errors", "Requests that ended in an unexpected exception.", registry=self.registry
        )
        self.drifted = Gauge(
            "mcp_server_pinned_tools_drifted",
            "Pinned tools that their MCP server no longer lists as they were reviewed.",
            registry=self.registry,
        )
        self.probes = Counter(
            "mcp_server_pin_probes",
            "Comparisons of pinned tools with the list of their MCP server.",
            ("result",),
            registry=self.registry,
        )
        self.limited = Counter(
            "mcp_server_rate_limited", "Requests rejected by a rate limit.", ("scope",), registry=self.registry
        )
        self.uncounted = Counter(
            "mcp_server_limit_store_failures",
            "Requests not counted against rate limits because Redis was unavailable.",
            registry=self.registry,
        )
        self.swaps = Counter("mcp_server_catalog_swaps", "Catalogs put into service.", registry=self.registry)
        self.loaded = Gauge(
            "mcp_server_catalog_loaded_timestamp_seconds",
            "Unix time at which the catalog in service was loaded.",
            registry=self.registry,
        )
        self.is_stale = Gauge(
            "mcp_server_catalog_stale",
            "1 if the newest catalog was rejected, so that an older one is in service.",
            registry=self.registry,
        )
        self.rejected = Counter(
            "mcp_server_catalog_rejections",
            "Catalogs that were not put into service.",
            ("reason",),
            registry=self.registry,
        )
        self.restarts = Counter(
            "mcp_server_task_restarts",
            "How often a task of the process, such as the watch of the catalog, failed and was started again.",
            registry=self.registry,
        )
        self.spans = Counter(
            "mcp_server_spans",
            "Spans of sampled traces: exported, failed (the collector took them not), or dropped before a full queue.",
            ("outcome",),
            registry=self.registry,
        )
        self.streams = Gauge("mcp_server_streams", "Streams on which clients listen.", registry=self.registry)
        self.ended_streams = Counter(
            "mcp_server_streams_ended", "Streams that ended, by why.", ("reason",), registry=self.registry
        )
        self.notified = Counter(
            "mcp_server_notifications",
            "Notifications on streams that a list has changed.",
            ("list",),
            registry=self.registry,
        )
        self.tools = Gauge("mcp_server_tools", "Tools in service.", registry=self.registry)

    def observe(self, http_method: str, operation: str, status: int, seconds: float, call: CallRecord) -> None:
        """Count one request. Unknown methods share the label "other", so clients cannot create new labels."""
        mcp_method = operation.partition(" ")[0]
        error = call.error_type
        key = (
            http_method if http_method in _HTTP_METHODS else OTHER,
            mcp_method if mcp_method in _OPERATIONS else OTHER,
            status,
            error,
        )
        self._durations.observe(key, seconds, call.trace_id)
        if call.tool is not None:
            self._durations.observe_tool(call.tool.name, error, seconds)

    def count_failed_call(self, code: str, fate: str) -> None:
        """Count a call of a backend. Its counter is remembered: to find it by its labels takes longer than to count."""
        counter = self._failed.get((code, fate))
        if counter is None:
            counter = self._failed[code, fate] = self.failed_calls.labels(code, fate)
        counter.inc()

    def keep_tools(self, names: Container[str]) -> None:
        """Forget the tools that are in the catalog no more."""
        self._durations.keep_tools(names)
