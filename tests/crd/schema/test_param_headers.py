"""``x-mcp-header``: where it may stand, what it may name, and that no name is given twice."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema import param_headers, subschemas


def header(name: Any, kind: Any = "string") -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": name}


def faults_of(schema: Any) -> list[tuple[str, str]]:
    return [("/".join(map(str, path)), what) for path, what in param_headers.faults(subschemas.walk(schema))]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"a": True, "b": {"type": "string"}}},
        *({"properties": {"a": header("Region", kind)}} for kind in ("string", "integer", "boolean")),
        {"properties": {"a": header("A"), "b": header("B")}},
        {"properties": {"a": {"type": "object", "properties": {"b": header("A1!#$%&'*+.^_`|~-z")}}}},
    ],
)
def test_what_clients_can_send_has_no_fault(schema: Any) -> None:
    assert faults_of(schema) == []


LONG = "ä" * 100
PLACE = "x-mcp-header is only supported on properties of objects; move or remove it"
KIND = "x-mcp-header requires type string, integer or boolean; change the type or remove x-mcp-header"


@pytest.mark.parametrize(
    ("schema", "place", "message"),
    [
        *(
            (
                {"properties": {"a": header(name)}},
                "properties/a",
                f'must be a header name of letters, digits and "-", got {quoted}',
            )
            for name, quoted in (
                ("", '""'),
                ("a b", '"a b"'),
                ("a:", '"a:"'),
                (7, "7"),
                (None, "null"),
                (LONG, '"' + ("\\u00e4" * 100)[:79]),
            )
        ),
        (header("A"), "", PLACE),
        ({"items": header("A")}, "items", PLACE),
        ({"$defs": {"d": header("A")}}, "$defs/d", PLACE),
        ({"properties": {"a": {"items": header("A")}}}, "properties/a/items", PLACE),
        ({"properties": {"a": {"anyOf": [header("A")]}}}, "properties/a/anyOf/0", PLACE),
        ({"$defs": {"d": {"properties": {"a": header("A")}}}}, "$defs/d/properties/a", PLACE),
        *(
            ({"properties": {"a": header("A", kind)}}, "properties/a", KIND)
            for kind in ("number", "object", "array", "null", ["string", "null"], None)
        ),
        ({"properties": {"a": {"x-mcp-header": "A"}}}, "properties/a", KIND),
        (
            {"properties": {"a": header("Region"), "b": header("REGION")}},
            "properties/b",
            '"REGION" is already the header of properties.a; rename one of the two',
        ),
        (
            {"properties": {"b": header("region"), "a": {"properties": {"c": header("Region")}}}},
            "properties/a/properties/c",
            '"Region" is already the header of properties.b; rename one of the two',
        ),
    ],
)
def test_what_clients_would_ignore_is_a_fault(schema: Any, place: str, message: str) -> None:
    assert faults_of(schema) == [(f"{place}/x-mcp-header".lstrip("/"), message)]


def test_each_fault_is_found_and_a_name_with_a_fault_is_not_taken() -> None:
    schema = {"properties": {"a": header("A", "number"), "b": header("A"), "c": header("a"), "d": header(7)}}
    assert [place for place, _ in faults_of(schema)] == [
        "properties/a/x-mcp-header",
        "properties/c/x-mcp-header",
        "properties/d/x-mcp-header",
    ]
