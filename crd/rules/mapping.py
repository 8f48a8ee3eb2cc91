"""PURE. Mappings: all arguments that a schema allows can be mapped to a request, and all of them are used.

Applies to tools and to resources with ``http``; `crd.rules.resources` checks operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import Finding, Level, Reason
from crd.models.calls import Response
from crd.models.http import Http
from crd.models.resource import ResourceSpec
from crd.models.tool import ToolSpec
from crd.published import uri
from crd.rules import bodies, inputs, paths, schemas, styles
from crd.rules.inputs import SCALARS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crd.manifest import Object
    from crd.models.http import Body, Pagination, QueryEntry
    from crd.ref import Ref
    from crd.rules.inputs import Inputs

__all__ = ["invalid_mapping"]

Path = tuple[str | int, ...]
_AT: Path = ("spec", "http")
_SERVICE_PATH: Path = ("spec", "service", "path")
_EMPTY = Http()


def _check_response_of_mcp(ref: Ref, response: Response) -> Iterator[Finding]:
    """A result of MCP has a form of its own, which nothing is selected from or read into."""
    for name in ("format", "select", "on_too_large", "expect_status", "headers"):
        if getattr(response, name) != Response.model_fields[name].default:
            field = Response.model_fields[name].alias or name
            message = f"response.{field} has no effect when spec.mcp is set; remove it"
            yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=("spec", "response", field))


def invalid_mapping(item: Object) -> Iterator[Finding]:
    """The faults of a mapping."""
    spec = item.spec
    if isinstance(spec, ToolSpec):
        if spec.mcp is None:

            def wrong_defaults() -> frozenset[str]:
                return schemas.wrong_defaults(spec.input_schema)

            yield from _check_mapping(
                item.ref, spec.http, spec.method, inputs.of_schema(spec.input_schema), wrong_defaults
            )
        elif spec.service.path != "/":
            message = f'service.path "{spec.service.path}" is ignored when spec.mcp is set; move it to spec.mcp.path'
            yield Finding.of(Reason.INVALID_MAPPING, item.ref, message, path=_SERVICE_PATH)
        if spec.mcp is not None and spec.response is not None:
            yield from _check_response_of_mcp(item.ref, spec.response)
        yield from _check_service_path(item.ref, spec.service.path)
    elif isinstance(spec, ResourceSpec) and spec.http is not None:
        yield from _check_service_path(item.ref, spec.service.path if spec.service else "/")
        parsed = uri.parse(spec.uri_template) if spec.uri_template else None
        if not isinstance(parsed, str):
            yield from _check_mapping(item.ref, spec.http, "GET", inputs.of_template(parsed))
        if spec.http.pagination:
            message = "MCPResource does not support pagination; remove it or use an MCPTool"
            yield Finding.of(Reason.INVALID_MAPPING, item.ref, message, path=(*_AT, "pagination"))


def _check_service_path(ref: Ref, path: str) -> Iterator[Finding]:
    for name in paths.placeholders(path):
        message = f'placeholder "{{{name}}}" is not substituted in service.path; move it to spec.http.path'
        yield Finding.of(Reason.INVALID_MAPPING, ref, message, subject=(name,), path=_SERVICE_PATH)
    for reason, subject, message in paths.literal_faults(path) if not paths.placeholders(path) else ():
        yield Finding.of(reason, ref, message, subject=("service", subject), path=_SERVICE_PATH)


def _check_mapping(
    ref: Ref, given: Http | None, method: str, known: Inputs, wrong_defaults: Callable[[], frozenset[str]] = frozenset
) -> Iterator[Finding]:
    """``wrong_defaults`` gives the arguments whose default is not valid; it is asked only if a path needs one."""
    http = given or _EMPTY
    for reason, subject, message in paths.template_faults(http.path, known):
        yield Finding.of(reason, ref, message, subject=("path", subject), path=(*_AT, "path"))
    for name in paths.placeholders(http.path):
        found = known.find(name)
        if found is not None and found.has_default and not found.required and name in wrong_defaults():
            message = f'the default of "{name}", which the path needs, is not valid by its schema; correct it'
            yield Finding.of(Reason.INVALID_MAPPING, ref, message, subject=("default", name), path=(*_AT, "path"))
    for place, entries in (("query", http.query), ("headers", http.headers)):
        for index, entry in enumerate(entries):
            found = known.find(entry.argument) if entry.argument is not None and place == "query" else None
            if found is not None and found.types <= SCALARS:
                continue  # any style can write a scalar, and most arguments are scalars
            faults = [*_check_entry(ref, entry, place, (*_AT, place, index), known)]
            yield from faults or _check_items(ref, entry.argument, entry.style, (*_AT, place, index), known)
    if http.body is not None:
        yield from _check_body(ref, http.body, method, known)
    if http.pagination is not None:
        yield from _check_pagination(ref, http.pagination, http, known)
    mode = bodies.effective_mode(http.body, method)
    used = _used_arguments(http, known)
    unused = tuple(name for name in known.names if name not in used)
    # Objects without a mapping were valid in the first version of the API, so this is only a warning for them.
    level = Level.WARNING if given is None else None
    for reason, name, message in bodies.leftover_faults(mode, unused, known):
        yield Finding.of(reason, ref, message, subject=("leftover", name), path=_AT, level=level)
    for name in unused if mode in bodies.SENDS_LISTS else ():
        yield from _check_items(ref, f"/{name.replace('~', '~0').replace('/', '~1')}", "Repeat", _AT, known)


def _check_body(ref: Ref, body: Body, method: str, known: Inputs) -> Iterator[Finding]:
    for reason, path, message in bodies.faults(body, method, known):
        yield Finding.of(reason, ref, message, path=(*_AT, "body", *path))
    for index, argument, style in bodies.listed_fields(body):
        yield from _check_items(ref, argument, style, (*_AT, "body", "fields", index), known)


def _check_items(ref: Ref, argument: str | None, style: str, at: Path, known: Inputs) -> Iterator[Finding]:
    """A warning about items that a style writes as JSON."""
    nested = styles.nested_items(argument, style, known) if argument is not None else None
    if nested is not None:
        name, message = nested
        subject = (*map(str, at), "items", name)
        yield Finding.of(Reason.INVALID_MAPPING, ref, message, subject=subject, path=at, level=Level.WARNING)


def _used_arguments(http: Http, known: Inputs) -> set[str]:
    used = set(paths.placeholders(http.path))
    used |= {known.top(e.argument) for e in (*http.query, *http.headers) if e.argument is not None}
    if http.body is not None:
        used |= {known.top(f.argument) for f in http.body.fields if f.argument is not None}
        used |= {known.top(http.body.argument)} if http.body.argument else set()
    if http.pagination is not None and http.pagination.size_argument:
        used.add(http.pagination.size_argument)
    return used


def _check_entry(ref: Ref, entry: QueryEntry, place: str, at: Path, known: Inputs) -> Iterator[Finding]:
    if entry.argument is None:
        return
    found = known.find(entry.argument)
    if found is None:
        message = f'"{entry.argument}" is not declared in {known.where}; {known.repair(entry.argument)}'
        yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=(*at, "argument"))
        return
    fault = styles.fault(found, entry.argument, entry.style, place)
    if fault is not None:
        member, message = fault
        yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=(*at, member))


def _check_pagination(ref: Ref, pages: Pagination, http: Http, known: Inputs) -> Iterator[Finding]:
    at: Path = (*_AT, "pagination")
    if pages.cursor_argument in known.names:
        message = (
            f'"{pages.cursor_argument}" is already declared in {known.where}; set cursorArgument to an unused name'
        )
        yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=(*at, "cursorArgument"))
    if pages.size_argument is not None:
        found = known.find(pages.size_argument)
        if found is None or not found.types <= {"integer", "number"}:
            fault = "is not declared" if found is None else "must be an integer or number"
            message = f'"{pages.size_argument}" {fault} in {known.where}; declare it there with type integer'
            yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=(*at, "sizeArgument"))
    elif pages.max_size is not None:
        message = "maxSize requires sizeArgument; set sizeArgument and sizeParameter, or remove maxSize"
        yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=(*at, "maxSize"))
    names = {entry.name for entry in http.query}
    for member, name in (("parameter", pages.parameter), ("sizeParameter", pages.size_parameter)):
        if name in names:
            message = f'query parameter "{name}" is also set in spec.http.query; remove one of the two'
            yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=(*at, member))
    if pages.parameter == pages.size_parameter:
        message = f'parameter and sizeParameter are both "{pages.parameter}"; change one of the two'
        yield Finding.of(Reason.INVALID_MAPPING, ref, message, path=(*at, "sizeParameter"))
