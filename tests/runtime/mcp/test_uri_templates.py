"""Which URIs match a template, and the values of its variables."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("a://{x}-{y}", "a://1-2-3", {"x": "1-2", "y": "3"}),
        ("a://{x}{y}", "a://123", {"x": "12", "y": "3"}),
        ("a://{x}-{+y}", "a://1-2/3-4", {"x": "1", "y": "2/3-4"}),
        ("a://{x}-{y}", "a://1-", None),
    ],
)
def test_a_uri_is_matched_and_read(template: str, uri: str, values: dict[str, str] | None) -> None:
    assert uri_templates.match(template, uri) == values


def by_pattern(parts: list[str], uri: str) -> dict[str, str] | None:
    """The same by a regular expression, which may take exponentially longer."""
    pattern = "".join(
        f"(?P<{part.strip('{+}')}>{'[^?#]+' if '+' in part else '[^/?#]+'})" if part[0] == "{" else re.escape(part)
        for part in parts
    )
    found = re.fullmatch(pattern, uri, re.DOTALL)
    return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


@given(
    st.lists(st.sampled_from(["{a}", "{+b}", "{c}", "-", "/", "--", "x"]), max_size=7).filter(
        lambda parts: all(parts.count(part) < 2 for part in parts if part[0] == "{")
    ),
    st.text("-/x1?", max_size=12),
)
def test_it_matches_as_the_pattern_of_the_template_does(parts: list[str], rest: str) -> None:
    parts = ["u:", *parts]

    assert uri_templates.match("".join(parts), f"u:{rest}") == by_pattern(parts, f"u:{rest}")


@given(
    st.lists(st.sampled_from(["{a}", "{+b}", "{c}", "-", "/", "x"]), max_size=7).filter(
        lambda parts: all(parts.count(part) < 2 for part in parts if part[0] == "{")
    ),
    st.data(),
)
def test_a_filled_template_matches(parts: list[str], data: st.DataObject) -> None:
    parts = ["u:", *parts]
    uri = "".join(data.draw(st.text("-x1", min_size=1, max_size=4)) if part[0] == "{" else part for part in parts)

    found = uri_templates.match("".join(parts), uri)

    assert found is not None
    assert found == by_pattern(parts, uri)


def test_a_uri_is_matched_in_time_proportional_to_its_length() -> None:
    template = "a://" + "-".join(f"{{v{number}}}" for number in range(20))

    assert uri_templates.match(template, "a://" + "-" * 2000 + "/") is None


def test_a_uri_over_the_limit_matches_nothing() -> None:
    assert uri_templates.match("a://{x}", "a://" + "x" * (uri_templates.MAX_URI - 4)) is not None
    assert uri_templates.match("a://{x}", "a://" + "x" * uri_templates.MAX_URI) is None


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("a://{x}{?w}", "a://1?w=", {"x": "1", "w": ""}),
        ("a://{x}{?w}", "a://1?w=1&w=2", {"x": "1", "w": "2"}),
        ("a://{x}{?w}", "a://1?w=a%20b+c", {"x": "1", "w": "a b c"}),
        ("a://{x}{?XXXX}", "a://1", {"x": "1"}),
        ("a://{x}{?x}", "a://1?x=2", {"x": "1"}),
        ("a://{x}", "a://1?w=1", None),
        ("a://{+x}", "a://1?w=1", None),
        ("a://{x}{?w}", "a://1#f", None),
        ("a://b{?w}", "a://b?w=1?2", {"w": "1?2"}),
        ("a://b{?w}", "a://bb?w=1", None),
        ("a://{x}", "b://1", None),
        ("a://{x}/b", "a://1/b", {"x": "1"}),
        ("a://{x}/b", "a://1/bb", None),
        ("", "", {}),
        ("", "a", None),
    ],
)
def test_the_query_is_read_where_the_template_has_one(template: str, uri: str, values: dict[str, str] | None) -> None:
    assert uri_templates.match(template, uri) == values


def test_the_limit_is_on_what_is_matched() -> None:
    most = "a" * uri_templates.MAX_URI

    assert uri_templates.match("{x}", most) == {"x": most}
    assert uri_templates.match("{x}", most + "a") is None
    assert [uri_templates.is_template(uri) for uri in ("a:b", "a:{b}")] == [False, True]
