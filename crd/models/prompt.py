"""PURE. MCPPrompt: texts with placeholders, offered as a prompt."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import patterns
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

__all__ = ["Message", "PromptSpec", "PromptStatus", "ResourceLink", "Variable"]

Text = Annotated[str, Field(min_length=1, max_length=32768)]


class Variable(Model):
    """One argument of a prompt."""

    rules: ClassVar = (
        Rule(
            "!(has(self.required) && self.required && has(self.default))",
            "required and default are mutually exclusive; remove one of the two",
            lambda variable: not (variable.required and variable.default is not None),
        ),
        Rule(
            "!has(self.default) || !has(self.enum) || size(self.enum) == 0 || self.default in self.enum",
            "default must be one of enum; add it to enum or change it",
            lambda variable: variable.default is None or not variable.enum or variable.default in variable.enum,
        ),
    )

    name: Identifier = Field(description="Name of the argument, as in {{name}}.")
    title: Title = Field("", description="Name for people.")
    description: Description = Field("", description="What the argument means.")
    required: bool = Field(False, description="Whether a client must give it.")
    default: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="Value when the client gives none; without it, the empty text."
    )
    enum: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=64), distinct()] = Field(
        (),
        description="The values it may have, offered to clients as completions. Without it, any.",
        json_schema_extra=SET,
    )


class ResourceLink(Model):
    """A resource that goes along with a prompt."""

    uri: Annotated[str, Field(min_length=1, max_length=2048, pattern=patterns.URI)] = Field(
        description="URI of a resource that the same server serves."
    )


class Message(Model):
    """One message of a prompt."""

    rules: ClassVar = (
        Rule(
            "has(self.text) != has(self.resource)",
            "set exactly one of text and resource",
            lambda message: (message.text is None) != (message.resource is None),
            Reason.INVALID_CONTENT,
        ),
    )

    role: Literal["user", "assistant"] = Field("user", description="Who says it.")
    text: Text | None = Field(None, description="The text; {{name}} stands for the variable of that name.")
    resource: ResourceLink | None = Field(None, description="A resource instead of a text.")


class PromptSpec(Model):
    """What is wished of an MCPPrompt."""

    rules: ClassVar = (
        Rule(
            "has(self.template) != has(self.messages)",
            "set exactly one of template and messages",
            lambda spec: (spec.template is None) != (spec.messages is None),
            Reason.INVALID_CONTENT,
        ),
    )

    name: ServedName | None = Field(None, description="Name that clients see. Defaults to metadata.name.")
    title: Title = Field("", description="Name for people.")
    description: Description = Field("", description="What the prompt is for.")
    template: Text | None = Field(
        None,
        description="The text of the one user message. {{name}} stands for the variable of that name; a value is "
        "inserted once and never read for placeholders.",
    )
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=32)] | None = Field(
        None, description="Several messages instead of one.", json_schema_extra=ATOMIC
    )
    variables: Annotated[tuple[Variable, ...], Field(max_length=64), distinct("name")] = Field(
        (), description="The arguments of the prompt.", json_schema_extra=list_map("name")
    )
    ingress_path: IngressPath | None = Field(
        None, description="Path of a plain-HTTP door below the server's pathPrefix: GET renders the prompt."
    )

    @property
    def texts(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """Every text with placeholders, and the path of the field below the spec."""
        if self.template is not None:
            return ((("template",), self.template),)
        return tuple(
            (("messages", index, "text"), message.text)
            for index, message in enumerate(self.messages or ())
            if message.text is not None
        )


class PromptStatus(Status):
    """What became of an MCPPrompt."""

    servers: Annotated[tuple[ServedBy, ...], Field(max_length=256)] = Field(
        (), description="The servers that select this prompt.", json_schema_extra=list_map("name")
    )
