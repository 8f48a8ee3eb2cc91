"""Which requests are answered at once, that all others are answered all the same, and whose connections give way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from cluster.connections import Deadlines
from cluster.listener import Listener
from cluster.message import Request, Response
from webhook import connection
from webhook.connection import Connections, Head, read_head

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
def test_every_other_head_is_for_the_parser(old: bytes, new: bytes) -> None:
    assert old in PLAIN
    assert read_head(PLAIN.replace(old, new)) is None


def test_blanks_in_a_head_cost_no_more_than_other_characters() -> None:
    started = time.process_time()
    for size in range(1900, 2000):
        assert read_head(PLAIN.replace(b"Host: x", b"Host:" + b" " * (size - len(PLAIN)) + b"\x00")) is None
    # With a pattern that goes back over blanks it takes a third of a second.
    assert time.process_time() - started < 0.1


class Site:
    """A server that answers bodies of two bytes at once, except for ``{}``. The parser's requests are in brackets."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.parsed: list[bytes] = []
        self.aborted = 0
        self.connections = Connections(
            self.handle, deadlines, answer=self.answer, now=lambda: 0.0, on_abort=self.note_aborted
        )

    def note_aborted(self) -> None:
        self.aborted += 1

    def answer(self, path: str, query: str, body: bytes) -> bytes | None:
        return f"[{path},{query},{body.decode()}]".encode() if body != b"{}" else None

    async def handle(self, request: Request) -> Response:
        body = b""
        while part := await request.receive():
            body += part
        await self.open.wait()
        self.parsed.append(body)
        return Response(200, b"<" + body + b">")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *pieces: bytes, answers: int = 1) -> list[bytes]:
        """Send the pieces, each of which the server has received before the next is sent; the bodies that return."""
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                before = {id(each): each.heard_at for each in self.connections._open}
                writer.write(piece)
                await until(lambda: any(before.get(id(each)) != each.heard_at for each in self.connections._open))  # noqa: B023
            return [await read(reader) for _ in range(answers)]
        finally:
            writer.close()


async def read(reader: asyncio.StreamReader) -> bytes:
    """The body of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    assert b"\r\ndate: " in head, head
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


@asynccontextmanager
async def serving(deadlines: Deadlines = Deadlines()) -> AsyncIterator[Site]:  # noqa: B008 -- frozen
    site = Site(deadlines)
    listener = Listener(site.connections)
    await listener.start("127.0.0.1", 0)
    site.port = listener.port  # type: ignore[attr-defined]
    try:
        async with asyncio.timeout(30):
            yield site
    finally:
        await listener.close(0.0)


AT_ONCE = b"[/validate,timeout=5s,ab]"


async def test_a_plain_request_is_answered_at_once() -> None:
    async with serving() as site:
        assert await site.ask(PLAIN + b"ab", PLAIN + b"ab", answers=2) == [AT_ONCE] * 2
        assert site.parsed == []


@pytest.mark.parametrize("cut", [1, 20, len(PLAIN) - 2, len(PLAIN), len(PLAIN) + 1])
async def test_a_request_in_pieces_is_parsed_and_the_next_one_is_not(cut: int) -> None:
    async with serving() as site:
        whole = PLAIN + b"ab"
        reader, writer = await site.connect()
        for pieces, expected in (((whole[:cut], whole[cut:]), b"<ab>"), ((whole,), AT_ONCE)):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.001)
            assert await read(reader) == expected
        writer.close()


async def test_what_takes_waiting_is_parsed_and_the_next_request_is_not() -> None:
    async with serving() as site:
        reader, writer = await site.connect()
        for sent, expected in ((b"{}", b"<{}>"), (b"ab", AT_ONCE), (b"{}", b"<{}>"), (b"ab", AT_ONCE)):
            writer.write(PLAIN + sent)
            assert await read(reader) == expected
        writer.close()
        assert site.parsed == [b"{}", b"{}"]


async def test_answers_keep_the_order_of_their_requests() -> None:
    async with serving() as site:
        site.open.clear()
        reader, writer = await site.connect()
        writer.write(PLAIN + b"{}")
        await until(lambda: bool(site.connections._open))
        (here,) = site.connections._open
        await until(lambda: here._request is not None)
        for number, body in enumerate((b"ab", b"cd")):
            writer.write(PLAIN + body)
            await until(lambda waiting=number + 1: len(here._pending) == waiting)  # type: ignore[misc]
        site.open.set()
        assert [await read(reader) for _ in range(3)] == [b"<{}>", b"<ab>", b"<cd>"]
        writer.close()
        assert await site.ask(PLAIN + b"ab" + PLAIN + b"cd", answers=2) == [b"<ab>", b"<cd>"]


@pytest.mark.parametrize(
    "request_",
    [
        PLAIN.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n",
        PLAIN.replace(b"POST", b"GET") + b"ab",
        PLAIN.replace(b"Host: x", b"Host: x\r\n" + b"X-Long: " + b"x" * 4000 + b"\r\nY-Long: " + b"y" * 7000) + b"ab",
    ],
    ids=["chunks", "another method", "a long head"],
)
async def test_other_requests_are_parsed(request_: bytes) -> None:
    async with serving() as site:
        assert await site.ask(request_) == [b"<ab>"]
        assert await site.ask(request_[:60], request_[60:], PLAIN + b"ab", answers=2) in (
            [b"<ab>", AT_ONCE],
            [b"<ab>", b"<ab>"],
        )


async def test_a_large_body_is_parsed_and_the_next_request_is_not() -> None:
    async with serving() as site:
        large = b"a" * (connection.MAX_BODY + 1)
        request = PLAIN.replace(b"Content-Length: 2", b"Content-Length: %d" % len(large)) + large
        for pieces in ((request,), (request[:400], request[400:20_000], request[20_000:])):
            reader, writer = await site.connect()
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.001)
            assert await read(reader) == b"<" + large + b">"
            writer.write(PLAIN + b"ab")
            assert await read(reader) == AT_ONCE
            writer.close()


async def test_a_request_of_which_half_is_sent_has_a_deadline() -> None:
    async with serving(Deadlines(headers=0.05, first=60.0)) as site:
        silent, silent_writer = await site.connect()
        half, half_writer = await site.connect()
        half_writer.write(PLAIN[:30])

        assert await half.read() == b""
        assert site.aborted == 1

        # Of an API server a connection may be open that it has not used yet.
        silent_writer.write(PLAIN + b"ab")
        assert await read(silent) == AT_ONCE
        # After an answer, the next request has the same deadline.
        silent_writer.write(PLAIN[:30])
        assert await silent.read() == b""
        for writer in (silent_writer, half_writer):
            writer.close()


async def test_after_an_answer_at_once_the_next_request_has_a_deadline() -> None:
    async with serving(Deadlines(headers=0.5, idle=60.0)) as site:
        reader, writer = await site.connect()
        writer.write(PLAIN + b"ab")
        assert await read(reader) == AT_ONCE
        writer.write(PLAIN[:30])
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_was_answered_at_once_is_closed_when_it_is_idle() -> None:
    async with serving(Deadlines(headers=60.0, idle=0.05)) as site:
        reader, writer = await site.connect()
        writer.write(PLAIN + b"ab")
        assert await read(reader) == AT_ONCE
        assert await reader.read() == b""
        writer.close()


async def test_strangers_give_way_before_clients_that_were_recognised() -> None:
    async with serving(Deadlines(connections=4)) as site:
        known, known_writer = await site.connect()
        known_writer.write(PLAIN + b"ab")
        assert await read(known) == AT_ONCE
        strangers = [await site.connect() for _ in range(12)]
        for _, writer in strangers:
            writer.write(PLAIN[:30])
        for reader, _ in strangers[:9]:
            assert await closed(reader)

        newcomer, newcomer_writer = await site.connect()
        newcomer_writer.write(PLAIN + b"ab")
        assert await read(newcomer) == AT_ONCE
        known_writer.write(PLAIN + b"ab")
        assert await read(known) == AT_ONCE
        assert len(site.connections) == 4
        for writer in (known_writer, newcomer_writer, *(writer for _, writer in strangers)):
            writer.close()


async def test_of_recognised_clients_the_one_that_waited_longest_gives_way() -> None:
    async with serving(Deadlines(connections=2)) as site:
        clients = []
        for _ in range(3):
            clients.append(await site.connect())
            clients[-1][1].write(PLAIN + b"ab")
            assert await read(clients[-1][0]) == AT_ONCE
        assert await closed(clients[0][0])
        for reader, writer in clients[1:]:
            writer.write(PLAIN + b"ab")
            assert await read(reader) == AT_ONCE
        for _, writer in clients:
            writer.close()


async def test_a_client_that_does_not_read_gets_no_further_answers_at_once() -> None:
    async with serving(Deadlines(write=0.1)) as site:
        answers = []
        long = b"x" * 1_000_000

        def answer(_path: str, _query: str, _body: bytes) -> bytes:
            answers.append(1)
            return long

        site.connections.answer = answer
        _, writer = await site.connect()
        await until(lambda: bool(site.connections._open))
        (here,) = site.connections._open
        while not here._is_full:
            writer.write(PLAIN + b"ab")
            await asyncio.sleep(0.001)
        before = len(answers)
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                writer.write(PLAIN + b"ab")
                await asyncio.sleep(0.001)
        assert (len(answers), site.parsed) == (before, [])
        await until(lambda: not site.connections._open)
        assert site.aborted == 1
        writer.close()


async def test_requests_that_were_sent_ahead_are_not_answered_before_the_client_reads() -> None:
    async with serving(Deadlines(headers=60.0, idle=60.0, write=0.1)) as site:
        long = Response(200, b"x" * 10_000_000)
        handled = 0

        async def handle(_: Request) -> Response:
            nonlocal handled
            handled += 1
            return long

        site.connections.handle = handle
        _, writer = await site.connect()
        writer.write((PLAIN + b"{}") * 5)
        await until(lambda: site.aborted == 1)
        assert handled == 1
        writer.close()


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)
