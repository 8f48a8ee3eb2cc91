"""Breaches of the structural schema, and fields it does not have."""

from __future__ import annotations

from typing import Any

import pytest

from crd.rules import fields
from tests.crd.rules.documents import SERVICE, broken, told, tool

TOOL = {"service": SERVICE}


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("MCPTool", TOOL, []),
        ("MCPTool", None, ["InvalidField: spec: spec is missing; add it"]),
        (
            "MCPTool",
            {**TOOL, "name": "a b", "method": "get"},
            [
                'InvalidName: spec.name: "a b" is not allowed; use letters, digits, "_", "." and "-"',
                'InvalidField: spec.method: "get" is not allowed; use GET, POST, PUT, PATCH or DELETE',
            ],
        ),
        (
            "MCPServer",
            {"toolSelector": {}, "sessions": {"mode": "Redis"}},
            [
                (
                    "RedisRequired: spec: sessions.mode Redis needs spec.redis; name the Redis Service in "
                    "spec.redis.serviceName"
                )
            ],
        ),
        (
            "MCPResource",
            {},
            ["InvalidContent: spec: a resource holds exactly one of content, operations and http; remove or add one"],
        ),
        (
            "MCPPrompt",
            {"template": "t", "variables": [{"name": "a"}, {"name": "a"}]},
            [
                (
                    'DuplicateEntry: spec.variables[1]: an entry before this one has name "a" too; remove one of them '
                    "or change it"
                )
            ],
        ),
        (
            "MCPResource",
            {"content": {"uri": "a", "text": ""}},
            [
                (
                    'InvalidURI: spec.content.uri: "a" is not allowed; use a scheme, a colon and printable ASCII '
                    "without spaces, such as shop://policy; write other characters as %XX"
                )
            ],
        ),
        (
            "MCPTool",
            {**TOOL, "http": {"path": "a"}},
            [
                (
                    'InvalidMapping: spec.http.path: "a" is not allowed; use segments that each start with "/", of '
                    "ASCII letters, digits, %XX and {argument}s"
                )
            ],
        ),
        (
            "MCPServer",
            {"toolSelector": {}, "autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
            [
                (
                    "InvalidField: spec.autoscaling.maxReplicas: maxReplicas is below minReplicas; raise it, or lower "
                    "minReplicas"
                )
            ],
        ),
    ],
)
def test_what_keeps_a_spec_from_being_read(kind: str, spec: Any, expected: list[str]) -> None:
    assert told(fields.invalid_fields(broken(kind, spec))) == [f"error {line}" for line in expected]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (tool(), []),
        (
            tool(inputschema={}),
            [('spec.inputschema: the schema of MCPTool has no field "inputschema"; did you mean "inputSchema"?')],
        ),
        (tool(zzz=1), ['spec.zzz: the schema of MCPTool has no field "zzz"; remove it']),
        (
            broken("MCPPrompt", {"variables": [{"nmae": "a"}]}),
            ['spec.variables[0].nmae: the schema of MCPPrompt has no field "nmae"; did you mean "name"?'],
        ),
    ],
)
def test_fields_that_there_are_not(item: Any, expected: list[str]) -> None:
    assert told(fields.unknown_fields(item)) == [f"error UnknownField: {line}" for line in expected]
