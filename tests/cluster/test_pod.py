"""The small connection of the servers' pods, against an API server with TLS and a token."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import web

from certs import issuance
from certs.tls import HotContext
from cluster import pod
from cluster.pod import PodTransport
from cluster.transport import (
    METADATA_LIST,
    ApiError,
    CredentialsError,
    LongAnswerError,
    LongEventError,
    LostConnectionError,
    MalformedAnswerError,
)
from tests.cluster.test_client import endless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


HEADERS = ("Accept", "Accept-Encoding", "Content-Type")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[PodTransport]:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != f"Bearer {(tmp_path / 'token').read_text().strip()}":
            return web.json_response({"reason": "Unauthorized", "message": "who are you?"}, status=401)
        if request.path == "/endless":
            return await endless(request)
        if request.path == "/refused":
            return await endless(request, 503)
        if request.path == "/bomb":
            return web.Response(body=gzip.compress(b"\0" * 50_000_000), headers={"Content-Encoding": "gzip"})
        if request.path == "/packed":
            return web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "/a"})
        if request.path == "/long":
            stream = web.StreamResponse()
            await stream.prepare(request)
            for part in (b"one ", b"two ", b"three"):
                await stream.write(part)
                await asyncio.sleep(0.01)
            return stream
        if request.path == "/held":
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.get_running_loop().create_future()
        if "watch" in request.query:
            return web.Response(body=b'{"type":"ADDED"}\n')
        if request.path == "/page":
            return web.Response(body=b"<html>Back soon" + b"." * 1000)
        if request.path == "/list":
            return web.json_response([1])
        sent = {name.lower().replace("-", "_"): request.headers.get(name) for name in HEADERS}
        return web.json_response({"query": dict(request.query), "body": await request.text(), **sent})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    now = datetime.now(UTC)  # noqa: TID251 -- certificates of this very moment
    ca = issuance.authority("test", now)
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    (tmp_path / "token").write_text("one\n")
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=HotContext(issuance.leaf(ca, ["127.0.0.1"], now)).outer)
    await site.start()
    transport = PodTransport(tmp_path, "127.0.0.1", runner.addresses[0][1])
    yield transport
    await transport.close()
    await runner.cleanup()


async def test_a_request_carries_the_token_of_the_moment(api: PodTransport, tmp_path: Path) -> None:
    assert (await api.request("GET", "/a", query={"b": "c d"}))["query"] == {"b": "c d"}

    (tmp_path / "token").write_text("two\n")

    assert (await api.request("POST", "/a", body={"x": 1}))["body"] == '{"x":1}'


async def test_a_fetch_gives_the_bytes(api: PodTransport) -> None:
    assert orjson.loads(await api.fetch("/a", query={"b": "c"}, timeout=5))["query"] == {"b": "c"}
    assert orjson.loads(await api.fetch("/a", query={}, timeout=5))["accept"] == "application/json"
    assert orjson.loads(await api.fetch("/a", query={}, timeout=5, accept=METADATA_LIST))["accept"] == METADATA_LIST


@pytest.mark.parametrize("path", ["/endless", "/bomb"])
async def test_an_answer_with_a_limit_is_not_read_beyond_it(api: PodTransport, path: str) -> None:
    with pytest.raises(LongAnswerError):
        await api.fetch(path, query={}, timeout=5, limit=4096)
    assert b'"query"' in await api.fetch("/a", query={}, timeout=5, limit=4096)


async def test_a_refusal_is_not_read_without_end(api: PodTransport) -> None:
    for limit in (None, 4096):
        with pytest.raises(ApiError, match="503 Unknown"):
            await api.fetch("/refused", query={}, timeout=30, limit=limit)
    with pytest.raises(ApiError, match="503 Unknown"):
        async with api.watch("/refused", query={}, idle=30):
            pass
    assert not api._open


async def test_a_compressed_answer_is_refused_where_there_is_a_limit_however_short_it_is(api: PodTransport) -> None:
    with pytest.raises(LongAnswerError):
        await api.fetch("/packed", query={}, timeout=5, limit=4096)


async def test_proxies_of_the_environment_are_not_asked(api: PodTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert await api.request("GET", "/a")


async def test_an_answer_with_a_limit_is_read_whole_and_leads_nowhere_else(api: PodTransport) -> None:
    """A pod answers through the API server: it must not send the controller to another page of it."""
    assert await api.fetch("/long", query={}, timeout=5, limit=13) == b"one two three"
    with pytest.raises(LongAnswerError):
        await api.fetch("/long", query={}, timeout=5, limit=12)
    with pytest.raises(ApiError, match="302"):
        await api.fetch("/away", query={}, timeout=5, limit=4096)
    with pytest.raises(ApiError, match="302"):
        await api.request("GET", "/away")


async def test_a_watch_gives_events(api: PodTransport) -> None:
    async with api.watch("/a", query={}, idle=5) as events:
        assert [event async for event in events] == [{"type": "ADDED"}]


async def test_any_number_of_watches_leaves_room_for_requests(api: PodTransport) -> None:
    """In namespaced mode there is a watch for each type and namespace."""
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(60):
        for _ in range(120):
            await stack.enter_async_context(api.watch("/held", query={}, idle=60))
        assert (await api.request("GET", "/a"))["query"] == {}


async def test_a_refusal_is_an_error(api: PodTransport, tmp_path: Path) -> None:
    async def send() -> None:
        await api.request("GET", "/a")

    await send()
    token = tmp_path / "token"
    kept = token.read_text()
    api._directory = tmp_path / "other"  # another pod's token
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "token").write_text("stolen")
    (tmp_path / "other" / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    with pytest.raises(ApiError, match="401 Unauthorized"):
        await send()
    with pytest.raises(ApiError):
        async with api.watch("/a", query={}, idle=5):
            pass
    with pytest.raises(ApiError):
        await api.fetch("/a", query={}, timeout=5)
    assert token.read_text() == kept
    await asyncio.sleep(0)


async def test_a_certificate_that_was_replaced_is_read_again(api: PodTransport, tmp_path: Path) -> None:
    await api.request("GET", "/a")
    authority = tmp_path / "ca.crt"
    kept = authority.read_bytes()
    other = issuance.authority("other", datetime.now(UTC))  # noqa: TID251 -- as above
    authority.write_bytes(other.certificate)

    with pytest.raises(ssl.SSLCertVerificationError):
        await api.request("GET", "/a")

    authority.write_bytes(kept)
    assert await api.request("GET", "/a")


async def test_without_a_token_nothing_is_sent(api: PodTransport, tmp_path: Path) -> None:
    refusals: list[None] = []
    api._refresh_failed = lambda: refusals.append(None)
    (tmp_path / "token").unlink()

    with pytest.raises(CredentialsError, match="token"):
        await api.request("GET", "/a")
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(CredentialsError, match="cannot be read"):
        await api.request("GET", "/a")
    (tmp_path / "ca.crt").unlink()
    with pytest.raises(CredentialsError, match=r"ca\.crt"):
        await api.request("GET", "/a")
    assert len(refusals) == 3


async def test_an_answer_that_is_no_object_is_a_value(api: PodTransport) -> None:
    assert await api.request("GET", "/list") == {"value": [1]}


async def test_an_answer_that_is_not_json_is_none(api: PodTransport) -> None:
    """So that whoever waits for the API server to come back does so here, too."""
    with pytest.raises(MalformedAnswerError, match="not JSON; it begins with '<html>Back soon") as raised:
        await api.request("GET", "/page")
    assert isinstance(raised.value, OSError)
    assert len(str(raised.value)) < 300


def test_it_costs_no_kubernetes_library() -> None:
    heavy = (
        "import sys, runtime.app.program; print([m for m in ('kubernetes_asyncio', 'pydantic') if m in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"


async def test_every_request_says_what_it_sends_and_what_it_takes(api: PodTransport) -> None:
    plain = await api.request("GET", "/a")
    patch = await api.request("PATCH", "/a", body=[1], content_type="application/x", accept="application/y")

    assert (plain["content_type"], plain["accept"], plain["body"]) == ("application/json", "application/json", "")
    assert (patch["content_type"], patch["accept"], patch["body"]) == ("application/x", "application/y", "[1]")
    assert plain["accept_encoding"] == "identity"


async def test_every_request_has_an_end(api: PodTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.transport.REQUEST_TIMEOUT", 0.05)
    async with asyncio.timeout(30):
        with pytest.raises(TimeoutError):
            await api.request("GET", "/held", timeout=0.05)
        with pytest.raises(TimeoutError):
            await api.fetch("/held", query={}, timeout=0.05)
        with pytest.raises(TimeoutError):
            async with api.watch("/held", query={}, idle=0.05) as events:
                await anext(events)


def test_whose_credentials_cannot_be_read_is_told(tmp_path: Path) -> None:
    refusals: list[None] = []
    transport = PodTransport(tmp_path, "fd00::1", 6443, refresh_failed=lambda: refusals.append(None))

    with pytest.raises(CredentialsError):
        asyncio.run(transport.request("GET", "/a"))
    assert len(refusals) == 1
    assert transport.authority == "[fd00::1]:6443"
    assert PodTransport(tmp_path, "10.0.0.1", 6443).authority == "10.0.0.1:6443"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'{"type":"ADDED"}\n'


class Script:
    """An API server that answers what its list says, one entry a request; None closes the connection.

    ``requests`` counts those on each connection. Without an answer that is left, it waits until the client closes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.answers: list[bytes | None] = []
        self.requests: list[int] = []
        self.left = asyncio.Event()
        self.asked = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.requests)
        self.requests.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.requests[number] += 1
                self.asked.set()
                if not self.answers:
                    await reader.read()
                    break
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
        self.left.set()
        writer.transport.abort()


@pytest.fixture
async def script(tmp_path: Path) -> AsyncIterator[tuple[PodTransport, Script]]:
    now = datetime.now(UTC)  # noqa: TID251 -- certificates of this very moment
    ca = issuance.authority("test", now)
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    (tmp_path / "token").write_text("one\n")
    script = Script(tmp_path)
    context = HotContext(issuance.leaf(ca, ["127.0.0.1"], now)).outer
    server = await asyncio.start_server(script, "127.0.0.1", 0, ssl=context)
    transport = PodTransport(tmp_path, "127.0.0.1", server.sockets[0].getsockname()[1])
    yield transport, script
    await transport.close()
    server.close()


async def test_a_connection_is_used_again(script: tuple[PodTransport, Script]) -> None:
    transport, api = script
    api.answers = [OK, OK, CHUNKED + b"0\r\n\r\n", OK]
    await transport.request("GET", "/a")
    await transport.request("POST", "/a", body={})
    async with transport.watch("/a", query={}, idle=5) as events:
        assert [event async for event in events] == []
    await transport.request("GET", "/a")

    assert api.requests == [4]


async def test_what_may_be_repeated_is_sent_again_when_the_server_closes_the_connection_just_then(
    script: tuple[PodTransport, Script],
) -> None:
    transport, api = script
    api.answers = [OK, None, OK]
    await transport.request("GET", "/a")
    assert await transport.request("PUT", "/a", body={}) == {}
    assert api.requests == [2, 1]

    for method in ("POST", "PATCH"):
        api.answers = [OK, None, OK]
        await transport.request("GET", "/a")
        with pytest.raises(LostConnectionError):
            await transport.request(method, "/a", body={})
    # A connection that never served fails for good.
    await transport.close()
    api.answers = [None, OK]
    with pytest.raises(LostConnectionError):
        await transport.request("GET", "/a")
    assert api.answers == [OK]


async def test_a_connection_without_requests_is_closed(
    script: tuple[PodTransport, Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod, "KEPT", 0.01)
    transport, api = script
    api.answers = [OK]
    await transport.request("GET", "/a")

    async with asyncio.timeout(30):
        await api.left.wait()


async def test_who_gives_up_closes_the_connection(script: tuple[PodTransport, Script]) -> None:
    transport, api = script
    request = asyncio.create_task(transport.request("GET", "/a", timeout=60))
    async with asyncio.timeout(30):
        await api.asked.wait()
        request.cancel()
        await api.left.wait()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_who_leaves_a_watch_closes_the_connection(script: tuple[PodTransport, Script]) -> None:
    transport, api = script
    api.answers = [CHUNKED + b"11\r\n" + EVENT + b"\r\n"]
    async with asyncio.timeout(30):
        async with transport.watch("/a", query={}, idle=60) as events:
            assert await anext(events) == {"type": "ADDED"}
        await api.left.wait()


async def test_a_watch_that_breaks_is_no_end(script: tuple[PodTransport, Script]) -> None:
    transport, api = script
    api.answers = [CHUNKED + b"11\r\n" + EVENT + b"\r\n5\r\n{"]
    async with transport.watch("/a", query={}, idle=60) as events:
        assert await anext(events) == {"type": "ADDED"}
        await transport.close()
        with pytest.raises(LostConnectionError):
            await anext(events)


async def test_a_watch_breaks_when_the_certificate_is_replaced(
    script: tuple[PodTransport, Script], tmp_path: Path
) -> None:
    transport, api = script
    api.answers = [CHUNKED + b"11\r\n" + EVENT + b"\r\n", OK]
    async with transport.watch("/a", query={}, idle=60) as events:
        assert await anext(events) == {"type": "ADDED"}
        (tmp_path / "new").write_bytes((tmp_path / "ca.crt").read_bytes())
        (tmp_path / "new").replace(tmp_path / "ca.crt")
        await transport.request("GET", "/a")
        with pytest.raises(LostConnectionError):
            await anext(events)
    assert api.requests == [1, 1]


async def test_an_event_without_end_is_left(
    script: tuple[PodTransport, Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.transport.EVENT_LIMIT", 100)
    transport, api = script
    api.answers = [CHUNKED + b"65\r\n" + b"a" * 101 + b"\r\n"]
    async with asyncio.timeout(30):
        with pytest.raises(LongEventError):
            async with transport.watch("/a", query={}, idle=60) as events:
                await anext(events)
        await api.left.wait()


async def test_a_refused_watch_is_an_error(script: tuple[PodTransport, Script]) -> None:
    transport, api = script
    status = b'{"reason":"Expired","message":"too old"}'
    api.answers = [b"HTTP/1.1 410 Gone\r\nContent-Length: %d\r\n\r\n%s" % (len(status), status)]
    with pytest.raises(ApiError, match="410 Expired: too old"):
        async with transport.watch("/a", query={}, idle=60):
            pass


async def test_a_path_cannot_end_its_line(api: PodTransport) -> None:
    assert (await api.request("GET", "/a b?z#\u00fc", query={"c": "d&e\r\n"}))["query"] == {"c": "d&e\r\n"}
    head = api._head("GET", "/a b\r\nX: y?z%20:,@", {"c": "d\r\n"}, None, {})
    assert head.startswith(b"GET /a%20b%0D%0AX:%20y%3Fz%20:,@?c=d%0D%0A HTTP/1.1\r\nHost: ")


def test_it_costs_no_aiohttp() -> None:
    code = "import sys, cluster.client, cluster.informers.informer, cluster.election, cluster.events, cluster.objects"
    code += "; print([m for m in ('aiohttp', 'kubernetes_asyncio', 'yarl') if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
