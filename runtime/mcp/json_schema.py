"""PURE. JSON Schema validation of arguments and results, and its faults in plain English.

A fault names the value by JSON Pointer and states the rule. It never quotes the value, which may be confidential.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from crd.schema import validation
from crd.schema.arguments import Arguments
from runtime.mcp import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema_rs import ValidationError

__all__ = ["MAX_DEPTH", "Completion", "Validator", "compile_schema", "describe_faults"]

MAX_DEPTH = 32
MAX_FAULTS = 100
# Names of unknown properties in one fault.
MAX_NAMES = 20
# The faults by which wrong defaults are found.
MAX_PLACES = 100
# An enum or a pattern of a schema may be long; a message stays readable.
MAX_QUOTE = 200

_TYPES = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
_RULES = {
    "const": "must be {}",
    "contains": "must contain an item that matches the schema of contains",
    "exclusiveMaximum": "must be < {}",
    "exclusiveMinimum": "must be > {}",
    "falseSchema": "is not allowed",
    "maxItems": "number of items must be ≤ {}",
    "maxLength": "length must be ≤ {}",
    "maxProperties": "number of properties must be ≤ {}",
    "maximum": "must be ≤ {}",
    "minItems": "number of items must be ≥ {}",
    "minLength": "length must be ≥ {}",
    "minProperties": "number of properties must be ≥ {}",
    "minimum": "must be ≥ {}",
    "multipleOf": "must be a multiple of {}",
    "not": "must not match the schema of not",
    "pattern": "must match the pattern {}",
    "required": "missing required property {}",
    "uniqueItems": "items must be unique",
}

Validator = validation.Draft202012Validator
Pointer = tuple[str | int, ...]


def compile_schema(schema: Mapping[str, Any]) -> Validator:
    """A validator. Remote references are never fetched. Raises ValueError for an invalid schema."""
    return validation.compile_schema(dict(schema), mask="the value")


class Completion:
    """Arguments with the defaults of a schema.

    A default is an annotation: JSON Schema does not require that it is valid. One that makes the arguments invalid is
    left out, so that no call fails for an argument that the client did not send.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """``schema`` must not change as long as this object is used."""
        self._schema = schema
        self._parts = Arguments(schema) if b'"default"' in orjson.dumps(schema) else None
        # By the identity of a part of the schema.
        self._known: dict[int, tuple[tuple[str, dict[str, Any], Mapping[str, Any] | None], ...]] = {}
        # The defaults, if all of them are scalars at the top; None if they must be looked for.
        self._flat = self._find_flat(self._parts) if self._parts is not None else None

    def complete(self, validator: Validator, arguments: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """The arguments with the defaults of absent properties, and their faults; None if they are valid."""
        if self._parts is None:
            return arguments, describe_faults(validator, arguments)
        if self._flat is not None:
            filled = dict(arguments)
            for name, default in self._flat:
                if name not in filled:
                    filled[name] = default
            if validator.is_valid(filled):
                return filled, None
        added: list[Pointer] = []
        filled = self._fill(self._schema, arguments, (), added, frozenset(), MAX_DEPTH)
        faults = describe_faults(validator, filled)
        if faults is None or not added:
            return filled, faults
        places = {tuple(fault.instance_path) for fault in islice(validator.iter_errors(filled), MAX_PLACES)}
        wrong = frozenset(pointer for pointer in added if any(place[: len(pointer)] == pointer for place in places))
        filled = self._fill(self._schema, arguments, (), [], wrong, MAX_DEPTH)
        faults = describe_faults(validator, filled)
        if faults is not None and validator.is_valid(arguments):
            return arguments, None
        return filled, faults

    def _find_flat(self, parts: Arguments) -> tuple[tuple[str, Any], ...] | None:
        flat = []
        for name, child, given in self._properties(self._schema):
            if parts.properties(child) or (given is not None and isinstance(given["default"], dict | list)):
                return None
            if given is not None:
                flat.append((name, numbers.canonical(given["default"])))
        return tuple(flat)

    def _properties(self, node: Mapping[str, Any]) -> tuple[tuple[str, dict[str, Any], Mapping[str, Any] | None], ...]:
        """The properties of an object's schema, each with its schema and the part of it that has a default."""
        known = self._known.get(id(node))
        if known is None and self._parts is not None:
            known = self._known[id(node)] = tuple(
                (name, child, next((part for part in self._parts.behind(child) if "default" in part), None))
                for name, child in self._parts.properties(node).items()
                if isinstance(child, dict)
            )
        return known or ()

    def _fill(
        self,
        node: Mapping[str, Any],
        value: dict[str, Any],
        at: Pointer,
        added: list[Pointer],
        without: frozenset[Pointer],
        depth: int,
    ) -> dict[str, Any]:
        """The object with its defaults, except those at ``without``; ``added`` collects where."""
        filled = dict(value)
        if self._parts is None or not depth:
            return filled
        for name, child, given in self._properties(node):
            if name not in filled:
                if given is not None and (here := (*at, name)) not in without:
                    filled[name] = numbers.canonical(given["default"])
                    added.append(here)
            elif isinstance(filled[name], dict):
                filled[name] = self._fill(child, filled[name], (*at, name), added, without, depth - 1)
        return filled


def describe_faults(validator: Validator, value: Any) -> str | None:
    """Every fault of a value, up to `MAX_FAULTS`, separated by semicolons. None if the value is valid."""
    if validator.is_valid(value):
        return None
    faults = list(islice(validator.iter_errors(value), MAX_FAULTS + 1))
    lines = []
    for fault in faults[:MAX_FAULTS]:
        steps = (str(step).replace("~", "~0").replace("/", "~1") for step in fault.instance_path)
        pointer = "".join(f"/{step}" for step in steps)
        lines.append(f"{pointer}: {_describe(fault)}" if pointer else _describe(fault))
    return "; ".join(lines) + ("; and more" if len(faults) > MAX_FAULTS else "")


def _describe(fault: ValidationError) -> str:
    """The rule that a value breaks. Keywords without a text here get that of the validator, which masks the value."""
    keyword, rule = fault.kind.name, fault.kind.value
    match keyword:
        case "additionalProperties" | "unevaluatedProperties":
            return f"unknown property {', '.join(_quote(name) for name in rule[:MAX_NAMES])}"
        case "type":
            return f"must be {' or '.join(_TYPES[name] for name in rule)}"
        case "enum":
            return f"must be one of {_shorten(', '.join(_quote(choice) for choice in rule))}"
        case "anyOf" | "oneOf":
            return f"must match {'at least' if keyword == 'anyOf' else 'exactly'} one schema of {keyword}"
    return _RULES[keyword].format(_quote(rule)) if keyword in _RULES else _shorten(fault.message)


def _quote(value: Any) -> str:
    return _shorten(orjson.dumps(value).decode())


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_QUOTE else f"{text[:MAX_QUOTE]}…"
