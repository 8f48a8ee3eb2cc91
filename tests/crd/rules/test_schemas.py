"""The schemas of a tool: each fault with its reason, its place and its words."""

from __future__ import annotations

from typing import Any

import pytest

from crd import integrity, manifest
from crd.finding import Level
from crd.integrity import Change
from crd.rules import schemas
from crd.schema.validation import compile_schema
from crd.snapshot import Snapshot


def tool(**spec: Any) -> manifest.Object:
    return manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "shop"}},
            "spec": {"service": {"name": "s", "port": 80}, **spec},
        }
    )


def reported(schema: Any, member: str = "inputSchema", **more: Any) -> list[tuple[str, str, str]]:
    found = schemas.invalid_schema(tool(**{member: schema}, **more))
    return [(f.reason.value, f.field_path.removeprefix(f"spec.{member}").removeprefix("."), f.message) for f in found]


def of(node: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": node}}


def nested(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {}
    for _ in range(levels - 1):
        node = {"not": node}
    return {**node, "type": "object"}


A = "properties.a"
REPAIR = "make it optional or give it a default"
TYPES = "array, boolean, integer, null, number, object, string"
ROWS = [
    ({}, "InvalidSchema", "type", 'the type of inputSchema must be "object", got no type; set type to "object"'),
    (
        {"type": "array"},
        "InvalidSchema",
        "type",
        'the type of inputSchema must be "object", got "array"; set type to "object"',
    ),
    (of({"type": "text"}), "InvalidSchema", f"{A}.type", f'"text" is not a JSON Schema type; use one of {TYPES}'),
    (
        of({"$schema": "http://json-schema.org/draft-07/schema#"}),
        "InvalidSchema",
        f"{A}.$schema",
        (
            'must be JSON Schema 2020-12 ("https://json-schema.org/draft/2020-12/schema"), got '
            '"http://json-schema.org/draft-07/schema#"; change it or remove $schema'
        ),
    ),
    (
        of({"$ref": "https://x.example/a"}),
        "RemoteReference",
        f"{A}.$ref",
        '"https://x.example/a" is outside the schema, and remote schemas are not fetched; copy it into $defs',
    ),
    (
        of({"$dynamicRef": "a.json#/b"}),
        "RemoteReference",
        f"{A}.$dynamicRef",
        '"a.json#/b" is outside the schema, and remote schemas are not fetched; copy it into $defs',
    ),
    (
        of({"$ref": "#/$defs/none"}),
        "InvalidSchema",
        f"{A}.$ref",
        '"#/$defs/none" is not a schema of this document; correct the reference or add the definition',
    ),
    (
        of({"$ref": "#none"}),
        "InvalidSchema",
        f"{A}.$ref",
        '"#none" is not a schema of this document; correct the reference or add the definition',
    ),
    (
        of({"$ref": "#/properties/a"}),
        "InvalidSchema",
        f"{A}.$ref",
        'reference cycle: "#/properties/a" refers back to itself; remove one reference of the cycle',
    ),
    (
        of({"pattern": "(?=a)b"}),
        "UnsupportedPattern",
        f"{A}.pattern",
        ('"(?=a)b" uses look-around, which cannot be matched in linear time; use a second pattern in allOf or not'),
    ),
    (
        of({"patternProperties": {r"(a)\1": {}}}),
        "UnsupportedPattern",
        rf"{A}.patternProperties.(a)\1",
        (
            r'"(a)\1" uses a backreference, which cannot be matched in linear time; list the alternatives or '
            "check it in the backend"
        ),
    ),
    (
        of({"pattern": "^(a{1000}){1000}$"}),
        "PatternTooLarge",
        f"{A}.pattern",
        (
            '"^(a{1000}){1000}$" needs more than 2048 KiB when compiled; limit the length with maxLength instead of '
            "{n,m} or shorten the pattern"
        ),
    ),
    (
        {**of({"$id": "b"}), "$defs": {"b": {"$id": "b"}}},
        "InvalidSchema",
        "$defs.b.$id",
        "another schema in this one has the same $id; change one of them",
    ),
    (
        {
            **of({"$ref": "#/$defs/0"}),
            "$defs": {
                "14": {},
                **{f"{n}": {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(14)},
            },
        },
        "SchemaTooLarge",
        "",
        "a value must be validated against at most 10000 schemas; use fewer references",
    ),
    (
        of({"type": "integer", "minimum": 2, "maximum": 1}),
        "UnsatisfiableSchema",
        A,
        "minimum 2 is greater than maximum 1, so no value is valid; correct one of the two",
    ),
    (
        of({"type": "integer", "default": "10"}),
        "ContradictoryValue",
        f"{A}.default",
        '"10" is not of type "integer", so the default is not used; correct the value or the schema',
    ),
    (
        of({"type": "string", "nullable": True}),
        "IneffectiveKeyword",
        f"{A}.nullable",
        'nullable has no effect in JSON Schema 2020-12, so null is rejected; write type: ["string", "null"]',
    ),
    (
        of({"type": "integer", "exclusiveMinimum": True}),
        "InvalidSchema",
        f"{A}.exclusiveMinimum",
        (
            'true is not of type "number"; in JSON Schema 2020-12 it is the bound itself: write exclusiveMinimum '
            "instead of minimum"
        ),
    ),
    (
        of({"type": "string", "enum": [True, False]}),
        "UnsatisfiableSchema",
        f"{A}.enum",
        (
            "no value of enum has type string, so no value is valid; YAML 1.1 reads on, off, yes and no as true or "
            'false; put the words in quotes, such as "on"'
        ),
    ),
    (nested(33), "SchemaTooLarge", "", "the schema must be at most 32 levels deep, got 33; flatten it"),
    (
        {"type": "object", "properties": {f"p{n}": {} for n in range(2000)}},
        "SchemaTooLarge",
        "",
        "the schema must have at most 2000 subschemas, got 2001; split the tool",
    ),
    (
        of({"type": "string", "x-mcp-header": "a b"}),
        "InvalidSchema",
        f"{A}.x-mcp-header",
        'must be a header name of letters, digits and "-", got "a b"',
    ),
    (
        of({"type": "string", "x-mcp-header": 7}),
        "InvalidSchema",
        f"{A}.x-mcp-header",
        'must be a header name of letters, digits and "-", got 7',
    ),
    (
        of({"type": "number", "x-mcp-header": "A"}),
        "InvalidSchema",
        f"{A}.x-mcp-header",
        "x-mcp-header requires type string, integer or boolean; change the type or remove x-mcp-header",
    ),
    (
        of({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}),
        "InvalidSchema",
        f"{A}.items.x-mcp-header",
        "x-mcp-header is only supported on properties of objects; move or remove it",
    ),
    (
        {"type": "object", "x-mcp-header": "A"},
        "InvalidSchema",
        "x-mcp-header",
        "x-mcp-header is only supported on properties of objects; move or remove it",
    ),
    (
        {
            "type": "object",
            "properties": {n: {"type": "string", "x-mcp-header": h} for n, h in (("a", "X"), ("b", "x"))},
        },
        "InvalidSchema",
        "properties.b.x-mcp-header",
        '"x" is already the header of properties.a; rename one of the two',
    ),
]


@pytest.mark.parametrize(("schema", "reason", "place", "message"), ROWS)
def test_a_fault_has_a_reason_a_place_and_words(schema: Any, reason: str, place: str, message: str) -> None:
    assert reported(schema) == [(reason, place, message)]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        nested(32),
        of({"$schema": "https://json-schema.org/draft/2020-12/schema#"}),
        {**of({"$ref": "#/$defs/t"}), "$defs": {"t": {"type": "string"}}},
        {**of({"$ref": "#t"}), "$defs": {"t": {"$anchor": "t"}}},
        {**of({"$dynamicRef": "#t"}), "$defs": {"t": {"$dynamicAnchor": "t"}}},
        {**of({"$ref": "urn:own"}), "$defs": {"t": {"$id": "urn:own", "type": "string"}}},
        {**of({"$ref": "#/$defs/tree"}), "$defs": {"tree": {"properties": {"next": {"$ref": "#/$defs/tree"}}}}},
        of({"$ref": "#"}),
        of({"allOf": [{"$ref": "#/$defs/a~1b"}]}) | {"$defs": {"a/b": {}}},
        of({"x-anything": {"$ref": 7}}),
        {"type": "object", "properties": {f"p{n}": {} for n in range(1999)}},
        {
            "type": "object",
            "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer", "x-mcp-header": "B"}}}},
        },
    ],
)
def test_a_valid_schema_has_no_finding(schema: Any) -> None:
    assert reported(schema) == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "unclosed group"),
        ("[z-a]", "invalid character class range, the start must be <= the end"),
        ("a{2,1}", "invalid repetition count range, the start must be <= the end"),
    ],
)
def test_a_pattern_that_is_not_an_expression_is_reported_at_its_path(pattern: str, why: str) -> None:
    message = f'"{pattern}" is not a regular expression: {why}; correct it'

    assert reported(of({"pattern": pattern})) == [("InvalidSchema", f"{A}.pattern", message)]


def test_circles_through_applicators_are_found() -> None:
    schema = {
        **of({"$ref": "#/$defs/a"}),
        "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}},
    }

    assert [(reason, place) for reason, place, _ in reported(schema)] == [
        ("InvalidSchema", "$defs.a.anyOf[0].$ref"),
        ("InvalidSchema", "$defs.b.not.$ref"),
    ]


def test_a_reference_names_a_schema_and_not_only_a_place() -> None:
    schema = {**of({"$ref": "#/x/0"}), "x": [{"$ref": "#/properties/a"}]}

    assert [(reason, place) for reason, place, _ in reported(schema)] == [("InvalidSchema", f"{A}.$ref")]


def test_a_number_sign_means_the_nearest_schema_with_an_id() -> None:
    inner = {"$id": "tree", "properties": {"next": {"$ref": "#"}, "leaf": {"$ref": "#/$defs/leaf"}}}
    schema = {**of({"$ref": "tree"}), "$defs": {"tree": {**inner, "$defs": {"leaf": {"type": "string"}}}}}

    assert reported(schema) == []
    assert reported({**of({"$ref": "tree"}), "$defs": {"tree": inner}})[0][1] == "$defs.tree.properties.leaf.$ref"


def test_an_output_schema_is_held_to_the_same() -> None:
    assert reported({"type": "array"}, "outputSchema") == [
        (
            "InvalidSchema",
            "type",
            'the type of outputSchema must be "object", got "array"; set type to "object"',
        )
    ]
    assert (
        reported({"type": "object", "properties": {"a": {"type": "text"}}}, "outputSchema")[0][1] == "properties.a.type"
    )


def test_a_page_of_results_may_be_a_list() -> None:
    pages = {"pagination": {"parameter": "page", "nextPointer": "/next"}}

    assert reported({"type": "array"}, "outputSchema", method="GET", http=pages) == []


def test_the_level_of_what_nothing_satisfies_is_a_warning() -> None:
    levels = {f.reason: f.level for f in schemas.invalid_schema(tool(inputSchema=of({"not": {}})))}

    assert list(levels.values()) == [Level.WARNING]


def server(name: str) -> manifest.Object:
    return manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPServer",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"toolSelector": {"matchLabels": {"app": "shop"}}},
        }
    )


@pytest.mark.parametrize(
    ("names", "servers"),
    [
        (["main"], "shop/main"),
        (["main", "admin"], "shop/admin, shop/main"),
        (list("dcba"), "shop/a, shop/b, shop/c and 1 more"),
    ],
)
def test_a_change_names_the_servers_whose_callers_it_breaks(names: list[str], servers: str) -> None:
    old, new = tool(inputSchema=of({})), tool(inputSchema={**of({}), "required": ["a"]})
    snapshot = Snapshot.of(fact for name in names if (fact := server(name).fact))

    found = [f for f in integrity.judge(snapshot, Change(old.ref, old, new)) if f.reason == "BreakingSchemaChange"]

    assert [(f.level, f.field_path, f.message) for f in found] == [
        (
            Level.WARNING,
            "spec.inputSchema.required",
            f'"a" is now required, so MCPServer {servers} rejects calls that were valid before; {REPAIR}',
        )
    ]


def test_what_nobody_serves_breaks_nobody() -> None:
    old, new = tool(inputSchema=of({})), tool(inputSchema={"type": "object"})

    assert [
        f for f in integrity.judge(Snapshot(), Change(old.ref, old, new)) if f.reason == "BreakingSchemaChange"
    ] == []
    (found,) = schemas.breaking_changes(new.ref, schemas.breaks(old, new), [server("main").ref])
    assert found.message.endswith("restore it or create a new tool")


def test_a_prompt_has_no_schemas() -> None:
    prompt = manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPPrompt",
            "metadata": {"name": "a"},
            "spec": {"template": "x"},
        }
    )

    assert list(schemas.invalid_schema(prompt)) == []
    assert list(schemas.breaks(prompt, prompt)) == []


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (nested(40), nested(36)),
        (
            {"type": "object", "properties": {f"p{n}": {} for n in range(2200)}},
            {"type": "object", "properties": {f"p{n}": {} for n in range(2100)}},
        ),
    ],
)
def test_a_repair_that_is_only_half_done_passes(worse: dict[str, Any], better: dict[str, Any]) -> None:
    old, new = tool(inputSchema=worse), tool(inputSchema=better)
    assert reported(worse)[0][0] == reported(better)[0][0] == "SchemaTooLarge"

    assert [f.reason for f in integrity.judge(Snapshot(), Change(old.ref, old, new)).errors] == []
    assert [f.reason for f in integrity.judge(Snapshot(), Change(old.ref, new, tool(inputSchema={}))).errors] == [
        "InvalidSchema"
    ]


@pytest.mark.parametrize("member", ["inputSchema", "outputSchema"])
def test_nothing_looks_into_a_schema_that_is_too_long(member: str) -> None:
    item = tool(**{member: {"description": "\u200b" * 22_000, "type": "nothing"}})
    (found,) = integrity.judge(Snapshot(), Change(item.ref, None, item))

    assert item.spec is None
    assert (found.reason, found.field_path) == ("SchemaTooLarge", f"spec.{member}")
    assert found.message == "the schema must be at most 64 KiB, got 65 KiB; shorten it or split the tool"


def test_the_longest_schema_is_looked_into() -> None:
    text = "x" * (64 * 1024 - len('{"type":"object","description":""}'))

    assert reported({"type": "object", "description": text}) == []
    assert tool(inputSchema={"type": "object", "description": f"{text}x"}).spec is None


def test_a_schema_that_is_less_too_long_is_the_same_fault() -> None:
    worse, better = (tool(inputSchema={"type": "object", "description": "x" * size}) for size in (90_000, 80_000))

    assert integrity.judge(Snapshot(), Change(worse.ref, worse, better)).findings == ()


def test_every_finding_names_the_tool_and_its_field() -> None:
    findings = list(schemas.invalid_schema(tool(inputSchema={**of({"pattern": "(?=a)"}), "x-mcp-header": "A"})))
    findings += schemas.invalid_schema(tool(outputSchema={"type": "array"}))

    assert [(str(f.ref), f.subject) for f in findings] == [
        ("MCPTool shop/a", ("spec", "inputSchema", "properties", "a", "pattern")),
        ("MCPTool shop/a", ("spec", "inputSchema", "x-mcp-header")),
        ("MCPTool shop/a", ("spec", "outputSchema", "type")),
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("it does not compile\nfor a reason"), "it does not compile; correct it (JSON Schema 2020-12)"),
        (
            next(compile_schema({"type": "object"}).iter_errors(7)),
            '7 is not of type "object"; correct it (JSON Schema 2020-12)',
        ),
    ],
)
def test_what_only_the_validator_finds_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def refuse(_schema: Any) -> None:
        raise error

    monkeypatch.setattr(schemas, "compile_schema", refuse)

    assert reported({"type": "object", "minProperties": 0}) == [("InvalidSchema", "", message)]


def test_what_was_found_is_kept_and_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(schemas, "KEPT_SCHEMAS", 2)
    monkeypatch.setattr(schemas, "compile_schema", lambda schema: read.append(schema["title"]))
    for title in "aababcca":
        reported({"type": "object", "title": title, "minProperties": 0})

    assert read == ["a", "b", "c", "a"]


def test_what_was_found_in_a_very_broken_schema_is_not_kept() -> None:
    reported({"type": "object", "properties": {f"p{number}": {"type": "x"} for number in range(11)}})

    assert schemas._KEPT == {}
