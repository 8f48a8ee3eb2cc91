"""The placeholders of a prompt and its variables are the same."""

from __future__ import annotations

from typing import Any

import pytest

from crd.rules import prompts
from tests.crd.rules.documents import broken, findings_of, prompt, server, tool


def variables(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def several(*texts: str, declared: tuple[str, ...] = ()) -> Any:
    return broken(
        "MCPPrompt",
        {
            "messages": [*({"text": text} for text in texts), {"resource": {"uri": "urn:a"}}],
            "variables": variables(*declared),
        },
    )


def undeclared(place: str, name: str, repair: str) -> str:
    return (
        f'error UndeclaredPlaceholder: {place}: placeholder "{{{{{name}}}}}" is not declared in '
        f"spec.variables; {repair}"
    )


ADD = "declare it there or remove it"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (prompt("{{a}} {{ b }}", variables=variables("a", "b", "c")), []),
        (prompt("no placeholder"), []),
        (
            prompt("{{statis}} {{statis}}", variables=variables("status")),
            [undeclared("spec.template", "statis", 'did you mean "{{status}}"?')],
        ),
        (prompt("{{x}} {{y}}"), [undeclared("spec.template", name, ADD) for name in "xy"]),
        (prompt("{{}}"), [undeclared("spec.template", "", ADD)]),
        (prompt("{{Status}}", variables=variables("zzz")), [undeclared("spec.template", "Status", ADD)]),
        (several("{{a}}", "{{b}}", declared=("a",)), [undeclared("spec.messages[1].text", "b", ADD)]),
    ],
)
def test_a_placeholder_that_no_variable_fills(item: Any, expected: list[str]) -> None:
    assert findings_of(prompts.undeclared_placeholders(item)) == expected


def unused(index: int, name: str) -> str:
    return (
        f'warning UnusedVariable: spec.variables[{index}]: variable "{name}" is not used; use "{{{{{name}'
        '}}" or remove the variable'
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (prompt("{{a}} {{b}}", variables=variables("a", "b")), []),
        (prompt("{{a}}", variables=variables("a", "b", "c")), [unused(1, "b"), unused(2, "c")]),
        (prompt("t", variables=variables("a")), [unused(0, "a")]),
        (several("{{a}}", "{{b}}", declared=("b", "a", "c")), [unused(2, "c")]),
    ],
)
def test_a_variable_that_no_text_uses(item: Any, expected: list[str]) -> None:
    assert findings_of(prompts.unused_variables(item)) == expected


def test_each_is_told_by_its_name() -> None:
    (missing,) = prompts.undeclared_placeholders(prompt("{{x}}"))
    (extra,) = prompts.unused_variables(prompt("t", variables=variables("y")))
    assert (missing.subject, extra.subject) == (("x",), ("y",))


def test_what_is_no_prompt_has_no_placeholders() -> None:
    for item in (tool(description="{{x}}"), server(), broken("MCPPrompt", {})):
        assert findings_of(prompts.undeclared_placeholders(item)) == []
        assert findings_of(prompts.unused_variables(item)) == []
