"""At their exact values, limits are kept: what is as large as a limit is within it."""

from __future__ import annotations

from typing import Any

import pytest

from crd.finding import Reason
from crd.rules import advice, paths, workloads
from crd.snapshot import Snapshot
from tests.crd.rules.documents import SERVICE, read, server, tool


def advised(*items: Any) -> list[str]:
    snapshot = Snapshot.of(item.fact for item in items if item.fact is not None)
    return [each.message for each in advice.advise(snapshot, items) if each.reason is Reason.LARGE_REPLY]


def test_a_reply_as_long_as_agents_take_is_not_long() -> None:
    assert advised(tool(response={"maxBytes": advice.MAX_BYTES})) == []
    (message,) = advised(tool(response={"maxBytes": advice.MAX_BYTES + 1}))
    assert message.endswith("of one result; lower maxBytes to 97Ki, or reply page by page")


@pytest.mark.parametrize(
    ("item", "most"),
    [
        ({"type": "string", "minLength": 2}, 20_000),
        ({"type": "object"}, 33_333),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}, 11_111),
        ({"type": "object", "required": ["a", "b"]}, 7142),
    ],
)
def test_a_list_as_long_as_agents_take_is_not_long(item: Any, most: int) -> None:
    def listing(items: int) -> Any:
        schema = {"type": "array", "items": item, "maxItems": items}
        return read("MCPTool", {"service": SERVICE, "outputSchema": schema}, labels={"app": "shop"})

    assert advised(listing(most), server()) == []
    assert len(advised(listing(most + 1), server())) == 1


@pytest.mark.parametrize(
    ("path", "segments"),
    [("/{a}.", ["{a}."]), ("/.{a}", [".{a}"]), ("/{a}X", []), ("/{a}", []), ("/{a}.x", [])],
)
def test_a_dot_beside_a_placeholder_can_become_the_parent(path: str, segments: list[str]) -> None:
    assert [fault[1] for fault in paths._literal_faults(path)] == segments


def test_only_annotations_of_the_ingress_become_directives() -> None:
    key = min(workloads.INGRESS_ANNOTATIONS)
    assert list(workloads.unsafe_workload(server(podTemplate={"annotations": {key: "a;b"}}))) == []
    ingress = {"host": "a.example.com", "annotations": {"example.com/note": "a;b"}}
    assert list(workloads.unsafe_workload(server(ingress=ingress))) == []
