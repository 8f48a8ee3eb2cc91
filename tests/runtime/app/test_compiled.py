"""A compiled catalog: arguments are checked and completed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from crd.published import catalogs
from crd.published.entries import Body, BodyField, Http, Mcp, Pagination
from runtime.app import compiled as compiled_module
from runtime.app.compiled import CompiledCatalog
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import mapping


def compile_catalog(catalog: Any) -> CompiledCatalog:
    return CompiledCatalog.load(catalogs.dump(catalog))


def page(compiled: CompiledCatalog, method: str, era: bool = True, cursor: str | None = None) -> Any:
    return json.loads(compiled.pages[method, era, cursor])


def test_every_fault_of_the_arguments_is_reported(catalog_of: Any) -> None:
    compiled = compile_catalog(catalog_of())

    with pytest.raises(CallError) as caught:
        compiled.check_arguments(compiled.tools["echo"], {"q": 7, "other": "confidential"})

    assert caught.value.code == "invalid_arguments"
    assert set(caught.value.message.split("; ")) == {"/q: must be a string", 'unknown property "other"'}


def test_an_argument_that_is_missing_is_reported_once(catalog_of: Any) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    tool = dataclasses.replace(catalog_of().tools[0], http=Http("/{id}"), input_schema=schema)
    compiled = compile_catalog(catalog_of(tools=(tool,)))

    with pytest.raises(CallError) as caught:
        compiled.check_arguments(compiled.tools["echo"], {})

    assert caught.value.message == 'missing required property "id"'


def test_a_listed_cursor_is_an_argument_of_the_tool(catalog_of: Any) -> None:
    paged = Http(pagination=Pagination("page", "page_token", "/next"))
    tool = dataclasses.replace(catalog_of().tools[0], http=paged)
    compiled = compile_catalog(catalog_of(tools=(tool,)))

    listed = page(compiled, "tools/list", era=False)["tools"][0]

    assert listed["inputSchema"]["properties"]["page"]["type"] == "string"
    assert compiled.check_arguments(compiled.tools["echo"], {"page": "2"}) == {"page": "2"}
    with pytest.raises(CallError, match="/page: must be a string"):
        compiled.check_arguments(compiled.tools["echo"], {"page": 2})


def test_a_tool_of_an_mcp_backend_gets_its_arguments_unchanged(catalog_of: Any) -> None:
    wanted = catalog_of()
    wanted = dataclasses.replace(
        wanted, tools=tuple(dataclasses.replace(each, mcp=Mcp("/mcp", each.name)) for each in wanted.tools)
    )

    compiled = compile_catalog(wanted)
    assert compiled.check_arguments(compiled.tools["region"], {}) == {}


def test_defaults_are_filled_in_at_every_depth(catalog_of: Any) -> None:
    tool = catalog_of().tools[0]
    inner = {"type": "object", "properties": {"deep": {"default": 1}, "odd": True}}
    plain = {"type": "object"}
    schema = {
        "type": "object",
        "properties": {"e": plain, "a": inner, "b": inner, "c": {"default": []}, "d": {"type": "string"}},
    }
    compiled = compile_catalog(catalog_of(tools=(dataclasses.replace(tool, input_schema=schema),)))

    assert compiled.check_arguments(compiled.tools["echo"], {"a": {"x": 2}, "d": "y", "e": {}}) == {
        "a": {"x": 2, "deep": 1},
        "c": [],
        "d": "y",
        "e": {},
    }


def checked(catalog_of: Any, schema: dict[str, Any], arguments: Any) -> Any:
    tool = dataclasses.replace(catalog_of().tools[0], input_schema=schema)
    compiled = compile_catalog(catalog_of(tools=(tool,)))
    return compiled.check_arguments(compiled.tools["echo"], arguments)


@pytest.mark.parametrize(
    ("properties", "arguments", "filled"),
    [
        ({"a": {"type": "string", "default": None}}, {}, {}),
        ({"a": {"type": "integer", "default": "10"}, "b": {"default": 1}}, {}, {"b": 1}),
        ({"a": {"enum": ["OPEN"], "default": "open"}}, {"x": 1}, {"x": 1}),
        ({"a": {"properties": {"b": {"type": "string", "default": 1}}}}, {"a": {}}, {"a": {}}),
        ({"a": {"$ref": "#/$defs/five"}}, {}, {"a": 5}),
        ({"a": {"type": "integer", "default": 5.0}}, {}, {"a": 5}),
    ],
)
def test_a_default_that_its_schema_rejects_is_not_used(
    catalog_of: Any, properties: Any, arguments: Any, filled: Any
) -> None:
    schema = {"type": "object", "properties": properties, "$defs": {"five": {"type": "integer", "default": 5}}}

    assert checked(catalog_of, schema, arguments) == filled


def test_defaults_that_are_invalid_together_are_not_used(catalog_of: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"default": 1}}, "dependentRequired": {"a": ["b"]}}

    assert checked(catalog_of, schema, {}) == {}
    assert checked(catalog_of, schema, {"b": 2}) == {"a": 1, "b": 2}


def test_only_what_the_client_sent_is_blamed(catalog_of: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": None}, "b": {"type": "string"}}}

    with pytest.raises(CallError) as caught:
        checked(catalog_of, schema, {"b": 1})

    assert caught.value.message == "/b: must be a string"


def test_a_number_without_a_fraction_is_an_integer(catalog_of: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}

    assert str(checked(catalog_of, schema, {"a": 5.0, "b": [1e3, 1.5]})) == "{'a': 5, 'b': [1000, 1.5]}"


def test_arguments_that_are_nested_too_deep_are_refused(catalog_of: Any) -> None:
    value: Any = 1
    for _ in range(64):
        value = [value]

    with pytest.raises(CallError, match="nested at most 64 levels"):
        checked(catalog_of, {"type": "object"}, {"a": value})


def test_remote_references_are_not_fetched(catalog_of: Any) -> None:
    tool = dataclasses.replace(catalog_of().tools[0], input_schema={"$ref": "https://example.com/schema"})

    compiled = CompiledCatalog.load(catalogs.dump(dataclasses.replace(catalog_of(), tools=(tool,))))
    with pytest.raises(ValueError, match="remote references are not fetched"):
        compiled.schemas.of(tool.name)
    with pytest.raises(CallError, match="misconfigured"):
        compiled.check_arguments(tool, {})


def test_views_by_scopes_are_kept_up_to_a_number(catalog_of: Any) -> None:
    one = catalog_of()
    tools = tuple(
        dataclasses.replace(one.tools[0], name=f"t{n}", ingress_path=f"/t{n}", required_scopes=(f"s{n}",))
        for n in range(40)
    )
    compiled = compile_catalog(dataclasses.replace(one, tools=tools))

    views = [compiled.visible_to(frozenset({f"s{n}", "other"})) for n in range(40)]

    assert [list(view.tools) for view in views] == [[f"t{n}"] for n in range(40)]
    assert list(views[3].rest_tools) == ["/t3"]
    assert views[3].check_arguments(views[3].tools["t3"], {"q": "x"}) == {"q": "x"}
    assert compiled.visible_to(frozenset({"s39"})) is views[39]
    assert compiled.visible_to(frozenset(f"s{n}" for n in range(40))) is compiled
    assert len(compiled._views) == compiled_module.MAX_VIEWS


def test_a_catalog_without_scopes_has_one_view(catalog_of: Any) -> None:
    compiled = CompiledCatalog.load(catalogs.dump(catalog_of()))

    assert compiled.visible_to(frozenset()) is compiled


BAD_DEFAULT = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "integer"}, "size": {"type": "integer", "maximum": 3, "default": 5}},
}


def test_no_argument_is_blamed_that_was_not_sent(catalog_of: Any) -> None:
    tool = dataclasses.replace(catalog_of().tools[0], input_schema=BAD_DEFAULT)
    compiled = compile_catalog(catalog_of(tools=(tool,)))

    assert compiled.check_arguments(tool, {"id": 1}) == {"id": 1}
    with pytest.raises(CallError) as caught:
        compiled.check_arguments(tool, {})
    assert caught.value.message == 'missing required property "id"'
    with pytest.raises(CallError, match="/size: must be ≤ 3"):
        compiled.check_arguments(tool, {"id": 1, "size": 4})


def test_a_default_that_repairs_a_fault_is_filled_in(catalog_of: Any) -> None:
    schema = {**BAD_DEFAULT, "required": ["id", "a"], "properties": {**BAD_DEFAULT["properties"], "a": {"default": 1}}}
    schema["properties"]["size"] = {"type": "integer"}
    tool = dataclasses.replace(catalog_of().tools[0], input_schema=schema)
    compiled = compile_catalog(catalog_of(tools=(tool,)))

    assert compiled.check_arguments(tool, {"id": 1}) == {"id": 1, "a": 1}
    with pytest.raises(CallError) as caught:
        compiled.check_arguments(tool, {})
    assert caught.value.message == 'missing required property "id"'


def test_faults_of_the_schema_and_of_the_request_are_reported_together(catalog_of: Any) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}, "size": {"type": "integer"}}}
    tool = dataclasses.replace(catalog_of().tools[0], input_schema=schema, http=Http("/{id}"))
    compiled = compile_catalog(catalog_of(tools=(tool,)))

    with pytest.raises(CallError) as caught:
        compiled.check_arguments(tool, {"id": "../x", "size": "big"})

    assert caught.value.message == '/size: must be an integer; /id: must not contain "/"'


def test_the_value_of_one_caller_is_never_in_the_arguments_of_the_next(catalog_of: Any) -> None:
    """Defaults that are objects or lists, and members of a body below an object, are copied for each call."""
    schema = {
        "type": "object",
        "properties": {
            "filter": {"type": "object", "default": {"tags": ["a"]}, "properties": {"owner": {"type": "string"}}},
            "ids": {"type": "array", "default": [1]},
        },
    }
    fields = (BodyField("/query/filter", argument="filter"), BodyField("/query/ids", argument="ids"))
    tool = dataclasses.replace(
        catalog_of().tools[0], input_schema=schema, http=Http(body=Body("Fields", fields=fields))
    )
    compiled = CompiledCatalog.load(catalogs.dump(catalog_of(tools=(tool,))))
    before = catalogs.dump(compiled.catalog)
    served = compiled.tools[tool.name]
    mapper = mapping.compile_tool(served)
    bodies = []
    for _ in range(2):
        arguments = compiled.check_arguments(served, {})
        bodies.append(mapper.map(arguments, {}).body)
        arguments["filter"]["tags"].append("of the caller")
        arguments["filter"]["owner"] = "of the caller"
        arguments["ids"].append(2)

    assert bodies == [b'{"query":{"filter":{"tags":["a"]},"ids":[1]}}'] * 2
    assert catalogs.dump(compiled.catalog) == before
