"""Every answer of the webhook but the ones a real API server asks for: trouble, overload, lateness, bugs."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector

from certs import issuance
from certs.acceptance import AcceptedKeys
from certs.paths import PathKeys
from certs.tls import HotContext
from cluster.listener import Listener
from cluster.transport import ApiError
from scripts.localcluster.certificates import Authority as Clients
from tests.cluster.conftest import simulated
from tests.webhook.replica import Replica
from webhook import admit, closing, cpu_time, object_process, server
from webhook.bodies import Bodies
from webhook.ledger import LedgerError
from webhook.live_snapshot import WRITES
from webhook.metrics import Metrics
from webhook.object_processes import ExceededError, ObjectProcesses, QueueFullError
from webhook.review import ALLOWED, Review, allowed
from webhook.reviewer import CrowdedError
from webhook.rights import UnansweredError
from webhook.server import Hook

NOW = datetime.now(UTC)  # noqa: TID251 -- TLS judges by the clock of the machine


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
    metadata = next((each["metadata"] for each in (new, old) if isinstance(each, dict)), {})
    request = {
        "uid": "u-1",
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
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
        for item in items:
            item["metadata"].setdefault("resourceVersion", "1")
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


class Setup:
    def __init__(self, api: Api, *known: dict[str, Any], **flags: Any) -> None:
        self.replica = Replica(api, *known)
        self.unready: str | None = None
        self.draining = False
        self.processes = ObjectProcesses(1, exceeded=lambda: self.exceeded.append(1))
        self.exceeded: list[int] = []
        self.hook = Hook(
            self.replica.reviewer,
            self.processes,
            Metrics(),
            unready=lambda: self.unready,
            draining=lambda: self.draining,
            **flags,
        )


async def ask(client_of: Any, setup: Setup, body: Any, path: str = "/validate", **options: Any) -> tuple[int, Any]:
    client = await client_of(setup.hook)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    answer = await client.post(path, data=data, headers=headers, **options)
    text = await answer.read()
    setup.connection = answer.headers.get("Connection")  # type: ignore[attr-defined]
    return answer.status, json.loads(text)["response"] if text.startswith(b"{") else text.decode()


async def test_an_allow_reads_nothing(hook_client: Any) -> None:
    api = Api()

    status, response = await ask(hook_client, Setup(api, SERVER), review(tool("a")))

    assert (status, response["allowed"], response["uid"]) == (200, True, "u-1")
    assert api.reads == 0
    assert any(line.startswith("ServiceMissing") for line in response["warnings"])


async def test_an_object_of_a_namespace_that_is_not_watched_is_not_judged(hook_client: Any) -> None:
    status, response = await ask(hook_client, Setup(Api(), namespaces=("bank",)), review(tool("a")))

    assert (status, response["allowed"]) == (500, False)
    assert response["status"]["message"] == ("namespace shop is not one of --namespaces; correct the namespaceSelector")
    status, response = await ask(hook_client, Setup(Api(), namespaces=("bank", "shop")), review(tool("a")))
    assert (status, response["allowed"]) == (200, True)


async def test_a_denial_names_everything_that_is_wrong(hook_client: Any) -> None:
    clashing = tool("b")
    clashing["spec"]["inputSchema"] = {"type": "array"}
    setup = Setup(Api(SERVER, tool("a", uid="1")), SERVER, tool("a", uid="1"))

    status, response = await ask(hook_client, setup, review(clashing))

    assert (status, response["allowed"]) == (200, False)
    message = response["status"]["message"]
    assert "- DuplicateName: spec.name: MCPTool shop/a already serves" in message
    assert "- InvalidSchema: spec.inputSchema.type:" in message
    assert response["auditAnnotations"]["verdict"] == "denied"
    assert "MCPTool shop/a" in response["auditAnnotations"]["related"]
    assert {cause["reason"] for cause in response["status"]["details"]["causes"]} == {"DuplicateName", "InvalidSchema"}


async def test_a_stale_catalog_refuses_nobody(hook_client: Any) -> None:
    setup = Setup(Api(SERVER), SERVER, tool("gone", uid="1"))

    _, response = await ask(hook_client, setup, review(tool("b")))

    assert response["allowed"]


async def test_an_object_that_was_relabelled_meanwhile_refuses_nobody(hook_client: Any) -> None:
    setup = Setup(Api(SERVER, tool("a", labels={}, uid="1", resourceVersion="2")), SERVER, tool("a", uid="1"))

    _, response = await ask(hook_client, setup, review(tool("b")))

    assert response["allowed"]


async def test_what_cannot_be_read_stays_believed(hook_client: Any) -> None:
    setup = Setup(Api(error=TimeoutError()), SERVER, tool("a", uid="1"))

    _, response = await ask(hook_client, setup, review(tool("b")))

    assert not response["allowed"]


async def test_two_at_a_time_see_each_other(hook_client: Any) -> None:
    setup = Setup(Api(SERVER), SERVER)

    assert (await ask(hook_client, setup, review(tool("a"))))[1]["allowed"]
    assert not (await ask(hook_client, setup, review(tool("b"))))[1]["allowed"]


async def test_a_dry_run_is_not_remembered(hook_client: Any) -> None:
    setup = Setup(Api(SERVER), SERVER)

    await ask(hook_client, setup, review(tool("a"), dryRun=True))

    assert (await ask(hook_client, setup, review(tool("b"))))[1]["allowed"]


async def test_a_deletion_is_allowed_with_a_word_about_the_servers(hook_client: Any) -> None:
    setup = Setup(Api(), SERVER, tool("a"))

    _, response = await ask(hook_client, setup, review(None, tool("a"), "DELETE"))

    assert response["allowed"]
    assert "MCPTool shop/a is no longer served by shop/main" in response["warnings"]


async def test_defaults_come_as_a_patch_of_just_them(hook_client: Any) -> None:
    bare = {**tool("a"), "spec": {"service": {"name": "orders", "port": 80}, "unheard": 1}}

    _, response = await ask(hook_client, Setup(Api()), review(bare), "/mutate")

    patch = json.loads(base64.b64decode(response["patch"]))
    assert {(op["op"], op["path"], op["value"]) for op in patch} == {
        ("add", "/spec/name", "a"),
        ("add", "/spec/service/namespace", "shop"),
    }


@pytest.mark.parametrize("spec", [None, 7, [], {"service": "text"}, {"service": {}, "name": {}}])
async def test_what_is_broken_is_refused_by_mutate_and_fails_nothing(hook_client: Any, spec: Any) -> None:
    status, response = await ask(hook_client, Setup(Api()), review({**tool("a"), "spec": spec}), "/mutate")

    assert status == 200
    assert not response["allowed"]
    assert response["status"]["reason"] == "InvalidField"


async def test_what_the_schema_will_refuse_is_refused_with_all_other_faults(hook_client: Any) -> None:
    faulty = tool("a")
    faulty["spec"] |= {"timeout": "1d", "method": "GET", "http": {"path": "/{nothing}"}}

    _, response = await ask(hook_client, Setup(Api()), review(faulty), "/mutate")
    _, validated = await ask(hook_client, Setup(Api()), review(faulty))

    assert {cause["reason"] for cause in response["status"]["details"]["causes"]} == {
        "InvalidField",
        "UndeclaredPlaceholder",
    }
    assert response["status"] == validated["status"]


async def test_mutate_lets_pass_a_fault_that_was_there_before(hook_client: Any) -> None:
    old = tool("a")
    old["spec"]["timeout"] = "1d"
    new = {**old, "spec": {**old["spec"], "title": "A"}}

    _, response = await ask(hook_client, Setup(Api()), review(new, old, "UPDATE"), "/mutate")

    assert response["allowed"]


async def test_before_the_first_sync_nothing_is_judged(hook_client: Any) -> None:
    setup = Setup(Api())
    setup.unready = "not synced: mcptools"

    status, response = await ask(hook_client, setup, review(tool("a")))

    assert (status, response["uid"], response["allowed"]) == (503, "u-1", False)
    assert "not synced: mcptools" in response["status"]["message"]


async def test_over_the_limit_a_review_is_turned_away_at_once(hook_client: Any) -> None:
    status, response = await ask(hook_client, Setup(Api(), max_in_flight=0), review(tool("a")))

    assert (status, response["status"]["code"]) == (200, 429)
    assert "try again" in response["status"]["message"]


async def test_past_the_deadline_there_is_no_verdict(hook_client: Any) -> None:
    class Slow(Api):
        async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

    setup = Setup(Slow(), SERVER, tool("a", uid="1"))

    status, response = await ask(hook_client, setup, review(tool("b")), params={"timeout": "0.4s"})

    assert (status, response["uid"]) == (504, "u-1")


async def test_a_bug_is_a_500_with_the_uid(hook_client: Any) -> None:
    setup = Setup(Api(error=RuntimeError("a bug")), SERVER, tool("a", uid="1"))

    status, response = await ask(hook_client, setup, review(tool("b")), params={"timeout": "soon"})

    assert (status, response["uid"]) == (500, "u-1")
    assert b"mcp_operator_admission_panics_total 1.0" in metrics(setup)


def metrics(setup: Setup) -> bytes:
    from prometheus_client.openmetrics.exposition import generate_latest

    return bytes(generate_latest(setup.hook.metrics.registry))  # type: ignore[no-untyped-call]


async def test_while_draining_connections_are_given_up(hook_client: Any) -> None:
    setup = Setup(Api())
    setup.draining = True

    status, _ = await ask(hook_client, setup, review(tool("a")))

    assert status == 200
    assert setup.connection == "close"  # type: ignore[attr-defined]


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
async def test_what_is_not_a_review_of_ours_is_refused(hook_client: Any, body: Any, status: int) -> None:
    assert (await ask(hook_client, Setup(Api()), body))[0] == status


async def test_only_json_is_read(hook_client: Any) -> None:
    status, _ = await ask(hook_client, Setup(Api()), b"{}", headers={"Content-Type": "text/plain"})

    assert status == 415


async def test_deletions_are_allowed_whatever_is_down(hook_client: Any) -> None:
    setup = Setup(Api(error=TimeoutError()), SERVER, tool("a", uid="1"), max_in_flight=0)
    setup.unready = "not synced: mcptools"
    setup.hook._reviewer.note_deletion = None  # type: ignore[assignment]

    for path in ("/note-deletion", "/validate"):
        status, response = await ask(hook_client, setup, review(None, tool("a"), "DELETE"), path)
        assert (status, response["uid"], response["allowed"]) == (200, "u-1", True)


LARGE = {"note": "x" * server.READABLE}


def read_elsewhere(setup: Setup, monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    """Let a fake of the other process read large bodies, and let nobody parse them here."""

    async def read(body: bytes) -> Any:
        if error is not None:
            raise error
        monkeypatch.undo()
        answer = object_process.read(body)
        if isinstance(answer, str):
            raise ValueError(answer)  # noqa: TRY004 -- as `ObjectProcesses.read`
        return answer

    def parse(body: bytes) -> Review:
        raise AssertionError(f"{len(body)} bytes were parsed on the event loop")

    setup.processes.read = read  # type: ignore[method-assign]
    monkeypatch.setattr(server.review, "parse", parse)


UNREAD = [QueueFullError("too many"), ExceededError("too long"), TimeoutError()]


@pytest.mark.parametrize("path", ["/note-deletion", "/validate"])
async def test_the_deletion_of_a_large_object_is_read_by_another_process(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    setup = Setup(Api(), SERVER, tool("a"))
    read_elsewhere(setup, monkeypatch)

    status, response = await ask(hook_client, setup, review(None, tool("a", annotations=LARGE), "DELETE"), path)

    assert (status, response["allowed"]) == (200, True)
    assert "MCPTool shop/a is no longer served by shop/main" in response["warnings"]


@pytest.mark.parametrize("path", ["/note-deletion", "/validate"])
@pytest.mark.parametrize("error", UNREAD, ids=repr)
async def test_the_deletion_of_a_large_object_that_nobody_can_read_is_allowed(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch, path: str, error: Exception
) -> None:
    setup = Setup(Api(), SERVER, tool("a"))
    setup.unready = "not synced: mcptools"
    read_elsewhere(setup, monkeypatch, error)

    answer = await ask(hook_client, setup, review(None, tool("a", annotations=LARGE), "DELETE"), path)

    assert answer == (200, {"uid": "u-1", "allowed": True})


async def test_a_large_object_that_speaks_of_a_deletion_is_judged_by_another_process(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, bodies = Setup(Api(), SERVER), list[bytes]()

    async def judge(body: bytes) -> Any:
        bodies.append(body)
        monkeypatch.undo()
        return object_process.answer(body)

    read_elsewhere(setup, monkeypatch)
    setup.processes.judge = judge  # type: ignore[method-assign]
    feigned = {**tool("a", annotations=LARGE), "spec": {"inputSchema": {"default": {"operation": "DELETE"}}}}

    _, response = await ask(hook_client, setup, review({"spec": feigned.pop("spec"), **feigned}))

    assert len(bodies) == 1
    assert not response["allowed"]


async def test_the_defaults_of_a_large_object_are_found_by_another_process(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(Api(), SERVER)
    setup.unready = "not synced: mcptools"
    read_elsewhere(setup, monkeypatch)
    bare = {**tool("a", annotations=LARGE), "spec": {"service": {"name": "orders", "port": 80}}}

    status, response = await ask(hook_client, setup, review(bare), "/mutate")

    patch = json.loads(base64.b64decode(response["patch"]))
    assert (status, [each["path"] for each in patch]) == (200, ["/spec/name", "/spec/service/namespace"])
    counted = {"webhook": "mutate", "kind": "MCPTool", "operation": "CREATE", "verdict": "allowed"}
    assert setup.hook.metrics.registry.get_sample_value("mcp_operator_admission_reviews_total", counted) == 1


@pytest.mark.parametrize("error", UNREAD, ids=repr)
async def test_a_large_object_that_nobody_can_read_in_time_lacks_its_defaults(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    setup = Setup(Api(), SERVER)
    read_elsewhere(setup, monkeypatch, error)
    bare = {**tool("a", annotations=LARGE), "spec": {"service": {"name": "orders", "port": 80}}}

    answer = await ask(hook_client, setup, review(bare), "/mutate")

    assert answer == (200, {"uid": "u-1", "allowed": True})


async def test_a_large_object_waits_no_longer_than_the_api_server_to_be_read(hook_client: Any) -> None:
    """Its process was never started."""
    bare = tool("a", annotations=LARGE)

    for path, body in (("mutate", review(bare)), ("note-deletion", review(None, bare, "DELETE"))):
        answer = await ask(hook_client, Setup(Api(), SERVER), body, f"/{path}?timeout=0.1s")
        assert answer == (200, {"uid": "u-1", "allowed": True})


async def test_a_large_body_that_is_not_a_review_is_refused_by_mutate(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(Api())
    read_elsewhere(setup, monkeypatch)

    assert (await ask(hook_client, setup, review([LARGE]), "/mutate"))[0] == 400


async def test_defaults_need_no_snapshot(hook_client: Any) -> None:
    setup = Setup(Api())
    setup.unready = "not synced: mcptools"
    bare = {**tool("a"), "spec": {"service": {"name": "orders", "port": 80}}}

    status, response = await ask(hook_client, setup, review(bare), "/mutate")

    assert (status, response["allowed"], response["patchType"]) == (200, True, "JSONPatch")


@pytest.mark.parametrize("padding", [0, 40_000])
async def test_a_namespace_whose_objects_are_slow_to_fill_in_holds_up_no_other(
    hook_client: Any, monkeypatch: pytest.MonkeyPatch, padding: int
) -> None:
    """Small ones are refused at once, and so never get to /validate; large ones take long to read."""
    seconds = iter(range(1000))
    monkeypatch.setattr(cpu_time, "seconds", lambda: float(next(seconds)))
    setup = Setup(Api())

    async def read(_body: bytes) -> Any:
        raise QueueFullError("too many")

    setup.processes.read = read  # type: ignore[method-assign]
    faulty = tool("a")
    faulty["spec"] |= {"timeout": "1d", "description": "x" * padding}
    faulty["spec"].pop("name", None)
    other = review({**faulty, "metadata": {**faulty["metadata"], "namespace": "bank"}})

    answers = [(await ask(hook_client, setup, review(faulty), "/mutate"))[1] for _ in range(3)]
    elsewhere = (await ask(hook_client, setup, other, "/mutate"))[1]

    read = [not answer["allowed"] or "patch" in answer for answer in (*answers, elsewhere)]
    assert read == [True, True, not padding, True]
    assert [answer["allowed"] for answer in answers] == [bool(padding)] * 2 + [True]
    assert setup.hook._is_slow("shop")


async def test_an_object_is_judged_while_the_api_server_looks_at_its_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, judged = Setup(Api()), []
    judge = admit.judge_object

    def note(asked: Any, *rest: Any) -> Any:
        judged.append(asked.name)
        return judge(asked, *rest)

    monkeypatch.setattr(admit, "judge_object", note)
    complete = tool("a")
    complete["spec"]["service"]["namespace"] = "shop"
    lacking = {**tool("b"), "spec": {"service": {"name": "orders", "port": 80}}}
    monkeypatch.setattr(setup.hook, "_is_slow", lambda namespace: namespace == "slow")
    setup.hook._slow.until["slow"] = 1.0
    slow = {**complete, "metadata": {**complete["metadata"], "name": "c", "namespace": "slow"}}
    for each in (complete, lacking, slow, {**complete, "metadata": {}}):
        setup.hook.answer_at_once("/mutate", "", json.dumps(review(each)).encode())
        assert judged == ["a"] * (each is not complete)
        await asyncio.sleep(0)

    # The last one has no name, which /validate tells.
    assert judged == ["a", ""]


async def test_defaults_are_answered_at_once_also_while_nothing_can_be_judged() -> None:
    setup = Setup(Api())
    setup.unready = "not synced: mcptools"
    body = json.dumps(review({**tool("a"), "spec": {"service": {"name": "orders", "port": 80}}})).encode()

    answer = setup.hook.answer_at_once("/mutate", "timeout=5s", body)

    assert answer is not None
    patch = json.loads(base64.b64decode(json.loads(answer)["response"]["patch"]))
    assert patch == [
        {"op": "add", "path": "/spec/name", "value": "a"},
        {"op": "add", "path": "/spec/service/namespace", "value": "shop"},
    ]
    counted = {"webhook": "mutate", "kind": "MCPTool", "operation": "CREATE", "verdict": "allowed"}
    registry = setup.hook.metrics.registry
    assert registry.get_sample_value("mcp_operator_admission_reviews_total", counted) == 1
    # What has another status, or must close the connection, takes the long way.
    assert setup.hook.answer_at_once("/mutate", "", b"{}") is None
    setup.draining = True
    assert setup.hook.answer_at_once("/mutate", "", body) is None


@pytest.mark.parametrize("uid", ["u-1", '"\\\u00fc%s'])
def test_the_most_frequent_answer_is_written_as_every_other_one(uid: str) -> None:
    written = parse_and_allow(uid, audit=ALLOWED)
    rendered = parse_and_allow(uid, audit=ALLOWED, warnings=("one",))

    assert rendered["response"].pop("warnings") == ["one"]
    assert written == rendered


def parse_and_allow(uid: str, **more: Any) -> Any:
    return json.loads(allowed(uid, **more))


async def test_a_503_closes_the_connection(hook_client: Any) -> None:
    setup = Setup(Api())
    setup.unready = "not synced: mcptools"

    status, _ = await ask(hook_client, setup, review(tool("a")))

    assert (status, setup.connection) == (503, "close")  # type: ignore[attr-defined]
    setup.unready = None
    await ask(hook_client, setup, review(tool("a")))
    assert setup.connection is None  # type: ignore[attr-defined]


async def test_a_plain_review_is_answered_at_once_and_no_other() -> None:
    setup = Setup(Api(), SERVER)
    at_once = setup.hook.answer_at_once

    answer = at_once("/validate", "", json.dumps(review(tool("a"))).encode())
    assert answer is not None
    response = json.loads(answer)["response"]
    assert (response["uid"], response["allowed"]) == ("u-1", True)
    assert response["auditAnnotations"] == {"verdict": "allowed", "reasons": "ServiceMissing,WeakDescription"}
    for path, body in (
        ("/elsewhere", review(tool("b", "put"))),
        ("/validate/key", review(tool("b", "put"))),
        ("/validate", review(tool("b", "get"))),
        ("/validate", review(None, tool("a"), "DELETE")),
        ("/validate", review(tool("b", "put", annotations={"note": "x" * 100_000}))),
    ):
        assert at_once(path, "", json.dumps(body).encode()) is None
    setup.draining = True
    assert at_once("/validate", "", json.dumps(review(tool("b", "put"))).encode()) is None
    setup.draining, setup.unready = False, "not synced"
    assert at_once("/validate", "", json.dumps(review(tool("b", "put"))).encode()) is None


async def test_a_large_object_loses_its_finalizer(hook_client: Any) -> None:
    setup = Setup(Api(), SERVER)
    large = {**tool("a", **DYING), "spec": {**tool("a")["spec"], "description": "x" * 100_000}}
    after = {**large, "metadata": {**large["metadata"], "finalizers": []}}
    setup.processes.start()

    status, response = await ask(hook_client, setup, review(after, large, "UPDATE"), params={"timeout": "30s"})
    await setup.processes.stop()

    assert (status, response) == (200, {"uid": "u-1", "allowed": True})
    labels = 'kind="MCPTool",operation="UPDATE",verdict="allowed",webhook="validate"'
    assert labels.encode() in metrics(setup)
    assert all(task.done() for task in setup.processes._tasks)


DYING = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/hold"]}


async def test_a_finalizer_is_removed_from_what_is_broken(hook_client: Any) -> None:
    broken = {"name": "no/name", "service": {"name": "orders", "port": 80}}
    held, released = {**tool("a", **DYING), "spec": broken}, {**tool("a", **DYING), "spec": broken}
    released["metadata"] = {**released["metadata"], "finalizers": []}

    _, response = await ask(hook_client, Setup(Api(), SERVER), review(released, held, "UPDATE"))

    assert response["allowed"]


async def test_a_change_of_the_spec_of_an_object_that_is_being_deleted_is_judged(hook_client: Any) -> None:
    held = tool("b", "other", uid="2", **DYING)
    broken = {**held, "spec": {**held["spec"], "inputSchema": {"type": "array"}}}

    _, response = await ask(hook_client, Setup(Api(), SERVER), review(broken, held, "UPDATE"))

    assert not response["allowed"]
    assert response["status"]["reason"] == "InvalidSchema"


@pytest.mark.parametrize(("path", "method", "status"), [("/nowhere", "POST", 404), ("/validate", "GET", 405)])
async def test_other_requests_have_no_answer(hook_client: Any, path: str, method: str, status: int) -> None:
    client = await hook_client(Setup(Api()).hook)

    assert (await client.request(method, path)).status == status


async def test_without_the_key_every_path_is_unknown(hook_client: Any) -> None:
    """Whoever reaches the port without the key learns nothing: not which paths there are, and not what is wrong."""
    keys = AcceptedKeys()
    keys.update(PathKeys("a" * 32, None, "b" * 32), datetime(2026, 1, 1, tzinfo=UTC))
    setup = Setup(Api(), accepts=keys.accepts)
    client = await hook_client(setup.hook)
    answers = set()
    for path in ("/validate", "/mutate", "/note-deletion", "/validate/", f"/validate/{'c' * 32}", "/", "/nowhere"):
        for method in ("POST", "GET", "PUT"):
            for content_type in ("application/json", "text/plain"):
                answer = await client.request(method, path, data=b"{}", headers={"Content-Type": content_type})
                answers.add((answer.status, await answer.text()))
    wrong = [
        f"{path}/{key}" for path in ("/validate", "/mutate") for key in ("a" * 31, "a" * 33, f"{'a' * 32}/x", "%C3%A9")
    ]
    for path in wrong:
        answers.add(((answer := await client.post(path, json={})).status, await answer.text()))

    assert answers == {(404, "there is nothing here\n")}
    for key in ("a" * 32, "b" * 32):
        for path in ("/validate", "/mutate", "/note-deletion"):
            assert (await ask(hook_client, setup, review(tool("a")), f"{path}/{key}"))[0] == 200


@pytest.mark.parametrize(("name", "answered"), [("kube-apiserver", True), ("kubelet", False)])
async def test_a_certificate_of_the_right_ca_needs_the_right_name_too(
    name: str, answered: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A CA of the cluster signs for kubelets and users as well."""
    clients, ca = Clients(tmp_path), issuance.authority("ca", NOW)
    setup = Setup(Api(), client_names=("kube-apiserver",))
    served = HotContext(issuance.leaf(ca, ["localhost"], NOW), clients.ca_file.read_bytes())
    listener = Listener(setup.hook.connections())
    await listener.start("127.0.0.1", 0, served.outer)
    context = ssl.create_default_context(cadata=ca.certificate.decode())
    context.load_cert_chain(*clients.issue("client", name))

    async with ClientSession(connector=TCPConnector(ssl=context)) as session:
        url = f"https://localhost:{listener.port}/mutate"
        try:
            async with session.post(url, json=review(tool("a"))) as answer:
                status = answer.status
        except ClientError:
            status = 0
    await listener.close()

    assert status == (200 if answered else 0)
    assert ("has none of the names kube-apiserver" in caplog.text) != answered


HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Served:
    """A hook behind a port, whose looks at the connections come one after the other without waiting."""

    def __init__(self) -> None:
        self.setup = Setup(Api())
        self.looks = 0
        self.connections = self.setup.hook.connections()
        self.body = json.dumps(review(tool("a"))).encode()
        self.head = HEAD % len(self.body)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def look(self) -> None:
        """Wait for two whole looks."""
        before = self.looks
        while self.looks < before + 2:
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        async def sleep(_: float) -> None:
            self.looks += 1
            await asyncio.sleep(0)

        self._listener = Listener(self.connections)
        await self._listener.start("127.0.0.1", 0)
        self.port = self._listener.port
        self._closing = asyncio.create_task(self.setup.hook.close_waiting(self.connections, sleep))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.cancel()
        await self._listener.close()


@pytest.mark.parametrize(("path", "recognised"), [("/validate", True), ("/mutate", True), ("/elsewhere", False)])
@pytest.mark.parametrize("size", [0, 40_000], ids=["answered at once", "handled"])
async def test_a_client_is_recognised_by_the_path(path: str, recognised: bool, size: int) -> None:
    """At the limit of connections, others give way before it."""
    async with asyncio.timeout(30), Served() as served:
        body = json.dumps(review(None, tool("a", annotations={"note": "x" * size}), "DELETE")).encode()
        reader, writer = await served.connect()
        writer.write(HEAD.replace(b"/mutate", path.encode()) % len(body) + body)
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = served.connections._open
        assert connection.is_recognised == recognised
        assert bool(served.connections._recognised) == recognised
        writer.close()


async def test_connections_that_wait_are_closed_while_nothing_can_be_judged() -> None:
    """A kept connection would bring the next change to a replica that refuses it."""
    async with asyncio.timeout(30), Served() as served:
        idle, idle_writer = await served.connect()
        slow, slow_writer = await served.connect()
        for _ in range(2):  # The look between the two closes nothing while the replica is ready.
            idle_writer.write(served.head + served.body)
            assert (await idle.readuntil(b"}}")).startswith(b"HTTP/1.1 200")
            await served.look()
        slow_writer.write(served.head)
        while all(each.is_between_requests for each in served.connections._open):
            await asyncio.sleep(0)
        served.setup.unready = "a watch is silent"
        assert await idle.read() == b""
        slow_writer.write(served.body)
        answer = await slow.readuntil(b"}}")
        assert await slow.read() == b""
        idle_writer.close()
        slow_writer.close()
    assert answer.startswith(b"HTTP/1.1 200")


async def test_in_the_drain_a_connection_is_closed_when_nothing_has_come_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhook.server.QUIET_DRAINING", 3600.0)
    async with asyncio.timeout(30), Served() as served:
        silent, silent_writer = await served.connect()
        part, part_writer = await served.connect()
        part_writer.write(served.head[:20])
        while len(served.connections) < 2 or all(each.is_between_requests for each in served.connections._open):
            await asyncio.sleep(0)
        served.setup.draining = True
        await served.look()
        assert len(served.connections) == 2, "bytes that are on their way would be lost"

        for each in served.connections._open:
            each.heard_at -= 3600.0
        assert await silent.read() == b""
        # The request that had begun is answered, and the answer says that it is the last.
        part_writer.write(served.head[20:] + served.body)
        answer = await part.read()
        silent_writer.close()
        part_writer.close()
        await closing.until_closed(served.connections, 30, asyncio.sleep)
        assert len(served.connections) == 0

    head, _, _ = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in head


async def test_the_end_of_the_drain_waits_for_what_is_in_progress_and_not_for_ever() -> None:
    async with asyncio.timeout(30), Served() as served:
        _, writer = await served.connect()
        while not len(served.connections):
            await asyncio.sleep(0)
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await asyncio.sleep(0)

        await closing.until_closed(served.connections, 0.05, sleep)
        assert len(waits) > 1
        assert len(served.connections) == 1
        writer.close()


async def test_too_many_writes_of_one_object_are_a_denial_that_says_when_to_try_again(hook_client: Any) -> None:
    setup = Setup(Api(), SERVER)
    for number in range(WRITES):
        _, response = await ask(hook_client, setup, review(tool("a", f"get_{number}", uid=f"u{number}")))
        assert response["allowed"]
    setup.replica.reviewer._reader.look = _read_nothing  # type: ignore[method-assign]

    status, response = await ask(hook_client, setup, review(tool("a", "another", uid="v")))

    assert (status, response["allowed"], response["status"]["code"]) == (200, False, 429)
    assert response["status"]["reason"] == "TooManyRequests"


async def _read_nothing(_refs: Any) -> dict[Any, Any]:
    return {}


class Failing:
    """A reviewer that meets an error wherever it judges."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def validate_at_once(self, *_: Any, **__: Any) -> None:
        return None

    async def validate(self, *_: Any, **__: Any) -> Any:
        raise self.error


ERRORS = {
    "the ledger": (LedgerError("the ledger is away"), 200, 503, "ServiceUnavailable", "the ledger is away"),
    "a full queue": (QueueFullError("too many"), 200, 429, "TooManyRequests", "too many"),
    "a crowded object": (CrowdedError("8 changes"), 200, 429, "TooManyRequests", "8 changes"),
    "a bound": (ExceededError("too long"), 500, 500, "InternalError", "too long"),
    "rights": (UnansweredError("nobody said"), 500, 500, "InternalError", "nobody said"),
    "the deadline": (TimeoutError(), 504, 504, "InternalError", "no verdict within the API server's time-out"),
    "the body": (ValueError("no name"), 400, 400, "InternalError", "no name"),
    "a bug": (ZeroDivisionError(), 500, 500, "InternalError", "the webhook failed; its log says how"),
}


@pytest.mark.parametrize("row", ERRORS.values(), ids=ERRORS)
async def test_every_trouble_has_its_answer(hook_client: Any, row: Any) -> None:
    error, status, code, reason, message = row
    setup = Setup(Api())
    setup.hook._reviewer = Failing(error)  # type: ignore[assignment]

    found, response = await ask(hook_client, setup, review(tool("a")))

    assert (found, response["uid"], response["allowed"]) == (status, "u-1", False)
    assert response["status"] == {"status": "Failure", "code": code, "reason": reason, "message": message}
    count = setup.hook.metrics.registry.get_sample_value
    assert count("mcp_operator_admission_shed_total") == (code == 429)
    assert count("mcp_operator_admission_panics_total") == isinstance(error, ZeroDivisionError)
    assert count("mcp_operator_admission_duration_seconds_count", {"webhook": "validate"}) == 1
    assert setup.hook._bodies.complete == setup.hook._bodies.size == 0


async def test_refusals_have_the_code_of_their_status(hook_client: Any) -> None:
    setup = Setup(Api(), namespaces=("bank",))
    _, elsewhere = await ask(hook_client, setup, review(tool("a")))
    setup.unready = "not synced: mcptools"
    _, unready = await ask(hook_client, setup, review(tool("a")))
    # A head with such a header is left to the parser, so that nothing is answered at once.
    busy = [
        (await ask(hook_client, Setup(Api(), **limit), review(tool("a")), headers={"TE": "trailers"}))[1]
        for limit in ({"max_in_flight_of_namespace": 0}, {"max_in_flight": 0})
    ]
    for limit in ({"max_in_flight_of_namespace": 1}, {"max_in_flight": 1}):
        setup = Setup(Api(), **limit)
        assert (await ask(hook_client, setup, review(tool("a")), headers={"TE": "trailers"}))[1]["allowed"]

    assert (elsewhere["status"]["code"], elsewhere["uid"]) == (500, "u-1")
    assert (unready["status"]["code"], unready["status"]["message"]) == (
        503,
        "not ready to judge: not synced: mcptools",
    )
    for each in busy:
        assert each["status"] == {
            "status": "Failure",
            "code": 429,
            "reason": "TooManyRequests",
            "message": "1 reviews of this namespace are in progress; try again in a second",
        }


async def test_a_body_that_is_not_read_is_refused_with_its_uid(hook_client: Any) -> None:
    setup = Setup(Api(), bodies=Bodies(limit=10))
    parsed = {"TE": "trailers"}
    _, denied = await ask(hook_client, setup, review(tool("a")), headers=parsed)
    other = Setup(Api(), bodies=Bodies(limit=10))
    mutated = await ask(hook_client, other, review(tool("a")), "/mutate", headers=parsed)

    assert (denied["uid"], denied["allowed"]) == ("u-1", False)
    assert denied["status"] == {
        "status": "Failure",
        "code": 429,
        "reason": "TooManyRequests",
        "message": "the reviews in progress take too much memory; try again in a second",
    }
    assert setup.connection == "close"  # type: ignore[attr-defined]
    assert setup.hook.metrics.registry.get_sample_value("mcp_operator_admission_shed_total") == 1
    assert mutated == (429, "the reviews in progress take too much memory; try again in a second\n")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "text", "more"),
    [
        ("POST", "/nowhere", {}, 404, "there is nothing here\n", {}),
        ("GET", "/validate", {}, 405, "send a POST\n", {"Allow": "POST"}),
        ("POST", "/validate", {"Content-Type": "text/plain"}, 415, "send application/json\n", {}),
        (
            "POST",
            "/validate",
            {"Content-Type": "application/json", "Content-Encoding": "br"},
            415,
            "send it without encoding\n",
            {"Accept-Encoding": "identity"},
        ),
    ],
)
async def test_what_is_no_review_is_refused_in_words(
    hook_client: Any, method: str, path: str, headers: Any, status: int, text: str, more: Any
) -> None:
    client = await hook_client(Setup(Api()).hook)
    async with client.request(method, path, data=b"{}", headers=headers) as answer:
        assert (answer.status, await answer.text()) == (status, text)
        assert more.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    ("started", "ended", "slow"), [(0.0, 0.0029, 0), (5.0, 5.0, 0), (0.0, 0.0031, 1), (5.0, 5.02, 1)]
)
@pytest.mark.parametrize("path", ["/validate", "/mutate"])
async def test_an_object_is_slow_above_a_bound(
    monkeypatch: pytest.MonkeyPatch, path: str, started: float, ended: float, slow: int
) -> None:
    times = iter((started, ended))
    monkeypatch.setattr(cpu_time, "seconds", lambda: next(times))
    setup = Setup(Api())

    assert setup.hook.answer_at_once(path, "", json.dumps(review(tool("a"))).encode()) is not None

    assert setup.hook.metrics.registry.get_sample_value("mcp_operator_admission_slow_total") == slow
    assert list(setup.hook._slow._used) == ["shop"][:slow]


def test_a_namespace_that_used_up_its_allowance_is_slow_for_a_minute() -> None:
    async def main() -> None:
        hook = Setup(Api()).hook
        hook._note_long("shop", 0.02)
        assert not hook._is_slow("shop")
        await asyncio.sleep(11)
        # What it used has come back.
        hook._note_long("shop", 0.02)
        assert not hook._is_slow("shop")
        await asyncio.sleep(5)
        hook._note_long("shop", 0.011)
        assert hook._is_slow("shop")
        assert not hook._is_slow("bank")
        await asyncio.sleep(59)
        assert hook._is_slow("shop")
        await asyncio.sleep(2)
        assert not hook._is_slow("shop")
        hook._note_long("shop", 0.02)
        assert not hook._is_slow("shop")

    simulated(main())


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("timeout=5s", 4.7),
        ("", 4.7),
        ("timeout=10s", 9.7),
        ("a=b&timeout=2.5s&c=d", 2.2),
        ("timeout=3", 2.7),
        ("timeout=0.1s", 0.05),
        ("timeout=30s", 29.7),
        ("timeout=3600s", 29.7),
        ("timeout=1.2.3s", 4.7),
        ("xtimeout=3s", 4.7),
        ("timeout=soon", 4.7),
    ],
)
def test_the_time_to_answer_is_what_the_api_server_waits_less_a_margin(query: str, seconds: float) -> None:
    assert server._seconds(query) == pytest.approx(seconds)


async def test_at_the_limit_nothing_is_answered_at_once() -> None:
    setup = Setup(Api(), max_in_flight=2)
    body = json.dumps(review(tool("a"))).encode()

    for complete, answered in ((1, True), (2, False), (3, False)):
        setup.hook._bodies.complete = complete
        assert (setup.hook.answer_at_once("/validate", "", body) is not None) is answered


async def test_at_once_the_same_is_judged_counted_and_timed() -> None:
    setup = Setup(Api(), SERVER, namespaces=("shop",))
    elsewhere = tool("a")
    elsewhere["metadata"]["namespace"] = "bank"
    assert setup.hook.answer_at_once("/validate", "", json.dumps(review(elsewhere)).encode()) is None
    assert setup.hook.answer_at_once("/validate", "", json.dumps(review(tool("a"), dryRun=True)).encode()) is not None
    assert setup.replica.stored("a") is None
    assert setup.hook.answer_at_once("/validate", "", json.dumps(review(tool("a"))).encode()) is not None
    assert setup.replica.stored("a") is not None

    count = setup.hook.metrics.registry.get_sample_value
    labels = {"webhook": "validate", "kind": "MCPTool", "operation": "CREATE", "verdict": "allowed"}
    assert count("mcp_operator_admission_reviews_total", labels) == 2
    assert count("mcp_operator_admission_duration_seconds_count", {"webhook": "validate"}) == 2
    assert 0 < (count("mcp_operator_admission_duration_seconds_sum", {"webhook": "validate"}) or 0) < 60
    finding = {"kind": "MCPTool", "reason": "ServiceMissing", "level": "warning"}
    assert count("mcp_operator_admission_findings_total", finding) == 2


async def test_a_decision_is_told_whole(hook_client: Any) -> None:
    """A refusal has its warnings, too."""
    faulty = tool("a")
    faulty["spec"]["inputSchema"] = {"type": "array"}
    setup = Setup(Api(), SERVER)
    _, response = await ask(hook_client, setup, review(faulty))

    assert any(line.startswith("ServiceMissing") for line in response["warnings"])
    assert response["status"]["reason"] == "InvalidSchema"
    assert response["status"]["code"] == 422
    assert response["auditAnnotations"]["verdict"] == "denied"
    labels = {"webhook": "validate", "kind": "MCPTool", "operation": "CREATE", "verdict": "denied"}
    assert setup.hook.metrics.registry.get_sample_value("mcp_operator_admission_reviews_total", labels) == 1
