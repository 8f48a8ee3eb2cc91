"""Notifications that a list has changed, and who asks for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.mcp import subscriptions
from runtime.mcp.jsonrpc import INVALID_PARAMS, RpcError
from runtime.mcp.subscriptions import Kind

ALL = frozenset(Kind)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], False),
        ([""], False),
        (["application/json"], False),
        (["application/json, text/event-stream"], True),
        (["application/json", "TEXT/Event-Stream;q=0.5"], True),
        (["*/*"], True),
        (["text/*"], True),
        (["application/*"], False),
        (["text/event-stream;q=0"], False),
        (["text/event-stream; charset=utf-8 ; Q=0.000"], False),
        (["text/event-stream;q=0.001"], True),
        (["text/event-streams"], False),
        ([",".join(["a/b"] * 32), "text/event-stream"], False),
    ],
)
def test_accept_must_name_event_streams(accept: list[str], expected: bool) -> None:
    assert subscriptions.accepts_events(accept) is expected


@pytest.mark.parametrize(
    ("notifications", "expected"),
    [
        ({}, set()),
        ({"toolsListChanged": True, "promptsListChanged": False, "resourcesListChanged": None}, {Kind.TOOLS}),
        ({"promptsListChanged": True, "resourcesListChanged": True}, {Kind.PROMPTS, Kind.RESOURCES}),
        ({"resourceSubscriptions": ["shop://a"], "taskIds": [7], "toolsListChanged": True}, {Kind.TOOLS}),
    ],
)
def test_what_is_not_known_is_left_out_of_what_is_accepted(notifications: Any, expected: set[Kind]) -> None:
    assert subscriptions.read_filter({"notifications": notifications}) == expected


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({}, "/params/notifications:"),
        ({"notifications": []}, "/params/notifications:"),
        ({"notifications": {"toolsListChanged": 1}}, "/params/notifications/toolsListChanged:"),
        ({"notifications": {"resourceSubscriptions": "a"}}, "/params/notifications/resourceSubscriptions:"),
        ({"notifications": {"resourceSubscriptions": [1]}}, "/params/notifications/resourceSubscriptions:"),
    ],
)
def test_a_malformed_filter_is_refused(params: Any, pointer: str) -> None:
    with pytest.raises(RpcError, match=pointer) as refused:
        subscriptions.read_filter(params)
    assert refused.value.code == INVALID_PARAMS


@pytest.mark.parametrize("identifier", ["7", 7, 'a"b\n', 2**63])
def test_each_message_of_a_subscription_has_the_id_of_its_request_in_its_type(identifier: str | int) -> None:
    tag = {"io.modelcontextprotocol/subscriptionId": identifier}

    def read(event: bytes) -> Any:
        assert event.startswith(b"data: ")
        assert event.endswith(b"\n\n")
        assert event.count(b"\n") == 2
        return json.loads(event[6:])

    assert read(subscriptions.acknowledge(identifier, frozenset({Kind.PROMPTS}))) == {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": tag, "notifications": {"promptsListChanged": True}},
    }
    assert read(subscriptions.notify_change(Kind.RESOURCES, identifier)) == {
        "jsonrpc": "2.0",
        "method": "notifications/resources/list_changed",
        "params": {"_meta": tag},
    }
    assert read(subscriptions.complete(identifier)) == {
        "jsonrpc": "2.0",
        "id": identifier,
        "result": {"resultType": "complete", "_meta": tag},
    }


def test_without_a_request_a_change_has_no_params() -> None:
    event = subscriptions.notify_change(Kind.TOOLS, None)

    assert json.loads(event[6:]) == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


def test_templates_are_resources() -> None:
    lists = {(method, True): method.encode() for method in
             ("tools/list", "prompts/list", "resources/list", "resources/templates/list")}  # fmt: skip

    assert subscriptions.digests_of(lists, ALL, modern=True) == {
        Kind.TOOLS: (b"tools/list",),
        Kind.PROMPTS: (b"prompts/list",),
        Kind.RESOURCES: (b"resources/list", b"resources/templates/list"),
    }
