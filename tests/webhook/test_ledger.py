"""Two replicas and one API server in memory: what is noted before a yes, and what keeps them from noting it."""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import hashlib
import itertools
import json
from typing import Any

import pytest

from cluster.informers.turns import Turns
from cluster.transport import ApiError
from crd import manifest
from crd.facts import Claim, MemberFact, Space
from crd.integrity import Change
from crd.ledger import page
from crd.ledger.intent import Intent
from crd.ledger.page import Page
from crd.ref import Kind, Ref
from tests.cluster.conftest import simulated
from tests.webhook.replica import Replica
from webhook import ledger, live_snapshot
from webhook.metrics import Metrics
from webhook.object_processes import ObjectProcesses
from webhook.server import Hook
from webhook.server import answer as answer_of

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
        for item in items:
            item["metadata"].setdefault("resourceVersion", "1")
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


async def asked(
    replica: Replica, new: Any = None, old: Any = None, *, dry_run: bool = False, seconds: float = 5.0
) -> dict[str, Any]:
    if new is None:
        return {"allowed": True, "warnings": await replica.delete(old, dry_run=dry_run)}
    decision = await replica.judge(new, old, dry_run=dry_run, seconds=seconds)
    return dict(json.loads(answer_of("u", decision))["response"])


def message(answer: dict[str, Any]) -> str:
    return str(answer["status"]["message"])


async def test_of_two_at_one_moment_on_two_replicas_one_is_let_in() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())

    answers = await asyncio.gather(asked(one, tool("a")), asked(two, tool("b")))

    assert sorted(answer["allowed"] for answer in answers) == [False, True]
    denied = next(answer for answer in answers if not answer["allowed"])
    assert denied["status"]["reason"] == "DuplicateName"
    assert 'is being admitted right now to serve "get" on MCPServer shop/main' in message(denied)
    assert denied["auditAnnotations"]["verdict"] == "denied"


async def test_many_of_different_names_are_all_let_in() -> None:
    api = Api(server())
    replicas = [Replica(api, server()), Replica(api, server())]

    answers = await asyncio.gather(*(asked(replicas[n % 2], tool(f"t{n}", f"get_{n}")) for n in range(20)))

    assert all(answer["allowed"] for answer in answers)
    assert len(json.loads(api.items[LEDGER]["data"][ledger.PLAIN])["intents"]) == 20


async def test_alone_a_replica_writes_once_for_a_change_and_reads_once_for_all() -> None:
    api = Api(server())
    replica = Replica(api, server())

    for number in range(3):
        await asked(replica, tool(f"t{number}", f"get_{number}"))

    assert api.calls == [f"GET {LEDGER}", f"POST {LEDGER}", f"PUT {LEDGER}", f"PUT {LEDGER}"]


async def test_while_another_replica_writes_too_the_ledger_is_read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt by what was written last would be refused, and then it would be read all the same."""
    monkeypatch.setattr(ledger, "GATHER", 0.0)
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    numbers = iter(range(20))

    async def calls_of(replica: Replica) -> list[str]:
        before = len(api.calls)
        number = next(numbers)
        assert (await asked(replica, tool(f"t{number}", f"get_{number}")))["allowed"]
        await replica.idle()
        return [call.partition(" ")[0] for call in api.calls[before:]]

    for replica in (one, two, one, two):
        await calls_of(replica)
    assert [await calls_of(replica) for replica in (one, two, one)] == [["GET", "PUT"]] * 3
    # Alone again.
    assert [await calls_of(one) for _ in range(3)] == [["GET", "PUT"], ["PUT"], ["PUT"]]


async def test_a_change_that_is_given_up_after_it_was_noted_is_withdrawn() -> None:
    """The snapshot moved meanwhile, and what it now blames is being read when the client goes."""
    waits = asyncio.Event()

    class Slow(Api):
        async def request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
            if method == "GET" and path.endswith("/late"):
                waits.set()
                await asyncio.Event().wait()
            answer = await super().request(method, path, **more)
            if method == "POST":
                replica.show(tool("late"))
            return answer

    api = Slow(server())
    replica = Replica(api, server())
    task = asyncio.create_task(asked(replica, tool("a")))
    await waits.wait()
    assert len(json.loads(api.items[LEDGER]["data"][ledger.PLAIN])["intents"]) == 1

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await replica.idle()

    assert json.loads(api.items[LEDGER]["data"][ledger.PLAIN])["intents"] == []


async def test_where_nobody_is_strict_nothing_is_read_or_written() -> None:
    api = Api()
    replica = Replica(api, server("Standard"))

    assert (await asked(replica, tool("a")))["allowed"]
    assert (await asked(replica, None, tool("a")))["allowed"]
    assert api.calls == []


async def test_a_dry_run_is_refused_alike_and_notes_nothing() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())

    assert (await asked(one, tool("a"), dry_run=True))["allowed"]
    assert LEDGER not in api.items
    await asked(one, tool("a"))
    assert not (await asked(two, tool("b"), dry_run=True))["allowed"]
    assert (await asked(two, None, tool("a"), dry_run=True))["allowed"]
    assert api.calls.count(f"POST {LEDGER}") == 1
    assert f"PUT {LEDGER}" not in api.calls


async def test_a_holder_that_has_been_stored_is_named_plainly() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await asked(one, tool("a"))
    api.items["a"] = tool("a", resourceVersion="9")

    answer = await asked(two, tool("b"))

    assert 'MCPTool shop/a already serves "get" on MCPServer shop/main' in message(answer)


async def test_a_write_that_never_came_gives_its_name_back() -> None:
    now = [1000.0]
    api = Api(server())
    one, two = (Replica(api, server(), now=lambda: now[0]) for _ in range(2))
    await asked(one, tool("a"))

    assert not (await asked(two, tool("b")))["allowed"]
    now[0] += 91
    assert (await asked(two, tool("b")))["allowed"]


async def test_a_name_is_free_as_soon_as_its_holder_is_gone() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await asked(one, tool("a"))

    assert (await asked(two, None, tool("a")))["allowed"]
    one.show(tool("a", resourceVersion="6"))
    one.remove(Kind.TOOL, "a")

    assert (await asked(one, tool("b")))["allowed"]


async def test_a_renamed_holder_frees_its_name() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await asked(one, tool("a"))
    assert (await asked(one, tool("a", "put", resourceVersion="5"), tool("a", resourceVersion="5")))["allowed"]
    api.items["a"] = tool("a", "put", resourceVersion="6")

    assert (await asked(two, tool("b")))["allowed"]
    assert not (await asked(two, tool("c", "put")))["allowed"]


async def test_a_server_that_was_narrowed_meanwhile_refuses_nobody() -> None:
    api = Api({**server(app="other"), "metadata": {**server()["metadata"], "resourceVersion": "2"}})
    one, two = Replica(api, server()), Replica(api, server())
    await asked(one, tool("a"))

    assert (await asked(two, tool("b")))["allowed"]


async def test_what_cannot_be_read_stays_believed() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await asked(one, tool("a"))
    reading = api.request

    async def failing(method: str, path: str, **more: Any) -> dict[str, Any]:
        if path.endswith("/a"):
            raise TimeoutError
        return await reading(method, path, **more)

    api.request = failing  # type: ignore[method-assign]

    assert not (await asked(two, tool("b")))["allowed"]


async def test_a_deletion_is_let_through_whatever_becomes_of_the_ledger() -> None:
    api = Api(server())
    replica = Replica(api, server())
    await asked(replica, tool("a"))
    api.refusals = [(500, "InternalError", "no")]

    assert (await asked(replica, None, tool("a")))["allowed"]


async def test_a_deletion_of_what_nobody_noted_writes_nothing() -> None:
    api = Api(server())

    assert (await asked(Replica(api, server()), None, tool("a")))["allowed"]
    assert api.calls == [f"GET {LEDGER}"]


async def test_a_deletion_takes_its_turn_too() -> None:
    api = Api(server())
    replica = Replica(api, server())
    await asked(replica, tool("a"))
    api.refusals = [(409, "Conflict", "it has changed")]

    await asked(replica, None, tool("a"))

    assert json.loads(api.items[LEDGER]["data"][ledger.PLAIN])["intents"][0]["landed"] is True


@pytest.mark.parametrize("status", [409, 404])
async def test_whoever_comes_second_reads_and_decides_again(status: int) -> None:
    api = Api(server())
    replica = Replica(api, server())
    await asked(replica, tool("a"))
    api.refusals = [(status, "Conflict", "it has changed")]

    assert (await asked(replica, tool("b", "put")))["allowed"]
    assert api.calls.count(f"GET {LEDGER}") == 2


def elsewhere(namespace: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return raw(kind, name, spec, namespace=namespace)


async def test_a_flood_in_one_namespace_fills_its_own_ledger_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ledger of a namespace cannot be written, as many changes wait as may; those of others are admitted."""
    api = Api(server())
    quiet = elsewhere("quiet", "MCPServer", "calm", server()["spec"])
    replica = Replica(api, server(), quiet)
    writable, noting = asyncio.Event(), api.request

    async def stuck(method: str, path: str, *, body: Any = None, **more: Any) -> dict[str, Any]:
        if path.endswith(LEDGER) or (body or {}).get("metadata", {}).get("name") == LEDGER:
            await writable.wait()
        return await noting(method, path, body=body, **more)

    api.request = stuck  # type: ignore[method-assign]
    monkeypatch.setattr(ledger, "WAITING", 20)
    flood = [asyncio.create_task(asked(replica, tool(f"t{number}", f"get_{number}"))) for number in range(60)]
    while sum(task.done() for task in flood) < 40:
        await asyncio.sleep(0)

    change = Change(Ref(Kind.TOOL, "quiet", "a"), None, manifest.decode(elsewhere("quiet", "MCPTool", "a", SPEC)))
    assert (await replica.ledgers.reserve(change)).allowed

    refused = [task.exception() for task in flood if task.done()]
    assert {type(error) for error in refused} == {ledger.LedgerError}
    assert str(refused[0]) == "20 changes in shop, where an MCPServer is Strict, are waiting; try again in a second"
    writable.set()
    assert all([(await task)["allowed"] for task in flood if not task.done()])


SPEC = {"name": "get", "service": {"name": "orders", "port": 80}}


async def test_what_is_not_waited_for_any_more_is_forgotten() -> None:
    api = Api(server())
    replica = Replica(api, server())
    writer = replica.ledgers._writer("shop")
    reading = asyncio.Event()

    async def stuck(*_: Any, **__: Any) -> dict[str, Any]:
        await reading.wait()
        raise ApiError(404, "NotFound", "no")

    api.request = stuck  # type: ignore[method-assign]
    waiting = [asyncio.create_task(asked(replica, tool("t0", "get_0")))]
    while writer.is_idle or writer._waiting:
        await asyncio.sleep(0)
    waiting += [asyncio.create_task(asked(replica, tool(f"t{n}", f"get_{n}"))) for n in range(1, 5)]
    while len(writer._waiting) != 4:
        await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    # The first is being written; its intent has to be withdrawn.
    assert writer._waiting == []
    assert len(writer._withdrawn) == 1
    item = manifest.decode(tool("a"))
    for number in range(ledger.NOTES + 10):
        writer.withdraw(Change(item.ref, None, item))
        writer.mark_stored(str(number))
    assert (len(writer._withdrawn), len(writer._marked)) == (ledger.NOTES, ledger.NOTES)
    await replica.ledgers.stop()


async def test_the_ledgers_of_a_bounded_number_of_namespaces_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "IDLE_WRITERS", 3)
    replica = Replica(Api(server()), server())
    busy = replica.ledgers._writer("busy")
    busy._task = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]

    for number in range(10):
        replica.ledgers._writer(f"ns-{number}")

    assert [*replica.ledgers._writers] == ["busy", "ns-8", "ns-9"]
    await busy.stop()


async def test_a_ledger_is_inflated_to_a_bound() -> None:
    bomb = gzip.compress(b" " * (ledger.TEXT_LIMIT + 1), mtime=0)
    stored = {"metadata": {"name": LEDGER}, "binaryData": {ledger.PACKED: base64.b64encode(bomb).decode()}}
    replica = Replica(Api(server(), stored), server())

    with pytest.raises(ledger.LedgerError, match=r"is not a ledger \(intents.json.gz is cut, or inflates to more"):
        await asked(replica, tool("a"))


async def ask(client_of: Any, replica: Replica, new: dict[str, Any], timeout: str = "5s") -> dict[str, Any]:
    hook = Hook(replica.reviewer, ObjectProcesses(), Metrics(), unready=lambda: None, draining=lambda: False)
    client = await client_of(hook)
    request = {"uid": "u", "kind": {"kind": "MCPTool"}, "operation": "CREATE", "namespace": "shop", "object": new}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer = await client.post("/validate", json=body, params={"timeout": timeout})
    assert answer.status == 200
    return dict((await answer.json())["response"])


async def test_without_a_turn_in_time_the_answer_is_to_try_again(hook_client: Any) -> None:
    api = Api(server())
    api.refusals = [(409, "Conflict", "it has changed")] * 1_000_000
    replica = Replica(api, server())

    answer = await ask(hook_client, replica, tool("a"), "0.8s")

    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "too many changes at once in shop" in message(answer)
    assert "try again in a second" in message(answer)


async def test_without_a_ledger_nothing_is_admitted(hook_client: Any) -> None:
    api = Api(server())
    api.refusals = [(403, "Forbidden", "configmaps is forbidden")]

    answer = await ask(hook_client, Replica(api, server()), tool("a"))

    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "the ledger of shop cannot be kept: 403 Forbidden: configmaps is forbidden" in message(answer)


@pytest.mark.parametrize(
    "content",
    [{}, {"data": {ledger.PLAIN: "no"}}, {"binaryData": {ledger.PACKED: "bm8="}}, {"binaryData": {ledger.PACKED: "!"}}],
)
async def test_what_is_not_a_ledger_is_named(hook_client: Any, content: Any) -> None:
    api = Api(server())
    api.items[LEDGER] = {"metadata": {"name": LEDGER, "resourceVersion": "1"}, **content}

    answer = await ask(hook_client, Replica(api, server()), tool("a"))

    assert answer["status"]["code"] == 503
    assert f"ConfigMap mcp-system/{LEDGER} is not a ledger" in message(answer)
    assert "delete it" in message(answer)


def fat(value: str) -> dict[str, Any]:
    """A ledger in which one intent claims something long."""
    fact = MemberFact(Ref(Kind.RESOURCE, "shop", "fat"), {}, "", "", (Claim(Space.URI, value),), ())
    text = page.dump(Page((Intent(fact, "u", "", 1000.0),))).decode()
    return {"metadata": {"name": LEDGER, "resourceVersion": "0"}, "data": {ledger.PLAIN: text}}


async def test_a_long_ledger_is_packed() -> None:
    api = Api(server(), fat("x" * ledger.READABLE))
    one, two = Replica(api, server()), Replica(api, server())

    assert (await asked(one, tool("a")))["allowed"]
    assert not (await asked(two, tool("b")))["allowed"]
    assert list(api.items[LEDGER]["binaryData"]) == [ledger.PACKED]


async def test_a_full_ledger_admits_nothing_more(hook_client: Any) -> None:
    api = Api(server(), fat(hashlib.shake_256(b"noise").hexdigest(ledger.LIMIT)))

    answer = await ask(hook_client, Replica(api, server()), tool("a"))

    assert answer["status"]["code"] == 503
    assert "the 2 writes of the last 330 s fill the ledger of shop; try again in a minute" in message(answer)


async def test_changes_that_wait_together_are_noted_in_one_write() -> None:
    api = Api(server())
    replica = Replica(api, server())

    answers = await asyncio.gather(*(asked(replica, tool(f"t{number}", f"get_{number}")) for number in range(20)))

    assert all(answer["allowed"] for answer in answers)
    assert api.calls == [f"GET {LEDGER}", f"POST {LEDGER}"]


async def test_of_two_that_wait_together_one_is_noted() -> None:
    api = Api(server())
    replica = Replica(api, server())

    verdicts = await asyncio.gather(
        *(
            replica.ledgers.reserve(Change(each.ref, None, each))
            for each in map(manifest.decode, (tool("a"), tool("b")))
        )
    )

    assert [verdict.allowed for verdict in verdicts] == [True, False]
    assert [entry.fact.ref.name for entry in noted(api).intents] == ["a"]


def noted(api: Api) -> Page:
    return page.load(api.items[LEDGER]["data"][ledger.PLAIN].encode())


async def test_what_a_watch_has_shown_leaves_the_ledger_and_others_wait_until_they_have_seen_it() -> None:
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())
    await asked(one, tool("a"))
    stored = tool("a", resourceVersion="40")
    one.show(stored)
    await asked(one, tool("b", "put"))
    assert [entry.fact.ref.name for entry in noted(api).intents] == ["b"]
    assert noted(api).horizon == {Kind.TOOL: 40}

    waiting = asyncio.create_task(asked(two, tool("c")))
    while api.calls.count(f"GET {LEDGER}") != 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    api.items["a"] = stored
    two.show(stored)
    two.reach(Kind.TOOL, "40")

    assert not (await waiting)["allowed"]
    await two.idle()
    assert [entry.fact.ref.name for entry in noted(api).intents] == ["b"]


async def test_a_replica_that_stays_behind_admits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BEHIND_SECONDS", 0.01)
    api = Api(server(), {
        "metadata": {"name": LEDGER, "resourceVersion": "1"},
        "data": {ledger.PLAIN: page.dump(Page((), {Kind.TOOL: 40})).decode()},
    })  # fmt: skip

    with pytest.raises(ledger.LedgerError, match="try again in a second"):
        await asked(Replica(api, server()), tool("a"))


async def test_what_was_never_stored_is_looked_for_when_it_is_overdue() -> None:
    now = [1000.0]
    api = Api(server())
    replica = Replica(api, server(), now=lambda: now[0])
    await asked(replica, tool("a"))
    await asked(replica, tool("b", "put"))
    api.items["b"] = tool("b", "put", resourceVersion="44")

    now[0] += 91
    await asked(replica, tool("c", "patch"))

    assert [entry.fact.ref.name for entry in noted(api).intents] == ["c"]
    assert noted(api).horizon == {Kind.TOOL: 44}


async def test_a_change_that_is_refused_after_it_was_noted_is_withdrawn() -> None:
    standard = raw("MCPServer", "std", {"toolSelector": {"matchLabels": {"app": "shop"}}})
    strict = raw("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "other"}}, "integrity": "Strict"})
    api = Api(standard, strict)
    replica = Replica(api, standard, strict)
    waiting = asyncio.create_task(asked(replica, tool("a")))
    while not api.calls:
        await asyncio.sleep(0)
    replica.show(tool("b", resourceVersion="50"))
    api.items["b"] = tool("b", resourceVersion="50")

    assert not (await waiting)["allowed"]
    await replica.idle()
    assert noted(api).intents == ()


async def test_a_caller_that_gives_up_takes_its_change_along() -> None:
    api = Api(server())
    replica = Replica(api, server())
    waiting = asyncio.create_task(asked(replica, tool("a")))
    while not api.calls:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    await replica.idle()
    assert LEDGER not in api.items or noted(api).intents == ()


async def test_a_writer_that_is_stopped_answers_nobody() -> None:
    api = Api(server())
    replica = Replica(api, server())
    waiting = asyncio.create_task(asked(replica, tool("a")))
    while not api.calls:
        await asyncio.sleep(0)

    await replica.ledgers.stop()
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)


def intents(count: int) -> Page:
    refs = [Ref(Kind.TOOL, "shop", f"t{number}") for number in range(count)]
    facts = [MemberFact(ref, {}, "", "", (Claim(Space.URI, ref.name),), ()) for ref in refs]
    return Page(tuple(Intent(fact, f"u-{fact.ref.name}", "", 1000.0) for fact in facts))


def test_a_ledger_is_a_config_map_that_says_whose_it_is() -> None:
    page_of = intents(2)
    manifest = ledger._packed("mcp-system", "shop", page_of)

    assert manifest == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "namespace": "mcp-system",
            "name": LEDGER,
            "labels": {"app.kubernetes.io/part-of": "mcp-operator", "mcp.example.com/ledger-of": "shop"},
        },
        "data": {"intents.json": page.dump(page_of).decode()},
    }
    assert page.load(ledger._unpacked(manifest)) == page_of


def test_a_ledger_is_packed_above_a_size_and_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    page_of = intents(50)
    text = page.dump(page_of)
    monkeypatch.setattr(ledger, "READABLE", len(text))
    assert "data" in ledger._packed("mcp-system", "shop", page_of)
    monkeypatch.setattr(ledger, "READABLE", len(text) - 1)
    packed = ledger._packed("mcp-system", "shop", page_of)
    assert "data" not in packed
    assert list(packed["binaryData"]) == ["intents.json.gz"]
    assert packed["metadata"]["name"] == LEDGER
    content = base64.b64decode(packed["binaryData"]["intents.json.gz"])
    assert gzip.decompress(content) == text
    assert len(content) < len(text) / 4
    assert page.load(ledger._unpacked(packed)) == page_of

    for name, most in (("TEXT_LIMIT", len(text)), ("LIMIT", len(content)), ("MAX_INTENTS", 50)):
        with monkeypatch.context() as bounded:
            bounded.setattr(ledger, name, most)
            assert ledger._unpacked(ledger._packed("mcp-system", "shop", page_of)) == text
            bounded.setattr(ledger, name, most - 1)
            with pytest.raises(ledger.LedgerError, match=r"^the 50 writes of the last 330 s fill the ledger of shop; "):
                ledger._packed("mcp-system", "shop", page_of)
    monkeypatch.setattr(ledger, "TEXT_LIMIT", len(text) - 1)
    with pytest.raises(ValueError, match=f"inflates to more than {len(text) - 1} bytes"):
        ledger._unpacked(packed)


@pytest.mark.parametrize("found", [{}, {"data": None, "binaryData": None}, {"data": {"other": "{}"}}])
def test_a_config_map_without_a_ledger_is_none(found: dict[str, Any]) -> None:
    with pytest.raises(page.InvalidLedgerError, match=r"^neither intents\.json nor intents\.json\.gz is there$"):
        ledger._unpacked(found)


def reserve(replica: Replica, name: str) -> Any:
    item = manifest.decode(tool(name, name))
    return replica.ledgers.reserve(Change(item.ref, None, item))


def test_changes_gather_for_a_moment_after_a_write() -> None:
    async def main() -> None:
        loop, api = asyncio.get_running_loop(), Api(server())
        replica = Replica(api, server())
        assert (await reserve(replica, "a")).allowed
        assert loop.time() == 0
        waiting = [asyncio.ensure_future(reserve(replica, name)) for name in ("b", "c")]
        await asyncio.gather(*waiting)
        assert loop.time() == pytest.approx(ledger.GATHER)
        assert api.calls == [f"GET {LEDGER}", f"POST {LEDGER}", f"PUT {LEDGER}"]
        # What was written long ago keeps nobody.
        await asyncio.sleep(10)
        began = loop.time()
        assert (await reserve(replica, "d")).allowed
        assert loop.time() == began

    simulated(main())


def test_whoever_comes_second_waits_a_random_moment() -> None:
    async def main() -> None:
        loop, api = asyncio.get_running_loop(), Api(server())
        replica = Replica(api, server())
        replica.ledgers._jitter = lambda: 0.5
        api.refusals = [(409, "Conflict", "it has changed")] * 3
        assert (await reserve(replica, "a")).allowed
        assert loop.time() == pytest.approx(3 * ledger.PAUSE * 0.5)

    simulated(main())


def test_a_replica_waits_so_long_for_its_watches() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        text = page.dump(Page((), {Kind.TOOL: 40})).decode()
        stored = {"metadata": {"name": LEDGER, "resourceVersion": "1"}, "data": {ledger.PLAIN: text}}
        replica = Replica(Api(server(), stored), server())
        with pytest.raises(ledger.LedgerError) as raised:
            await reserve(replica, "a")
        assert loop.time() == pytest.approx(ledger.BEHIND_SECONDS, abs=2 * ledger.BEHIND_INTERVAL)
        assert str(raised.value) == (
            "this replica has yet to see changes that the ledger of shop takes for known; try again in a second"
        )
        # The next one may find that they have come.
        began = loop.time()
        waiting = asyncio.ensure_future(reserve(replica, "a"))
        await asyncio.sleep(1)
        assert not waiting.done()
        replica.reach(Kind.TOOL, "40")
        assert (await waiting).allowed
        assert loop.time() - began <= 1 + 2 * ledger.BEHIND_INTERVAL

    simulated(main())


async def test_a_write_notes_so_many_changes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BATCH", 3)
    monkeypatch.setattr(ledger, "GATHER", 0.0)
    api = Api(server())
    replica = Replica(api, server())

    verdicts = await asyncio.gather(*(reserve(replica, f"t{number}") for number in range(7)))

    assert all(verdict.allowed for verdict in verdicts)
    assert api.calls == [f"GET {LEDGER}", f"POST {LEDGER}", f"PUT {LEDGER}", f"PUT {LEDGER}"]
    assert [entry.fact.ref.name for entry in noted(api).intents] == [f"t{number}" for number in range(7)]


async def test_of_what_waits_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "WAITING", 2)
    replica = Replica(Api(server()), server())
    waiting = [asyncio.ensure_future(reserve(replica, f"t{number}")) for number in range(3)]

    found = await asyncio.gather(*waiting, return_exceptions=True)

    assert [isinstance(each, ledger.LedgerError) for each in found] == [False, False, True]


async def test_an_api_server_that_does_not_answer_is_an_error_for_each_that_waits() -> None:
    api = Api(server())
    api.refusals = [(500, "InternalError", "etcd")]
    replica = Replica(api, server())

    found = await asyncio.gather(reserve(replica, "a"), reserve(replica, "b"), return_exceptions=True)
    assert [str(each) for each in found] == ["500 InternalError: etcd"] * 2
    # What was remembered may not be what stands.
    assert (await reserve(replica, "c")).allowed
    assert api.calls == [f"GET {LEDGER}", f"POST {LEDGER}"] * 2


async def test_a_ledger_that_was_deleted_is_made_again() -> None:
    api = Api(server())
    replica = Replica(api, server())
    assert (await reserve(replica, "a")).allowed
    del api.items[LEDGER]

    assert (await reserve(replica, "b")).allowed
    assert [entry.fact.ref.name for entry in noted(api).intents] == ["b"]


async def test_a_replica_that_only_reads_sees_too_that_another_one_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "GATHER", 0.0)
    api = Api(server())
    one, two = Replica(api, server()), Replica(api, server())

    async def read(name: str) -> None:
        item = manifest.decode(tool(name, name))
        assert (await two.ledgers.reserve(Change(item.ref, None, item), dry_run=True)).allowed

    for name in ("b", "c"):
        assert (await reserve(one, f"{name}-one")).allowed
        await read(name)
    assert (await reserve(one, "last")).allowed
    api.calls.clear()

    assert (await reserve(two, "d")).allowed
    assert api.calls == [f"GET {LEDGER}", f"PUT {LEDGER}"]


async def test_a_replica_decides_by_the_ledger_once_its_snapshot_has_what_the_watch_showed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_snapshot, "QUICK", -1)
    api = Api(server())
    replica = Replica(api, server())
    replica.live.spread(lambda: None)
    replica.show(tool("b", "get"), version="9")

    waiting = asyncio.ensure_future(reserve(replica, "a"))
    await asyncio.sleep(3 * ledger.BEHIND_INTERVAL)
    assert not waiting.done()
    replica.live.spread(None)
    assert replica.live.current.member(Ref(Kind.TOOL, "shop", "b")) is not None
    await waiting


async def test_a_decision_about_many_intents_is_made_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "GATHER", 0.0)
    api = Api(server())
    replica = Replica(api, server())
    await asyncio.gather(*(reserve(replica, f"t{number}") for number in range(20)))
    replica.slices._turns = Turns(itertools.count().__next__)
    iterations = 0

    waiting = asyncio.ensure_future(reserve(replica, "last"))
    while not waiting.done():
        await asyncio.sleep(0)
        iterations += 1

    assert iterations > 20
