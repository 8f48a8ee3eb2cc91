"""PURE. MCPResource: content that stands in the object, or HTTP operations that answer with it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.models import patterns
from crd.models.metadata import (
    Description,
    Identifier,
    IngressPath,
    Model,
    Rule,
    ServedBy,
    ServedName,
    ServiceRef,
    Status,
    distinct,
    list_map,
)

__all__ = ["Content", "Operation", "Parameter", "ResourceSpec", "ResourceStatus", "template_of"]


class Content(Model):
    """Content that stands in the object itself."""

    rules: ClassVar = (
        Rule(
            "has(self.text) != has(self.blob)",
            "content holds exactly one of text and blob; remove or add one",
            lambda content: (content.text is None) != (content.blob is None),
        ),
    )

    uri: Annotated[str, Field(min_length=1, max_length=2048, pattern=patterns.URI)] = Field(
        description="URI that clients read it by. A name only: nothing is fetched from it."
    )
    mime_type: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        "text/plain", description="Media type of the content."
    )
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


class ResourceSpec(Model):
    """What is wished of an MCPResource."""

    rules: ClassVar = (
        Rule(
            "has(self.content) != has(self.operations)",
            "a resource holds exactly one of content and operations; remove or add one",
            lambda spec: (spec.content is None) != (spec.operations is None),
        ),
    )

    name: ServedName | None = Field(None, description="Name that clients see. Defaults to metadata.name.")
    description: Description = Field("", description="What the resource holds.")
    content: Content | None = Field(None, description="Content that stands here.")
    operations: Annotated[tuple[Operation, ...], Field(min_length=1, max_length=32)] | None = Field(
        None,
        description="HTTP operations that answer with the content.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
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
