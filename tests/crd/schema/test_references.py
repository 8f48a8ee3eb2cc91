"""References: resolved once, refused where they lead out or come back, and bounded in what they multiply."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema.references import MAX_CHAIN, MAX_EXPANSION, Graph


def chain(length: int, width: int = 1, keyword: str = "allOf", **more: Any) -> dict[str, Any]:
    links = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * width, **more} for n in range(length)}
    return {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**links, f"d{length}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#", 0),
        ("#/$defs/a~1b", "a/b"),
        ("#/$defs/a%2Fb", None),
        ("#/$defs/list/allOf/0", "first"),
        ("#/$defs/list/allOf/00000000000000000000", None),
        ("#/$defs/list/allOf/1", None),
        ("#/$defs/list/allOf/x", None),
        ("#/$defs", None),
        ("#/$defs/list/enum/0", None),
        ("#name", "named"),
        ("#nobody", None),
        ("own", "own"),
        ("own#", "own"),
        ("own#/items", "item"),
        ("own#name", "inner"),
    ],
)
def test_a_reference_names_a_schema(text: str, found: str | int | None) -> None:
    schema = {
        "properties": {"a": {"$ref": text}},
        "$defs": {
            "a/b": {"title": "a/b"},
            "list": {"allOf": [{"title": "first"}], "enum": [{}]},
            "named": {"$anchor": "name", "title": "named"},
            "own": {
                "$id": "own",
                "title": "own",
                "items": {"title": "item"},
                "contains": {"$dynamicAnchor": "name", "title": "inner"},
            },
        },
    }
    graph = Graph(schema)
    (reference,) = graph.references

    assert not reference.remote
    target = None if reference.target is None else graph.nodes[reference.target][1]
    assert (target.get("title", 0) if target is not None else None) == found


@pytest.mark.parametrize("text", ["https://x.example/a", "other", "other#/a", "./own"])
def test_what_is_not_in_the_schema_is_remote(text: str) -> None:
    (reference,) = Graph({"$ref": text, "$defs": {"a": {"$id": "own"}}}).references

    assert (reference.remote, reference.target) == (True, None)


def test_the_root_may_be_named_by_its_id() -> None:
    (reference,) = Graph({"$id": "https://x.example/a", "items": {"$ref": "https://x.example/a"}}).references

    assert (reference.remote, reference.target) == (False, 0)


def test_of_two_equal_ids_the_second_is_reported() -> None:
    assert Graph({"$defs": {"a": {"$id": "x"}, "b": {"$id": "x"}}}).repeated_ids == [("$defs", "b", "$id")]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ({"$ref": "#"}, [("$ref",)]),
        ({"properties": {"a": {"$ref": "#"}}}, []),
        ({"not": {"$ref": "#"}}, [("not", "$ref")]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, [("$defs", "a", "$ref")]),
        (
            {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}, "c": {}}},
            [("$defs", "b", "$ref"), ("$defs", "a", "allOf", 0, "$ref")],
        ),
        (
            {"if": {"$ref": "own"}, "$defs": {"a": {"$id": "own", "then": {"$ref": "#"}}}},
            [("$defs", "a", "then", "$ref")],
        ),
    ],
)
def test_what_comes_back_without_going_into_a_value_is_a_cycle(schema: dict[str, Any], paths: list[Any]) -> None:
    assert [each.path for each in Graph(schema).cycles()] == paths


@pytest.mark.parametrize(
    "schema",
    [
        chain(11, 2),
        chain(MAX_CHAIN // 2 - 1),
        {"properties": {f"p{n}": {"$ref": "#"} for n in range(1999)}, "unevaluatedProperties": False},
        {"$defs": {f"d{n}": {"unevaluatedItems": False} for n in range(1999)}},
    ],
)
def test_what_is_checked_quickly_is_not_an_excess(schema: dict[str, Any]) -> None:
    assert Graph(schema).excess() is None


EXPANDS = f"a value must be validated against at most {MAX_EXPANSION} schemas; use fewer references"
CHAINS = f"references must form chains of at most {MAX_CHAIN} schemas per value; shorten the chain"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (chain(12, 2), EXPANDS),
        (chain(30, 2, "anyOf"), EXPANDS),
        (chain(11, 2, unevaluatedProperties=False), EXPANDS),
        (chain(11, 2, unevaluatedItems=False), EXPANDS),
        (chain(MAX_CHAIN // 2), CHAINS),
        (
            {
                "$defs": {"wide": {"properties": {f"p{n}": {} for n in range(1000)}}},
                "anyOf": [{"$ref": "#/$defs/wide"} for _ in range(10)],
            },
            EXPANDS,
        ),
    ],
)
def test_references_that_multiply_are_an_excess(schema: dict[str, Any], message: str) -> None:
    excess = Graph(schema).excess()

    assert excess is not None
    assert excess[1] == message
