"""Which URIs match a template, and the values of its variables."""

from __future__ import annotations

import pytest

from runtime.mcp import uri_templates


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("shop://a", "shop://a", {}),
        ("shop://a", "shop://b", None),
        ("mcp://stock/{sku}", "mcp://stock/a%20b", {"sku": "a b"}),
        ("mcp://stock/{sku}", "mcp://stock/a/b", None),
        ("mcp://stock/{sku}{?w,x}", "mcp://stock/a?w=1&z=2", {"sku": "a", "w": "1"}),
        ("mcp://stock/{sku}{?w}", "mcp://stock/a", {"sku": "a"}),
        ("mcp://{my-id}/x", "mcp://7/x", {"my-id": "7"}),
        ("docs://{+path}", "docs://a/b%20c", {"path": "a/b c"}),
        ("docs://{+path}{?v}", "docs://a/b?v=2", {"path": "a/b", "v": "2"}),
    ],
)
def test_a_uri_is_matched_and_read(template: str, uri: str, values: dict[str, str] | None) -> None:
    assert uri_templates.match(template, uri) == values
