"""PURE. Schemas that no value satisfies, as far as the keywords of single schemas show it.

Only certain contradictions are reported; a schema without a finding may still be unsatisfiable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from crd.schema.arguments import ANY, type_of
from crd.schema.bounds import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.schema.subschemas import Path

__all__ = ["contradictions"]

_BOUNDS = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"),
           ("minProperties", "maxProperties"))  # fmt: skip
_QUOTE = 'YAML 1.1 reads on, off, yes and no as true or false; put the words in quotes, such as "on"'
# The types that a keyword applies to; it accepts values of all other types.
_ABOUT = {"minimum": {"number", "integer"}, "minLength": {"string"}, "minItems": {"array"}, "minProperties": {"object"}}


def contradictions(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The contradictions of a schema: at its root, and in the schemas of members and items.

    A forbidden member (``false``) is a contradiction only if it is required.
    """
    yield from _walk(schema, (), MAX_DEPTH)


def _walk(node: Any, path: Path, depth: int) -> Iterator[tuple[Path, str]]:
    if not isinstance(node, dict) or not depth:
        return
    found = list(_own(node))
    if found:
        yield from (((*path, *way), message) for way, message in found[:1])
        return
    for keyword in ("properties", "$defs"):
        members = node.get(keyword)
        for name, child in members.items() if isinstance(members, dict) else ():
            yield from _walk(child, (*path, keyword, name), depth - 1)
    yield from _walk(node.get("items"), (*path, "items"), depth - 1)
    yield from _walk(node.get("additionalProperties"), (*path, "additionalProperties"), depth - 1)
    parts = node.get("allOf")
    for index, part in enumerate(parts if isinstance(parts, list) else ()):
        yield from _walk(part, (*path, "allOf", index), depth - 1)


def _own(node: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    types = _types(node)
    yield from _values(node, types)
    yield from _bounds(node, types)
    yield from _required(node, types)
    yield from _conjunction(node, types)
    if node.get("not") is True or node.get("not") == {}:
        yield ("not",), "not: {} rejects every value; correct it"


def _types(node: Mapping[str, Any]) -> frozenset[str]:
    stated = node.get("type")
    found = frozenset({stated}) if isinstance(stated, str) else ANY
    if isinstance(stated, list):
        found = frozenset(each for each in stated if isinstance(each, str))
    return found | {"integer"} if "number" in found else found


def _values(node: Mapping[str, Any], types: frozenset[str]) -> Iterator[tuple[Path, str]]:
    for keyword in ("enum", "const"):
        if keyword not in node:
            continue
        values = node[keyword] if keyword == "enum" else [node[keyword]]
        if isinstance(values, list) and not any(type_of(value) in types for value in values):
            allowed = " or ".join(sorted(types - {"integer"} if "number" in types else types)) or "anything"
            booleans = types == {"string"} and any(isinstance(value, bool) for value in values)
            repair = _QUOTE if booleans else "correct one of the two"
            yield (keyword,), f"no value of {keyword} has type {allowed}, so no value is valid; {repair}"


def _bounds(node: Mapping[str, Any], types: frozenset[str]) -> Iterator[tuple[Path, str]]:
    for low, high in _BOUNDS:
        least, most = node.get(low), node.get(high)
        if types <= _ABOUT[low] and _is_number(least) and _is_number(most) and least > most:
            yield (), f"{low} {least:g} is greater than {high} {most:g}, so no value is valid; correct one of the two"
    if not types <= _ABOUT["minimum"]:
        return
    for low, high in (("exclusiveMinimum", "maximum"), ("minimum", "exclusiveMaximum"),
                      ("exclusiveMinimum", "exclusiveMaximum")):  # fmt: skip
        least, most = node.get(low), node.get(high)
        if _is_number(least) and _is_number(most) and least >= most:
            yield (), f"{low} {least:g} is not less than {high} {most:g}, so no value is valid; correct one of the two"


def _required(node: Mapping[str, Any], types: frozenset[str]) -> Iterator[tuple[Path, str]]:
    required, properties = node.get("required"), node.get("properties")
    if types != {"object"} or not isinstance(required, list):
        return
    declared = properties if isinstance(properties, dict) else {}
    closed = node.get("additionalProperties") is False and not node.get("patternProperties")
    for name in required:
        if declared.get(name) is False:
            yield ("required",), f'"{name}" is required but forbidden, so no value is valid; correct one of the two'
        elif closed and name not in declared:
            message = f'"{name}" is required but forbidden by additionalProperties: false; declare it in properties'
            yield ("required",), message


def _conjunction(node: Mapping[str, Any], types: frozenset[str]) -> Iterator[tuple[Path, str]]:
    parts = node.get("allOf")
    left = types
    for part in parts if isinstance(parts, list) else ():
        left &= _types(part) if isinstance(part, dict) else ANY
        if part is False:
            yield ("allOf",), "one part of allOf is false, so no value is valid; remove that part"
            return
        if not left:
            yield ("allOf",), "the parts of allOf have no type in common, so no value is valid; correct one of them"
            return


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
