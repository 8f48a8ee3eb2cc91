"""The server's metrics; the duration is named by the OpenTelemetry conventions for MCP."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Metrics"]


class Metrics:
    """One set for one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.duration = Histogram(
            "mcp_server_operation_duration_seconds",
            "Time of one request.",
            ("http_request_method", "mcp_method_name", "http_response_status_code"),
            registry=self.registry,
        )
        self.shed = Counter("mcp_server_shed", "Requests turned away for overload.", registry=self.registry)
        self.swaps = Counter("mcp_server_catalog_swaps", "Catalogs taken into service.", registry=self.registry)
        self.tools = Gauge("mcp_server_tools", "Tools in service.", registry=self.registry)
