"""PURE. Plain schemas: those in which no rule of `crd.rules.schemas` can find a fault, as one short walk shows.

Most schemas of tools are plain: typed members with a description, limits, a pattern, a list of strings. All others,
faulty or not, are judged in full. Proving this takes a fraction of the time of validating and compiling a schema.
"""

from __future__ import annotations

from typing import Any

from crd.schema import patterns
from crd.schema.values import BOOLEAN_NAMES

__all__ = ["is_plain"]

# Far below the limits of `crd.schema.bounds`, `crd.schema.references` and `crd.schema.patterns`.
MAX_DEPTH = 8
MAX_NODES = 200
MAX_PATTERNS = 8
MAX_PATTERN_LENGTH = 256
MAX_NUMBER = 2**53
_TEXTS = frozenset({"type", "title", "description"})
_KEYWORDS = {
    "object": _TEXTS | {"properties", "required", "additionalProperties"},
    "array": _TEXTS | {"items", "minItems", "maxItems"},
    "string": _TEXTS | {"pattern", "enum", "minLength", "maxLength"},
    "integer": _TEXTS | {"minimum", "maximum"},
    "number": _TEXTS | {"minimum", "maximum"},
    "boolean": _TEXTS,
}
_BOUNDS = {
    "array": ("minItems", "maxItems", 0),
    "string": ("minLength", "maxLength", 0),
    "integer": ("minimum", "maximum", -MAX_NUMBER),
    "number": ("minimum", "maximum", -MAX_NUMBER),
}


def is_plain(schema: Any) -> bool:
    """Whether a schema has certainly no fault. Its root may have any type."""
    waiting = [(schema, MAX_DEPTH)]
    expressions: set[str] = set()
    for node, depth in waiting:
        stated = node.get("type") if type(node) is dict and depth else None
        known = _KEYWORDS.get(stated) if type(stated) is str else None
        if known is None or not known.issuperset(node):
            return False
        if type(node.get("title", "")) is not str or type(node.get("description", "")) is not str:
            return False
        if stated == "object":
            members = node.get("properties", {})
            if type(members) is not dict or len(members) + len(waiting) > MAX_NODES:
                return False
            if type(node.get("additionalProperties", False)) is not bool or not _are_members(node, members):
                return False
            if not BOOLEAN_NAMES.isdisjoint(members):
                return False
            waiting += [(member, depth - 1) for member in members.values()]
        elif stated == "array" and "items" in node:
            waiting.append((node["items"], depth - 1))
        elif stated == "string" and not _is_plain_string(node, expressions):
            return False
        if stated in _BOUNDS and not _has_plain_bounds(node, *_BOUNDS[stated]):
            return False
    return True


def _are_members(node: dict[str, Any], members: dict[str, Any]) -> bool:
    """Whether what is required is declared, once each."""
    required = node.get("required", [])
    if type(required) is not list or len(required) > len(members):
        return False
    return all(type(name) is str and name in members for name in required) and len({*required}) == len(required)


def _is_plain_string(node: dict[str, Any], expressions: set[str]) -> bool:
    values, expression = node.get("enum"), node.get("pattern")
    if "enum" in node and (
        type(values) is not list
        or not values
        or not all(type(value) is str for value in values)
        or len({*values}) < len(values)
        or not _TEXTS.issuperset(node.keys() - {"enum"})
    ):
        return False
    if "pattern" in node:
        if type(expression) is not str or len(expression) > MAX_PATTERN_LENGTH or "\\" in expression:
            return False
        expressions.add(expression)
        return len(expressions) <= MAX_PATTERNS and patterns.is_faultless(expression)
    return True


def _has_plain_bounds(node: dict[str, Any], low: str, high: str, lowest: int) -> bool:
    least, most = node.get(low, lowest), node.get(high, MAX_NUMBER)
    return type(least) is int and type(most) is int and lowest <= least <= most <= MAX_NUMBER
