"""The proof of a mapping: every argument is declared, fits its place, and goes somewhere."""

from __future__ import annotations

from typing import Any

import pytest

from crd import manifest
from crd.finding import Level
from crd.rules import mapping
from tests.crd.rules.documents import SERVICE, findings_of, prompt, resource, server, taking, tool

SCHEMA = taking(
    "id",
    id={"type": "string"},
    n={"type": "integer"},
    list={"type": "array"},
    thing={"type": "object"},
    any={},
)


def lines(item: manifest.Object) -> list[str]:
    return findings_of(mapping.invalid_mapping(item))


def mapped(http: dict[str, Any], *names: str, method: str = "GET", **spec: Any) -> list[str]:
    """What is said of a mapping of these arguments."""
    schema = taking(*({"id"} & set(names)), **{name: SCHEMA["properties"][name] for name in names})
    return lines(tool(method=method, inputSchema=schema, http=http, **spec))


def read(http: dict[str, Any], template: str | None = None, **spec: Any) -> list[str]:
    place = {"uriTemplate": template} if template else {"uri": "urn:a"}
    return lines(resource(**place, service=SERVICE, http=http, **spec))


def entry(name: str = "q", **source: Any) -> dict[str, Any]:
    return {"name": name, **source}


@pytest.mark.parametrize(
    ("http", "names"),
    [
        ({}, ["id", "n", "list"]),
        ({"path": "/{id}"}, ["id"]),
        ({"query": [entry(argument="id")]}, ["id"]),
        ({"query": [entry(value="x"), entry("r", claim="sub")]}, []),
        ({"query": [entry(argument="n", style="DeepObject")]}, ["n"]),
        ({"query": [entry(argument="list", style="Repeat")]}, ["list"]),
        *(({"query": [entry(argument="list", style=s)]}, ["list"]) for s in ("Comma", "Space", "Pipe", "Json")),
        *(({"query": [entry(argument="thing", style=s)]}, ["thing"]) for s in ("DeepObject", "Json")),
        ({"query": [entry(argument="any", style="Json")]}, ["any"]),
        ({"headers": [entry("X-A", argument="id")]}, ["id"]),
        ({"headers": [entry("X-A", argument="n", style="Repeat")]}, ["n"]),
        ({"headers": [entry("X-A", argument="list", style="Comma")]}, ["list"]),
        ({"headers": [entry("X-A", argument="thing", style="Json")]}, ["thing"]),
    ],
)
def test_a_mapping_that_takes_whatever_comes(http: dict[str, Any], names: list[str]) -> None:
    assert mapped(http, *names) == []


OBJECT = "can be an object, which style {0} does not support; use DeepObject or Json"
SEVERAL = "as several headers with the same name; use Comma or Json"
ARRAY = "can be an array, which style {0} does not support; use Repeat, Comma, Space, Pipe or Json"


@pytest.mark.parametrize(
    ("http", "name", "line"),
    [
        *(
            (
                {"query": [entry(argument="thing", style=style)]},
                "thing",
                f'spec.http.query[0].style: "thing" {OBJECT.format(style)}',
            )
            for style in ("Repeat", "Comma", "Space", "Pipe")
        ),
        (
            {"query": [entry(argument="any", style="Comma")]},
            "any",
            f'spec.http.query[0].style: "any" {OBJECT.format("Comma")}',
        ),
        (
            {"query": [entry(argument="any", style="DeepObject")]},
            "any",
            f'spec.http.query[0].style: "any" {ARRAY.format("DeepObject")}',
        ),
        (
            {"query": [entry(value="x"), entry("r", argument="list", style="DeepObject")]},
            "list",
            f'spec.http.query[1].style: "list" {ARRAY.format("DeepObject")}',
        ),
        (
            {"headers": [entry("X-A", argument="thing", style="DeepObject")]},
            "thing",
            f'spec.http.headers[0].style: style DeepObject sends "thing" {SEVERAL}',
        ),
        (
            {"headers": [entry("X-A", argument="n", style="DeepObject")]},
            "n",
            f'spec.http.headers[0].style: style DeepObject sends "n" {SEVERAL}',
        ),
        (
            {"headers": [entry("X-A", argument="list", style="Repeat")]},
            "list",
            f'spec.http.headers[0].style: style Repeat sends "list" {SEVERAL}',
        ),
        (
            {"query": [entry(argument="idd")]},
            "id",
            'spec.http.query[0].argument: "idd" is not declared in spec.inputSchema; did you mean "id"?',
        ),
        (
            {"headers": [entry("X-A", argument="/zzz/a")]},
            "id",
            (
                'spec.http.headers[0].argument: "/zzz/a" is not declared in spec.inputSchema; declare it '
                "there or remove it"
            ),
        ),
    ],
)
def test_an_entry_that_cannot_carry_its_argument(http: dict[str, Any], name: str, line: str) -> None:
    assert mapped(http, name) == [f"error InvalidMapping: {line}"]


def test_the_path_and_the_body_are_proven_at_their_fields() -> None:
    http = {"path": "/{n}/..", "body": {"mode": "Fields"}}
    assert mapped(http, "n", method="POST") == [
        'error UnsafePath: spec.http.path: path segment ".." resolves to another path; write the resolved path',
        (
            'error InvalidMapping: spec.http.path: "n" is optional but used in the path; make it '
            "required or give it a default"
        ),
        "error InvalidMapping: spec.http.body.fields: mode Fields requires fields; add one or use mode Arguments",
    ]


@pytest.mark.parametrize(
    ("method", "http", "names", "leftover"),
    [
        pytest.param("POST", {"body": {"mode": "None"}}, ["thing"], "query", id="an object in the query"),
        pytest.param("GET", {}, ["thing"], "query", id="an object in the query of a GET"),
        pytest.param(
            "POST", {"body": {"mode": "Argument", "argument": "id"}}, ["id", "n"], "nowhere", id="beside one argument"
        ),
        pytest.param(
            "POST",
            {"path": "/{id}", "body": {"mode": "Fields", "fields": [entry("f", argument="list")]}},
            ["id", "list", "n"],
            "nowhere",
            id="beside fields",
        ),
    ],
)
def test_an_argument_that_goes_nowhere(method: str, http: dict[str, Any], names: list[str], leftover: str) -> None:
    name = names[-1]
    expected = {
        "query": (
            f'error InvalidMapping: spec.http: "{name}" can be an object, which the query cannot '
            "carry by default; add a query entry with style DeepObject or Json, or give it a scalar "
            "type"
        ),
        "nowhere": (
            f'error UnmappedArgument: spec.http: "{name}" is declared in spec.inputSchema but never '
            "sent to the backend; map it or remove it"
        ),
    }
    assert mapped(http, *names, method=method) == [expected[leftover]]


def test_without_a_mapping_of_its_own_a_tool_is_told_and_not_refused() -> None:
    (finding,) = mapping.invalid_mapping(tool(method="GET", inputSchema=taking(thing={"type": "object"})))
    assert (finding.level, finding.subject, finding.field_path) == (Level.WARNING, ("leftover", "thing"), "spec.http")


@pytest.mark.parametrize(
    ("method", "http"),
    [
        ("POST", {"body": {"mode": "Argument", "argument": "/thing/a"}}),
        ("POST", {"body": {"mode": "Fields", "fields": [entry("f", argument="/thing/a")]}}),
        ("POST", {"query": [entry(argument="/thing/a", style="Json")], "body": {"mode": "None"}}),
        ("POST", {"headers": [entry("X-A", argument="/thing/a", style="Json")], "body": {"mode": "None"}}),
    ],
)
def test_a_part_of_an_argument_uses_it(method: str, http: dict[str, Any]) -> None:
    schema = taking(thing={"type": "object", "properties": {"a": {"type": "string"}}})
    assert lines(tool(method=method, inputSchema=schema, http=http)) == []


def test_the_argument_of_the_page_size_is_used() -> None:
    pages = {"parameter": "p", "nextLink": True, "sizeArgument": "n", "sizeParameter": "limit"}
    body = {"mode": "Argument", "argument": "id"}
    assert mapped({"pagination": pages, "body": body}, "id", "n", method="POST") == []


def paged(**fields: Any) -> dict[str, Any]:
    return {"pagination": {"parameter": "page", "nextLink": True, **fields}}


@pytest.mark.parametrize(
    ("http", "line"),
    [
        (
            paged(cursorArgument="id"),
            'cursorArgument: "id" is already declared in spec.inputSchema; set cursorArgument to an unused name',
        ),
        (
            paged(sizeArgument="nn", sizeParameter="s"),
            'sizeArgument: "nn" is not declared in spec.inputSchema; declare it there with type integer',
        ),
        (
            paged(sizeArgument="id", sizeParameter="s"),
            'sizeArgument: "id" must be an integer or number in spec.inputSchema; declare it there with type integer',
        ),
        (
            paged(maxSize=5),
            "maxSize: maxSize requires sizeArgument; set sizeArgument and sizeParameter, or remove maxSize",
        ),
        (
            {"query": [entry("page", argument="id")], **paged()},
            'parameter: query parameter "page" is also set in spec.http.query; remove one of the two',
        ),
        (
            {"query": [entry("s", argument="id")], **paged(sizeArgument="n", sizeParameter="s")},
            'sizeParameter: query parameter "s" is also set in spec.http.query; remove one of the two',
        ),
        (
            paged(sizeArgument="n", sizeParameter="page"),
            'sizeParameter: parameter and sizeParameter are both "page"; change one of the two',
        ),
    ],
)
def test_pages(http: dict[str, Any], line: str) -> None:
    assert mapped(http, "id", "n") == [f"error InvalidMapping: spec.http.pagination.{line}"]


@pytest.mark.parametrize(
    "http",
    [
        paged(),
        paged(sizeArgument="n", sizeParameter="s", maxSize=5),
        {"query": [entry("q", argument="id")], **paged()},
    ],
)
def test_pages_that_can_be_read(http: dict[str, Any]) -> None:
    assert mapped(http, "id", "n") == []


def test_a_page_size_may_be_any_number() -> None:
    schema = taking(n={"type": "number"})
    http = paged(sizeArgument="n", sizeParameter="s")
    assert lines(tool(method="GET", inputSchema=schema, http=http)) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/v1", 'service.path "/v1" is ignored when spec.mcp is set; move it to spec.mcp.path'),
        ("/", None),
    ],
)
def test_a_tool_of_another_server_has_one_path(path: str, line: str | None) -> None:
    item = tool(mcp={}, service={**SERVICE, "path": path}, inputSchema=taking(thing={"type": "object"}))
    assert lines(item) == ([f"error InvalidMapping: spec.service.path: {line}"] if line else [])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1", []),
        (
            "/{a}/{b}{a}",
            [
                (
                    'error InvalidMapping: spec.service.path: placeholder "{a}" is not substituted in '
                    "service.path; move it to spec.http.path"
                ),
                (
                    'error InvalidMapping: spec.service.path: placeholder "{b}" is not substituted in '
                    "service.path; move it to spec.http.path"
                ),
            ],
        ),
        (
            "/v1/../admin",
            [
                (
                    'error UnsafePath: spec.service.path: path segment ".." resolves to another path; write '
                    "the resolved path"
                )
            ],
        ),
    ],
)
def test_the_path_of_a_service_is_taken_as_it_is(path: str, expected: list[str]) -> None:
    service = {**SERVICE, "path": path}
    assert lines(tool(service=service)) == expected
    assert lines(resource(uri="urn:a", http={}, service=service)) == expected


@pytest.mark.parametrize(
    ("http", "template", "expected"),
    [
        ({}, None, []),
        ({"path": "/{sku}"}, "shop://{sku}{?q}", []),
        (
            {"path": "/{sku}"},
            None,
            [
                (
                    'error UndeclaredPlaceholder: spec.http.path: placeholder "{sku}" is not declared in '
                    "spec.uriTemplate; declare it there or remove it"
                )
            ],
        ),
        (
            {"path": "/{q}"},
            "shop://{sku}{?q}",
            [
                (
                    'error InvalidMapping: spec.http.path: "q" is optional but used in the path; make it '
                    "required or give it a default"
                )
            ],
        ),
        ({"body": {"mode": "None"}}, "shop://{sku}", []),
        (
            {"body": {"mode": "Arguments"}},
            "shop://{sku}",
            [
                (
                    "error InvalidMapping: spec.http.body.mode: a GET request has no body; set mode to None "
                    "or change spec.method"
                )
            ],
        ),
        ({"path": "/{b}"}, "shop://{a", []),
        (
            {"pagination": {"parameter": "p", "nextLink": True}},
            None,
            [
                (
                    "error InvalidMapping: spec.http.pagination: MCPResource does not support pagination; "
                    "remove it or use an MCPTool"
                )
            ],
        ),
    ],
)
def test_a_resource_that_a_get_answers(http: dict[str, Any], template: str | None, expected: list[str]) -> None:
    assert read(http, template) == expected


def test_what_has_no_mapping_is_not_proven() -> None:
    for item in (prompt(), server(), resource(content={"uri": "urn:a", "text": ""})):
        assert lines(item) == []


def test_faults_of_two_paths_are_told_apart() -> None:
    item = tool(service={**SERVICE, "path": "/.."}, http={"path": "/.."})
    assert [finding.subject for finding in mapping.invalid_mapping(item)] == [("path", ".."), ("service", "..")]


ROWS = {"type": "array", "items": {"type": "object"}}
ITEMS = "which style {0} sends as JSON text; use style Json for the whole argument, or give the items a scalar type"


@pytest.mark.parametrize(
    ("node", "style", "name", "what"),
    [
        (ROWS, "Repeat", "rows", "objects"),
        ({"type": "array", "items": {"type": ["array", "object"]}}, "Comma", "rows", "arrays or objects"),
        ({"type": "object", "properties": {"in": ROWS}}, "DeepObject", "rows.in", "objects"),
    ],
)
def test_items_that_a_style_has_no_notation_for_are_a_warning(node: Any, style: str, name: str, what: str) -> None:
    item = tool(method="GET", inputSchema=taking(rows=node), http={"query": [entry(argument="rows", style=style)]})

    assert lines(item) == [
        f'warning InvalidMapping: spec.http.query[0]: items of "{name}" can be {what}, {ITEMS.format(style)}'
    ]
    assert [each.subject for each in mapping.invalid_mapping(item)] == [("spec", "http", "query", "0", "items", name)]


@pytest.mark.parametrize(
    ("node", "style"),
    [
        (ROWS, "Json"),
        ({"type": "array", "items": {"type": "string"}}, "Repeat"),
        ({"type": "array"}, "Repeat"),
        (
            {"type": "object", "properties": {"at": {"type": "object"}, "in": {"items": {"type": "string"}}}},
            "DeepObject",
        ),
    ],
)
def test_a_style_that_has_a_notation_for_every_item(node: Any, style: str) -> None:
    item = tool(method="GET", inputSchema=taking(rows=node), http={"query": [entry(argument="rows", style=style)]})

    assert lines(item) == []


def test_arguments_without_an_entry_are_proven_down_to_their_items() -> None:
    item = tool(method="GET", inputSchema=taking(rows=ROWS, **{"a/b": ROWS}))

    assert lines(item) == [
        f'warning InvalidMapping: spec.http: items of "{name}" can be objects, {ITEMS.format("Repeat")}'
        for name in ("rows", "a~1b")
    ]


def test_a_path_needs_a_default_that_is_valid() -> None:
    wrong, right = (taking(id={"type": "integer", "default": value}) for value in ("x", 1))
    http = {"path": "/{id}"}

    assert lines(tool(method="GET", inputSchema=wrong, http=http)) == [
        (
            'error InvalidMapping: spec.http.path: the default of "id", which the path needs, is not valid by its '
            "schema; correct it"
        )
    ]
    assert lines(tool(method="GET", inputSchema=right, http=http)) == []


LIST = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("place", "node", "style", "value", "where"),
    [
        ("headers", {"type": "string", "default": "süd"}, "Repeat", "süd", "a header"),
        ("headers", {"enum": ["a", " b"]}, "Comma", " b", "a header"),
        ("headers", {**LIST, "default": ["a,b"]}, "Comma", "a,b", "a header"),
        ("query", {"type": "array", "items": {"enum": ["a", "a b"]}}, "Space", "a b", "a query"),
        ("query", {**LIST, "default": ["a|b"]}, "Pipe", "a|b", "a query"),
    ],
)
def test_a_string_that_a_style_cannot_send(place: str, node: Any, style: str, value: str, where: str) -> None:
    http = {place: [entry("X-A", argument="a", style=style)]}

    assert lines(tool(method="GET", inputSchema=taking(a=node), http=http)) == [
        (
            f'error InvalidMapping: spec.http.{place}[0].argument: "a" can be "{value}", which style {style} cannot '
            f"send in {where}; correct its default or enum, or use style Json"
        )
    ]


@pytest.mark.parametrize(
    ("place", "node", "style"),
    [
        ("headers", {"type": "string", "default": "süd"}, "Json"),
        ("headers", {"type": "array", "items": {"enum": ["a b", "c"]}}, "Comma"),
        ("query", {"type": "array", "items": {"enum": ["a,b", "süd"]}, "default": ["a,b", 1]}, "Comma"),
        ("query", {"type": "array", "items": {"enum": ["a,b", "a|b"]}}, "Space"),
    ],
)
def test_a_string_that_a_style_can_send(place: str, node: Any, style: str) -> None:
    http = {place: [entry("X-A", argument="a", style=style)]}

    assert lines(tool(method="GET", inputSchema=taking(a=node), http=http)) == []


def test_settings_of_replies_that_have_no_effect_on_mcp_are_refused() -> None:
    item = tool(mcp={}, response={"maxBytes": "1Mi", "onSchemaMismatch": "Observe"})
    assert lines(item) == []

    item = tool(mcp={}, response={"select": "/a", "format": "Json", "onTooLarge": "Truncate", "headers": ["X"],
                                  "expectStatus": ["404"]})  # fmt: skip
    fields = ("format", "select", "onTooLarge", "expectStatus", "headers")
    assert lines(item) == [
        f"error InvalidMapping: spec.response.{field}: response.{field} has no effect when spec.mcp is set; remove it"
        for field in fields
    ]
