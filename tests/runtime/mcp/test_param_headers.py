"""Headers that repeat arguments (``x-mcp-header``)."""

from __future__ import annotations

from decimal import Decimal
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
        ({"deep": {"count": 42}}, {"mcp-param-count": ["-42"]}, "mcp-param-count"),
        ({"deep": {"count": -4.5}}, {"mcp-param-count": ["-4.50"]}, None),
        ({"deep": {"count": 42}}, {"mcp-param-count": ["42."]}, "mcp-param-count"),
        ({"deep": {"count": 42}}, {"mcp-param-count": ["4" * 401]}, "mcp-param-count"),
        ({"deep": {"count": int("4" * 400)}}, {"mcp-param-count": ["4" * 400]}, None),
        ({"deep": {"count": False}}, {"mcp-param-count": ["false"]}, None),
        ({"deep": {"count": True}}, {"mcp-param-count": ["1"]}, "mcp-param-count"),
        ({"deep": {"count": 1}}, {"mcp-param-count": ["true"]}, "mcp-param-count"),
        ({"region": None}, {"mcp-param-region": ["x"]}, "mcp-param-region"),
        ({"region": "eu", "deep": {"count": 1}}, {"mcp-param-region": ["eu"]}, "mcp-param-count"),
        ({"region": ""}, {"mcp-param-region": [""]}, None),
        ({"region": "eu"}, {"mcp-param-region": ["eu\x0b"]}, "mcp-param-region"),
        ({}, {"mcp-param-unknown": ["x"]}, None),
    ],
)
def test_a_header_must_equal_its_argument(
    arguments: dict[str, Any], headers: dict[str, list[str]], wrong: str | None
) -> None:
    assert param_headers.find_mismatch(DECLARED, arguments, headers) == wrong


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("eu", "eu"),
        ("a b", "a b"),
        (" a", "=?base64?IGE=?="),
        ("=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="),
        ("=?base64?", "=?base64?PT9iYXNlNjQ/?="),
        ("\n", "=?base64?Cg==?="),
    ],
)
def test_a_string_is_in_base64_if_a_header_cannot_hold_it(value: str, sent: str) -> None:
    assert (param_headers.encode(value), param_headers.decode(sent)) == (sent, value)
    assert param_headers.is_plain(sent) is (sent == value)


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("=?base64??=", ""),
        ("=?base64?=", "=?base64?="),
        ("=?base64?YQ==", "=?base64?YQ=="),
        ("YQ==?=", "YQ==?="),
        ("=?base64?Y Q==?=", None),
        ("=?base64?/w==?=", None),
    ],
)
def test_a_header_value_is_read(sent: str, value: str | None) -> None:
    assert param_headers.decode(sent) == value


def test_headers_of_deep_properties_are_declared_down_to_a_depth() -> None:
    node: dict[str, Any] = {"type": "string", "x-mcp-header": "Deep"}
    for _ in range(param_headers.MAX_DEPTH + 1):
        node = {"properties": {"a": node}}

    (found,) = param_headers.of_schema(node)
    assert (found.header, len(found.path)) == ("mcp-param-deep", param_headers.MAX_DEPTH + 1)
    assert param_headers.of_schema({"properties": {"a": node}}) == ()
    assert dict(param_headers.build({"properties": {"n": {"x-mcp-header": "N"}}}, {"n": Decimal("1.10")})) == {
        "mcp-param-n": "1.10"
    }
