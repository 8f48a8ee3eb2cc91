"""PURE. MCPTool: an HTTP endpoint of a Service, or a tool of another MCP server, offered as a tool."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import calls
from crd.models.calls import Breaker, RateLimit, Response, Retries, ServiceRef, Timeout, Tls
from crd.models.http import Http, Mcp
from crd.models.metadata import (
    Description,
    IngressPath,
    Model,
    Rule,
    ServedBy,
    ServedName,
    Status,
    Title,
    list_map,
)

__all__ = ["ToolAnnotations", "ToolSpec", "ToolStatus"]

SCHEMA: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


class ToolAnnotations(Model):
    """Hints about what a call does (MCP, ToolAnnotations); clients decide by them whether to ask a person."""

    read_only_hint: bool | None = Field(None, description="Whether a call changes nothing.")
    destructive_hint: bool | None = Field(None, description="Whether a call may destroy something.")
    idempotent_hint: bool | None = Field(
        None, description="Whether a repeated call has no further effect; retries rely on it."
    )
    open_world_hint: bool | None = Field(None, description="Whether a call reaches beyond this backend.")


class ToolSpec(Model):
    """What is wished of an MCPTool."""

    rules: ClassVar = (
        Rule(
            "!(has(self.http) && has(self.mcp))",
            "http and mcp are mutually exclusive; remove one of the two",
            lambda spec: spec.http is None or spec.mcp is None,
            Reason.INVALID_MAPPING,
        ),
        Rule(
            "!has(self.tls) || self.service.scheme == 'https'",
            "tls requires service.scheme https; set it or remove tls",
            lambda spec: spec.tls is None or spec.service.scheme == "https",
        ),
        Rule(
            "!has(self.retries) || self.retries.attempts == 0 || self.method in ['GET', 'PUT', 'DELETE'] || "
            "(has(self.annotations) && has(self.annotations.idempotentHint) && self.annotations.idempotentHint)",
            "a retried request of this method may take effect twice; remove retries or, if the backend handles "
            "repeated requests, set annotations.idempotentHint to true",
            reason=Reason.UNSAFE_RETRY,
            at=("retries",),
        ),
    )

    name: ServedName | None = Field(None, description="Name that clients see. Defaults to metadata.name.")
    title: Title = Field("", description="Name for people.")
    description: Description = Field("", description="What the tool does, for the model that chooses among tools.")
    annotations: ToolAnnotations | None = Field(None, description="Hints about what a call does.")
    service: ServiceRef = Field(description="The backend: the only place that calls go to.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="HTTP method.")
    http: Http | None = Field(
        None,
        description="How arguments become a request. Without it: the JSON body of POST, PUT and PATCH, else the query.",
    )
    mcp: Mcp | None = Field(None, description="Says that the backend speaks MCP itself.")
    input_schema: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object"},
        description="JSON Schema (2020-12) of the arguments; its root type is object. Arguments are checked against it "
        "before anything is sent.",
        json_schema_extra={**SCHEMA, "default": {"type": "object"}},
    )
    output_schema: dict[str, Any] | None = Field(
        None,
        description="JSON Schema (2020-12) of the structured result; its root type is object. Replies are held to it.",
        json_schema_extra=SCHEMA,
    )
    headers_from: calls.HeadersFrom = Field(
        (),
        description="Headers out of Secrets and ConfigMaps, such as credentials.",
        json_schema_extra=list_map("name"),
    )
    forward_headers: calls.ForwardHeaders = Field(
        (), description="Headers of the client's request that are passed on.", json_schema_extra=list_map("name")
    )
    tls: Tls | None = Field(None, description="How a backend with scheme https is verified.")
    timeout: Timeout | None = Field(
        None,
        description="How long a call may take in all, retries included; 100ms to 10m. Without it, the server's "
        "config.requestTimeout, which also bounds it.",
    )
    retries: Retries | None = Field(None, description="Sends a failed call again.")
    circuit_breaker: Breaker | None = Field(None, description="Stops calling a backend that fails. Off by default.")
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="How many calls of this tool a pod has in progress at most."
    )
    response: Response | None = Field(None, description="How a reply is read.")
    rate_limit: RateLimit | None = Field(None, description="How often the tool may be called on each server.")
    ingress_path: IngressPath | None = Field(
        None, description="Path of a plain-HTTP door to the tool below the server's pathPrefix: POST arguments as JSON."
    )
    enabled: bool = Field(
        True,
        description="Whether the tool is served. False takes it out of service and frees its name.",
        json_schema_extra={"default": True},
    )


class ToolStatus(Status):
    """What became of an MCPTool."""

    resolved_endpoint: Annotated[str, Field(max_length=2048)] | None = Field(None, description="Where calls go.")
    servers: Annotated[tuple[ServedBy, ...], Field(max_length=256)] = Field(
        (), description="The servers that select this tool.", json_schema_extra=list_map("name")
    )
    schema_hash: Annotated[str, Field(max_length=80)] | None = Field(
        None, description="Digest of inputSchema and outputSchema, to see from afar that they changed."
    )
