"""What is read past the watches, and what becomes of what the reads show."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from cluster.transport import ApiError
from crd.ref import Kind, Ref
from tests.webhook.replica import Replica
from webhook.reader import Reader

A, B, ORDERS = Ref(Kind.TOOL, "shop", "a"), Ref(Kind.TOOL, "shop", "b"), Ref(Kind.SERVICE, "shop", "orders")
SECRET = Ref(Kind.SECRET, "shop", "keys")


def tool(name: str, served: str, version: str = "5") -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": version},
        "spec": {"name": served, "service": {"name": "orders", "port": 80}},
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "orders", "namespace": "shop", "uid": "s", "resourceVersion": "3"},
    "spec": {"ports": [{"port": 80}]},
}


class Api:
    """Answers each path with an object or an exception; what it does not know is not there."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.paths: list[str] = []

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        self.paths.append(path)
        await asyncio.sleep(0)
        answer = self.answers.get(path.rpartition("/")[2], ApiError(404, "NotFound", "no"))
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def reader_of(api: Api, *known: dict[str, Any]) -> tuple[Replica, Reader]:
    replica = Replica(api, *known)
    return replica, Reader(api, replica.live, replica.watched)  # type: ignore[arg-type]


async def test_what_was_read_is_what_everybody_judges_by() -> None:
    api = Api({"a": tool("a", "new", "6"), "orders": SERVICE})
    replica, reader = reader_of(api, tool("a", "old"), tool("b", "gone"))

    found = await reader.look([B, SECRET, ORDERS, A])

    assert sorted(found) == [A, B]
    assert found[B] is None
    assert found[A] is not None
    assert found[A].fact == replica.stored("a")
    assert replica.stored("a").served_name == "new"
    assert replica.stored("b") is None
    # The facts of a Service go to the informers alone, and what is not watched is not read.
    assert replica.live.current.get(ORDERS) is not None
    assert sorted(path.rpartition("/")[2] for path in api.paths) == ["a", "b", "orders"]
    assert not any("secrets" in path for path in api.paths)


@pytest.mark.parametrize("error", [ApiError(500, "InternalError", "etcd"), TimeoutError("late"), OSError("reset")])
async def test_what_cannot_be_read_is_left_out_and_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    replica, reader = reader_of(Api({"a": error, "b": tool("b", "put")}), tool("a", "old"))

    with caplog.at_level(logging.WARNING):
        found = await reader.look([A, B])

    assert list(found) == [B]
    assert replica.stored("a").served_name == "old"
    assert [record.getMessage() for record in caplog.records] == [f"reading MCPTool shop/a before a denial: {error}"]


async def test_a_bug_is_not_taken_for_a_missing_answer() -> None:
    _, reader = reader_of(Api({"a": ZeroDivisionError("a bug")}))

    with pytest.raises(ZeroDivisionError):
        await reader.look([A])


async def test_a_read_settles_which_writes_can_still_be_stored() -> None:
    replica, reader = reader_of(Api({}))
    assert (await replica.judge(tool("a", "get"))).allowed
    assert replica.stored("a") is not None

    await reader.look([A])
    # It may come yet.
    assert replica.stored("a") is not None
    replica.live._monotonic = lambda: 1100.0
    await reader.look([A])
    assert replica.stored("a") is None


def grant(name: str, version: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "other", "uid": name, "resourceVersion": version},
        "spec": {
            "from": [{"group": "mcp.example.com", "kind": "MCPTool", "namespace": "shop"}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }


async def test_the_grants_of_a_namespace_are_read_together(caplog: pytest.LogCaptureFixture) -> None:
    api = Api({"referencegrants": {"items": [grant("one", "8"), grant("two", "9")]}})
    replica, reader = reader_of(api)

    await reader.read_grants("other")

    for name in ("one", "two"):
        assert replica.live.current.get(Ref(Kind.GRANT, "other", name)) is not None
    for error, logged in (
        (ApiError(404, "NotFound", "not installed"), False),
        (ApiError(403, "Forbidden", "no"), True),
        (OSError("reset"), True),
    ):
        caplog.clear()
        api.answers["referencegrants"] = error
        await reader.read_grants("other")
        assert [record.getMessage() for record in caplog.records] == (
            [f"reading the ReferenceGrants of other before a denial: {error}"] if logged else []
        )
    assert reader.reached(Kind.TOOL) == 1
