"""Two changes that conflict never pass one process, whatever was waited for; nobody is refused for what is gone."""

from __future__ import annotations

import asyncio
import copy
import itertools
from typing import Any

import pytest

from cluster.informers.turns import Turns
from cluster.transport import ApiError
from crd import manifest
from crd.finding import Verdict
from crd.ref import Kind, Ref
from tests.cluster.conftest import simulated
from tests.webhook.replica import Replica
from webhook import admit, live_snapshot, object_process, review, reviewer
from webhook.ledger import LedgerError
from webhook.live_snapshot import LANDING_SECONDS, WRITES
from webhook.metrics import Metrics
from webhook.object_cache import ObjectCache
from webhook.object_processes import ExceededError, ObjectProcesses
from webhook.reviewer import CrowdedError
from webhook.server import Hook


def raw(kind: str, name: str, spec: dict[str, Any], app: str = "shop", **metadata: Any) -> dict[str, Any]:
    common = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": app}}
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {**common, **metadata},
        "spec": spec,
    }


def tool(name: str, served: str = "get", app: str = "shop", **metadata: Any) -> dict[str, Any]:
    return raw("MCPTool", name, {"name": served, "service": {"name": "orders", "port": 80}}, app, **metadata)


def server(name: str = "main", app: str = "shop", integrity: str = "Standard") -> dict[str, Any]:
    return raw("MCPServer", name, {"toolSelector": {"matchLabels": {"app": app}}, "integrity": integrity})


class Api:
    """Objects by name; ``before`` is run before a read is answered, and its result is the answer if there is one."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = {item["metadata"]["name"]: item for item in items}
        for item in items:
            item["metadata"].setdefault("resourceVersion", "1")
        self.reads: list[str] = []
        self.before: Any = lambda _name: None

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        if method != "GET":
            name = body["metadata"]["name"]
            self.items[name] = {**copy.deepcopy(body), "metadata": {**body["metadata"], "resourceVersion": "1"}}
            return self.items[name]
        name = path.rpartition("/")[2]
        self.reads.append(name)
        found = self.before(name) or self.items.get(name)
        if found is None:
            raise ApiError(404, "NotFound", "no")
        return dict(copy.deepcopy(found))


async def test_a_read_that_the_watch_has_overtaken_does_not_bring_the_old_state_back() -> None:
    before, after = tool("a", "old", resourceVersion="1"), tool("a", "new", resourceVersion="2")
    api = Api(server(), before)
    replica = Replica(api, server(), before)

    def overtake(name: str) -> Any:
        if name == "a":
            replica.show(after)
            return before
        return None

    api.before = overtake

    assert (await replica.judge(tool("b", "old"))).allowed
    assert replica.stored("a").served_name == "new"
    api.before = lambda name: after if name == "a" else None
    assert not (await replica.judge(tool("c", "new"))).allowed


async def test_a_denial_that_blames_what_nobody_has_seen_stored_says_so() -> None:
    now = [1000.0]
    api = Api(server())
    replica = Replica(api, server(), now=lambda: now[0])
    assert (await replica.judge(tool("a"))).allowed
    now[0] += 5

    denied = await replica.judge(tool("b"))

    assert not denied.allowed
    assert "MCPTool shop/a was admitted 5 s ago and is not stored yet; try again in 60 s" in denied.message
    assert api.reads == ["main", "a"]


async def test_an_admitted_write_that_was_never_stored_stops_counting_when_a_read_shows_its_absence() -> None:
    now = [1000.0]
    replica = Replica(Api(server()), server(), now=lambda: now[0])
    await replica.judge(tool("a"))

    now[0] += LANDING_SECONDS + 1

    assert (await replica.judge(tool("b"))).allowed


async def test_a_rename_that_was_refused_later_stops_counting_when_another_version_is_stored() -> None:
    first = tool("a", "first", resourceVersion="3")
    api = Api(server(), tool("a", "third", resourceVersion="4"))
    replica = Replica(api, server(), first)
    assert (await replica.judge(tool("a", "second", resourceVersion="3"), first)).allowed

    assert (await replica.judge(tool("b", "second"))).allowed
    assert replica.stored("a").served_name == "third"


async def test_the_name_that_a_rename_gives_up_is_taken_until_the_rename_is_stored() -> None:
    first, second = tool("a", "first", resourceVersion="3"), tool("a", "second", resourceVersion="3")
    api = Api(server(), first)
    replica = Replica(api, server(), first)
    assert (await replica.judge(second, first)).allowed

    denied = await replica.judge(tool("b", "first"))
    assert not denied.allowed
    assert "MCPTool shop/a was admitted 0 s ago and is not stored yet" in denied.message

    api.items["a"] = tool("a", "second", resourceVersion="4")
    assert (await replica.judge(tool("b", "first"))).allowed


async def test_a_server_that_widens_is_held_to_what_its_members_may_still_be() -> None:
    first = tool("a", "first", resourceVersion="3")
    other = tool("b", "first", app="other", resourceVersion="2")
    api = Api(first, other)
    narrow = server()
    replica = Replica(api, narrow, first, other)
    assert (await replica.judge(tool("a", "second", resourceVersion="3"), first)).allowed

    wide = copy.deepcopy(narrow)
    wide["spec"]["toolSelector"] = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}

    assert not (await replica.judge(wide, narrow)).allowed


@pytest.mark.parametrize("beside", [(), (server("strict", "elsewhere", "Strict"),)])
async def test_of_two_on_a_standard_server_one_passes_also_beside_a_strict_one(beside: Any) -> None:
    servers = (server(), *beside)
    replica = Replica(Api(*servers), *servers)

    decisions = await asyncio.gather(replica.judge(tool("a")), replica.judge(tool("b")))

    assert sorted(decision.allowed for decision in decisions) == [False, True]


async def test_a_dry_run_is_not_remembered_where_a_server_is_strict() -> None:
    replica = Replica(Api(server(integrity="Strict")), server(integrity="Strict"))

    assert (await replica.judge(tool("a"), dry_run=True)).allowed
    assert replica.stored("a") is None


class SlowProcesses:
    """Judges as the processes do, once it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def judge(self, body: bytes) -> Any:
        await self.go.wait()
        return object_process.answer(body)


async def test_what_was_admitted_while_a_large_object_was_judged_counts(hook_client: Any) -> None:
    api = Api(server())
    replica = Replica(api, server())
    processes = SlowProcesses()
    metrics = Metrics()
    hook = Hook(replica.reviewer, processes, metrics, unready=lambda: None, draining=lambda: False)  # type: ignore[arg-type]
    client = await hook_client(hook)

    async def ask(new: dict[str, Any]) -> dict[str, Any]:
        request = {"uid": "u", "kind": {"kind": "MCPTool"}, "operation": "CREATE", "namespace": "shop", "object": new}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        return dict((await (await client.post("/validate", json=body)).json())["response"])

    large = asyncio.create_task(ask(tool("large", annotations={"note": "x" * 40_000})))
    while not hook._bodies.complete:
        await asyncio.sleep(0)
    assert metrics.registry.get_sample_value("mcp_operator_admission_in_flight") == 1
    assert (await ask(tool("small")))["allowed"]
    processes.go.set()

    denied = await large
    assert not denied["allowed"]
    assert denied["status"]["reason"] == "DuplicateName"


def large_body() -> dict[str, Any]:
    large = tool("large", annotations={"note": "x" * 40_000})
    request = {"uid": "u-9", "kind": {"kind": "MCPTool"}, "operation": "CREATE", "namespace": "shop", "object": large}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def test_a_full_queue_is_a_refusal_and_waiting_has_an_end(hook_client: Any) -> None:
    replica = Replica(Api(server()), server())
    # No process was started, so reviews wait for one until their time is over.
    hook = Hook(replica.reviewer, ObjectProcesses(1), Metrics(), unready=lambda: None, draining=lambda: False)
    client = await hook_client(hook)

    answers = await asyncio.gather(*(client.post("/validate?timeout=0.4s", json=large_body()) for _ in range(65)))

    responses = [(await answer.json())["response"] for answer in answers]
    assert sorted(answer.status for answer in answers) == [200] + [504] * 64
    assert sorted(response["status"]["code"] for response in responses) == [429] + [504] * 64
    assert {response["uid"] for response in responses} == {"u-9"}


async def test_a_judgement_past_its_bounds_is_a_failure_that_is_counted_elsewhere(hook_client: Any) -> None:
    class Exceeding:
        async def judge(self, _body: bytes) -> Any:
            raise ExceededError("the object takes too long to judge; make it smaller")

    replica = Replica(Api(server()), server())
    hook = Hook(replica.reviewer, Exceeding(), Metrics(), unready=lambda: None, draining=lambda: False)  # type: ignore[arg-type]
    client = await hook_client(hook)

    answer = await client.post("/validate", json=large_body())

    response = (await answer.json())["response"]
    assert (answer.status, response["uid"], response["allowed"]) == (500, "u-9", False)
    assert "make it smaller" in response["status"]["message"]


async def test_a_namespace_with_slow_objects_is_judged_elsewhere_for_a_while(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[bytes] = []

    class Recording:
        async def judge(self, body: bytes) -> Any:
            judged.append(body)
            return object_process.answer(body)

    replica = Replica(Api(server()), server())
    hook = Hook(replica.reviewer, Recording(), Metrics(), unready=lambda: None, draining=lambda: False)  # type: ignore[arg-type]
    client = await hook_client(hook)
    cpu = iter([0.0, 0.011, 1.0, 1.011, 2.0, 2.0])
    monkeypatch.setattr("webhook.server.time.thread_time", lambda: next(cpu))

    async def ask(name: str, namespace: str) -> None:
        new = tool(name, name.replace("-", "_"))
        new["metadata"]["namespace"] = namespace
        request = {
            "uid": "u",
            "kind": {"kind": "MCPTool"},
            "operation": "CREATE",
            "namespace": namespace,
            "object": new,
        }
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        assert (await (await client.post("/validate", json=body)).json())["response"]["allowed"]

    await ask("slow", "one")
    await ask("also", "one")
    assert judged == []
    await ask("next", "one")
    await ask("other", "two")
    assert [b"next" in body for body in judged] == [True]

    hook._slow.until["one"] = 0.0
    cpu = iter([0.0, 0.0])
    await ask("later", "one")
    assert len(judged) == 1


GRANT = {
    "apiVersion": "gateway.networking.k8s.io/v1beta1",
    "kind": "ReferenceGrant",
    "metadata": {"name": "shop", "namespace": "other", "uid": "g", "resourceVersion": "1"},
    "spec": {
        "from": [{"group": "mcp.example.com", "kind": "MCPTool", "namespace": "shop"}],
        "to": [{"group": "", "kind": "Service"}],
    },
}


class Granting:
    """An API server that has a grant which the watch has not shown yet."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.paths: list[str] = []

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        self.paths.append(path)
        if path.endswith("/services/orders"):
            return dict(copy.deepcopy(ORDERS))
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"items": copy.deepcopy(self.answer)}


ORDERS = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "orders", "namespace": "other", "uid": "s", "resourceVersion": "1"},
    "spec": {"ports": [{"port": 80}], "clusterIP": "10.0.0.1", "selector": {"app": "orders"}},
}


@pytest.mark.parametrize(
    ("answer", "allowed", "logged"),
    [
        ([GRANT], True, False),
        ([], False, False),
        (ApiError(404, "NotFound", "no such resource"), False, False),
        (ApiError(500, "InternalError", "no"), False, True),
        (TimeoutError(), False, True),
    ],
    ids=["granted", "not granted", "not installed", "broken", "late"],
)
async def test_a_grant_that_came_a_moment_earlier_is_read(
    answer: Any, allowed: bool, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    api = Granting(answer)
    replica = Replica(api, ORDERS)
    asking = tool("a")
    asking["spec"]["service"]["namespace"] = "other"

    decision = await replica.judge(asking)

    assert decision.allowed is allowed
    assert "/apis/gateway.networking.k8s.io/v1beta1/namespaces/other/referencegrants" in api.paths
    assert ("reading the ReferenceGrants of other before a denial" in caplog.text) is logged


async def test_of_one_object_only_so_many_writes_may_be_on_their_way() -> None:
    api = Api(server())
    replica = Replica(api, server())
    for number in range(WRITES):
        assert (await replica.judge(tool("a", f"get_{number}", uid=f"u{number}"))).allowed

    def fail(_name: str) -> Any:
        raise ApiError(500, "InternalError", "later")

    api.before = fail

    with pytest.raises(CrowdedError, match=r"8 changes of MCPTool shop/a are admitted .*; try again in a second"):
        await replica.judge(tool("a", "another", uid="v"))
    assert (await replica.judge(tool("a", "another", uid="v"), dry_run=True)).allowed
    assert (await replica.judge(tool("b", "another"))).allowed


async def test_a_crowded_object_is_read_and_judged_when_one_of_its_writes_was_stored() -> None:
    api = Api(server())
    replica = Replica(api, server())
    for number in range(WRITES):
        await replica.judge(tool("a", f"get_{number}", uid=f"u{number}"))
    api.items["a"] = tool("a", "get_3", uid="u3", resourceVersion="9")

    assert (await replica.judge(tool("a", "next", uid="u3"), tool("a", "get_3", uid="u3", resourceVersion="9"))).allowed
    assert "a" in api.reads


def test_most_of_the_time_there_is_goes_into_waiting_for_the_ledger() -> None:
    async def main() -> None:
        loop, api = asyncio.get_running_loop(), Api(server(integrity="Strict"))
        replica = Replica(api, server(integrity="Strict"))

        async def stuck(*_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

        api.request = stuck  # type: ignore[method-assign]
        with pytest.raises(LedgerError) as raised:
            await replica.judge(tool("a"), seconds=5.0)
        assert loop.time() == pytest.approx(4.0)
        assert str(raised.value) == (
            "too many changes at once in shop, where an MCPServer is Strict; try again in a second"
        )
        await replica.ledgers.stop()

    simulated(main())


async def test_a_ledger_that_cannot_be_kept_says_why() -> None:
    api = Api(server(integrity="Strict"))
    replica = Replica(api, server(integrity="Strict"))

    async def away(*_: Any, **__: Any) -> Any:
        raise OSError("connection refused")

    api.request = away  # type: ignore[method-assign]
    with pytest.raises(LedgerError) as raised:
        await replica.judge(tool("a"))
    assert str(raised.value) == "the ledger of shop cannot be kept: connection refused; try again in a moment"
    assert replica.stored("a") is None


def test_a_read_before_a_denial_has_the_deadline_of_the_review() -> None:
    async def main() -> None:
        loop, api = asyncio.get_running_loop(), Api(server(), tool("a"))
        replica = Replica(api, server(), tool("a"))

        async def stuck(*_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

        api.request = stuck  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            await replica.judge(tool("b"), seconds=3.0)
        assert loop.time() == pytest.approx(3.0)
        assert replica.stored("b") is None
        # And so has the read of a crowded object.
        for number in range(WRITES):
            assert replica.reviewer.validate_at_once(
                admitted(tool("c", f"get_{number}", uid=f"u{number}")), dry_run=False
            )
        with pytest.raises(TimeoutError):
            await replica.judge(tool("c", "more", uid="v"), seconds=2.0)
        assert loop.time() == pytest.approx(5.0)

    simulated(main())


def admitted(new: dict[str, Any]) -> Any:
    asked = review.Review("u", review.Operation.CREATE, new["kind"], "shop", new["metadata"]["name"], new, None)
    return admit.judge_object(asked, ObjectCache())


async def test_only_what_needs_no_waiting_is_judged_at_once() -> None:
    with_secret = tool("s", "other")
    with_secret["spec"]["headersFrom"] = [{"name": "X-Key", "secretKeyRef": {"name": "keys", "key": "k"}}]
    strict = server(integrity="Strict")
    noting = Replica(Api(strict), strict).reviewer
    replica = Replica(Api(server()), server())
    at_once = replica.reviewer.validate_at_once

    assert at_once(admitted(with_secret), dry_run=False) is None
    assert noting.validate_at_once(admitted(tool("a")), dry_run=False) is None
    dry = at_once(admitted(tool("a")), dry_run=True)
    assert dry is not None
    assert dry.allowed
    assert replica.stored("a") is None
    found = at_once(admitted(tool("a")), dry_run=False)
    assert found is not None
    assert replica.stored("a") is not None
    # A refusal waits for a read of what it blames.
    assert at_once(admitted(tool("b")), dry_run=False) is None
    assert replica.stored("b") is None
    for number in range(WRITES - 1):
        assert at_once(admitted(tool("a", f"get_{number}", uid=f"u{number}")), dry_run=False) is not None
    assert at_once(admitted(tool("a", "last", uid="v")), dry_run=False) is None


async def test_before_a_denial_so_many_objects_are_read_at_most() -> None:
    holders = [tool(f"t{number:02}", f"get_{number}") for number in range(40)]
    api = Api(server("wide", "shop"), *holders)
    replica = Replica(api, *holders)
    # A server that would serve them all, with names that are taken twice.
    doubles = [tool(f"u{number:02}", f"get_{number}") for number in range(40)]
    for double in doubles:
        replica.show(double)

    denied = await replica.judge(server())

    assert not denied.allowed
    assert len(api.reads) == 32
    assert api.reads == sorted(api.reads)


async def test_a_deletion_is_noted_by_what_its_review_says() -> None:
    replica = Replica(Api(server()), server())
    assert (await replica.judge(tool("a", uid="u-a"))).allowed
    ref = manifest.decode(tool("a")).ref

    await replica.delete(tool("a", uid="u-a", resourceVersion="7"), dry_run=True)
    assert replica.live.pending_since(ref) is not None
    await replica.delete(tool("a", uid="another", resourceVersion="7"))
    assert replica.live.pending_since(ref) is not None
    warnings = await replica.delete(tool("a", uid="u-a", resourceVersion="7"))
    assert replica.live.pending_since(ref) is None
    assert warnings == ("MCPTool shop/a is no longer served by shop/main",)
    # A review without a name, or without the old object, notes nothing and fails nothing.
    nameless = review.Review("u", review.Operation.DELETE, "MCPTool", "shop", "", None, None)
    assert replica.reviewer.note_deletion(nameless) == ()
    bare = review.Review("u", review.Operation.DELETE, "MCPTool", "shop", "a", None, None)
    assert replica.reviewer.note_deletion(bare) == ("MCPTool shop/a is no longer served by shop/main",)


def crowd(count: int = 50) -> list[dict[str, Any]]:
    return [tool(f"t{number}", f"get_{number}") for number in range(count)]


def stepwise(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> Replica:
    """The replica, where a turn is over after one step, and few steps are done at once."""
    replica.slices._turns = Turns(itertools.count().__next__)
    monkeypatch.setattr(reviewer, "STEPS_AT_ONCE", 20)
    return replica


async def test_plain_reviews_are_answered_between_the_steps_of_a_long_judgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replica = stepwise(Replica(Api(*crowd()), *crowd()), monkeypatch)
    long = asyncio.create_task(replica.judge(server()))
    answered = 0

    while not long.done():
        await asyncio.sleep(0)
        plain = admitted(tool(f"p{answered}", f"put_{answered}", app="plain"))
        assert replica.reviewer.validate_at_once(plain, dry_run=False) is not None
        answered += 1
        if answered == 100:
            break
    assert not long.done()
    assert (await long).allowed
    assert len(replica.live.current.view(Ref(Kind.SERVER, "shop", "main")).members) == 50


async def test_long_judgements_share_one_turn_in_each_iteration_of_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replica = stepwise(Replica(Api(*crowd()), *crowd()), monkeypatch)
    taken: list[tuple[int, int]] = []
    iterations = itertools.count()
    now, numbers, decide = [0], itertools.count(), admit.decide_in_steps

    def note(*args: Any) -> Any:
        number, steps = next(numbers), decide(*args)
        while True:
            taken.append((now[0], number))
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            yield

    monkeypatch.setattr(admit, "decide_in_steps", note)
    long = [asyncio.create_task(replica.judge(server(name), dry_run=True)) for name in ("one", "two", "three")]
    while not all(each.done() for each in long):
        await asyncio.sleep(0)
        now[0] = next(iterations)

    later = [each for each in taken if each[0] > taken[0][0]]
    assert len(later) > 3 * 100
    assert len({iteration for iteration, _ in later}) == len(later)
    in_order = [number for _, number in later[:300]]
    assert in_order == [in_order[0], in_order[1], in_order[2]] * 100
    assert sorted(in_order[:3]) == [0, 1, 2]


async def test_a_long_judgement_is_not_made_at_once_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Replica(Api(*crowd(100)), *crowd(100))
    before = replica.live.current

    assert replica.reviewer.validate_at_once(admitted(server()), dry_run=False) is None
    with pytest.raises(TimeoutError):
        await replica.judge(server(), seconds=0.0)
    stepwise(replica, monkeypatch)
    gone = asyncio.create_task(replica.judge(server()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    assert replica.live.current is before
    assert (await replica.judge(server())).allowed


async def test_what_is_admitted_meanwhile_makes_no_judgement_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = stepwise(Replica(Api(*crowd()), *crowd()), monkeypatch)
    began, decide = [0], admit.decide_in_steps

    def count(snapshot: Any, alternatives: Any, judged: admit.JudgedObject, *rest: Any) -> Any:
        began[0] += judged.change.ref.kind is Kind.SERVER
        return decide(snapshot, alternatives, judged, *rest)

    monkeypatch.setattr(admit, "decide_in_steps", count)
    long = asyncio.create_task(replica.judge(server()))
    for number in range(10):
        await asyncio.sleep(0)
        assert (await replica.judge(tool(f"p{number}", f"put_{number}"))).allowed
    assert (await long).allowed
    assert began == [1]
    assert len(replica.live.current.view(Ref(Kind.SERVER, "shop", "main")).members) == 60


async def test_a_judgement_of_few_steps_is_made_anew_rather_than_for_each_object_that_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strict = server(integrity="Strict")
    replica = Replica(Api(strict), strict)

    async def reserve(*_: Any, **__: Any) -> Verdict:
        for number in range(50):
            replica.show(tool(f"p{number}", f"put_{number}"))
        return Verdict()

    monkeypatch.setattr(replica.reviewer, "_reserve", reserve)
    monkeypatch.delattr(admit, "decide_again")

    assert (await replica.judge(tool("a", "get_a"))).allowed


async def test_where_more_moved_than_is_remembered_a_change_is_judged_by_the_new_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_snapshot, "MOVES", 3)
    replica = stepwise(Replica(Api(*crowd(), tool("last", "get_1")), *crowd()), monkeypatch)
    long = asyncio.create_task(replica.judge(server()))
    await asyncio.sleep(0)
    for number in range(4):
        assert (await replica.judge(tool(f"p{number}", f"put_{number}"))).allowed
    replica.show(tool("last", "get_1"))

    assert not (await long).allowed
