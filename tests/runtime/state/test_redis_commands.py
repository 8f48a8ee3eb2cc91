"""What Redis is asked, word by word, and what each of its failures leads to. Nothing here waits or connects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hiredis
import pytest
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from crd.published.policy import Bucket
from runtime.state import limits
from runtime.state import redis as module
from runtime.state.limits import Verdict
from runtime.state.pipeline import pack
from runtime.state.redis import Redis, RedisBuckets, RedisSessions, RedisVerdicts, Script
from runtime.state.redis_servers import Node, Options, Sentinels, Servers
from runtime.state.sessions import PER_CLIENT, Session, StoreUnavailableError

SCRIPT = Script("return 1")


def unpack(packed: bytes) -> list[str]:
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(packed)
    found: list[str] = reader.gets()  # type: ignore[assignment]
    return found


class Line:
    """A pipeline to one server. It answers, or fails, with the next of ``answers``."""

    def __init__(self, *answers: Any, host: str = "10.0.0.1", connected: bool = True) -> None:
        self.answers = list(answers)
        self.host = host
        self.is_connected = connected
        self.asked: list[list[str]] = []
        self.ended: list[str] = []
        self.closed = False

    async def execute_packed(self, packed: bytes) -> Any:
        self.asked.append(unpack(packed))
        answer = self.answers.pop(0) if self.answers else "OK"
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def execute_asking(self, packed: bytes) -> Any:
        self.asked.append(["ASKING"])
        return await self.execute_packed(packed)

    def end_connection(self, reason: str) -> None:
        self.ended.append(reason)
        self.is_connected = False

    async def close(self) -> None:
        self.closed = True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def connect(*answers: Any, clock: Clock | None = None, connected: bool = True, **more: Any) -> tuple[Redis, Line]:
    """A Redis whose server is a line."""
    found = Redis(Options("redis", **more), monotonic=clock or Clock(), jitter=lambda: 0.25)
    line = Line(*answers, connected=connected)
    found._pipelines = {None: line}  # type: ignore[dict-item]
    found._pipeline = line  # type: ignore[assignment]
    return found, line


def others(monkeypatch: pytest.MonkeyPatch, **lines: Line) -> list[tuple[Node, float]]:
    """Connections to other nodes, by their hosts; returns which were asked for."""
    made: list[tuple[Node, float]] = []

    def pipeline(node: Node | None, timeout: float) -> Line:
        if node is None:
            return Line()
        made.append((node, timeout))
        return lines.get(node.host) or Line(host=node.host)

    monkeypatch.setattr(module, "Pipeline", pipeline)
    monkeypatch.setattr(Servers, "connection", lambda _, node=None: node)
    return made


async def test_a_script_that_the_server_lacks_is_sent_whole() -> None:
    redis, line = await connect(NoScriptError("NOSCRIPT"), 7)

    assert await redis.run_script(SCRIPT, ["k"], ["a", 2]) == 7

    assert line.asked == [["EVALSHA", SCRIPT.digest, "1", "k", "a", "2"], ["EVAL", "return 1", "1", "k", "a", "2"]]
    assert SCRIPT.digest == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    assert redis.failure is None


def moved(host: str, *, ask: bool = False) -> AskError:
    return (AskError if ask else MovedError)(f"1 {host}:7000")


async def test_a_slot_that_moved_is_followed_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Line(5, 6, host="n1")
    made = others(monkeypatch, n1=there)
    redis, line = await connect(moved("n1"), is_cluster=True)

    assert await redis.run("GET", "a") == 5
    assert await redis.run("GET", "b") == 6

    assert (line.asked, there.asked) == ([["GET", "a"]], [["GET", "a"], ["GET", "b"]])
    assert made == [(Node("n1", 7000), 1.0)]


async def test_a_slot_that_is_moving_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Line(5, host="n1")
    others(monkeypatch, n1=there)
    redis, line = await connect(moved("n1", ask=True), 6, is_cluster=True)

    assert [await redis.run("GET", "a"), await redis.run("GET", "b")] == [5, 6]

    assert there.asked == [["ASKING"], ["GET", "a"]]
    assert line.asked == [["GET", "a"], ["GET", "b"]]


async def test_a_node_that_lacks_the_script_gets_it_and_is_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Line(NoScriptError("NOSCRIPT"), 5, host="n1")
    others(monkeypatch, n1=there)
    redis, _ = await connect(moved("n1", ask=True), is_cluster=True)

    assert await redis.run_script(SCRIPT, [], []) == 5

    digest, whole = ["EVALSHA", SCRIPT.digest, "0"], ["EVAL", "return 1", "0"]
    assert there.asked == [["ASKING"], digest, ["ASKING"], whole]


async def test_redirections_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {f"n{number}": Line(moved(f"n{number + 1}"), host=f"n{number}") for number in range(1, 9)}
    made = others(monkeypatch, **lines)
    redis, _ = await connect(moved("n1"), is_cluster=True)

    with pytest.raises(StoreUnavailableError, match=r"^Redis: MovedError: 1 n6:7000$"):
        await redis.run("GET", "a")

    assert len(made) == module.MAX_REDIRECTS
    assert redis.failure == "MovedError"


async def test_a_redirection_without_a_host_is_to_the_server_that_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    made = others(monkeypatch)
    redis, _ = await connect(MovedError("1 :7001"), is_cluster=True)

    assert await redis.run("GET", "a") == "OK"
    assert made == [(Node("10.0.0.1", 7001), 1.0)]


async def test_the_oldest_of_too_many_connections_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NODES", 3)
    lines = {f"n{number}": Line(host=f"n{number}") for number in range(1, 5)}
    others(monkeypatch, **lines)
    redis, line = await connect(*(moved(f"n{number}", ask=True) for number in range(1, 5)), is_cluster=True)

    for _ in range(4):
        await redis.run("GET", "a")
    await redis.close()

    assert set(redis._pipelines) == {None, Node("n3", 7000), Node("n4", 7000)}
    assert all(each.closed for each in (line, *lines.values()))
    assert redis._closing == set()


async def test_a_server_that_is_not_in_a_cluster_by_our_settings_is_named() -> None:
    redis, line = await connect(moved("n1"))

    with pytest.raises(StoreUnavailableError) as caught:
        await redis.run("GET", "a")

    assert str(caught.value) == "Redis: MovedError: 1 n1:7000 (the server belongs to a Redis Cluster)"
    assert (len(line.asked), line.ended) == (1, [])


@pytest.mark.parametrize("kind", ["standalone", "sentinel", "cluster"])
@pytest.mark.parametrize(
    ("error", "ends", "suspends"),
    [
        (ReadOnlyError("no"), True, True),
        (ClusterDownError("no"), True, True),
        (ResponseError("no"), False, False),
    ],
)
async def test_a_server_that_is_no_master_is_left(kind: str, error: Exception, ends: bool, suspends: bool) -> None:
    clock = Clock()
    sentinels = Sentinels("s", "main") if kind == "sentinel" else None
    redis, line = await connect(error, clock=clock, is_cluster=kind == "cluster", sentinels=sentinels)

    with pytest.raises(StoreUnavailableError, match=rf"^Redis: {type(error).__name__}: no$"):
        await redis.run("GET", "a")

    assert line.ended == (["the server cannot be used any more"] if ends else [])
    assert redis.failure == type(error).__name__
    if suspends:
        with pytest.raises(StoreUnavailableError) as caught:
            await redis.run("GET", "a")
        assert str(caught.value) == f"Redis failed ({type(error).__name__}); retrying in 0.1 s"
        clock.now += 0.075
    assert await redis.run("GET", "a") == "OK"
    assert redis.failure is None


@pytest.mark.parametrize(("kind", "suspends"), [("standalone", False), ("sentinel", True), ("cluster", True)])
async def test_a_connection_that_ended_is_made_again_at_once_where_there_is_one_server(
    kind: str, suspends: bool
) -> None:
    sentinels = Sentinels("s", "main") if kind == "sentinel" else None
    gone = RedisConnectionError("gone")
    redis, line = await connect(gone, connected=False, is_cluster=kind == "cluster", sentinels=sentinels)

    with pytest.raises(StoreUnavailableError, match=r"^Redis: ConnectionError: gone$"):
        await redis.run("GET", "a")

    assert line.ended == []
    if suspends:
        with pytest.raises(StoreUnavailableError, match="retrying in"):
            await redis.run("GET", "a")
    else:
        assert await redis.run("GET", "a") == "OK"


async def test_after_a_timeout_commands_fail_at_once_for_about_as_long() -> None:
    clock = Clock()
    redis, line = await connect(RedisTimeoutError("late"), clock=clock)

    with pytest.raises(StoreUnavailableError) as caught:
        await redis.run("GET", "a")
    assert str(caught.value) == "Redis did not answer within 1 s; retrying in 0.8 s"
    clock.now += 0.5
    with pytest.raises(StoreUnavailableError) as caught:
        await redis.run("GET", "a")
    assert str(caught.value) == "Redis timed out; retrying in 0.2 s"
    assert (len(line.asked), redis.failure) == (1, "TimeoutError")

    clock.now += 0.25
    assert await redis.run("GET", "a") == "OK"
    assert redis.failure is None


async def test_what_is_wrong_is_logged_and_again_after_a_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    redis, _ = await connect(*[ResponseError("OOM" + "x" * 1000)] * 4, clock=clock)

    for pause in (0.0, module.LOG_AGAIN - 1, 1.0, 0.0):
        clock.now += pause
        with pytest.raises(StoreUnavailableError):
            await redis.run("GET", "a")

    said = f"Redis cannot be used: ResponseError: OOM{'x' * 297}"
    assert [record.getMessage() for record in caplog.records] == [said, said]


async def test_of_a_cluster_any_node_is_asked_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    there = Line(1, RedisTimeoutError("late"), host="n1")
    others(monkeypatch, n1=there)
    redis, line = await connect(moved("n1"), clock=clock, is_cluster=True)
    await redis.run("GET", "a")
    with pytest.raises(StoreUnavailableError):
        await redis.run("GET", "b")
    clock.now += 1

    await redis.run("GET", "c")

    assert line.asked == [["GET", "a"], ["GET", "c"]]


def hashed(text: str) -> str:
    return limits.hash_key(text)


@pytest.mark.parametrize(("is_cluster", "prefix"), [(False, "p:"), (True, "{p:}")])
async def test_sessions_are_kept_by_principal_and_client(is_cluster: bool, prefix: str) -> None:
    redis, line = await connect(None, "2025-11-25", None, 1, 0, is_cluster=is_cluster)
    sessions = RedisSessions(redis, "p:")
    key = f"{prefix}session:{hashed('ada')}:"

    await sessions.create("s", Session("2025-11-25", "ada"), 1.5, client="c")
    assert await sessions.use("s", "ada", 2.5) == Session("2025-11-25", "ada")
    assert await sessions.use("s", "ada", 2.5) is None
    assert [await sessions.end("s", "ada"), await sessions.end("s", "ada")] == [True, False]

    (create, use, _, end, _) = (words[2:] for words in line.asked)
    assert create == ["2", key, f"{prefix}sessions:{hashed('c')}", "s", "2025-11-25", "1500", str(PER_CLIENT)]
    assert use == ["1", f"{key}s", "s", "2500"]
    assert end == ["1", f"{key}s"]
    assert {words[0] for words in line.asked} == {"EVALSHA"}


async def test_verdicts_are_claimed_told_and_read() -> None:
    redis, line = await connect("OK", None, "OK", "text", None, 7)
    verdicts = RedisVerdicts(redis, "p:")

    assert [await verdicts.claim("k", 1.5), await verdicts.claim("k", 1.5)] == [True, False]
    await verdicts.put("k", "text", 2.5)
    assert [await verdicts.get("k") for _ in range(3)] == ["text", None, None]

    claim = ["SET", "p:pins:k:probe", "1", "NX", "PX", "1500"]
    assert line.asked == [claim, claim, ["SET", "p:pins:k", "text", "PX", "2500"], *([["GET", "p:pins:k"]] * 3)]


async def test_the_buckets_of_a_call_are_taken_from_in_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KNOWN", 2)
    charges = [
        (limits.Charge("server", "a", Bucket(5, 60)), limits.Charge("tool", "b", Bucket(1, 3600, 2))),
        (limits.Charge("client", "c", Bucket(1, 1)),),
        (limits.Charge("client", "d", Bucket(1, 1)),),
    ]
    redis, line = await connect([0, 0], [2, 7], NoScriptError("NOSCRIPT"), [0, 0])
    buckets = RedisBuckets(redis, "p:")

    assert await buckets.take(charges[0]) == limits.PASSED
    assert await buckets.take(charges[0]) == Verdict("tool", 7)
    assert (await buckets.take(charges[1])).scope is None

    numbers = [str(number) for charge in charges[0] for number in charge.numbers]
    assert line.asked[0][2:] == ["2", "{p:}limit:a", "{p:}limit:b", *numbers]
    assert line.asked[1] == line.asked[0]
    whole = [str(number) for number in charges[1][0].numbers]
    assert (line.asked[3][0], line.asked[3][2:]) == ("EVAL", ["1", "{p:}limit:c", *whole])
    await redis.run_packed(None, (), (), pack("PING"))
    line.answers = [[0, 0]]
    await buckets.take(charges[2])
    assert list(buckets._packed) == [id(charges[1]), id(charges[2])]


# Servers.


def servers(resolve: Any = None, timeout: float = 1.0, **more: Any) -> Servers:
    async def find(host: str, port: int) -> list[str]:
        return [f"{host}:{port}"]

    return Servers(Options(**{"host": "redis", **more}), timeout, resolve or find)


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("redis.shop.svc", "redis.shop.svc.cluster.local."),
        ("redis.shop.svc.cluster.local", "redis.shop.svc.cluster.local."),
        ("n-0.redis.shop.svc.cluster.local", "n-0.redis.shop.svc.cluster.local."),
        ("redis.example.com", "redis.example.com"),
    ],
)
async def test_a_host_of_the_cluster_is_resolved_by_its_absolute_name(host: str, asked: str) -> None:
    assert await servers()._addresses(host, 6379) == [f"{asked}:6379"]


async def test_each_time_another_address_is_the_first() -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return ["a", "b", "a", "c"]

    found = servers(resolve)
    assert [await found._addresses("redis", 1) for _ in range(4)] == [
        ["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"],
    ]  # fmt: skip


async def test_a_host_without_addresses_is_named() -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return []

    with pytest.raises(RedisConnectionError, match=r"^redis has no address$"):
        await servers(resolve)._addresses("redis", 1)


async def test_sentinels_are_asked_in_turn_and_each_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    answers: dict[str, Any] = {"a": RedisConnectionError("gone"), "b": None, "c": Node("10.0.0.9", 6380)}

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["a", "b", "c"]

    async def ask(_: Servers, sentinels: Sentinels, address: str, timeout: float) -> Node | None:
        asked.append((sentinels.master, address, timeout))
        if isinstance(answers[address], Exception):
            raise answers[address]
        found: Node | None = answers[address]
        return found

    monkeypatch.setattr(Servers, "_ask", ask)
    sentinels = Sentinels("sentinels", "main", 26380)

    assert await servers(resolve, 2.0)._find_master(sentinels) == Node("10.0.0.9", 6380)
    assert asked == [("sentinels", 26380), ("main", "a", 0.5), ("main", "b", 0.5), ("main", "c", 0.5)]
    answers["c"] = OSError("no route")
    with pytest.raises(RedisConnectionError) as caught:
        await servers(resolve)._find_master(sentinels)
    assert str(caught.value) == (
        'no Sentinel names the master "main": a: gone; b knows no such master, or sees that it is down; c: no route'
    )


@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_is_made_as_the_options_say(tmp_path: Path, tls: bool) -> None:
    (tmp_path / "password").write_text("p\n")
    found = servers(host="redis.shop.svc", port=6390, db=3, tls=tls, ca_file=tmp_path / "ca", credentials=tmp_path)

    connection: Any = found.connection()

    assert type(connection).__name__ == ("_GuardedTlsConnection" if tls else "_GuardedConnection")
    assert (connection.db, connection.socket_connect_timeout, connection.socket_timeout) == (3, 1.0, None)
    assert (connection.host, connection._name) == ("redis.shop.svc", "redis.shop.svc")
    assert await connection._find() == (["redis.shop.svc.cluster.local.:6390"], 6390)
    assert connection.credential_provider.get_credentials() == ("p",)
    (tmp_path / "username").write_text(" ada \n")
    assert connection.credential_provider.get_credentials() == ("ada", "p")
    (tmp_path / "username").write_text("\n")
    assert connection.credential_provider.get_credentials() == ("p",)
    if tls:
        assert connection.ssl_context.check_hostname
        # There is no such file, and what verifies the certificate is made of it alone.
        with pytest.raises(FileNotFoundError):
            connection._context()
    of_node: Any = found.connection(Node("10.0.0.7", 7000))
    assert await of_node._find() == (["10.0.0.7:7000"], 7000)
    assert of_node._name == "redis.shop.svc"


async def test_the_master_that_sentinels_name_is_where_a_connection_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find(_: Servers, sentinels: Sentinels) -> Node:
        return Node(f"of-{sentinels.host}", 6381)

    monkeypatch.setattr(Servers, "_find_master", find)
    connection: Any = servers(sentinels=Sentinels("sentinels", "main")).connection()

    assert await connection._find() == (["of-sentinels:6381"], 6381)
    assert connection.credential_provider is None
