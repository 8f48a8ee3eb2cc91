"""Law of plain schemas: the rules about schemas find nothing in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from crd.rules import schemas
from crd.schema import plain

numbers = st.one_of(
    st.integers(-3, 10), st.sampled_from([True, 1.5, None, "1", -1, 2**53, 2**53 + 1, 2**64, 1e300, -(2**53)])
)
names = st.sampled_from(["a", "b", "c", "x-mcp-header", "default"])
texts = st.sampled_from(["text", "", 7, None])
leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["string", "string", "integer", "number", "boolean", "array", "object", "null", "text", 7]
        ),
        "title": texts,
        "description": texts,
        "pattern": st.sampled_from(["^[0-9]+$", "(", "\\d", "(?=a)", "a{1000}", "(a)\\1", "a" * 300, 7, "[a-z]{2,60}"]),
        "enum": st.sampled_from([["a"], ["a", "b"], ["a", "a"], [], [1], ["a", None], 7]),
        "minLength": numbers,
        "maxLength": numbers,
        "minItems": numbers,
        "maxItems": numbers,
        "minimum": numbers,
        "maximum": numbers,
        "required": st.one_of(st.lists(names, max_size=3), st.sampled_from([7, [7], ["a", "a"]])),
        "additionalProperties": st.sampled_from([True, False, {}, 7]),
        "default": st.sampled_from([1, "a"]),
        "x-mcp-header": st.just("X"),
        "maxLenght": st.just(3),
    },
)
good = st.sampled_from(
    [
        {"type": "string", "pattern": "^[0-9]+$", "maxLength": 20},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "integer", "minimum": 0, "maximum": 5},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    ]
)


def _nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(names, inner, max_size=3)
    whole = st.builds(lambda found: {"type": "object", "properties": found, "required": [*found][:1]}, members)
    other = st.builds(lambda leaf, found: {**leaf, "properties": found}, leaves, members)
    lists = st.builds(lambda found: {"type": "array", "items": found}, inner)
    return st.one_of(whole, whole, other, lists)


documents = st.recursive(st.one_of(good, good, leaves), _nest, max_leaves=6)


@settings(max_examples=500, deadline=None)
@given(documents, st.booleans())
def test_a_plain_schema_has_no_fault(schema: Any, of_arguments: bool) -> None:
    found = plain.is_plain(schema)

    event("plain" if found else "not plain")
    if found:
        assert schemas._find_faults(schema, of_arguments) == ()


def nested(depth: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def of(**members: Any) -> Any:
    return {"type": "object", "properties": members}


ORDER = of(
    id={"type": "string", "pattern": "^[0-9]+$", "minLength": 1, "maxLength": 20, "description": "Its number."},
    state={"type": "string", "enum": ["open", "closed"]},
    lines={"type": "array", "items": of(count={"type": "integer", "minimum": 1}), "maxItems": 9},
    price={"type": "number", "maximum": 100},
    verbose={"type": "boolean"},
)


@pytest.mark.parametrize("schema", [ORDER, {**ORDER, "required": ["id"], "additionalProperties": False}, nested(7)])
def test_an_ordinary_schema_is_plain(schema: Any) -> None:
    assert plain.is_plain(schema)
    assert schemas._find_faults(schema, True) == ()


@pytest.mark.parametrize(
    "schema",
    [
        nested(8),
        of(**{f"m{number}": {"type": "string"} for number in range(plain.MAX_NODES)}),
        of(**{f"m{number}": {"type": "string", "pattern": f"a{number}"} for number in range(plain.MAX_PATTERNS + 1)}),
        of(a={"type": "string", "pattern": "a" * (plain.MAX_PATTERN_LENGTH + 1)}),
        of(a={"type": "string", "enum": ["a"], "maxLength": 0}),
        of(a={"type": "integer", "minimum": 2, "maximum": 1}),
        of(a={"type": "integer", "pattern": "a"}),
        of(a={"type": ["string", "null"]}),
        of(a=True),
        {**of(a={"type": "string"}), "required": ["b"]},
        {"$ref": "#"},
        [],
    ],
)
def test_what_may_have_a_fault_is_not_plain(schema: Any) -> None:
    assert not plain.is_plain(schema)
