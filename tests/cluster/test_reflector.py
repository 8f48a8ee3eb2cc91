"""What client-go's reflector does, ours does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster import resources
from cluster.reflector import Reflector
from cluster.store import Store
from cluster.transport import ApiError


def item(name: str, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "resourceVersion": version, "managedFields": [{}]}}


def page(*items: dict[str, Any], version: str = "10", token: str = "") -> dict[str, Any]:
    return {"items": list(items), "metadata": {"resourceVersion": version, "continue": token}}


def event(kind: str, thing: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": thing}


async def reflected(api: Any, **selectors: Any) -> tuple[Store, Reflector]:
    """Run until the script is used up and the reflector waits."""
    store = Store()
    reflector = Reflector(api, resources.TOOLS, store, monotonic=lambda: 0.0, jitter=lambda: 0.0, **selectors)
    task = asyncio.create_task(reflector.run())
    while api.answers or api.streams:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return store, reflector


def names(store: Store) -> list[str]:
    return sorted(found["metadata"]["name"] for found in store)


async def test_all_pages_are_listed_before_it_is_synced(script: Any) -> None:
    api = script([page(item("a"), token="more"), page(item("b"))])

    store, reflector = await reflected(api)

    assert names(store) == ["a", "b"]
    assert reflector.synced.is_set()
    assert api.asked[1][2]["continue"] == "more"


async def test_events_after_the_list_are_followed_from_its_version(script: Any) -> None:
    added, deleted = event("ADDED", item("b", "11")), event("DELETED", item("a", "12"))
    api = script([page(item("a"))], [[added, deleted]])

    store, _ = await reflected(api)

    assert names(store) == ["b"]
    watches = [query for method, _, query, _ in api.asked if method == "WATCH"]
    assert [watch["resourceVersion"] for watch in watches] == ["10", "12"]
    assert watches[0]["allowWatchBookmarks"] == "true"


async def test_a_bookmark_moves_the_version_and_nothing_else(script: Any) -> None:
    api = script([page(item("a"))], [[event("BOOKMARK", {"metadata": {"resourceVersion": "99"}})]])

    store, _ = await reflected(api)

    assert names(store) == ["a"]
    assert api.asked[-1][2]["resourceVersion"] == "99"


async def test_after_gone_the_list_replaces_everything(script: Any) -> None:
    gone = event("ERROR", {"code": 410, "reason": "Expired", "message": "too old"})
    api = script([page(item("a"), item("vanished")), page(item("a"))], [[gone]])

    store, _ = await reflected(api)

    assert names(store) == ["a"]


async def test_trouble_is_tried_again(script: Any) -> None:
    api = script([ApiError(500, "InternalError", "no"), TimeoutError(), page(item("a"))], [[OSError("cut off")]])

    store, _ = await reflected(api)

    assert names(store) == ["a"]


async def test_objects_are_typed_and_lose_their_managed_fields(script: Any) -> None:
    store, _ = await reflected(script([page(item("a"))]), field_selector="metadata.name=a", namespace="shop")

    found = store.get("shop", "a")
    assert found is not None
    assert (found["apiVersion"], found["kind"]) == ("mcp.example.com/v1alpha1", "MCPTool")
    assert "managedFields" not in found["metadata"]


async def test_a_selection_is_asked_for(script: Any) -> None:
    api = script([page()])

    await reflected(api, field_selector="metadata.name=a", namespace="shop")

    _, path, query, _ = api.asked[0]
    assert path == "/apis/mcp.example.com/v1alpha1/namespaces/shop/mcptools"
    assert query["fieldSelector"] == "metadata.name=a"


@pytest.mark.parametrize("status", [403, 404])
async def test_of_an_optional_type_that_is_not_shown_there_are_no_objects(script: Any, status: int) -> None:
    api = script([ApiError(status, "x", "no")])

    store, reflector = await reflected(api, optional=True)

    assert names(store) == []
    assert reflector.synced.is_set()
    assert len(api.asked) == 1


async def test_an_optional_type_that_is_taken_away_loses_its_objects(script: Any) -> None:
    api = script([page(item("a"))], [[ApiError(404, "NotFound", "no")]])

    store, _ = await reflected(api, optional=True)

    assert names(store) == []


async def test_any_other_type_has_to_be_shown(script: Any) -> None:
    api = script([ApiError(404, "NotFound", "no")])

    _, reflector = await reflected(api)

    assert not reflector.synced.is_set()
