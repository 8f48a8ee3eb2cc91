"""PURE. Tools that send what their API no longer has, by a description of the API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cli.imports import request, texts
from cli.imports.credentials import Schemes
from cli.imports.description import mapping
from cli.imports.objects import API_ANNOTATION, OPERATION_ANNOTATION
from cli.imports.request import CannotMapError
from cli.imports.schemas import Schemas
from crd.finding import Finding, Level, Reason
from crd.models.tool import ToolSpec
from crd.rules import bodies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cli.imports.description import Description, Operation
    from crd.manifest import Object

__all__ = ["find_drift"]

_PLACEHOLDER = re.compile(r"\{[^{}/]*\}")
Path = tuple[str | int, ...]


def find_drift(objects: Iterable[Object], description: Description) -> Iterator[Finding]:
    """The fields of tools that the API of a description no longer has.

    A tool belongs to the API if it was imported from a description of the same title, or if its method and path are
    those of an operation. Of a tool that was imported, a missing operation is a finding as well.
    """
    title = texts.shorten(texts.clean(description.title))
    base = description.base_path()
    by_key: dict[str, Operation] = {}
    by_path: dict[tuple[str, str], Operation] = {}
    for operation in description.operations():
        by_key[operation.key] = operation
        path = f"{description.base_path(operation.servers).rstrip('/') if operation.servers else base.rstrip('/')}"
        by_path.setdefault((operation.method, _shape(path + operation.path)), operation)
    comparison = _Comparison(description)
    for item in objects:
        spec = item.spec
        if not isinstance(spec, ToolSpec) or spec.mcp is not None:
            continue
        annotations = mapping(item.metadata.get("annotations"))
        key = annotations.get(OPERATION_ANNOTATION)
        is_ours = isinstance(key, str) and annotations.get(API_ANNOTATION, "") == title
        path = (spec.service.path.rstrip("/") if spec.service.path != "/" else "") + (
            spec.http.path if spec.http else ""
        )
        found = by_key.get(key) if is_ours and isinstance(key, str) else None
        found = found or by_path.get((spec.method, _shape(path)))
        if found is not None:
            yield from comparison.compare(item, spec, found)
        elif is_ours:
            message = f'the API "{title}" no longer has {key}; remove the tool or import the description again'
            yield Finding.of(
                Reason.INVALID_MAPPING, item.ref, message, path=("spec", "http", "path"), level=Level.ERROR
            )


def _shape(path: str) -> str:
    return _PLACEHOLDER.sub("{}", path.partition("#")[0].partition("?")[0]).rstrip("/")


class _Comparison:
    def __init__(self, description: Description) -> None:
        self._description = description
        self._schemas = Schemas(description, output=False)
        self._schemes = Schemes(description, "any")

    def compare(self, item: Object, spec: ToolSpec, operation: Operation) -> Iterator[Finding]:
        """The entries of a tool that its operation does not have."""
        http = spec.http
        try:
            mapped = request.map_request(self._description, operation, self._schemas, frozenset())
        except CannotMapError:
            return
        query = {entry["name"] for entry in mapped.query} | set(self._names(operation, "query"))
        headers = {entry["name"].lower() for entry in mapped.headers} | {
            name.lower() for name in self._names(operation, "header")
        }
        headers |= {name for place, name in self._schemes.parameters if place == "header"}
        for place, known, entries in (
            ("query", query, http.query if http else ()),
            ("headers", headers, http.headers if http else ()),
        ):
            for index, entry in enumerate(entries):
                name = entry.name.lower() if place == "headers" else entry.name
                if name not in known and not _is_member(name, known):
                    what = "query parameter" if place == "query" else "header"
                    yield _gone(item, operation, what, entry.name, ("spec", "http", place, index))
        yield from self._body(item, spec, operation, mapped)

    def _names(self, operation: Operation, place: str) -> Iterator[str]:
        return (parameter["name"] for parameter in operation.parameters if parameter["in"] == place)

    def _body(self, item: Object, spec: ToolSpec, operation: Operation, mapped: request.Request) -> Iterator[Finding]:
        body = spec.http.body if spec.http else None
        mode = bodies.effective_mode(body, spec.method)
        if mode not in ("Arguments", "Fields", "Form", "Multipart"):
            return
        known = self._members(mapped)
        if known is None:
            return
        fields = body.fields if body else ()
        if fields:
            for index, field in enumerate(fields):
                name = field.name.split("/")[1] if field.name.startswith("/") else field.name
                if name.replace("~1", "/").replace("~0", "~") not in known:
                    yield _gone(item, operation, "body member", name, ("spec", "http", "body", "fields", index))
            return
        http = spec.http
        used = {match[1:-1].rstrip("+") for match in _PLACEHOLDER.findall(http.path if http else "")}
        used |= {_top(entry.argument) for entry in (*(http.query if http else ()), *(http.headers if http else ()))
                 if entry.argument}  # fmt: skip
        for name in mapping(spec.input_schema.get("properties")):
            if name not in used and name not in known:
                yield _gone(item, operation, "body member", name, ("spec", "inputSchema", "properties", name))

    def _members(self, mapped: request.Request) -> set[str] | None:
        """The members of the body that the operation declares; None if it declares none or accepts others."""
        body = mapped.body or {}
        match body.get("mode"):
            case "None":
                return set()
            case "Fields" | "Form" | "Multipart":
                return {str(field["name"]).removeprefix("/").replace("~1", "/") for field in body["fields"]}
            case "Arguments":
                entries = [entry.get("argument") for entry in (*mapped.query, *mapped.headers)]
                used = {_top(name) for name in entries if name} | set(re.findall(r"\{([^{}+]+)\+?\}", mapped.path))
                return None if mapped.open else set(mapped.arguments) - used
            case "Argument":
                members: Any = self._schemas.behind(mapped.arguments[body["argument"]])
                declared = members.get("properties")
                is_plain = not {"allOf", "anyOf", "oneOf"} & members.keys()
                is_open = isinstance(members.get("additionalProperties"), dict)
                return set(declared) if isinstance(declared, dict) and is_plain and not is_open else None
        return None


def _gone(item: Object, operation: Operation, what: str, name: str, path: Path) -> Finding:
    message = f'{operation.key} of the API no longer has the {what} "{name}"; remove it or import the description again'
    return Finding.of(
        Reason.INVALID_MAPPING, item.ref, message, path=path, subject=("openapi", name), level=Level.ERROR
    )


def _is_member(name: str, known: set[str]) -> bool:
    """Whether a query parameter is a member of a deep object: ``filter[status]`` of ``filter``."""
    return name.partition("[")[0] in known


def _top(argument: str) -> str:
    return argument.split("/", 2)[1].replace("~1", "/").replace("~0", "~") if argument.startswith("/") else argument
