"""PURE. The entries of a published catalog: what clients see of each, and how requests for it are answered.

Every field corresponds to one of the API (`crd.models`); `runtime` implements it. Durations are in seconds, sizes in
bytes. An empty string or None means that the author set no value. Loads without pydantic.

An entry with ``required_scopes`` exists only for clients whose token has all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crd.published.pins import Pin
from crd.published.policy import Bucket, Policy

__all__ = [
    "Backend",
    "Body",
    "BodyField",
    "Http",
    "HttpResource",
    "InlineResource",
    "Mcp",
    "Message",
    "Operation",
    "Pagination",
    "Parameter",
    "ParameterEntry",
    "Prompt",
    "Tool",
    "Variable",
]


@dataclass(frozen=True, slots=True)
class Backend:
    """Host, port and base path of a Service. ``port`` is 0 if the named port could not be resolved."""

    host: str
    port: int
    path: str = "/"
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class ParameterEntry:
    """A query parameter or header. Exactly one of argument, value and claim is its source.

    ``argument`` is a top-level argument, or a JSON Pointer (RFC 6901) into the arguments if it starts with ``/``.
    ``claim`` names a claim of the verified token. ``style`` is Repeat, Comma, Space, Pipe, DeepObject or Json.
    """

    name: str
    argument: str = ""
    value: str | None = None
    claim: str = ""
    style: str = "Repeat"
    omit_empty: bool = True


@dataclass(frozen=True, slots=True)
class BodyField:
    """A member of a body: ``name`` is its name, or in mode Fields a JSON Pointer to it.

    ``style`` is that of lists and objects in modes Form and Multipart, as in a query. ``file_name``, ``media_type`` and
    ``encoding`` (Base64) apply to parts in mode Multipart.
    """

    name: str
    argument: str = ""
    value: str | None = None
    claim: str = ""
    file_name: str = ""
    media_type: str = ""
    encoding: str = ""
    style: str = "Repeat"


@dataclass(frozen=True, slots=True)
class Body:
    """``mode`` is Arguments, Argument, Fields, Form, Multipart, Raw or None; empty: the default of the method.

    ``encoding`` Base64: mode Raw decodes the argument.
    """

    mode: str = ""
    argument: str = ""
    fields: tuple[BodyField, ...] = ()
    content_type: str = ""
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Pagination:
    """A cursor argument that is added to the listed schema, and where a reply contains the next cursor."""

    cursor_argument: str
    parameter: str
    next_pointer: str = ""
    next_link: bool = False
    size_argument: str = ""
    size_parameter: str = ""
    max_size: int | None = None


@dataclass(frozen=True, slots=True)
class Http:
    """How arguments become a request. ``path`` is appended to the backend's; ``{a}`` is a segment, ``{a+}`` several."""

    path: str = ""
    query: tuple[ParameterEntry, ...] = ()
    headers: tuple[ParameterEntry, ...] = ()
    body: Body = field(default_factory=Body)
    pagination: Pagination | None = None


@dataclass(frozen=True, slots=True)
class Mcp:
    """A backend that is an MCP server. ``protocol`` is Auto, Modern or Legacy; ``session`` is PerCall or Shared.

    ``pin`` is what was reviewed of the tool; ``on_drift`` is Report or Refuse.
    """

    path: str
    tool: str
    protocol: str = "Auto"
    session: str = "PerCall"
    pin: Pin | None = None
    on_drift: str = "Report"


@dataclass(frozen=True, slots=True)
class Tool:
    """An entry of tools/list, and how it is called. ``source`` is the ``namespace/name`` of the MCPTool.

    ``annotations`` and the schemas are as listed, see `crd.clients.listing`. Without ``mcp``, ``http`` maps the call.
    """

    name: str
    source: str
    method: str
    backend: Backend
    input_schema: dict[str, Any]
    title: str = ""
    description: str = ""
    annotations: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    http: Http = field(default_factory=Http)
    mcp: Mcp | None = None
    policy: Policy = field(default_factory=Policy)
    rate_limit: Bucket | None = None
    ingress_path: str = ""
    required_scopes: tuple[str, ...] = ()

    @property
    def idempotent(self) -> bool:
        """Whether a call may be retried: by its method (RFC 9110, 9.2.2) or by its idempotentHint."""
        return self.method in ("GET", "PUT", "DELETE") or self.annotations.get("idempotentHint") is True


@dataclass(frozen=True, slots=True)
class Variable:
    """An argument of a prompt; the values of ``enum`` are offered as completions."""

    name: str
    title: str = ""
    description: str = ""
    required: bool = False
    default: str | None = None
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a prompt: a text with placeholders, or the URI of a resource. Exactly one is set."""

    role: str
    text: str | None = None
    resource: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """An entry of prompts/list; texts may contain ``{{variable}}`` placeholders."""

    name: str
    source: str
    messages: tuple[Message, ...]
    title: str = ""
    description: str = ""
    variables: tuple[Variable, ...] = ()
    ingress_path: str = ""
    required_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InlineResource:
    """A resource whose content is in the catalog: ``text``, or base64 in ``blob``; exactly one is set."""

    uri: str
    name: str
    source: str
    title: str = ""
    description: str = ""
    mime_type: str = "text/plain"
    annotations: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    blob: str | None = None
    required_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpResource:
    """A resource that is read with GET. ``uri`` is a URI, or a URI template whose variables are the arguments."""

    uri: str
    name: str
    source: str
    backend: Backend
    title: str = ""
    description: str = ""
    mime_type: str = ""
    annotations: dict[str, Any] = field(default_factory=dict)
    http: Http = field(default_factory=Http)
    policy: Policy = field(default_factory=Policy)
    required_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation; ``place`` is path, query or header."""

    name: str
    place: str
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """An HTTP operation of an MCPResource.

    A GET is served as a resource, or as a resource template if it has parameters, at ``uri_template``, which is empty
    for other methods. Every operation answers at its ``ingress_path``, which may contain ``{parameter}`` placeholders.
    ``backend.path`` may contain the same placeholders.
    """

    name: str
    source: str
    method: str
    ingress_path: str
    backend: Backend
    uri_template: str = ""
    title: str = ""
    description: str = ""
    mime_type: str = ""
    annotations: dict[str, Any] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    required_scopes: tuple[str, ...] = ()
