"""The header Link, as honest and as hostile backends send it."""

from __future__ import annotations

import pytest

from runtime.backends.http_mapping.links import find_target


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("<http://x/?page=2>; rel=next", "http://x/?page=2"),
        ('<a>; rel="prev", <b>;rel="next"', "b"),
        ('<a>; title="x, <y>; rel=next"; rel=prev, <b>; rel=next', "b"),
        (r'<a>; title="\", \\"; rel=next', "a"),
        ('<a,b;c>; rel="last NEXT first"', "a,b;c"),
        ("<a>; REL=next", "a"),
        ("<a>; rel=prev; rel=next", None),
        ("<a>; rel=nextt", None),
        ("<a>", None),
        ("", None),
        ("a; rel=next", None),
        ("<a; rel=next", None),
        ("<" * 8000, None),
        ("<>" * 4000, None),
        ("<a>;" + '"' * 7999 + "; rel=next", None),
        ("<a>" + "; rel" * 1600, None),
        (", " * 4000 + "<a>; rel=next", "a"),
        ("\ud800<a>; rel=next", None),
        ('<a>; rel = "next"', "a"),
        ("<a> ; rel=next", "a"),
        ("<a>; rel=next,<b>; rel=next", "a"),
        ("<a>; x=1; rel=next", "a"),
        ('<a>; rel="prev next"', "a"),
        ('<a>; title="<b>"; rel=next', "a"),
        ('<a">; rel=next', 'a"'),
        ("<a>b>; rel=next", "a"),
        (r'<a>; title="x\\"; rel=next', "a"),
        (r'<a>; title="x\"; rel=next"; rel=prev', None),
        ("<>; rel=next", ""),
        ("x<a>; rel=next, <b>; rel=next", "b"),
        ("<a>; relx=next", None),
        ("<a>; next", None),
    ],
)
def test_the_next_link(header: str, target: str | None) -> None:
    assert find_target(header, "next") == target


def test_another_relation_has_its_own_link() -> None:
    assert find_target("<a>; rel=next, <b>; rel=prev", "prev") == "b"
