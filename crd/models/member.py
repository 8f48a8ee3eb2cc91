"""PURE. What MCPTool, MCPPrompt and MCPResource have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crd.models.metadata import (
    SET,
    Description,
    Model,
    ObjectName,
    ServedName,
    Status,
    Title,
    distinct,
    list_map,
)

__all__ = ["MemberSpec", "MemberStatus", "ServedBy"]


class MemberSpec(Model):
    """The desired state of an object that servers select."""

    name: ServedName | None = Field(None, description="Name that clients see. Defaults to metadata.name.")
    title: Title = Field("", description="Human-readable name.")
    description: Description = Field("", description="What it does or contains and when to use it, for the model.")
    required_scopes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=16), distinct()
    ] = Field(
        (),
        description="Scopes that a client's token must have; all are required. For any other client the object does "
        "not exist.",
        json_schema_extra=SET,
    )


class ServedBy(Model):
    """A server that selects the object."""

    name: ObjectName = Field(description="Name of the MCPServer, in the same namespace.")
    served_name: Annotated[str, Field(max_length=2048)] = Field(
        "", description="Name or URI under which the server serves the object."
    )
    accepted: bool = Field(
        description="Whether the server serves the object; false if another object already uses the name."
    )


class MemberStatus(Status):
    """The observed state of an object that servers select."""

    servers: Annotated[tuple[ServedBy, ...], Field(max_length=256)] = Field(
        (), description="The servers that select the object.", json_schema_extra=list_map("name")
    )
