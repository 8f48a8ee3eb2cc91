"""Changes of objects: of the members that they must have, may have, and must not have."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crd.schema.comparison import (
    INTEGER,
    LIST,
    OBJECT,
    TEXT,
    assert_breaks,
    assert_harmless,
    findings_of,
    of,
)

EITHER: dict[str, Any] = {"type": ["string", "integer"]}
NO_INTEGER = "type integer is no longer accepted"
NO_STRING = "type string is no longer accepted"
CLOSED: dict[str, Any] = {"additionalProperties": False}


def objects(*required: str, **keywords: Any) -> dict[str, Any]:
    return {**OBJECT, **keywords, **({"required": [*required]} if required else {})}


def members(**properties: Any) -> dict[str, Any]:
    return {"properties": properties}


@pytest.mark.parametrize(
    ("old", "new", "found", "lost"),
    [
        # Members that are required.
        (objects(), objects("a"), [("required", '"a" is now required')], {}),
        (objects("a"), objects("a", "b"), [("required", '"b" is now required')], {"a": 1}),
        (
            objects(),
            objects("a", "b"),
            [("required", '"a" is now required'), ("required", '"b" is now required')],
            {},
        ),
        (
            objects(dependentRequired={"a": ["b"]}),
            objects("b"),
            [("required", '"b" is now required')],
            {},
        ),
        (
            objects(allOf=[{"required": ["a"]}, {"required": ["b"]}]),
            objects("a", "b", "c"),
            [("required", '"c" is now required')],
            {"a": 1, "b": 1},
        ),
        # How many members there are.
        (objects(), objects(minProperties=1), [("minProperties", "minProperties 1 is stricter than before")], {}),
        (
            objects("a"),
            objects(minProperties=2),
            [("minProperties", "minProperties 2 is stricter than before")],
            {"a": 1},
        ),
        (
            objects(minProperties=1),
            objects(minProperties=2),
            [("minProperties", "minProperties 2 is stricter than before")],
            {"a": 1},
        ),
        (
            objects(),
            objects(maxProperties=1),
            [("maxProperties", "maxProperties 1 is stricter than before")],
            {"a": 1, "b": 1},
        ),
        (
            objects(maxProperties=2),
            objects(maxProperties=1),
            [("maxProperties", "maxProperties 1 is stricter than before")],
            {"a": 1, "b": 1},
        ),
        (
            objects(**members(a={}, b={}), **CLOSED),
            objects(**members(a={}, b={}), maxProperties=1),
            [("maxProperties", "maxProperties 1 is stricter than before")],
            {"a": 1, "b": 1},
        ),
        (
            objects(patternProperties={"^a": TEXT}, **CLOSED),
            objects(patternProperties={"^a": TEXT}, maxProperties=1),
            [("maxProperties", "maxProperties 1 is stricter than before")],
            {"a": "a", "ab": "a"},
        ),
        # Members beside other members.
        (
            objects(**members(a={}, b={})),
            objects(**members(a={}, b={}), dependentRequired={"a": ["b"]}),
            [("dependentRequired/a", '"b" is now required beside "a"')],
            {"a": 1},
        ),
        (
            objects(**members(a={}, b={}, c={}), dependentRequired={"a": ["b"]}),
            objects(**members(a={}, b={}, c={}), dependentRequired={"a": ["b", "c"]}),
            [("dependentRequired/a", '"c" is now required beside "a"')],
            {"a": 1, "b": 1},
        ),
        (
            objects("b", **members(a={}, b={}, c={})),
            objects(**members(a={}, b={}, c={}), dependentRequired={"a": ["b", "c"]}),
            [("dependentRequired/a", '"c" is now required beside "a"')],
            {"a": 1, "b": 1},
        ),
        (
            objects(**members(a={}, b={}), dependentRequired={"b": ["a"]}),
            objects(**members(a={}, b={}), dependentRequired={"a": ["b"]}),
            [("dependentRequired/a", '"b" is now required beside "a"')],
            {"a": 1},
        ),
        (
            objects(**members(a={}, b=EITHER)),
            objects(**members(a={}, b=EITHER), dependentSchemas={"a": members(b=TEXT)}),
            [("dependentSchemas/a/properties/b/type", NO_INTEGER)],
            {"a": 1, "b": 1},
        ),
        (
            objects(**members(a={}, b={})),
            objects(**members(a={}, b={}), dependentSchemas={"a": {"required": ["a", "b"]}}),
            [("dependentSchemas/a/required", '"b" is now required')],
            {"a": 1},
        ),
        # Members by name.
        (
            objects(**members(a=EITHER, b=EITHER)),
            objects(**members(a=TEXT, b=INTEGER)),
            [("properties/a/type", NO_INTEGER), ("properties/b/type", NO_STRING)],
            {"a": 1},
        ),
        (
            objects(**members(a=EITHER, b=TEXT)),
            objects(**members(b=TEXT), patternProperties={"^a": TEXT}),
            [("patternProperties/^a/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(**members(a=EITHER), **CLOSED),
            objects(additionalProperties=TEXT),
            [("additionalProperties/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(**members(a=EITHER, b=EITHER), **CLOSED),
            objects(**members(b=EITHER), additionalProperties=TEXT),
            [("additionalProperties/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects("a"),
            objects("a", additionalProperties=False),
            [
                ("additionalProperties", '"a" is now rejected'),
                ("additionalProperties", "undeclared properties are now rejected"),
            ],
            {"a": 1},
        ),
        (
            objects(allOf=[members(a=EITHER), members(b=TEXT)]),
            objects(**members(a=TEXT, b=TEXT)),
            [("properties/a/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(allOf=[members(a=EITHER), members(a={"type": ["integer", "null"]})]),
            objects(**members(a=TEXT)),
            [("properties/a/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(**members(a=EITHER), maxProperties=1),
            objects(**members(a=TEXT), maxProperties=1),
            [("properties/a/type", NO_INTEGER)],
            {"a": 1},
        ),
        # Members by patterns.
        (
            objects(patternProperties={"^a": EITHER}),
            objects(patternProperties={"^a": TEXT}),
            [("patternProperties/^a/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(patternProperties={"^a": EITHER}),
            objects(patternProperties={"b$": TEXT}),
            [("patternProperties/b$/type", NO_INTEGER)],
            {"ab": 1},
        ),
        (
            objects(patternProperties={"^a": EITHER}),
            objects(**members(a=TEXT), patternProperties={"^a": EITHER}),
            [("properties/a/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(patternProperties={"^a": EITHER}, **CLOSED),
            objects(additionalProperties=TEXT),
            [("additionalProperties/type", NO_INTEGER)],
            {"ab": 1},
        ),
        (
            objects(patternProperties={"^a": TEXT, "b$": EITHER}),
            objects(patternProperties={"^a": TEXT}, additionalProperties=False),
            [
                ("additionalProperties", 'members that match "b$" are now rejected'),
                ("additionalProperties", "undeclared properties are now rejected"),
            ],
            {"b": 1},
        ),
        (
            objects(patternProperties={"^a": TEXT, "^ä": EITHER}, **CLOSED),
            objects(patternProperties={"^a": TEXT}, **CLOSED),
            [("additionalProperties", 'members that match "^ä" are now rejected')],
            {"ä": 1},
        ),
        (
            objects(allOf=[{"patternProperties": {"^a": EITHER}}, {"patternProperties": {"^a": INTEGER}}]),
            objects(patternProperties={"^a": TEXT}),
            [("patternProperties/^a/type", NO_INTEGER)],
            {"a": 1},
        ),
        # Members without a name.
        (
            objects(**members(a=TEXT)),
            objects(additionalProperties=TEXT),
            [("additionalProperties/type", "types array, boolean, integer and 3 more are no longer accepted")],
            {"b": 1},
        ),
        (
            objects(additionalProperties=EITHER),
            objects(additionalProperties=TEXT),
            [("additionalProperties/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(additionalProperties=EITHER),
            objects(**members(a=TEXT), additionalProperties=EITHER),
            [("properties/a/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(additionalProperties=EITHER),
            objects(patternProperties={"^a": TEXT}, additionalProperties=EITHER),
            [("patternProperties/^a/type", NO_INTEGER)],
            {"a": 1},
        ),
        (
            objects(additionalProperties=EITHER),
            objects(additionalProperties=False),
            [("additionalProperties", "undeclared properties are now rejected")],
            {"a": 1},
        ),
        (
            objects(**members(a=TEXT)),
            objects(additionalProperties=False),
            [("properties", '"a" was removed'), ("additionalProperties", "undeclared properties are now rejected")],
            {"a": "a"},
        ),
        (
            objects(**members(a=TEXT)),
            objects(**members(a=TEXT), unevaluatedProperties=False),
            [("unevaluatedProperties", "unevaluatedProperties is stricter than before")],
            {"b": 1},
        ),
        # Names.
        (
            objects(**members(a=TEXT, b=TEXT), **CLOSED),
            objects(**members(a=TEXT, b=TEXT), propertyNames={"enum": ["a"]}),
            [("propertyNames", '"b" is now rejected')],
            {"b": "a"},
        ),
        (
            objects("b"),
            objects("b", propertyNames={"pattern": "^a"}),
            [("propertyNames", '"b" is now rejected'), ("propertyNames/pattern", 'pattern "^a" is new')],
            {"b": "a"},
        ),
        (
            objects(),
            objects(propertyNames={"maxLength": 1}),
            [("propertyNames/maxLength", "maxLength 1 is stricter than before")],
            {"ab": 1},
        ),
        (
            objects(patternProperties={"^a": TEXT}, **CLOSED),
            objects(patternProperties={"^a": TEXT}, propertyNames={"maxLength": 1}),
            [("propertyNames/maxLength", "maxLength 1 is stricter than before")],
            {"ab": "a"},
        ),
        (
            objects(propertyNames={"maxLength": 2}),
            objects(propertyNames={"maxLength": 1}),
            [("propertyNames/maxLength", "maxLength 1 is stricter than before")],
            {"ab": 1},
        ),
        (
            objects(propertyNames={"enum": ["a", "b"]}),
            objects(propertyNames={"enum": ["a"]}),
            [("propertyNames/enum", '"b" is no longer accepted')],
            {"b": 1},
        ),
    ],
)
def test_an_object_that_is_lost_is_reported(old: Any, new: Any, found: list[tuple[str, str]], lost: Any) -> None:
    assert_breaks(of(o=old), of(o=new), [(f"properties/o/{place}", what) for place, what in found], {"o": lost})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (objects("a", "b"), objects("b")),
        (objects("a", dependentRequired={"a": ["b"], "c": ["x1"]}), objects("a", "b")),
        (objects(allOf=[{"required": ["a"]}, {"required": ["b"]}]), objects("a", "b")),
        (objects(minProperties=1), objects(minProperties=1, title="A")),
        (objects(minProperties=2), objects(minProperties=1)),
        (objects("a", "b"), objects(minProperties=2)),
        (objects("a", minProperties=2), objects(minProperties=2)),
        (objects(maxProperties=1), objects(maxProperties=1, title="A")),
        (objects(maxProperties=1), objects(maxProperties=2)),
        (objects(**members(a={}), **CLOSED), objects(**members(a={}), maxProperties=1)),
        (
            objects(**members(a={}, b={}), **CLOSED, allOf=[{**members(a={}), **CLOSED}]),
            objects(**members(a={}, b={}), maxProperties=1),
        ),
        (objects("b"), objects("b", dependentRequired={"a": ["b"]})),
        (objects(**members(a={}, b={})), objects(**members(a={}, b={}), dependentRequired={"a": ["a"]})),
        (objects(**members(a=False, b={})), objects(**members(a=False, b={}), dependentRequired={"a": ["b"]})),
        (objects(**members(a=False, b={})), objects(dependentSchemas={"a": {"required": ["b"]}}, **members(b={}))),
        (
            objects(**members(a={}, b={}), dependentRequired={"a": ["b"]}),
            objects(**members(a={}, b={}), dependentRequired={"a": ["b"]}, title="A"),
        ),
        (
            objects(**members(a={}, b={}), allOf=[{"dependentRequired": {"a": ["b"]}}]),
            objects(**members(a={}, b={}), dependentRequired={"a": ["b"]}),
        ),
        (
            objects("b", **members(a={}, b={})),
            objects(**members(a={}, b={}), dependentSchemas={"a": {"required": ["a", "b"]}}),
        ),
        (objects(**members(a=TEXT)), objects(**members(a=EITHER))),
        (objects(**members(a=TEXT)), objects(patternProperties={"^a": EITHER})),
        (objects(**members(a=TEXT)), objects(allOf=[members(a=TEXT)])),
        (objects(**members(a=TEXT)), objects(anyOf=[members(a=TEXT), {}])),
        (objects(**members(a=TEXT), **CLOSED), objects(**members(a=TEXT))),
        (objects(**members(a=TEXT), **CLOSED), objects(**members(a=TEXT), additionalProperties=TEXT)),
        (objects(**members(a=TEXT), **CLOSED), objects(**members(a=TEXT, b=INTEGER), **CLOSED)),
        (objects(**members(a=TEXT), **CLOSED), objects(**members(a=TEXT), patternProperties={"^b": INTEGER})),
        (objects(**members(a=TEXT), **CLOSED), objects(**members(a=TEXT), patternProperties={"^b": INTEGER}, **CLOSED)),
        (objects(**members(a=False), **CLOSED), objects(**CLOSED)),
        (objects(**members(a=False)), objects()),
        (objects(**members(a=TEXT, b=False)), objects(**members(a=TEXT), additionalProperties=True)),
        (objects(additionalProperties=TEXT), objects(additionalProperties=EITHER)),
        (objects(additionalProperties=TEXT), objects(additionalProperties=True)),
        (objects(additionalProperties=TEXT), objects(additionalProperties={})),
        (objects(additionalProperties=TEXT), objects(additionalProperties=TEXT, title="A")),
        (objects(additionalProperties=TEXT), objects(**members(a=TEXT), additionalProperties=TEXT)),
        (objects(additionalProperties=TEXT), objects(patternProperties={"^a": EITHER}, additionalProperties=TEXT)),
        (objects(patternProperties={"^a": TEXT}, **CLOSED), objects(patternProperties={"^a": EITHER})),
        (objects(patternProperties={"^a": TEXT}, **CLOSED), objects(additionalProperties=TEXT)),
        (
            objects(patternProperties={"^a": TEXT}, **CLOSED),
            objects(patternProperties={"^a": TEXT}, additionalProperties=INTEGER),
        ),
        (objects(patternProperties={"^a": TEXT}, **CLOSED), objects(patternProperties={"^a": EITHER, "^": {}})),
        (
            objects(patternProperties={"^a": TEXT, "b": False}, **CLOSED),
            objects(patternProperties={"^a": TEXT}, **CLOSED),
        ),
        (
            objects(patternProperties={"^a": EITHER}, **members(a=TEXT), **CLOSED),
            objects(patternProperties={"^a": EITHER}, **members(a=TEXT)),
        ),
        (
            objects(allOf=[{"patternProperties": {"^a": EITHER}}, {"patternProperties": {"^a": TEXT}}]),
            objects(patternProperties={"^a": TEXT}),
        ),
        (objects(maxProperties=0), objects(**members(a=TEXT))),
        (objects(maxProperties=0), objects(additionalProperties=TEXT)),
        (objects(maxProperties=0), objects(patternProperties={"^a": TEXT})),
        (objects(maxProperties=0), objects(propertyNames={"maxLength": 1})),
        (objects(**members(a=TEXT), **CLOSED), objects(**members(a=TEXT), propertyNames={"maxLength": 1})),
        (objects(**members(a=TEXT, abc=False), **CLOSED), objects(**members(a=TEXT), propertyNames={"maxLength": 1})),
        (objects(propertyNames={"maxLength": 1}), objects(propertyNames={"maxLength": 2})),
        (objects(propertyNames={"enum": ["a"]}), objects(propertyNames={"enum": ["a", "b"]})),
        (objects(propertyNames={"enum": ["a"]}), objects(propertyNames={"maxLength": 1})),
        (objects(), objects(unevaluatedProperties=True)),
        (objects(**members(a=objects("b"))), objects(**members(a=objects()))),
    ],
)
def test_an_object_that_is_still_accepted_is_not_reported(old: Any, new: Any) -> None:
    assert_harmless(of(o=old), of(o=new), "o")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (objects(), objects(**members(a=TEXT))),
        (objects(**members(b=TEXT)), objects(**members(a=TEXT, b=TEXT))),
        (objects(additionalProperties=True), objects(**members(a=TEXT))),
        (objects(additionalProperties={}), objects(**members(a=TEXT))),
        (objects(), objects(patternProperties={"^a": TEXT})),
        (objects(**members(b=TEXT)), objects(**members(b=TEXT), patternProperties={"^a": TEXT})),
        (objects(), objects(dependentRequired={"a": ["b"]})),
        (objects(**members(b=TEXT)), objects(**members(b=TEXT), dependentRequired={"a": ["b"]})),
        (objects(), objects(dependentSchemas={"a": members(b=TEXT)})),
    ],
)
def test_a_member_that_was_never_declared_may_be_declared(old: Any, new: Any) -> None:
    assert findings_of(of(o=old), of(o=new)) == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (objects("a"), objects("a", **members(a=TEXT)), "properties/a/type"),
        (objects(additionalProperties=EITHER), objects(**members(a=TEXT)), "properties/a/type"),
        (objects(patternProperties={"a": EITHER}), objects(**members(a=TEXT)), "properties/a/type"),
        (objects("a"), objects("a", dependentRequired={"a": ["b"]}), "dependentRequired/a"),
    ],
)
def test_a_member_that_callers_may_rely_on_counts_as_declared(old: Any, new: Any, place: str) -> None:
    assert f"properties/o/{place}" in [place for place, _ in findings_of(of(o=old), of(o=new))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (members(a=TEXT, b=TEXT), members(b=TEXT)),
        (members(a=TEXT), {}),
        (members(a=TEXT), {"additionalProperties": True}),
        (members(a=TEXT), {"additionalProperties": {}}),
        (members(a=TEXT), {"patternProperties": {"^b": TEXT}}),
        ({"allOf": [members(a=TEXT)]}, {"allOf": [members(b=TEXT)]}),
        ({"anyOf": [members(a=TEXT), members(b=TEXT)]}, members(b=TEXT)),
    ],
)
def test_a_member_that_is_no_longer_declared_is_reported_once(old: Any, new: Any) -> None:
    assert findings_of(of(o={**OBJECT, **old}), of(o={**OBJECT, **new})) == [
        ("properties/o/properties", '"a" was removed')
    ]
    # At the root, too, and where the value may be something else than an object.
    assert findings_of({**OBJECT, **old}, {**OBJECT, **new}) == [("properties", '"a" was removed')]


@pytest.mark.parametrize(
    "new",
    [
        members(a=TEXT),
        {"patternProperties": {"^a": TEXT}},
        {"patternProperties": {"^b": TEXT, "^a": TEXT}},
        {"allOf": [members(b=TEXT), members(a=TEXT)]},
        {"anyOf": [members(b=TEXT), members(a=TEXT)]},
        {"oneOf": [members(a=TEXT)]},
        {"allOf": [{"anyOf": [members(a=TEXT)]}]},
        {"if": {"required": ["a"]}, "then": members(a=TEXT)},
        {"if": {"required": ["b"]}, "else": members(a=TEXT)},
        {"dependentSchemas": {"a": members(a=TEXT)}},
        {"$ref": "#/$defs/of_a"},
        {"allOf": [{"patternProperties": {"^a": TEXT}}]},
    ],
)
def test_a_member_that_is_declared_in_a_part_is_not_removed(new: Any) -> None:
    definitions = {"$defs": {"of_a": members(a=TEXT)}}
    old = {**OBJECT, **members(a=TEXT)}
    assert findings_of({**of(o=old), **definitions}, {**of(o={**OBJECT, **new}), **definitions}) == []


@pytest.mark.parametrize(
    "without_values",
    [
        objects(minProperties=2, maxProperties=1),
        objects("a", "b", maxProperties=1),
        objects(minProperties=1, **CLOSED),
        objects(minProperties=2, **members(a={}), **CLOSED),
        objects("a", **members(a=False)),
        objects("a", **members(a={**TEXT, "enum": [1]})),
        objects("b", **members(a={}), **CLOSED),
        objects("a", "b", **members(a={}), **CLOSED),
        objects("a", patternProperties={"^a": False}),
        objects("ab", additionalProperties=False, patternProperties={"^b": {}}),
        objects("a", maxProperties=0),
        objects("a", allOf=[members(a=TEXT), members(a=INTEGER)]),
        objects("a", **members(a={}, b=False), dependentRequired={"a": ["b"]}),
        objects(allOf=[{"required": ["a"]}, {"additionalProperties": False}]),
    ],
)
def test_an_alternative_that_no_object_satisfies_is_not_missed(without_values: Any) -> None:
    assert_harmless(of(a={"anyOf": [TEXT, without_values]}), of(a=TEXT))


@pytest.mark.parametrize(
    ("alternative", "lost"),
    [
        (objects(minProperties=1, maxProperties=1), {"a": 1}),
        (objects("a", "b", maxProperties=2), {"a": 1, "b": 1}),
        (objects(minProperties=1, **members(a={}), **CLOSED), {"a": 1}),
        (objects(minProperties=2, **members(a={}), patternProperties={"^b": {}}, **CLOSED), {"a": 1, "b": 1}),
        (objects(**members(a=False)), {}),
        (objects("a", patternProperties={"^a": {}}, **CLOSED), {"a": 1}),
        (objects("a", **members(a={}, b=False), dependentRequired={"c": ["b"]}), {"a": 1}),
    ],
)
def test_an_alternative_that_an_object_satisfies_is_missed(alternative: Any, lost: Any) -> None:
    could_be_sent = alternative.get("properties", {}).get("a", False) is not False
    removed = [("properties/a/properties", '"a" was removed')] if could_be_sent else []
    found = [*removed, ("properties/a/type", "type object is no longer accepted")]
    assert_breaks(of(a={"anyOf": [TEXT, alternative]}), of(a=TEXT), found, {"a": lost})


@pytest.mark.parametrize("new", [{"additionalProperties": TEXT}, {"allOf": [{"additionalProperties": TEXT}]}])
def test_a_schema_of_all_members_declares_each(new: Any) -> None:
    removed = ("properties/o/properties", '"a" was removed')
    assert removed not in findings_of(of(o={**OBJECT, **members(a=TEXT)}), of(o={**OBJECT, **new}))


DEFAULT: dict[str, Any] = {**TEXT, "default": "x"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (objects(), objects("a", **members(a=DEFAULT))),
        (objects("a", **members(a=DEFAULT)), objects("a", **members(a={**DEFAULT, "minLength": 0}))),
        (objects(), objects("a", **members(a={"$ref": "#/$defs/given"}))),
        (objects(), objects("a", **members(a={"$ref": "#/$defs/given", "title": "A"}))),
    ],
)
def test_a_member_that_a_default_sets_is_not_required_of_callers(old: Any, new: Any) -> None:
    definitions = {"$defs": {"given": DEFAULT}}
    assert findings_of({**of(o=old), **definitions}, {**of(o=new), **definitions}) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The default of the old schema set it, so callers left it out.
        (objects("a", **members(a=DEFAULT)), objects("a", **members(a=TEXT))),
        (objects("a", allOf=[members(a=DEFAULT)], **members(a={})), objects("a", **members(a=TEXT))),
        (objects("a", **members(a={"$ref": "#/$defs/given"})), objects("a", **members(a=TEXT))),
        # A default that its own schema rejects is not set.
        (objects(), objects("a", **members(a={**TEXT, "default": 1}))),
        (objects(), objects("a", **members(a={**TEXT, "default": "", "minLength": 1}))),
        (objects(), objects("a", **members(a=True))),
        (objects(), objects("a", **members(b=DEFAULT))),
        (objects(), objects("a", default={"a": "x"})),
    ],
)
def test_a_member_that_no_default_sets_is_required_of_callers(old: Any, new: Any) -> None:
    definitions = {"$defs": {"given": DEFAULT}}
    found = findings_of({**of(o=old), **definitions}, {**of(o=new), **definitions})
    assert ("properties/o/required", '"a" is now required') in found


def test_a_default_that_was_rejected_set_nothing() -> None:
    old = objects("a", **members(a={**TEXT, "default": 1}))
    assert findings_of(of(o=old), of(o=objects("a", **members(a=TEXT)))) == []


def test_unevaluated_members_are_unchanged_only_with_the_whole_schema() -> None:
    same = objects(**members(a=TEXT), unevaluatedProperties=False)
    assert findings_of(of(o=same), of(o=same, b=TEXT)) == []
    found = [("properties/o/unevaluatedProperties", "unevaluatedProperties is stricter than before")]
    assert findings_of(of(o={**same, "required": ["a"]}), of(o=same)) == found


def test_members_of_lists_and_of_members_are_compared_too() -> None:
    old = objects(**members(a={**LIST, "items": objects(**members(b=EITHER, c=TEXT))}))
    new = objects(**members(a={**LIST, "items": objects("b", **members(b=TEXT))}))
    place = "properties/o/properties/a/items"
    assert findings_of(of(o=old), of(o=new)) == [
        (f"{place}/properties", '"c" was removed'),
        (f"{place}/required", '"b" is now required'),
        (f"{place}/properties/b/type", NO_INTEGER),
    ]
