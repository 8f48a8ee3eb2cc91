"""The server's metrics. The request duration follows the OpenTelemetry conventions for MCP."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.mcp import eras

__all__ = ["Metrics"]

_HTTP_METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD")
_OPERATIONS = (*eras.METHODS, "initialize", "ping", "batch", "rest", "-")


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "mcp_server_operation_duration_seconds",
            "Duration of requests.",
            ("http_request_method", "mcp_method_name", "http_response_status_code"),
            registry=self.registry,
        )
        # The children of the histogram: as many as there are methods and statuses.
        self._durations: dict[tuple[str, str, int], Histogram] = {}
        self.shed = Counter(
            "mcp_server_shed",
            "Requests rejected because too many were in progress.",
            registry=self.registry,
        )
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
        self.unexpected = Counter(
            "mcp_server_unexpected_errors", "Requests that ended in an unexpected exception.", registry=self.registry
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
        self.rejected = Counter(
            "mcp_server_catalog_rejections",
            "Catalogs that were not put into service.",
            ("reason",),
            registry=self.registry,
        )
        self.tools = Gauge("mcp_server_tools", "Tools in service.", registry=self.registry)

    def observe(self, http_method: str, operation: str, status: int, seconds: float) -> None:
        """Count one request. Unknown methods share the label "other", so clients cannot create new labels."""
        mcp_method = operation.partition(" ")[0]
        key = (
            http_method if http_method in _HTTP_METHODS else "other",
            mcp_method if mcp_method in _OPERATIONS else "other",
            status,
        )
        child = self._durations.get(key)
        if child is None:
            child = self._durations[key] = self._duration.labels(key[0], key[1], str(status))
        child.observe(seconds)
