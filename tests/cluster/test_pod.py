"""The small connection of the servers' pods, against an API server with TLS and a token."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest
from aiohttp import web

from certs import issuance
from certs.tls import HotContext
from cluster import pod
from cluster.pod import PodTransport
from cluster.transport import METADATA_LIST, ApiError, CredentialsError, LongAnswerError
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
    assert b'"query"' not in await api.fetch("/away", query={}, timeout=5, limit=4096)
    assert b'"query"' in await api.fetch("/away", query={}, timeout=5)


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

    with pytest.raises(aiohttp.ClientConnectorError):
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
    assert str(transport._url("/a", {"b": "c d"})) == "https://[fd00::1]:6443/a?b=c+d"
    assert str(PodTransport(tmp_path, "10.0.0.1", 6443)._url("/a", None)) == "https://10.0.0.1:6443/a"


def test_a_connection_notices_that_the_other_end_is_gone() -> None:
    made = pod._socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0)))
    with made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [made.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [30, 5, 3]
        assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)


async def test_every_connection_is_made_so(api: PodTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    def note(address: aiohttp.AddrInfoType) -> socket.socket:
        made.append(_socket(address))
        return made[-1]

    _socket = pod._socket
    monkeypatch.setattr(pod, "_socket", note)
    for _ in range(3):
        await api.request("GET", "/a")

    # And is used again.
    assert [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) for each in made] == [30]
