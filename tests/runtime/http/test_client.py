"""What the client for backends connects to, when catalog, DNS or a backend are hostile."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from crd import addresses
from runtime.backends.faults import CallError
from runtime.backends.secret_files import SecretFiles
from runtime.http.client import HttpClient
from runtime.http.exchange import Request
from runtime.http.pool import Limits, NotConnectedError, Origin, Pool
from runtime.http.resolver import Resolver


class Names:
    """Answers every name with ``answers`` and records it."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str) -> tuple[tuple[str, ...], float]:
        self.asked.append(host)
        return self.answers, 0.0


class Service:
    """A service on loopback, and the requests that it saw."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[str] = []
        self.accepted: list[list[str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.headers["Host"])
        self.accepted.append(request.headers.getall("Accept"))
        return web.Response(text="hello")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    found = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


async def call(names: Names, url: str, tmp_path: Path, *, allow_loopback: bool = False) -> Any:
    client = HttpClient(SecretFiles(tmp_path, tmp_path), allow_loopback=allow_loopback, lookup=names)
    try:
        return await client.send(Request("GET", url), 5.0)
    finally:
        await client.close()


async def fault(*arguments: Any, **more: Any) -> CallError:
    with pytest.raises(CallError) as raised:
        await call(*arguments, **more)
    return raised.value


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "127.0.0.1", "[::1]", "example.com", "orders.shop.svc.evil.com", "shop.svc", "localhost"],
)
async def test_only_services_are_called(host: str, tmp_path: Path, service: Service) -> None:
    names = Names("127.0.0.1")

    found = await fault(names, f"http://{host}:{service.port}/", tmp_path)

    assert found.code == "misconfigured"
    assert (names.asked, service.seen) == ([], [])


async def test_a_request_has_one_accept_header(tmp_path: Path, service: Service) -> None:
    client = HttpClient(SecretFiles(tmp_path, tmp_path), allow_loopback=True)
    url = f"http://127.0.0.1:{service.port}/"
    try:
        for headers in ((), (("accept", "text/event-stream"),), (("X-Test", "1"),)):
            await client.send(Request("GET", url, headers), 5.0)
    finally:
        await client.close()

    default = ["application/json, text/*;q=0.9, */*;q=0.5"]
    assert service.accepted == [default, ["text/event-stream"], default]


@pytest.mark.parametrize("answer", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
async def test_a_service_that_resolves_to_the_pod_itself_is_not_called(
    answer: str, tmp_path: Path, service: Service
) -> None:
    found = await fault(Names(answer), f"http://orders.shop.svc:{service.port}/", tmp_path)

    assert found.code == "unreachable"
    assert service.seen == []


async def test_each_address_of_an_answer_is_judged_when_it_is_connected(tmp_path: Path, service: Service) -> None:
    names = Names("::ffff:127.0.0.1", "169.254.169.254", "127.0.0.1")

    reply = await call(names, f"http://orders.shop.svc:{service.port}/", tmp_path, allow_loopback=True)

    assert reply.body == b"hello"
    assert service.seen == [f"orders.shop.svc:{service.port}"]


async def test_a_service_has_an_absolute_name(tmp_path: Path, service: Service) -> None:
    names = Names("127.0.0.1")

    await call(names, f"http://orders.shop.svc:{service.port}/", tmp_path, allow_loopback=True)

    assert names.asked == ["orders.shop.svc.cluster.local."]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]"])
async def test_a_literal_address_does_not_pass_the_resolver_and_is_judged_too(host: str, service: Service) -> None:
    names = Names("192.0.2.1")
    pool = Pool(Resolver(names, time.monotonic).resolve, addresses.find_fault, lambda: 0.0)
    with pytest.raises(NotConnectedError, match="which must not be called"):
        await pool.exchange(Origin(host, service.port), b"GET / HTTP/1.1\r\n\r\n", None, 5.0, Limits(100))

    assert names.asked == []
    assert service.seen == []


class Hostile:
    """Answers every request with the bytes ``answer``, and then closes the connection."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    async def __aenter__(self) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            writer.close()

        self.server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/"

    async def __aexit__(self, *_: object) -> None:
        self.server.close()


def http(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", b""]
    return b"\r\n".join(lines) + body


async def send(answer: bytes, tmp_path: Path, **more: Any) -> Any:
    client = HttpClient(SecretFiles(tmp_path, tmp_path), allow_loopback=True)
    try:
        async with Hostile(answer) as url:
            return await client.send(Request("GET", url), 5.0, **more)
    finally:
        await client.close()


async def test_a_reply_is_inflated_to_its_limit_only(tmp_path: Path) -> None:
    bomb = http(gzip.compress(b"\0" * 100_000_000), b"Content-Encoding: gzip")
    tracemalloc.start()
    try:
        with pytest.raises(CallError, match="bad_response"):
            await send(bomb, tmp_path, max_bytes=1000)
        cut = await send(bomb, tmp_path, max_bytes=1000, cut=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (cut.body, cut.cut) == (b"\0" * 1000, 0)
    assert peak < 10_000_000


async def test_what_follows_a_gzip_is_not_read(tmp_path: Path) -> None:
    reply = await send(http(gzip.compress(b"hello") + b"x" * 100_000, b"Content-Encoding: gzip"), tmp_path)

    assert reply.body == b"hello"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"hello" * 100, mtime=0)[:-9], b"gzip"),
        (b"hello", b"gzip"),
        (b"hello", b"br"),
        (b"hello", b"deflate"),
        (b"hello", b"gzip, gzip"),
    ],
)
async def test_an_encoding_that_cannot_be_read_is_a_bad_response(body: bytes, encoding: bytes, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="bad_response"):
        await send(http(body, b"Content-Encoding: " + encoding), tmp_path)


async def test_headers_that_are_not_utf_8_can_be_written_again(tmp_path: Path) -> None:
    reply = await send(http(b"{}", b"Content-Type: \xff\xfe/json", b"X-Odd: a\x80b"), tmp_path)

    assert (reply.headers["x-odd"], reply.content_type) == ("a\ufffdb", "\ufffd\ufffd/json")
    assert orjson.dumps(dict(reply.headers))
