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
        ({"oneOf": [{"type": "integer"}, {"minimum": 0}]}, 1, "must match exactly one schema of oneOf"),
        ({"contains": {"const": 1}}, [2], "must contain an item that matches the schema of contains"),
        ({"exclusiveMinimum": 2}, 2, "must be > 2"),
        ({"maximum": 2}, 3, "must be ≤ 2"),
        ({"maxLength": 1}, "ab", "length must be ≤ 1"),
        ({"minItems": 1}, [], "number of items must be ≥ 1"),
        ({"maxProperties": 0}, {"a": 1}, "number of properties must be ≤ 0"),
        ({"minProperties": 1}, {}, "number of properties must be ≥ 1"),
        ({"multipleOf": 2}, 3, "must be a multiple of 2"),
        ({"not": {"type": "integer"}}, 3, "must not match the schema of not"),
        ({"type": ["array", "boolean"]}, 7, "must be a boolean or an array"),
        ({"type": ["integer", "number", "object"]}, "a", "must be an integer or a number or an object"),
        ({"unevaluatedProperties": False}, {"a": 1}, 'unknown property "a"'),
        ({"pattern": "a" * 198}, "b", f'must match the pattern "{"a" * 198}"'),
        ({"pattern": "a" * 199}, "b", f'must match the pattern "{"a" * 199}…'),
        ({"enum": ["a" * 300, "b"]}, "c", f'must be one of "{"a" * 199}…'),
        (
            {"properties": {"q": True}, "additionalProperties": False},
            {f"p{number:02}": 1 for number in range(21)},
            "unknown property " + ", ".join(f'"p{number:02}"' for number in range(20)),
        ),
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


def test_as_many_faults_as_may_be_told_are_all() -> None:
    found = faults({"items": {"type": "string"}}, list(range(json_schema.MAX_FAULTS))) or ""

    assert found.split("; ") == [f"/{index}: must be a string" for index in range(json_schema.MAX_FAULTS)]


def test_a_pointer_escapes_what_separates_its_steps() -> None:
    assert faults({"properties": {"a~/b": {"type": "string"}}}, {"a~/b": 1}) == "/a~0~1b: must be a string"
    assert faults({"type": "string"}, 1) == "must be a string"


def completed(schema: dict[str, Any], arguments: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    return json_schema.Completion(schema).complete(json_schema.compile_schema(schema), arguments)


SIZE = {"type": "integer", "default": 7.0}
NESTED = {"properties": {"deep": {"properties": {"size": SIZE, "list": {"default": [1]}}}, "n": {"default": None}}}


@pytest.mark.parametrize(
    ("schema", "arguments", "filled", "fault"),
    [
        ({"properties": {"a": {"type": "string"}}}, {"a": 1}, {"a": 1}, "/a: must be a string"),
        ({"properties": {"size": SIZE}}, {}, {"size": 7}, None),
        ({"properties": {"size": SIZE}}, {"size": 8}, {"size": 8}, None),
        ({"properties": {"size": SIZE}}, {"size": "x"}, {"size": "x"}, "/size: must be an integer"),
        (
            {"properties": {"size": SIZE, "b": {"type": "string"}}},
            {"b": 1},
            {"b": 1, "size": 7},
            "/b: must be a string",
        ),
        # A default that is not valid is left out, and all others are filled in.
        ({"properties": {"a": {"type": "string", "default": 1}, "size": SIZE}}, {}, {"size": 7}, None),
        ({"properties": {"a": {"default": {"x": 1}}}}, {}, {"a": {"x": 1}}, None),
        (NESTED, {}, {"n": None}, None),
        (NESTED, {"deep": {}}, {"deep": {"size": 7, "list": [1]}, "n": None}, None),
        (NESTED, {"deep": {"size": 1}, "n": 2}, {"deep": {"size": 1, "list": [1]}, "n": 2}, None),
        (NESTED, {"deep": 3}, {"deep": 3, "n": None}, None),
        (
            {"properties": {"deep": {"properties": {"a": {"type": "string", "default": 1}, "size": SIZE}}}},
            {"deep": {}},
            {"deep": {"size": 7}},
            None,
        ),
        # Together they are too many; without them the arguments are valid.
        ({"properties": {"a": {"default": 1}, "b": {"default": 2}}, "maxProperties": 1}, {}, {}, None),
        (
            {"properties": {"a": {"default": 1}}, "maxProperties": 1, "required": ["b", "c"]},
            {"b": 1},
            {"a": 1, "b": 1},
            'number of properties must be ≤ 1; missing required property "c"',
        ),
    ],
)
def test_absent_arguments_get_their_defaults(
    schema: dict[str, Any], arguments: dict[str, Any], filled: dict[str, Any], fault: str | None
) -> None:
    before = repr(arguments)

    found, said = completed(schema, arguments)

    assert (found, set((said or "").split("; "))) == (filled, set((fault or "").split("; ")))
    assert repr(arguments) == before


def test_defaults_are_filled_in_down_to_a_depth() -> None:
    schema: dict[str, Any] = {"properties": {"size": SIZE}}
    arguments: dict[str, Any] = {}
    for _ in range(json_schema.MAX_DEPTH):
        schema, arguments = {"properties": {"a": schema}}, {"a": arguments}

    found, fault = completed(schema, arguments)
    inner = found
    for _ in range(json_schema.MAX_DEPTH):
        inner = inner["a"]
    assert (inner, fault) == ({}, None)
    found, _ = completed(schema["properties"]["a"], arguments["a"])
    for _ in range(json_schema.MAX_DEPTH - 1):
        found = found["a"]
    assert found == {"size": 7}
