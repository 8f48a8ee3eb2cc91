"""PURE. MCPTool: an HTTP endpoint of a Service, or a tool of another MCP server, served as a tool."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import calls
from crd.models.calls import Breaker, RateLimit, Retries, ServiceRef
from crd.models.http import Http, Mcp
from crd.models.member import MemberSpec, MemberStatus
from crd.models.metadata import (
    IngressPath,
    Model,
    Rule,
    list_map,
)

__all__ = ["ToolAnnotations", "ToolSpec", "ToolStatus"]

SCHEMA: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


class ToolAnnotations(Model):
    """Hints about what a call does (MCP, ToolAnnotations); clients use them to decide whether to ask the user."""

    read_only_hint: bool | None = Field(None, description="Whether the tool only reads.")
    destructive_hint: bool | None = Field(None, description="Whether a call may destroy data.")
    idempotent_hint: bool | None = Field(
        None, description="Whether a repeated call has no additional effect; retries rely on it."
    )
    open_world_hint: bool | None = Field(
        None, description="Whether the tool interacts with systems other than the backend."
    )


class ToolSpec(MemberSpec):
    """The desired state of an MCPTool."""

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
            "a retried request of this method may take effect twice; remove spec.retries or, if the backend handles "
            "repeated requests, set annotations.idempotentHint to true",
            reason=Reason.UNSAFE_RETRY,
            at=("retries",),
            quoting="'a retried ' + self.method + ' request may take effect twice; remove spec.retries or, if the "
            "backend handles repeated requests, set annotations.idempotentHint to true'",
        ),
    )

    annotations: ToolAnnotations | None = Field(None, description="Hints about what a call does.")
    service: ServiceRef = Field(description="The backend; calls are sent to no other address.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="HTTP method.")
    http: Http | None = Field(
        None,
        description="How arguments are mapped to a request. Defaults to the JSON body of POST, PUT and "
        "PATCH, otherwise to the query.",
    )
    mcp: Mcp | None = Field(None, description="Set if the backend is an MCP server.")
    input_schema: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object"},
        description="JSON Schema (2020-12) of the arguments, with root type object. Arguments are validated "
        "before anything is sent.",
        json_schema_extra={**SCHEMA, "default": {"type": "object"}},
    )
    output_schema: dict[str, Any] | None = Field(
        None,
        description="JSON Schema (2020-12) of the structured result, with root type object. Replies are "
        "validated against it.",
        json_schema_extra=SCHEMA,
    )
    headers_from: calls.HeadersFrom = ()
    forward_headers: calls.ForwardHeaders = Field(
        (),
        description="Headers of the client request that are forwarded to the backend.",
        json_schema_extra=list_map("name"),
    )
    tls: calls.TlsSettings = None
    timeout: calls.CallTimeout = None
    retries: Retries | None = Field(None, description="Retries of failed calls.")
    circuit_breaker: Breaker | None = Field(None, description="Stops calling a failing backend. Off by default.")
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="Maximum number of concurrent calls of this tool per pod. A pod has at most three quarters of "
        "the server's maxConcurrentRequests in progress at one backend.",
    )
    response: calls.ReplySettings = None
    rate_limit: RateLimit | None = Field(None, description="Rate limit of the tool on each server.")
    ingress_path: IngressPath | None = Field(
        None,
        description="Path below the server's pathPrefix at which the tool answers plain HTTP: POST with the "
        "arguments as JSON.",
    )
    enabled: bool = Field(
        True,
        description="Whether the tool is served. With false it is not served and its name is free.",
        json_schema_extra={"default": True},
    )


class ToolStatus(MemberStatus):
    """The observed state of an MCPTool."""

    resolved_endpoint: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="Endpoint that calls are sent to."
    )
    schema_hash: Annotated[str, Field(max_length=80)] | None = Field(
        None, description="Digest of inputSchema and outputSchema; it changes when they change."
    )
    context_bytes: int | None = Field(None, description="Size of the tool in a list of tools, in bytes of JSON.")
    context_tokens: int | None = Field(
        None, description="Estimated number of tokens that a model reads of the tool; within 15 % of o200k_base."
    )
