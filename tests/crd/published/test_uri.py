"""URIs (RFC 3986) and the templates (RFC 6570) that resources are served at."""

from __future__ import annotations

import pytest

from crd.published import uri
from crd.published.uri import UriTemplate

NO_SCHEME = "it has no scheme; start it with one, such as shop://policy"
NOTHING = "nothing follows the scheme; add the rest"
PERCENT = '"%" must be followed by two hexadecimal digits; encode it as %25'


def foreign(character: str) -> str:
    return f'character "{character}" is not allowed; encode it as %XX'


@pytest.mark.parametrize(
    "text",
    ["a:b", "A+.-9:b", "shop://a/b?c=d#e", "x:%2F%aF", "x:!$&'()*+,;=:@/?#[]-._~", "urn:isbn:0451450523"],
)
def test_a_uri(text: str) -> None:
    assert uri.find_fault(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", NO_SCHEME),
        ("a", NO_SCHEME),
        ("/a", NO_SCHEME),
        (":a", NO_SCHEME),
        ("1a:b", NO_SCHEME),
        ("a_b:c", NO_SCHEME),
        ("a:", NOTHING),
        ("a:b c", foreign(" ")),
        ("a:\u00fc", foreign("\u00fc")),
        ("a:{b}", foreign("{")),
        ("a:<", foreign("<")),
        ("a:%", PERCENT),
        ("a:%2", PERCENT),
        ("a:%2g", PERCENT),
        ("a:%g2", PERCENT),
        ("a:b\n", foreign("\n")),
    ],
)
def test_what_is_no_uri(text: str, fault: str) -> None:
    assert uri.find_fault(text) == fault


@pytest.mark.parametrize(
    ("template", "path", "query"),
    [
        ("a:b", (), ()),
        ("a:{b}", ("b",), ()),
        ("shop://{a}/{+b}", ("a", "b"), ()),
        ("shop://{a}{b_1}/x-{_c-d}", ("a", "b_1", "_c-d"), ()),
        ("shop://{a}{?b,c}", ("a",), ("b", "c")),
        ("shop://x{?b}", (), ("b",)),
    ],
)
def test_the_variables_of_a_template(template: str, path: tuple[str, ...], query: tuple[str, ...]) -> None:
    parsed = uri.parse(template)
    assert parsed == UriTemplate(path, query)
    assert isinstance(parsed, UriTemplate)
    assert parsed.variables == (*path, *query)


END = "{?…} must be at the end; move it there"


def no_variable(expression: str) -> str:
    return f'"{expression}" is not a supported expression; use {{name}}, {{+name}} or, at the end, {{?a,b}}'


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("a:{}", no_variable("{}")),
        ("a:{1}", no_variable("{1}")),
        ("a:{a b}", no_variable("{a b}")),
        ("a:{a,b}", no_variable("{a,b}")),
        ("a:{+a,b}", no_variable("{+a,b}")),
        ("a:{#a}", no_variable("{#a}")),
        ("a:{&a}", no_variable("{&a}")),
        ("a:{?}", no_variable("{?}")),
        ("a:{?a,}", no_variable("{?a,}")),
        ("a:{?a}{b}", END),
        ("a:{?a}{?b}", END),
        ("a:{?a}/b", END),
        ("{a}:b", "the scheme must not be a variable; write it out, such as shop://"),
        ("x{a}://b", "the scheme must not be a variable; write it out, such as shop://"),
        ("a:{b}{b}", 'variable "b" is used twice; rename one'),
        ("a:{b}{?b}", 'variable "b" is used twice; rename one'),
        ("a:{?b,b}", 'variable "b" is used twice; rename one'),
        ("a:{", 'a "{" or "}" is unbalanced; add the missing one or encode it as %7B or %7D'),
        ("a:b}", 'a "{" or "}" is unbalanced; add the missing one or encode it as %7B or %7D'),
        ("{a}", NO_SCHEME),
        ("a b:{a}", NO_SCHEME),
        ("a:{a}%", PERCENT),
        ("a: {a}", foreign(" ")),
    ],
)
def test_what_is_no_template(template: str, fault: str) -> None:
    assert uri.parse(template) == fault
