"""PURE. How a backend is called: address, credentials, timeouts, retries, and how its reply is read."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from crd.finding import Reason
from crd.models import cel, patterns
from crd.models.amounts import Port, Size
from crd.models.metadata import SET, Duration, LabelName, Model, ObjectName, Rule, distinct, list_map, seconds
from crd.published.headers import FORBIDDEN_HEADERS

__all__ = [
    "Breaker",
    "CallTimeout",
    "ForwardHeader",
    "ForwardHeaders",
    "HeaderFrom",
    "HeaderName",
    "HeadersFrom",
    "KeyRef",
    "PathTemplate",
    "Pointer",
    "RateLimit",
    "ReplySettings",
    "Response",
    "Retries",
    "ServiceRef",
    "Timeout",
    "Tls",
    "TlsSettings",
]

BackendPath = Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.SERVICE_PATH)]
PathTemplate = Annotated[str, Field(max_length=1024, pattern=patterns.PATH_TEMPLATE)]
HeaderName = Annotated[str, Field(min_length=1, max_length=64, pattern=patterns.HEADER_NAME)]
Pointer = Annotated[str, Field(max_length=256, pattern=patterns.POINTER)]


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
                    # duration() fails for other texts, and for durations that CEL cannot represent.
                    "rule": f"!self.matches({cel.string(patterns.DURATION)}) || (!self.matches('[1-9][0-9]{{6}}') && "
                    "duration(self) >= duration('100ms') && duration(self) <= duration('10m'))",
                    "message": "must be from 100ms to 10m",
                    "messageExpression": f"'must be from 100ms to 10m, got ' + {cel.QUOTED}",
                }
            ]
        }
    ),
]


class ServiceRef(Model):
    """A Service, and the port and path to call."""

    name: LabelName = Field(description="Name of the Service.")
    namespace: LabelName | None = Field(
        None,
        description="Namespace of the Service. Defaults to the namespace of this object; any other namespace "
        "requires a ReferenceGrant there.",
    )
    port: Port = Field(description="Port of the Service, by number or name.")
    scheme: Literal["http", "https"] = Field("http", description="Protocol of the Service; https uses TLS.")
    path: BackendPath = Field(
        "/", description="Path of the request, without query and fragment; http.path is appended to it."
    )


class KeyRef(Model):
    """A key of a Secret or ConfigMap in the namespace of the object."""

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.KEY)] = Field(
        description="Key in the Secret or ConfigMap."
    )


class HeaderFrom(Model):
    """A header with a value from a Secret or ConfigMap. It is read for each call, so rotation needs no restart."""

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
            quoting="""'"' + self.name + '" is set by the MCP server itself; remove it'""",
        ),
    )

    name: HeaderName = Field(description="Name of the header; Authorization is allowed.")
    prefix: Annotated[str, Field(max_length=64, pattern=patterns.HEADER_TEXT)] = Field(
        "", description='Text before the value, such as "Bearer ".'
    )
    secret_key_ref: KeyRef | None = Field(None, description="Key of a Secret that holds the value.")
    config_map_key_ref: KeyRef | None = Field(None, description="Key of a ConfigMap that holds the value.")


class ForwardHeader(Model):
    """A header of the client request that is forwarded to the backend."""

    rules: ClassVar = (
        Rule(
            f"!self.name.lowerAscii().matches('{FORBIDDEN_HEADERS}')",
            "this header must not be forwarded; remove it",
            reason=Reason.UNSAFE_HEADER,
            at=("name",),
            quoting="""'"' + self.name + '" must not be forwarded; remove it'""",
        ),
        Rule(
            f"!has(self.backendHeader) || !self.backendHeader.lowerAscii().matches('{FORBIDDEN_HEADERS}')",
            "this header must not be set from a client header; choose another name",
            reason=Reason.UNSAFE_HEADER,
            at=("backendHeader",),
            quoting="""'"' + self.backendHeader + '" must not be set from a client header; choose another name'""",
        ),
    )

    name: HeaderName = Field(description="Name of the header in the client request.")
    backend_header: HeaderName | None = Field(
        None, description="Name of the header in the backend request. Defaults to name."
    )


class Tls(Model):
    """How the certificate of an https backend is verified."""

    ca_secret_name: ObjectName | None = Field(
        None,
        description="Secret with the trusted CA certificates under the key ca.crt. Defaults to the CAs of the image.",
    )
    server_name: Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.HOST)] | None = Field(
        None, description="Name that the certificate must contain. Defaults to the name of the Service."
    )
    insecure_skip_verify: bool = Field(False, description="Disables certificate verification; for tests only.")


class Retries(Model):
    """Retries of failed calls; only calls that are idempotent by method or idempotentHint are retried."""

    attempts: Annotated[int, Field(ge=0, le=5)] = Field(0, description="Maximum number of retries.")
    retry_on: Annotated[tuple[Literal["connect", "5xx", "429"], ...], Field(max_length=3), distinct()] = Field(
        ("connect",),
        description="When to retry: connect (connection failed), 5xx, 429 (after the delay in Retry-After).",
        json_schema_extra={**SET, "default": ["connect"]},
    )


class Breaker(Model):
    """A circuit breaker: stops calling a failing backend."""

    consecutive_failures: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="Number of consecutive failures (no answer, or 502, 503 or 504) after which calls fail immediately."
    )
    open_for: Duration = Field("30s", description="How long calls fail immediately before one call is tried again.")


class RateLimit(Model):
    """A token bucket."""

    requests: Annotated[int, Field(ge=1, le=1000000)] = Field(description="Number of requests per period.")
    period: Duration = Field("1m", description="Length of the period.")
    burst: Annotated[int, Field(ge=1, le=1000000)] | None = Field(
        None, description="Maximum number of requests at once. Defaults to requests."
    )


class Response(Model):
    """How a reply is read."""

    format: Literal["Auto", "Json", "Text", "Binary"] = Field(
        "Auto", description="Format of the reply. Auto: determined by its Content-Type."
    )
    select: Pointer | None = Field(
        None, description="JSON Pointer (RFC 6901) to the part of a JSON reply that becomes the result."
    )
    max_bytes: Size | None = Field(
        None,
        description="Maximum size of a reply after decompression. Defaults to config.maxResponseBytes of the server.",
    )
    on_too_large: Literal["Error", "Truncate"] = Field(
        "Error",
        description="What happens if a reply is larger than maxBytes. Error: the call fails. Truncate: the "
        "beginning is returned with a note.",
    )
    on_schema_mismatch: Literal["Error", "Observe"] = Field(
        "Error",
        description="What happens if a reply does not match outputSchema. Error: the call fails. Observe: "
        "the reply is returned, and outputSchema is not shown to clients.",
    )
    expect_status: Annotated[
        tuple[Annotated[str, Field(max_length=3, pattern=patterns.STATUS)], ...],
        Field(min_length=1, max_length=16),
        distinct(),
    ] = Field(
        ("2xx",),
        description="Status codes, or classes such as 2xx, that count as success.",
        json_schema_extra={**SET, "default": ["2xx"]},
    )
    headers: Annotated[tuple[HeaderName, ...], Field(max_length=16), distinct()] = Field(
        (),
        description="Headers of the reply that are passed on to the client.",
        json_schema_extra=SET,
    )


# Fields that tools and resources share, each with its description.
HeadersFrom = Annotated[
    tuple[HeaderFrom, ...],
    Field(
        max_length=16,
        description="Headers with values from Secrets and ConfigMaps, such as credentials.",
        json_schema_extra=list_map("name"),
    ),
    distinct("name"),
]
TlsSettings = Annotated[Tls | None, Field(description="How the certificate of an https backend is verified.")]
CallTimeout = Annotated[
    Timeout | None,
    Field(
        description="Maximum duration of a call, including retries; from 100ms to 10m. Defaults to "
        "config.requestTimeout of the server, which is also the upper limit."
    ),
]
ReplySettings = Annotated[Response | None, Field(description="How a reply is read.")]
ForwardHeaders = Annotated[tuple[ForwardHeader, ...], Field(max_length=16), distinct("name")]
