"""Objects that the API server can store and that were made to be expensive, each at any size up to its limit.

A builder takes a size in bytes and gives a manifest of about that size, or of the largest size that the field allows.
`OBJECTS` are judged alone, `CHANGES` are pairs of an old and a new manifest, `STATES` are many objects and one change
among them, sized by the number of objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHANGES", "FULL", "OBJECTS", "OF_ONE_MEMBER", "STATES", "Manifest", "server", "tool"]

Manifest = dict[str, Any]

# What etcd takes by default. A request may have twice as much, and holds the old and the new object.
FULL = 1_500_000
# What a schema may have; larger ones are refused before anything looks into them.
SCHEMA = 64_000


def manifest(kind: str, spec: Manifest, **metadata: Any) -> Manifest:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": "hostile", "namespace": "shop", "labels": {"app": "shop"}, **metadata},
        "spec": spec,
    }


def tool(schema: Any = None, **spec: Any) -> Manifest:
    given = {} if schema is None else {"inputSchema": schema}
    description = "Returns one order by its number, with its lines."
    return manifest("MCPTool", {"description": description, "service": {"name": "a", "port": 80}, **given, **spec})


def server(**spec: Any) -> Manifest:
    return manifest("MCPServer", {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec})


def prompt(text: str, **spec: Any) -> Manifest:
    """32 messages at most, of 32 KiB each."""
    parts = [text[at : at + 32768] for at in range(0, min(len(text), 32 * 32768), 32768)]
    return manifest("MCPPrompt", {"messages": [{"text": part} for part in parts], **spec})


def resource(**spec: Any) -> Manifest:
    return manifest("MCPResource", spec)


def many(size: int, unit: int) -> range:
    return range(max(1, size // unit))


def repeated(size: int, text: str) -> str:
    return text * max(1, size // len(text))


def of_schema(build: Callable[[int], Any], most: int = SCHEMA) -> Callable[[int], Manifest]:
    return lambda size: tool({"type": "object", "properties": {"a": build(min(size, most))}})


def pattern(unit: str, most: int = SCHEMA) -> Callable[[int], Manifest]:
    return of_schema(lambda size: {"pattern": repeated(size, unit)}, most)


def chain(size: int, width: int, keyword: str, **more: Any) -> Manifest:
    length = max(1, size // (32 + 24 * width))
    links = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * width, **more} for n in range(length)}
    properties = {"a": {"$ref": "#/$defs/d0"}}
    return tool({"type": "object", "properties": properties, "$defs": {**links, f"d{length}": {"type": "string"}}})


def nested(levels: int, keyword: str) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {keyword: [schema, schema]} if levels < 10 else {keyword: [schema]}
    return schema


def deep(size: int) -> Any:
    """JSON nested as deep as the API server reads it."""
    value: Any = []
    for _ in range(min(size // 2, 9000)):
        value = [value]
    return value


def http(**members: Any) -> Manifest:
    return {"method": "POST", "http": members}


def arguments(size: int, length: int = 12) -> Manifest:
    return {"type": "object", "properties": {f"{n:0{length}}": {"type": "object"} for n in many(size, length + 22)}}


def misspelt(size: int) -> Manifest:
    names = {f"argument_number_{n:06}_x": {} for n in many(min(size, SCHEMA), 34)}
    entries = [{"name": f"q{n}", "argument": f"argument-number-{n:06}-y"} for n in range(64)]
    return tool({"type": "object", "properties": names}, method="GET", http={"query": entries, "path": "/{argument_x}"})


def annotated(size: int, applied: str) -> Manifest:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": applied[: min(size, 262_000)]}
    return {**tool(), "metadata": {**tool()["metadata"], "annotations": annotations}}


OBJECTS: dict[str, Callable[[int], Manifest]] = {
    "schema: one long text": lambda size: tool({"type": "object", "description": "x" * size}),
    "schema: many numbers": lambda size: tool({"type": "object", "enum": [*many(size, 7)]}),
    "schema: a list in a list": lambda size: tool({"type": "object", "default": deep(size)}),
    "schema: many short lists": lambda size: tool({"type": "object", "x": [[] for _ in many(size, 3)]}),
    "schema: many schemas": of_schema(lambda size: {"properties": {f"p{n}": {} for n in many(size, 32)}}),
    "schema: many properties of one": lambda size: tool(arguments(min(size, SCHEMA))),
    "schema: many keywords": lambda size: tool(
        {"type": "object", **{f"x-{n}": n for n in many(min(size, SCHEMA), 16)}}
    ),
    "schema: hidden characters": of_schema(lambda size: {f"p{n}": {"title": "\u200b"} for n in many(size, 24)}),
    "schema: types that do not exist": of_schema(
        lambda size: {"properties": {f"p{n}": {"type": "x" * 9} for n in many(size, 28)}}
    ),
    "schema: one long type": of_schema(lambda size: {"type": "x" * size}),
    "schema: required that is not declared": of_schema(
        lambda size: {"type": "object", "additionalProperties": False, "required": [f"r{n}" for n in many(size, 9)]}
    ),
    "schema: many contradictions": of_schema(
        lambda size: {"properties": {f"p{n}": {"type": "integer", "minimum": 2, "maximum": 1} for n in many(size, 52)}}
    ),
    "schema: headers": of_schema(
        lambda size: {"properties": {f"p{n}": {"type": "string", "x-mcp-header": "A"} for n in many(size, 46)}}
    ),
    "schema: defaults of the wrong type": of_schema(
        lambda size: {"properties": {f"p{n}": {"type": "integer", "default": "x"} for n in many(size, 44)}}
    ),
    "schema: examples beside many alternatives": of_schema(
        lambda size: {
            "anyOf": [{"minimum": n, "type": "integer"} for n in many(size // 2, 38)],
            "examples": ["x" for _ in many(size // 2, 4)],
        }
    ),
    "schema: keywords of other types": of_schema(
        lambda size: {"properties": {f"p{n}": {"type": "integer", "maxLength": 1} for n in many(size, 42)}}
    ),
    "schema: definitions that nothing refers to": lambda size: tool(
        {"type": "object", "definitions": {f"d{n}": {} for n in many(min(size, SCHEMA), 14)}}
    ),
    # References
    "references: allOf ladder": lambda size: chain(min(size, SCHEMA), 2, "allOf"),
    "references: anyOf ladder": lambda size: chain(min(size, SCHEMA), 2, "anyOf"),
    "references: short ladder": lambda size: chain(min(size, 900), 2, "anyOf"),
    "references: ladder of unevaluatedProperties": lambda size: chain(
        min(size, SCHEMA), 2, "allOf", unevaluatedProperties=False
    ),
    "references: longest ladder of unevaluatedProperties": lambda size: chain(
        min(size, 800), 2, "allOf", unevaluatedProperties=False
    ),
    "references: wide": lambda size: chain(min(size, SCHEMA), 40, "anyOf"),
    "references: anchors": lambda size: tool(
        {
            "type": "object",
            "$defs": {f"d{n}": {"$anchor": f"a{n}"} for n in many(min(size, SCHEMA), 70)},
            "allOf": [{"$ref": f"#a{n}"} for n in many(min(size, SCHEMA), 70)],
        }
    ),
    "references: anchors that do not exist": lambda size: tool(
        {"type": "object", "allOf": [{"$ref": f"#a{n}"} for n in many(min(size, SCHEMA), 34)]}
    ),
    "references: ids": lambda size: tool(
        {
            "type": "object",
            "$defs": {f"d{n}": {"$id": f"u:{n}", "$ref": f"u:{n + 1}"} for n in many(min(size, SCHEMA), 52)},
        }
    ),
    "references: a cycle of all": lambda size: tool(
        {
            "type": "object",
            "$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in many(min(size, SCHEMA), 36)}
            | {f"d{len(many(min(size, SCHEMA), 36))}": {"$ref": "#/$defs/d0"}},
        }
    ),
    "references: long pointers": lambda size: tool(
        {"type": "object", "allOf": [{"$ref": "#" + "/a" * 100} for _ in many(min(size, SCHEMA), 222)]}
    ),
    "references: everything to one": lambda size: tool(
        {
            "type": "object",
            "$defs": {"wide": {"properties": {f"p{n}": {} for n in many(min(size, SCHEMA), 100)}}},
            "anyOf": [{"$ref": "#/$defs/wide"} for n in many(min(size, SCHEMA), 90)],
            "unevaluatedProperties": False,
        }
    ),
    "references: many to a chain": lambda size: tool(
        {
            "type": "object",
            "properties": {f"p{n}": {"$ref": "#/$defs/d0"} for n in many(min(size, SCHEMA) // 2, 34)},
            "$defs": {
                f"d{n}": {"$ref": f"#/$defs/d{n + 1}", **{f"x{n}-{m}": 0 for m in many(min(size, SCHEMA) // 2, 400)}}
                for n in range(30)
            }
            | {"d30": {}},
        }
    ),
    "types: nested anyOf": of_schema(lambda size: nested(min(size // 20, 30), "anyOf")),
    "types: wide anyOf": of_schema(lambda size: {"anyOf": [{"type": ["string", "null"]} for _ in many(size, 33)]}),
    # Patterns
    **{
        f"pattern: {unit}": pattern(unit, 2048)
        for unit in (
            r"\p{L}",
            r"[^\p{L}]",
            r"\S",
            r"\W",
            "(?i:\\PL)",
            "(a?){9}",
            "[\\s\\S]",
            "(|){99}",
            "((((a{9}){9}){9}){9}){9}",
            "(",
            "[",
            "a|",
            "(?=a)",
            "\\1",
            "(a|b",
            "{1}",
            "[^a]",
            "()*",
            "\\b",
            "[a-z&&[^b]]",
        )
    },
    "pattern: of full length": pattern(r"\S"),
    "pattern: many small": of_schema(lambda size: {"allOf": [{"pattern": f"\\p{{L}}{n}"} for n in many(size, 26)]}),
    "pattern: a hundred with all letters": of_schema(
        lambda size: {"allOf": [{"pattern": f"[\\p{{L}}\\p{{N}}]{n}"} for n in range(min(100, max(1, size // 30)))]}
    ),
    "pattern: eight large": of_schema(
        lambda size: {"allOf": [{"pattern": f"\\p{{L}}{{{40 + n}}}"} for n in range(min(8, max(1, size // 30)))]}
    ),
    "pattern: all too large": of_schema(
        lambda size: {"allOf": [{"pattern": f"\\p{{L}}{{{4000 + n}}}"} for n in range(min(100, max(1, size // 30)))]}
    ),
    "pattern: all with flags": of_schema(
        lambda size: {"allOf": [{"pattern": "(?i:[\\PL])" * 40 + f"{n}"} for n in range(min(100, max(1, size // 30)))]}
    ),
    "pattern: all with shorthands": of_schema(
        lambda size: {"allOf": [{"pattern": r"\S" * 60 + f"{n}"} for n in range(min(100, max(1, size // 30)))]}
    ),
    # Templates
    "template: open braces": lambda size: prompt(repeated(size, "{")),
    "template: spaces": lambda size: prompt("{{" + " " * size),
    "template: spaces and names": lambda size: prompt(repeated(size, "{{ a" + " " * 200)),
    "template: names": lambda size: prompt("".join(f"{{{{n{n}}}}}" for n in many(size, 10))),
    "template: long names": lambda size: prompt("".join(f"{{{{{n:01000}}}}}" for n in many(size, 1004))),
    "template: names like variables": lambda size: prompt(
        "".join(f"{{{{variable_number_{n:06}x}}}}" for n in many(size, 28)),
        variables=[{"name": f"variable_number_{n:06}y"} for n in range(64)],
    ),
    "prompt: values": lambda size: prompt(
        "x" * 30,
        variables=[
            {"name": f"v{n}", "enum": [f"{m:0200}" for m in range(64)], "default": "0" * 200}
            for n in range(min(64, max(1, size // 14000)))
        ],
    ),
    # URIs and paths
    "uri: percent": lambda size: resource(content={"uri": "a:" + repeated(min(size, 2000), "%20") + "%", "text": ""}),
    "uri: template variables": lambda size: resource(
        uriTemplate="a:" + "".join(f"{{n{n}}}" for n in many(min(size, 2000), 6)),
        http={},
        service={"name": "a", "port": 1},
    ),
    "uri: query expressions": lambda size: resource(
        operations=[
            {
                "service": {"name": "a", "port": 80, "path": "/" + repeated(min(size, 1000), "{a}")},
                "ingressPath": f"/{n}" + repeated(min(size, 240), "{a}"),
                "uriTemplate": "a:" + repeated(min(size, 2000), "{?a}"),
                "parameters": [{"name": f"p{m}", "in": "path"} for m in range(32)],
            }
            for n in range(32)
        ]
    ),
    "uri: repeated variables": lambda size: resource(
        operations=[
            {
                "service": {"name": "a", "port": 80, "path": "/a"},
                "ingressPath": f"/{n}",
                "uriTemplate": "a:" + "".join(f"{{n{m}}}" for m in many(min(size, 2000), 6)),
                "parameters": [{"name": f"p{m}", "in": "path"} for m in range(32)],
            }
            for n in range(32)
        ]
    ),
    "path: braces": lambda size: tool(
        {"type": "object"}, method="GET", http={"path": "/" + repeated(min(size, 1000), "{a}")}
    ),
    "path: service": lambda size: tool(service={"name": "a", "port": 80, "path": "/" + repeated(min(size, 1000), "{")}),
    # Mappings
    "mapping: misspelt arguments": misspelt,
    "mapping: arguments left over": lambda size: tool(
        arguments(min(size, SCHEMA)), method="GET", http={"query": [{"name": f"q{n}", "value": ""} for n in range(64)]}
    ),
    "mapping: arguments left over by a form": lambda size: tool(
        arguments(min(size, SCHEMA)), http={"body": {"mode": "Form"}}
    ),
    "mapping: pointers": lambda size: tool(
        arguments(min(size, SCHEMA)),
        http={
            "body": {
                "mode": "Fields",
                "fields": [{"name": f"/{n}" + "/a" * 120, "argument": "/a" * 120} for n in range(64)],
            }
        },
    ),
    # Selectors, labels, annotations, servers
    "selector: long keys": lambda size: server(
        toolSelector={"matchLabels": {f"{'a' * min(size, 200)}{n}/{'b' * 60}": "v" * 63 + "" for n in range(64)}}
    ),
    "selector: values": lambda size: server(
        toolSelector={
            "matchExpressions": [
                {"key": f"k{n}", "operator": "In", "values": [f"{'-' * 50}{m}" for m in range(64)]} for n in range(32)
            ]
        }
    ),
    "labels: many": lambda size: {
        **tool(),
        "metadata": {**tool()["metadata"], "labels": {f"l{n}": "v" * 63 for n in many(size, 78)}},
    },
    "annotations: unknown keys": lambda size: annotated(
        size,
        '{"apiVersion":"mcp.example.com/v1alpha1","kind":"MCPTool","spec":{'
        + ",".join(f'"descriptio{n}":0' for n in many(min(size, 261_000) - 100, 22))
        + "}}",
    ),
    "annotations: nested": lambda size: annotated(size, "[" * 1000 + "]" * 1000),
    "annotations: one long key": lambda size: annotated(
        size,
        '{"apiVersion":"mcp.example.com/v1alpha1","kind":"MCPTool","spec":{"'
        + "d" * (min(size, 261_000) - 100)
        + '":0}}',
    ),
    "limits: tools": lambda size: server(
        rateLimits={"tools": {f"tool_number_{n:06}": {"requests": 1} for n in range(min(256, max(1, size // 40)))}}
    ),
    "content: text": lambda size: resource(content={"uri": "a:b", "text": "\u200b" * min(size // 3, 262_000)}),
    "content: blob": lambda size: resource(content={"uri": "a:b", "blob": "AAAA" * (min(size, 349_000) // 4)}),
    "unknown fields": lambda size: tool(**{f"descriptio{n}": 0 for n in many(size, 22)}),
    "unknown fields in lists": lambda size: tool(
        http={"query": [{"name": "a", "value": "b", "valeu": 1} for _ in many(size, 40)]}
    ),
    "invalid entries": lambda size: prompt("x", variables=[0 for _ in many(size, 3)]),
    "invalid values": lambda size: server(toolSelector={"matchLabels": {f"k{n}": n for n in many(size, 20)}}),
    "one long name": lambda size: tool(name="x" * size),
    "status: conditions": lambda size: {
        **tool(),
        "status": {"conditions": [{"type": "x", "foo": 1} for _ in many(size, 22)]},
    },
}


def properties(size: int, **each: Any) -> Manifest:
    return {"type": "object", "properties": {f"p{n}": {"type": "string", **each} for n in many(min(size, SCHEMA), 36)}}


CHANGES: dict[str, Callable[[int], tuple[Manifest, Manifest]]] = {
    "change: every property is gone": lambda size: (tool(properties(size)), tool({"type": "object"})),
    "change: every type": lambda size: (tool(properties(size)), tool(properties(size, type="integer"))),
    "change: every property is required": lambda size: (
        tool(properties(size)),
        tool({**properties(size), "required": [*properties(size)["properties"]]}),
    ),
    "change: a long enum": lambda size: (
        tool({"type": "object", "properties": {"a": {"enum": [*many(min(size, SCHEMA), 7)]}}}),
        tool({"type": "object", "properties": {"a": {"enum": [-1 - n for n in many(min(size, SCHEMA), 7)]}}}),
    ),
    "change: an enum of objects": lambda size: (
        tool({"type": "object", "properties": {"a": {"enum": [{"a": n} for n in many(min(size, SCHEMA), 12)]}}}),
        tool({"type": "object", "properties": {"a": {"enum": [{"b": n} for n in many(min(size, SCHEMA), 12)]}}}),
    ),
    "change: types beside many keywords": lambda size: (
        tool({**properties(size // 2), **{f"x-{n}": 0 for n in many(min(size, SCHEMA) // 2, 14)}}),
        tool({**properties(size // 2, minLength=1), **{f"x-{n}": 0 for n in many(min(size, SCHEMA) // 2, 14)}}),
    ),
    "change: an anyOf ladder": lambda size: (
        chain(min(size, 30_000), 2, "anyOf"),
        chain(min(size, 30_000), 2, "oneOf"),
    ),
    "change: nested objects": lambda size: (
        tool(narrowed(min(size, SCHEMA) // 2000, 0)),
        tool(narrowed(min(size, SCHEMA) // 2000, 1)),
    ),
}


def narrowed(width: int, least: int) -> Manifest:
    schema: Manifest = {"type": "string", "minLength": least}
    for _ in range(13):
        schema = {"type": "object", "properties": {f"p{n}": schema if n == 0 else {} for n in range(max(1, width))}}
    return schema


def members(count: int, **spec: Any) -> list[Manifest]:
    return [
        {**tool(name=f"tool_number_{n:06}", **spec), "metadata": {**tool()["metadata"], "name": f"tool-{n}"}}
        for n in range(count)
    ]


# The state, the object before and the object after.
STATES: dict[str, Callable[[int], tuple[list[Manifest], Manifest | None, Manifest | None]]] = {
    "server: a rename of every tool": lambda count: (
        members(count),
        server(),
        server(naming={"prefix": "a_"}),
    ),
    "server: a prefix that is too long for every tool": lambda count: (
        members(count, timeout="10m"),
        server(),
        server(naming={"prefix": "p" * 64}),
    ),
    "server: limits of tools that it does not serve": lambda count: (
        members(count),
        server(),
        server(rateLimits={"tools": {f"tool-number-{n:06}": {"requests": 1} for n in range(256)}}),
    ),
    "server: every tool twice": lambda count: (
        [
            {**tool(name=f"tool_{n // 2}"), "metadata": {**tool()["metadata"], "name": f"tool-{n}"}}
            for n in range(count)
        ],
        None,
        server(),
    ),
    "server: every tool with one name": lambda count: (
        [{**tool(name="same"), "metadata": {**tool()["metadata"], "name": f"tool-{n}"}} for n in range(count)],
        None,
        server(),
    ),
    "server: created": lambda count: (members(count), None, server()),
    "server: deleted": lambda count: (members(count), server(), None),
    "tool: renamed among many": lambda count: (
        [server(), *members(count)],
        tool(name="a"),
        tool(name="b"),
    ),
    "tool: of a server with limits": lambda count: (
        [
            server(rateLimits={"tools": {f"tool-number-{n:06}": {"requests": 1} for n in range(256)}}),
            *members(count),
        ],
        None,
        tool(name="b"),
    ),
    "tool: selected by many servers": lambda count: (
        [{**server(), "metadata": {"name": f"s{n}", "namespace": "shop"}} for n in range(count)],
        None,
        tool(name="b"),
    ),
    "tool: over the budgets of many servers": lambda count: (
        [{**server(contextBudget=1), "metadata": {"name": f"s{n}", "namespace": "shop"}} for n in range(count)],
        None,
        tool(name="b"),
    ),
    "tool: over the budget of a server with many tools": lambda count: (
        [server(contextBudget=1), *members(count)],
        None,
        tool(name="b"),
    ),
}

# Changes of one member, whose cost must not depend on the other members.
OF_ONE_MEMBER = frozenset({"tool: renamed among many", "tool: of a server with limits"})
