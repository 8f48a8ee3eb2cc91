"""Changes of schemas with references, of those that contain themselves, and of those too large to compare."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema import changes
from tests.crd.schema.comparison import INTEGER, LIST, OBJECT, TEXT, assert_harmless, findings_of, of

EITHER: dict[str, Any] = {"type": ["string", "integer"]}
NO_INTEGER = "type integer is no longer accepted"
TO_D = {"$ref": "#/$defs/d"}


def document(node: Any, /, **definitions: Any) -> dict[str, Any]:
    """A schema with an argument and definitions."""
    return {**of(a=node), "$defs": definitions}


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        (document(TO_D, d=EITHER), document(TO_D, d=TEXT), "type", NO_INTEGER),
        (document(TO_D, d=EITHER), of(a=TEXT), "type", NO_INTEGER),
        (of(a=EITHER), document(TO_D, d=TEXT), "type", NO_INTEGER),
        (document(TO_D, d={"$ref": "#/$defs/e"}, e=EITHER), document(TO_D, d=TEXT, e=EITHER), "type", NO_INTEGER),
        (document(TO_D, d=EITHER, e=TEXT), document({"$ref": "#/$defs/e"}, d=EITHER, e=TEXT), "type", NO_INTEGER),
        (
            document({**TO_D, "minLength": 1}, d=TEXT),
            document({**TO_D, "minLength": 2}, d=TEXT),
            "minLength",
            "minLength 2 is stricter than before",
        ),
        (
            document({**TO_D, "minLength": 1}, d=EITHER),
            document({**TO_D, "minLength": 1}, d=TEXT),
            "allOf/0/type",
            NO_INTEGER,
        ),
        (
            document({**TO_D, "allOf": [{"minLength": 1}]}, d=TEXT),
            document({**TO_D, "allOf": [{"minLength": 2}]}, d=TEXT),
            "allOf/0/minLength",
            "minLength 2 is stricter than before",
        ),
        (
            {**of(a={"$ref": "#/definitions/d"}), "definitions": {"d": EITHER}},
            {**of(a={"$ref": "#/definitions/d"}), "definitions": {"d": TEXT}},
            "type",
            NO_INTEGER,
        ),
        (of(a={"$ref": "#/properties/b"}, b=EITHER), of(a=TEXT, b=EITHER), "type", NO_INTEGER),
        (document({"$ref": "#/$defs/a~1b~0c"}, **{"a/b~c": EITHER}), of(a=TEXT), "type", NO_INTEGER),
        (document({"$ref": "#/$defs/d/anyOf/1"}, d={"anyOf": [TEXT, EITHER]}), of(a=TEXT), "type", NO_INTEGER),
        (
            document({**LIST, "items": TO_D}, d=EITHER),
            document({**LIST, "items": TO_D}, d=TEXT),
            "items/type",
            NO_INTEGER,
        ),
        (
            document({"anyOf": [{"type": "null"}, TO_D]}, d=EITHER),
            document({"type": ["null", "string"]}),
            "type",
            NO_INTEGER,
        ),
        (document(of(b=TO_D), d=EITHER), document(of(b=TO_D), d=TEXT), "properties/b/type", NO_INTEGER),
        (
            document({**OBJECT, "$defs": {"x": EITHER}, "properties": {"b": {"$ref": "#/properties/a/$defs/x"}}}),
            of(a=of(b=TEXT)),
            "properties/b/type",
            NO_INTEGER,
        ),
    ],
)
def test_references_are_followed(old: Any, new: Any, place: str, what: str) -> None:
    assert findings_of(old, new) == [(f"properties/a/{place}", what)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (document(TO_D, d=TEXT), document({"$ref": "#/$defs/e"}, e=TEXT)),
        (document(TO_D, d=TEXT), of(a=TEXT)),
        (of(a=TEXT), document(TO_D, d=TEXT)),
        (document(TO_D, d={"$ref": "#/$defs/e"}, e=TEXT), of(a=TEXT)),
        (document(TO_D, d=TEXT), document(TO_D, d=EITHER)),
        (document(TO_D, d=TEXT, unused=INTEGER), document(TO_D, d=TEXT, unused=TEXT)),
        (document({**TO_D, "description": "A"}, d=TEXT), document(TO_D, d={**TEXT, "title": "B"})),
        (document({**TO_D, "maxLength": 2}, d=TEXT), of(a={**TEXT, "maxLength": 2})),
        (document({**TO_D, "allOf": [{"minLength": 1}]}, d=TEXT), of(a={**TEXT, "minLength": 1})),
        (of(a={"const": {"$ref": "a"}}), of(a={"enum": [{"$ref": "a"}]})),
        (of(**{"a": TEXT, "$ref": TEXT}), of(**{"a": TEXT, "$ref": EITHER})),
        (document({"allOf": [TO_D, TO_D]}, d=TEXT), document(TO_D, d=TEXT)),
    ],
)
def test_the_place_of_a_schema_makes_no_difference(old: Any, new: Any) -> None:
    assert_harmless(old, new)


NODE = {"$ref": "#/$defs/node"}


def tree(value: Any, *required: str, **more: Any) -> dict[str, Any]:
    """A schema that contains itself: a node has a value, and children that are nodes."""
    node = {
        **OBJECT,
        "properties": {"value": value, "children": {**LIST, "items": NODE}, **more},
        **({"required": [*required]} if required else {}),
    }
    return document(NODE, node=node)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (tree(EITHER), tree(TEXT), [("properties/value/type", NO_INTEGER)]),
        (tree(TEXT), tree(TEXT, "value"), [("required", '"value" is now required')]),
        (tree(TEXT, x=TEXT), tree(TEXT), [("properties", '"x" was removed')]),
        (tree(TEXT), document({**OBJECT, "properties": {"value": TEXT}}), [("properties", '"children" was removed')]),
        (
            tree(TEXT, kind={"enum": ["a", "b"]}),
            tree(TEXT, kind={"const": "a"}),
            [("properties/kind/const", '"b" is no longer accepted')],
        ),
        (
            tree({**TEXT, "maxLength": 5}),
            tree({"anyOf": [{**TEXT, "maxLength": 4}, INTEGER]}),
            [("properties/value/anyOf/0/maxLength", "maxLength 4 is stricter than before")],
        ),
        (
            tree({"not": {"const": "a"}, **TEXT}),
            tree({"not": {"const": "b"}, **TEXT}),
            [("properties/value/not", "not rejects values that were accepted")],
        ),
        (
            tree(TEXT, first=NODE),
            tree(TEXT, first=TEXT),
            [
                ("properties/first/properties", '"value" was removed'),
                ("properties/first/properties", '"children" was removed'),
                ("properties/first/properties", '"first" was removed'),
                ("properties/first/type", "type object is no longer accepted"),
            ],
        ),
    ],
)
def test_a_schema_that_contains_itself_is_compared_once(old: Any, new: Any, found: list[tuple[str, str]]) -> None:
    assert findings_of(old, new) == [(f"properties/a/{place}", what) for place, what in found]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (tree(TEXT), tree(TEXT)),
        (tree(TEXT), tree(EITHER)),
        (tree(TEXT), tree({**TEXT, "title": "A"})),
        (tree(TEXT, "value"), tree(TEXT)),
        (tree(TEXT), tree(TEXT, x=TEXT)),
        (tree({"enum": ["a"]}), tree(TEXT)),
        (tree({"type": "boolean"}), tree({"enum": [True, False]})),
        (tree(TEXT, first=NODE), tree(EITHER, first={**NODE, "title": "A"})),
        (tree(TEXT, first={"anyOf": [NODE, {"type": "null"}]}), tree(TEXT, first={"anyOf": [{"type": "null"}, NODE]})),
        (
            tree(TEXT, first={"anyOf": [NODE, {"type": "null"}]}),
            tree(EITHER, first={"anyOf": [NODE, {"type": "null"}]}),
        ),
        (
            tree(TEXT, first={"oneOf": [NODE, {"type": "null"}]}),
            tree(EITHER, first={"oneOf": [NODE, {"type": "null"}]}),
        ),
        (tree({"not": {"const": "a"}, **TEXT}), tree({"not": {"const": "a"}, **TEXT}, x=TEXT)),
        (tree(TEXT), {**tree(TEXT), "properties": {"a": NODE, "b": TEXT}}),
        (tree({**TEXT, "default": "x"}), tree({**TEXT, "default": "x"}, "value")),
    ],
)
def test_a_schema_that_contains_itself_may_accept_more(old: Any, new: Any) -> None:
    assert findings_of(old, new) == []


def test_two_schemas_that_contain_themselves_are_compared_whatever_their_names() -> None:
    other = document(
        {"$ref": "#/$defs/n"},
        n={**OBJECT, "properties": {"value": TEXT, "children": {**LIST, "items": {"$ref": "#/$defs/n"}}}},
    )
    assert findings_of(tree(TEXT), other) == []
    assert findings_of(tree(EITHER), other) == [("properties/a/properties/value/type", NO_INTEGER)]


def test_a_reference_of_the_new_schema_leads_into_the_new_schema() -> None:
    """Both have a definition of this name, and the condition is met by other values in each."""
    old, new = ({**tree(TEXT), "$defs": {**tree(TEXT)["$defs"], "d": {"type": kind}}} for kind in ("integer", "string"))
    old["properties"]["b"] = TEXT
    new["properties"]["b"] = {**TEXT, "if": {"$ref": "#/$defs/d"}, "then": {"maxLength": 1}}
    assert findings_of(old, new) == [("properties/b/then/maxLength", "maxLength 1 is stricter than before")]


def test_what_a_schema_that_contains_itself_accepts_may_be_excluded_from_what_was_listed() -> None:
    whole = {"type": ["string", "object"], "properties": {"x": TO_D}}
    old, new = document({"enum": ["a"]}, d=whole), document({"enum": ["a"], "not": TO_D}, d=whole)
    assert findings_of(old, new) == [("properties/a/not", "not rejects values that were accepted")]


@pytest.mark.parametrize("old", [TEXT, {"$ref": "#/$defs/other"}])
def test_a_reference_that_leads_nowhere_is_compared_as_it_is_written(old: Any) -> None:
    lost = of(a={"$ref": "#/$defs/lost"})
    assert findings_of(of(a=old), lost) == [("properties/a/$ref", "the reference changed")]
    assert findings_of(lost, lost) == []


@pytest.mark.parametrize("link", [lambda to: {"allOf": [to]}, lambda to: to])
@pytest.mark.parametrize("links", [60, 100, 200])
def test_long_chains_of_references_are_followed(link: Any, links: int) -> None:
    def chain(end: Any) -> dict[str, Any]:
        steps = {f"d{n}": link({"$ref": f"#/$defs/d{n + 1}"}) for n in range(links)}
        return document({"$ref": "#/$defs/d0"}, **steps, **{f"d{links}": end})

    ((place, what),) = findings_of(chain(EITHER), chain(TEXT))
    assert (place.replace("/allOf/0", ""), what) == ("properties/a/type", NO_INTEGER)
    assert findings_of(chain(TEXT), chain(EITHER)) == []


def test_alternatives_of_a_schema_that_contains_itself_are_told_apart_by_a_member() -> None:
    def kind(name: str) -> dict[str, Any]:
        return {**OBJECT, "properties": {"kind": {"const": name}}, "required": ["kind"]}

    def beside(*alternatives: Any) -> dict[str, Any]:
        whole = tree(TEXT)
        definitions = {**whole["$defs"], "first": kind("a"), "second": kind("b")}
        return {**whole, "properties": {**whole["properties"], "b": {"oneOf": [*alternatives]}}, "$defs": definitions}

    old = beside(kind("a"), kind("b"))
    assert findings_of(old, beside(kind("b"), kind("c"), kind("a"))) == []
    assert findings_of(old, beside({"$ref": "#/$defs/second"}, {"$ref": "#/$defs/first"})) == []
    assert findings_of(old, beside(kind("b"), kind("c"))) == [
        ("properties/b/oneOf", "no alternative of oneOf accepts all values that were valid")
    ]


def test_references_of_both_kinds_are_compared_by_what_they_lead_to() -> None:
    def both(node: Any) -> dict[str, Any]:
        return document({"allOf": [TO_D, {"$dynamicRef": "#d"}]}, d={**node, "$dynamicAnchor": "d"})

    assert findings_of(both(EITHER), both(TEXT)) != []
    assert findings_of(both(TEXT), both(TEXT)) == []


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_a_reference_that_is_no_pointer_is_compared_as_it_is_written(keyword: str) -> None:
    def named(node: Any, title: str = "A", **more: Any) -> dict[str, Any]:
        at = {"$dynamicAnchor": "d"} if keyword == "$dynamicRef" else {"$anchor": "d"}
        return {**document({keyword: "#d"}, d={**node, **at, **more}), "title": title}

    what = "the reference changed" if keyword == "$ref" else "$dynamicRef is stricter than before"
    assert findings_of(named(EITHER), named(EITHER)) == []
    assert findings_of(named(EITHER), named(TEXT)) == [(f"properties/a/{keyword}", what)]


def test_a_reference_within_a_schema_with_an_id_is_compared_as_it_is_written() -> None:
    def own(node: Any, **more: Any) -> dict[str, Any]:
        return {**document(TO_D, d=node), "$id": "https://example.com/s", **more}

    assert findings_of(own(EITHER), own(EITHER, title="A")) == []
    assert findings_of(own(EITHER), own(TEXT)) == [("properties/a/$ref", "the reference changed")]


def test_a_condition_in_a_schema_that_contains_itself_is_compared() -> None:
    old, new = ({**tree(TEXT), "if": {"required": ["a"]}, "then": {"required": [name]}} for name in ("b", "c"))
    assert findings_of(old, old) == []
    assert findings_of(old, new) == [("then/required", '"c" is now required')]


def doubled(levels: int, end: Any) -> dict[str, Any]:
    """A small schema that has 2 ** levels parts when its references are replaced."""
    links = {
        f"d{n}": {**OBJECT, "properties": {side: {"$ref": f"#/$defs/d{n + 1}"} for side in ("l", "r")}}
        for n in range(levels)
    }
    return document({"$ref": "#/$defs/d0"}, **links, **{f"d{levels}": end})


@pytest.mark.parametrize("levels", [3, 9, 11])
def test_a_schema_whose_references_multiply_is_compared_nevertheless(levels: int) -> None:
    place = "properties/a" + "/properties/l" * levels
    found = findings_of(doubled(levels, EITHER), doubled(levels, TEXT))
    assert found[0] == (f"{place}/type", NO_INTEGER)
    assert len(found) == min(2**levels, changes.MAX_BREAKS)
    assert findings_of(doubled(levels, TEXT), doubled(levels, TEXT)) == []


def test_no_more_than_a_hundred_breaks_are_reported() -> None:
    names = [f"n{number}" for number in range(150)]
    assert len(findings_of(of(**dict.fromkeys(names, TEXT)), of())) == 100
    assert len(findings_of(of(**dict.fromkeys(names[:100], TEXT)), of())) == 100
    assert len(findings_of(of(**dict.fromkeys(names[:99], TEXT)), of())) == 99


def test_schemas_too_complex_to_compare_count_as_broken() -> None:
    def wide(limit: int) -> dict[str, Any]:
        alternatives = [
            {
                **OBJECT,
                "properties": {f"p{n}": {**TEXT, "maxLength": limit} for n in range(20)},
                "required": [f"p{each}"],
            }
            for each in range(30)
        ]
        return of(a={"anyOf": alternatives}, b={"anyOf": alternatives})

    assert findings_of(wide(5), wide(6)) == [("", "the schema changed, and it is too complex to be compared")]
    assert findings_of(wide(5), wide(5)) == []


def test_what_was_found_before_the_comparison_became_too_complex_is_reported() -> None:
    alternatives = [{**OBJECT, "properties": {f"p{n}": {**TEXT, "maxLength": 5} for n in range(20)}} for _ in range(30)]
    more = [{**OBJECT, "properties": {f"p{n}": {**TEXT, "maxLength": 6} for n in range(20)}} for _ in range(30)]
    found = findings_of(of(a=EITHER, b={"anyOf": alternatives}), of(a=TEXT, b={"anyOf": more}))
    assert found == [("properties/a/type", NO_INTEGER)]


def test_a_deep_schema_is_compared() -> None:
    def deep(levels: int, end: Any) -> Any:
        for _ in range(levels):
            end = of(a=end)
        return end

    for levels in (10, 60):
        place = "properties/a/" * levels
        assert findings_of(deep(levels, EITHER), deep(levels, TEXT)) == [(f"{place}type", NO_INTEGER)]
        assert findings_of(deep(levels, TEXT), deep(levels, EITHER)) == []
    # Beyond all limits there is an answer nevertheless.
    assert findings_of(deep(2000, EITHER), deep(2000, TEXT)) != []
