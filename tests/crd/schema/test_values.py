"""Defaults, examples and members of enums are tried against their own schema, within limits."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema import values
from crd.schema.plain import is_plain
from crd.schema.references import Graph


def of(node: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": node}}


def found(schema: dict[str, Any]) -> list[tuple[str, str]]:
    graph = Graph(schema)
    assert graph.excess() is None
    return [("/".join(map(str, path)), message) for path, message in values.contradictions(schema, graph)]


YAML = 'YAML 1.1 reads on, off, yes, no, y and n as true or false; put the word in quotes, such as "on"'


@pytest.mark.parametrize(
    ("node", "place", "message"),
    [
        (
            {"type": "string", "default": None},
            "default",
            'null is not of type "string", so the default is not used; write type: ["string", "null"] or remove null',
        ),
        (
            {"type": "integer", "default": "10"},
            "default",
            '"10" is not of type "integer", so the default is not used; correct the value or the schema',
        ),
        (
            {"enum": ["OPEN", "CLOSED"], "default": "open"},
            "default",
            '"open" is not one of "OPEN" or "CLOSED", so the default is not used; correct the value or the schema',
        ),
        (
            {"minLength": 2, "default": None, "anyOf": [{"type": "string"}]},
            "default",
            (
                "null is not valid under any of the schemas listed in the 'anyOf' keyword, so the default is not used; "
                "remove null or allow it"
            ),
        ),
        (
            {"type": "string", "enum": [True, "auto"]},
            "enum/0",
            f'true is not of type "string", so this value of enum is always rejected; {YAML}',
        ),
        (
            {"type": "string", "enum": ["a", 1.1]},
            "enum/1",
            '1.1 is not of type "string", so this value of enum is always rejected; put it in quotes: "1.1"',
        ),
        (
            {"type": "string", "enum": ["a", None]},
            "enum/1",
            (
                'null is not of type "string", so this value of enum is always rejected; write type: '
                '["string", "null"] or remove null'
            ),
        ),
        (
            {"enum": ["no", False]},
            "enum/1",
            (
                "false is a boolean among strings; YAML 1.1 reads on, off, yes and no as booleans; put the word in "
                'quotes, such as "on", or write type'
            ),
        ),
        (
            {"type": "array", "items": {"type": "integer"}, "examples": [[1], ["x"]]},
            "examples/1",
            (
                '"x" is not of type "integer", so a client that follows the example is rejected; correct the value or '
                "the schema"
            ),
        ),
    ],
)
def test_a_value_that_its_schema_rejects_is_found(node: Any, place: str, message: str) -> None:
    assert found(of(node)) == [(f"properties/a/{place}", message)]


@pytest.mark.parametrize(
    "node",
    [
        {"type": ["string", "null"], "default": None},
        {"type": "integer", "default": 5.0},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        {"enum": [True, False]},
        {"enum": ["a", 1, None]},
        {"type": "number", "multipleOf": 0.01, "default": 19.99},
        {"default": {"anything": [1]}},
        {"type": "array", "default": [], "examples": [["x"]]},
        {"examples": "not a list"},
        {"x-default": 7},
    ],
)
def test_a_value_that_its_schema_accepts_is_not_found(node: Any) -> None:
    assert found(of(node)) == []


def test_references_are_followed_wherever_the_value_is() -> None:
    schema = {
        **of({"$ref": "#/$defs/a~1b%20c", "default": 7}),
        "$defs": {"a/b c": {"type": "string", "examples": [1]}},
    }

    assert [place for place, _ in found(schema)] == ["properties/a/default", "$defs/a/b c/examples/0"]
    assert [place for place, _ in found({**schema, "$id": "https://example.com/s"})] == [
        "properties/a/default",
        "$defs/a/b c/examples/0",
    ]


@pytest.mark.parametrize("name", ["a~b", "a/b", "a%b", "a b", "ä", "~1", "a#b?c"])
def test_values_are_tried_whatever_the_names_on_the_path_to_them(name: str) -> None:
    node = {"type": "string", "examples": [1]}

    assert [place for place, _ in found({**of({}), "$defs": {name: node}})] == [f"$defs/{name}/examples/0"]
    assert [place for place, _ in found({"properties": {name: node}})] == [f"properties/{name}/examples/0"]


def test_a_long_fault_is_cut() -> None:
    ((_, message),) = found(of({"type": "integer", "default": "x" * 900}))

    assert len(message) < 300
    assert "…, so the default is not used" in message


def test_no_more_than_the_limits_are_tried() -> None:
    many = {"type": "object", "properties": {f"p{n:03}": {"type": "integer", "default": "x"} for n in range(300)}}

    assert len(found(many)) == values.MAX_VALUES
    assert found(of({"type": "integer", "default": "x" * values.MAX_COST})) == []
    # A small value costs as much as the schemas that it is tried with.
    alternatives = [{"type": "integer", "minimum": each} for each in range(100)]
    tried = found({"type": "object", "anyOf": alternatives, "examples": ["x"] * 250})
    assert len(tried) == values.MAX_COST // ((len('"x"') + values.COST_OF_VALUE) * 101)


def test_the_values_of_a_reference_that_is_not_a_uri_are_not_tried() -> None:
    schema = {**of({"$ref": "#/$defs/a b", "default": 7}), "$defs": {"a b": {"type": "string"}}}

    assert found(schema) == []


@pytest.mark.parametrize("name", ["true", "false"])
def test_a_property_with_the_name_of_a_boolean_is_found(name: str) -> None:
    """An author writes ``y: {type: number}``, and kubectl sends a property named "true"."""
    schema = of({"type": "object", "properties": {"x": {"type": "number"}, name: {"type": "number"}}})

    assert found(schema) == [(f"properties/a/properties/{name}", f'a property is named "{name}"; {YAML}')]
    assert not is_plain(schema)
