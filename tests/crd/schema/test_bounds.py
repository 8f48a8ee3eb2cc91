"""The limits of the size of a schema."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema import bounds


def deep(levels: int, *, lists: bool = False) -> dict[str, Any]:
    """A schema of so many nested objects and lists."""
    node: Any = {}
    for number in range(levels - 1):
        node = {"allOf": [node]} if lists and number % 2 else {"items": node}
    return node if isinstance(node, dict) else {}


def depth_of(node: Any) -> int:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return (1 if isinstance(node, dict | list) else 0) + max(map(depth_of, children), default=0)


def test_the_depth_of_a_schema_is_limited() -> None:
    assert list(bounds.excesses(deep(bounds.MAX_DEPTH))) == []
    assert list(bounds.excesses(deep(bounds.MAX_DEPTH + 1))) == [
        ("depth", "the schema must be at most 32 levels deep, got 33; flatten it")
    ]


def test_lists_count_as_levels() -> None:
    schema = deep(40, lists=True)
    assert list(bounds.excesses(schema)) == [
        ("depth", f"the schema must be at most 32 levels deep, got {depth_of(schema)}; flatten it")
    ]
    assert list(bounds.excesses({"enum": [[[["a"]]], {"a": [{}]}]})) == []


@pytest.mark.parametrize("wide", [{"properties": {}}, {"enum": [*range(5000)]}, {"required": ["a"] * 5000}])
def test_only_schemas_count_as_schemas(wide: Any) -> None:
    assert list(bounds.excesses(wide)) == []


def test_the_number_of_schemas_is_limited() -> None:
    members = {f"p{number}": {} for number in range(bounds.MAX_SCHEMAS)}
    assert list(bounds.excesses({"properties": members})) == [
        ("schemas", "the schema must have at most 2000 subschemas, got 2001; split the tool")
    ]
    del members["p0"]
    assert list(bounds.excesses({"properties": members})) == []


def test_of_a_schema_that_is_too_deep_the_schemas_are_not_counted() -> None:
    schema = {**deep(40), "properties": {f"p{number}": {} for number in range(3000)}}
    assert [name for name, _ in bounds.excesses(schema)] == ["depth"]
