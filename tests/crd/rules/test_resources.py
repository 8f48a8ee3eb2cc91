"""URIs, URI templates, and the operations of a resource."""

from __future__ import annotations

from typing import Any

import pytest

from crd.rules import resources
from tests.crd.rules.documents import SERVICE, findings_of, operations, prompt, resource, tool


def uris(item: Any) -> list[str]:
    return findings_of(resources.invalid_uris(item))


def read(**place: str) -> Any:
    return resource(**place, service=SERVICE, http={})


@pytest.mark.parametrize(
    "item",
    [
        read(uri="shop://a?b#c"),
        read(uri="urn:isbn:0451450523"),
        read(uri="x:%C3%BC"),
        resource(content={"uri": "shop://a", "text": ""}),
        read(uriTemplate="shop://{a}/{+b}{?c,d}"),
        operations({"uriTemplate": "shop://fixed"}, {"ingressPath": "/b"}),
        tool(),
        prompt(),
    ],
)
def test_a_sound_uri(item: Any) -> None:
    assert uris(item) == []


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (
            read(uri='shop:"a"'),
            'InvalidURI: spec.uri: "shop:"a"" is not a valid URI: character """ is not allowed; encode it as %XX',
        ),
        (
            resource(content={"uri": "shop:%zz", "text": ""}),
            (
                'InvalidURI: spec.content.uri: "shop:%zz" is not a valid URI: "%" must be followed by two '
                "hexadecimal digits; encode it as %25"
            ),
        ),
        (
            read(uriTemplate="{a}"),
            (
                'InvalidURITemplate: spec.uriTemplate: "{a}" is not a valid URI template: it has no '
                "scheme; start it with one, such as shop://policy"
            ),
        ),
        (
            read(uriTemplate="shop://a"),
            'InvalidURITemplate: spec.uriTemplate: "shop://a" has no variables; use spec.uri instead',
        ),
        (
            operations({}, {"ingressPath": "/b", "uriTemplate": "shop://{"}),
            (
                'InvalidURITemplate: spec.operations[1].uriTemplate: "shop://{" is not a valid URI '
                'template: a "{" or "}" is unbalanced; add the missing one or encode it as %7B or %7D'
            ),
        ),
    ],
)
def test_what_is_no_uri(item: Any, line: str) -> None:
    assert uris(item) == [f"error {line}"]


def faults(*listed: dict[str, Any]) -> list[str]:
    return findings_of(resources.invalid_operations(operations(*listed)))


def parameter(name: str, place: str = "path", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, **more}


def called(path: str) -> dict[str, Any]:
    return {**SERVICE, "path": path}


@pytest.mark.parametrize(
    "operation",
    [
        {},
        {"ingressPath": "/{a}", "service": called("/{a}"), "parameters": [parameter("a")]},
        {"ingressPath": "/{a}", "service": called("/x/{a}/y"), "parameters": [parameter("a"), parameter("q", "query")]},
        {"parameters": [parameter("q", "query", required=True), parameter("h", "header", required=True)]},
        {
            "ingressPath": "/{a}",
            "service": called("/{a}"),
            "parameters": [parameter("a"), parameter("q", "query")],
            "uriTemplate": "shop://{a}",
        },
        {
            "parameters": [parameter("q", "query", required=True), parameter("r", "query")],
            "uriTemplate": "shop://{q}",
        },
        {
            "method": "PUT",
            "parameters": [parameter("q", "query", required=True)],
            "uriTemplate": "shop://{unheard}",
        },
        {"uriTemplate": "shop://{"},
    ],
)
def test_a_sound_operation(operation: dict[str, Any]) -> None:
    assert faults(operation) == []


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (
            {"ingressPath": "/{a}"},
            [
                (
                    'UndeclaredPlaceholder: spec.operations[1].ingressPath: placeholder "{a}" is not '
                    "declared in parameters; declare it there with in: path"
                )
            ],
        ),
        (
            {"service": called("/{a}"), "parameters": [parameter("a", "query")]},
            [
                (
                    'UndeclaredPlaceholder: spec.operations[1].service.path: placeholder "{a}" is not '
                    "declared in parameters; declare it there with in: path"
                )
            ],
        ),
        (
            {"service": called("/../{a}{b}"), "ingressPath": "/../{a}{b}", "parameters": [parameter(n) for n in "ab"]},
            [
                (
                    'UnsafePath: spec.operations[1].service.path: path segment ".." resolves to another '
                    "path; write the resolved path"
                ),
                (
                    'UnsafePath: spec.operations[1].service.path: path segment "{a}{b}" has two adjacent '
                    "placeholders, whose values cannot be separated; put text between them"
                ),
            ],
        ),
        (
            {"ingressPath": "/{a}", "parameters": [parameter("a")]},
            [
                (
                    'UnmappedArgument: spec.operations[1].parameters[0]: "a" is never sent; use {a} in '
                    "service.path or remove it"
                )
            ],
        ),
        (
            {"service": called("/{a}"), "parameters": [parameter("q", "query"), parameter("a")]},
            ['UnmappedArgument: spec.operations[1].parameters[1]: callers cannot set "a"; use {a} in ingressPath'],
        ),
        (
            {
                "ingressPath": "/{a}",
                "service": called("/{a}"),
                "parameters": [parameter("a")],
                "uriTemplate": "shop://x",
            },
            [
                (
                    'InvalidURITemplate: spec.operations[1].uriTemplate: uriTemplate "shop://x" lacks the '
                    'required "a"; add {a}'
                )
            ],
        ),
        (
            {"parameters": [parameter("q", "query", required=True)], "uriTemplate": "shop://x"},
            [
                (
                    'InvalidURITemplate: spec.operations[1].uriTemplate: uriTemplate "shop://x" lacks the '
                    'required "q"; add {q}'
                )
            ],
        ),
        (
            {"uriTemplate": "shop://{b}{?a}"},
            [
                (
                    f'UndeclaredPlaceholder: spec.operations[1].uriTemplate: placeholder "{{{name}}}" is not '
                    "declared in parameters; declare it there or remove it"
                )
                for name in ("a", "b")
            ],
        ),
    ],
)
def test_what_nobody_can_give_or_nothing_takes(operation: dict[str, Any], expected: list[str]) -> None:
    assert faults({}, {"ingressPath": "/b", **operation}) == [f"error {line}" for line in expected]


def test_what_has_no_operations_has_none_to_be_wrong() -> None:
    for item in (tool(), resource(content={"uri": "urn:a", "text": ""})):
        assert findings_of(resources.invalid_operations(item)) == []


def test_one_placeholder_at_two_fields_is_two_findings() -> None:
    found = resources.invalid_operations(operations({"ingressPath": "/{a}", "service": called("/{a}")}))
    assert [finding.subject for finding in found] == [
        ("spec", "operations", "0", "ingressPath", "a"),
        ("spec", "operations", "0", "service", "path", "a"),
    ]
