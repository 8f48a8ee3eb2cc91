"""The listed form of a schema: what is changed, and what is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from crd.clients.listing import WITHOUT_EFFECT, listed


def of(node: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": node}}


def inner(node: Any, *, of_arguments: bool = False) -> Any:
    return listed(of(node), of_arguments=of_arguments)["properties"]["a"]


@pytest.mark.parametrize(
    ("node", "form"),
    [
        (True, {}),
        (False, {"not": {}}),
        ({"anyOf": [True, {"type": "string"}]}, {"anyOf": [{}, {"type": "string"}]}),
        ({"not": True}, {"not": {}}),
        ({"items": True}, {"items": {}}),
        ({"patternProperties": {"^a": True}}, {"patternProperties": {"^a": {}}}),
        ({"additionalProperties": False}, {"additionalProperties": False}),
        ({"additionalProperties": {"properties": {"b": True}}}, {"additionalProperties": {"properties": {"b": {}}}}),
        ({"unevaluatedProperties": False}, {"unevaluatedProperties": False}),
        ({"prefixItems": [True], "items": False}, {"prefixItems": [{}], "maxItems": 1}),
        ({"prefixItems": [True], "items": False, "maxItems": 0}, {"prefixItems": [{}], "maxItems": 0}),
        ({"enum": ["a", "b", "a"]}, {"enum": ["a", "b"]}),
        ({"enum": [1, 1.0, True, "1", {"a": 1.0}, {"a": 1}]}, {"enum": [1, True, "1", {"a": 1.0}]}),
        ({"const": True, "default": True, "examples": [True]}, {"const": True, "default": True, "examples": [True]}),
        ({"type": "string", "nullable": True, "id": "x", "xml": {}}, {"type": "string"}),
        ({"$defs": {"x": {}}, "$id": "urn:a", "$anchor": "b", "title": "A"}, {"title": "A"}),
    ],
)
def test_a_node_of_an_output_schema(node: Any, form: Any) -> None:
    assert inner(node) == form


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"$id": "urn:a:b", **of({"$ref": "#/$defs/x"}), "$defs": {"x": {}}}, False),
        ({"$id": "urn:a:b", **of({"$dynamicRef": "#x"}), "$defs": {"x": {"$dynamicAnchor": "x"}}}, False),
        ({"$id": "urn:a:b", "type": "object", "properties": {"$id": {"$ref": "#"}}}, False),
        ({"$id": "urn:a:b", **of({"$ref": "urn:a:b"})}, True),
        ({"$id": "urn:a:b", **of({"$ref": "#/$defs/x"}), "$defs": {"x": {"$id": "urn:a:c"}}}, True),
    ],
)
def test_an_id_that_no_reference_needs_is_not_listed(schema: dict[str, Any], kept: bool) -> None:
    form = listed(schema, of_arguments=False)

    assert ("$id" in form) is kept
    assert form["properties"].keys() == schema["properties"].keys()


@pytest.mark.parametrize(
    ("node", "form"),
    [
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "properties": {}}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": ["null", "array"]}, {"type": ["null", "array"], "items": {}}),
        ({"type": "array", "items": {"type": "array"}}, {"type": "array", "items": {"type": "array", "items": {}}}),
        ({"type": "string"}, {"type": "string"}),
        ({}, {}),
    ],
)
def test_a_node_of_an_input_schema_has_what_model_apis_require(node: Any, form: Any) -> None:
    assert inner(node, of_arguments=True) == form


def test_an_input_schema_without_properties_has_them() -> None:
    assert listed({"type": "object"}, of_arguments=True) == {"type": "object", "properties": {}}
    assert listed({"type": "object"}, of_arguments=False) == {"type": "object"}


def test_items_are_not_added_where_something_asks_for_them() -> None:
    schema = {**of({"type": "array", "prefixItems": [{}], "items": False}), "unevaluatedItems": False}

    assert listed(schema, of_arguments=True) == schema


def test_names_of_arguments_are_not_keywords() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}, "nullable": {"type": "boolean"}}}

    assert listed(schema, of_arguments=True) == schema


def test_what_a_reference_may_use_stays() -> None:
    schema = {
        **of({"$ref": "#/$defs/b"}),
        "$defs": {"b": {"$id": "urn:b", "nullable": True}},
        "definitions": {"c": True},
    }

    form = {**of({"$ref": "#/$defs/b"}), "$defs": {"b": {"$id": "urn:b"}}, "definitions": {"c": {}}}
    assert listed(schema, of_arguments=False) == form


def test_the_stored_schema_does_not_change() -> None:
    schema = {**of({"allOf": [True, {"enum": [1, 1]}], "nullable": True}), "$defs": {"b": True}}
    before = copy.deepcopy(schema)
    listed(schema, of_arguments=True)

    assert schema == before


@pytest.mark.parametrize("keyword", sorted(WITHOUT_EFFECT))
def test_a_keyword_without_effect_is_left_out(keyword: str) -> None:
    assert inner({keyword: True, "type": "string"}) == {"type": "string"}


@pytest.mark.parametrize(
    "schema", [{"properties": 1, "allOf": 2, "enum": 3, "type": 4, "prefixItems": 5, "items": False}]
)
def test_what_is_not_a_schema_is_left_as_it_is(schema: dict[str, Any]) -> None:
    assert listed(schema, of_arguments=True) == schema


def test_a_client_asserts_no_format_of_a_reply() -> None:
    schema = {"type": "object", "properties": {"format": {"type": "string", "format": "date-time"}}}

    assert listed(schema, of_arguments=False)["properties"] == {"format": {"type": "string"}}
    assert listed(schema, of_arguments=True)["properties"] == schema["properties"]
