"""Changes of schemas that are combined: allOf, anyOf, oneOf, not, and if."""

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

BOOLEAN: dict[str, Any] = {"type": "boolean"}
NULL: dict[str, Any] = {"type": "null"}
EITHER: dict[str, Any] = {"type": ["string", "integer"]}
SHORT: dict[str, Any] = {**TEXT, "maxLength": 2}
LONG: dict[str, Any] = {**TEXT, "minLength": 2}
NO_INTEGER = "type integer is no longer accepted"
NO_STRING = "type string is no longer accepted"
NO_ANYOF = "no alternative of anyOf accepts all values that were valid"
TWO = "two alternatives of oneOf may accept the same value, which is then rejected"
NOT = "not rejects values that were accepted"


def kind(name: str, *required: str, **properties: Any) -> dict[str, Any]:
    """An object that says in its member "a" of which kind it is."""
    return {**OBJECT, "properties": {"a": {"const": name}, **properties}, "required": ["a", *required]}


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "lost"),
    [
        # allOf
        (EITHER, {"allOf": [TEXT]}, "allOf/0/type", NO_INTEGER, 1),
        (TEXT, {"allOf": [{}, {"maxLength": 2}]}, "allOf/1/maxLength", "maxLength 2 is stricter than before", "abc"),
        (TEXT, {"allOf": [{"allOf": [LONG]}]}, "allOf/0/allOf/0/minLength", "minLength 2 is stricter than before", "a"),
        (TEXT, {"allOf": [{"enum": ["a"]}]}, "allOf/0/enum", "only listed values are now accepted", "b"),
        # anyOf
        (EITHER, {"anyOf": [TEXT, BOOLEAN]}, "anyOf", NO_ANYOF, 1),
        (TEXT, {"anyOf": [SHORT, INTEGER]}, "anyOf/0/maxLength", "maxLength 2 is stricter than before", "abc"),
        (TEXT, {"anyOf": [INTEGER, SHORT]}, "anyOf/1/maxLength", "maxLength 2 is stricter than before", "abc"),
        (TEXT, {"anyOf": [SHORT, {**TEXT, "pattern": "^a"}]}, "anyOf", NO_ANYOF, "bbb"),
        (TEXT, {"anyOf": [INTEGER, NULL]}, "anyOf", NO_ANYOF, "a"),
        ({"anyOf": [TEXT, INTEGER]}, {"anyOf": [TEXT, NULL]}, "anyOf", NO_ANYOF, 1),
        (
            {"anyOf": [TEXT, INTEGER]},
            {"anyOf": [SHORT, INTEGER]},
            "anyOf/0/maxLength",
            "maxLength 2 is stricter than before",
            "abc",
        ),
        # oneOf
        (TEXT, {"oneOf": [TEXT, SHORT]}, "oneOf", TWO, "a"),
        ({"oneOf": [TEXT, INTEGER]}, {"oneOf": [TEXT, INTEGER, SHORT]}, "oneOf", TWO, "a"),
        (TEXT, {"oneOf": [SHORT, INTEGER]}, "oneOf/0/maxLength", "maxLength 2 is stricter than before", "abc"),
        (TEXT, {"oneOf": [INTEGER, NULL]}, "oneOf", "no alternative of oneOf accepts all values that were valid", "a"),
        # not
        (TEXT, {"not": {"const": "a"}}, "not", NOT, "a"),
        (TEXT, {"not": TEXT}, "not", NOT, "a"),
        (EITHER, {"not": INTEGER}, "not", NOT, 1),
        ({**TEXT, "not": {"const": "a"}}, {**TEXT, "not": {"enum": ["a", "b"]}}, "not", NOT, "b"),
        ({**TEXT, "not": {"maxLength": 1}}, {**TEXT, "not": {"maxLength": 2}}, "not", NOT, "ab"),
        # if
        (
            TEXT,
            {"if": {"pattern": "^a"}, "then": {"maxLength": 2}},
            "then/maxLength",
            "maxLength 2 is stricter than before",
            "abc",
        ),
        (
            TEXT,
            {"if": {"pattern": "^a"}, "else": {"maxLength": 2}},
            "else/maxLength",
            "maxLength 2 is stricter than before",
            "open",
        ),
        (
            {**OBJECT, "properties": {"a": EITHER, "b": EITHER}},
            {
                **OBJECT,
                "properties": {"a": EITHER, "b": EITHER},
                "if": {"required": ["a"]},
                "then": {"required": ["b"]},
            },
            "then/required",
            '"b" is now required',
            {"a": 1},
        ),
        (
            {**OBJECT, "properties": {"a": {"enum": ["open", "b"]}, "b": EITHER}},
            {
                **OBJECT,
                "properties": {"a": {"enum": ["open", "b"]}, "b": EITHER},
                "if": {"properties": {"a": {"const": "open"}}, "required": ["a"]},
                "then": {"properties": {"b": TEXT}},
            },
            "then/properties/b/type",
            NO_INTEGER,
            {"a": "open", "b": 1},
        ),
        (
            EITHER,
            {"if": TEXT, "then": {"maxLength": 2}},
            "then/maxLength",
            "maxLength 2 is stricter than before",
            "abc",
        ),
        (EITHER, {"if": TEXT, "else": {"minimum": 1}}, "else/minimum", "minimum 1 is stricter than before", 0),
        (EITHER, {"if": TEXT, "then": True, "else": False}, "else", "no value is accepted", 0),
        (EITHER, {"if": TEXT, "then": False}, "then", "no value is accepted", "a"),
        (
            {"if": {"minimum": 1}, "then": {"maximum": 5}, **INTEGER},
            {"if": {"minimum": 1}, "then": {"maximum": 4}, **INTEGER},
            "then/maximum",
            "maximum 4 is stricter than before",
            5,
        ),
        (
            {"if": {"minimum": 1}, "else": {"minimum": -2}, **INTEGER},
            {"if": {"minimum": 1}, "else": {"minimum": -1}, **INTEGER},
            "else/minimum",
            "minimum -1 is stricter than before",
            -2,
        ),
    ],
)
def test_a_value_that_is_lost_is_reported(old: Any, new: Any, place: str, what: str, lost: Any) -> None:
    assert_breaks(of(a=old), of(a=new), [(f"properties/a/{place}", what)], {"a": lost})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Alternatives of the old schema are compared one by one.
        ({"anyOf": [TEXT, INTEGER]}, EITHER),
        ({"anyOf": [TEXT, INTEGER]}, {"anyOf": [INTEGER, TEXT]}),
        ({"anyOf": [TEXT, INTEGER]}, {"anyOf": [INTEGER, TEXT, NULL]}),
        ({"anyOf": [{"minLength": 1}, {"minLength": 2}], **TEXT}, {**TEXT, "minLength": 1}),
        ({"oneOf": [TEXT, INTEGER]}, EITHER),
        ({"oneOf": [TEXT, INTEGER]}, {"anyOf": [INTEGER, TEXT]}),
        ({"oneOf": [TEXT, INTEGER]}, {"oneOf": [INTEGER, TEXT, NULL]}),
        ({"anyOf": [TEXT, INTEGER], "oneOf": [INTEGER, NULL]}, INTEGER),
        ({"anyOf": [{"anyOf": [TEXT, INTEGER]}, NULL]}, {"type": ["string", "integer", "null"]}),
        ({"allOf": [{"anyOf": [TEXT, INTEGER]}, {"anyOf": [INTEGER, NULL]}]}, INTEGER),
        ({"allOf": [{"type": ["string", "null"]}], "anyOf": [TEXT, INTEGER]}, TEXT),
        # What only one alternative accepts, the others of oneOf do not.
        ({"oneOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, {"enum": ["a", "c"]}),
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, {"enum": ["a", "b"]}),
        ({"not": {"enum": ["a"]}, "enum": ["a", "b"]}, {"const": "b"}),
        # Conditions.
        ({"if": {"const": "a"}, "then": {"const": "b"}, "enum": ["a", "b"]}, {"const": "b"}),
        ({"if": TEXT, "then": SHORT, "else": INTEGER}, {"anyOf": [SHORT, INTEGER]}),
        ({"if": TEXT, "else": INTEGER}, EITHER),
        ({"if": TEXT, "then": TEXT, **EITHER}, EITHER),
        # Parts of the new schema.
        (TEXT, {"allOf": [TEXT]}),
        (TEXT, {"allOf": [{}, True, TEXT]}),
        (TEXT, {"anyOf": [TEXT]}),
        (TEXT, {"anyOf": [TEXT, SHORT]}),
        (TEXT, {"anyOf": [SHORT, TEXT]}),
        (SHORT, {"anyOf": [{**TEXT, "maxLength": 3}, LONG]}),
        (TEXT, {"oneOf": [TEXT, INTEGER]}),
        (TEXT, {"oneOf": [INTEGER, TEXT]}),
        (TEXT, {"oneOf": [TEXT, {**TEXT, "enum": []}]}),
        ({**TEXT, "maxLength": 1}, {"oneOf": [SHORT, LONG]}),
        ({"enum": ["a", "abc"]}, {"oneOf": [SHORT, {**TEXT, "minLength": 3}]}),
        (
            {**TEXT, "oneOf": [{"pattern": "^a"}, {"pattern": "b$"}]},
            {**TEXT, "oneOf": [{"pattern": "^a"}, {"pattern": "b$"}], "title": "A"},
        ),
        (TEXT, {"not": INTEGER}),
        (TEXT, {"not": False}),
        (SHORT, {"not": {**TEXT, "minLength": 3}}),
        ({**TEXT, "not": {"maxLength": 2}}, {"oneOf": [TEXT, {**TEXT, "maxLength": 1}]}),
        ({**TEXT, "not": {"maxLength": 2}}, {"oneOf": [TEXT, {"maxLength": 2}]}),
        ({"enum": ["a", "b"]}, {"not": {"const": "c"}}),
        ({**TEXT, "not": {"const": "a"}}, {**TEXT, "not": {"const": "a"}, "title": "A"}),
        ({**TEXT, "not": {"maxLength": 2}}, {**TEXT, "not": {"maxLength": 1}}),
        ({**TEXT, "not": {"enum": ["a", "b"]}}, {**TEXT, "not": {"const": "a"}}),
        ({**TEXT, "allOf": [{"not": {"const": "b"}}, {"not": {"const": "a"}}]}, {**TEXT, "not": {"const": "a"}}),
        ({**INTEGER, "not": {"minimum": 5}}, {**INTEGER, "not": {"minimum": 6}}),
        (TEXT, {"if": INTEGER, "then": {"minimum": 1}}),
        (TEXT, {"if": INTEGER, "then": False}),
        (TEXT, {"if": TEXT, "else": False}),
        (TEXT, {"if": {"maxLength": 2}, "then": SHORT}),
        (TEXT, {"if": {"maxLength": 2}, "then": True, "else": True}),
        (SHORT, {"if": {"maxLength": 2}, "else": {"const": "a"}}),
        (TEXT, {"if": {"maxLength": 2}}),
        (TEXT, {"then": False, "else": False}),
        (
            {**TEXT, "if": {"pattern": "a"}, "then": {"pattern": "b"}},
            {**TEXT, "if": {"pattern": "a"}, "then": {"pattern": "b"}, "title": "A"},
        ),
        ({"enum": ["a", "b"]}, {"if": {"const": "a"}, "then": {"maxLength": 1}, "else": {"const": "b"}}),
        ({"anyOf": [LIST, TEXT]}, {"anyOf": [TEXT, {**LIST, "items": {}}]}),
        (INTEGER, {"anyOf": [NUMBER, TEXT]}),
        (NUMBER, {"anyOf": [NUMBER, TEXT]}),
    ],
)
def test_a_value_that_is_still_accepted_is_not_reported(old: Any, new: Any) -> None:
    assert_harmless(of(a=old), of(a=new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (kind("open", b=TEXT), {"oneOf": [kind("open", b=TEXT), kind("b", b=INTEGER)]}),
        (kind("open", b=TEXT), {"oneOf": [kind("b", b=INTEGER), kind("open", b=TEXT)]}),
        ({"oneOf": [kind("open", b=TEXT), kind("b")]}, {"oneOf": [kind("b"), kind("open", b=TEXT), kind("c")]}),
        ({"anyOf": [kind("open", b=TEXT), kind("b")]}, {"oneOf": [kind("b"), kind("open", b=EITHER)]}),
        (
            {"oneOf": [kind("open"), kind("b")]},
            {**OBJECT, "properties": {"a": {"enum": ["open", "b"]}}, "required": ["a"]},
        ),
        (
            kind("open"),
            {
                **OBJECT,
                "properties": {"a": TEXT},
                "if": {"properties": {"a": {"const": "b"}}},
                "then": {"required": ["b"]},
            },
        ),
    ],
)
def test_alternatives_are_told_apart_by_a_member(old: Any, new: Any) -> None:
    assert_harmless(of(o=old), of(o=new), "o")


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "lost"),
    [
        (
            kind("open", b=EITHER),
            {"oneOf": [kind("b"), kind("open", b=TEXT)]},
            "oneOf/1/properties/b/type",
            NO_INTEGER,
            {"a": "open", "b": 1},
        ),
        (
            {"oneOf": [kind("open"), kind("b")]},
            {"oneOf": [kind("open"), kind("b", "b")]},
            "oneOf/1/required",
            '"b" is now required',
            {"a": "b"},
        ),
        (
            {"oneOf": [kind("open"), kind("b")]},
            {"oneOf": [kind("open"), kind("c")]},
            "oneOf",
            "no alternative of oneOf accepts all values that were valid",
            {"a": "b"},
        ),
        (
            kind("open"),
            {
                "oneOf": [
                    kind("open"),
                    {**OBJECT, "properties": {"a": {"const": "b"}}},
                    {**OBJECT, "properties": {"a": TEXT}},
                ]
            },
            "oneOf",
            TWO,
            {"a": "open"},
        ),
    ],
)
def test_of_alternatives_that_a_member_tells_apart_the_one_that_is_lost_is_reported(
    old: Any, new: Any, place: str, what: str, lost: Any
) -> None:
    assert_breaks(of(o=old), of(o=new), [(f"properties/o/{place}", what)], {"o": lost})


@pytest.mark.parametrize("excluded", [2, 0])
def test_what_is_excluded_does_not_cover_more_than_it_says(excluded: int) -> None:
    old = {**TEXT, "not": {"maxLength": excluded}}
    found = [("properties/a/oneOf", TWO)]
    assert_breaks(of(a=old), of(a={"oneOf": [TEXT, {**TEXT, "maxLength": 3}]}), found, {"a": "abc"})


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_of_up_to_32_alternatives_each_is_compared(keyword: str) -> None:
    alternatives = [{**TEXT, "minLength": n, "maxLength": n} for n in range(1, 34)]
    limited = {**TEXT, "minLength": 1}

    assert findings_of(of(a={keyword: alternatives[:32]}), of(a=limited)) == []
    # Of more of them it is not proved that no value is lost.
    assert findings_of(of(a={**TEXT, keyword: alternatives}), of(a=limited)) == [
        ("properties/a/minLength", "minLength 1 is stricter than before")
    ]


def test_of_alternatives_of_two_keywords_each_combination_is_compared() -> None:
    old = {**TEXT, "anyOf": [{"minLength": 1}, {"minLength": 2}], "oneOf": [{"pattern": "^a"}, {"pattern": "^b"}]}
    assert findings_of(of(a=old), of(a={**TEXT, "minLength": 1})) == []
    assert findings_of(of(a=old), of(a={**TEXT, "minLength": 2})) == [
        ("properties/a/minLength", "minLength 2 is stricter than before")
    ]


def test_each_fault_of_several_alternatives_is_reported_once() -> None:
    old = {"anyOf": [{**TEXT, "maxLength": 5}, {**TEXT, "maxLength": 6}, INTEGER]}
    new = {"type": ["string", "integer"], "maxLength": 4, "minimum": 0}
    assert findings_of(of(a=old), of(a=new)) == [
        ("properties/a/maxLength", "maxLength 4 is stricter than before"),
        ("properties/a/minimum", "minimum 0 is stricter than before"),
    ]
