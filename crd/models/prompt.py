"""PURE. MCPPrompt: a text with placeholders, offered as a prompt."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from crd.models.metadata import (
    Description,
    Identifier,
    IngressPath,
    Model,
    Rule,
    ServedBy,
    ServedName,
    Status,
    distinct,
    list_map,
)

__all__ = ["PromptSpec", "PromptStatus", "Variable"]


class Variable(Model):
    """One argument of a prompt."""

    rules: ClassVar = (
        Rule(
            "!(has(self.required) && self.required && has(self.default))",
            "a required variable never uses its default; remove required or default",
            lambda variable: not (variable.required and variable.default is not None),
        ),
    )

    name: Identifier = Field(description="Name of the argument, as in {{name}}.")
    description: Description = Field("", description="What the argument means.")
    required: bool = Field(False, description="Whether a client must give it.")
    default: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="Value when the client gives none; without it, the empty text."
    )


class PromptSpec(Model):
    """What is wished of an MCPPrompt."""

    name: ServedName | None = Field(None, description="Name that clients see. Defaults to metadata.name.")
    description: Description = Field("", description="What the prompt is for.")
    template: Annotated[str, Field(min_length=1, max_length=32768)] = Field(
        description="The text of the one user message. {{name}} stands for the variable of that name; a value is "
        "inserted once and never read for placeholders."
    )
    variables: Annotated[tuple[Variable, ...], Field(max_length=64), distinct("name")] = Field(
        (), description="The arguments of the prompt.", json_schema_extra=list_map("name")
    )
    ingress_path: IngressPath | None = Field(
        None, description="Path of a plain-HTTP door below the server's pathPrefix: GET renders the prompt."
    )


class PromptStatus(Status):
    """What became of an MCPPrompt."""

    servers: Annotated[tuple[ServedBy, ...], Field(max_length=256)] = Field(
        (), description="The servers that select this prompt.", json_schema_extra=list_map("name")
    )
