"""What a schema says of one argument: whether it is there, must be, and of which types."""

from __future__ import annotations

from typing import Any

import pytest

from crd.schema.arguments import MAX_STEPS, Argument, Arguments, type_of

EVERY = {"array", "boolean", "number", "object", "string"}
ROOT: dict[str, Any] = {
    "type": "object",
    "required": ["must", "address"],
    "properties": {
        "must": {"type": "string"},
        "may": {"type": "string", "default": "x"},
        "address": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}, "a/b~c": {}}},
        "other": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
        "named": {"$ref": "#/$defs/name"},
        "broken": True,
    },
    "$defs": {"name": {"type": "string"}, "twice": {"$ref": "#/$defs/name"}, "a/b": {"type": "boolean"}},
}


@pytest.mark.parametrize(
    ("node", "types"),
    [
        ({}, EVERY),
        ({"type": "string"}, {"string"}),
        ({"type": ["string", "null"]}, {"string"}),
        ({"type": ["string", 7]}, {"string"}),
        ({"type": "null"}, set()),
        ({"type": "number"}, {"number"}),
        ({"type": "integer"}, {"integer"}),
        ({"type": ["integer", "number"]}, {"number"}),
        ({"enum": ["a", 1, None]}, {"string", "integer"}),
        ({"enum": [1.5, True]}, {"number", "boolean"}),
        ({"enum": [2.0]}, {"integer"}),
        ({"enum": [[], {}]}, {"array", "object"}),
        ({"enum": "no list"}, EVERY),
        ({"const": "a"}, {"string"}),
        ({"type": "integer", "enum": ["a", 1]}, {"integer"}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"string", "integer"}),
        ({"oneOf": [{"type": "string"}, {"type": "array"}]}, {"string", "array"}),
        ({"anyOf": []}, EVERY),
        ({"anyOf": "no list"}, EVERY),
        ({"anyOf": [{"type": "string"}, True]}, EVERY),
        ({"anyOf": [{"type": "string"}], "oneOf": [{"type": "string"}, {"type": "array"}]}, {"string"}),
        ({"allOf": [{"type": ["string", "array"]}, {"type": ["array", "object"]}]}, {"array"}),
        ({"allOf": "no list"}, EVERY),
        ({"allOf": [{"anyOf": [{"type": "string"}]}]}, {"string"}),
        ({"$ref": "#/$defs/name"}, {"string"}),
        ({"$ref": "#/$defs/twice"}, {"string"}),
        ({"$ref": "#/$defs/a~1b"}, {"boolean"}),
        ({"$ref": "#/$defs/none"}, EVERY),
        ({"$ref": "https://x.example", "type": "string"}, {"string"}),
        ({"$ref": "#/$defs/name", "type": "array"}, set()),
        ({"$ref": "#/$defs/name", "type": ["string", "array"]}, {"string"}),
        ({"anyOf": [{"$ref": "#/$defs/name"}]}, {"string"}),
    ],
)
def test_an_argument_may_be_of_these_types(node: Any, types: set[str]) -> None:
    found = Arguments({**ROOT, "properties": {"it": node}}).find("it")

    assert found is not None
    assert found.types == types


def test_types_are_looked_for_only_so_deep() -> None:
    node: Any = {"type": "string"}
    for _ in range(MAX_STEPS):
        node = {"allOf": [node]}
    whole = Arguments({"properties": {"it": node}}).find("it")
    deeper = Arguments({"properties": {"it": {"allOf": [node]}}}).find("it")

    assert whole is not None
    assert deeper is not None
    assert (whole.types, deeper.types) == (frozenset({"string"}), EVERY)


@pytest.mark.parametrize(
    ("name", "required", "default"),
    [
        ("must", True, False),
        ("may", False, True),
        ("/must", True, False),
        ("/address/city", True, False),
        ("/address/a~1b~0c", False, False),
        ("/other/city", False, False),
        ("named", False, False),
        ("broken", False, False),
    ],
)
def test_an_argument_is_required_if_every_step_to_it_is(name: str, required: bool, default: bool) -> None:
    found = Arguments(ROOT).find(name)

    assert found is not None
    assert (found.name, found.required, found.has_default) == (name, required, default)


@pytest.mark.parametrize("name", ["none", "/none", "/must/none", "/address/none", "must/", "/"])
def test_what_is_not_declared_is_not_there(name: str) -> None:
    assert Arguments(ROOT).find(name) is None


def test_the_names_at_the_top_keep_their_order() -> None:
    assert Arguments(ROOT).names == ("must", "may", "address", "other", "named", "broken")
    assert Arguments({"properties": []}).names == ()
    assert Arguments({"required": "a", "properties": {"a": {}}}).find("a") == Argument(
        "a", False, frozenset(EVERY), False, nullable=True
    )


@pytest.mark.parametrize(
    ("node", "nullable", "texts"),
    [
        ({"type": "string"}, False, ()),
        ({"type": "null"}, True, ()),
        ({"type": "string", "default": "x"}, False, ("x",)),
        ({"type": ["string", "null"], "enum": ["a", "b", None], "default": "a"}, True, ("a", "b")),
        ({"anyOf": [{"const": "a"}, {"type": "null"}], "default": 7}, True, ()),
        ({"$ref": "#/properties/b"}, False, ("c",)),
        ({"enum": "not a list"}, True, ()),
    ],
)
def test_an_argument_names_its_strings_and_says_whether_it_can_be_null(
    node: Any, nullable: bool, texts: tuple[str, ...]
) -> None:
    found = Arguments({"properties": {"a": node, "b": {"const": "c"}}}).find("a")

    assert found is not None
    assert (found.nullable, found.texts) == (nullable, texts)


LINES: Any = {"type": "array", "items": {"type": "object"}}


@pytest.mark.parametrize(
    ("node", "shallow", "deep"),
    [
        ({"type": "array"}, None, None),
        ({"type": "array", "items": {}}, None, None),
        ({"type": "array", "items": {"type": "string"}}, None, None),
        (LINES, ((), {"object"}), ((), {"object"})),
        ({"items": {"type": ["array", "object", "null"]}}, ((), {"array", "object"}), ((), {"array", "object"})),
        ({"prefixItems": [{"type": "string"}, LINES]}, ((), {"array"}), ((), {"array"})),
        ({"anyOf": [{"type": "string"}, LINES]}, ((), {"object"}), ((), {"object"})),
        ({"$ref": "#/$defs/lines"}, ((), {"object"}), ((), {"object"})),
        ({"properties": {"x": {"properties": {"lines": LINES}}}}, None, (("x", "lines"), {"object"})),
        ({"additionalProperties": LINES}, None, (("*",), {"object"})),
        ({"$ref": "#/$defs/tree"}, None, None),
    ],
)
def test_items_that_are_lists_or_objects_are_found(node: Any, shallow: Any, deep: Any) -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}
    arguments = Arguments({"properties": {"a": node}, "$defs": {"lines": LINES, "tree": tree}})

    assert arguments.find_nested("a", deep=False) == shallow
    assert arguments.find_nested("/a", deep=True) == deep
    assert arguments.find_nested("none", deep=True) is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "integer"),
        (1.0, "integer"),
        (1.5, "number"),
        ("", "string"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_a_value_has_a_type(value: object, kind: str) -> None:
    assert type_of(value) == kind


@pytest.mark.parametrize(
    ("node", "has_default"),
    [
        ({"enum": ["a"]}, False),
        ({"enum": ["a"], "default": "a"}, True),
        ({"$ref": "#/$defs/given"}, True),
        ({"$ref": "#/$defs/other", "default": 7}, True),
        ({"$ref": "#/$defs/other"}, False),
        ({"anyOf": [{"default": 7}]}, False),
    ],
)
def test_a_default_stands_in_the_schema_or_in_one_that_it_refers_to(node: Any, has_default: bool) -> None:
    definitions = {"given": {"type": "string", "default": None}, "other": {"type": "string"}}
    found = Arguments({"properties": {"a": node}, "$defs": definitions}).find("a")

    assert found is not None
    assert found.has_default is has_default


def test_alternatives_that_multiply_are_looked_into_once() -> None:
    defs = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)} | {"d30": {"type": "string"}}
    found = Arguments({"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs}).find("a")

    assert found == Argument("a", False, frozenset({"string"}), False)


def test_a_schema_that_comes_back_to_itself_has_types() -> None:
    schema = {
        "properties": {"a": {"type": "string", "anyOf": [{"$ref": "#/properties/a"}]}, "b": {"$ref": "#/properties/b"}}
    }
    arguments = Arguments(schema)

    assert [(found.types if found else None) for found in map(arguments.find, "ab")] == [{"string"}, EVERY]
