"""Each rule by itself: what it finds, at which field, with which repair."""

from __future__ import annotations

from typing import Any

import pytest

from crd import footprint, integrity, manifest
from crd.catalog import Catalog
from crd.finding import Finding, Level, Reason
from crd.integrity import Change

SERVICE = {"name": "orders", "port": 80}
ORDERS = footprint.service_fact(
    {"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}
)


def raw(kind: str, name: str, spec: dict[str, Any], **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": spec,
    }


def found(document: dict[str, Any], *others: dict[str, Any]) -> list[Finding]:
    """What a new object breaks beside others, where the Service orders is."""
    facts = [fact for other in others if (fact := manifest.decode(other).fact)]
    item = manifest.decode(document)
    return list(integrity.judge(Catalog.of([ORDERS, *facts]), Change(item.ref, None, item)))


def lines(document: dict[str, Any], *others: dict[str, Any]) -> list[str]:
    return [str(finding) for finding in found(document, *others)]


def tool(name: str = "a", **spec: Any) -> dict[str, Any]:
    return raw("MCPTool", name, {"service": SERVICE, **spec}, app="shop")


def prompt(template: str, *variables: str) -> dict[str, Any]:
    return raw("MCPPrompt", "a", {"template": template, "variables": [{"name": name} for name in variables]})


def server(**selector: Any) -> dict[str, Any]:
    return raw("MCPServer", "main", {"toolSelector": selector})


def operations(*entries: dict[str, Any]) -> dict[str, Any]:
    return raw("MCPResource", "a", {"operations": [{"service": SERVICE, **entry} for entry in entries]}, app="shop")


def test_a_sound_object_breaks_nothing() -> None:
    assert found(tool()) == []


TYPES = "array, boolean, integer, null, number, object, string"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": True}}, [], id="ok"),
        pytest.param(
            {},
            [
                (
                    "InvalidSchema: spec.inputSchema.type: inputSchema has no type; arguments are an object, "
                    'so set type to "object"'
                )
            ],
            id="no type",
        ),
        pytest.param(
            {"type": "array"},
            [
                (
                    'InvalidSchema: spec.inputSchema.type: inputSchema has type "array"; arguments are an object, '
                    'so set type to "object"'
                )
            ],
            id="another root",
        ),
        pytest.param(
            {"type": "objekt"},
            [
                (
                    'InvalidSchema: spec.inputSchema.type: inputSchema has type "objekt"; arguments are an object, so '
                    'set type to "object"'
                )
            ],
            id="a root that is no type is told once",
        ),
        pytest.param(
            {"type": "object", "properties": {"n": {"type": "int"}}},
            [f'InvalidSchema: spec.inputSchema.properties.n.type: "int" is no JSON Schema type; use one of {TYPES}'],
            id="a type there is not",
        ),
        pytest.param(
            {"type": "object", "required": "n"},
            ['InvalidSchema: spec.inputSchema.required: "n" is not of type "array"; correct it (JSON Schema 2020-12)'],
            id="a member of a wrong type",
        ),
    ],
)
def test_the_schema_of_arguments(schema: dict[str, Any], expected: list[str]) -> None:
    assert lines(tool(inputSchema=schema)) == expected


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "properties": {"a": {"pattern": "("}}}, id="a pattern that is none"),
        pytest.param({"type": "object", "$ref": "https://example.com/schema"}, id="a reference to elsewhere"),
        pytest.param({"type": "object", "$ref": "#/$defs/missing"}, id="a reference to nothing"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: dict[str, Any]) -> None:
    (finding,) = found(tool(inputSchema=schema))
    assert finding.reason is Reason.INVALID_SCHEMA
    assert finding.path[:2] == ("spec", "inputSchema")


def test_a_wholly_broken_schema_gives_ten_findings() -> None:
    properties = {f"p{n}": {"type": "int"} for n in range(12)}
    assert len(found(tool(inputSchema={"type": "object", "properties": properties}))) == 10


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(prompt("{{a}} {{ b }}", "a", "b", "c"), [], id="all declared, one not used"),
        pytest.param(
            prompt("{{statis}} {{statis}}", "status"),
            [
                (
                    'UndeclaredPlaceholder: spec.template: the template uses "{{statis}}", which spec.variables does '
                    'not declare; did you mean "{{status}}"?'
                )
            ],
            id="a slip, told once",
        ),
        pytest.param(
            prompt("{{x}}"),
            [
                (
                    'UndeclaredPlaceholder: spec.template: the template uses "{{x}}", which spec.variables does not '
                    "declare; add it to spec.variables or remove it"
                )
            ],
            id="like none",
        ),
    ],
)
def test_placeholders(document: dict[str, Any], expected: list[str]) -> None:
    assert lines(document) == expected


def test_two_undeclared_placeholders_are_two_findings() -> None:
    assert {finding.subject for finding in found(prompt("{{x}} {{y}}"))} == {("x",), ("y",)}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            tool(inputschema={}),
            (
                'UnknownField: spec.inputschema: the schema of MCPTool has no field "inputschema"; '
                'did you mean "inputSchema"?'
            ),
        ),
        (tool(zzz=1), 'UnknownField: spec.zzz: the schema of MCPTool has no field "zzz"; remove it'),
    ],
)
def test_unknown_fields(document: dict[str, Any], expected: str) -> None:
    assert lines(document) == [expected]


def test_a_schema_of_any_depth_is_walked_past() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    assert [line.partition(";")[0] for line in lines(tool(inputSchema=schema))] == [
        "InvalidField: spec.inputSchema: the value is nested deeper than 200 levels"
    ]


def test_an_empty_selector_is_told_alone() -> None:
    assert lines(server()) == [
        (
            "EmptySelector: spec.toolSelector: an empty selector would serve every object of the namespace; name "
            "labels, or set selectAll: true"
        )
    ]


LABELLED = "is no label key, so nothing can carry it; write it as name or domain/name"
VALUED = 'is no label value, so nothing can carry it; use letters, digits, "-", "_" and "."'


def expression(operator: str, *values: str, key: str = "app") -> dict[str, Any]:
    return server(matchExpressions=[{"key": key, "operator": operator, "values": list(values)}])


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (server(matchLabels={"a b": "c"}), f'spec.toolSelector.matchLabels.a b: "a b" {LABELLED}'),
        (server(matchLabels={"a/b/c": "c"}), f'spec.toolSelector.matchLabels.a/b/c: "a/b/c" {LABELLED}'),
        (server(matchLabels={"/a": "c"}), f'spec.toolSelector.matchLabels./a: "/a" {LABELLED}'),
        (server(matchLabels={"A.com/a": "c"}), f'spec.toolSelector.matchLabels.A.com/a: "A.com/a" {LABELLED}'),
        (server(matchLabels={"a": "b c"}), f'spec.toolSelector.matchLabels.a: "b c" {VALUED}'),
        (expression("In", "a", "-"), f'spec.toolSelector.matchExpressions[0].values[1]: "-" {VALUED}'),
        (expression("Exists", key="-"), f'spec.toolSelector.matchExpressions[0].key: "-" {LABELLED}'),
        (
            expression("In"),
            "spec.toolSelector.matchExpressions[0].values: operator In needs at least one value; add one",
        ),
        (
            expression("NotIn"),
            "spec.toolSelector.matchExpressions[0].values: operator NotIn needs at least one value; add one",
        ),
        (
            expression("Exists", "a"),
            "spec.toolSelector.matchExpressions[0].values: operator Exists takes no values; remove them",
        ),
        (
            server(selectAll=True, matchLabels={"app": "shop"}),
            "spec.toolSelector.selectAll: selectAll: true stands beside conditions; remove one of the two",
        ),
    ],
)
def test_an_invalid_selector_is_told_alone(document: dict[str, Any], line: str) -> None:
    assert lines(document) == [f"InvalidSelector: {line}"]


@pytest.mark.parametrize(
    "document",
    [
        server(matchLabels={"app": "shop"}),
        server(matchLabels={"app": "shop", "example.com/tier": ""}, matchExpressions=[]),
        server(matchExpressions=[{"key": "app", "operator": "In", "values": ["shop", "A_b.c-9"]}]),
        server(selectAll=True),
    ],
)
def test_a_selector_that_finds_something(document: dict[str, Any]) -> None:
    there = raw("MCPPrompt", "p", {"template": "t"}, **{"app": "shop", "example.com/tier": ""})
    assert lines(document, there) == []


@pytest.mark.parametrize(
    ("others", "repair"),
    [
        pytest.param([], "there is no MCPTool, MCPPrompt or MCPResource yet", id="nothing there"),
        pytest.param(
            [tool("a"), tool("b"), raw("MCPPrompt", "p", {"template": "t"}, app="store", team="x", a="b")],
            "labels there: app=shop, a=b, app=store",
            id="the labels that are there, the most frequent first",
        ),
    ],
)
def test_a_selector_that_finds_nothing_only_warns(others: list[dict[str, Any]], repair: str) -> None:
    (finding,) = found(server(matchLabels={"app": "shp"}), *others)
    assert finding.level is Level.WARNING
    assert str(finding) == (
        f"SelectsNothing: spec.toolSelector: MCPServer shop/main selects nothing in namespace shop; {repair}"
    )


def test_a_missing_service_only_warns() -> None:
    (finding,) = found(tool(service={"name": "oders", "port": 80}))
    assert finding.level is Level.WARNING
    assert str(finding) == (
        "ServiceMissing: spec.service: Service shop/oders does not exist; calls fail until it does; create it, or "
        "correct spec.service"
    )


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            operations({"ingressPath": "/a"}, {"ingressPath": "/a", "method": "PUT"}), [], id="two methods of one path"
        ),
        pytest.param(
            operations({"ingressPath": "/a", "method": "PUT"}, {"ingressPath": "/a", "method": "PUT"}),
            [
                (
                    "DuplicateIngressPath: spec.operations[1].ingressPath: spec.operations[0].ingressPath already "
                    'serves "PUT /a"; change spec.operations[1].ingressPath, or remove the operation'
                )
            ],
            id="one method of one path",
        ),
        pytest.param(
            operations({"ingressPath": "/a"}, {"ingressPath": "/b", "uriTemplate": "mcp://a/a"}),
            [
                (
                    "DuplicateURI: spec.operations[1].uriTemplate: spec.operations[0].uriTemplate already serves "
                    '"mcp://a/a"; change spec.operations[1].uriTemplate, or remove the operation'
                )
            ],
            id="a URI that another operation has by default",
        ),
    ],
)
def test_one_object_serves_nothing_twice(document: dict[str, Any], expected: list[str]) -> None:
    assert lines(document) == expected
