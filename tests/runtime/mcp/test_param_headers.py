"""Headers that repeat arguments (``x-mcp-header``)."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.mcp import param_headers

SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
        "plain": {"type": "string", "x-mcp-header": 7},
        "any": True,
    },
}
DECLARED = param_headers.of_schema(SCHEMA)


def test_only_properties_declare_headers() -> None:
    assert [(m.header, m.path) for m in DECLARED] == [
        ("mcp-param-region", ("region",)),
        ("mcp-param-count", ("deep", "count")),
    ]
    endless: dict[str, Any] = {"x-mcp-header": "A"}
    for _ in range(40):
        endless = {"properties": {"a": endless}}
    assert param_headers.of_schema(endless) == ()


def test_a_client_sends_scalars_and_encodes_what_a_header_cannot_hold() -> None:
    arguments = {"region": "süd", "deep": {"count": 42}, "plain": "x"}

    sent = dict(param_headers.build(SCHEMA, arguments))

    assert sent == {"mcp-param-region": "=?base64?c8O8ZA==?=", "mcp-param-count": "42"}
    assert dict(param_headers.build(SCHEMA, {"deep": {"count": True}})) == {"mcp-param-count": "true"}
    assert dict(param_headers.build(SCHEMA, {"region": ["eu"]})) == {}


@pytest.mark.parametrize(
    ("arguments", "headers", "wrong"),
    [
        ({"region": "eu"}, {"mcp-param-region": [" eu\t"]}, None),
        ({"region": None}, {}, None),
        ({"region": "eu"}, {"mcp-param-region": ["eu", "eu"]}, None),
        ({"region": "eu"}, {"mcp-param-region": ["eu", "us"]}, "mcp-param-region"),
        ({"region": "ü"}, {"mcp-param-region": ["=?base64?w7w=?="]}, None),
        ({"region": "ü"}, {"mcp-param-region": ["=?base64?w7w?="]}, "mcp-param-region"),
        ({"region": "=?base64?="}, {"mcp-param-region": ["=?base64?="]}, None),
        ({"region": ["eu"]}, {"mcp-param-region": ["eu"]}, "mcp-param-region"),
        ({"deep": {"count": 42}}, {"mcp-param-count": ["42.0"]}, None),
        ({"deep": {"count": 42}}, {"mcp-param-count": ["4_2"]}, "mcp-param-count"),
        ({"deep": {"count": True}}, {"mcp-param-count": ["true"]}, None),
        ({"deep": {"count": False}}, {"mcp-param-count": ["False"]}, "mcp-param-count"),
        ({"deep": 7}, {}, None),
        ({}, {"mcp-param-unknown": ["x"]}, None),
    ],
)
def test_a_header_must_equal_its_argument(
    arguments: dict[str, Any], headers: dict[str, list[str]], wrong: str | None
) -> None:
    assert param_headers.find_mismatch(DECLARED, arguments, headers) == wrong
