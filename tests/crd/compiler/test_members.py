"""What is kept of a member that was compiled, and what a server that places it lists."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from crd import manifest
from crd.compiler import members
from crd.facts import Claim, Space
from crd.snapshot import Snapshot

SERVICE = {"name": "orders", "port": 80}


def compiled(kind: str, **spec: Any) -> members.CompiledMember:
    metadata = {"name": "a", "namespace": "shop"}
    item = manifest.decode({"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    return members.compile_member(item)


def placed(member: members.CompiledMember, *lost: Claim, prefix: str = "") -> list[members.PlacedEntry]:
    """The entries on a server where the member holds all claims but these."""
    return [*members.place(member, prefix, lambda claim: claim not in lost, Snapshot())]


@pytest.mark.parametrize(
    ("spec", "listed"),
    [
        ({}, {"description": "a"}),
        ({"description": "D"}, {"description": "D"}),
        ({"title": "T", "description": "D"}, {"title": "T", "description": "D"}),
        ({"annotations": {"readOnlyHint": True}}, {"description": "a", "annotations": {"readOnlyHint": True}}),
        ({"outputSchema": {"type": "object"}}, {"description": "a", "outputSchema": {"type": "object"}}),
        (
            {"inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}}},
            {"description": "a", "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}}},
        ),
        ({"ingressPath": "/a"}, {"description": "a"}),
    ],
)
def test_the_context_of_a_tool_is_its_size_in_the_list(spec: dict[str, Any], listed: dict[str, Any]) -> None:
    member = compiled("MCPTool", service=SERVICE, **spec)
    whole = {"name": "a", "inputSchema": {"type": "object", "properties": {}}, **listed}

    (entry,) = placed(member)
    assert entry.context == len(orjson.dumps(whole))
    assert members.context_of(member)[0] == entry.context
    (prefixed,) = placed(member, prefix="shop_")
    # The name stands for a description that a tool lacks.
    assert prefixed.context - entry.context == len("shop_") * (1 if "description" in spec else 2)


@pytest.mark.parametrize(
    ("kind", "spec", "section"),
    [
        ("MCPPrompt", {"template": "t"}, "prompts"),
        ("MCPResource", {"content": {"uri": "urn:a", "text": "t"}}, "resources"),
        ("MCPResource", {"uri": "urn:a", "service": SERVICE, "http": {}}, "http_resources"),
        ("MCPResource", {"operations": [{"service": SERVICE, "ingressPath": "/a"}]}, "operations"),
    ],
)
def test_only_tools_have_a_context(kind: str, spec: dict[str, Any], section: str) -> None:
    member = compiled(kind, **spec)
    assert [(entry.section, entry.context) for entry in placed(member)] == [(section, 0)]
    assert members.context_of(member) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "spec", "lost"),
    [
        ("MCPTool", {"service": SERVICE}, Claim(Space.TOOL_NAME, "a")),
        ("MCPTool", {"service": SERVICE, "ingressPath": "/a"}, Claim(Space.TOOL_NAME, "a")),
        ("MCPPrompt", {"template": "t"}, Claim(Space.PROMPT_NAME, "a")),
        ("MCPResource", {"content": {"uri": "urn:a", "text": "t"}}, Claim(Space.URI, "urn:a")),
        ("MCPResource", {"uri": "urn:a", "service": SERVICE, "http": {}}, Claim(Space.URI, "urn:a")),
        (
            "MCPResource",
            {"operations": [{"service": SERVICE, "ingressPath": "/a", "method": "POST"}]},
            Claim(Space.REST_PATH, "POST /a"),
        ),
    ],
)
def test_what_a_member_does_not_hold_it_is_not_served_under(kind: str, spec: dict[str, Any], lost: Claim) -> None:
    member = compiled(kind, **spec)
    assert placed(member) != []
    assert placed(member, lost) == []


@pytest.mark.parametrize(("kind", "method"), [("MCPTool", "POST"), ("MCPPrompt", "GET")])
def test_a_path_that_a_member_does_not_hold_is_left_out(kind: str, method: str) -> None:
    spec = {"service": SERVICE} if kind == "MCPTool" else {"template": "t"}
    member = compiled(kind, ingressPath="/a", **spec)
    (entry,) = placed(member)
    assert orjson.loads(entry.text)["ingress_path"] == "/a"
    (without,) = placed(member, Claim(Space.REST_PATH, f"{method} /a"))
    assert "ingress_path" not in orjson.loads(without.text)


def test_an_operation_keeps_the_uri_or_the_path_that_it_holds() -> None:
    member = compiled("MCPResource", operations=[{"service": SERVICE, "ingressPath": "/a", "uriTemplate": "shop://a"}])
    uri, path = Claim(Space.URI, "shop://a"), Claim(Space.REST_PATH, "GET /a")

    assert [entry.key for entry in placed(member)] == ["/a\0GET\0a\0shop://a"]
    assert [entry.key for entry in placed(member, uri)] == ["/a\0GET\0a\0"]
    assert [entry.key for entry in placed(member, path)] == ["\0GET\0a\0shop://a"]
    assert placed(member, uri, path) == []
    assert "uri_template" not in orjson.loads(placed(member, uri)[0].text)
    assert orjson.loads(placed(member, path)[0].text)["ingress_path"] == ""


def test_a_faulty_member_has_no_entries() -> None:
    member = compiled("MCPTool", service=SERVICE, method="FETCH")
    assert member.fact is None
    assert member.entries == b""
    assert placed(member) == []
    assert members.context_of(member) == (0, 0)


def test_a_member_that_a_rule_refuses_has_facts_and_no_entries() -> None:
    member = compiled("MCPPrompt", template="{{undeclared}}")
    assert member.fact is not None
    assert member.errors != ()
    assert (member.entries, placed(member)) == (b"", [])
