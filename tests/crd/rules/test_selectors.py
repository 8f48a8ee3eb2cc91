"""Selectors: well formed, meant, and finding something."""

from __future__ import annotations

from typing import Any

import pytest

from crd.facts import MemberFact, ServerFact
from crd.finding import Level
from crd.ref import Kind, Ref
from crd.rules import selectors
from crd.selector import Operator, Requirement, Selector
from crd.snapshot import Snapshot
from tests.crd.rules.documents import broken, findings_of, read, tool

FIELDS = ("toolSelector", "promptSelector", "resourceSelector")
SOUND = {"matchLabels": {"app": "shop"}}


def server(field: str, selector: dict[str, Any]) -> Any:
    return read("MCPServer", {"toolSelector": SOUND, field: selector}, "main")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}, "matchExpressions": []}, {"selectAll": False}])
def test_a_selector_that_would_select_everything(field: str, selector: dict[str, Any]) -> None:
    assert findings_of(selectors.empty_selector(server(field, selector))) == [
        (
            f"error EmptySelector: spec.{field}: an empty selector would select every object in the "
            "namespace; add conditions or set selectAll: true"
        )
    ]


KEY = "is not a valid label key; use name or domain/name"
VALUE = 'is not a valid label value; use letters, digits, "-", "_" and "."'


def expression(operator: str, *values: str, key: str = "app") -> dict[str, Any]:
    sound = {"key": "app", "operator": "Exists"}
    return {"matchExpressions": [sound, {"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("selector", "line"),
    [
        *(
            ({"matchLabels": {key: "c"}}, f'matchLabels.{key}: "{key}" {KEY}')
            for key in (
                "a b",
                "-a",
                "a-",
                "a" * 64,
                "a/b/c",
                "/a",
                "a/",
                "A.com/a",
                "a..b/c",
                ".a/c",
                "a./c",
                "-a/c",
                "a-/c",
                "\u00fc",
            )
        ),
        *(
            ({"matchLabels": {"a": value}}, f'matchLabels.a: "{value}" {VALUE}')
            for value in ("b c", "-", "b-", ".b", "a/b", "\u00fc")
        ),
        (expression("In", "a", "-"), f'matchExpressions[1].values[1]: "-" {VALUE}'),
        (expression("NotIn", "b c"), f'matchExpressions[1].values[0]: "b c" {VALUE}'),
        (expression("Exists", key="-"), f'matchExpressions[1].key: "-" {KEY}'),
        (expression("In"), "matchExpressions[1].values: operator In requires at least one value; add one"),
        (expression("NotIn"), "matchExpressions[1].values: operator NotIn requires at least one value; add one"),
        (expression("Exists", "a"), "matchExpressions[1].values: operator Exists takes no values; remove them"),
        (
            expression("DoesNotExist", "a"),
            "matchExpressions[1].values: operator DoesNotExist takes no values; remove them",
        ),
        (
            {"selectAll": True, **SOUND},
            "selectAll: selectAll: true and conditions are mutually exclusive; remove one of the two",
        ),
        (
            {"selectAll": True, "matchExpressions": [{"key": "app", "operator": "Exists"}]},
            "selectAll: selectAll: true and conditions are mutually exclusive; remove one of the two",
        ),
    ],
)
def test_a_selector_that_is_none(field: str, selector: dict[str, Any], line: str) -> None:
    assert findings_of(selectors.invalid_selector(server(field, selector))) == [
        f"error InvalidSelector: spec.{field}.{line}"
    ]


LONGEST_PREFIX = ".".join(["a" * 63] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    "selector",
    [
        SOUND,
        {"selectAll": True},
        {"selectAll": False, **SOUND},
        {"matchLabels": {"a" * 63: "b" * 63, "A": "", "a.b-c/D_e.f-9": "X_y.z-0", "0": "0"}},
        {"matchLabels": {f"{LONGEST_PREFIX}/a": "b"}},
        expression("In", "a"),
        expression("NotIn", "a", ""),
        expression("Exists"),
        expression("DoesNotExist"),
    ],
)
def test_a_selector_that_says_what_it_means(selector: dict[str, Any]) -> None:
    for field in FIELDS:
        assert findings_of(selectors.invalid_selector(server(field, selector))) == []
        assert findings_of(selectors.empty_selector(server(field, selector))) == []


def test_the_prefix_of_a_key_has_253_characters_at_most() -> None:
    key = f"{LONGEST_PREFIX}a/a"
    assert len(LONGEST_PREFIX) == 253
    (line,) = findings_of(selectors.invalid_selector(server("toolSelector", {"matchLabels": {key: "b"}})))
    assert line == f'error InvalidSelector: spec.toolSelector.matchLabels.{key}: "{key}" {KEY}'


def test_what_is_no_server_selects_nothing() -> None:
    for item in (tool(), broken("MCPServer", {}, "main")):
        assert findings_of(selectors.empty_selector(item)) == []
        assert findings_of(selectors.invalid_selector(item)) == []


def selector(**labels: str) -> Selector:
    return Selector(tuple(Requirement(key, Operator.IN, frozenset({value})) for key, value in labels.items()))


def fact(selector: Selector, prompts: Selector | None = None, resources: Selector | None = None) -> ServerFact:
    return ServerFact(Ref(Kind.SERVER, "shop", "main"), selector, prompts, resources)


def member(kind: Kind, name: str = "a", namespace: str = "shop", **labels: str) -> MemberFact:
    return MemberFact(Ref(kind, namespace, name), labels, "", "", (), ())


def nothing(wanted: ServerFact, *members: MemberFact) -> list[str]:
    return findings_of(selectors.selects_nothing(Snapshot.of([wanted, *members]), wanted))


SHOP = selector(app="shop")
ALL = "MCPTool, MCPPrompt or MCPResource"
NOTHING = "warning SelectsNothing: spec.{0}: MCPServer shop/main selects no {1} in namespace shop; {2}"


@pytest.mark.parametrize("kind", [Kind.TOOL, Kind.PROMPT, Kind.RESOURCE])
def test_a_selector_of_all_kinds_finds_any_of_them(kind: Kind) -> None:
    assert nothing(fact(SHOP), member(kind, app="shop")) == []
    assert nothing(fact(SHOP), member(kind, namespace="other", app="shop")) == [
        NOTHING.format("toolSelector", ALL, "create one with matching labels")
    ]


@pytest.mark.parametrize(
    ("members", "repair"),
    [
        pytest.param([], "create one with matching labels", id="nothing there"),
        pytest.param([member(Kind.TOOL)], "create one with matching labels", id="nothing there with a label"),
        pytest.param(
            [
                member(Kind.TOOL, "a", app="store"),
                member(Kind.TOOL, "b", app="store"),
                member(Kind.PROMPT, "p", z="1", a="2", b="3"),
            ],
            "correct the selector (labels in use there: app=store, a=2, b=3)",
            id="the most frequent labels, then by name, three at most",
        ),
        pytest.param(
            [
                *(member(Kind.TOOL, f"t{n}", tier="web") for n in range(3)),
                member(Kind.RESOURCE, "r", app="shops", x="y"),
            ],
            "correct the selector (labels in use there: app=shops, tier=web, x=y)",
            id="the label that is most like the selected one comes first",
        ),
    ],
)
def test_a_selector_that_finds_nothing(members: list[MemberFact], repair: str) -> None:
    assert nothing(fact(SHOP), *members) == [NOTHING.format("toolSelector", ALL, repair)]


def test_a_selector_of_one_kind() -> None:
    prompts = fact(SHOP, prompts=selector(of="prompt"))
    assert nothing(prompts, member(Kind.TOOL, app="shop"), member(Kind.PROMPT, app="shop", of="promt")) == [
        NOTHING.format("promptSelector", "MCPPrompt", "correct the selector (labels in use there: of=promt, app=shop)")
    ]
    assert nothing(prompts, member(Kind.TOOL, app="shop"), member(Kind.PROMPT, of="prompt")) == []
    resources = fact(SHOP, resources=selector(of="resource"))
    assert nothing(resources, member(Kind.PROMPT, app="shop")) == [
        NOTHING.format("resourceSelector", "MCPResource", "create one with matching labels")
    ]
    assert nothing(resources, member(Kind.PROMPT, app="shop"), member(Kind.RESOURCE, of="resource")) == []


def test_a_tool_selector_stands_for_the_kinds_without_one_of_their_own() -> None:
    own = fact(SHOP, prompts=selector(of="prompt"))
    found = member(Kind.PROMPT, of="prompt")
    assert nothing(own, found) == [
        NOTHING.format("toolSelector", "MCPTool or MCPResource", "create one with matching labels")
    ]
    assert nothing(own, found, member(Kind.RESOURCE, app="shop")) == []
    both = fact(SHOP, selector(of="prompt"), selector(of="resource"))
    assert nothing(both, found, member(Kind.RESOURCE, of="resource")) == [
        NOTHING.format("toolSelector", "MCPTool", "create one with matching labels")
    ]
    assert nothing(both) == [
        NOTHING.format("toolSelector", "MCPTool", "create one with matching labels"),
        NOTHING.format("promptSelector", "MCPPrompt", "create one with matching labels"),
        NOTHING.format("resourceSelector", "MCPResource", "create one with matching labels"),
    ]


def test_labels_of_a_hundred_members_are_looked_at() -> None:
    members = [member(Kind.TOOL, f"t{n}", app="other") for n in range(150)]
    (found,) = selectors.selects_nothing(Snapshot.of([fact(SHOP), *members]), fact(SHOP))
    assert (found.level, found.message.rpartition("; ")[2]) == (
        Level.WARNING,
        "correct the selector (labels in use there: app=other)",
    )
