"""Tools that differ from a known one in their texts alone are compiled without being decoded."""

from __future__ import annotations

from typing import Any

from crd.compiler.known_tools import KnownTools
from crd.finding import Reason
from crd.models.tool import ToolSpec

LONG = "Returns one order of the shop by its number."


def tool(name: str, description: str = LONG, argument: str = "id") -> dict[str, Any]:
    schema = {"type": "object", "properties": {argument: {"type": "string"}}}
    spec = {"description": description, "service": {"name": "orders", "port": 80}, "inputSchema": schema}
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPTool", "metadata": metadata, "spec": spec}


def schema_of(tools: KnownTools, raw: dict[str, Any]) -> dict[str, Any]:
    """The decoded schema of a tool: the same object for tools that were decoded once."""
    spec = tools.compile(raw)[0].spec
    assert isinstance(spec, ToolSpec)
    return spec.input_schema


def test_a_tool_with_other_texts_is_not_decoded_again() -> None:
    tools = KnownTools()
    first = schema_of(tools, tool("a"))

    assert schema_of(tools, tool("b", LONG + " With its lines.")) is first
    assert schema_of(tools, tool("b", argument="number")) is not first


def test_what_a_rule_finds_in_a_tool_it_finds_in_others_like_it() -> None:
    tools = KnownTools()
    for name in "ab":
        raw = tool(name)
        raw["spec"] |= {"method": "GET", "annotations": {"destructiveHint": True}}
        assert [finding.reason for finding in tools.compile(raw)[1].findings] == [Reason.CONTRADICTORY_HINT]


def test_what_a_rule_finds_in_the_texts_of_a_tool_is_found_beside_a_known_one() -> None:
    tools = KnownTools()
    tools.compile(tool("a"))

    assert [finding.reason for finding in tools.compile(tool("b", "short"))[1].findings] == [Reason.WEAK_DESCRIPTION]


def test_the_tool_that_was_used_longest_ago_is_forgotten() -> None:
    # Room for two: the JSON of one has about 120 bytes.
    tools = KnownTools(limit=300)
    one, two = schema_of(tools, tool("a", argument="one")), schema_of(tools, tool("a", argument="two"))

    assert schema_of(tools, tool("b", argument="one")) is one
    schema_of(tools, tool("a", argument="six"))
    assert schema_of(tools, tool("c", argument="one")) is one
    assert schema_of(tools, tool("c", argument="two")) is not two
