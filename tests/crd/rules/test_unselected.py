"""Objects that no server selects, and the label that differs from the nearest selector."""

from __future__ import annotations

from typing import Any

import pytest

from crd import manifest
from crd.finding import Level, Reason
from crd.ref import Kind
from crd.rules import unselected
from crd.snapshot import Snapshot
from tests.integration.wholes import raw

APP = {"matchLabels": {"app": "shop"}}


def member(name: str = "a", kind: str = "MCPTool", namespace: str = "shop", **labels: str) -> manifest.Object:
    spec: dict[str, Any] = {"template": "Sum the day up."}
    if kind == "MCPTool":
        spec = {"service": {"name": "orders", "port": 80}, "description": "Does it."}
    document = raw(kind, spec, name)
    document["metadata"] |= {"namespace": namespace, "labels": labels}
    return manifest.decode(document)


def server(selector: dict[str, Any], name: str = "main", namespace: str = "shop", **spec: Any) -> manifest.Object:
    document = raw("MCPServer", {"toolSelector": selector, **spec}, name)
    document["metadata"]["namespace"] = namespace
    return manifest.decode(document)


SERVED = member("served", app="shop", role="x")


def said(*items: manifest.Object, unknown: bool = False) -> list[tuple[str, str, str]]:
    """Object, path and message of each finding."""
    snapshot = Snapshot.of(item.fact for item in items if item.fact is not None)
    found = [*unselected.unselected(snapshot.mark_unknown(Kind.SERVER) if unknown else snapshot, items)]
    assert {(each.reason, each.level) for each in found} <= {(Reason.NOT_SELECTED, Level.WARNING)}
    return [(str(each.ref), each.field_path, each.message) for each in found]


def only(*items: manifest.Object) -> tuple[str, str]:
    """Path and message of the only finding, without what each message has."""
    [(_, path, message)] = said(*items)
    begin, end = "no MCPServer selects it: ", "; correct one of the two"
    assert message.startswith(begin)
    assert message.endswith(end)
    return path, message.removeprefix(begin).removesuffix(end)


@pytest.mark.parametrize(
    ("labels", "path", "message"),
    [
        ({"app": "shopp"}, "metadata.labels.app", "its label app=shopp is not app=shop"),
        ({"app": "warehouse"}, "metadata.labels.app", "its label app=warehouse is not app=shop"),
        ({"ap": "shop"}, "metadata.labels.ap", "its label ap=shop is not app=shop"),
        ({"team": "x"}, "metadata", "it has no label app=shop"),
        ({}, "metadata", "it has no label app=shop"),
    ],
)
def test_the_label_that_differs(labels: dict[str, str], path: str, message: str) -> None:
    found = only(SERVED, server(APP), member(**labels))

    assert found == (path, f"{message}, which toolSelector of MCPServer shop/main demands")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"key": "app", "operator": "In", "values": ["a", "shop"]}, "it has no label app=a or app=shop"),
        (
            {"key": "app", "operator": "In", "values": ["a", "b", "c", "shop", "z"]},
            "it has no label app=a or app=b or app=c or 2 more values",
        ),
        ({"key": "role", "operator": "Exists"}, "it has no label role"),
    ],
)
def test_the_condition_of_a_selector(expression: dict[str, Any], message: str) -> None:
    found = only(SERVED, server({"matchExpressions": [expression]}), member(team="x"))

    assert found == ("metadata", f"{message}, which toolSelector of MCPServer shop/main demands")


def test_the_nearest_selector_is_named() -> None:
    two = server({"matchLabels": {"app": "shop", "role": "x"}}, "two")
    other = server({"matchLabels": {"app": "crm"}}, "crm")
    crm = member("crm", app="crm")

    assert "app=shop, which toolSelector of MCPServer shop/main" in only(SERVED, crm, server(APP), two, other,
                                                                         member(app="shopp"))[1]  # fmt: skip
    # It lacks one label of the one server, and two of the other.
    assert only(SERVED, crm, other, two, member(app="shop"))[1].startswith("it has no label role=x, which")


def test_the_selector_of_the_kind_is_named() -> None:
    prompts = {"matchLabels": {"app": "prompts"}}
    items = (SERVED, member("p", "MCPPrompt", app="prompts"), server(APP, promptSelector=prompts))

    assert only(*items, member("q", "MCPPrompt", app="prompt"))[1] == (
        "its label app=prompt is not app=prompts, which promptSelector of MCPServer shop/main demands"
    )


def test_a_server_in_another_namespace_selects_nothing_here() -> None:
    found = only(SERVED, server(APP), member(namespace="shopp", app="shop"))

    assert found[0] == "metadata.namespace"
    assert found[1].startswith("namespace shopp has none, and MCPServer shop/main, whose selector has its labels,")
    assert said(SERVED, server(APP), member(namespace="shopp", app="crm")) == []
    assert said(server({"selectAll": True}), member(namespace="shopp", app="crm")) == []


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([member()], id="no server"),
        pytest.param([SERVED, server(APP)], id="selected"),
        pytest.param([server({"selectAll": True}), member()], id="everything is selected"),
        pytest.param([server(APP), member(app="shopp")], id="the server selects nothing at all"),
        pytest.param(
            [SERVED, server({**APP, "matchExpressions": [{"key": "draft", "operator": "DoesNotExist"}]}),
             member(app="shop", draft="true")], id="excluded by a label",
        ),
        pytest.param(
            [SERVED, server({**APP, "matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["old"]}]}),
             member(app="shop", stage="old")], id="excluded by a value",
        ),
    ],
)  # fmt: skip
def test_what_is_not_told(items: list[manifest.Object]) -> None:
    assert said(*items) == []


def test_a_tool_that_is_switched_off_needs_no_server() -> None:
    document = raw("MCPTool", {"service": {"name": "orders", "port": 80}, "enabled": False}, "a")
    document["metadata"]["namespace"] = "shop"

    assert said(SERVED, server(APP), manifest.decode(document)) == []


def test_nothing_is_said_of_what_is_not_known() -> None:
    unread = manifest.decode({**raw("MCPServer", {}, "other"), "spec": "all"})
    unread_here = [SERVED, server(APP), member(app="shopp"), unread]

    assert unread.fact is None
    assert said(*unread_here) == []
    assert said(SERVED, server(APP), member(app="shopp"), unknown=True) == []


def test_so_many_objects_are_named() -> None:
    lost = [member(f"t{number:02}", app="shopp") for number in range(unselected.MOST + 3)]

    found = said(SERVED, server(APP), *lost)

    assert [each for each, _, _ in found] == [f"MCPTool shop/t{number:02}" for number in range(unselected.MOST)]
    assert found[-1][2].endswith("; correct one of the two; no MCPServer selects 3 further objects")
    assert all("further" not in message for _, _, message in found[:-1])
    assert "further" not in said(SERVED, server(APP), *lost[: unselected.MOST])[-1][2]
