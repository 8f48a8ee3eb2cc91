"""A schema as a tree: which members of it are schemas, in which order, and what only looks like one."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema import subschemas


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        (True, []),
        ([{}], []),
        (None, []),
        ({}, []),
        ({"items": {"title": "a"}}, [(("items",), {"title": "a"})]),
        ({"items": False, "not": True}, [(("items",), False), (("not",), True)]),
        ({"items": [{}], "if": None, "then": 7}, []),
        ({"anyOf": [{}, True]}, [(("anyOf", 0), {}), (("anyOf", 1), True)]),
        ({"anyOf": {"a": {}}}, []),
        ({"properties": {"a": {}, "b": False}}, [(("properties", "a"), {}), (("properties", "b"), False)]),
        ({"properties": [{}], "$defs": None}, []),
        ({"const": {"items": {}}, "enum": [{"items": {}}], "x": {}, "default": {}}, []),
        *(({keyword: {}}, [((keyword,), {})]) for keyword in ("additionalProperties", "contains", "propertyNames")),
        *(({keyword: [{}]}, [((keyword, 0), {})]) for keyword in ("allOf", "oneOf", "prefixItems")),
        *(
            ({keyword: {"a": {}}}, [((keyword, "a"), {})])
            for keyword in ("patternProperties", "dependentSchemas", "$defs", "definitions")
        ),
    ],
)
def test_the_schemas_in_a_schema(schema: Any, found: Any) -> None:
    assert list(subschemas.children(schema)) == found


def test_outer_schemas_come_first() -> None:
    schema = {"items": {"anyOf": [{"not": {}}]}, "properties": {"a": {"items": True}}}
    assert [path for path, _ in subschemas.walk(schema)] == [
        (),
        ("items",),
        ("properties", "a"),
        ("items", "anyOf", 0),
        ("properties", "a", "items"),
        ("items", "anyOf", 0, "not"),
    ]
    assert next(node for _, node in subschemas.walk(schema)) is schema
    assert list(subschemas.walk(True)) == [((), True)]
