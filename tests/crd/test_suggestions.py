"""Suggestions: the nearest name by difflib's ratio, at a bounded cost."""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crd.suggestions import MAX_LENGTH, MAX_LOOKUPS, MAX_NAMES, Suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("prot", ["port", "path"], "port"),
        ("prot", [], None),
        ("prot", ["zzzz"], None),
        ("ab", ["ab", "abc"], "ab"),
        ("x" * MAX_LENGTH, ["x" * MAX_LENGTH], "x" * MAX_LENGTH),
        ("x" * (MAX_LENGTH + 1), ["x" * (MAX_LENGTH + 1)], None),
        ("x" * MAX_LENGTH, ["x" * (MAX_LENGTH + 1)], None),
        ("abcde", ["abcxy"], "abcxy"),
    ],
)
def test_the_nearest_name(name: str, known: list[str], found: str | None) -> None:
    assert Suggestions(known).nearest(name) == found


def test_a_cutoff_decides_what_is_near() -> None:
    assert Suggestions(["abcxy"]).nearest("abcde", cutoff=0.7) is None


@given(st.text("abc", max_size=6), st.lists(st.text("abc", max_size=6), max_size=5))
def test_of_few_names_the_ratio_is_that_of_difflib(name: str, known: list[str]) -> None:
    def ratio(other: str) -> float:
        return difflib.SequenceMatcher(None, other, name).ratio()

    found = Suggestions(known).nearest(name)
    best = max(map(ratio, known), default=0)

    assert (found is None) == (best < 0.6)
    assert found is None or ratio(found) == best


def test_only_the_first_look_ups_are_answered() -> None:
    suggestions = Suggestions(["port"])

    assert [suggestions.nearest("prot") for _ in range(MAX_LOOKUPS + 1)] == ["port"] * MAX_LOOKUPS + [None]


def test_names_are_read_at_the_first_look_up_and_only_so_many() -> None:
    read: list[int] = []

    def names() -> Iterator[str]:
        for number in itertools.count():
            read.append(number)
            yield f"name-{number:06}"

    suggestions = Suggestions(names())
    assert read == []
    assert suggestions.nearest("name_000007") == "name-000007"
    suggestions.nearest("name_000008")
    assert len(read) == MAX_NAMES
