"""PURE. MCPPrompt: texts with placeholders, served as a prompt."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import patterns
from crd.models.member import MemberSpec, MemberStatus
from crd.models.metadata import (
    ATOMIC,
    SET,
    Description,
    Identifier,
    IngressPath,
    Model,
    Rule,
    Title,
    distinct,
    list_map,
)

__all__ = ["Message", "PromptSpec", "PromptStatus", "ResourceLink", "Variable"]

Text = Annotated[str, Field(min_length=1, max_length=32768)]


class Variable(Model):
    """An argument of a prompt."""

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
    title: Title = Field("", description="Human-readable name.")
    description: Description = Field("", description="What the argument means.")
    required: bool = Field(False, description="Whether clients must provide a value.")
    default: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="Value if the client provides none. Defaults to the empty string."
    )
    enum: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=64), distinct()] = Field(
        (),
        description="Allowed values, offered to clients as completions. Without it, any value is allowed.",
        json_schema_extra=SET,
    )


class ResourceLink(Model):
    """A resource that is part of a prompt."""

    uri: Annotated[str, Field(min_length=1, max_length=2048, pattern=patterns.URI)] = Field(
        description="URI of a resource that the same server serves."
    )


class Message(Model):
    """A message of a prompt."""

    rules: ClassVar = (
        Rule(
            "has(self.text) != has(self.resource)",
            "set exactly one of text and resource",
            lambda message: (message.text is None) != (message.resource is None),
            Reason.INVALID_CONTENT,
        ),
    )

    role: Literal["user", "assistant"] = Field("user", description="Role of the speaker.")
    text: Text | None = Field(None, description="Text; {{name}} is replaced by the value of the variable.")
    resource: ResourceLink | None = Field(None, description="Resource instead of a text.")


class PromptSpec(MemberSpec):
    """The desired state of an MCPPrompt."""

    rules: ClassVar = (
        Rule(
            "has(self.template) != has(self.messages)",
            "set exactly one of template and messages",
            lambda spec: (spec.template is None) != (spec.messages is None),
            Reason.INVALID_CONTENT,
        ),
    )

    template: Text | None = Field(
        None,
        description="Text of a single user message. {{name}} is replaced by the value of the variable; "
        "placeholders in values are not replaced.",
    )
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=32)] | None = Field(
        None, description="Several messages instead of template.", json_schema_extra=ATOMIC
    )
    variables: Annotated[tuple[Variable, ...], Field(max_length=64), distinct("name")] = Field(
        (), description="Arguments of the prompt.", json_schema_extra=list_map("name")
    )
    ingress_path: IngressPath | None = Field(
        None, description="Path below the server's pathPrefix at which GET renders the prompt."
    )

    @property
    def texts(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """Every text that may contain placeholders, with the path of its field below the spec."""
        if self.template is not None:
            return ((("template",), self.template),)
        return tuple(
            (("messages", index, "text"), message.text)
            for index, message in enumerate(self.messages or ())
            if message.text is not None
        )


class PromptStatus(MemberStatus):
    """The observed state of an MCPPrompt."""
