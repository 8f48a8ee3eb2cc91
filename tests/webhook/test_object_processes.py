"""Large objects are judged in processes that can be ended; small ones on the event loop."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from webhook import object_process
from webhook.object_processes import SMALL, ExceededError, ObjectProcesses, QueueFullError, is_small
from webhook.review import Operation


def body(name: str = "a", namespace: str = "shop", operation: str = "CREATE", **metadata: Any) -> bytes:
    new = {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": name, "namespace": namespace, "uid": "u", **metadata},
        "spec": {"name": "get", "service": {"name": "orders", "port": 80}, "inputSchema": {"type": "array"}},
    }
    request = {"uid": "u-1", "kind": {"kind": "MCPTool"}, "namespace": namespace, "operation": operation, "object": new}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


# A process as the real one speaks, that never answers the body "hang" and dies of "die".
FAKE = """
import pickle, socket, struct, time
connection = socket.socket(fileno=0)
incoming = connection.makefile("rb")
connection.sendall(struct.pack("!I", 0))
while header := incoming.read(5):
    is_read_only, length = struct.unpack("!?I", header)
    body = incoming.read(length)
    if b"hang" in body:
        time.sleep(60)
    if b"die" in body:
        break
    given = pickle.dumps(([body.decode()], [] if is_read_only else None))
    connection.sendall(struct.pack("!I", len(given)) + given)
"""


class Running:
    """Processes that are ended when the test is over."""

    def __init__(self, size: int = 1, **options: Any) -> None:
        self.exceeded = 0
        self.processes = ObjectProcesses(size, exceeded=self._count, **options)

    def _count(self) -> None:
        self.exceeded += 1
        # A bound that one process exceeded on purpose must not fail the next one on a busy machine.
        self.processes._wall_seconds = 30

    async def __aenter__(self) -> Self:
        self.processes.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.processes.stop()


def priorities_of_children() -> list[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [os.getpriority(os.PRIO_PROCESS, int(child)) for child in children]


def name_of(answer: Any) -> str:
    return str(json.loads(answer[0][0])["request"]["object"]["metadata"]["name"])


def fake(**options: Any) -> Running:
    return Running(command=(sys.executable, "-c", FAKE), **options)


def test_size_and_what_is_costly_make_an_object_large() -> None:
    assert is_small(b"x" * SMALL)
    assert not is_small(b"x" * (SMALL + 1))
    assert not is_small(b'"pattern":' * 20)
    assert is_small(b'{"type": "string"}, ' * 500)
    assert not is_small(b"1," * 4000)
    # As JSON writes them: ^[a-z]{0,61}$, a{9999} and \p{L}.
    names = b'{"pattern": "^[a-z]{0,61}$"}'
    assert is_small(names)
    assert not is_small(b'{"pattern": "a{9999}"}')
    assert not is_small(names + b'"\\\\p{L}"' * 4)


def test_the_answer_of_a_process_holds_no_manifest() -> None:
    asked, judged = object_process.answer(body(annotations={"note": "x"}))  # type: ignore[misc]

    assert (asked.uid, asked.new, asked.old, asked.operation) == ("u-1", None, None, Operation.CREATE)
    assert judged is not None
    assert [finding.reason for finding in judged.findings.own if finding.level == "error"] == ["InvalidSchema"]
    assert judged.change.new is not None
    assert (judged.change.new.spec, judged.change.new.raw) == (None, {"metadata": {"uid": "u"}})
    assert judged.change.new.fact is not None


def test_what_is_only_read_shows_the_missing_defaults_and_by_what_a_deletion_is_noted() -> None:
    bare = json.loads(body(resourceVersion="7"))
    request = bare["request"]
    del request["object"]["spec"]["name"]
    created, patch = object_process.read(json.dumps(bare).encode())  # type: ignore[misc]
    request |= {"operation": "DELETE", "oldObject": request.pop("object"), "dryRun": True}
    deleted, nothing = object_process.read(json.dumps(bare).encode())  # type: ignore[misc]
    request["oldObject"]["metadata"] = 1
    broken, _ = object_process.read(json.dumps(bare).encode())  # type: ignore[misc]

    assert [(each["path"], each["value"]) for each in patch] == [
        ("/spec/name", "a"),
        ("/spec/service/namespace", "shop"),
    ]
    assert (created.uid, created.new, created.old) == ("u-1", None, None)
    assert (deleted.operation, deleted.new, deleted.dry_run, nothing) == (Operation.DELETE, None, True, [])
    assert deleted.old == {"metadata": {"uid": "u", "resourceVersion": "7"}}
    assert broken.old == {"metadata": None}


def test_a_body_that_is_not_a_review_is_an_answer_too() -> None:
    assert "not JSON" in str(object_process.answer(b"no"))
    assert "not JSON" in str(object_process.read(b"no"))
    assert "not a named object" in str(object_process.answer(body("")))


async def test_a_real_process_judges_with_low_priority() -> None:
    async with Running(wall_seconds=30) as running:
        asked, judged = await running.processes.judge(body())
        read, patch = await running.processes.read(body())
        with pytest.raises(ValueError, match="not JSON"):
            await running.processes.judge(b"no")
        with pytest.raises(ValueError, match="not JSON"):
            await running.processes.read(b"no")
        niceness = priorities_of_children()

    assert asked.uid == read.uid == "u-1"
    assert [each["path"] for each in patch] == ["/spec/service/namespace"]
    assert judged is not None
    assert judged.change.ref.name == "a"
    assert min(19, os.getpriority(os.PRIO_PROCESS, 0) + object_process.NICENESS) in niceness
    assert running.exceeded == 0


@pytest.mark.parametrize(("cpus", "count"), [(1, 1), (2, 1), (3, 2), (64, 2)])
async def test_one_cpu_is_left_to_the_event_loop(monkeypatch: pytest.MonkeyPatch, cpus: int, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cpus)))
    processes = ObjectProcesses(command=(sys.executable, "-c", FAKE))
    processes.start()
    try:
        assert len(processes._tasks) == count
    finally:
        await processes.stop()


async def test_time_is_bounded_by_the_kernel_even_within_foreign_code() -> None:
    hog = (
        "import re, signal, socket; from webhook import object_process as p;"
        "p.answer = lambda body: re.match('(a*)*$', 'a' * 40 + 'b'); p.main()"
    )
    async with Running(command=(sys.executable, "-c", hog), wall_seconds=30) as running:
        with pytest.raises(ExceededError, match="too long"):
            await running.processes.judge(b"x")

    assert running.exceeded == 1


@pytest.mark.parametrize("fault", [b"hang", b"die"])
async def test_a_process_that_exceeds_its_bounds_is_replaced_and_the_next_ones_go_on(fault: bytes) -> None:
    async with fake(wall_seconds=0.3) as running:
        first, second = await asyncio.gather(
            running.processes.judge(fault), running.processes.judge(b"next"), return_exceptions=True
        )

    assert isinstance(first, ExceededError)
    assert second == (["next"], None)
    assert running.exceeded == 1


async def test_the_queue_has_a_limit_and_namespaces_take_turns() -> None:
    processes = ObjectProcesses(1, command=(sys.executable, "-c", FAKE))
    flood = [asyncio.create_task(processes.judge(body(f"f{number}", "flood"))) for number in range(65)]
    await asyncio.sleep(0)
    plain = asyncio.create_task(processes.judge(body("plain", "shop")))
    others = [asyncio.create_task(processes.judge(body("x", f"ns-{number}"))) for number in range(64)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError, match="try again"):
        await flood[64]
    with pytest.raises(QueueFullError):
        await others[63]
    order: list[str] = []
    for task in (*flood[1:64], plain):
        task.add_done_callback(lambda done: order.append(name_of(done.result())))
    flood[0].cancel()

    processes.start()
    await asyncio.gather(*flood[1:64], plain, *others[:63], return_exceptions=False)
    await processes.stop()

    assert order.index("plain") <= 1


async def test_the_bytes_that_wait_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.object_processes.QUEUE_BYTES_OF_NAMESPACE", 1000)
    monkeypatch.setattr("webhook.object_processes.QUEUE_BYTES", 1500)
    processes = ObjectProcesses(1)
    waiting = [asyncio.create_task(processes.judge(body("a", name).ljust(900))) for name in ("one", "one", "two")]
    await asyncio.sleep(0)

    assert [task.done() for task in waiting] == [False, True, True]
    for task in waiting:
        task.cancel()
    assert len(await asyncio.gather(*waiting, return_exceptions=True)) == 3


async def test_what_does_not_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        running.processes._command = (sys.executable, "-c", FAKE)

    running = Running(command=(sys.executable, "-c", ""))
    monkeypatch.setattr("webhook.object_processes.asyncio.sleep", pause)
    async with running:
        assert await running.processes.judge(b"next") == (["next"], None)

    assert pauses == [1]


def test_each_judgement_has_its_bounds_and_the_process_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The calls of the system, in their order; here they are only noted, or they would bind this process."""
    calls: list[Any] = []
    ours, theirs = socket.socketpair()

    def connection(fileno: int) -> socket.socket:
        calls.append(("socket", fileno))
        return theirs

    def file(path: str) -> Path:
        calls.append(("file", path))
        return tmp_path / "score"

    class Used:
        ru_utime, ru_stime = 3.0, 0.75

    def usage(who: int) -> Used:
        calls.append(("usage", who))
        return Used()

    monkeypatch.setattr(object_process.os, "nice", lambda by: calls.append(("nice", by)))
    monkeypatch.setattr(object_process.resource, "setrlimit", lambda *limit: calls.append(("limit", *limit)))
    monkeypatch.setattr(object_process.resource, "getrusage", usage)
    monkeypatch.setattr(object_process.signal, "setitimer", lambda *timer: calls.append(("timer", *timer)))
    monkeypatch.setattr(object_process.socket, "socket", connection)
    monkeypatch.setattr(object_process, "Path", file)
    bodies = [(False, body()), (True, b"no"), (True, body(operation="UPDATE"))]
    for is_read_only, each in bodies:
        ours.sendall(object_process.QUESTION.pack(is_read_only, len(each)) + each)
    ours.shutdown(socket.SHUT_WR)

    object_process.main()

    space = object_process.ADDRESS_SPACE
    judgement = [
        ("timer", signal.ITIMER_PROF, 0.5),
        ("usage", resource.RUSAGE_SELF),
        ("limit", resource.RLIMIT_CPU, (6, resource.RLIM_INFINITY)),
        ("timer", signal.ITIMER_PROF, 0),
    ]
    assert calls == [
        ("nice", 10),
        ("limit", resource.RLIMIT_AS, (space, space)),
        ("file", "/proc/self/oom_score_adj"),
        ("socket", 0),
        *judgement,
        *judgement,
        *judgement,
    ]
    assert (tmp_path / "score").read_text() == "1000"
    with ours, ours.makefile("rb") as answers:
        assert answers.read(object_process.ANSWER.size) == bytes(4)
        first, second, third = (
            pickle.loads(answers.read(object_process.ANSWER.unpack(answers.read(4))[0])) for _ in bodies
        )
        assert answers.read() == b""
    assert first[0].uid == "u-1"
    assert "not JSON" in second
    assert (third[0].operation, third[1][0]["path"]) == (Operation.UPDATE, "/spec/service/namespace")
    assert theirs.fileno() == -1
