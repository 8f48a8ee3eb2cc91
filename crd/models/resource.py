"""PURE. MCPResource: content that stands in the object, or HTTP requests that answer with it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import calls, patterns
from crd.models.calls import Response, ServiceRef, Timeout, Tls
from crd.models.http import Http
from crd.models.metadata import (
    ATOMIC,
    SET,
    Description,
    Identifier,
    IngressPath,
    Model,
    Rule,
    ServedBy,
    ServedName,
    Status,
    Title,
    distinct,
    list_map,
)

__all__ = ["Content", "Operation", "Parameter", "ResourceAnnotations", "ResourceSpec", "ResourceStatus", "template_of"]


MimeType = Annotated[str, Field(min_length=1, max_length=255)]


class Content(Model):
    """Content that stands in the object itself."""

    rules: ClassVar = (
        Rule(
            "has(self.text) != has(self.blob)",
            "set exactly one of text and blob",
            lambda content: (content.text is None) != (content.blob is None),
            Reason.INVALID_CONTENT,
        ),
    )

    uri: Annotated[str, Field(min_length=1, max_length=2048, pattern=patterns.URI)] = Field(
        description="URI that clients read it by. A name only: nothing is fetched from it."
    )
    mime_type: MimeType = Field("text/plain", description="Media type of the content.")
    text: Annotated[str, Field(max_length=262144)] | None = Field(None, description="The content as text.")
    blob: Annotated[str, Field(min_length=4, max_length=349528, pattern=patterns.BASE64)] | None = Field(
        None, description="The content as base64 of its bytes.", json_schema_extra={"format": "byte"}
    )


class Parameter(Model):
    """A parameter of an operation."""

    name: Identifier = Field(description="Name of the parameter.")
    in_: Literal["path", "query", "header"] = Field(
        alias="in", description="Where it goes: path fills {name} in the paths, query and header are sent as such."
    )
    required: bool = Field(False, description="Whether a client must give it; a path parameter always must.")
    description: Description = Field("", description="What the parameter means.")


class Operation(Model):
    """One HTTP operation of a Service."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        "GET", description="HTTP method. A GET is also served as a resource, or as a template if it has parameters."
    )
    ingress_path: IngressPath = Field(
        description="Path of the operation's plain-HTTP door below the server's pathPrefix; may hold {parameter}s."
    )
    service: ServiceRef = Field(description="The backend; its path may hold the same {parameter}s.")
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=32), distinct("name", "in_")] = Field(
        (), description="Parameters of the operation.", json_schema_extra=list_map("name", "in")
    )
    uri_template: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None,
        description="URI or URI template (RFC 6570, level 1, and {?query}) that a GET is served at. Defaults to "
        "mcp://<name><ingressPath> with the query parameters as {?a,b}.",
    )


class ResourceAnnotations(Model):
    """Hints about what a resource is for (MCP, Annotations)."""

    audience: Annotated[tuple[Literal["user", "assistant"], ...], Field(max_length=2), distinct()] = Field(
        (), description="For whom it is.", json_schema_extra=SET
    )
    priority: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="How important it is, from 0 (may be left out) to 1 (needed)."
    )


class ResourceSpec(Model):
    """What is wished of an MCPResource."""

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

    name: ServedName | None = Field(None, description="Name that clients see. Defaults to metadata.name.")
    title: Title = Field("", description="Name for people.")
    description: Description = Field("", description="What the resource holds.")
    mime_type: MimeType | None = Field(
        None, description="Media type of what operations and http answer with. Without it, that of the reply."
    )
    annotations: ResourceAnnotations | None = Field(None, description="Hints about what the resource is for.")
    content: Content | None = Field(None, description="Content that stands here.")
    uri: Annotated[str, Field(min_length=1, max_length=2048, pattern=patterns.URI)] | None = Field(
        None, description="URI that http is read at. A name only: nothing is fetched from it."
    )
    uri_template: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None,
        description="URI template (RFC 6570, level 1, {+path} and {?query}) that http is read at; its variables are "
        "the arguments of the mapping.",
    )
    service: ServiceRef | None = Field(None, description="The backend of http.")
    http: Http | None = Field(None, description="How the variables of uriTemplate become a GET request.")
    headers_from: calls.HeadersFrom = Field(
        (),
        description="Headers out of Secrets and ConfigMaps, such as credentials.",
        json_schema_extra=list_map("name"),
    )
    tls: Tls | None = Field(None, description="How a backend with scheme https is verified.")
    timeout: Timeout | None = Field(
        None, description="How long a read may take in all; 100ms to 10m. Without it, config.requestTimeout."
    )
    response: Response | None = Field(None, description="How a reply is read.")
    operations: Annotated[tuple[Operation, ...], Field(min_length=1, max_length=32)] | None = Field(
        None,
        description="HTTP operations that answer with the content.",
        json_schema_extra=ATOMIC,
    )


class ResourceStatus(Status):
    """What became of an MCPResource."""

    servers: Annotated[tuple[ServedBy, ...], Field(max_length=256)] = Field(
        (), description="The servers that select this resource.", json_schema_extra=list_map("name")
    )


def template_of(name: str, operation: Operation) -> str:
    """The URI template a GET operation is served at, by default built from the resource's served name and its door."""
    if operation.uri_template is not None:
        return operation.uri_template
    query = ",".join(parameter.name for parameter in operation.parameters if parameter.in_ == "query")
    return f"mcp://{name}{operation.ingress_path}" + (f"{{?{query}}}" if query else "")
