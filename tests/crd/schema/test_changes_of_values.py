"""Changes of strings, of listed values and of types."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crd.schema.comparison import (
    INTEGER,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    assert_breaks,
    assert_harmless,
    findings_of,
    of,
)


@pytest.mark.parametrize(
    ("old", "new", "what", "lost"),
    [
        ({}, {"minLength": 1}, "minLength 1 is stricter than before", ""),
        ({"minLength": 1}, {"minLength": 2}, "minLength 2 is stricter than before", "a"),
        ({}, {"maxLength": 3}, "maxLength 3 is stricter than before", "abcd"),
        ({"maxLength": 4}, {"maxLength": 3}, "maxLength 3 is stricter than before", "abcd"),
        ({"minLength": 1}, {"maxLength": 3}, "maxLength 3 is stricter than before", "abcd"),
        (
            {"allOf": [{"minLength": 1}, {"minLength": 2}]},
            {"minLength": 3},
            "minLength 3 is stricter than before",
            "ab",
        ),
        (
            {"allOf": [{"maxLength": 4}, {"maxLength": 3}]},
            {"maxLength": 2},
            "maxLength 2 is stricter than before",
            "abc",
        ),
        ({"pattern": "^a"}, {"pattern": "^a*$"}, 'pattern "^a*$" is new', "ab"),
        ({"pattern": "^a"}, {"pattern": "^ä"}, 'pattern "^ä" is new', "ab"),
    ],
)
def test_a_stricter_limit_of_strings_is_reported(old: Any, new: Any, what: str, lost: str) -> None:
    (keyword,) = new
    found = [(f"properties/a/{keyword}", what)]
    assert_breaks(of(a={**TEXT, **old}), of(a={**TEXT, **new}), found, {"a": lost})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"minLength": 1}, {"minLength": 1, "title": "A"}),
        ({"minLength": 2}, {"minLength": 1}),
        ({}, {"minLength": 0}),
        ({"maxLength": 3}, {"maxLength": 3, "title": "A"}),
        ({"maxLength": 3}, {"maxLength": 4}),
        ({"allOf": [{"minLength": 2}, {"minLength": 1}]}, {"minLength": 2}),
        ({"allOf": [{"maxLength": 3}, {"maxLength": 4}]}, {"maxLength": 3}),
        ({"allOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, {"pattern": "b$"}),
        ({"maxLength": 0}, {"enum": [""]}),
        ({"maxLength": 0}, {"pattern": "^$"}),
        ({"enum": ["a", "ab"]}, {"pattern": "^a"}),
        ({"enum": ["a", "ab"]}, {"minLength": 1, "maxLength": 2}),
        ({"format": "date"}, {"format": "uri"}),
    ],
)
def test_a_limit_that_all_strings_met_is_not_reported(old: Any, new: Any) -> None:
    assert_harmless(of(a={**TEXT, **old}), of(a={**TEXT, **new}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"enum": ["a", "b"]}, {"enum": ["b", "a", "c"]}),
        ({"enum": ["a", 1], **TEXT}, {"const": "a"}),
        ({"enum": ["a", "b"], "allOf": [{"enum": ["b", "c", "ab"]}]}, {"const": "b"}),
        ({"enum": ["a", "b", "c"], "allOf": [{"enum": ["b", "a"]}]}, {"enum": ["a", "b"]}),
        ({"enum": ["a", "b", "ab"], "maxLength": 1}, {"enum": ["a", "b"]}),
        ({"enum": ["a", "b", "ab"], "allOf": [{"maxLength": 1}, {"pattern": "b"}]}, {"enum": ["b"]}),
        ({"enum": ["a", "b", "ab"], "not": {"minLength": 2}}, {"enum": ["a", "b"]}),
        ({"enum": ["a", "b", "ab"], "allOf": [{"not": {"const": "a"}}, {"not": {"const": "b"}}]}, {"const": "ab"}),
        ({"enum": [1, 2, 3], "minimum": 2}, {"enum": [2, 3]}),
        ({"enum": [{"b": 1, "a": 2}]}, {"const": {"a": 2, "b": 1}}),
        ({"enum": [2.0, [1]]}, {"enum": [[1], 2]}),
        ({"type": "boolean"}, {"enum": [True, False]}),
        ({"type": "boolean", "not": {"const": True}}, {"const": False}),
        ({"type": "null"}, {"const": None}),
        ({"type": ["null", "boolean"]}, {"enum": [False, None, True]}),
        ({**LIST, "maxItems": 0}, {"const": []}),
        ({**OBJECT, "maxProperties": 0}, {"const": {}}),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"const": "a", "enum": ["a", "b"]}, {"enum": ["a"]}),
        ({"enum": ["a", "b"]}, {"not": {"const": "c"}}),
        ({"enum": ["a", "b"]}, {"anyOf": [{"const": "a"}, {"const": "b"}]}),
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, {"enum": ["a", "b"]}),
        ({"enum": [[1, 2], [1]]}, {**LIST, "maxItems": 2, "items": INTEGER, "contains": {"const": 1}}),
        ({"enum": [{"a": 1}]}, {**OBJECT, "properties": {"a": INTEGER}, "required": ["a"]}),
        ({"enum": ["a"], "$comment": "x"}, {"enum": ["a"], "$comment": "y"}),
    ],
)
def test_values_that_are_still_accepted_are_not_reported(old: Any, new: Any) -> None:
    assert_harmless(of(a=old), of(a=new))


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "lost"),
    [
        ({"enum": ["a", "b"]}, {"const": "a"}, "const", '"b" is no longer accepted', "b"),
        ({"enum": ["a", "ä"]}, {"enum": ["a"]}, "enum", '"ä" is no longer accepted', "ä"),
        ({"enum": ["a", "b", "ab"], "maxLength": 1}, {"const": "a"}, "const", '"b" is no longer accepted', "b"),
        ({"enum": ["a", "b"], "not": {"const": "b"}}, {"const": "b"}, "const", '"a" is no longer accepted', "a"),
        ({"enum": [1, "1"]}, {"enum": ["1"]}, "enum", "1 is no longer accepted", 1),
        ({"const": 1}, {"const": True}, "const", "1 is no longer accepted", 1),
        ({"const": False}, {"const": 0}, "const", "false is no longer accepted", False),
        ({"enum": [0, False]}, {"enum": [0]}, "enum", "false is no longer accepted", False),
        ({"enum": [1.5, 2]}, {"enum": [2.0]}, "enum", "1.5 is no longer accepted", 1.5),
        (
            {"enum": [{"a": [1, None]}]},
            {"enum": [{}]},
            "enum",
            '{"a": [1, null]} is no longer accepted',
            {"a": [1, None]},
        ),
        ({"type": "boolean"}, {"const": True}, "const", "false is no longer accepted", False),
        ({"type": ["boolean", "null"]}, {"const": True}, "const", "false and null are no longer accepted", None),
        ({"type": ["boolean", "string"]}, {"const": True}, "const", "only listed values are now accepted", "a"),
        ({**LIST, "maxItems": 0}, {"const": [1]}, "const", "[] is no longer accepted", []),
        ({**OBJECT, "maxProperties": 0}, {"const": {"a": 1}}, "const", "{} is no longer accepted", {}),
        ({**LIST, "maxItems": 1}, {"const": []}, "const", "only listed values are now accepted", [1]),
        ({**OBJECT, "maxProperties": 1}, {"const": {}}, "const", "only listed values are now accepted", {"a": 1}),
        ({**TEXT, "maxLength": 1}, {"const": ""}, "const", "only listed values are now accepted", "a"),
        ({**TEXT, "maxLength": 0}, {"const": "a"}, "const", '"" is no longer accepted', ""),
        ({"enum": ["a", "b"]}, {**TEXT, "pattern": "^a"}, "pattern", 'pattern "^a" is new', "b"),
        ({"enum": ["a", "b"]}, {"not": {"const": "b"}}, "not", "not rejects values that were accepted", "b"),
        ({"enum": ["a", "b"]}, {"anyOf": [{"const": "a"}, {"const": "c"}]}, "anyOf", '"b" is no longer accepted', "b"),
        (
            {"enum": ["a", "b", "c", "ab", "ba"]},
            {"oneOf": [{"const": "a"}, {"type": "null"}]},
            "oneOf",
            '"b", "c", "ab" and 1 more are no longer accepted',
            "b",
        ),
    ],
)
def test_values_that_are_lost_are_named(old: Any, new: Any, place: str, what: str, lost: Any) -> None:
    assert_breaks(of(a=old), of(a=new), [(f"properties/a/{place}", what)], {"a": lost})


@pytest.mark.parametrize(
    ("lost", "what"),
    [
        (["a"], '"a" is no longer accepted'),
        (["a", "b"], '"a" and "b" are no longer accepted'),
        (["a", "b", "c"], '"a", "b" and "c" are no longer accepted'),
        (["a", "b", "c", "d"], '"a", "b", "c" and 1 more are no longer accepted'),
        (["a", "b", "c", "d", "e"], '"a", "b", "c" and 2 more are no longer accepted'),
    ],
)
def test_up_to_three_lost_values_are_named(lost: list[str], what: str) -> None:
    assert findings_of(of(a={"enum": [*lost, "x"]}), of(a={"const": "x"})) == [("properties/a/const", what)]


def test_of_a_value_that_two_alternatives_accept_oneof_accepts_none() -> None:
    new = {"oneOf": [{"const": "a"}, {"enum": ["a", "b"]}]}
    found = [("properties/a/oneOf", '"a" is no longer accepted')]
    assert_breaks(of(a={"enum": ["a", "b"]}), of(a=new), found, {"a": "a"})
    assert_harmless(of(a={"const": "b"}), of(a=new))


@pytest.mark.parametrize(
    ("old", "new", "what", "lost"),
    [
        ({}, NUMBER, "types array, boolean, null and 2 more are no longer accepted", "a"),
        ({"type": ["string", "integer"]}, INTEGER, "type string is no longer accepted", "a"),
        ({"type": ["string", "number"]}, TEXT, "types integer and number are no longer accepted", 0.5),
        ({"type": ["string", "number"]}, {"type": ["string", "integer"]}, "type number is no longer accepted", 0.5),
        (OBJECT, LIST, "type object is no longer accepted", {}),
        (LIST, OBJECT, "type array is no longer accepted", []),
        ({"type": "null"}, {"type": "boolean"}, "type null is no longer accepted", None),
        (
            {"allOf": [{"type": ["string", "null"]}, {"type": ["null", "integer"]}]},
            TEXT,
            "type null is no longer accepted",
            None,
        ),
        ({"enum": ["a", None]}, TEXT, "type null is no longer accepted", None),
    ],
)
def test_a_lost_type_is_reported_once(old: Any, new: Any, what: str, lost: Any) -> None:
    assert_breaks(of(a=old), of(a=new), [("properties/a/type", what)], {"a": lost})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (TEXT, {"type": ["string", "null"]}),
        (TEXT, {}),
        (TEXT, True),
        ({"allOf": [TEXT, {}]}, TEXT),
        ({"allOf": [{"type": ["string", "null"]}, {"type": ["string", "integer"]}]}, TEXT),
        ({"type": ["number", "string"]}, {"type": ["string", "number", "null"]}),
        ({"type": [*("array", "boolean", "null", "number", "object", "string")]}, {}),
        ({}, {"type": [*("array", "boolean", "null", "number", "object", "string")]}),
        (True, {}),
        (False, TEXT),
        (False, False),
        ({"allOf": [TEXT, False]}, INTEGER),
        ({"allOf": [TEXT, INTEGER]}, {"type": "boolean"}),
        ({"enum": []}, TEXT),
        ({**INTEGER, "enum": ["a"]}, TEXT),
        ({"enum": ["a"], "minLength": 2}, INTEGER),
        ({**TEXT, "enum": ["a"], "not": {"const": "a"}}, INTEGER),
        ({"enum": ["a"], "allOf": [{"const": "b"}]}, INTEGER),
        ({"anyOf": [INTEGER, {**TEXT, "minLength": 2, "maxLength": 1}]}, INTEGER),
        ({"anyOf": [INTEGER, {**TEXT, "maxLength": 0, "pattern": "a"}]}, INTEGER),
        ({"type": "boolean", "not": {"enum": [True, False]}}, TEXT),
        ({"type": "null", "not": {"type": "null"}}, TEXT),
    ],
)
def test_a_type_of_which_no_value_was_accepted_is_not_missed(old: Any, new: Any) -> None:
    assert_harmless(of(a=old), of(a=new))


@pytest.mark.parametrize(
    "limits",
    [{"minLength": 1, "maxLength": 1}, {"maxLength": 0}, {"minLength": 3}, {"enum": ["a"], "maxLength": 1}],
)
def test_strings_between_equal_limits_are_missed(limits: Any) -> None:
    found = [("properties/a/type", "type string is no longer accepted")]
    lost = {"a": "a" * limits.get("minLength", limits.get("maxLength", 1))}
    assert_breaks(of(a={"anyOf": [INTEGER, {**TEXT, **limits}]}), of(a=INTEGER), found, lost)


def test_what_validates_nothing_may_change() -> None:
    annotated = {
        "title": "A",
        "description": "b",
        "examples": ["c"],
        "deprecated": True,
        "readOnly": True,
        "writeOnly": True,
        "format": "date",
        "$comment": "d",
        "default": "e",
    }
    assert_harmless(of(a={**TEXT, **annotated}), of(a=TEXT))
    assert_harmless(of(a=TEXT), of(a={**TEXT, **annotated}))
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    assert_harmless({**of(a=TEXT), **dialect, "title": "A"}, of(a=TEXT))


def test_an_argument_that_is_now_forbidden_is_told_from_a_value_that_is() -> None:
    assert_breaks(of(a=TEXT), of(a=False), [("properties/a", "the property is now forbidden")], {"a": "a"})
    found = [("properties/a/allOf/0", "no value is accepted")]
    assert_breaks(of(a=TEXT), of(a={"allOf": [False]}), found, {"a": "a"})
    nested = [("properties/a/properties/b", "the property is now forbidden")]
    assert_breaks(of(a=of(b=TEXT)), of(a=of(b=False)), nested, {"a": {"b": "a"}})
