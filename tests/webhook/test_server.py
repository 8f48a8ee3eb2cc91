"""Every answer of the webhook but the ones a real API server asks for: trouble, overload, lateness, bugs."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from cluster.transport import ApiError
from crd import manifest
from webhook.ledger import Ledgers
from webhook.live_snapshot import Memory
from webhook.metrics import Metrics
from webhook.server import Hook, application


def tool(name: str, served: str = "get", labels: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"app": "shop"} if labels is None else labels,
            **metadata,
        },
        "spec": {"name": served, "service": {"name": "orders", "port": 80, "namespace": "shop"}},
    }


SERVER = {
    "apiVersion": "mcp.example.com/v1alpha1",
    "kind": "MCPServer",
    "metadata": {"name": "main", "namespace": "shop"},
    "spec": {"toolSelector": {"matchLabels": {"app": "shop"}}},
}


def review(new: Any = None, old: Any = None, operation: str = "CREATE", **more: Any) -> dict[str, Any]:
    request = {
        "uid": "u-1",
        "kind": {"kind": "MCPTool"},
        "operation": operation,
        "object": new,
        "oldObject": old,
        **more,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


class Api:
    """The API server as the webhook reads it before a denial."""

    def __init__(self, *items: dict[str, Any], error: Exception | None = None) -> None:
        self.items = {item["metadata"]["name"]: item for item in items}
        self.error = error
        self.reads = 0

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        self.reads += 1
        if self.error:
            raise self.error
        name = path.rpartition("/")[2]
        if name not in self.items:
            raise ApiError(404, "NotFound", "no")
        return self.items[name]


class World:
    def __init__(self, api: Api, *known: dict[str, Any], **flags: Any) -> None:
        self.memory = Memory(lambda: 0.0)
        self.unready: str | None = None
        self.draining = False
        for raw in known:
            fact = manifest.decode(raw).fact
            assert fact is not None
            self.memory.shown(fact)
        self.hook = Hook(
            api,  # type: ignore[arg-type]
            self.memory,
            Metrics(),
            Ledgers(api, "mcp-system", now=lambda: 1000.0, jitter=lambda: 0.0),  # type: ignore[arg-type]
            unready=lambda: self.unready,
            draining=lambda: self.draining,
            **flags,
        )


async def ask(client_of: Any, world: World, body: Any, path: str = "/validate", **options: Any) -> tuple[int, Any]:
    client = await client_of(application(world.hook))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    answer = await client.post(path, data=data, headers=headers, **options)
    text = await answer.read()
    world.connection = answer.headers.get("Connection")  # type: ignore[attr-defined]
    return answer.status, json.loads(text)["response"] if text.startswith(b"{") else text.decode()


async def test_an_allow_reads_nothing(aiohttp_client: Any) -> None:
    api = Api()

    status, response = await ask(aiohttp_client, World(api, SERVER), review(tool("a")))

    assert (status, response["allowed"], response["uid"]) == (200, True, "u-1")
    assert api.reads == 0
    assert any(line.startswith("ServiceMissing") for line in response["warnings"])


async def test_a_denial_names_everything_that_is_wrong(aiohttp_client: Any) -> None:
    clashing = tool("b")
    clashing["spec"]["inputSchema"] = {"type": "array"}
    world = World(Api(SERVER, tool("a", uid="1")), SERVER, tool("a", uid="1"))

    status, response = await ask(aiohttp_client, world, review(clashing))

    assert (status, response["allowed"]) == (200, False)
    message = response["status"]["message"]
    assert "- DuplicateName: spec.name: MCPTool shop/a already serves" in message
    assert "- InvalidSchema: spec.inputSchema.type:" in message
    assert response["auditAnnotations"]["verdict"] == "denied"
    assert "MCPTool shop/a" in response["auditAnnotations"]["related"]
    assert {cause["reason"] for cause in response["status"]["details"]["causes"]} == {"DuplicateName", "InvalidSchema"}


async def test_a_stale_catalog_refuses_nobody(aiohttp_client: Any) -> None:
    world = World(Api(SERVER), SERVER, tool("gone", uid="1"))

    _, response = await ask(aiohttp_client, world, review(tool("b")))

    assert response["allowed"]


async def test_an_object_that_was_relabelled_meanwhile_refuses_nobody(aiohttp_client: Any) -> None:
    world = World(Api(SERVER, tool("a", labels={}, uid="1")), SERVER, tool("a", uid="1"))

    _, response = await ask(aiohttp_client, world, review(tool("b")))

    assert response["allowed"]


async def test_what_cannot_be_read_stays_believed(aiohttp_client: Any) -> None:
    world = World(Api(error=TimeoutError()), SERVER, tool("a", uid="1"))

    _, response = await ask(aiohttp_client, world, review(tool("b")))

    assert not response["allowed"]


async def test_two_at_a_time_see_each_other(aiohttp_client: Any) -> None:
    world = World(Api(SERVER), SERVER)

    assert (await ask(aiohttp_client, world, review(tool("a"))))[1]["allowed"]
    assert not (await ask(aiohttp_client, world, review(tool("b"))))[1]["allowed"]


async def test_a_dry_run_is_not_remembered(aiohttp_client: Any) -> None:
    world = World(Api(SERVER), SERVER)

    await ask(aiohttp_client, world, review(tool("a"), dryRun=True))

    assert (await ask(aiohttp_client, world, review(tool("b"))))[1]["allowed"]


async def test_a_deletion_is_allowed_with_a_word_about_the_servers(aiohttp_client: Any) -> None:
    world = World(Api(), SERVER, tool("a"))

    _, response = await ask(aiohttp_client, world, review(None, tool("a"), "DELETE"))

    assert response["allowed"]
    assert "MCPTool shop/a is no longer served by shop/main" in response["warnings"]


async def test_defaults_come_as_a_patch_of_just_them(aiohttp_client: Any) -> None:
    bare = {**tool("a"), "spec": {"service": {"name": "orders", "port": 80}, "unheard": 1}}

    _, response = await ask(aiohttp_client, World(Api()), review(bare), "/mutate")

    patch = json.loads(base64.b64decode(response["patch"]))
    assert {(op["op"], op["path"], op["value"]) for op in patch} == {
        ("add", "/spec/name", "a"),
        ("add", "/spec/service/namespace", "shop"),
    }


@pytest.mark.parametrize("spec", [None, 7, [], {"service": "text"}, {"service": {}, "name": {}}])
async def test_what_is_broken_gets_no_failure_from_mutate(aiohttp_client: Any, spec: Any) -> None:
    status, response = await ask(aiohttp_client, World(Api()), review({**tool("a"), "spec": spec}), "/mutate")

    assert status == 200
    assert response["allowed"]


async def test_before_the_first_sync_nothing_is_judged(aiohttp_client: Any) -> None:
    world = World(Api())
    world.unready = "not synced: mcptools"

    status, response = await ask(aiohttp_client, world, review(tool("a")))

    assert (status, response["uid"], response["allowed"]) == (503, "u-1", False)
    assert "not synced: mcptools" in response["status"]["message"]


async def test_over_the_limit_a_review_is_turned_away_at_once(aiohttp_client: Any) -> None:
    status, response = await ask(aiohttp_client, World(Api(), max_in_flight=0), review(tool("a")))

    assert (status, response["status"]["code"]) == (200, 429)
    assert "try again" in response["status"]["message"]


async def test_past_the_deadline_there_is_no_verdict(aiohttp_client: Any) -> None:
    class Slow(Api):
        async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

    world = World(Slow(), SERVER, tool("a", uid="1"))

    status, response = await ask(aiohttp_client, world, review(tool("b")), params={"timeout": "0.4s"})

    assert (status, response["uid"]) == (504, "u-1")


async def test_a_bug_is_a_500_with_the_uid(aiohttp_client: Any) -> None:
    world = World(Api(error=RuntimeError("a bug")), SERVER, tool("a", uid="1"))

    status, response = await ask(aiohttp_client, world, review(tool("b")), params={"timeout": "soon"})

    assert (status, response["uid"]) == (500, "u-1")
    assert b"mcp_operator_admission_panics_total 1.0" in metrics(world)


def metrics(world: World) -> bytes:
    from prometheus_client.openmetrics.exposition import generate_latest

    return bytes(generate_latest(world.hook.metrics.registry))  # type: ignore[no-untyped-call]


async def test_while_draining_connections_are_given_up(aiohttp_client: Any) -> None:
    world = World(Api())
    world.draining = True

    status, _ = await ask(aiohttp_client, world, review(tool("a")))

    assert status == 200
    assert world.connection == "close"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not json", 400),
        (review(operation="CONNECT"), 400),
        (review(7), 400),
        (review(), 400),
        ({**review(), "apiVersion": "admission.k8s.io/v1beta1"}, 400),
        (review({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}}), 400),
    ],
)
async def test_what_is_no_review_of_ours_is_refused(aiohttp_client: Any, body: Any, status: int) -> None:
    assert (await ask(aiohttp_client, World(Api()), body))[0] == status


async def test_only_json_is_read(aiohttp_client: Any) -> None:
    status, _ = await ask(aiohttp_client, World(Api()), b"{}", headers={"Content-Type": "text/plain"})

    assert status == 415
