"""Placeholders in templates, and what stands in their places."""

from __future__ import annotations

import pytest

from crd.published import template


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("no placeholder", ()),
        ("{{a}} {{b}} {{a}}", ("a", "b")),
        ("{{ a }} and {{\ta\n}}", ("a",)),
        ("{{}}", ("",)),
        ("{a} {{a} {a}}", ()),
        ("{{{a}}}", ("a",)),
        ("{{a b}}", ("a b",)),
    ],
)
def test_the_names_in_a_template(text: str, names: tuple[str, ...]) -> None:
    assert template.placeholders(text) == names


@pytest.mark.parametrize(
    ("text", "values", "rendered"),
    [
        pytest.param("{{a}}-{{ a }}", {"a": "1"}, "1-1", id="every place of a name"),
        pytest.param("<{{a}}>", {}, "<>", id="no value is the empty text"),
        pytest.param("{{a}}", {"a": "{{b}}", "b": "secret"}, "{{b}}", id="a value is not read for placeholders"),
        pytest.param("{{a}}{{b}}", {"a": "{{", "b": "b}}"}, "{{b}}", id="nor are two values together"),
        pytest.param("{{a}}", {"a": r"\g<0> \1"}, r"\g<0> \1", id="a value is not a pattern"),
        pytest.param("{a}", {"a": "1"}, "{a}", id="single braces are text"),
    ],
)
def test_a_rendered_template(text: str, values: dict[str, str], rendered: str) -> None:
    assert template.render(text, values) == rendered
