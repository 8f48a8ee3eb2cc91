"""PURE. How arguments are mapped to an HTTP request, as the author of a manifest writes it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from crd.finding import Reason
from crd.models import patterns
from crd.models.calls import HeaderName, PathTemplate, Pointer
from crd.models.metadata import ATOMIC, Identifier, Model, Rule, distinct, list_map
from crd.published.headers import FORBIDDEN_HEADERS

__all__ = ["Body", "BodyField", "HeaderEntry", "Http", "Mcp", "Pagination", "Pin", "QueryEntry", "Source"]

Argument = Annotated[str, Field(min_length=1, max_length=256)]
Constant = Annotated[str, Field(max_length=1024)]


def _require_true(value: bool) -> bool:
    if not value:
        raise ValueError("must be true, got false; set it to true or remove it")
    return value


# Literal[True] would accept 1.
TrueOnly = Annotated[bool, AfterValidator(_require_true), Field(json_schema_extra={"enum": [True]})]


class Source(Model):
    """The source of a value: exactly one of argument, value and claim."""

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
    value: Constant | None = Field(None, description="Constant value.")
    claim: Identifier | None = Field(
        None, description="Name of a claim in the client's verified token; calls without the claim are rejected."
    )


Style = Literal["Repeat", "Comma", "Space", "Pipe", "DeepObject", "Json"]


class QueryEntry(Source):
    """A query parameter, or what it has in common with a header."""

    name: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="Name of the parameter.")
    style: Style = Field(
        "Repeat",
        description="How arrays and objects are serialized. Arrays: Repeat, Comma, Space, Pipe or Json; "
        "objects: DeepObject or Json.",
    )
    omit_empty: bool = Field(True, description="Omits the parameter if its value is empty.")


class HeaderEntry(QueryEntry):
    """A header."""

    rules: ClassVar = (
        *Source.rules,
        Rule(
            f"!self.name.lowerAscii().matches('{FORBIDDEN_HEADERS}')",
            "this header must not be set by a mapping; remove it or, for credentials, use headersFrom",
            reason=Reason.UNSAFE_HEADER,
            at=("name",),
            quoting="""'"' + self.name + '" must not be set by a mapping; """
            "remove it or, for credentials, use headersFrom'",
        ),
    )

    name: HeaderName = Field(description="Name of the header.")


class BodyField(Source):
    """A member of a JSON body, or a part of a form."""

    name: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="Name of the member; in mode Fields also a JSON Pointer of at most eight steps."
    )
    style: Style = Field(
        "Repeat",
        description="How arrays and objects are serialized in modes Form and Multipart, as in a query. Multipart has "
        "Repeat and Json only; with Repeat, each item is a part.",
    )
    file_name: Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.FILE_NAME)] | None = Field(
        None, description="File name of the part; only in mode Multipart."
    )
    media_type: Annotated[str, Field(min_length=3, max_length=128, pattern=patterns.MEDIA_TYPE)] | None = Field(
        None, description="Media type of the part; only in mode Multipart."
    )
    encoding: Literal["Base64"] | None = Field(
        None, description="Base64: the value is decoded and sent as bytes; only in mode Multipart."
    )


class Body(Model):
    """The request body."""

    mode: Literal["Arguments", "Argument", "Fields", "Form", "Multipart", "Raw", "None"] = Field(
        "Arguments",
        description="Arguments: a JSON object with the arguments that no entry uses. Argument: one argument "
        "as the JSON body. Fields: a JSON object built from fields. Form, Multipart: a form "
        "built from fields, or from the arguments that no entry uses. Raw: one string argument, "
        "unchanged. None: no body; arguments that no entry uses go to the query.",
    )
    argument: Argument | None = Field(None, description="Argument that is sent in modes Argument and Raw.")
    fields: Annotated[tuple[BodyField, ...], Field(max_length=64), distinct("name")] = Field(
        (), description="Members of the body in modes Fields, Form and Multipart.", json_schema_extra=list_map("name")
    )
    content_type: Annotated[str, Field(min_length=3, max_length=128, pattern=patterns.MEDIA_TYPE)] | None = Field(
        None, description="Media type of the body. In JSON modes: application/json or application/*+json."
    )
    encoding: Literal["Base64"] | None = Field(
        None, description="Base64: mode Raw decodes the argument and sends bytes."
    )


class Pagination(Model):
    """Adds an optional cursor argument to the tool and returns the next cursor; each call reads one page."""

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

    cursor_argument: Identifier = Field("cursor", description="Name of the cursor argument that is added to the tool.")
    parameter: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Query parameter that passes the cursor to the backend."
    )
    next_pointer: Pointer | None = Field(
        None,
        description="JSON Pointer (RFC 6901) to the next cursor in the complete reply, before "
        "response.select is applied.",
    )
    next_link: TrueOnly | None = Field(
        None,
        description="Reads the next cursor from the query of the Link header with rel=next (RFC 8288); the "
        "link itself is not followed.",
    )
    size_argument: Identifier | None = Field(None, description="Argument that sets the page size.")
    size_parameter: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Query parameter that passes the page size to the backend."
    )
    max_size: Annotated[int, Field(ge=1, le=10000)] | None = Field(
        None, description="Maximum page size; larger values are reduced to it."
    )


class Http(Model):
    """How arguments are mapped to a request. Without entries: to the body of POST, PUT and PATCH, else to the query."""

    path: PathTemplate = Field(
        "",
        description="Path that is appended to service.path. {argument} fills a segment or a part of one, "
        "{argument+} one or more segments.",
    )
    query: Annotated[tuple[QueryEntry, ...], Field(max_length=64)] = Field(
        (), description="Query parameters, in this order; a name may appear more than once.", json_schema_extra=ATOMIC
    )
    headers: Annotated[tuple[HeaderEntry, ...], Field(max_length=32), distinct("name")] = Field(
        (),
        description="Headers of the request.",
        json_schema_extra=list_map("name"),
    )
    body: Body | None = Field(
        None, description="Request body. Defaults to mode Arguments for POST, PUT and PATCH, otherwise to None."
    )
    pagination: Pagination | None = Field(None, description="How a long list is read page by page.")


Digest = Annotated[str, Field(min_length=71, max_length=71, pattern=patterns.DIGEST)]


class Pin(Model):
    """Digests of what was reviewed of a tool of another MCP server; see `crd.published.pins`."""

    title: Digest | None = Field(None, description="Digest of the title. Without it, the server listed none.")
    description: Digest | None = Field(None, description="Digest of the description. Without it, there was none.")
    input_schema: Digest = Field(description="Digest of the inputSchema.")
    output_schema: Digest | None = Field(None, description="Digest of the outputSchema. Without it, there was none.")
    annotations: Digest | None = Field(
        None, description="Digest of the annotations. Without it, all had the defaults of MCP."
    )


class Mcp(Model):
    """The backend is an MCP server; arguments are passed on unchanged."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.onDrift == 'Report' || has(self.pin)",
            "onDrift Refuse compares with a pin, and there is none; import the tool with mcp-operator import mcp, or "
            "remove onDrift",
            lambda mcp: mcp.on_drift == "Report" or mcp.pin is not None,
        ),
    )

    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.SERVICE_PATH)] = Field(
        "/mcp", description="Path of the MCP endpoint."
    )
    tool_name: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Name of the tool on the backend. Defaults to spec.name."
    )
    protocol: Literal["Auto", "Modern", "Legacy"] = Field(
        "Auto", description="Modern: MCP 2026-07-28. Legacy: the revisions with sessions. Auto: detected once."
    )
    session: Literal["PerCall", "Shared"] = Field(
        "PerCall",
        description="Sessions of a legacy backend. PerCall: one session for each call. Shared: one session "
        "for all calls.",
    )
    pin: Pin | None = Field(
        None,
        description="What was reviewed of the tool; written by mcp-operator import mcp. The pods compare it with what "
        "the server lists, and the condition Drifted says what has changed.",
    )
    on_drift: Literal["Report", "Refuse"] = Field(
        "Report",
        description="What happens when the server lists the tool otherwise than it is pinned. Report: the condition "
        "Drifted, a metric and an Event. Refuse: calls are refused, too.",
    )
