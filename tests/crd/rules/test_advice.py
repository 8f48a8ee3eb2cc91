"""What would make tools easier to use for a model: said by check alone."""

from __future__ import annotations

from typing import Any

import pytest

from crd import integrity, manifest
from crd.finding import Level, Reason
from crd.rules import advice
from crd.snapshot import Snapshot
from tests.integration.wholes import raw

SERVICE = {"name": "orders", "port": 80}


def tool(name: str = "a", **spec: Any) -> manifest.Object:
    document = raw("MCPTool", {"service": SERVICE, "description": f"Does what {name} says.", **spec}, name)
    document["metadata"]["labels"] = {"app": "shop"}
    return manifest.decode(document)


def server(name: str = "main", **spec: Any) -> manifest.Object:
    return manifest.decode(raw("MCPServer", {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec}, name))


def advised(*items: manifest.Object) -> list[tuple[Reason, str, str]]:
    snapshot = Snapshot.of(item.fact for item in items if item.fact is not None)
    found = [*advice.advise(snapshot, items)]
    assert all(each.level is Level.WARNING and each.reason in advice.REASONS for each in found)
    return [(each.reason, each.field_path, each.message) for each in found]


def arguments(**properties: Any) -> dict[str, Any]:
    return {"inputSchema": {"type": "object", "properties": properties}}


@pytest.mark.parametrize(
    "argument",
    [
        {"type": "string", "description": "Number of the order."},
        {"$ref": "#/$defs/number"},
        {"allOf": [{"type": "string"}, {"description": "Number of the order."}]},
        {"const": "shop"},
    ],
)
def test_an_argument_is_described(argument: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"a": argument},
        "$defs": {"number": {"type": "string", "description": "Number of the order."}},
    }
    assert advised(tool(inputSchema=schema)) == []


@pytest.mark.parametrize(
    "argument",
    [{"type": "string"}, {"description": " "}, True, {"$ref": "#/$defs/a"}, {"$ref": "#"}, {"title": "Number"}],
)
def test_an_argument_without_description(argument: Any) -> None:
    schema = {"type": "object", "properties": {"a": argument}, "$defs": {"a": {"$ref": "#/$defs/a"}}}
    ((reason, path, message),) = advised(tool(inputSchema=schema))

    assert (reason, path) == (Reason.UNDESCRIBED_ARGUMENT, "spec.inputSchema.properties")
    assert message.startswith('argument "a" has no description')


def test_many_arguments_are_one_finding() -> None:
    ((_, _, message),) = advised(tool(**arguments(**{f"a{n}": {} for n in range(8)})))

    assert message.startswith('arguments "a0", "a1", "a2", "a3", "a4" and 3 more have no description')


def test_two_tools_of_a_server_that_a_search_confuses() -> None:
    one, other = (tool(name, description="Returns the order with this number.") for name in ("order", "orders"))
    found = advised(one, other, server())

    ((reason, path, message),) = found
    assert (reason, path) == (Reason.CONFUSABLE_TOOLS, "spec.description")
    assert message.startswith('a search by words confuses "orders" with "order" (MCPTool shop/order)')
    # No server lists both.
    assert advised(one, other, server(toolSelector={"matchLabels": {"app": "bank"}})) == []
    assert advised(one, other) == []
    off = tool("orders", description="Returns the order with this number.", enabled=False)
    assert advised(one, off, server()) == []


ORDER = {
    "type": "object",
    "required": ["number", "lines"],
    "properties": {"number": {"type": "string", "minLength": 30}, "lines": {"type": "array"}},
}
# 55 bytes each, with the comma.
ORDERS = {"type": "array", "items": ORDER, "maxItems": 2000}
LIST = {"type": "object", "properties": {"orders": ORDERS}}
PAGED = {"pagination": {"parameter": "page", "nextPointer": "/next", "maxSize": 2000}}


@pytest.mark.parametrize(
    "spec",
    [
        {"outputSchema": LIST},
        {"outputSchema": ORDERS},
        {"outputSchema": {"type": "array", "items": ORDER}, "http": PAGED, "method": "GET"},
    ],
)
def test_a_list_that_is_too_long_when_it_is_full(spec: Any) -> None:
    ((reason, path, message),) = advised(tool(**spec), server())

    assert (reason, path) == (Reason.LARGE_REPLY, "spec.outputSchema")
    assert message.startswith("a full list has at least 110000 bytes, about 27500 tokens")


@pytest.mark.parametrize(
    "spec",
    [
        {"response": {"maxBytes": "64Ki"}},
        {"http": {"pagination": {**PAGED["pagination"], "maxSize": 100}}, "method": "GET"},
        {"response": {"format": "Binary"}},
        {"outputSchema": {**ORDERS, "maxItems": 1800}},
        {"outputSchema": {"type": "array", "items": ORDER}},
        {"outputSchema": {"type": "object"}},
    ],
)
def test_a_reply_of_which_nothing_says_that_it_is_long(spec: Any) -> None:
    assert advised(tool(**{"outputSchema": LIST, **spec}), server()) == []


def test_a_server_that_limits_replies_and_a_tool_of_no_server() -> None:
    assert advised(tool(outputSchema=LIST), server(config={"maxResponseBytes": "64Ki"})) == []
    assert advised(tool(outputSchema=LIST)) == []
    both = (server("small", config={"maxResponseBytes": "64Ki"}), server("large"))
    assert len(advised(tool(outputSchema=LIST), *both)) == 1


def test_a_limit_that_is_no_limit_for_a_model() -> None:
    ((reason, path, message),) = advised(tool(response={"maxBytes": "1Mi"}))

    assert (reason, path) == (Reason.LARGE_REPLY, "spec.response.maxBytes")
    assert message.startswith("a reply may have 1048576 bytes, about 262144 tokens")


def test_an_object_that_cannot_be_read_gets_no_advice() -> None:
    assert advised(tool(timeout="1d", **arguments(a={})), server(), manifest.decode(raw("MCPServer", {}, "bad"))) == []


def test_an_apply_says_nothing_of_it() -> None:
    one, other = (tool(name, description="Returns the order with this number.") for name in ("order", "orders"))
    items = (server(), one, other, tool(**arguments(a={}), outputSchema=LIST))
    found = integrity.survey(Snapshot(), items)

    assert {each.reason for each in found} & advice.REASONS == set()
