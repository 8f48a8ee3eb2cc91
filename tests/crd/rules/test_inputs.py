"""What a mapping may draw on: arguments of a schema, or variables of a template."""

from __future__ import annotations

from typing import Any

import pytest

from crd.published import uri
from crd.rules import inputs
from crd.schema.arguments import Argument

SCHEMA = {
    "type": "object",
    "properties": {
        "status": {"type": "string"},
        "a/b": {"type": "integer"},
        "who": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
    "required": ["status"],
}
TEMPLATE = uri.parse("shop://{sku}/{+rest}{?q}")
TEXT = frozenset({"string"})


def variables() -> inputs.Inputs:
    assert not isinstance(TEMPLATE, str)
    return inputs.of_template(TEMPLATE)


def test_the_arguments_of_a_tool() -> None:
    known = inputs.of_schema(SCHEMA)
    assert (known.where, known.names) == ("spec.inputSchema", ("status", "a/b", "who"))
    assert known.find("status") == Argument("status", True, TEXT, False)
    assert known.find("/who/name") == Argument("/who/name", False, TEXT, False)
    assert known.find("nobody") is None


def test_the_variables_of_a_template() -> None:
    known = variables()
    assert (known.where, known.names) == ("spec.uriTemplate", ("sku", "rest", "q"))
    assert known.find("sku") == Argument("sku", True, TEXT, False)
    assert known.find("q") == Argument("q", False, TEXT, False)
    assert known.find("nobody") is None


def test_a_uri_that_is_no_template_has_no_variables() -> None:
    known = inputs.of_template(None)
    assert known.names == ()
    assert known.find("sku") is None


@pytest.mark.parametrize(
    ("source", "top"),
    [("status", "status"), ("/who/name", "who"), ("/a~1b/c", "a/b"), ("/a~01", "a~1"), ("a~1b", "a~1b"), ("/", "")],
)
def test_the_argument_that_a_pointer_begins_with(source: str, top: str) -> None:
    assert inputs.of_schema(SCHEMA).top(source) == top


@pytest.mark.parametrize(
    ("known", "source", "repair"),
    [
        (inputs.of_schema(SCHEMA), "statis", 'did you mean "status"?'),
        (inputs.of_schema(SCHEMA), "/whoo/name", 'did you mean "who"?'),
        (
            inputs.of_schema({"type": "object", "properties": {"false": {"type": "string"}}}),
            "n",
            'it has "false", as which YAML 1.1 reads this word; put the word in quotes there',
        ),
        (inputs.of_schema(SCHEMA), "zzz", "declare it there or remove it"),
        (variables(), "zzz", "declare it there or remove it"),
    ],
)
def test_what_repairs_a_name_that_is_not_declared(known: inputs.Inputs, source: str, repair: Any) -> None:
    assert known.repair(source) == repair
