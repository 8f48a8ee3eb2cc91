"""Changes of lists: of their size, and of the schemas of their items."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crd.schema.comparison import INTEGER, LIST, TEXT, assert_breaks, assert_harmless, findings_of, of

EITHER: dict[str, Any] = {"type": ["string", "integer"]}
NO_INTEGER = "type integer is no longer accepted"
NO_STRING = "type string is no longer accepted"


def lists(**keywords: Any) -> dict[str, Any]:
    return {**LIST, **keywords}


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "lost"),
    [
        (lists(), lists(minItems=1), "minItems", "minItems 1 is stricter than before", []),
        (lists(minItems=1), lists(minItems=2), "minItems", "minItems 2 is stricter than before", [1]),
        (lists(), lists(maxItems=2), "maxItems", "maxItems 2 is stricter than before", [1, 2, 3]),
        (lists(maxItems=3), lists(maxItems=2), "maxItems", "maxItems 2 is stricter than before", [1, 2, 3]),
        (lists(prefixItems=[TEXT, False]), lists(maxItems=0), "maxItems", "maxItems 0 is stricter than before", ["a"]),
        (lists(), lists(uniqueItems=True), "uniqueItems", "duplicate items are now rejected", [1, 1]),
        (lists(uniqueItems=False), lists(uniqueItems=True), "uniqueItems", "duplicate items are now rejected", [1, 1]),
        (lists(maxItems=2), lists(uniqueItems=True), "uniqueItems", "duplicate items are now rejected", [1, 1]),
        (lists(), lists(contains=TEXT), "contains", "contains is stricter than before", []),
        (
            lists(contains=TEXT),
            lists(contains=INTEGER),
            "contains",
            "contains is stricter than before",
            ["a"],
        ),
        (
            lists(contains=TEXT),
            lists(contains=TEXT, minContains=2),
            "contains",
            "contains is stricter than before",
            ["a"],
        ),
        (
            lists(contains=TEXT),
            lists(contains=TEXT, maxContains=1),
            "contains",
            "contains is stricter than before",
            ["a", "b"],
        ),
        (
            lists(items=EITHER),
            lists(unevaluatedItems=TEXT),
            "unevaluatedItems",
            "unevaluatedItems is stricter than before",
            [1],
        ),
        (lists(), lists(items=TEXT), "items", "types array, boolean, integer and 3 more are no longer accepted", [1]),
        (lists(items=EITHER), lists(items=TEXT), "items/type", NO_INTEGER, [1]),
        (lists(items=EITHER), lists(prefixItems=[TEXT]), "prefixItems/0/type", NO_INTEGER, [1]),
        (lists(items=EITHER), lists(prefixItems=[EITHER, TEXT]), "prefixItems/1/type", NO_INTEGER, ["a", 1]),
        (lists(prefixItems=[EITHER]), lists(prefixItems=[TEXT]), "prefixItems/0/type", NO_INTEGER, [1]),
        (lists(prefixItems=[EITHER, TEXT]), lists(prefixItems=[INTEGER]), "prefixItems/0/type", NO_STRING, ["a"]),
        (lists(prefixItems=[EITHER], items=TEXT), lists(items=TEXT), "items/type", NO_INTEGER, [1]),
        (lists(prefixItems=[TEXT], items=EITHER), lists(items=TEXT), "items/type", NO_INTEGER, ["a", 1]),
        (
            lists(prefixItems=[TEXT], items=EITHER),
            lists(prefixItems=[TEXT], items=TEXT),
            "items/type",
            NO_INTEGER,
            ["a", 1],
        ),
        (
            lists(prefixItems=[TEXT, TEXT, EITHER], items=TEXT),
            lists(prefixItems=[TEXT], items=TEXT),
            "items/type",
            NO_INTEGER,
            ["a", "a", 1],
        ),
        (lists(items=TEXT), lists(items=False), "items", "only 0 items are now accepted", ["a"]),
        (
            lists(items=TEXT),
            lists(prefixItems=[TEXT, TEXT], items=False),
            "items",
            "only 2 items are now accepted",
            ["a", "b", "c"],
        ),
        (
            lists(items=TEXT, maxItems=3),
            lists(prefixItems=[TEXT, TEXT], items=False),
            "items",
            "only 2 items are now accepted",
            ["a", "b", "c"],
        ),
        (
            lists(allOf=[{"items": EITHER}, {"maxItems": 2}]),
            lists(items=TEXT),
            "items/type",
            NO_INTEGER,
            [1],
        ),
        (lists(items=lists(items=EITHER)), lists(items=lists(items=TEXT)), "items/items/type", NO_INTEGER, [[1]]),
        (lists(items=EITHER), lists(allOf=[{"items": TEXT}]), "allOf/0/items/type", NO_INTEGER, [1]),
    ],
)
def test_a_list_that_is_lost_is_reported(old: Any, new: Any, place: str, what: str, lost: Any) -> None:
    place = f"{place}/type" if what.startswith("types") else place
    assert_breaks(of(a=old), of(a=new), [(f"properties/a/{place}", what)], {"a": lost})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lists(minItems=1), lists(minItems=1, title="A")),
        (lists(minItems=2), lists(minItems=1)),
        (lists(maxItems=2), lists(maxItems=2, title="A")),
        (lists(maxItems=2), lists(maxItems=3)),
        (lists(items=False), lists(maxItems=0)),
        (lists(prefixItems=[TEXT, False]), lists(maxItems=1)),
        (lists(prefixItems=[TEXT], items=False), lists(maxItems=1)),
        (lists(allOf=[{"maxItems": 3}, {"prefixItems": [TEXT], "items": False}]), lists(maxItems=1)),
        (lists(uniqueItems=True), lists(uniqueItems=True, title="A")),
        (lists(), lists(uniqueItems=False)),
        (lists(maxItems=1), lists(uniqueItems=True)),
        (lists(items=False), lists(uniqueItems=True)),
        (lists(allOf=[{"uniqueItems": False}, {"uniqueItems": True}]), lists(uniqueItems=True)),
        (lists(contains=TEXT), lists(contains=TEXT, title="A")),
        (lists(contains=TEXT, minContains=2), lists(contains=TEXT, minContains=2, title="A")),
        (lists(contains=TEXT), lists()),
        (lists(items=TEXT), lists(unevaluatedItems=True)),
        (lists(items=TEXT), lists(items=EITHER)),
        (lists(items=TEXT), lists(items=True)),
        (lists(items=TEXT), lists(items={})),
        (lists(items=TEXT), lists(prefixItems=[TEXT])),
        (lists(items=TEXT), lists(prefixItems=[TEXT], items=TEXT)),
        (lists(items=TEXT), lists(prefixItems=[EITHER, {}], items=TEXT)),
        (lists(prefixItems=[TEXT, INTEGER]), lists(prefixItems=[TEXT])),
        (lists(prefixItems=[TEXT], items=TEXT), lists(items=TEXT)),
        (lists(prefixItems=[TEXT], items=False), lists(items=TEXT)),
        (lists(prefixItems=[TEXT], maxItems=1), lists(prefixItems=[TEXT, INTEGER], items=False)),
        (lists(prefixItems=[TEXT], maxItems=1), lists(items=TEXT)),
        (lists(prefixItems=[TEXT, TEXT], maxItems=2), lists(prefixItems=[TEXT], items=TEXT)),
        (lists(items=TEXT, maxItems=2), lists(prefixItems=[TEXT, TEXT], items=False)),
        (lists(items=TEXT, maxItems=1), lists(prefixItems=[TEXT, INTEGER])),
        (lists(maxItems=0), lists(items=TEXT)),
        (lists(maxItems=0), lists(items=False)),
        (lists(allOf=[{"items": EITHER}, {"items": TEXT}]), lists(items=TEXT)),
        (lists(allOf=[{"prefixItems": [EITHER]}, {"items": TEXT}]), lists(prefixItems=[TEXT])),
        (lists(items=TEXT), lists(allOf=[{"items": TEXT}, {"minItems": 0}])),
        (lists(items={"enum": [1, 2]}), lists(items={**INTEGER, "minimum": 1})),
    ],
)
def test_a_list_that_is_still_accepted_is_not_reported(old: Any, new: Any) -> None:
    assert_harmless(of(a=old), of(a=new))


@pytest.mark.parametrize(
    "without_values",
    [
        lists(minItems=2, maxItems=1),
        lists(minItems=1, items=False),
        lists(minItems=2, prefixItems=[TEXT, False]),
        lists(minItems=2, prefixItems=[TEXT], items=False),
        lists(minItems=1, items={**TEXT, "enum": [1]}),
        lists(minItems=1, maxItems=3, prefixItems=[False]),
        lists(contains=False),
        lists(contains=TEXT, items=INTEGER),
        lists(contains=TEXT, minContains=1, items=INTEGER),
        lists(contains=TEXT, allOf=[{"items": EITHER}, {"items": INTEGER}]),
        lists(allOf=[{"contains": TEXT}, {"items": INTEGER}]),
        lists(contains=TEXT, maxItems=0),
    ],
)
def test_an_alternative_that_no_list_satisfies_is_not_missed(without_values: Any) -> None:
    assert_harmless(of(a={"anyOf": [TEXT, without_values]}), of(a=TEXT))


@pytest.mark.parametrize(
    ("alternative", "lost"),
    [
        (lists(minItems=1, maxItems=1), [1]),
        (lists(items=False), []),
        (lists(minItems=1, prefixItems=[TEXT, False]), ["a"]),
        (lists(minItems=2, maxItems=2, prefixItems=[TEXT], items=TEXT), ["a", "a"]),
        (lists(contains=TEXT, items=EITHER), ["a"]),
        (lists(contains=TEXT, items=INTEGER, minContains=0), []),
        (lists(contains=TEXT, items=INTEGER, prefixItems=[TEXT]), ["a"]),
        (lists(contains={}, maxItems=1), [1]),
    ],
)
def test_an_alternative_that_a_list_satisfies_is_missed(alternative: Any, lost: Any) -> None:
    found = [("properties/a/type", "type array is no longer accepted")]
    assert_breaks(of(a={"anyOf": [TEXT, alternative]}), of(a=TEXT), found, {"a": lost})


def test_a_keyword_that_depends_on_its_neighbours_is_unchanged_only_with_them() -> None:
    same = lists(prefixItems=[TEXT], unevaluatedItems=False, minItems=1)
    assert findings_of(of(a=same), of(a={**same, "title": "A"}, b=TEXT)) == []
    found = [("properties/a/unevaluatedItems", "unevaluatedItems is stricter than before")]
    assert_breaks(
        of(a=lists(prefixItems=[TEXT], unevaluatedItems=False)),
        of(a=lists(unevaluatedItems=False)),
        found,
        {"a": ["a"]},
    )


PERSON = {"type": "object", "properties": {"name": TEXT}}


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (lists(items=PERSON), lists(), "items/properties"),
        (lists(items=PERSON), lists(items={}), "items/properties"),
        (lists(items=PERSON), lists(items=True), "items/properties"),
        (lists(prefixItems=[TEXT, PERSON]), lists(), "items/properties"),
        (lists(prefixItems=[TEXT], items=PERSON), lists(minItems=0), "items/properties"),
        (lists(items=PERSON), lists(prefixItems=[PERSON]), "items/properties"),
        (lists(items=PERSON), lists(prefixItems=[TEXT]), "items/properties"),
        (lists(prefixItems=[TEXT, TEXT, PERSON]), lists(prefixItems=[TEXT]), "items/properties"),
        (lists(items=lists(items=PERSON)), lists(items=LIST), "items/items/properties"),
    ],
)
def test_members_of_items_that_are_no_longer_declared_are_reported(old: Any, new: Any, place: str) -> None:
    assert (f"properties/a/{place}", '"name" was removed') in findings_of(of(a=old), of(a=new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lists(items=PERSON, maxItems=0), lists(maxItems=0)),
        (lists(prefixItems=[TEXT, PERSON], maxItems=1), lists(maxItems=1)),
        (lists(prefixItems=[False, PERSON]), lists()),
        (lists(items=PERSON, maxItems=1), lists(prefixItems=[PERSON])),
        (lists(prefixItems=[PERSON]), lists(prefixItems=[PERSON, {}])),
        (lists(items=PERSON), lists(allOf=[{"items": PERSON}])),
        (lists(items=PERSON), lists(anyOf=[{"items": PERSON}])),
        (lists(items=PERSON), {"$ref": "#/$defs/people"}),
    ],
)
def test_members_of_items_that_are_still_declared_are_not_reported(old: Any, new: Any) -> None:
    people = {"$defs": {"people": lists(items=PERSON)}}
    assert findings_of({**of(a=old), **people}, {**of(a=new), **people}) == []
