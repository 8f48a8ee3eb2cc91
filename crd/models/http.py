"""PURE. How arguments become an HTTP request, as an author writes it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from crd.finding import Reason
from crd.models import patterns
from crd.models.calls import FORBIDDEN_HEADERS, HeaderName, PathTemplate, Pointer
from crd.models.metadata import ATOMIC, Identifier, Model, Rule, distinct, list_map

__all__ = ["Body", "BodyField", "Entry", "Header", "Http", "Mcp", "Pagination", "Source"]

Argument = Annotated[str, Field(min_length=1, max_length=256)]
Constant = Annotated[str, Field(max_length=1024)]


def _yes(value: bool) -> bool:
    if not value:
        raise ValueError("must be true, got false; set it to true or remove it")
    return value


# Not Literal[True], which takes 1 for it.
Yes = Annotated[bool, AfterValidator(_yes), Field(json_schema_extra={"enum": [True]})]


class Source(Model):
    """Where a value comes from: exactly one of argument, value and claim."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.argument) ? 1 : 0) + (has(self.value) ? 1 : 0) + (has(self.claim) ? 1 : 0) == 1",
            "set exactly one of argument, value and claim",
            lambda entry: [entry.argument, entry.value, entry.claim].count(None) == 2,
            Reason.INVALID_MAPPING,
        ),
    )

    argument: Argument | None = Field(
        None, description="Name of an argument, or a JSON Pointer (RFC 6901) into the arguments, starting with /."
    )
    value: Constant | None = Field(None, description="A constant.")
    claim: Identifier | None = Field(
        None, description="Name of a claim of the client's verified token; without it a call is refused."
    )


class Entry(Source):
    """One query parameter."""

    name: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="Name of the parameter.")
    style: Literal["Repeat", "Comma", "Space", "Pipe", "DeepObject", "Json"] = Field(
        "Repeat",
        description="How an array or an object is written. Arrays: Repeat, Comma, Space or Pipe; objects: DeepObject "
        "or Json.",
    )
    omit_empty: bool = Field(True, description="Whether an empty value leaves the parameter out.")


class Header(Entry):
    """One header."""

    rules: ClassVar = (
        *Source.rules,
        Rule(
            f"!self.name.lowerAscii().matches('{FORBIDDEN_HEADERS}')",
            "this header must not be set by a mapping; remove it or, for credentials, use headersFrom",
            reason=Reason.UNSAFE_HEADER,
            at=("name",),
        ),
    )

    name: HeaderName = Field(description="Name of the header.")


class BodyField(Source):
    """One member of a body, or one part of a form."""

    name: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="Name of the member; in mode Fields also a JSON Pointer to it, of at most eight steps."
    )
    file_name: Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.FILE_NAME)] | None = Field(
        None, description="File name of the part; mode Multipart only."
    )
    media_type: Annotated[str, Field(min_length=3, max_length=128, pattern=patterns.MEDIA_TYPE)] | None = Field(
        None, description="Media type of the part; mode Multipart only."
    )
    encoding: Literal["Base64"] | None = Field(
        None, description="Base64: the value is decoded and sent as bytes; mode Multipart only."
    )


class Body(Model):
    """The request body."""

    mode: Literal["Arguments", "Argument", "Fields", "Form", "Multipart", "Raw", "None"] = Field(
        "Arguments",
        description="Arguments: a JSON object of what no entry names. Argument: one argument as the whole JSON value. "
        "Fields: a JSON object of fields. Form, Multipart: fields, or what no entry names. Raw: one argument as it is. "
        "None: no body; what no entry names goes to the query.",
    )
    argument: Argument | None = Field(None, description="The argument of the modes Argument and Raw.")
    fields: Annotated[tuple[BodyField, ...], Field(max_length=64), distinct("name")] = Field(
        (), description="The members of the modes Fields, Form and Multipart.", json_schema_extra=list_map("name")
    )
    content_type: Annotated[str, Field(min_length=3, max_length=128, pattern=patterns.MEDIA_TYPE)] | None = Field(
        None, description="Media type of the body. JSON modes: application/json or application/*+json."
    )
    encoding: Literal["Base64"] | None = Field(None, description="Base64: mode Raw decodes the argument into bytes.")


class Pagination(Model):
    """Adds an optional cursor argument to the tool and returns the next cursor; one page a call."""

    rules: ClassVar = (
        Rule(
            "has(self.nextPointer) != has(self.nextLink)",
            "set exactly one of nextPointer and nextLink",
            lambda pages: (pages.next_pointer is None) != (pages.next_link is None),
            Reason.INVALID_MAPPING,
        ),
        Rule(
            "has(self.sizeArgument) == has(self.sizeParameter)",
            "set both sizeArgument and sizeParameter or neither",
            lambda pages: (pages.size_argument is None) == (pages.size_parameter is None),
            Reason.INVALID_MAPPING,
        ),
    )

    cursor_argument: Identifier = Field("cursor", description="Name of the argument that the tool gains.")
    parameter: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Query parameter in which the backend takes the cursor."
    )
    next_pointer: Pointer | None = Field(
        None, description="JSON Pointer (RFC 6901) into the whole reply to the next cursor, before response.select."
    )
    next_link: Yes | None = Field(
        None,
        description="Takes the next cursor from the query of the Link header of relation next (RFC 8288); the link is "
        "never followed.",
    )
    size_argument: Identifier | None = Field(None, description="Argument that asks for a page size.")
    size_parameter: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Query parameter in which the backend takes it."
    )
    max_size: Annotated[int, Field(ge=1, le=10000)] | None = Field(
        None, description="Largest page size; a larger wish is lowered to it."
    )


class Http(Model):
    """How arguments become a request. Without entries: the body of POST, PUT and PATCH, else the query."""

    path: PathTemplate = Field(
        "",
        description="Appended to service.path. {argument} fills a segment or a part of one, {argument+} one or more "
        "segments.",
    )
    query: Annotated[tuple[Entry, ...], Field(max_length=64)] = Field(
        (), description="Query parameters, in this order; a name may come more than once.", json_schema_extra=ATOMIC
    )
    headers: Annotated[tuple[Header, ...], Field(max_length=32), distinct("name")] = Field(
        (),
        description="Headers.",
        json_schema_extra=list_map("name"),
    )
    body: Body | None = Field(None, description="The body. Without it: Arguments for POST, PUT and PATCH, else None.")
    pagination: Pagination | None = Field(None, description="How a long list is read page by page.")


class Mcp(Model):
    """The backend speaks MCP itself; arguments are passed on unchanged."""

    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.SERVICE_PATH)] = Field(
        "/mcp", description="Path of its endpoint."
    )
    tool_name: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Its own name of the tool. Defaults to spec.name."
    )
    protocol: Literal["Auto", "Modern", "Legacy"] = Field(
        "Auto", description="Modern: 2026-07-28. Legacy: the revisions with sessions. Auto: found out once."
    )
    session: Literal["PerCall", "Shared"] = Field(
        "PerCall", description="Whether a session of a legacy backend is opened for each call or kept."
    )
