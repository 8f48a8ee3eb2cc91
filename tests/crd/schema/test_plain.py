"""Plain schemas: what is called plain has no fault, and what is only a step away from it is judged in full."""

from __future__ import annotations

from typing import Any

import pytest

from crd.rules import schemas
from crd.schema import plain

TEXT: dict[str, Any] = {"type": "string"}
MOST = plain.MAX_NUMBER


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def nested(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "boolean"}
    for _ in range(levels - 1):
        node = of(a=node)
    return node


def listed(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "boolean"}
    for _ in range(levels - 1):
        node = {"type": "array", "items": node}
    return node


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        of(),
        of(a=TEXT, b={"type": "boolean"}),
        {**of(a=TEXT), "title": "A", "description": "b"},
        {**of(a=TEXT, b=TEXT), "required": ["a", "b"]},
        {**of(a=TEXT), "required": []},
        {**of(a=TEXT), "additionalProperties": False},
        {**of(a=TEXT), "additionalProperties": True},
        *(
            of(a={"type": kind, "title": "A", "description": "b"})
            for kind in ("object", "array", "string", "integer", "number", "boolean")
        ),
        of(a={"type": "array", "items": TEXT, "minItems": 0, "maxItems": 0}),
        of(a={"type": "array", "minItems": 1, "maxItems": 2}),
        of(a={**TEXT, "minLength": 0, "maxLength": 0}),
        of(a={**TEXT, "minLength": 1}),
        of(a={**TEXT, "maxLength": MOST}),
        of(a={"type": "integer", "minimum": -MOST, "maximum": MOST}),
        of(a={"type": "number", "minimum": 2, "maximum": 2}),
        of(a={"type": "number", "maximum": -5}),
        of(a={**TEXT, "enum": ["a"]}),
        of(a={**TEXT, "enum": ["a", "b"], "title": "A", "description": "b"}),
        of(a={**TEXT, "pattern": "^[a-z]+$"}),
        of(a={**TEXT, "pattern": "a" * plain.MAX_PATTERN_LENGTH}),
        of(**{f"p{n}": {**TEXT, "pattern": f"^a{n}$"} for n in range(plain.MAX_PATTERNS)}),
        of(**{f"p{n}": {**TEXT, "pattern": "^a$"} for n in range(plain.MAX_PATTERNS + 1)}),
        of(**{f"p{n}": TEXT for n in range(plain.MAX_NODES - 1)}),
        nested(plain.MAX_DEPTH),
        listed(plain.MAX_DEPTH),
        TEXT,
    ],
)
def test_what_is_plain_has_no_fault(schema: Any) -> None:
    assert plain.is_plain(schema)
    assert schemas._find_faults(schema, of_arguments=False) == ()


@pytest.mark.parametrize(
    "schema",
    [
        True,
        None,
        [],
        {},
        {"type": "null"},
        {"type": ["string"]},
        {"type": 7},
        {"properties": {}},
        of(a=True),
        of(a={}),
        of(a={"type": ["string", "null"]}),
        of(a={"$ref": "#"}),
        # Keywords of another type, and keywords that need a closer look.
        {**of(), "minProperties": 1},
        {**of(), "$defs": {}},
        {**of(), "items": TEXT},
        of(a={**TEXT, "minimum": 1}),
        of(a={**TEXT, "format": "date"}),
        of(a={**TEXT, "default": "a"}),
        of(a={**TEXT, "const": "a"}),
        of(a={"type": "integer", "enum": [1]}),
        of(a={"type": "integer", "multipleOf": 1}),
        of(a={"type": "number", "exclusiveMinimum": 1}),
        of(a={"type": "boolean", "minLength": 1}),
        of(a={"type": "array", "uniqueItems": True}),
        of(a={"type": "array", "properties": {}}),
        of(a={"type": "array", "items": True}),
        of(a={"type": "array", "items": {}}),
        # Members of the wrong type.
        {**of(), "title": 7},
        {**of(), "description": None},
        of(a={**TEXT, "title": ["a"]}),
        of(a={**TEXT, "description": {}}),
        {"type": "object", "properties": []},
        {"type": "object", "properties": None},
        {**of(), "additionalProperties": TEXT},
        {**of(), "additionalProperties": None},
        # What is required must be declared, once.
        {**of(a=TEXT), "required": ["b"]},
        {**of(a=TEXT, b=TEXT), "required": ["a", "a"]},
        {**of(a=TEXT), "required": "a"},
        {**of(a=TEXT), "required": ("a",)},
        {**of(a=TEXT), "required": [7]},
        {**of(a=TEXT), "required": None},
        {"type": "object", "required": ["a"]},
        # Bounds that are not integers, or that exclude every value.
        of(a={"type": "array", "minItems": 2, "maxItems": 1}),
        of(a={"type": "array", "minItems": -1}),
        of(a={"type": "array", "maxItems": MOST + 1}),
        of(a={**TEXT, "minLength": 2, "maxLength": 1}),
        of(a={**TEXT, "minLength": -1}),
        of(a={**TEXT, "maxLength": -1}),
        of(a={**TEXT, "maxLength": 1.5}),
        of(a={**TEXT, "minLength": True}),
        of(a={"type": "integer", "minimum": 2, "maximum": 1}),
        of(a={"type": "integer", "minimum": -MOST - 1}),
        of(a={"type": "integer", "maximum": MOST + 1}),
        of(a={"type": "integer", "maximum": -MOST - 1}),
        of(a={"type": "number", "minimum": 0.5}),
        of(a={"type": "number", "maximum": None}),
        of(a={"type": "number", "maximum": 1, "minimum": 2}),
        # Lists of values, and patterns.
        of(a={**TEXT, "enum": []}),
        of(a={**TEXT, "enum": "a"}),
        of(a={**TEXT, "enum": None}),
        of(a={**TEXT, "enum": ["a", 1]}),
        of(a={**TEXT, "enum": ["a", "a"]}),
        of(a={**TEXT, "enum": ["a"], "maxLength": 1}),
        of(a={**TEXT, "enum": ["a"], "pattern": "a"}),
        of(a={**TEXT, "pattern": None}),
        of(a={**TEXT, "pattern": 7}),
        of(a={**TEXT, "pattern": r"\d"}),
        of(a={**TEXT, "pattern": "["}),
        of(a={**TEXT, "pattern": "(?=a)"}),
        of(a={**TEXT, "pattern": "a" * (plain.MAX_PATTERN_LENGTH + 1)}),
        of(**{f"p{n}": {**TEXT, "pattern": f"^a{n}$"} for n in range(plain.MAX_PATTERNS + 1)}),
        # Schemas beyond the limits, and faults in the last place.
        of(**{f"p{n}": TEXT for n in range(plain.MAX_NODES)}),
        of(a=of(**{f"p{n}": TEXT for n in range(100)}), b=of(**{f"p{n}": TEXT for n in range(100)})),
        nested(plain.MAX_DEPTH + 1),
        listed(plain.MAX_DEPTH + 1),
        of(a=TEXT, b=of(c={"type": "array", "items": {**TEXT, "minLength": -1}})),
    ],
)
def test_what_needs_a_closer_look_is_not_plain(schema: Any) -> None:
    assert not plain.is_plain(schema)
