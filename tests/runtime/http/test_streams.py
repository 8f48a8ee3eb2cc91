"""Streams on which clients listen for changes: their notifications, who may listen, and when a stream ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.subscriptions import ToolsListChanged

from crd.published import catalogs
from crd.published.policy import Bucket
from crd.published.settings import Auth, Limits
from runtime import pace
from runtime.app.compiled import CompiledCatalog
from runtime.auth.authenticator import ANONYMOUS, Authenticator, Grant
from runtime.auth.jwks import KeySets
from runtime.http import streams
from runtime.http.streams import Ended, Listener, ListenStream, Scope, SessionKey, Streams
from runtime.mcp.eras import MODERN
from runtime.mcp.subscriptions import Kind
from runtime.state.sessions import MemorySessions, Session, StoreUnavailableError
from tests.runtime.raw_http import INITIALIZE, Listening, listen, modern, rpc, send

LISTEN = "subscriptions/listen"
TAG = {"io.modelcontextprotocol/subscriptionId": 1}
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "_meta": TAG}}
ALL = ("tools", "prompts", "resources")


def changed(kind: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": f"notifications/{kind}/list_changed", "params": {"_meta": TAG}}


def retitled(catalog: Any, kind: str, title: str) -> Any:
    """The catalog with another title in its first tool, prompt, resource or template."""
    members = {"tools": "tools", "prompts": "prompts", "resources": "resources", "templates": "http_resources"}
    entries = list(getattr(catalog, members[kind]))
    number = 2 if kind == "templates" else 0
    entries[number] = replace(entries[number], title=title)
    return replace(catalog, **{members[kind]: tuple(entries)})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def replica(replicas: Any, catalog_of: Any) -> Any:
    return await replicas.start(catalog_of())


# Notifications.


async def test_the_official_client_hears_of_a_change_and_of_the_end(replica: Any, catalog_of: Any) -> None:
    async with Client(replica.mcp) as client, client.listen(tools_list_changed=True) as subscription:
        replica.serve(retitled(catalog_of(), "tools", "Another"))
        events = []
        async with asyncio.timeout(10):
            async for event in subscription:
                events.append(event)
                # The graceful end, or iteration would raise.
                await replica.streams.drain()

        assert events == [ToolsListChanged()]
        assert {tool.title for tool in (await client.list_tools()).tools if tool.name == "echo"} == {"Another"}


async def test_a_stream_begins_with_what_was_accepted_and_ends_with_a_result(replica: Any) -> None:
    params = {
        "_meta": {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}},
        "notifications": {"toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["shop://a"]},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": LISTEN, "params": params}
    async with Listening(replica.mcp, "POST", body, {"MCP-Protocol-Version": MODERN, "Mcp-Method": LISTEN}) as stream:
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
        assert stream.headers["Cache-Control"] == "no-cache, no-transform"
        assert stream.headers["X-Accel-Buffering"] == "no"
        acknowledged = await stream.next()
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert acknowledged["params"] == {"_meta": TAG, "notifications": {"toolsListChanged": True}}
        await replica.streams.drain()
        assert await stream.next() == RESULT
        assert await stream.next() is None


async def test_clients_may_learn_that_lists_change(replica: Any) -> None:
    capabilities = (await modern(replica.mcp, "server/discover"))[2]["result"]["capabilities"]

    changes = {"listChanged": True}
    assert capabilities == {"tools": changes, "prompts": changes, "resources": changes, "completions": {}}


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources", "templates"])
async def test_who_asked_for_a_list_is_notified_of_its_changes(replica: Any, catalog_of: Any, kind: str) -> None:
    notified = "resources" if kind == "templates" else kind
    others = [each for each in ALL if each != notified]
    async with listen(replica.mcp, *ALL) as whole, listen(replica.mcp, *others) as rest:
        await whole.next()
        await rest.next()
        replica.serve(retitled(catalog_of(), kind, "Another"))
        assert await whole.next() == changed(notified)
        await replica.streams.drain()
        # Nothing else came before the end.
        assert await whole.next() == RESULT
        assert await rest.next() == RESULT


async def test_a_catalog_that_leaves_the_lists_as_they_were_is_not_notified(replica: Any, catalog_of: Any) -> None:
    same = catalog_of(page_size=2, list_ttl=7.0)
    slower = tuple(replace(tool, rate_limit=Bucket(9, 60)) for tool in same.tools)
    async with listen(replica.mcp, *ALL) as stream:
        await stream.next()
        for each in (same, replace(same, tools=slower)):
            digest = replica.catalog_store.compiled.digest
            replica.serve(each)
            assert replica.catalog_store.compiled.digest != digest
            await until(lambda: not replica.streams._swapped.is_set())
        replica.serve(retitled(same, "prompts", "Another"))
        assert await stream.next() == changed("prompts")
        await replica.streams.drain()
        assert await stream.next() == RESULT


async def test_a_list_that_is_as_the_client_was_served_it_is_no_change(replica: Any, catalog_of: Any) -> None:
    """Listened after the change: the client has the list already."""
    replica.serve(retitled(catalog_of(), "tools", "Another"))
    async with listen(replica.mcp, *ALL) as stream:
        await stream.next()
        replica.serve(retitled(retitled(catalog_of(), "tools", "Another"), "prompts", "Another"))
        assert await stream.next() == changed("prompts")


# Who may listen.


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/event-stream;q=0"])
async def test_without_event_streams_in_accept_nothing_is_opened(replica: Any, accept: str) -> None:
    status, _, answer = await modern(replica.mcp, LISTEN, sent={"Accept": accept}, notifications={})

    assert (status, answer["id"], answer["error"]["code"]) == (406, 1, -32600)
    assert "Accept must name text/event-stream" in answer["error"]["message"]
    assert len(replica.streams) == 0


async def test_a_malformed_request_opens_nothing(replica: Any) -> None:
    sent = {"Accept": "text/event-stream"}
    status, _, answer = await modern(replica.mcp, LISTEN, sent=sent, notifications={"toolsListChanged": "yes"})
    assert (status, answer["id"], answer["error"]["code"]) == (200, 1, -32602)

    # The id is kept as long as the stream is.
    async with listen(replica.mcp, identifier="x" * 255) as stream:
        assert stream.status == 400
        assert "at most 256 bytes" in (await stream.answer.json())["error"]["message"]
    async with listen(replica.mcp, identifier="x" * 254) as stream:
        assert stream.status == 200


async def test_the_era_of_sessions_has_no_such_method(replica: Any, catalog_of: Any) -> None:
    replica.serve(catalog_of(sessions="Stateless"))

    _, _, answer = await send(replica.mcp, body=rpc(LISTEN, notifications={}), Accept="text/event-stream")

    assert answer["error"]["code"] == -32601


async def test_a_stream_counts_against_the_rate_limit(replica: Any, catalog_of: Any) -> None:
    replica.serve(catalog_of(limits=Limits(per_client=Bucket(1, 3600))))

    async with listen(replica.mcp) as first, listen(replica.mcp) as second:
        assert (first.status, second.status) == (200, 429)
        assert int(second.headers["Retry-After"]) > 1
    assert replica.count("mcp_server_rate_limited_total", scope="client") == 1


async def test_a_client_has_so_many_streams_and_a_process_so_many(replica: Any) -> None:
    replica.streams.per_client = 2
    async with listen(replica.mcp) as first, listen(replica.mcp):
        async with listen(replica.mcp) as third:
            said = await third.answer.json()
            assert (third.status, third.headers["Retry-After"], said["id"]) == (429, "10", 1)
            assert "this client has 2 open streams, which is the limit" in said["error"]["message"]
        assert replica.count("mcp_server_rate_limited_total", scope="streams") == 1
        await first.close()
        await until(lambda: len(replica.streams) == 1)
        async with listen(replica.mcp) as third:
            assert third.status == 200
            replica.streams._limit = 2
            async with listen(replica.mcp) as fourth:
                said = await fourth.answer.json()
                assert (fourth.status, fourth.headers["Retry-After"], said["id"]) == (503, "10", 1)
                assert "2 streams are open, which is the limit" in said["error"]["message"]
            assert replica.count("mcp_server_shed_total") == 1
    await until(lambda: len(replica.streams) == 0)
    assert replica.streams._clients == {}


async def test_streams_take_no_place_of_requests(replica: Any, catalog_of: Any) -> None:
    replica.serve(catalog_of(max_concurrent_requests=1))

    async with listen(replica.mcp) as first, listen(replica.mcp) as second:
        assert (first.status, second.status) == (200, 200)
        status, _, _ = await modern(replica.mcp, "tools/call", name="echo", arguments={})
        assert (status, replica.app.in_progress, replica.app.open_requests) == (200, 0, 0)


# In the era of sessions.


async def open_session(url: str) -> dict[str, str]:
    """The headers of a new session."""
    _, headers, answer = await send(url, body=INITIALIZE)
    assert answer["result"]["capabilities"]["tools"] == {"listChanged": True}
    return {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}


def listen_in(url: str, session: dict[str, str]) -> Listening:
    return Listening(url, "GET", None, session)


async def test_the_official_client_with_a_session_hears_of_changes(replica: Any, catalog_of: Any) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def note(message: Any) -> None:
        heard.put_nowait(message.method)

    async with Client(replica.mcp, mode="legacy", message_handler=note):
        await until(lambda: len(replica.streams) == 1)
        replica.serve(retitled(retitled(catalog_of(), "tools", "Another"), "templates", "Another"))
        async with asyncio.timeout(10):
            methods = {await heard.get(), await heard.get()}
    assert methods == {"notifications/tools/list_changed", "notifications/resources/list_changed"}


async def test_a_session_listens_to_all_lists_by_get(replica: Any, catalog_of: Any) -> None:
    session = await open_session(replica.mcp)
    async with listen_in(replica.mcp, session) as stream:
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
        replica.serve(retitled(catalog_of(), "prompts", "Another"))
        assert await stream.next() == {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}
        await replica.streams.drain()
        assert await stream.next() is None
    # The proxies on the way have something to pass on before the first notification.
    assert stream.comments == 1
    async with listen_in(replica.mcp, session) as late:
        assert (late.status, late.headers["Retry-After"]) == (503, "10")


async def test_the_end_of_a_session_ends_its_stream(replica: Any) -> None:
    session, other = await open_session(replica.mcp), await open_session(replica.mcp)
    async with listen_in(replica.mcp, session) as stream, listen_in(replica.mcp, other):
        status, _, _ = await send(replica.mcp, "DELETE", **session)
        assert (status, await stream.next()) == (204, None)
        assert len(replica.streams) == 1
        async with listen_in(replica.mcp, session) as again:
            assert again.status == 404
    assert replica.count("mcp_server_streams_ended_total", reason="session") == 1


async def test_a_session_has_one_stream(replica: Any, catalog_of: Any) -> None:
    session = await open_session(replica.mcp)
    async with listen_in(replica.mcp, session) as first, listen_in(replica.mcp, session) as second:
        assert await first.next() is None
        replica.serve(retitled(catalog_of(), "tools", "Another"))
        assert (await second.next())["method"] == "notifications/tools/list_changed"
    assert replica.count("mcp_server_streams_ended_total", reason="replaced") == 1


@pytest.mark.parametrize(
    ("sessions", "more", "status"),
    [
        ("Memory", {}, 200),
        ("Memory", {"Accept": "application/json"}, 406),
        ("Memory", {"MCP-Protocol-Version": MODERN}, 405),
        ("Memory", {"MCP-Protocol-Version": "2019-01-01"}, 400),
        ("Memory", {"Mcp-Session-Id": "unknown"}, 404),
        ("Stateless", {}, 405),
    ],
)
async def test_who_may_listen_by_get(
    replica: Any, catalog_of: Any, sessions: str, more: dict[str, str], status: int
) -> None:
    session = await open_session(replica.mcp)
    replica.serve(catalog_of(sessions=sessions))

    async with listen_in(replica.mcp, {**session, **more}) as stream:
        assert stream.status == status
        assert ("Allow" in stream.headers) is (status == 405)


async def test_without_sessions_no_client_expects_notifications(replica: Any, catalog_of: Any) -> None:
    replica.serve(catalog_of(sessions="Stateless"))

    _, _, answer = await send(replica.mcp, body=INITIALIZE)

    assert answer["result"]["capabilities"] == {"tools": {}, "prompts": {}, "resources": {}, "completions": {}}


async def test_other_sessions_end_the_streams_of_those_before(replica: Any, catalog_of: Any) -> None:
    async with listen_in(replica.mcp, await open_session(replica.mcp)) as stream, listen(replica.mcp) as other:
        await other.next()
        replica.serve(catalog_of(sessions="Stateless"))
        assert await stream.next() is None
        assert len(replica.streams) == 1


# When a stream ends.


async def test_a_client_that_leaves_is_forgotten_and_logged(
    replica: Any, replicas: Any, catalog_of: Any, caplog: Any
) -> None:
    caplog.set_level("INFO", "access")
    async with listen(replica.mcp, "tools") as stream:
        await stream.next()
        replica.serve(retitled(catalog_of(), "tools", "Another"))
        await stream.next()
        replica.app.access_log.flush()
        assert LISTEN.encode() not in b"".join(replicas.log)
    await until(lambda: len(replica.streams) == 0)
    replica.app.access_log.flush()

    (line,) = (json.loads(line) for line in b"".join(replicas.log).splitlines())
    assert (line["status"], line["operation"], line["ended"], line["notifications"]) == (200, LISTEN, "client", 1)
    assert line["responseBytes"] > 100
    assert replica.count("mcp_server_streams_ended_total", reason="client") == 1
    assert replica.count("mcp_server_notifications_total", list="tools") == 1
    labels = {"http_request_method": "POST", "http_response_status_code": "200", "error_type": ""}
    assert replica.count("mcp_server_operation_duration_seconds_count", mcp_method_name=LISTEN, **labels) == 1


async def test_a_drain_ends_a_thousand_streams_with_their_results(replica: Any) -> None:
    opened = [listen(replica.mcp, "tools") for _ in range(1000)]
    for stream in opened:
        await stream.__aenter__()
        await stream.next()
    try:
        await replica.streams.drain()
        for stream in opened:
            assert await stream.next() == RESULT
            assert await stream.next() is None
        assert len(replica.streams) == 0
        assert replica.count("mcp_server_streams_ended_total", reason="drain") == 1000
        async with listen(replica.mcp, "tools") as late:
            assert (late.status, late.headers["Retry-After"]) == (503, "10")
            assert "this pod is about to end" in await late.answer.text()
    finally:
        for stream in opened:
            await stream.close()


@pytest.mark.parametrize(
    ("number", "seconds", "took"),
    # 200 a second; faster only where the time would not do; and without time, at once.
    [(1000, 10.0, 5.0), (1000, 2.0, 2.0), (10, 10.0, 0.05), (1000, 0.0, 0.0)],
)
async def test_the_streams_of_a_drain_end_one_after_the_other(
    tmp_path: Path, catalog_of: Any, number: int, seconds: float, took: float
) -> None:
    bench = Bench(tmp_path)
    view = compiled_of(catalog_of())
    ended: list[float] = []
    for _ in range(number):
        stream, _ = bench.open(view)
        stream.on_end = lambda _: ended.append(bench.time)

    await bench.streams.drain(seconds)

    assert len(ended) == number
    assert ended[-1] == pytest.approx(took, abs=0.05)
    # As evenly as pauses of 20 ms allow.
    pauses = [after - before for before, after in pairwise(ended)]
    assert max(pauses) <= streams.TURN + 0.01


async def test_other_settings_of_authentication_end_a_stream(replica: Any, catalog_of: Any, replicas: Any) -> None:
    async with listen(replica.mcp, "tools") as stream:
        await stream.next()
        replica.serve(catalog_of(auth=Auth("APIKey", api_key_secret="keys")))
        assert await stream.next() == RESULT
    assert replica.count("mcp_server_streams_ended_total", reason="denied") == 1


async def test_an_origin_that_is_allowed_no_longer_ends_a_stream(replica: Any, catalog_of: Any) -> None:
    page = "https://app.example.com"
    replica.serve(catalog_of(allowed_origins=(page,)))
    async with listen(replica.mcp, "tools", Origin=page) as stream, listen(replica.mcp, "tools") as program:
        assert stream.headers["Access-Control-Allow-Origin"] == page
        await stream.next()
        await program.next()
        replica.serve(retitled(catalog_of(allowed_origins=()), "tools", "Another"))
        assert await stream.next() == RESULT
        assert await program.next() == changed("tools")


# Without connections.


class FakeChannel:
    """A `cluster.message.Channel` that keeps what is sent, and when."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self.is_full = False
        self.sent: list[bytes] = []
        self.times: list[float] = []
        self.finished = False
        self._now = now

    def send(self, part: bytes) -> None:
        self.sent.append(part)
        self.times.append(self._now())

    def finish(self) -> None:
        self.finished = True

    @property
    def methods(self) -> list[str]:
        """The methods of the messages, and the other events."""
        events = b"".join(self.sent).split(b"\n\n")[:-1]
        messages = [json.loads(event[6:]) if event.startswith(b"data: ") else {"method": "comment"} for event in events]
        return [message.get("method", "result").removeprefix("notifications/") for message in messages]


class Bench:
    """Streams with a clock that goes on when something sleeps, and by ``costs`` when it is read."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.time = 0.0
        self.costs = 0.0
        self.slept: list[float] = []
        self.before_sleep: Callable[[], None] = lambda: None
        self.authenticator = Authenticator(folder, KeySets(self.fetch, self.monotonic), self.monotonic)
        self.sessions = MemorySessions(lambda: self.time)
        self.streams = Streams(
            self.authenticator,
            {"Memory": self.sessions},
            now=lambda: self.time,
            monotonic=self.monotonic,
            sleep=self.sleep,
            **limits,
        )

    def monotonic(self) -> float:
        self.time += self.costs
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self.before_sleep()
        await asyncio.sleep(0)

    async def fetch(self, _: str) -> bytes:
        raise AssertionError

    def open(self, compiled: CompiledCatalog, listener: Listener | None = None) -> tuple[ListenStream, FakeChannel]:
        stream = self.streams.open(compiled, listener or Listener("c"), 1, frozenset(Kind))
        channel = FakeChannel(lambda: self.time)
        stream.begin(channel)
        return stream, channel


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    tasks = [asyncio.create_task(made.streams.follow()), asyncio.create_task(made.streams.keep_alive())]
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def compiled_of(catalog: Any) -> CompiledCatalog:
    return CompiledCatalog.load(catalogs.dump(catalog))


async def settled(bench: Bench) -> None:
    """All clients were notified of the catalog in force."""
    await until(lambda: not bench.streams._swapped.is_set())
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_client_that_reads_slowly_is_notified_of_each_kind_once(bench: Bench, catalog_of: Any) -> None:
    stream, channel = bench.open(compiled_of(catalog_of()))
    channel.is_full = True
    catalog = catalog_of()
    for kind in ("tools", "templates"):
        for number in range(20):
            catalog = retitled(catalog, kind, str(number))
            bench.streams.apply(compiled_of(catalog))
            await settled(bench)
    assert channel.methods == ["subscriptions/acknowledged"]
    channel.is_full = False
    stream.drained()
    stream.drained()

    assert channel.methods[1:] == ["tools/list_changed", "resources/list_changed"]
    assert stream.notified == 2


async def test_what_is_pending_is_sent_before_the_result(bench: Bench, catalog_of: Any) -> None:
    stream, channel = bench.open(compiled_of(catalog_of()))
    channel.is_full = True
    bench.streams.apply(compiled_of(retitled(catalog_of(), "tools", "x")))
    await settled(bench)
    stream.end(Ended.DRAIN)
    stream.end(Ended.DENIED)
    stream.lost()

    assert channel.methods == ["subscriptions/acknowledged", "tools/list_changed", "result"]
    assert (channel.finished, stream.ended, len(bench.streams)) == (True, Ended.DRAIN, 0)


async def test_a_stream_that_was_ended_before_it_began_sends_nothing(bench: Bench, catalog_of: Any) -> None:
    stream = bench.streams.open(compiled_of(catalog_of()), Listener("c"), 1, frozenset(Kind))
    stream.end(Ended.DRAIN)
    channel = FakeChannel()
    stream.begin(channel)

    assert (channel.sent, channel.finished) == ([], True)


async def test_a_change_before_the_stream_begins_is_notified_after_the_acknowledgement(
    bench: Bench, catalog_of: Any
) -> None:
    stream = bench.streams.open(compiled_of(catalog_of()), Listener("c"), 1, frozenset(Kind))
    bench.streams.apply(compiled_of(retitled(catalog_of(), "tools", "x")))
    await settled(bench)
    channel = FakeChannel()
    stream.begin(channel)

    assert channel.methods == ["subscriptions/acknowledged", "tools/list_changed"]


async def test_a_client_that_was_cut_off_because_it_does_not_read_is_notified_from_one_that_left(
    bench: Bench, catalog_of: Any
) -> None:
    slow, channel = bench.open(compiled_of(catalog_of()))
    channel.is_full = True
    slow.lost()
    gone, _ = bench.open(compiled_of(catalog_of()))
    gone.lost()

    assert (slow.ended, gone.ended) == (Ended.SLOW, Ended.CLIENT)


async def test_comments_keep_a_stream_open_after_each_pause(bench: Bench, catalog_of: Any) -> None:
    compiled = compiled_of(catalog_of())
    bench.streams.apply(compiled)
    _, channel = bench.open(compiled)
    bench.time += 5.0
    _, later = bench.open(compiled)
    _, full_channel = bench.open(compiled)
    full_channel.is_full = True
    await until(lambda: len(channel.sent) > 3 and len(later.sent) > 3)
    # Each within a tick of when it is due: less than the 60 s of common proxies.
    pauses = [end - begin for each in (channel, later) for begin, end in pairwise(each.times)]
    assert all(streams.KEEP_ALIVE <= pause <= streams.KEEP_ALIVE + streams.TICK < 60 for pause in pauses)
    assert set(channel.methods[1:]) == {"comment"}
    # Who does not read is sent nothing more.
    assert full_channel.methods == ["subscriptions/acknowledged"]


async def test_without_streams_nothing_wakes_up(bench: Bench, catalog_of: Any) -> None:
    compiled = compiled_of(catalog_of())
    for _ in range(5):
        await asyncio.sleep(0)
    assert bench.slept == []
    stream, channel = bench.open(compiled)
    await until(lambda: len(channel.sent) > 1)
    stream.lost()
    await until(lambda: not bench.streams._opened.is_set())
    slept = len(bench.slept)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(bench.slept) == slept


async def test_the_event_loop_is_left_to_others_in_between(bench: Bench, catalog_of: Any) -> None:
    """Ten thousand streams: a change, comments and the end are spread."""
    compiled, other = compiled_of(catalog_of()), compiled_of(retitled(catalog_of(), "tools", "x"))
    opened = [bench.open(compiled, Listener(f"c{number % 100}")) for number in range(10_000)]
    # 10 us for each look at the clock.
    bench.costs = 0.00001
    longest = [0]
    before = [0]

    def note() -> None:
        sent = sum(len(channel.sent) for _, channel in opened)
        longest[0] = max(longest[0], sent - before[0])
        before[0] = sent

    before[0] = sum(len(channel.sent) for _, channel in opened)
    bench.before_sleep = note
    bench.streams.apply(other)
    await until(lambda: all(len(channel.sent) >= 2 for _, channel in opened))
    notified = longest[0]
    await bench.streams.drain()

    assert all(channel.methods[-1] == "result" and channel.finished for _, channel in opened)
    assert 0 < notified <= pace.SLICE / bench.costs
    assert longest[0] <= pace.SLICE / bench.costs


async def test_a_newer_catalog_takes_the_place_of_one_that_is_being_notified(bench: Bench, catalog_of: Any) -> None:
    first = compiled_of(catalog_of())
    opened = [bench.open(first) for _ in range(500)]
    bench.costs = 0.0001
    others = [compiled_of(retitled(catalog_of(), "tools", str(number))) for number in range(2)]

    def replace_catalog() -> None:
        notified = [len(channel.sent) for _, channel in opened].count(2)
        if 0 < notified < len(opened) and bench.streams._compiled is others[0]:
            bench.streams.apply(others[1])

    bench.before_sleep = replace_catalog
    bench.streams.apply(others[0])
    digests = dict(others[1].list_digests)
    await until(lambda: all(s._digests[Kind.TOOLS] == (digests["tools/list", True],) for s, _ in opened))
    numbers = {channel.methods.count("tools/list_changed") for _, channel in opened}
    # The first ones were notified of both, all others of the newer one alone.
    assert numbers == {1, 2}
    # The catalog before is referred to no more, so it can be freed.
    assert bench.streams._compiled is others[1]


async def test_a_stream_ends_when_the_token_of_its_client_expires(
    bench: Bench, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK", 0.01)
    bench.time = 100.0
    stream, channel = bench.open(compiled_of(catalog_of()), Listener("c", Grant("JWT", until=160.0)))
    stream.watch_expiry()
    assert stream.ended is None
    bench.time = 160.0
    await until(lambda: stream.ended is not None)

    assert (stream.ended, channel.methods[-1]) == (Ended.EXPIRED, "result")


async def test_the_timer_of_a_token_ends_with_its_stream(bench: Bench, catalog_of: Any) -> None:
    stream, _ = bench.open(compiled_of(catalog_of()), Listener("c", Grant("JWT", until=1e9)))
    timer = stream._expiry
    stream.lost()
    without, _ = bench.open(compiled_of(catalog_of()), Listener("c", ANONYMOUS.grant))

    assert timer is not None
    assert timer.cancelled()
    assert without._expiry is None


async def in_session(bench: Bench, compiled: CompiledCatalog) -> tuple[ListenStream, FakeChannel]:
    await bench.sessions.create("s", Session("2025-11-25"), 1800.0, client="c")
    stream = bench.streams.open(compiled, Listener("c", session=SessionKey("Memory", "s", "")), None, frozenset(Kind))
    channel = FakeChannel(lambda: bench.time)
    stream.begin(channel)
    return stream, channel


async def test_who_listens_uses_the_session_until_it_ends_elsewhere(bench: Bench, catalog_of: Any) -> None:
    compiled = compiled_of(catalog_of())
    bench.streams.apply(compiled)
    stream, channel = await in_session(bench, compiled)
    await until(lambda: bench.time > 3600.0)
    assert stream.ended is None
    assert await bench.sessions.use("s", "", 1800.0) is not None
    # As another replica would.
    await bench.sessions.end("s", "")
    await until(lambda: stream.ended is not None)

    assert (stream.ended, channel.finished, set(channel.methods)) == (Ended.SESSION, True, {"comment"})
    assert bench.streams._sessions == {}


async def test_while_sessions_are_unavailable_streams_stay(
    bench: Bench, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def use(*_: Any) -> None:
        asked.append(1)
        raise StoreUnavailableError

    monkeypatch.setattr(bench.sessions, "use", use)
    compiled = compiled_of(catalog_of())
    bench.streams.apply(compiled)
    stream, _ = await in_session(bench, compiled)
    await until(lambda: len(asked) > 2)

    assert stream.ended is None


async def test_in_the_era_of_sessions_lists_are_compared_as_they_are_there(bench: Bench, catalog_of: Any) -> None:
    """An outputSchema that is not an object is wrapped there."""
    before = catalog_of()
    index = next(number for number, each in enumerate(before.tools) if each.name == "region")
    tools = list(before.tools)
    tools[index] = replace(tools[index], output_schema={"type": "object", "properties": {"result": {"type": "array"}},
                                                        "required": ["result"]})  # fmt: skip
    compiled = compiled_of(before)
    _, legacy = await in_session(bench, compiled)
    _, modern_channel = bench.open(compiled)
    wrapped = replace(before, tools=tuple(tools))
    bench.streams.apply(compiled_of(wrapped))
    await until(lambda: "tools/list_changed" in modern_channel.methods)
    bench.streams.apply(compiled_of(retitled(wrapped, "prompts", "Another")))
    await until(lambda: "prompts/list_changed" in legacy.methods)

    assert "tools/list_changed" not in legacy.methods


async def test_the_limits_of_streams(tmp_path: Path, catalog_of: Any) -> None:
    bench, compiled = Bench(tmp_path, limit=3, per_client=2), compiled_of(catalog_of())
    opened = [bench.open(compiled, Listener("a"))[0] for _ in range(2)]
    assert (bench.streams.exceeded("a"), bench.streams.exceeded("b")) == (Scope.CLIENT, None)
    opened.append(bench.open(compiled, Listener("b"))[0])
    assert (bench.streams.exceeded("a"), bench.streams.exceeded("b")) == (Scope.SERVER, Scope.SERVER)
    for stream in opened:
        stream.lost()
        stream.lost()
    assert (len(bench.streams), bench.streams._clients, bench.streams.exceeded("a")) == (0, {}, None)
