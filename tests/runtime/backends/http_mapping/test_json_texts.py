"""JSON keeps its digits, whatever else is in it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.http_mapping import json_texts, pointers

DIGITS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


class Literal(float):
    """A number that the standard library writes as it was read."""

    text = ""

    def __repr__(self) -> str:
        return self.text


def literal(text: str) -> Literal:
    made = Literal(0)
    made.text = text
    return made


def strings() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), strings(), DIGITS.map(literal)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings(), inner, max_size=4),
    max_leaves=12,
)


def exact(text: str) -> Any:
    """The document with each number as its literal."""
    return json.loads(text, parse_float=lambda t: ("n", t), parse_int=lambda t: ("n", t))


def places(value: Any, pointer: str = "") -> list[str]:
    children: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = [(str(index), child) for index, child in enumerate(value)]
    below = [place for name, child in children for place in places(child, f"{pointer}/{pointers.escape(name)}")]
    return [pointer, *below]


@given(DOCUMENTS, st.sampled_from([None, 2]), st.booleans(), st.data())
def test_every_number_keeps_its_digits_at_every_place(
    document: Any, indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    # The C encoder of the standard library writes floats itself; with an indent or this class it asks the float.
    text = json.JSONEncoder(indent=indent or "", ensure_ascii=ascii_only).encode(document)
    text = text if indent else re.sub(r"\n", " ", text)
    value = orjson.loads(text)
    pointer = data.draw(st.sampled_from(places(value)))
    wanted = pointers.find(value, pointer)

    found = json_texts.render(text, wanted, pointer)

    assert orjson.loads(found) == wanted
    assert exact(found) == pointers.find(exact(text), pointer)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1.10, "b": 2}', '{"a":1.10,"b":2}'),
        ("[1E5, 1.0, -0, -0.0, 0.00001, 12345678901234567890123]", "[1E5,1.0,-0,-0.0,0.00001,12345678901234567890123]"),
        ('{"a\\u00fc": "1.10 \\" , }", "b" : 1.10}', '{"aü":"1.10 \\" , }","b":1.10}'),
        ('{"a": 1, "b": "x"}', '{"a":1,"b":"x"}'),
        ("  7  ", "7"),
    ],
)
def test_white_space_and_escapes_go(text: str, found: str) -> None:
    assert json_texts.render(text, orjson.loads(text), "") == found


def test_of_members_of_one_name_the_last_counts() -> None:
    text = '{"a": 1.10, "b": 0, "a": 2.20}'

    assert json_texts.render(text, orjson.loads(text)["a"], "/a") == "2.20"


def test_a_double_and_its_text_are_the_same_number() -> None:
    text = "[0.1, 1.7976931348623157e308]"

    assert [Decimal(t) for t in json.loads(json_texts.render(text, orjson.loads(text), ""), parse_float=str)] == [
        Decimal("0.1"), Decimal("1.7976931348623157e308"),
    ]  # fmt: skip
