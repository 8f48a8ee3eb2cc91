"""Keywords that have no effect where they are."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema import keywords
from crd.schema.references import Graph


def of(node: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": node}, **more}


def found(schema: dict[str, Any]) -> list[tuple[str, str]]:
    graph = Graph(schema)
    ignored = keywords.without_effect(graph.nodes, graph.references)
    return [("/".join(map(str, path)), message) for path, message in ignored]


DRAFT = "has no effect in JSON Schema 2020-12"
NULLABLE = f"nullable {DRAFT}"


@pytest.mark.parametrize(
    ("node", "keyword", "message"),
    [
        (
            {"type": "string", "nullable": True},
            "nullable",
            f'{NULLABLE}, so null is rejected; write type: ["string", "null"]',
        ),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            "nullable",
            f'{NULLABLE}, so null is rejected; write type: ["string", "null"] and add null to enum',
        ),
        (
            {"type": "string", "enum": ["a", None], "nullable": True},
            "nullable",
            f'{NULLABLE}, so null is rejected; write type: ["string", "null"]',
        ),
        (
            {"type": ["string", "null"], "nullable": True},
            "nullable",
            f"{NULLABLE}, and the type already allows null; remove it",
        ),
        ({"nullable": True}, "nullable", f'{NULLABLE}; write anyOf with {{"type": "null"}}'),
        ({"nullable": False}, "nullable", f"{NULLABLE}; remove it"),
        ({"id": "x"}, "id", f"id {DRAFT}; write $id, or remove it"),
        ({"dependencies": {}}, "dependencies", f"dependencies {DRAFT}; write dependentRequired or dependentSchemas"),
        (
            {"type": "string", "minimum": 1},
            "minimum",
            "minimum has no effect on type string; remove it or change the type",
        ),
        (
            {"type": ["boolean", "null"], "maxLength": 1},
            "maxLength",
            "maxLength has no effect on type boolean or null; remove it or change the type",
        ),
        ({"const": "a", "items": {}}, "items", "items has no effect on type string; remove it or change the type"),
        ({"then": {}}, "then", "then has no effect without if; add if or remove then"),
        ({"if": {}}, "if", "if has no effect without then or else; add then or else or remove if"),
        (
            {"minContains": 1},
            "minContains",
            "minContains has no effect without contains; add contains or remove minContains",
        ),
        *(
            (
                {wrong: 1},
                wrong,
                f'{wrong} is not a keyword of JSON Schema and has no effect; did you mean "{right}"?',
            )
            for wrong, right in (
                ("minlength", "minLength"),
                ("max_items", "maxItems"),
                ("multiple-of", "multipleOf"),
                ("enums", "enum"),
            )
        ),
    ],
)  # fmt: skip
def test_a_keyword_without_effect_is_found(node: Any, keyword: str, message: str) -> None:
    assert found(of(node)) == [(f"properties/a/{keyword}", message)]


@pytest.mark.parametrize(
    "node",
    [
        True,
        {"x-minlength": 1, "$comment": "nullable", "anything": 1},
        {"x-enum": [], "x-": 1, "$Ref": "#", "$item": {}, "minlengths": 1},
        {"type": "number", "minimum": 1},
        {"type": ["string", "null"], "maxLength": 5},
        {"maxLength": 5, "minimum": 1},
        {"if": {}, "then": {}},
        {"properties": {"nullable": {}, "id": {}, "example": {}}},
        {"type": [], "minLength": 1},
    ],
)
def test_a_keyword_with_an_effect_is_not_found(node: Any) -> None:
    assert found(of(node)) == []


def test_definitions_that_nothing_refers_to_are_one_finding() -> None:
    defined = {"used": {"type": "string"}, **{name: {} for name in "abcde"}}
    schema = of({"$ref": "#/definitions/used"}, definitions=defined)

    assert found(schema) == [
        ("definitions", 'no $ref leads to "a", "b", "c" and 2 more, so nothing is checked by it; remove or use it')
    ]
    three = {"$defs": {name: {} for name in "abc"}}
    assert found(of({}, **three)) == [
        ("$defs", 'no $ref leads to "a", "b", "c", so nothing is checked by it; remove or use it')
    ]
    assert found(of({"$ref": "#/$defs/t/properties/x"}, **{"$defs": {"t": {"properties": {"x": {}}}}})) == []
    named = {"t": {"$anchor": "t"}, "u": {"$dynamicAnchor": "t2"}, "v": {"$id": "v"}, "w": {"$anchor": "w"}}
    assert found(of({"$ref": "#t"}, **{"$defs": named})) == []
    assert found(of({}, **{"$defs": {"t": {"$comment": "x"}, "u": True}})) == [
        ("$defs", 'no $ref leads to "t", "u", so nothing is checked by it; remove or use it')
    ]
