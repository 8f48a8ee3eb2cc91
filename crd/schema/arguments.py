"""PURE. What an inputSchema says of one argument: whether it is there, must be, and of which types it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANY", "Argument", "argument", "declared", "type_of"]

ANY = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
MAX_STEPS = 32


@dataclass(frozen=True, slots=True)
class Argument:
    """``types`` are JSON types without null, which leaves an argument out; all where the schema says nothing."""

    name: str
    required: bool
    types: frozenset[str]
    has_default: bool


def declared(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the properties at the top, in order."""
    return tuple(map(str, _mapping(schema.get("properties"))))


def argument(schema: Mapping[str, Any], name: str) -> Argument | None:
    """The argument of a name, or at a JSON Pointer if it starts with ``/``; None if it is not declared.

    It is required only if every step to it is.
    """
    steps = [s.replace("~1", "/").replace("~0", "~") for s in name.split("/")[1:]] if name.startswith("/") else [name]
    node: Mapping[str, Any] = schema
    required = True
    for step in steps:
        node = _resolved(node, schema)
        properties = _mapping(node.get("properties"))
        if step not in properties:
            return None
        wanted = node.get("required")
        required = required and isinstance(wanted, list) and step in wanted
        node = _mapping(properties[step])
    node = _resolved(node, schema)
    return Argument(name, required, _types(node, schema, MAX_STEPS), "default" in node)


def _types(node: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> frozenset[str]:
    """The types that a value may have: of every keyword that narrows them, what all of them leave."""
    node = _resolved(node, root)
    found = ANY
    stated = node.get("type")
    if isinstance(stated, str):
        found = frozenset({stated})
    elif isinstance(stated, list):
        found = frozenset(each for each in stated if isinstance(each, str))
    if "number" in found:
        found |= {"integer"}
    values = node["enum"] if isinstance(node.get("enum"), list) else [node["const"]] if "const" in node else None
    if values is not None:
        found &= frozenset(map(type_of, values))
    if depth:
        for keyword in ("anyOf", "oneOf"):
            choices = node.get(keyword)
            if isinstance(choices, list) and choices:
                found &= frozenset().union(*(_types(_mapping(choice), root, depth - 1) for choice in choices))
        every = node.get("allOf")
        for part in every if isinstance(every, list) else ():
            found &= _types(_mapping(part), root, depth - 1)
    return (found - {"null"}) - ({"integer"} if "number" in found else set())


def _resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node behind local references."""
    for _ in range(MAX_STEPS):
        target = node.get("$ref")
        if not isinstance(target, str) or not target.startswith("#"):
            return node
        found: Any = root
        for step in target[1:].split("/")[1:]:
            found = _mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
        rest = {key: value for key, value in node.items() if key != "$ref"}
        node = {**_mapping(found), **rest}
    return node


def type_of(value: object) -> str:
    """The JSON type of a value; integer for a number without a fraction."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
