"""What the position of an argument demands of a string, and how a schema says it."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema import positions
from crd.schema.positions import BASE64, HEADER, MULTI_SEGMENT, SEGMENT
from crd.schema.validation import compile_schema


@pytest.mark.parametrize(
    ("constraint", "value", "rejected"),
    [
        *((SEGMENT, value, False) for value in ("a", "a b", ".git", "a.b", "..a", "ü", "a;b", ".a;b", "x" * 1024)),
        *(
            (SEGMENT, value, True)
            for value in ("", ".", "..", "...", "..;a", ".;", "a/b", "a\\b", "a%2f", "a\n", "x" * 1025)
        ),
        *((MULTI_SEGMENT, value, False) for value in ("a", "a/b", ".git/x")),
        *((MULTI_SEGMENT, value, True) for value in ("", "/a", "a/", "a//b", "a/../b")),
        *((HEADER, value, False) for value in ("", "a", "a b", "~")),
        *((HEADER, value, True) for value in (" a", "a ", "ü", "a\nb", "a\n")),
        *((BASE64, value, False) for value in ("", "AP8=", "AA==", "AAAA")),
        *((BASE64, value, True) for value in ("A", "no!", "AAA", "AP8=\n")),
        *((positions.header_item(","), value, False) for value in ("a", "a b")),
        *((positions.header_item(","), value, True) for value in ("", "a,b", ",", "a ")),
        (positions.header_item(" "), "a b", True),
        (positions.header_item(" "), "a,b", False),
        (positions.header_item("|"), "a|b", True),
        (positions.header_item("|"), "a,b c", False),
    ],
)
def test_a_position_rejects_a_string(constraint: Any, value: str, rejected: bool) -> None:
    assert positions.rejects(constraint, value) is rejected
    listed = positions.narrow({"type": "string"}, (), constraint)
    assert compile_schema(listed).is_valid(value) is not rejected


@pytest.mark.parametrize(
    "node",
    [
        {"type": "integer"},
        {"type": ["boolean", "null"]},
        {"enum": ["a"]},
        {"const": "a"},
        {"type": "string", "pattern": "^[A-Z]+$", "minLength": 1, "maxLength": 10},
    ],
)
def test_a_property_that_holds_no_free_string_is_left_as_it_is(node: Any) -> None:
    schema = {"properties": {"a": node}}

    assert positions.narrow(schema, ("a",), SEGMENT) == schema


@pytest.mark.parametrize("path", [("b",), ("a", "b"), ("a", "b", "c")])
def test_what_is_not_declared_is_not_narrowed(path: tuple[str, ...]) -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/a"}, "c": True}}

    assert positions.narrow(schema, path, SEGMENT) == schema


@pytest.mark.parametrize(
    ("node", "items"),
    [
        ({}, {}),
        ({"type": "array"}, {}),
        ({"type": ["array", "null"], "items": True}, {}),
        ({"$ref": "#/$defs/a"}, {}),
        ({"type": "array", "items": {"type": "string"}}, {"type": "string"}),
    ],
)
def test_the_items_of_a_list_are_narrowed_wherever_there_can_be_a_list(node: Any, items: Any) -> None:
    narrowed = positions.narrow({"properties": {"a": node}}, ("a",), positions.query_item(" "), items=True)

    assert narrowed == {"properties": {"a": {**node, "items": {**items, "pattern": "^[^ ]*$"}}}}


@pytest.mark.parametrize(
    "node", [{"type": "string"}, {"enum": [[]]}, {"const": []}, {"items": False}, {"items": {"type": "integer"}}]
)
def test_what_holds_no_list_of_strings_is_left_as_it_is(node: Any) -> None:
    schema = {"properties": {"a": node}}

    assert positions.narrow(schema, ("a",), positions.query_item("|"), items=True) == schema


def test_a_pattern_of_the_author_stays_beside_the_constraint() -> None:
    node = {"type": "string", "pattern": "^a.*$", "maxLength": 5000, "allOf": [{"minLength": 2}]}

    assert positions.narrow(node, (), SEGMENT) == {
        "type": "string",
        "pattern": "^a.*$",
        "maxLength": 1024,
        "minLength": 1,
        "allOf": [{"minLength": 2}, {"pattern": SEGMENT.pattern}],
    }


def test_a_reference_gets_the_constraint_beside_it() -> None:
    assert positions.narrow({"$ref": "#/$defs/a", "maxLength": 7}, (), SEGMENT) == {
        "$ref": "#/$defs/a",
        "maxLength": 7,
        "minLength": 1,
        "pattern": SEGMENT.pattern,
    }
