"""Changes of the bounds of numbers: of integers, whose bounds are integers, and of those with a fraction."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crd.schema.comparison import INTEGER, NUMBER, TEXT, assert_breaks, assert_harmless, of

# Bounds before and after, what is said of them, and a number that is lost.
STRICTER: list[tuple[Any, Any, str, Any]] = [
    ({}, {"minimum": 0}, "minimum 0", -1),
    ({}, {"maximum": 0}, "maximum 0", 1),
    ({}, {"exclusiveMinimum": 0}, "exclusiveMinimum 0", 0),
    ({}, {"exclusiveMaximum": 0}, "exclusiveMaximum 0", 0),
    ({"minimum": 1}, {"exclusiveMinimum": 1}, "exclusiveMinimum 1", 1),
    ({"minimum": 1}, {"minimum": 2}, "minimum 2", 1),
    ({"exclusiveMinimum": 1}, {"minimum": 3}, "minimum 3", 2),
    ({"exclusiveMinimum": 1}, {"exclusiveMinimum": 2}, "exclusiveMinimum 2", 2),
    ({"maximum": 5}, {"exclusiveMaximum": 5}, "exclusiveMaximum 5", 5),
    ({"maximum": 5}, {"maximum": 4}, "maximum 4", 5),
    ({"exclusiveMaximum": 5}, {"maximum": 3}, "maximum 3", 4),
    ({"exclusiveMaximum": 5}, {"exclusiveMaximum": 4}, "exclusiveMaximum 4", 4),
    ({"maximum": 5}, {"minimum": 0}, "minimum 0", -1),
    ({"minimum": 0}, {"maximum": 5}, "maximum 5", 6),
    ({"allOf": [{"minimum": 0}, {"minimum": 2}]}, {"minimum": 3}, "minimum 3", 2),
    ({"allOf": [{"maximum": 9}, {"maximum": 7}]}, {"maximum": 6}, "maximum 6", 7),
]
LOOSER: list[tuple[Any, Any]] = [
    ({"minimum": 1}, {"minimum": 1, "title": "A"}),
    ({"minimum": 1}, {"minimum": 0}),
    ({"minimum": 1}, {"exclusiveMinimum": 0}),
    ({"exclusiveMinimum": 1}, {"minimum": 1}),
    ({"exclusiveMinimum": 1}, {"exclusiveMinimum": 1, "title": "A"}),
    ({"maximum": 5}, {"maximum": 5, "title": "A"}),
    ({"maximum": 5}, {"maximum": 6}),
    ({"maximum": 5}, {"exclusiveMaximum": 6}),
    ({"exclusiveMaximum": 5}, {"maximum": 5}),
    ({"exclusiveMaximum": 5}, {"exclusiveMaximum": 5, "title": "A"}),
    ({"allOf": [{"minimum": 2}, {"minimum": 0}]}, {"minimum": 2}),
    ({"allOf": [{"maximum": 7}, {"maximum": 9}]}, {"maximum": 7}),
    ({"allOf": [{"exclusiveMinimum": 0}, {"minimum": 2}, {"exclusiveMinimum": 1}]}, {"minimum": 2}),
    ({"allOf": [{"exclusiveMaximum": 9}, {"maximum": 7}, {"exclusiveMaximum": 8}]}, {"maximum": 7}),
    ({"minimum": 1, "maximum": 5}, {"minimum": 0, "maximum": 6}),
]


@pytest.mark.parametrize("kind", [INTEGER, NUMBER], ids=["integer", "number"])
@pytest.mark.parametrize(("old", "new", "what", "lost"), STRICTER)
def test_a_stricter_bound_is_reported(kind: Any, old: Any, new: Any, what: str, lost: Any) -> None:
    (keyword,) = new
    found = [(f"properties/a/{keyword}", f"{what} is stricter than before")]
    assert_breaks(of(a={**kind, **old}), of(a={**kind, **new}), found, {"a": lost})


@pytest.mark.parametrize("kind", [INTEGER, NUMBER], ids=["integer", "number"])
@pytest.mark.parametrize(("old", "new"), LOOSER)
def test_a_bound_that_all_numbers_met_is_not_reported(kind: Any, old: Any, new: Any) -> None:
    assert_harmless(of(a={**kind, **old}), of(a={**kind, **new}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"minimum": 0.5}, {"minimum": 1}),
        ({"minimum": 0.5}, {"exclusiveMinimum": 0}),
        ({"exclusiveMinimum": 0}, {"minimum": 1}),
        ({"exclusiveMinimum": 0.5}, {"minimum": 1}),
        ({"maximum": 1.5}, {"maximum": 1}),
        ({"maximum": 1.5}, {"exclusiveMaximum": 2}),
        ({"exclusiveMaximum": 2}, {"maximum": 1}),
        ({"exclusiveMaximum": 1.5}, {"maximum": 1}),
    ],
)
def test_the_bounds_of_integers_are_integers(old: Any, new: Any) -> None:
    assert_harmless(of(a={**INTEGER, **old}), of(a={**INTEGER, **new}))


@pytest.mark.parametrize(
    ("old", "new", "what", "lost"),
    [
        ({"exclusiveMinimum": 1}, {"minimum": 1.5}, "minimum 1.5", 1.25),
        ({"exclusiveMinimum": 1}, {"minimum": 2}, "minimum 2", 1.5),
        ({"exclusiveMaximum": 2}, {"maximum": 1.5}, "maximum 1.5", 1.75),
        ({"exclusiveMaximum": 2}, {"maximum": 1}, "maximum 1", 1.5),
        ({"exclusiveMinimum": 1}, {"exclusiveMinimum": 1.5}, "exclusiveMinimum 1.5", 1.5),
        ({"exclusiveMaximum": 2}, {"exclusiveMaximum": 1.5}, "exclusiveMaximum 1.5", 1.5),
    ],
)
def test_numbers_between_two_integers_are_lost(old: Any, new: Any, what: str, lost: Any) -> None:
    (keyword,) = new
    found = [(f"properties/a/{keyword}", f"{what} is stricter than before")]
    assert_breaks(of(a={**NUMBER, **old}), of(a={**NUMBER, **new}), found, {"a": lost})


@pytest.mark.parametrize(
    ("old", "new", "limit", "lost"),
    [
        (INTEGER, INTEGER, 2, 1),
        ({**INTEGER, "multipleOf": 2}, INTEGER, 4, 2),
        ({**INTEGER, "multipleOf": 2}, INTEGER, 3, 2),
        ({**INTEGER, "multipleOf": 1.5}, INTEGER, 2, 3),
        (INTEGER, INTEGER, 1.5, 1),
        (NUMBER, NUMBER, 1, 0.5),
        ({**NUMBER, "multipleOf": 0.5}, NUMBER, 1, 0.5),
        ({**NUMBER, "multipleOf": 0.5}, NUMBER, 0.75, 0.5),
        ({**NUMBER, "allOf": [{"multipleOf": 0.5}, {"multipleOf": 0.25}]}, NUMBER, 0.75, 0.5),
        ({**INTEGER, "allOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, INTEGER, 4, 6),
    ],
)
def test_numbers_that_are_no_multiple_are_lost(old: Any, new: Any, limit: float, lost: float) -> None:
    found = [("properties/a/multipleOf", f"multipleOf {limit} is new")]
    assert_breaks(of(a=old), of(a={**new, "multipleOf": limit}), found, {"a": lost})


@pytest.mark.parametrize(
    ("old", "limit"),
    [
        (INTEGER, 1),
        (INTEGER, 0.5),
        ({**INTEGER, "multipleOf": 4}, 2),
        ({**INTEGER, "multipleOf": 2}, 2),
        ({**INTEGER, "multipleOf": 3}, 1.5),
        ({**INTEGER, "allOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, 6),
        ({**INTEGER, "allOf": [{"multipleOf": 4}, {"multipleOf": 6}]}, 12),
        ({**NUMBER, "multipleOf": 0.5}, 0.25),
        ({**NUMBER, "multipleOf": 0.1}, 0.1),
        ({**NUMBER, "multipleOf": 0.3}, 0.1),
        ({**NUMBER, "allOf": [{"multipleOf": 0.5}, {"multipleOf": 0.3}]}, 0.1),
    ],
)
def test_numbers_that_were_multiples_are_not_lost(old: Any, limit: float) -> None:
    assert_harmless(of(a={**old, "minimum": -100}), of(a={"type": "number", "multipleOf": limit}))


@pytest.mark.parametrize(
    ("old", "values"),
    [
        ({"minimum": 0, "maximum": 3}, [0, 1, 2, 3]),
        ({"minimum": 0, "maximum": 0}, [0]),
        ({"minimum": -1, "exclusiveMaximum": 2}, [-1, 0, 1]),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 4}, [1, 2, 3]),
        ({"minimum": 0.5, "maximum": 3.5}, [1, 2, 3]),
        ({"allOf": [{"minimum": 0}, {"minimum": 2}, {"maximum": 9}, {"maximum": 5}]}, [2, 3, 4, 5]),
        ({"minimum": 1, "maximum": 10, "multipleOf": 5}, [5, 10]),
        ({"minimum": 1, "maximum": 64}, [*range(1, 65)]),
        ({"minimum": 1, "maximum": 3, "not": {"const": 2}}, [1, 3]),
    ],
)
def test_integers_between_close_bounds_may_be_listed(old: Any, values: list[int]) -> None:
    assert_harmless(of(a={**INTEGER, **old}), of(a={"enum": values}))
    *others, last = values
    found = [("properties/a/enum", f"{last} is no longer accepted")]
    if others:
        assert_breaks(of(a={**INTEGER, **old}), of(a={"enum": others}), found, {"a": last})


@pytest.mark.parametrize("bounds", [{"minimum": 1}, {"maximum": 5}, {"minimum": 1, "maximum": 65}])
def test_integers_between_distant_bounds_are_not_compared_one_by_one(bounds: Any) -> None:
    # There are 65 of them, and no more than 64 are compared.
    found = [("properties/a/enum", "only listed values are now accepted")]
    assert_breaks(of(a={**INTEGER, **bounds}), of(a={"enum": [3]}), found, {"a": 2})


def test_an_integer_is_a_number_and_not_the_reverse() -> None:
    assert_harmless(of(a={**INTEGER, "minimum": 1}), of(a={**NUMBER, "minimum": 1}))
    assert_harmless(of(a={"type": ["integer", "null"]}), of(a={"type": ["number", "null"]}))
    assert_harmless(of(a={"type": ["number", "integer"]}), of(a=NUMBER))
    lost = [("properties/a/type", "type number is no longer accepted")]
    assert_breaks(of(a={"type": ["number", "null"]}), of(a={"type": ["integer", "null"]}), lost, {"a": 0.5})
    # All multiples of an integer are integers.
    assert_harmless(of(a={**NUMBER, "multipleOf": 3}), of(a=INTEGER))
    assert_breaks(of(a={**NUMBER, "multipleOf": 1.5}), of(a=INTEGER), lost, {"a": 1.5})


@pytest.mark.parametrize(
    "without_values",
    [
        {**INTEGER, "minimum": 2, "maximum": 1},
        {**INTEGER, "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {**INTEGER, "minimum": 1.25, "maximum": 1.75},
        {**INTEGER, "exclusiveMinimum": 1, "maximum": 1},
        {**INTEGER, "minimum": 1, "exclusiveMaximum": 1},
        {**NUMBER, "minimum": 2, "maximum": 1},
        {**NUMBER, "minimum": 1.5, "maximum": 1.25},
        {**NUMBER, "exclusiveMinimum": 1.5, "maximum": 1.5},
        {**NUMBER, "minimum": 1.5, "exclusiveMaximum": 1.5},
        {**NUMBER, "multipleOf": 2, "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {**INTEGER, "multipleOf": 10, "minimum": 1, "maximum": 9},
    ],
)
def test_an_alternative_that_no_number_satisfies_is_not_missed(without_values: Any) -> None:
    assert_harmless(of(a={"anyOf": [TEXT, without_values]}), of(a=TEXT))


@pytest.mark.parametrize(
    ("alternative", "lost", "number"),
    [
        ({**INTEGER, "minimum": 1, "maximum": 1}, "type integer is", 1),
        ({**INTEGER, "minimum": -100, "maximum": 100}, "type integer is", 7),
        ({**NUMBER, "minimum": 1, "maximum": 1}, "type integer is", 1),
        ({**NUMBER, "minimum": 1.5, "maximum": 1.5}, "type number is", 1.5),
        ({**NUMBER, "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "type number is", 1.5),
        ({**NUMBER, "exclusiveMinimum": 1, "maximum": 2}, "types integer and number are", 2),
        ({**NUMBER, "multipleOf": 2}, "type integer is", 2),
        ({**NUMBER, "multipleOf": 2.0}, "type integer is", 2),
        ({**NUMBER, "multipleOf": 0.5}, "types integer and number are", 0.5),
        (NUMBER, "types integer and number are", 0.5),
    ],
)
def test_an_alternative_that_a_number_satisfies_is_missed(alternative: Any, lost: str, number: float) -> None:
    found = [("properties/a/type", f"{lost} no longer accepted")]
    assert_breaks(of(a={"anyOf": [TEXT, alternative]}), of(a=TEXT), found, {"a": number})


def test_listed_numbers_are_compared_with_bounds() -> None:
    assert_harmless(of(a={"enum": [1, 2.5]}), of(a={**NUMBER, "minimum": 1, "maximum": 2.5}))
    assert_harmless(of(a={"const": 4}), of(a={**INTEGER, "multipleOf": 2}))
    found = [("properties/a/minimum", "minimum 2 is stricter than before")]
    assert_breaks(of(a={"enum": [1, 2]}), of(a={**INTEGER, "minimum": 2}), found, {"a": 1})
    assert_harmless(of(a={"enum": [1.0]}), of(a={"const": 1}))
    lost = [("properties/a/const", "1 is no longer accepted")]
    assert_breaks(of(a={"enum": [1, True]}), of(a={"const": True}), lost, {"a": 1})
