"""PURE. JSON Schema 2020-12 as a tree: which members of a schema are schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["IN_PLACE", "Path", "at", "children", "walk"]

Path = tuple[str | int, ...]

_ONE = (
    "additionalProperties", "propertyNames", "not", "if", "then", "else", "contains", "items", "unevaluatedItems",
    "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
# Keywords whose schemas judge the very value that the schema around them judges.
IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})


def children(schema: Any) -> Iterator[tuple[Path, Any]]:
    """The schemas that stand directly in a schema, with the way to each."""
    if not isinstance(schema, dict):
        return
    for keyword in _ONE:
        if isinstance(schema.get(keyword), dict | bool):
            yield (keyword,), schema[keyword]
    for keyword in _LISTS:
        if isinstance(schema.get(keyword), list):
            yield from (((keyword, index), child) for index, child in enumerate(schema[keyword]))
    for keyword in _MAPS:
        if isinstance(schema.get(keyword), dict):
            yield from (((keyword, name), child) for name, child in schema[keyword].items())


def walk(schema: Any) -> Iterator[tuple[Path, Any]]:
    """A schema and all schemas in it, with the way to each; the outer ones first."""
    waiting: list[tuple[Path, Any]] = [((), schema)]
    for path, node in waiting:
        yield path, node
        waiting += [((*path, *step), child) for step, child in children(node)]


def at(schema: Mapping[str, Any], path: Path) -> Any:
    """What stands at a path; None if nothing does."""
    node: Any = schema
    for step in path:
        inside = isinstance(node, dict) and step in node
        if not inside and not (isinstance(node, list) and isinstance(step, int) and step < len(node)):
            return None
        node = node[step]
    return node
