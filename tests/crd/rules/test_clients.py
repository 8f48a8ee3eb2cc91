"""Limits of clients: which are errors, which are warnings, and what a server that names a client changes."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from crd import integrity, manifest
from crd.clients import portability, profiles
from crd.finding import Level, Reason
from crd.integrity import Change
from crd.snapshot import Snapshot

OK = {"service": {"name": "s", "port": 80}, "description": "A tool that is long enough described."}


def tool(called: str = "a", /, **spec: Any) -> manifest.Object:
    return manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"name": called, "namespace": "shop", "labels": {"app": "shop"}},
            "spec": {**OK, "method": "POST", **spec},
        }
    )


def server(*clients: str, **spec: Any) -> manifest.Object:
    return manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPServer",
            "metadata": {"name": "main", "namespace": "shop"},
            "spec": {"toolSelector": {"matchLabels": {"app": "shop"}}, "clients": list(clients), **spec},
        }
    )


def of(node: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": node}}


def judged(new: manifest.Object, *others: manifest.Object, old: manifest.Object | None = None) -> list[Any]:
    snapshot = Snapshot.of([each.fact for each in (*others, *((old,) if old else ())) if each.fact is not None])
    found = integrity.judge(snapshot, Change(new.ref, old, new))
    return [f for f in found if f.reason is not Reason.SERVICE_MISSING]


def seen(*found: Any) -> list[tuple[str, str, str]]:
    return [(f.reason.value, f.level.value, f.field_path) for f in found]


@pytest.mark.parametrize(
    "pattern",
    [
        "^\\p{L}+$",  # Python
        "(?<x>..)",  # Python
        "\\u{1F600}",  # Python
        "^https\\:\\/\\/",  # ECMA-262
        "^\\p{Greek}$",  # ECMA-262
        "(?P<x>..)",  # ECMA-262
    ],
)
def test_a_pattern_of_an_output_schema_that_an_sdk_does_not_compile_is_an_error(pattern: str) -> None:
    found = judged(tool(outputSchema=of({"type": "string", "pattern": pattern})))

    assert seen(*found) == [("ClientPortability", "error", "spec.outputSchema.properties.a.pattern")]
    assert seen(*judged(tool(outputSchema={"type": "object", "patternProperties": {pattern: {}}}))) == [
        ("ClientPortability", "error", f"spec.outputSchema.patternProperties.{pattern}")
    ]


def test_a_pattern_of_an_input_schema_that_only_javascript_refuses_is_a_warning() -> None:
    found = judged(tool(inputSchema=of({"type": "string", "pattern": "^https\\:\\/\\/"})))

    assert seen(*found) == [("ClientPortability", "warning", "spec.inputSchema.properties.a.pattern")]
    assert "the official TypeScript SDK" in found[0].message
    assert judged(tool(inputSchema=of({"type": "string", "pattern": "^\\p{L}+$"}))) == []


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (of({"enum": []}), "properties.a.enum"),
        ({"type": "object", "properties": {"__proto__": {}}}, "properties.__proto__"),
        (
            {**of({"$ref": "#one"}), "$defs": {"b": {"$anchor": "one"}, "c": {"$anchor": "one"}}},
            "$defs.c.$anchor",
        ),
        ({**of({"$ref": "#/$defs/b"}), "$defs": {"b": {"$id": "urn:b"}}}, "$defs.b.$id"),
        (
            {"$id": "https://a.example.com/b", **of({"$ref": "https://a.example.com/b#/$defs/c"}), "$defs": {"c": {}}},
            "$id",
        ),
        (of({"prefixItems": [{}], "items": {"type": "string"}}), "properties.a.items"),
        (of({"contains": {}, "minContains": 0}), "properties.a.minContains"),
        (of({"not": {"prefixItems": [{"type": "string"}]}}), "properties.a.not.prefixItems"),
        ({**of({"not": {"$ref": "#/$defs/b"}}), "$defs": {"b": {"minContains": 2}}}, "$defs.b.minContains"),
    ],
)
def test_what_ajv_refuses_or_reads_otherwise_in_an_output_schema_is_an_error(output: dict[str, Any], path: str) -> None:
    found = [f for f in judged(tool(outputSchema=output)) if f.reason is Reason.CLIENT_PORTABILITY]

    assert seen(*found) == [("ClientPortability", "error", f"spec.outputSchema.{path}")]


@pytest.mark.parametrize(
    "node", [True, {"nullable": True, "anyOf": [{"type": "string"}]}, {"id": "x"}, {"enum": ["a", "a"]}]
)
def test_what_is_mended_in_the_list_is_not_reported_here(node: Any) -> None:
    for member in ("inputSchema", "outputSchema"):
        assert [f for f in judged(tool(**{member: of(node)})) if f.reason is Reason.CLIENT_PORTABILITY] == []


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf", "allOf"])
def test_composition_at_the_root_is_a_warning_that_names_both_apis(keyword: str) -> None:
    found = judged(tool(inputSchema={"type": "object", keyword: [{"required": ["a"]}], "properties": {"a": {}}}))

    assert seen(*found) == [("ClientPortability", "warning", f"spec.inputSchema.{keyword}")]
    assert "the Anthropic API" in found[0].message
    assert "the OpenAI API" in found[0].message
    assert "every request that offers the tool" in found[0].message


def test_names_of_arguments_draw_one_warning() -> None:
    names = ["filter[status]", "$top", "StartTime<:", "größe", "a" * 65, "fine", "also.fine-1_"]
    found = judged(tool(inputSchema={"type": "object", "properties": {name: {} for name in names}}))

    assert [f.level for f in found] == [Level.WARNING]
    assert '"filter[status]", "$top", "StartTime<:" and 2 more' in found[0].message


def test_only_the_names_of_arguments_count_not_those_inside() -> None:
    assert judged(tool(inputSchema=of({"type": "object", "properties": {"filter[status]": {}}}))) == []


INT64 = {"type": "integer", "format": "int64"}
LIMIT = 2**53 - 1


@pytest.mark.parametrize(
    ("node", "place", "words"),
    [
        (INT64, "format", "9223372036854775807 is allowed"),
        ({"type": "integer", "format": "uint64"}, "format", "18446744073709551615 is allowed"),
        ({**INT64, "minimum": 0}, "format", "9223372036854775807 is allowed"),
        ({**INT64, "maximum": LIMIT}, "format", "-9223372036854775808 is allowed"),
        ({"type": ["integer", "null"], "maximum": 2**60}, "maximum", f"{2**60} is allowed"),
        ({"type": "integer", "exclusiveMinimum": -(2**60)}, "exclusiveMinimum", f"{-(2**60) + 1} is allowed"),
        ({"type": "integer", "maximum": 1e30}, "maximum", "1e+30 is allowed"),
        ({"type": "integer", "default": 2**53}, "default", f"{2**53} is named"),
        ({"const": -(2**53)}, "const", f"{-(2**53)} is named"),
        ({"enum": [1, 2**53 + 1]}, "enum[1]", f"{2**53 + 1} is named"),
    ],
)
@pytest.mark.parametrize("member", ["inputSchema", "outputSchema"])
def test_an_integer_that_javascript_rounds_is_a_warning(node: Any, place: str, words: str, member: str) -> None:
    found = [f for f in judged(tool(**{member: of(node)})) if "JavaScript" in f.message]

    assert seen(*found) == [("ClientPortability", "warning", f"spec.{member}.properties.a.{place}")]
    assert words in found[0].message
    assert "lost in the official TypeScript SDK: the last digits" in found[0].message


def test_a_schema_with_many_large_integers_draws_one_warning() -> None:
    properties = {name: INT64 for name in "abc"}  # noqa: C420 -- a schema that is written three times
    found = judged(tool(inputSchema={"type": "object", "properties": properties}))

    assert len(found) == 1
    assert "(and 2 more)" in found[0].message


@pytest.mark.parametrize(
    "node",
    [
        {"type": "integer"},
        {"type": "integer", "minimum": 0},
        {"type": "integer", "format": "int32"},
        {**INT64, "minimum": -LIMIT, "maximum": LIMIT},
        {**INT64, "exclusiveMinimum": -LIMIT - 1, "exclusiveMaximum": LIMIT + 1},
        {"type": "string", "format": "int64"},
        {"type": "number", "maximum": 1e300},
        {"type": "integer", "enum": [LIMIT], "format": "int64"},
        {"type": "string", "default": "12345678901234567890"},
        {"type": "integer", "default": True},
    ],
)
def test_an_integer_within_53_bits_or_without_a_range_draws_nothing(node: Any) -> None:
    assert [f for f in judged(tool(inputSchema=of(node), outputSchema=of(node))) if "JavaScript" in f.message] == []


def test_a_server_that_names_the_typescript_sdk_refuses_integers_that_it_rounds() -> None:
    found = judged(tool(inputSchema=of(INT64)), server("typescript-sdk"))

    assert ("ClientPortability", "error", "spec.inputSchema.properties.a.format") in seen(*found)


def test_a_required_argument_that_is_not_declared_is_a_warning() -> None:
    found = judged(tool(inputSchema={"type": "object", "required": ["b"], "properties": {"a": {"type": "string"}}}))

    assert ("ClientPortability", "warning", "spec.inputSchema.required") in seen(*found)


@pytest.mark.parametrize("properties", [{}, {"properties": {"c": {"type": "string"}}}])
def test_what_a_nested_object_requires_is_declared_in_it(properties: dict[str, Any]) -> None:
    nested = {"type": "object", "required": ["b"], **properties}

    assert seen(*judged(tool(inputSchema=of(nested)))) == [
        ("ClientPortability", "warning", "spec.inputSchema.properties.a.required")
    ]
    alternatives = {"type": "object", "anyOf": [{"required": ["c"]}], "properties": {"c": {"type": "string"}}}
    assert judged(tool(inputSchema=of(alternatives))) == []


def test_an_enum_of_numbers_is_a_warning() -> None:
    assert seen(*judged(tool(inputSchema=of({"enum": [1, 2]})))) == [
        ("ClientPortability", "warning", "spec.inputSchema.properties.a.enum")
    ]
    assert judged(tool(inputSchema=of({"enum": ["a", None]}))) == []


@pytest.mark.parametrize("name", ["orders.count", "1st"])
def test_a_name_that_model_apis_refuse_is_a_warning(name: str) -> None:
    assert seen(*judged(tool(name=name))) == [("ClientPortability", "warning", "spec.name")]
    assert seen(*judged(tool("orders_count".replace("_", "-")))) == []


def test_a_long_name_has_the_warning_about_its_length_only() -> None:
    assert [f.reason for f in judged(tool(name="a" * 65))] == [Reason.LONG_NAME]


def test_an_invalid_schema_has_that_fault_only() -> None:
    found = judged(tool(inputSchema={"type": "object", "oneOf": [{"type": "no"}]}))

    assert {f.reason for f in found} == {Reason.INVALID_SCHEMA}


BAD: dict[str, dict[str, Any]] = {
    "typescript-sdk": {"inputSchema": of({"type": "string", "pattern": "a\\:"})},
    "python-sdk": {"inputSchema": of({"type": "string", "pattern": "\\p{L}"})},
    "anthropic": {"inputSchema": {"type": "object", "properties": {"$top": {"type": "string"}}}},
    "openai": {"inputSchema": {"type": "object", "not": {"required": ["b"]}, "properties": {"a": {"type": "string"}}}},
    "openai-strict": {"inputSchema": of({"type": "string"})},
    "gemini": {"inputSchema": of({"const": "a"})},
    "cursor": {"name": "a" * 53},
    "vscode": {"name": "a.b"},
}
GOOD: dict[str, Any] = {
    "inputSchema": {
        "type": "object",
        "additionalProperties": False,
        "required": ["a", "b"],
        "properties": {
            "a": {"type": "string", "pattern": "^[a-z]+$", "enum": ["x"]},
            "b": {"type": "array", "items": {"type": "string"}},
        },
    },
    "outputSchema": of({"type": "string", "pattern": "^[a-z]+$"}),
}


def test_every_profile_has_a_case() -> None:
    assert (
        set(BAD)
        == set(profiles.NAMES)
        == {each.name for each in profiles.PROFILES}
        == set(get_args(profiles.ClientName))
    )


@pytest.mark.parametrize("client", profiles.NAMES)
def test_a_server_that_names_a_client_refuses_the_tool_and_the_tool_is_refused(client: str) -> None:
    bad, named = tool(**BAD[client]), server(client)

    (of_tool,) = [f for f in judged(bad, named) if f.level is Level.ERROR]
    assert (of_tool.reason, of_tool.ref) == (Reason.CLIENT_PORTABILITY, bad.ref)
    assert of_tool.field_path.startswith("spec.name" if "name" in BAD[client] else "spec.inputSchema")
    assert f"names {client} in spec.clients" in of_tool.message
    (of_server,) = [f for f in judged(named, bad) if f.level is Level.ERROR]
    assert seen(of_server) == [("ClientPortability", "error", "spec.clients")]
    assert (of_server.ref, of_server.related) == (named.ref, (bad.ref,))
    assert f"{bad.ref} {of_tool.field_path}: " in of_server.message
    assert [f for f in judged(bad, server()) if f.level is Level.ERROR] == []


@pytest.mark.parametrize("client", profiles.NAMES)
def test_a_tool_within_all_limits_is_admitted(client: str) -> None:
    assert judged(tool(**GOOD), server(client)) == []
    assert judged(server(client), tool(**GOOD)) == []


def test_the_name_counts_with_the_prefix_of_the_server() -> None:
    prefixed = server("openai", naming={"prefix": "shop."})

    assert seen(*judged(tool(**GOOD), prefixed)) == [("ClientPortability", "error", "spec.name")]


def test_a_server_does_not_lose_its_changes_to_a_tool_that_was_there() -> None:
    bad, named = tool(**BAD["gemini"]), server("gemini")
    changed = server("gemini", config={"pageSize": 7})

    assert judged(changed, bad, old=named) == []


def test_a_disabled_tool_is_not_served_and_so_not_refused() -> None:
    assert {f.level for f in judged(tool(enabled=False, **BAD["openai"]), server("openai"))} == {Level.WARNING}


def test_the_facts_of_the_fast_reader_are_those_of_the_decoder() -> None:
    for client in BAD:
        raw = dict(tool(**BAD[client]).raw)
        fact = manifest.decode(raw).fact
        assert fact is not None
        assert fact == manifest.fact_of(raw)
        assert client in {name for name, _, _ in fact.unsupported} or "name" in BAD[client]


@pytest.mark.parametrize("schema", [{"properties": 1}, {"required": 1, "properties": []}, {"enum": 1, "items": [1]}])
def test_a_schema_that_is_not_one_is_read_without_failing(schema: dict[str, Any]) -> None:
    assert isinstance(portability.see(schema, schema).unsupported, tuple)


def test_a_nested_value_that_is_too_deep_for_strict_mode() -> None:
    node: dict[str, Any] = {"type": "string"}
    for _ in range(11):
        node = {"type": "object", "properties": {"a": node}, "required": ["a"], "additionalProperties": False}

    found = {name: message for name, _, message in portability.see(node, None).unsupported}
    assert "11 levels" in found["openai-strict"]


@pytest.mark.parametrize(
    "pattern",
    [
        f"^({'|'.join(a + b + c for a in 'ABC' for b in 'DEFGH' for c in 'KLMNO')})$",
        "^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|::)$",
        "^(([0-9]{1,3}\\.){3}[0-9]{1,3})/([0-9]|[12][0-9]|3[0-2])$",
    ],
)
def test_a_long_pattern_that_every_dialect_compiles_draws_nothing(pattern: str) -> None:
    node = {"type": "string", "pattern": pattern}

    assert judged(tool(inputSchema=of(node), outputSchema=of(node))) == []
