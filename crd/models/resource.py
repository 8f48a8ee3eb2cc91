"""PURE. MCPResource: content in the object itself, or HTTP requests that return it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import calls, patterns
from crd.models.calls import ServiceRef
from crd.models.http import Http
from crd.models.member import MemberSpec, MemberStatus
from crd.models.metadata import (
    ATOMIC,
    SET,
    Description,
    Identifier,
    IngressPath,
    Model,
    Rule,
    distinct,
    list_map,
)

__all__ = ["Content", "Operation", "Parameter", "ResourceAnnotations", "ResourceSpec", "ResourceStatus", "template_of"]


MimeType = Annotated[str, Field(min_length=1, max_length=255)]


class Content(Model):
    """Content in the object itself."""

    rules: ClassVar = (
        Rule(
            "has(self.text) != has(self.blob)",
            "set exactly one of text and blob",
            lambda content: (content.text is None) != (content.blob is None),
            Reason.INVALID_CONTENT,
        ),
    )

    uri: Annotated[str, Field(min_length=1, max_length=2048, pattern=patterns.URI)] = Field(
        description="URI of the resource. It is only an identifier; nothing is fetched from it."
    )
    mime_type: MimeType = Field("text/plain", description="Media type of the content.")
    text: Annotated[str, Field(max_length=262144)] | None = Field(None, description="Content as text.")
    blob: Annotated[str, Field(min_length=4, max_length=349528, pattern=patterns.BASE64)] | None = Field(
        None, description="Content as base64.", json_schema_extra={"format": "byte"}
    )


class Parameter(Model):
    """A parameter of an operation."""

    name: Identifier = Field(description="Name of the parameter.")
    in_: Literal["path", "query", "header"] = Field(
        alias="in",
        description="Where the parameter goes: path fills {name} in the paths; query and header are sent as such.",
    )
    required: bool = Field(
        False, description="Whether clients must provide a value; path parameters are always required."
    )
    description: Description = Field("", description="What the parameter means.")


class Operation(Model):
    """An HTTP operation of a Service."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        "GET",
        description="HTTP method. A GET is also served as a resource, or as a resource template if it has parameters.",
    )
    ingress_path: IngressPath = Field(
        description="Path below the server's pathPrefix at which the operation answers plain HTTP; may "
        "contain {parameter} placeholders."
    )
    service: ServiceRef = Field(description="The backend; its path may contain the same placeholders.")
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=32), distinct("name", "in_")] = Field(
        (), description="Parameters of the operation.", json_schema_extra=list_map("name", "in")
    )
    uri_template: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None,
        description="URI or URI template (RFC 6570 level 1, with {?query}) of a GET. Defaults to "
        "mcp://<name><ingressPath> with the query parameters as {?a,b}.",
    )


class ResourceAnnotations(Model):
    """Hints about what a resource is for (MCP, Annotations)."""

    audience: Annotated[tuple[Literal["user", "assistant"], ...], Field(max_length=2), distinct()] = Field(
        (), description="Intended audience.", json_schema_extra=SET
    )
    priority: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Importance, from 0 (optional) to 1 (required)."
    )


class ResourceSpec(MemberSpec):
    """The desired state of an MCPResource."""

    rules: ClassVar = (
        Rule(
            "(has(self.content) ? 1 : 0) + (has(self.operations) ? 1 : 0) + (has(self.http) ? 1 : 0) == 1",
            "set exactly one of content, operations and http",
            lambda spec: [spec.content, spec.operations, spec.http].count(None) == 2,
            Reason.INVALID_CONTENT,
        ),
        Rule(
            "has(self.http) ? has(self.uri) != has(self.uriTemplate) : !has(self.uri) && !has(self.uriTemplate)",
            "set exactly one of uri and uriTemplate with http, and neither of them without http",
            lambda spec: [spec.uri, spec.uri_template].count(None) == (2 if spec.http is None else 1),
            Reason.INVALID_CONTENT,
        ),
        Rule(
            "has(self.http) == has(self.service)",
            "set both http and service or neither",
            lambda spec: (spec.http is None) == (spec.service is None),
            Reason.INVALID_CONTENT,
        ),
        Rule(
            "!has(self.tls) || (has(self.service) && self.service.scheme == 'https')",
            "tls requires service.scheme https; set it or remove tls",
            lambda spec: spec.tls is None or (spec.service is not None and spec.service.scheme == "https"),
        ),
    )

    mime_type: MimeType | None = Field(
        None, description="Media type of what operations and http return. Defaults to the media type of the reply."
    )
    annotations: ResourceAnnotations | None = Field(None, description="Hints about what the resource is for.")
    content: Content | None = Field(None, description="Content in the object itself.")
    uri: Annotated[str, Field(min_length=1, max_length=2048, pattern=patterns.URI)] | None = Field(
        None, description="URI of the resource that http reads. It is only an identifier; nothing is fetched from it."
    )
    uri_template: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None,
        description="URI template (RFC 6570 level 1, with {+path} and {?query}) of the resources that http "
        "reads; its variables are the arguments of the mapping.",
    )
    service: ServiceRef | None = Field(None, description="Backend of http.")
    http: Http | None = Field(None, description="How the variables of uriTemplate are mapped to a GET request.")
    headers_from: calls.HeadersFrom = ()
    tls: calls.TlsSettings = None
    timeout: calls.CallTimeout = None
    response: calls.ReplySettings = None
    operations: Annotated[tuple[Operation, ...], Field(min_length=1, max_length=32)] | None = Field(
        None,
        description="HTTP operations that return the content.",
        json_schema_extra=ATOMIC,
    )


class ResourceStatus(MemberStatus):
    """The observed state of an MCPResource."""


def template_of(name: str, operation: Operation) -> str:
    """The URI template of a GET operation, by default made from the resource's served name and the ingress path."""
    if operation.uri_template is not None:
        return operation.uri_template
    query = ",".join(parameter.name for parameter in operation.parameters if parameter.in_ == "query")
    return f"mcp://{name}{operation.ingress_path}" + (f"{{?{query}}}" if query else "")
