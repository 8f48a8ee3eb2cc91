"""PURE. From arguments to an HTTP request: the whole of what may reach a backend.

Host, port and scheme come from the catalog only. Every value is serialised for its position (`http_mapping.escaping`);
a value that is not allowed at its position is refused before anything is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crd.published.entries import ParameterEntry
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import bodies, escaping, pointers, values
from runtime.backends.http_mapping.values import Sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crd.published.entries import Backend, Http, HttpResource, Operation, Tool

__all__ = ["Request", "listed_input_schema", "of_operation", "of_resource", "of_tool"]

MAX_URL = 8192
MAX_HEADERS, MAX_HEADER_BYTES = 32, 8192
_FORBIDDEN_HEADERS = re.compile(
    r"host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|authorization|proxy-.*|cookie"
    r"|forwarded|x-forwarded-.*|mcp-.*|traceparent",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\{([^{}+]+)(\+?)\}")
_NO_CLAIMS: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: ``url`` is escaped already and goes out as it is. ``idempotent`` says that it may be sent again."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    idempotent: bool = False


def of_tool(tool: Tool, arguments: Mapping[str, Any], claims: Mapping[str, Any] = _NO_CLAIMS) -> Request:
    """A call of a tool. ``arguments`` satisfy its listed schema. Raises CallError for what cannot be sent."""
    escaping.check_numbers(arguments)
    return _mapped(tool.method, tool.backend, tool.http, Sources(arguments, claims), idempotent=tool.idempotent)


def of_resource(
    resource: HttpResource, variables: Mapping[str, str], claims: Mapping[str, Any] = _NO_CLAIMS
) -> Request:
    """The GET that answers with a resource. Raises CallError for what cannot be sent."""
    return _mapped("GET", resource.backend, resource.http, Sources(variables, claims), idempotent=True)


def of_operation(operation: Operation, given: Mapping[str, str], body: bytes | None = None) -> Request:
    """An operation with the values of its parameters. Raises CallError for a missing or unsendable one."""
    places: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.parameters:
        if parameter.name in given:
            places[parameter.place][parameter.name] = given[parameter.name]
        elif parameter.required or parameter.place == "path":
            raise CallError("invalid_arguments", f"/{parameter.name}: required")
    path = "".join(_filled(operation.backend.path, Sources(places["path"], {})))
    headers = tuple((name, _header(name, value)) for name, value in places["header"].items())
    if body is not None:
        headers = (*headers, ("Content-Type", bodies.JSON))
    query = [(escaping.escaped(name, name), escaping.escaped(name, value)) for name, value in places["query"].items()]
    escaping.check_path(path, "/")
    url = _base(operation.backend) + path + _query(query)
    idempotent = operation.method in ("GET", "PUT", "DELETE")
    return _bounded(Request(operation.method, url, headers, body, idempotent))


def listed_input_schema(tool: Tool) -> dict[str, Any]:
    """The inputSchema that clients see: with the cursor that pagination adds."""
    pages = tool.http.pagination
    schema = tool.input_schema
    if pages is None or tool.mcp is not None or pages.cursor_argument in schema.get("properties", {}):
        return schema
    cursor = {"type": "string", "description": "The nextCursor of the page before; without it, the first page."}
    return {**schema, "properties": {**schema.get("properties", {}), pages.cursor_argument: cursor}}


def _mapped(method: str, backend: Backend, http: Http, sources: Sources, *, idempotent: bool) -> Request:
    base = escaping.literal(backend.path)
    path = base
    if http.path:
        path = base.rstrip("/") + "".join(_filled(http.path, sources))
    escaping.check_path(path, base)
    used = _used(http)
    leftovers = {name: value for name, value in sources.arguments.items() if name not in used}
    query = [pair for entry in http.query for pair in values.pairs(entry, sources)]
    query += _page(http, sources)
    if bodies.effective_mode(http.body, method) == "None":
        query += [
            pair for name in leftovers for pair in values.pairs(ParameterEntry(name, argument=_pointer(name)), sources)
        ]
    headers = [header for entry in http.headers for header in values.headers(entry, sources)]
    made = bodies.payload(http.body, method, sources, leftovers)
    if made is not None:
        headers.append(("Content-Type", made[0]))
    url = _base(backend) + path + _query(query)
    return _bounded(Request(method, url, tuple(headers), made[1] if made else None, idempotent))


def _filled(template: str, sources: Sources) -> Iterator[str]:
    """The parts of a path: what its author wrote, and the values between."""
    at = 0
    for match in _PLACEHOLDER.finditer(template):
        yield escaping.literal(template[at : match.start()])
        name, several = match[1], match[2]
        value = pointers.argument(sources.arguments, name)
        if value is pointers.ABSENT or value is None:
            raise CallError("invalid_arguments", f"/{name}: required")
        said = escaping.text(name, value)
        yield escaping.segments(name, said) if several else escaping.segment(name, said)
        at = match.end()
    yield escaping.literal(template[at:])


def _used(http: Http) -> set[str]:
    """The arguments that something names; the others are leftovers."""
    named = [match[1] for match in _PLACEHOLDER.finditer(http.path)]
    named += [entry.argument for entry in (*http.query, *http.headers)]
    named += [http.body.argument, *(field.argument for field in http.body.fields)]
    if http.pagination:
        named += [http.pagination.cursor_argument, http.pagination.size_argument]
    return {pointers.steps(name)[0] if name.startswith("/") else name for name in named if name}


def _page(http: Http, sources: Sources) -> Iterator[tuple[str, str]]:
    """Which page is asked for, and how large; a size beyond the largest is lowered to it."""
    pages = http.pagination
    if pages is None:
        return
    cursor = sources.arguments.get(pages.cursor_argument)
    if cursor is not None:
        name = pages.cursor_argument
        yield escaping.escaped(name, pages.parameter), escaping.escaped(name, escaping.text(name, cursor))
    size = sources.arguments.get(pages.size_argument) if pages.size_argument else None
    if size is not None:
        number = size if isinstance(size, int | float) and not isinstance(size, bool) else None
        if number is not None and pages.max_size is not None:
            size = min(number, pages.max_size)
        name = pages.size_argument
        yield escaping.escaped(name, pages.size_parameter), escaping.escaped(name, escaping.text(name, size))


def _pointer(name: str) -> str:
    """A pointer to an argument whose very name may begin with a slash."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _header(name: str, value: str) -> str:
    if _FORBIDDEN_HEADERS.fullmatch(name):
        raise CallError("misconfigured", f"header {name} cannot be set by a parameter")
    return escaping.header(name, value)


def _base(backend: Backend) -> str:
    if backend.port == 0:
        raise CallError("misconfigured", f"Service {backend.host} has no such port; see the object's conditions")
    return f"{backend.scheme}://{backend.host}:{backend.port}"


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    text = "&".join(f"{name}={value}" for name, value in pairs)
    return f"?{text}" if text else ""


def _bounded(request: Request) -> Request:
    if len(request.url) > MAX_URL:
        raise CallError("invalid_arguments", f"the URL would be longer than {MAX_URL} characters")
    size = sum(len(name) + len(value) for name, value in request.headers)
    if len(request.headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise CallError("invalid_arguments", f"the headers would be more than {MAX_HEADER_BYTES} bytes")
    return request
