"""Faults of arguments: all of them, in plain English, by JSON Pointer, without the values."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.mcp import json_schema


def faults(schema: dict[str, Any], value: Any) -> str | None:
    return json_schema.describe_faults(json_schema.compile_schema(schema), value)


@pytest.mark.parametrize(
    ("schema", "value", "rule"),
    [
        ({"type": "string"}, 7, "must be a string"),
        ({"type": ["string", "null"]}, 7, "must be null or a string"),
        ({"enum": ["a", 1, None]}, "b", 'must be one of "a", 1, null'),
        ({"const": "a"}, "b", 'must be "a"'),
        ({"minimum": 3}, 2, "must be ≥ 3"),
        ({"exclusiveMaximum": 2.5}, 2.5, "must be < 2.5"),
        ({"minLength": 1}, "", "length must be ≥ 1"),
        ({"maxItems": 1}, [1, 2], "number of items must be ≤ 1"),
        ({"pattern": "^a"}, "b", 'must match the pattern "^a"'),
        ({"uniqueItems": True}, [1, 1], "items must be unique"),
        ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, 1, "must match at least one schema of anyOf"),
        (False, 1, "is not allowed"),
        ({"properties": {"a": True}, "additionalProperties": False}, {"b": 1, "c": 2}, 'unknown property "b", "c"'),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, 'missing required property "b"'),
    ],
)
def test_a_fault_states_the_rule(schema: Any, value: Any, rule: str) -> None:
    assert faults({"properties": {"x": schema}}, {"x": value}) == f"/x: {rule}"


def test_every_fault_is_reported_with_its_pointer() -> None:
    schema = {
        "required": ["id"],
        "properties": {"a/b": {"type": "string"}, "list": {"items": {"minimum": 0}}},
    }

    found = faults(schema, {"a/b": 1, "list": [0, -1]})

    assert set((found or "").split("; ")) == {
        'missing required property "id"', "/a~1b: must be a string", "/list/1: must be ≥ 0",
    }  # fmt: skip


def test_the_number_of_faults_and_the_length_of_a_quote_are_bounded() -> None:
    found = faults({"items": {"type": "string"}}, list(range(1000))) or ""
    assert found.count("must be a string") == json_schema.MAX_FAULTS
    assert found.endswith("; and more")

    long = "a" * 1000
    assert len(faults({"properties": {"x": {"const": long}}}, {"x": 1}) or "") < 300


@pytest.mark.parametrize(
    "schema",
    [
        {"maxLength": 3},
        {"not": {"minLength": 1}},
        {"contentMediaType": "application/json", "type": "object"},
        {"propertyNames": {"maxLength": 1}},
    ],
)
def test_a_value_is_never_quoted(schema: dict[str, Any]) -> None:
    found = faults({"properties": {"x": schema}}, {"x": "secret"})

    assert "secret" not in (found or "")


def test_a_valid_value_has_no_faults() -> None:
    assert faults({"type": "string"}, "a") is None
