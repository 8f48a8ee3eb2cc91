"""PURE. How a backend is called: credentials, timeout, retries, TLS, and how a reply is read.

Part of an entry of a published catalog (`crd.published.entries`). Durations are in seconds, sizes in bytes. Loads
without pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Breaker", "Bucket", "ForwardHeader", "HeaderFrom", "Policy", "Response", "Retries", "Tls"]


@dataclass(frozen=True, slots=True)
class HeaderFrom:
    """A header with a value from a mounted Secret or ConfigMap (``kind``), which is read for each call."""

    name: str
    kind: str
    object: str
    key: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class ForwardHeader:
    """A header of the client request that is forwarded to the backend as ``backend_header``."""

    name: str
    backend_header: str


@dataclass(frozen=True, slots=True)
class Tls:
    """How the certificate of an https backend is verified. ``ca_secret`` names a Secret with the key ``ca.crt``."""

    ca_secret: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Retries:
    """The maximum number of retries, and the failures that are retried: connect, 5xx, 429."""

    attempts: int = 0
    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Breaker:
    """After ``consecutive_failures``, calls fail immediately for ``open_for`` seconds."""

    consecutive_failures: int
    open_for: float = 30.0


@dataclass(frozen=True, slots=True)
class Response:
    """How a reply is read. ``format`` is Auto, Json, Text or Binary; ``select`` a JSON Pointer."""

    format: str = "Auto"
    select: str = ""
    max_bytes: int | None = None
    on_too_large: str = "Error"
    on_schema_mismatch: str = "Error"
    expect_status: tuple[str, ...] = ("2xx",)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: ``requests`` per ``period``, at most ``burst`` at once (0: as many as ``requests``)."""

    requests: int
    period: float
    burst: int = 0

    @property
    def capacity(self) -> int:
        """The maximum number of requests at once."""
        return self.burst or self.requests


@dataclass(frozen=True, slots=True)
class Policy:
    """How a backend is called. ``timeout`` limits the whole call, including retries."""

    timeout: float | None = None
    retries: Retries = field(default_factory=Retries)
    breaker: Breaker | None = None
    concurrency: int | None = None
    tls: Tls | None = None
    headers_from: tuple[HeaderFrom, ...] = ()
    forward_headers: tuple[ForwardHeader, ...] = ()
    response: Response = field(default_factory=Response)
