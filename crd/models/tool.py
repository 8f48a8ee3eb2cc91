"""PURE. MCPTool: an HTTP endpoint of a Service, offered as a tool."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from crd.models.metadata import Description, IngressPath, Model, ServedBy, ServedName, ServiceRef, Status, list_map

__all__ = ["ToolSpec", "ToolStatus"]


class ToolSpec(Model):
    """What is wished of an MCPTool."""

    name: ServedName | None = Field(None, description="Name that clients see. Defaults to metadata.name.")
    description: Description = Field("", description="What the tool does, for the model that chooses among tools.")
    service: ServiceRef = Field(description="The backend: the only place that calls go to.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        "POST",
        description="HTTP method. POST, PUT and PATCH send the arguments as a JSON body, GET and DELETE as the query.",
    )
    input_schema: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object"},
        description="JSON Schema (2020-12) of the arguments; its root type is object. Arguments are checked against it "
        "before anything is sent.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "default": {"type": "object"}},
    )
    ingress_path: IngressPath | None = Field(
        None, description="Path of a plain-HTTP door to the tool below the server's pathPrefix: POST arguments as JSON."
    )


class ToolStatus(Status):
    """What became of an MCPTool."""

    resolved_endpoint: Annotated[str, Field(max_length=2048)] | None = Field(None, description="Where calls go.")
    servers: Annotated[tuple[ServedBy, ...], Field(max_length=256)] = Field(
        (), description="The servers that select this tool.", json_schema_extra=list_map("name")
    )
