"""Fields that no schema knows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from crd import fields
from crd.fields import Unknown


def raw(kind: str, spec: Any, **members: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": spec,
        **members,
    }


def operations(entry: Any) -> dict[str, Any]:
    return raw("MCPResource", {"operations": [{}, entry]})


ROWS = [
    pytest.param(raw("MCPTool", {"service": {"name": "a", "port": 1}}), [], id="all known"),
    pytest.param(
        raw("MCPTool", {"inputschema": {}}),
        [Unknown(("spec", "inputschema"), "inputschema", "inputSchema")],
        id="a slip of the shift key",
    ),
    pytest.param(raw("MCPTool", {"zzz": 1}), [Unknown(("spec", "zzz"), "zzz", None)], id="like nothing there is"),
    pytest.param(
        raw("MCPTool", {"service": {"prot": 1}}),
        [Unknown(("spec", "service", "prot"), "prot", "port")],
        id="inside an object",
    ),
    pytest.param(
        operations({"ingresPath": "/", "parameters": [{"nam": "a"}]}),
        [
            Unknown(("spec", "operations", 1, "ingresPath"), "ingresPath", "ingressPath"),
            Unknown(("spec", "operations", 1, "parameters", 0, "nam"), "nam", "name"),
        ],
        id="inside lists, in document order",
    ),
    pytest.param(raw("MCPTool", {}, spce={}), [Unknown(("spce",), "spce", "spec")], id="beside the spec"),
    pytest.param(
        raw("MCPTool", {"a b": {"c": {"d": 1}}}),
        [Unknown(("spec", "a b"), "a b", None)],
        id="told once, not its members",
    ),
    pytest.param(raw("MCPTool", {1: 2}), [Unknown(("spec", "1"), "1", None)], id="a key that is a number"),
    pytest.param(
        raw("MCPTool", {"inputSchema": {"propreties": {"a": {"tpye": "string"}}}}), [], id="inputSchema is the author's"
    ),
    pytest.param(raw("MCPTool", {"http": {"query": {"a": 1}}}), [], id="an object in place of a list"),
    pytest.param(raw("MCPServer", {"toolSelector": {"matchLabels": {"anything": "x"}}}), [], id="labels are free"),
    pytest.param(
        raw("MCPServer", {"toolSelector": {"matchLabel": {}}}),
        [Unknown(("spec", "toolSelector", "matchLabel"), "matchLabel", "matchLabels")],
        id="a selector is not",
    ),
    pytest.param(
        {**raw("MCPPrompt", {}), "metadata": {"nmae": "a", "labels": {"x": "y"}}},
        [],
        id="metadata is not ours to judge",
    ),
    pytest.param(raw("MCPTool", {"service": ["a"], "name": {"a": 1}}), [], id="a wrong type is another rule's"),
    pytest.param(raw("MCPTool", "text"), [], id="text for a spec is another rule's"),
    pytest.param({"apiVersion": "v1", "kind": "Service", "spec": {"zzz": 1}}, [], id="a Service"),
    pytest.param({"apiVersion": "v1", "kind": "Pod", "spec": {"zzz": 1}}, [], id="another kind"),
]


@pytest.mark.parametrize(("document", "expected"), ROWS)
def test_unknown(document: dict[str, Any], expected: list[Unknown]) -> None:
    assert list(fields.unknown(document)) == expected


def stored(applied: Any) -> dict[str, Any]:
    """An object without unknown fields, as the API server keeps it, with what kubectl noted."""
    return {
        **raw("MCPTool", {"service": {"name": "a", "port": 1}}),
        "metadata": {"name": "a", "annotations": {fields.LAST_APPLIED: applied}},
    }


def test_a_field_that_was_applied_and_dropped_is_lost() -> None:
    applied = orjson.dumps(raw("MCPTool", {"inputschema": {}})).decode()
    assert list(fields.lost(stored(applied))) == [Unknown(("spec", "inputschema"), "inputschema", "inputSchema")]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(raw("MCPTool", {}), id="no annotations"),
        pytest.param({**raw("MCPTool", {}), "metadata": None}, id="no metadata"),
        pytest.param({**raw("MCPTool", {}), "metadata": {"annotations": {"a": "b"}}}, id="other annotations"),
        pytest.param(
            stored(orjson.dumps(raw("MCPTool", {"method": "GET"})).decode()), id="nothing unknown was applied"
        ),
        pytest.param(stored("{"), id="an annotation that is not JSON"),
        pytest.param(stored("[]"), id="an annotation that is not an object"),
        pytest.param(stored(7), id="an annotation that is not a string"),
    ],
)
def test_nothing_is_lost(document: dict[str, Any]) -> None:
    assert list(fields.lost(document)) == []
