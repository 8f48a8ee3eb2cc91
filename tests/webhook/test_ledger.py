"""Two replicas and one API server in memory: what is noted before a yes, and what keeps them from noting it."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
from typing import Any

import pytest

from cluster.transport import ApiError
from crd import manifest
from crd.facts import Claim, MemberFact, Space
from crd.ledger import intent
from crd.ref import Kind, Ref
from webhook import ledger, review
from webhook.ledger import Ledgers
from webhook.live_snapshot import Memory
from webhook.metrics import Metrics
from webhook.server import Hook, application

LEDGER = "mcp-operator-ledger-shop"


def raw(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    common = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "shop"}}
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {**common, **metadata},
        "spec": spec,
    }


def tool(name: str, served: str = "get", **metadata: Any) -> dict[str, Any]:
    return raw("MCPTool", name, {"name": served, "service": {"name": "orders", "port": 80}}, **metadata)


def server(integrity: str = "Strict", app: str = "shop") -> dict[str, Any]:
    return raw("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": app}}, "integrity": integrity})


class Api:
    """Objects with resourceVersions. ``refusals`` are answers that the next writes of ConfigMaps get instead."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = {item["metadata"]["name"]: item for item in items}
        self.version = 0
        self.refusals: list[tuple[int, str, str]] = []
        self.calls: list[str] = []

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        name = body["metadata"]["name"] if method == "POST" else path.rpartition("/")[2]
        self.calls.append(f"{method} {name}")
        await asyncio.sleep(0)
        there = self.items.get(name)
        if method != "GET" and self.refusals:
            raise ApiError(*self.refusals.pop())
        if method == "POST":
            if there is not None:
                raise ApiError(409, "AlreadyExists", "there is one")
        elif there is None:
            raise ApiError(404, "NotFound", "there is none")
        elif method == "GET":
            return copy.deepcopy(there)
        elif body["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has changed")
        self.version += 1
        stored = copy.deepcopy(body)
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.items[name] = stored
        return copy.deepcopy(stored)


class Replica:
    """One webhook, whose watches show nothing but what it is told."""

    def __init__(self, api: Any, *known: dict[str, Any], clock: Any = lambda: 1000.0) -> None:
        self.memory = Memory(lambda: 0.0)
        for item in known:
            fact = manifest.decode(item).fact
            assert fact is not None
            self.memory.shown(fact)
        ledgers = Ledgers(api, "mcp-system", now=clock, jitter=lambda: 0.0)
        self.hook = Hook(api, self.memory, Metrics(), ledgers, unready=lambda: None, draining=lambda: False)

    async def asked(
        self, new: Any = None, old: Any = None, *, dry_run: bool = False, seconds: float = 5.0
    ) -> dict[str, Any]:
        operation = review.Operation.DELETE if new is None else review.Operation.UPDATE if old else None
        kind = (new or old)["kind"]
        question = review.Review(
            "u", operation or review.Operation.CREATE, kind, "shop", "n", new, old, dry_run=dry_run
        )
        return dict(json.loads(await self.hook.validate(question, seconds))["response"])


def message(answer: dict[str, Any]) -> str:
    return str(answer["status"]["message"])


async def test_of_two_at_one_moment_on_two_replicas_one_is_let_in() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())

    answers = await asyncio.gather(one.asked(tool("a")), two.asked(tool("b")))

    assert sorted(answer["allowed"] for answer in answers) == [False, True]
    denied = next(answer for answer in answers if not answer["allowed"])
    assert denied["status"]["reason"] == "DuplicateName"
    assert 'is being admitted right now to serve "get" on MCPServer shop/main' in message(denied)
    assert denied["auditAnnotations"]["verdict"] == "denied"


async def test_many_of_different_names_are_all_let_in() -> None:
    api = Api(server())
    replicas = [Replica(api, server()), Replica(api, server())]

    answers = await asyncio.gather(*(replicas[n % 2].asked(tool(f"t{n}", f"get_{n}")) for n in range(20)))

    assert all(answer["allowed"] for answer in answers)
    assert len(json.loads(api.items[LEDGER]["data"][ledger.PLAIN])["intents"]) == 20


async def test_alone_a_replica_writes_once_for_a_change_and_reads_once_for_all() -> None:
    api = Api(server())
    replica = Replica(api, server())

    for number in range(3):
        await replica.asked(tool(f"t{number}", f"get_{number}"))

    assert api.calls == [f"GET {LEDGER}", f"POST {LEDGER}", f"PUT {LEDGER}", f"PUT {LEDGER}"]


async def test_where_nobody_is_strict_nothing_is_read_or_written() -> None:
    api = Api()
    replica = Replica(api, server("Standard"))

    assert (await replica.asked(tool("a")))["allowed"]
    assert (await replica.asked(None, tool("a")))["allowed"]
    assert api.calls == []


async def test_a_dry_run_is_refused_alike_and_notes_nothing() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())

    assert (await one.asked(tool("a"), dry_run=True))["allowed"]
    assert LEDGER not in api.items
    await one.asked(tool("a"))
    assert not (await two.asked(tool("b"), dry_run=True))["allowed"]
    assert (await two.asked(None, tool("a"), dry_run=True))["allowed"]
    assert api.calls.count(f"POST {LEDGER}") == 1
    assert f"PUT {LEDGER}" not in api.calls


async def test_a_holder_that_has_been_stored_is_named_plainly() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await one.asked(tool("a"))
    api.items["a"] = tool("a", resourceVersion="9")

    answer = await two.asked(tool("b"))

    assert 'MCPTool shop/a already serves "get" on MCPServer shop/main' in message(answer)


async def test_a_write_that_never_came_gives_its_name_back() -> None:
    now = [1000.0]
    api = Api(server())
    one, two = (Replica(api, server(), clock=lambda: now[0]) for _ in range(2))
    await one.asked(tool("a"))

    assert not (await two.asked(tool("b")))["allowed"]
    now[0] += 91
    assert (await two.asked(tool("b")))["allowed"]


async def test_a_name_is_free_as_soon_as_its_holder_is_gone() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await one.asked(tool("a"))

    assert (await two.asked(None, tool("a")))["allowed"]
    one.memory.gone(manifest.decode(tool("a")).ref)

    assert (await one.asked(tool("b")))["allowed"]


async def test_a_renamed_holder_frees_its_name() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await one.asked(tool("a"))
    assert (await one.asked(tool("a", "put", resourceVersion="5"), tool("a", resourceVersion="5")))["allowed"]
    api.items["a"] = tool("a", "put", resourceVersion="6")

    assert (await two.asked(tool("b")))["allowed"]
    assert not (await two.asked(tool("c", "put")))["allowed"]


async def test_a_server_that_was_narrowed_meanwhile_refuses_nobody() -> None:
    api = Api(server(app="other"))
    one, two = Replica(api, server()), Replica(api, server())
    await one.asked(tool("a"))

    assert (await two.asked(tool("b")))["allowed"]


async def test_what_cannot_be_read_stays_believed() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await one.asked(tool("a"))
    reading = api.request

    async def failing(method: str, path: str, **more: Any) -> dict[str, Any]:
        if path.endswith("/a"):
            raise TimeoutError
        return await reading(method, path, **more)

    api.request = failing  # type: ignore[method-assign]

    assert not (await two.asked(tool("b")))["allowed"]


async def test_a_deletion_is_let_through_whatever_becomes_of_the_ledger() -> None:
    api = Api(server())
    replica = Replica(api, server())
    await replica.asked(tool("a"))
    api.refusals = [(500, "InternalError", "no")]

    assert (await replica.asked(None, tool("a")))["allowed"]


async def test_a_deletion_of_what_nobody_noted_writes_nothing() -> None:
    api = Api(server())

    assert (await Replica(api, server()).asked(None, tool("a")))["allowed"]
    assert api.calls == [f"GET {LEDGER}"]


async def test_a_deletion_takes_its_turn_too() -> None:
    api = Api(server())
    replica = Replica(api, server())
    await replica.asked(tool("a"))
    api.refusals = [(409, "Conflict", "it has changed")]

    await replica.asked(None, tool("a"))

    assert json.loads(api.items[LEDGER]["data"][ledger.PLAIN])["intents"][0]["landed"] is True


@pytest.mark.parametrize("status", [409, 404])
async def test_whoever_comes_second_reads_and_decides_again(status: int) -> None:
    api = Api(server())
    replica = Replica(api, server())
    await replica.asked(tool("a"))
    api.refusals = [(status, "Conflict", "it has changed")]

    assert (await replica.asked(tool("b", "put")))["allowed"]
    assert api.calls.count(f"GET {LEDGER}") == 2


async def ask(client_of: Any, replica: Replica, new: dict[str, Any], timeout: str = "5s") -> dict[str, Any]:
    client = await client_of(application(replica.hook))
    request = {"uid": "u", "kind": {"kind": "MCPTool"}, "operation": "CREATE", "namespace": "shop", "object": new}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer = await client.post("/validate", json=body, params={"timeout": timeout})
    assert answer.status == 200
    return dict((await answer.json())["response"])


async def test_without_a_turn_in_time_the_answer_is_to_try_again(aiohttp_client: Any) -> None:
    api = Api(server())
    api.refusals = [(409, "Conflict", "it has changed")] * 1_000_000
    replica = Replica(api, server())

    answer = await ask(aiohttp_client, replica, tool("a"), "0.8s")

    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "too many changes at once in shop" in message(answer)
    assert "try again in a second" in message(answer)


async def test_without_a_ledger_nothing_is_admitted(aiohttp_client: Any) -> None:
    api = Api(server())
    api.refusals = [(403, "Forbidden", "configmaps is forbidden")]

    answer = await ask(aiohttp_client, Replica(api, server()), tool("a"))

    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "the ledger of shop cannot be kept: 403 Forbidden: configmaps is forbidden" in message(answer)


@pytest.mark.parametrize(
    "content",
    [{}, {"data": {ledger.PLAIN: "no"}}, {"binaryData": {ledger.PACKED: "bm8="}}, {"binaryData": {ledger.PACKED: "!"}}],
)
async def test_what_is_no_ledger_is_named(aiohttp_client: Any, content: Any) -> None:
    api = Api(server())
    api.items[LEDGER] = {"metadata": {"name": LEDGER, "resourceVersion": "1"}, **content}

    answer = await ask(aiohttp_client, Replica(api, server()), tool("a"))

    assert answer["status"]["code"] == 503
    assert f"ConfigMap mcp-system/{LEDGER} is no ledger" in message(answer)
    assert "delete it" in message(answer)


def fat(value: str) -> dict[str, Any]:
    """A ledger in which one intent claims something long."""
    fact = MemberFact(Ref(Kind.RESOURCE, "shop", "fat"), {}, "", "", (Claim(Space.URI, value),), ())
    text = intent.dump([intent.Intent(fact, "u", "", 1000.0)]).decode()
    return {"metadata": {"name": LEDGER, "resourceVersion": "0"}, "data": {ledger.PLAIN: text}}


async def test_a_long_ledger_is_packed() -> None:
    api = Api(server(), fat("x" * ledger.READABLE))
    one, two = Replica(api, server()), Replica(api, server())

    assert (await one.asked(tool("a")))["allowed"]
    assert not (await two.asked(tool("b")))["allowed"]
    assert list(api.items[LEDGER]["binaryData"]) == [ledger.PACKED]


async def test_a_full_ledger_admits_nothing_more(aiohttp_client: Any) -> None:
    api = Api(server(), fat(hashlib.shake_256(b"noise").hexdigest(ledger.LIMIT)))

    answer = await ask(aiohttp_client, Replica(api, server()), tool("a"))

    assert answer["status"]["code"] == 503
    assert "the 2 writes of the last 330 s fill the ledger of shop; try again in a minute" in message(answer)
