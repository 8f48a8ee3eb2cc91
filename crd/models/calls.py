"""PURE. How a backend is called: where, with which credentials, how long, how often, and how its reply is read."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from crd.finding import Reason
from crd.models import patterns
from crd.models.amounts import Port, Size
from crd.models.metadata import SET, Duration, LabelName, Model, ObjectName, Rule, distinct, seconds

__all__ = [
    "FORBIDDEN_HEADERS",
    "Breaker",
    "ForwardHeader",
    "ForwardHeaders",
    "HeaderFrom",
    "HeaderName",
    "HeadersFrom",
    "KeyRef",
    "PathTemplate",
    "Pointer",
    "RateLimit",
    "Response",
    "Retries",
    "ServiceRef",
    "Timeout",
    "Tls",
]

BackendPath = Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.SERVICE_PATH)]
PathTemplate = Annotated[str, Field(max_length=1024, pattern=patterns.PATH_TEMPLATE)]
HeaderName = Annotated[str, Field(min_length=1, max_length=64, pattern=patterns.HEADER_NAME)]
Pointer = Annotated[str, Field(max_length=256, pattern=patterns.POINTER)]

# What no argument, claim or forwarded header may set (RFC 9110, 7.6.1, and what others decide by).
FORBIDDEN_HEADERS = (
    "^(host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|authorization|proxy-.*"
    "|cookie|set-cookie|forwarded|x-forwarded-.*|mcp-.*|traceparent|tracestate)$"
)


def _timeout(value: str) -> str:
    if not 0.1 <= seconds(value) <= 600:
        raise ValueError(f'must be from 100ms to 10m, got "{value}"')
    return value


Timeout = Annotated[
    Duration,
    AfterValidator(_timeout),
    Field(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "duration(self) >= duration('100ms') && duration(self) <= duration('10m')",
                    "message": "must be from 100ms to 10m",
                }
            ]
        }
    ),
]


class ServiceRef(Model):
    """A Service of the cluster, and where on it."""

    name: LabelName = Field(description="Name of the Service.")
    namespace: LabelName | None = Field(
        None,
        description="Namespace of the Service. Defaults to the namespace of this object; another one needs a "
        "ReferenceGrant there.",
    )
    port: Port = Field(description="Port of the Service, by number or by name.")
    scheme: Literal["http", "https"] = Field("http", description="Whether the Service is spoken to over TLS.")
    path: BackendPath = Field(
        "/", description="Path of the request, or what http.path is appended to; without query and fragment."
    )


class KeyRef(Model):
    """One key of a Secret or ConfigMap in the namespace of the object."""

    name: ObjectName = Field(description="Name of the object.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.KEY)] = Field(description="Key in it.")


class HeaderFrom(Model):
    """A header whose value comes out of a Secret or a ConfigMap; read at use, so a rotated value needs no restart."""

    rules: ClassVar = (
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "set exactly one of secretKeyRef and configMapKeyRef",
            lambda source: (source.secret_key_ref is None) != (source.config_map_key_ref is None),
            Reason.INVALID_MAPPING,
        ),
        Rule(
            r"!self.name.lowerAscii().matches('^(host|content-.*|transfer-encoding|connection|keep-alive|te|trailer"
            r"|upgrade|mcp-.*)$')",
            "this header is set by the MCP server itself; remove it",
            reason=Reason.UNSAFE_HEADER,
            at=("name",),
        ),
    )

    name: HeaderName = Field(description="Name of the header; Authorization is allowed.")
    prefix: Annotated[str, Field(max_length=64, pattern=patterns.HEADER_TEXT)] = Field(
        "", description='Text before the value, such as "Bearer ".'
    )
    secret_key_ref: KeyRef | None = Field(None, description="The key of a Secret that holds the value.")
    config_map_key_ref: KeyRef | None = Field(None, description="The key of a ConfigMap that holds the value.")


class ForwardHeader(Model):
    """A header of the client's request that is passed on."""

    rules: ClassVar = (
        Rule(
            f"!self.name.lowerAscii().matches('{FORBIDDEN_HEADERS}')",
            "this header must not be forwarded; remove it",
            reason=Reason.UNSAFE_HEADER,
            at=("name",),
        ),
        Rule(
            f"!has(self.backendHeader) || !self.backendHeader.lowerAscii().matches('{FORBIDDEN_HEADERS}')",
            "this header must not be set from a client header; choose another name",
            reason=Reason.UNSAFE_HEADER,
            at=("backendHeader",),
        ),
    )

    name: HeaderName = Field(description="Name of the header in the client's request.")
    backend_header: HeaderName | None = Field(
        None, description="Name under which it is sent to the backend. Defaults to the same."
    )


class Tls(Model):
    """How a backend with scheme https is verified."""

    ca_secret_name: ObjectName | None = Field(
        None, description="Secret whose key ca.crt holds the CAs to trust. Without it, those of the image."
    )
    server_name: Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.HOST)] | None = Field(
        None, description="Name that the certificate has to carry. Without it, that of the Service."
    )
    insecure_skip_verify: bool = Field(False, description="Whether any certificate is taken; for trying out only.")


class Retries(Model):
    """Sends a failed call again. Only what is idempotent by method or by idempotentHint is."""

    attempts: Annotated[int, Field(ge=0, le=5)] = Field(0, description="How often a call is sent again at most.")
    retry_on: Annotated[tuple[Literal["connect", "5xx", "429"], ...], Field(max_length=3), distinct()] = Field(
        ("connect",),
        description="After what: connect (no connection), 5xx, 429 (honouring Retry-After).",
        json_schema_extra={**SET, "default": ["connect"]},
    )


class Breaker(Model):
    """Stops calling a backend that fails."""

    consecutive_failures: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="After so many failures in a row, calls fail at once."
    )
    open_for: Duration = Field("30s", description="For how long, before one call is tried again.")


class RateLimit(Model):
    """A token bucket."""

    requests: Annotated[int, Field(ge=1, le=1000000)] = Field(description="How many requests in a period.")
    period: Duration = Field("1m", description="The period.")
    burst: Annotated[int, Field(ge=1, le=1000000)] | None = Field(
        None, description="How many at once. Without it, as many as requests."
    )


class Response(Model):
    """How a reply is read."""

    format: Literal["Auto", "Json", "Text", "Binary"] = Field(
        "Auto", description="What the reply is. Auto: by its Content-Type."
    )
    select: Pointer | None = Field(
        None, description="JSON Pointer (RFC 6901) to the part of a JSON reply that is the result."
    )
    max_bytes: Size | None = Field(
        None, description="Largest reply, after decompression. Without it, the server's config.maxResponseBytes."
    )
    on_too_large: Literal["Error", "Truncate"] = Field(
        "Error", description="What becomes of a larger one: an error, or its beginning with a note."
    )
    on_schema_mismatch: Literal["Error", "Observe"] = Field(
        "Error",
        description="What becomes of a reply that breaks outputSchema. Observe: it is passed on, and outputSchema is "
        "not shown to clients.",
    )
    expect_status: Annotated[
        tuple[Annotated[str, Field(max_length=3, pattern=patterns.STATUS)], ...],
        Field(min_length=1, max_length=16),
        distinct(),
    ] = Field(
        ("2xx",),
        description="Status codes, or classes such as 2xx, that are a success.",
        json_schema_extra={**SET, "default": ["2xx"]},
    )
    headers: Annotated[tuple[HeaderName, ...], Field(max_length=16), distinct()] = Field(
        (),
        description="Headers of the reply that the client is told.",
        json_schema_extra=SET,
    )


HeadersFrom = Annotated[tuple[HeaderFrom, ...], Field(max_length=16), distinct("name")]
ForwardHeaders = Annotated[tuple[ForwardHeader, ...], Field(max_length=16), distinct("name")]
