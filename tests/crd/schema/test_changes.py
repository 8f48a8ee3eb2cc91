"""What a change of an inputSchema takes away from callers."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crd.schema import changes


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def findings_of(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
    return [("/".join(map(str, path)), what) for path, what in changes.breaking(old, new)]


TEXT: dict[str, Any] = {"type": "string"}
A = "properties/a"


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        (of(a=TEXT), {**of(a=TEXT), "required": ["a"]}, "required", '"a" is now required'),
        (of(), {**of(b=TEXT), "required": ["b"]}, "required", '"b" is now required'),
        (of(a=TEXT), of(), "properties", '"a" was removed'),
        (of(a=TEXT), of(a=False), A, "the property is now forbidden"),
        (
            of(),
            {**of(), "additionalProperties": False},
            "additionalProperties",
            "undeclared properties are now rejected",
        ),
        (of(a=TEXT), of(a={"type": "integer"}), f"{A}/type", "type string is no longer accepted"),
        (of(a={"type": ["string", "null"]}), of(a=TEXT), f"{A}/type", "type null is no longer accepted"),
        (of(a={"type": "number"}), of(a={"type": "integer"}), f"{A}/type", "type number is no longer accepted"),
        (
            of(a={}),
            of(a={"type": ["string", "array", "null", "boolean", "object", "integer"]}),
            f"{A}/type",
            "type number is no longer accepted",
        ),
        (of(a={"anyOf": [TEXT, {"type": "integer"}]}), of(a=TEXT), f"{A}/type", "type integer is no longer accepted"),
        (of(a={"enum": ["x", "y"]}), of(a={"enum": ["x"]}), f"{A}/enum", '"y" is no longer accepted'),
        (of(a=TEXT), of(a={**TEXT, "enum": ["x"]}), f"{A}/enum", "only listed values are now accepted"),
        (
            of(a={"enum": ["x", "y", "z"]}),
            of(a={"enum": ["z"]}),
            f"{A}/enum",
            '"x" and "y" are no longer accepted',
        ),
        (
            of(a={"type": ["string", "null", "integer"]}),
            of(a=TEXT),
            f"{A}/type",
            "types integer and null are no longer accepted",
        ),
        (of(a={**TEXT, "enum": ["x", "y"]}), of(a={**TEXT, "const": "x"}), f"{A}/const", '"y" is no longer accepted'),
        (of(a={**TEXT, "const": "x"}), of(a={**TEXT, "enum": ["y"]}), f"{A}/enum", '"x" is no longer accepted'),
        (
            of(a={"type": "integer", "minimum": 1}),
            of(a={"type": "integer", "minimum": 2}),
            f"{A}/minimum",
            "minimum 2 is stricter than before",
        ),
        (
            of(a={"type": "integer"}),
            of(a={"type": "integer", "maximum": 2}),
            f"{A}/maximum",
            "maximum 2 is stricter than before",
        ),
        (
            of(a={**TEXT, "maxLength": 5}),
            of(a={**TEXT, "maxLength": 4}),
            f"{A}/maxLength",
            "maxLength 4 is stricter than before",
        ),
        (of(a=TEXT), of(a={**TEXT, "pattern": "^x"}), f"{A}/pattern", 'pattern "^x" is new'),
        (
            of(a={**TEXT, "pattern": "^y"}),
            of(a={**TEXT, "pattern": "^x"}),
            f"{A}/pattern",
            'pattern "^x" is new',
        ),
        (
            of(a={"type": "integer"}),
            of(a={"type": "integer", "multipleOf": 2}),
            f"{A}/multipleOf",
            "multipleOf 2 is new",
        ),
        (
            of(a={"type": "array"}),
            of(a={"type": "array", "uniqueItems": True}),
            f"{A}/uniqueItems",
            "duplicate items are now rejected",
        ),
        (
            of(a={"type": "array", "items": TEXT}),
            of(a={"type": "array", "items": {"type": "integer"}}),
            f"{A}/items/type",
            "type string is no longer accepted",
        ),
        (of(a=of(b=TEXT)), of(a=of()), f"{A}/properties", '"b" was removed'),
        (of(a=of(b=TEXT)), of(a={**of(b=TEXT), "required": ["b"]}), f"{A}/required", '"b" is now required'),
    ],
)
def test_what_refuses_former_calls_is_reported(old: Any, new: Any, place: str, what: str) -> None:
    assert findings_of(old, new) == [(place, what)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (of(a=TEXT), of(a=TEXT)),
        (of(a=TEXT), of(a={**TEXT, "description": "new"}, b=TEXT)),
        ({**of(a=TEXT), "required": ["a"]}, of(a=TEXT)),
        (of(), {**of(b={**TEXT, "default": "x"}), "required": ["b"]}),
        (of(a={"type": "integer"}), of(a={"type": "number"})),
        (of(a={**TEXT, "enum": ["x"]}), of(a={**TEXT, "enum": ["x", "y"]})),
        (of(a={"enum": [1.0, {"b": 1, "a": 2}]}), of(a={"enum": [1, {"a": 2, "b": 1}]})),
        (of(a={**TEXT, "enum": ["x"]}), of(a=TEXT)),
        (of(a={"type": "integer", "minimum": 2}), of(a={"type": "integer", "minimum": 1})),
        (of(a={**TEXT, "maxLength": 4}), of(a={**TEXT, "maxLength": 5})),
        (of(a={**TEXT, "pattern": "^x"}), of(a=TEXT)),
        ({**of(a=TEXT), "additionalProperties": False}, of(a=TEXT)),
        (of(a=False), of(a=False)),
        (of(a={"type": "array", "uniqueItems": True}), of(a={"type": "array"})),
        ({**of(a={"$ref": "#/$defs/t"}), "$defs": {"t": TEXT}}, of(a=TEXT)),
    ],
)
def test_what_refuses_nothing_is_not_reported(old: Any, new: Any) -> None:
    assert findings_of(old, new) == []


def test_three_of_many_lost_values_are_named_and_the_others_counted() -> None:
    ((_, what),) = findings_of(of(a={"enum": ["a", "b", "c", "d", "e"]}), of(a={"enum": ["e"]}))

    assert what == '"a", "b", "c" and 1 more are no longer accepted'


LEAF = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["integer", "string", "number", ["integer", "string"]]),
        "minimum": st.integers(0, 2),
        "maximum": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "enum": st.lists(st.sampled_from([0, 1, "", "a"]), min_size=1, max_size=3, unique_by=str),
    },
)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from(["p", "q"]), LEAF)},
    optional={"required": st.lists(st.sampled_from(["p", "q"]), unique=True), "additionalProperties": st.booleans()},
)
CALLS = [
    {},
    *({name: value} for name in "pq" for value in (0, 1, 2, 0.5, "", "a", "abc")),
    {"p": 1, "q": "a"},
    {"r": 1},
]


@settings(deadline=None, max_examples=300)
@given(SCHEMAS, SCHEMAS)
def test_where_nothing_is_told_no_former_call_is_refused(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Of calls with declared arguments: what was never declared was never promised."""
    if not findings_of(old, new):
        before, after = (jsonschema_rs.Draft202012Validator(schema) for schema in (old, new))
        calls = [call for call in CALLS if set(call) <= set(old["properties"])]
        assert [call for call in calls if before.is_valid(call) and not after.is_valid(call)] == []


@given(SCHEMAS)
def test_no_change_breaks_nothing(schema: dict[str, Any]) -> None:
    assert findings_of(schema, schema) == []
