"""PURE. Schemas of older drafts of JSON Schema as 2020-12, in which tools are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.schema.subschemas import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["modernize"]

_LIMITS = (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum"))


def modernize(node: Any) -> Any:
    """The schema with the keywords of 2020-12; what has them already is the same, without ``$schema``.

    The levels of the schema must be few enough to recurse.
    """
    if isinstance(node, list):
        return [modernize(each) for each in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for keyword, value in _renamed(node):
        shape = SHAPES.get(keyword)
        if shape == "map" and isinstance(value, dict):
            made[keyword] = {name: modernize(each) for name, each in value.items()}
        else:
            made[keyword] = modernize(value) if shape in ("one", "list") else value
    for exclusive, limit in _LIMITS:
        # A boolean was a property of the limit in draft-04.
        if isinstance(made.get(exclusive), bool) and made.pop(exclusive) and limit in made:
            made[exclusive] = made.pop(limit)
    return made


def _renamed(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The members of a schema under their present keywords."""
    for keyword, value in node.items():
        if keyword == "items" and isinstance(value, list):
            yield "prefixItems", value
        elif keyword == "additionalItems" and isinstance(node.get("items"), list):
            yield "items", value
        elif keyword == "dependencies" and isinstance(value, dict):
            names = {name: each for name, each in value.items() if isinstance(each, list)}
            schemas = {name: each for name, each in value.items() if not isinstance(each, list)}
            if names:
                yield "dependentRequired", names
            if schemas:
                yield "dependentSchemas", schemas
        elif keyword != "$schema":
            yield keyword, value
