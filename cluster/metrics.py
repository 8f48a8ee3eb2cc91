"""What webhook and controller count of their connections to the API server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

__all__ = ["ApiMetrics"]


class ApiMetrics:
    """The counters, in the registry of a program."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._watch_ends = Counter(
            "mcp_operator_watch_ends",
            "Rounds of list and watch that ended other than by the API server's closing a useful watch.",
            ("resource", "end"),
            registry=registry,
        )
        self.refresh_failures = Counter(
            "mcp_operator_credentials_refresh_failures",
            "Times that credentials for the API server could not be read or refreshed.",
            registry=registry,
        )

    def watch_ended(self, resource: str, end: str) -> None:
        """Count the end of a watch; see `cluster.informers.informer.Informer`."""
        self._watch_ends.labels(resource, end).inc()
