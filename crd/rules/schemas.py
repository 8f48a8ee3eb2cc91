"""PURE. A tool's inputSchema is a valid JSON Schema (2020-12) for an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from crd.finding import Finding, Reason
from crd.models.tool import ToolSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["invalid_schema"]

_TYPES = "array, boolean, integer, null, number, object, string"


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema, and nothing is fetched")


_META = jsonschema_rs.Draft202012Validator(
    {"$ref": "https://json-schema.org/draft/2020-12/schema"}, retriever=_no_retrieval
)


def invalid_schema(item: Object) -> Iterator[Finding]:
    """Every place at which the inputSchema breaks the 2020-12 meta-schema, or a root that is no object (MCP, tools)."""
    if not isinstance(item.spec, ToolSpec):
        return
    schema, at = item.spec.input_schema, ("spec", "inputSchema")
    root = schema.get("type")
    if root != "object":
        given = "has no type" if root is None else f'has type "{root}"'
        message = f'inputSchema {given}; arguments are an object, so set type to "object"'
        yield Finding.of(Reason.INVALID_SCHEMA, item.ref, message, path=(*at, "type"))
    for path, message in _breaches(schema):
        yield Finding.of(Reason.INVALID_SCHEMA, item.ref, message, path=(*at, *path))


def breaking_changes(old: Object, new: Object, servers: Sequence[Ref]) -> Iterator[Finding]:
    """Placeholder."""
    yield from ()


def _breaches(schema: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Path inside the schema, and what is wrong there; at most ten."""
    count = 0
    for error in _META.iter_errors(schema):
        path = tuple(error.instance_path)
        if path == ("type",):
            continue
        yield path, _worded(path, error.message)
        count += 1
        if count == 10:
            return
    if count:
        return
    try:
        jsonschema_rs.Draft202012Validator(schema, retriever=_no_retrieval)
    except jsonschema_rs.ValidationError as error:
        yield tuple(error.instance_path), _worded(tuple(error.instance_path), error.message)


def _worded(path: tuple[str | int, ...], message: str) -> str:
    if path and path[-1] == "type":
        return f"{message.partition(' is not ')[0]} is no JSON Schema type; use one of {_TYPES}"
    first = message.splitlines()[0]
    return f"{first}; correct it (JSON Schema 2020-12)"
