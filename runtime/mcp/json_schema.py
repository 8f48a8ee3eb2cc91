"""PURE. JSON Schema validation of arguments and results, and its faults in plain English.

A fault names the value by JSON Pointer and states the rule. It never quotes the value, which may be confidential.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from crd.schema import validation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema_rs import ValidationError

__all__ = ["MAX_DEPTH", "Validator", "compile_schema", "describe_faults", "fill_defaults"]

MAX_DEPTH = 32
MAX_FAULTS = 10
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


def compile_schema(schema: Mapping[str, Any]) -> Validator:
    """A validator. Remote references are never fetched. Raises ValueError for an invalid schema."""
    return validation.compile_schema(dict(schema), mask="the value")


def fill_defaults(schema: Mapping[str, Any], value: Mapping[str, Any], depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The object with the defaults of its absent properties, to ``depth`` levels."""
    properties = schema.get("properties")
    filled = dict(value)
    if not isinstance(properties, dict) or not depth:
        return filled
    for name, child in properties.items():
        if not isinstance(child, dict):
            continue
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        elif isinstance(filled.get(name), dict):
            filled[name] = fill_defaults(child, filled[name], depth - 1)
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
            return f"unknown property {', '.join(_quote(name) for name in rule[:MAX_FAULTS])}"
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
