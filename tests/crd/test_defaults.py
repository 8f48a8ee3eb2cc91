"""Derived defaults: filled in once, nothing overridden, nothing lost."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from crd import defaults

SERVICE = {"name": "orders", "port": 80}


def raw(kind: str, spec: Any, metadata: Any = None) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": "a", "namespace": "shop"} if metadata is None else metadata,
        "spec": spec,
    }


FILLED = [
    pytest.param(
        raw("MCPTool", {"service": SERVICE}),
        {"name": "a", "service": {"namespace": "shop", **SERVICE}},
        id="the name and the namespace of the service",
    ),
    pytest.param(
        raw("MCPTool", {"name": "b", "service": {**SERVICE, "namespace": "other"}}),
        {"name": "b", "service": {**SERVICE, "namespace": "other"}},
        id="what is said stands",
    ),
    pytest.param(
        raw("MCPTool", {"service": SERVICE, "unheard": {"of": 1}}),
        {"name": "a", "service": {"namespace": "shop", **SERVICE}, "unheard": {"of": 1}},
        id="a field nobody knows stays",
    ),
    pytest.param(raw("MCPPrompt", {"template": "t"}), {"template": "t", "name": "a"}, id="the name of a prompt"),
    pytest.param(
        raw("MCPResource", {"content": {"uri": "a:b", "text": ""}}),
        {"content": {"uri": "a:b", "text": ""}, "name": "a"},
        id="the name of a resource",
    ),
    pytest.param(
        raw("MCPResource", {"operations": [{"service": SERVICE}, {"service": {**SERVICE, "namespace": "other"}}]}),
        {
            "name": "a",
            "operations": [{"service": SERVICE}, {"service": {**SERVICE, "namespace": "other"}}],
        },
        id="nothing inside a list, which kubectl would take out again",
    ),
    pytest.param(
        raw("MCPTool", {"service": SERVICE}, {"name": "a"}),
        {"name": "a", "service": SERVICE},
        id="no namespace to take: the name alone",
    ),
    pytest.param(
        raw("MCPTool", {"service": SERVICE}, {"generateName": "a-", "namespace": "shop"}),
        {"service": {"namespace": "shop", **SERVICE}},
        id="no name yet to take: the namespace alone",
    ),
]

LEFT = [
    pytest.param(raw("MCPServer", {"toolSelector": {}}), id="a server has no derived defaults"),
    pytest.param({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}}, id="a Service"),
    pytest.param({}, id="nothing"),
    pytest.param({"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPTool"}, id="neither metadata nor spec"),
    pytest.param(raw("MCPTool", None), id="no spec"),
    pytest.param(raw("MCPTool", ["service"]), id="a list for a spec"),
    pytest.param(raw("MCPTool", {"service": SERVICE}, ["a"]), id="a list for metadata"),
    pytest.param(raw("MCPTool", {"service": SERVICE}, {"name": 7, "namespace": 7}), id="numbers for names"),
    pytest.param(raw("MCPTool", {"name": "b", "service": "orders"}), id="text for a service"),
    pytest.param(raw("MCPResource", {"name": "b", "operations": {"a": 1}}), id="a mapping for operations"),
    pytest.param(raw("MCPResource", {"name": "b", "operations": ["a", {"service": 7}]}), id="text for an operation"),
]


@pytest.mark.parametrize(("document", "spec"), FILLED)
def test_filled_in(document: dict[str, Any], spec: dict[str, Any]) -> None:
    assert defaults.set_defaults(document) == {**document, "spec": spec}


@pytest.mark.parametrize("document", LEFT)
def test_left_as_it_is(document: dict[str, Any]) -> None:
    assert defaults.set_defaults(document) == document


@pytest.mark.parametrize("document", [*(row.values[0] for row in FILLED), *(row.values[0] for row in LEFT)])
def test_a_second_time_changes_nothing_and_the_original_is_never_touched(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    once = defaults.set_defaults(document)
    assert defaults.set_defaults(once) == once
    assert document == before
