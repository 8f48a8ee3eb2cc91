"""Which requests are answered at once, and that all others are answered all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from webhook import connection
from webhook.connection import Head, read_head

PLAIN = b"POST /validate?timeout=5s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"


def test_the_head_of_a_plain_request_is_read() -> None:
    assert read_head(PLAIN) == Head("/validate", "timeout=5s", 2)
    assert read_head(PLAIN.replace(b"?timeout=5s", b"").replace(b"Host", b"hOST")) == Head("/validate", "", 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POST", b"GET"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"/validate", b"http://x/validate"),
        (b"/validate", b"/vali date"),
        (b"Host: x\r\n", b""),
        (b"Host: x", b"Host: x\r\nTransfer-Encoding: chunked"),
        (b"Host: x", b"Host: x\r\ntransfer-encoding:chunked"),
        (b"Host: x", b"Host: x\r\nConnection: close"),
        (b"Host: x", b"Host: x\r\nExpect: 100-continue"),
        (b"Host: x", b"Host: x\r\nContent-Encoding: gzip"),
        (b"Host: x", b"Host: x\r\nContent-Length: 2"),
        (b"Host: x", b"Host: x\r\n folded"),
        (b"Host: x", b"Host : x"),
        (b"Host: x", b"Host: \xe4"),
        (b"Host: x", b"Host: x\n"),
        (b"Host: x", b"Host: x\x00"),
        (b"Length: 2", b"Length: +2"),
        (b"Length: 2", b"Length: 02"),
        (b"Length: 2", b"Length: 2, 2"),
        (b"Length: 2", b"Length: 2000000000"),
        (b"Content-Length: 2\r\n", b""),
        (b"application/json", b"text/plain"),
        (b"application/json", b"application/json; charset=latin-1"),
    ],
)
def test_every_other_head_is_for_aiohttp(old: bytes, new: bytes) -> None:
    assert old in PLAIN
    assert read_head(PLAIN.replace(old, new)) is None


class Site:
    """A server that answers bodies of two bytes at once, except for ``{}``."""

    def __init__(self) -> None:
        self.busy: set[Any] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.by_aiohttp: list[bytes] = []
        self.port = 0
        self.server: connection.Server | None = None

    def answer(self, path: str, query: str, body: bytes) -> bytes | None:
        return f"[{path},{query},{body.decode()}]".encode() if body != b"{}" else None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        await self.open.wait()
        self.by_aiohttp.append(body)
        return web.Response(body=b"<" + body + b">")

    async def ask(self, *pieces: bytes, answers: int = 1) -> list[bytes]:
        """Send the pieces, each of which the server has received before the next is sent; the bodies that return."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
            return [await read(reader) for _ in range(answers)]
        finally:
            writer.close()


async def read(reader: asyncio.StreamReader) -> bytes:
    """The body of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 "), head
    assert b"\r\ndate: " in head, head
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    site = Site()
    site.server = connection.Server(site.handle, answer=site.answer, busy=site.busy, access_log=None)
    runner = web.ServerRunner(site.server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    try:
        async with asyncio.timeout(30):
            yield site
    finally:
        await runner.cleanup()


AT_ONCE = b"[/validate,timeout=5s,ab]"


async def test_a_plain_request_is_answered_at_once() -> None:
    async with serving() as site:
        assert await site.ask(PLAIN + b"ab", PLAIN + b"ab", answers=2) == [AT_ONCE] * 2
        assert site.by_aiohttp == []


@pytest.mark.parametrize("cut", [1, 20, len(PLAIN) - 2, len(PLAIN), len(PLAIN) + 1])
async def test_a_request_may_arrive_in_pieces(cut: int) -> None:
    async with serving() as site:
        whole = PLAIN + b"ab"
        assert await site.ask(whole[:cut], whole[cut:], whole, answers=2) == [AT_ONCE] * 2
        assert site.by_aiohttp == []
        assert site.busy == set()


async def test_what_takes_waiting_goes_to_aiohttp_and_the_next_request_does_not() -> None:
    async with serving() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for sent, expected in ((b"{}", b"<{}>"), (b"ab", AT_ONCE), (b"{}", b"<{}>"), (b"ab", AT_ONCE)):
            writer.write(PLAIN + sent)
            assert await read(reader) == expected
            await asyncio.sleep(0.001)
        writer.close()
        assert site.by_aiohttp == [b"{}", b"{}"]


async def test_answers_keep_the_order_of_their_requests() -> None:
    async with serving() as site:
        site.open.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(PLAIN + b"{}")
        await until(lambda: bool(site.server and site.server.requests_count))
        (here,) = site.server.connections if site.server else ()
        for number, body in enumerate((b"ab", b"cd")):
            writer.write(PLAIN + body)
            await until(lambda waiting=number + 1: len(here._messages) == waiting)  # type: ignore[misc]
        site.open.set()
        assert [await read(reader) for _ in range(3)] == [b"<{}>", b"<ab>", b"<cd>"]
        writer.close()
        assert await site.ask(PLAIN + b"ab" + PLAIN + b"cd", answers=2) == [b"<ab>", b"<cd>"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (PLAIN.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n", b"<ab>"),
        (PLAIN.replace(b"POST", b"GET") + b"ab", b"<ab>"),
        (
            PLAIN.replace(b"Host: x", b"Host: x\r\n" + b"X-Long: " + b"x" * 4000 + b"\r\nY-Long: " + b"y" * 7000)
            + b"ab",
            b"<ab>",
        ),
    ],
)
async def test_other_requests_are_answered_by_aiohttp(request_: bytes, expected: bytes) -> None:
    async with serving() as site:
        assert await site.ask(request_) == [expected]
        assert await site.ask(request_[:60], request_[60:], PLAIN + b"ab", answers=2) == [expected, b"<ab>"]


async def test_a_large_body_is_for_aiohttp_and_the_next_request_is_not() -> None:
    async with serving() as site:
        large = b"a" * (connection.MAX_BODY + 1)
        request = PLAIN.replace(b"Content-Length: 2", b"Content-Length: %d" % len(large)) + large
        expected = [b"<" + large + b">", b"[/validate,timeout=5s,ab]"]
        for pieces in ((request,), (request[:400], request[400:20_000], request[20_000:])):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.001)
            first = await read(reader)
            await asyncio.sleep(0.001)
            writer.write(PLAIN + b"ab")
            assert [first, await read(reader)] == expected
            writer.close()
        assert await site.ask(request + PLAIN + b"ab", answers=2) == [expected[0], b"<ab>"]


async def test_a_connection_that_breaks_within_a_request_is_forgotten() -> None:
    async with serving() as site:
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(PLAIN + b"a")
        await until(lambda: bool(site.busy))
        writer.close()
        await until(lambda: not site.busy)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)
