"""PURE. Arguments to HTTP request. This is all that may reach a backend.

Host, port and scheme come from the catalog only. Each value is written for its position (`http_mapping.escaping`). A
value that is unsafe at its position is refused before anything is sent.
"""

from __future__ import annotations

import itertools
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crd.published.entries import ParameterEntry
from crd.published.headers import FORBIDDEN_HEADERS
from crd.schema import positions
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import bodies, escaping, pointers, values
from runtime.backends.http_mapping.values import Sources
from runtime.http.exchange import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from crd.published.entries import Backend, Http, HttpResource, Operation, Pagination, Tool
    from crd.schema.positions import Constraint
    from runtime.http.exchange import Header

__all__ = [
    "Mapper",
    "accepted_input_schema",
    "base_url",
    "compile_tool",
    "find_refusals",
    "listed_input_schema",
    "map_operation",
    "map_resource",
    "map_tool",
]

MAX_URL = 8192
MAX_HEADERS, MAX_HEADER_BYTES = 32, 8192
_FORBIDDEN_HEADERS = re.compile(FORBIDDEN_HEADERS)
_PLACEHOLDER = re.compile(r"\{([^{}+]+)(\+?)\}")
_NO_CLAIMS: dict[str, Any] = {}


def map_tool(tool: Tool, arguments: Mapping[str, Any], claims: Mapping[str, Any] = _NO_CLAIMS) -> Request:
    """The request of a tool call. ``arguments`` satisfy the listed schema. Raises CallError for an unsafe argument."""
    return compile_tool(tool).map(arguments, claims)


def compile_tool(tool: Tool) -> Mapper:
    """The mapping of a tool, ready for many calls."""
    return Mapper(tool.method, tool.backend, tool.http, idempotent=tool.idempotent)


def find_refusals(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """The arguments that cannot be sent at their positions, whether or not they satisfy the schema."""
    try:
        map_tool(tool, arguments)
    except CallError as fault:
        return fault.message.split("; ") if fault.code == "invalid_arguments" else []
    return []


def map_resource(
    resource: HttpResource, variables: Mapping[str, str], claims: Mapping[str, Any] = _NO_CLAIMS
) -> Request:
    """The GET that reads a resource. Raises CallError for an unsafe variable."""
    return Mapper("GET", resource.backend, resource.http, idempotent=True).map(variables, claims)


def map_operation(operation: Operation, parameters: Mapping[str, str], body: bytes | None = None) -> Request:
    """The request of an operation. Raises CallError for a missing or unsafe parameter."""
    path_values: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    refusals = escaping.Refusals()
    for parameter in operation.parameters:
        name = parameter.name
        if parameter.place == "header" and _FORBIDDEN_HEADERS.fullmatch(name.lower()):
            raise CallError("misconfigured", f"header {name} must not be set by a parameter")
        if parameter.place == "path":
            # A missing one is refused where its placeholder is filled in.
            path_values |= {name: parameters[name]} if name in parameters else {}
            continue
        with refusals.collect():
            if name not in parameters:
                if parameter.required:
                    raise CallError("invalid_arguments", f'missing required parameter "{name}"')
            elif parameter.place == "query":
                query.append((escaping.escape(name, name), escaping.escape(name, parameters[name])))
            else:
                headers.append((name, escaping.check_header(name, parameters[name])))
    if body is not None:
        headers.append(("Content-Type", bodies.JSON))
    path = "".join(_fill_path(_split_path(operation.backend.path), Sources(path_values, {}), refusals))
    with refusals.collect():
        escaping.check_path(path, "/")
    refusals.check()
    url = _build_url(operation.backend, path, query)
    _check_headers(headers)
    idempotent = operation.method in ("GET", "PUT", "DELETE")
    return Request(operation.method, url, tuple(headers), body, idempotent)


def listed_input_schema(tool: Tool) -> dict[str, Any]:
    """The inputSchema that clients see: the accepted one, and what the positions of arguments demand of strings."""
    schema = accepted_input_schema(tool)
    for source, constraint, of_items in _constraints(tool) if tool.mcp is None else ():
        path = tuple(pointers.split(source)) if source.startswith("/") else (source,)
        narrowed = positions.narrow(schema, path, constraint, items=of_items)
        schema = schema if narrowed == schema else narrowed
    return schema


def _constraints(tool: Tool) -> Iterator[tuple[str, Constraint, bool]]:
    """The arguments whose position has a constraint, and whether it is one on the items of a list."""
    for match in _PLACEHOLDER.finditer(tool.http.path):
        yield match[1], positions.MULTI_SEGMENT if match[2] else positions.SEGMENT, False
    for entry in tool.http.headers:
        if entry.argument and entry.style != "Json":
            delimiter = values.HEADER_DELIMITERS.get(entry.style, ",")
            yield entry.argument, positions.HEADER, False
            yield entry.argument, positions.header_item(delimiter), True
    body = tool.http.body
    styled = [(entry.argument, entry.style) for entry in tool.http.query]
    styled += [(field.argument, field.style) for field in body.fields]
    for argument, style in styled:
        if argument and style in ("Space", "Pipe"):
            yield argument, positions.query_item(values.HEADER_DELIMITERS[style]), True
    encoded = [each.argument for each in body.fields if each.encoding] + ([body.argument] if body.encoding else [])
    yield from (
        (argument, positions.BASE64, of_items) for argument in encoded if argument for of_items in (False, True)
    )


def accepted_input_schema(tool: Tool) -> dict[str, Any]:
    """The inputSchema that arguments are validated against: the author's, and with pagination a cursor."""
    pages = tool.http.pagination
    schema = tool.input_schema
    if pages is None or tool.mcp is not None or pages.cursor_argument in schema.get("properties", {}):
        return schema
    description = "The nextCursor of the previous page. Omit it for the first page."
    cursor = {"type": "string", "description": description}
    return {**schema, "properties": {**schema.get("properties", {}), pages.cursor_argument: cursor}}


def base_url(backend: Backend) -> str:
    """Scheme, host and port. Raises CallError if the port of the Service is unknown."""
    if backend.port == 0:
        message = f"Service {backend.host} has no port of that name; see the conditions of the object"
        raise CallError("misconfigured", message)
    return f"{backend.scheme}://{backend.host}:{backend.port}"


_FIRST = escaping.FirstRefusal()
_is_word, _is_unreserved = escaping.WORD.fullmatch, escaping.UNRESERVED.fullmatch


class Mapper:
    """A mapping, of which everything that no argument changes is written already."""

    def __init__(self, method: str, backend: Backend, http: Http, *, idempotent: bool) -> None:
        self._method = method
        self._backend = backend
        self._http = http
        self._idempotent = idempotent
        self._base = escaping.escape_literal(backend.path)
        self._path = tuple(_split_path(http.path)) if http.path else ()
        self._named = _named_arguments(http)
        self._mode = bodies.effective_mode(http.body, method)
        # For most values, which need no escaping: the URL up to the first placeholder, each with the text after it, and
        # the query parameters, each by its argument and its escaped name.
        self._start = base_url(backend) if backend.port else ""
        self._start += self._base.rstrip("/") + self._path[0][0] if self._path else self._base
        self._plain_path = [(part[1], after[0]) for part, after in itertools.pairwise(self._path)]
        query = [_plain_parameter(entry) for entry in http.query]
        self._plain_query = [parameter for parameter in query if parameter is not None]
        has_plain_body = self._mode == "None" or (self._mode == "Arguments" and not http.body.content_type)
        stays_below = not http.path or http.path.startswith("/")
        is_multi_segment = any(part[2] for part in self._path)
        has_more = http.pagination is not None or http.headers or None in query or is_multi_segment or not backend.port
        self._is_plain = has_plain_body and stays_below and not has_more

    def map(self, arguments: Mapping[str, Any], claims: Mapping[str, Any]) -> Request:
        """The request for one call. Raises CallError, for unsafe arguments with all of them."""
        if self._is_plain:
            request = self._map_plain(arguments)
            if request is not None:
                return request
        sources = Sources(arguments, claims)
        try:
            return self._map(sources, _FIRST)
        except CallError as fault:
            if fault.code != "invalid_arguments":
                raise
        return self._map(sources, escaping.Refusals())

    def _write_plain(self, arguments: Mapping[str, Any]) -> str | None:
        """The URL, if no value in it needs to be escaped or refused."""
        url = self._start
        for name, literal in self._plain_path:
            value = arguments.get(name)
            if type(value) is str:
                if _is_word(value) is None:
                    return None
                url += value + literal
            elif type(value) is int:
                url += f"{value}{literal}"
            else:
                return None
        mark = "?"
        for name, parameter in self._plain_query:
            value = arguments.get(name)
            if value is not None:
                if type(value) is str:
                    if _is_unreserved(value) is None:
                        return None
                elif type(value) is not int:
                    return None
                url += f"{mark}{parameter}={value}"
                mark = "&"
        return None if len(url) > MAX_URL or "%" in url or "/." in url else url

    def _map_plain(self, arguments: Mapping[str, Any]) -> Request | None:
        """The request, if no value needs to be escaped or refused. It is the same as that of `_map`."""
        url = self._write_plain(arguments)
        if url is None:
            return None
        body: bytes | None = None
        headers: tuple[Header, ...] = ()
        if self._mode == "Arguments":
            leftovers = {name: value for name, value in arguments.items() if name not in self._named}
            body, headers = escaping.to_json(leftovers), _JSON_HEADERS
            if len(body) > bodies.MAX_BODY:
                return None
        elif not self._named.issuperset(arguments):
            return None
        return Request(self._method, url, headers, body, self._idempotent)

    def _map(self, sources: Sources, refusals: escaping.Refusals) -> Request:
        http = self._http
        path = self._base
        if self._path:
            path = path.rstrip("/") + "".join(_fill_path(self._path, sources, refusals))
        with refusals.collect():
            escaping.check_path(path, self._base)
        leftovers = {name: value for name, value in sources.arguments.items() if name not in self._named}
        query: list[tuple[str, str]] = []
        for entry in http.query:
            with refusals.collect(entry):
                query += values.query_pairs(entry, sources)
        if http.pagination is not None:
            with refusals.collect():
                query += _page_parameters(http.pagination, sources)
        for name in leftovers if self._mode == "None" else ():
            # A pointer, because the name of an argument may itself begin with a slash.
            with refusals.collect():
                query += values.query_pairs(ParameterEntry(name, argument=f"/{pointers.escape(name)}"), sources)
        headers: list[Header] = []
        for entry in http.headers:
            with refusals.collect(entry):
                headers += values.headers(entry, sources)
        body = None
        if self._mode != "None":
            with refusals.collect():
                body = bodies.build(http.body, self._mode, sources, leftovers, refusals)
        refusals.check()
        if body is not None:
            headers.append(("Content-Type", body[0]))
        url = _build_url(self._backend, path, query)
        _check_headers(headers)
        return Request(self._method, url, tuple(headers), body[1] if body else None, self._idempotent)


_JSON_HEADERS = (("Content-Type", bodies.JSON),)


def _plain_parameter(entry: ParameterEntry) -> tuple[str, str] | None:
    """The argument and the escaped name of a query parameter; None if it has other sources or rules."""
    if not entry.argument or entry.argument.startswith("/") or entry.style == "Json":
        return None
    return entry.argument, escaping.escape(entry.name, entry.name)


def _split_path(template: str) -> Iterator[tuple[str, str, bool]]:
    """The author's text, the name of the placeholder after it ("" at the end), and whether that spans segments."""
    position = 0
    for match in _PLACEHOLDER.finditer(template):
        yield escaping.escape_literal(template[position : match.start()]), match[1], bool(match[2])
        position = match.end()
    yield escaping.escape_literal(template[position:]), "", False


def _fill_path(parts: Iterable[tuple[str, str, bool]], sources: Sources, refusals: escaping.Refusals) -> Iterator[str]:
    """The parts of a path: the author's text, and between it the values of the placeholders."""
    for literal, name, is_multi_segment in parts:
        yield literal
        if not name:
            return
        with refusals.collect():
            value = pointers.argument(sources.arguments, name)
            if value is pointers.ABSENT or value is None:
                raise CallError("invalid_arguments", f'missing required argument "{name}"')
            text = escaping.to_text(name, value)
            yield escaping.escape_segments(name, text) if is_multi_segment else escaping.escape_segment(name, text)


def _named_arguments(http: Http) -> frozenset[str]:
    """The top-level arguments that an entry names. The others are leftovers."""
    named = [match[1] for match in _PLACEHOLDER.finditer(http.path)]
    named += [entry.argument for entry in (*http.query, *http.headers)]
    named += [http.body.argument, *(field.argument for field in http.body.fields)]
    if http.pagination:
        named += [http.pagination.cursor_argument, http.pagination.size_argument]
    return frozenset(pointers.split(name)[0] if name.startswith("/") else name for name in named if name)


def _page_parameters(pages: Pagination, sources: Sources) -> Iterator[tuple[str, str]]:
    """Cursor and page size as query parameters. A size above the maximum is lowered to it."""
    cursor = sources.arguments.get(pages.cursor_argument)
    if cursor is not None:
        name = pages.cursor_argument
        yield escaping.escape(name, pages.parameter), escaping.escape(name, escaping.to_text(name, cursor))
    size = sources.arguments.get(pages.size_argument) if pages.size_argument else None
    if size is not None:
        is_number = isinstance(size, int | float | Decimal) and not isinstance(size, bool)
        if is_number and pages.max_size is not None:
            size = min(size, pages.max_size)
        name = pages.size_argument
        yield escaping.escape(name, pages.size_parameter), escaping.escape(name, escaping.to_text(name, size))


def _build_url(backend: Backend, path: str, query: Iterable[tuple[str, str]]) -> str:
    """The URL from parts that are already escaped."""
    query_string = "&".join(f"{name}={value}" for name, value in query)
    url = f"{base_url(backend)}{path}?{query_string}" if query_string else f"{base_url(backend)}{path}"
    if len(url) > MAX_URL:
        raise CallError(
            "invalid_arguments", f"the URL would be longer than {MAX_URL} characters; shorten the arguments"
        )
    return url


def _check_headers(headers: Sequence[Header]) -> None:
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        message = f"the request would have more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of headers"
        raise CallError("invalid_arguments", message)
