"""Schemas that contradict themselves, and those that only look strange."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crd.schema import satisfiable

EMPTY = (
    "no value of enum has type array or boolean or null or number or object or string, so no "
    "value is valid; correct one of the two"
)
OBJECT: dict[str, Any] = {"type": "object"}


def findings_of(schema: dict[str, Any]) -> list[tuple[str, str]]:
    return [("/".join(map(str, path)), message) for path, message in satisfiable.contradictions(schema)]


def of(schema: Any) -> dict[str, Any]:
    return {**OBJECT, "properties": {"a": schema}}


@pytest.mark.parametrize(
    ("schema", "place", "message"),
    [
        (
            {"type": "integer", "minimum": 10, "maximum": 5},
            "",
            "minimum 10 is greater than maximum 5, so no value is valid; correct one of the two",
        ),
        (
            {"type": "number", "minimum": 0.5, "maximum": 0.25},
            "",
            "minimum 0.5 is greater than maximum 0.25, so no value is valid; correct one of the two",
        ),
        (
            {"type": "string", "minLength": 2, "maxLength": 1},
            "",
            "minLength 2 is greater than maxLength 1, so no value is valid; correct one of the two",
        ),
        (
            {"type": "array", "minItems": 2, "maxItems": 1},
            "",
            "minItems 2 is greater than maxItems 1, so no value is valid; correct one of the two",
        ),
        (
            {"type": "object", "minProperties": 2, "maxProperties": 1},
            "",
            "minProperties 2 is greater than maxProperties 1, so no value is valid; correct one of the two",
        ),
        (
            {"type": "integer", "exclusiveMinimum": 5, "maximum": 5},
            "",
            "exclusiveMinimum 5 is not less than maximum 5, so no value is valid; correct one of the two",
        ),
        (
            {"type": "integer", "minimum": 5, "exclusiveMaximum": 5},
            "",
            "minimum 5 is not less than exclusiveMaximum 5, so no value is valid; correct one of the two",
        ),
        (
            {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 5},
            "",
            "exclusiveMinimum 5 is not less than exclusiveMaximum 5, so no value is valid; correct one of the two",
        ),
        (
            {"type": "integer", "enum": ["1", "2"]},
            "/enum",
            "no value of enum has type integer, so no value is valid; correct one of the two",
        ),
        (
            {"type": ["integer", "null"], "const": "x"},
            "/const",
            "no value of const has type integer or null, so no value is valid; correct one of the two",
        ),
        ({"enum": []}, "/enum", EMPTY),
        (
            {"type": "object", "required": ["b"], "properties": {"b": False}},
            "/required",
            '"b" is required but forbidden, so no value is valid; correct one of the two',
        ),
        (
            {"type": "object", "required": ["b"], "additionalProperties": False},
            "/required",
            '"b" is required but forbidden by additionalProperties: false; declare it in properties',
        ),
        (
            {"allOf": [{"type": "string"}, {"type": "integer"}]},
            "/allOf",
            "the parts of allOf have no type in common, so no value is valid; correct one of them",
        ),
        (
            {"allOf": [True, False]},
            "/allOf",
            "one part of allOf is false, so no value is valid; remove that part",
        ),
        (
            {"type": "string", "allOf": [{"type": "integer"}]},
            "/allOf",
            "the parts of allOf have no type in common, so no value is valid; correct one of them",
        ),
        ({"not": {}}, "/not", "not: {} rejects every value; correct it"),
        ({"not": True}, "/not", "not: {} rejects every value; correct it"),
    ],
)
def test_a_contradiction_is_reported_at_its_path(schema: Any, place: str, message: str) -> None:
    assert findings_of(of(schema)) == [(f"properties/a{place}", message)]
    assert findings_of({**OBJECT, "items": schema}) == [(f"items{place}", message)]
    assert findings_of({**OBJECT, "additionalProperties": schema}) == [(f"additionalProperties{place}", message)]
    assert findings_of({**OBJECT, "$defs": {"d": schema}}) == [(f"$defs/d{place}", message)]
    assert findings_of({**OBJECT, "allOf": [schema]})[0][0].startswith("allOf")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 5, "maximum": 5},
        {"minimum": 10, "maximum": 5},
        {"type": ["integer", "string"], "minimum": 10, "maximum": 5},
        {"type": "string", "minimum": 10, "maximum": 5},
        {"type": "string", "minLength": 2, "maxLength": 2},
        {"type": "number", "enum": [1, 1.5]},
        {"type": "integer", "enum": [1.0]},
        {"type": "integer", "enum": ["a", 1]},
        {"type": "object", "properties": {"b": False}},
        {"type": "object", "required": ["b"], "additionalProperties": False, "patternProperties": {"b": {}}},
        {"type": "object", "required": ["b"], "properties": {"b": True}, "additionalProperties": False},
        {"required": ["b"], "additionalProperties": False},
        {"allOf": [{"type": "number"}, {"type": "integer"}]},
        {"allOf": [{}]},
        {"not": {"type": "string"}},
        {"not": False},
        False,
        True,
        {"type": "integer", "minimum": True, "maximum": False},
    ],
)
def test_what_something_satisfies_is_not_reported(schema: Any) -> None:
    assert findings_of(of(schema)) == []


def test_one_contradiction_is_told_of_one_schema() -> None:
    assert len(findings_of(of({"type": "integer", "minimum": 2, "maximum": 1, "enum": ["x"]}))) == 1


@pytest.mark.parametrize(
    ("keyword", "within"),
    [
        ("items", lambda node: node),
        ("additionalProperties", lambda node: node),
        ("properties", lambda node: {"a": node}),
        ("$defs", lambda node: {"a": node}),
        ("allOf", lambda node: [node]),
    ],
)
def test_a_schema_is_looked_into_only_so_deep(keyword: str, within: Any) -> None:
    deep: Any = {"not": {}}
    for _ in range(satisfiable.MAX_DEPTH - 1):
        deep = {keyword: within(deep)}

    assert len(findings_of(deep)) == 1
    assert findings_of({keyword: within(deep)}) == []


LIMITS = st.integers(-2, 3)
SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["integer", "string", "object", "array", ["integer", "string"]]),
        "minimum": LIMITS,
        "maximum": LIMITS,
        "exclusiveMinimum": LIMITS,
        "exclusiveMaximum": LIMITS,
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "enum": st.lists(st.sampled_from([1, 2, "a", "", None, [], {}]), max_size=3),
        "required": st.lists(st.sampled_from(["p", "q"]), unique=True),
        "additionalProperties": st.booleans(),
        "properties": st.dictionaries(st.sampled_from(["p", "q"]), st.booleans()),
    },
)
VALUES = [
    None,
    True,
    -3,
    -1,
    0,
    1,
    2,
    3,
    4,
    0.5,
    "",
    "a",
    "ab",
    "abc",
    [],
    [1],
    [1, 2],
    {},
    {"p": 1},
    {"q": 1},
    {"p": 1, "q": 2},
]


@settings(deadline=None, max_examples=400)
@given(SCHEMAS)
def test_nothing_satisfies_what_is_called_a_contradiction(schema: dict[str, Any]) -> None:
    if findings_of(schema):
        validator = jsonschema_rs.Draft202012Validator(schema)
        assert [value for value in VALUES if validator.is_valid(value)] == []
