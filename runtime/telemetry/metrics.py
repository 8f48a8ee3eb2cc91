"""The server's metrics; the duration is named by the OpenTelemetry conventions for MCP."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.mcp import eras

__all__ = ["Metrics"]

_VERBS = ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD")
_WHATS = (*eras.METHODS, "initialize", "ping", "batch", "door", "-")


class Metrics:
    """One set for one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "mcp_server_operation_duration_seconds",
            "Time of one request.",
            ("http_request_method", "mcp_method_name", "http_response_status_code"),
            registry=self.registry,
        )
        self.shed = Counter("mcp_server_shed", "Requests turned away for overload.", registry=self.registry)
        self.denied = Counter(
            "mcp_server_denied",
            "Requests that were not let in.",
            ("http_response_status_code",),
            registry=self.registry,
        )
        self.limited = Counter(
            "mcp_server_rate_limited", "Requests over a rate limit.", ("scope",), registry=self.registry
        )
        self.uncounted = Counter(
            "mcp_server_limit_store_failures",
            "Requests whose rate limits could not be counted, because Redis did not answer.",
            registry=self.registry,
        )
        self.swaps = Counter("mcp_server_catalog_swaps", "Catalogs taken into service.", registry=self.registry)
        self.tools = Gauge("mcp_server_tools", "Tools in service.", registry=self.registry)

    def observe(self, verb: str, what: str, status: int, seconds: float) -> None:
        """Count one request. Words that we do not know are one label, however many a client thinks up."""
        method = what.partition(" ")[0]
        labels = (verb if verb in _VERBS else "other", method if method in _WHATS else "other", str(status))
        self._duration.labels(*labels).observe(seconds)
