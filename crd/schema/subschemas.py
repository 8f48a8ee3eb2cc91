"""PURE. JSON Schema 2020-12 as a tree: the members of a schema that are schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["IN_PLACE", "SHAPES", "Path", "children", "walk"]

Path = tuple[str | int, ...]

_ONE = (
    "additionalProperties", "propertyNames", "not", "if", "then", "else", "contains", "items", "unevaluatedItems",
    "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
# How the value of a keyword contains schemas: it is one, or a list or map of them.
SHAPES = {**dict.fromkeys(_ONE, "one"), **dict.fromkeys(_LISTS, "list"), **dict.fromkeys(_MAPS, "map")}
# Keywords whose subschemas apply to the same value as the schema that contains them.
IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})


def children(schema: Any) -> Iterator[tuple[Path, Any]]:
    """The direct subschemas of a schema, each with its path, in document order."""
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        shape = SHAPES.get(keyword)
        if shape == "one":
            if isinstance(value, dict | bool):
                yield (keyword,), value
        elif shape == "list":
            if isinstance(value, list):
                for index, child in enumerate(value):
                    yield (keyword, index), child
        elif shape == "map" and isinstance(value, dict):
            for name, child in value.items():
                yield (keyword, name), child


def walk(schema: Any) -> Iterator[tuple[Path, Any]]:
    """A schema and all its subschemas, each with its path; outer schemas first."""
    waiting: list[tuple[Path, Any]] = [((), schema)]
    for path, node in waiting:
        yield path, node
        waiting += [((*path, *step), child) for step, child in children(node)]
