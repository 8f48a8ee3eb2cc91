"""Breaches of the structural schema, and fields it does not have."""

from __future__ import annotations

from typing import Any

import pytest

from crd.models.patterns import DURATION, MEANINGS
from crd.rules import fields
from tests.crd.rules.documents import SERVICE, broken, findings_of, tool

TOOL = {"service": SERVICE}


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("MCPTool", TOOL, []),
        ("MCPTool", None, ['InvalidField: spec: required field "spec" is missing; add it']),
        (
            "MCPTool",
            {**TOOL, "name": "a b", "method": "get"},
            [
                'InvalidName: spec.name: must be a name of letters, digits, "_", "." and "-", got "a b"',
                'InvalidField: spec.method: must be GET, POST, PUT, PATCH or DELETE, got "get"',
            ],
        ),
        *(
            (
                "MCPTool",
                {**TOOL, "timeout": value},
                [
                    f"InvalidField: spec.timeout: must be {MEANINGS[DURATION]}, got {text}",
                ],
            )
            for value, text in ((5, "5"), ("5", '"5"'), ("55", '"55"'))
        ),
        (
            "MCPServer",
            {"toolSelector": {}, "sessions": {"mode": "Redis"}},
            ["RedisRequired: spec: sessions.mode Redis requires spec.redis; set spec.redis.serviceName"],
        ),
        (
            "MCPResource",
            {},
            ["InvalidContent: spec: set exactly one of content, operations and http"],
        ),
        (
            "MCPPrompt",
            {"template": "t", "variables": [{"name": "a"}, {"name": "a"}]},
            [
                (
                    'DuplicateEntry: spec.variables[1]: an earlier entry also has name "a"; remove or change '
                    "one of the two"
                )
            ],
        ),
        (
            "MCPResource",
            {"content": {"uri": "a", "text": ""}},
            [
                (
                    "InvalidURI: spec.content.uri: must be a URI such as shop://policy that encodes spaces "
                    'and non-ASCII characters as %XX, got "a"'
                )
            ],
        ),
        (
            "MCPTool",
            {**TOOL, "http": {"path": "a"}},
            [
                (
                    "InvalidMapping: spec.http.path: must be a path such as /orders/{id}, of ASCII letters, "
                    'digits, %XX and {argument}s, got "a"'
                )
            ],
        ),
        (
            "MCPServer",
            {"toolSelector": {}, "autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
            [
                (
                    "InvalidField: spec.autoscaling.maxReplicas: maxReplicas must be ≥ minReplicas; raise it "
                    "or lower minReplicas"
                )
            ],
        ),
    ],
)
def test_what_keeps_a_spec_from_being_read(kind: str, spec: Any, expected: list[str]) -> None:
    assert findings_of(fields.invalid_fields(broken(kind, spec))) == [f"error {line}" for line in expected]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (tool(), []),
        (
            tool(inputschema={}),
            ['spec.inputschema: unknown field "inputschema"; did you mean "inputSchema"?'],
        ),
        (tool(zzz=1), ['spec.zzz: unknown field "zzz"; remove it']),
        (
            broken("MCPServer", {"toolSelector": {"app": "shop"}}),
            ['spec.toolSelector.app: unknown field "app"; write labels as matchLabels: {app: shop}'],
        ),
        (
            broken("MCPPrompt", {"variables": [{"nmae": "a"}]}),
            ['spec.variables[0].nmae: unknown field "nmae"; did you mean "name"?'],
        ),
    ],
)
def test_fields_that_there_are_not(item: Any, expected: list[str]) -> None:
    assert findings_of(fields.unknown_fields(item)) == [f"error UnknownField: {line}" for line in expected]
