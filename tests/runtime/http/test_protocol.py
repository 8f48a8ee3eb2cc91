"""HTTP/1.1 on the connections of clients, byte by byte (RFC 9112)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Self

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster import connections, known_heads
from cluster.connections import (
    KNOWN_HEADS,
    MAX_HEAD,
    MAX_PENDING,
    MAX_SMALL_CHUNKS,
    PIPELINED,
    SMALL_CHUNK,
    Connections,
    Deadlines,
)
from cluster.listener import Listener
from cluster.message import Channel, ClientGoneError, Request, Response

Handle = Callable[[Request], Awaitable[Response]]
# A request up to its trailers.
TRAILERS = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"


async def read_all(request: Request) -> bytes:
    body = b""
    while part := await request.receive():
        body += part
    return body


async def echo(request: Request) -> Response:
    body = await read_all(request)
    return Response(200, b"%s %s %s" % (request.method.encode(), request.path.encode(), body))


class Server:
    def __init__(self, handle: Handle, deadlines: Deadlines | None = None) -> None:
        self.aborted = 0

        def count() -> None:
            self.aborted += 1

        self.connections = Connections(
            handle, deadlines or Deadlines(), now=lambda: 0.0, added={"X-Added": "yes"}, on_abort=count
        )
        self.listener = Listener(self.connections)

    async def __aenter__(self) -> Self:
        await self.listener.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.close(0)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.listener.port, limit=2**22)

    async def exchange(self, *parts: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        reader, writer = await self.open()
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        return answer


async def answer_on(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one answer that has a length."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b": 0")
        return head, await reader.readexactly(int(length.split(b":")[1]))


async def test_a_request_is_read_and_answered() -> None:
    seen: list[Request] = []

    async def handle(request: Request) -> Response:
        seen.append(request)
        return Response(201, await read_all(request), "text/x", {"X-One": "1"})

    async with Server(handle) as server:
        answer = await server.exchange(
            b"PUT /a%20b?c=%64&e HTTP/1.1\r\nHost: x\r\nX-Twice: 1\r\nx-TWICE: \xc3\xa9\r\nContent-Length: 4\r\n"
            b"Connection: close\r\n\r\nbody"
        )

    request = seen[0]
    assert (request.method, request.path, request.query, request.remote) == ("PUT", "/a%20b", "c=%64&e", "127.0.0.1")
    assert request.headers["x-twice"] == ["1", "é"]
    assert request.header("host") == "x"
    assert request.values("absent") == ()
    assert request.header("absent") is None
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"body"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 201 Created",
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
        b"X-Added: yes",
        b"Content-Type: text/x",
        b"X-One: 1",
        b"Connection: close",
        b"Content-Length: 4",
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 400), max_size=12), st.booleans())
def test_bytes_may_arrive_in_any_parts(cuts: list[int], chunked: bool) -> None:
    body = b"7\r\nabcdefg\r\n1;x=y\r\nh\r\n0\r\nTrailer: z\r\n\r\n" if chunked else b"abcdefgh"
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 8"
    whole = b"POST /one HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n" + body
    whole += b"POST /two HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})

    async def run() -> bytes:
        async with Server(echo) as server:
            reader, writer = await server.open()
            for start, end in itertools.pairwise(edges):
                writer.write(whole[start:end])
                await writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            return answer

    answer = asyncio.run(run())
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"\r\n\r\nPOST /one abcdefgh" in answer
    assert answer.endswith(b"\r\n\r\nPOST /two ok")


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    many = PIPELINED * 4
    running = 0

    async def handle(request: Request) -> Response:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        return Response(200, request.path.encode())

    async with Server(handle) as server:
        requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(many)]
        answer = await server.exchange(*requests, b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    bodies = [part.partition(b"HTTP/1.1")[0] for part in answer.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"/%d" % number for number in range(many)] + [b"/last"]


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        (b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_a_connection_is_kept_as_the_client_asks(request_: bytes, kept: bool) -> None:
    async with Server(echo) as server:
        reader, writer = await server.open()
        writer.write(request_)
        head, _ = await answer_on(reader)
        assert (b"\r\nConnection: close\r\n" in head) is not kept
        # Version 1.0 must be told so.
        assert (b"\r\nConnection: keep-alive\r\n" in head) is (kept and b"HTTP/1.0" in request_)
        if kept:
            writer.write(request_)
            await answer_on(reader)
        else:
            assert await reader.read() == b""
        writer.close()


async def test_head_and_204_have_no_body() -> None:
    async def handle(request: Request) -> Response:
        return Response(204, content_type="") if request.path == "/none" else Response(200, b"long")

    async with Server(handle) as server:
        answer = await server.exchange(
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )

    head, none, rest = answer.split(b"\r\n\r\n")
    assert b"Content-Length: 4" in head
    assert none.startswith(b"HTTP/1.1 204 No Content")
    assert b"Content-Length" not in none
    assert rest == b""


@pytest.mark.parametrize("expected", [b"100-continue", b"100-Continue"])
async def test_a_client_that_waits_for_100_gets_it(expected: bytes) -> None:
    async with Server(echo) as server:
        reader, writer = await server.open()
        writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: %b\r\n\r\n" % expected)
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await answer_on(reader))[1] == b"POST /a ok"
        writer.close()


async def test_a_client_of_http_1_0_gets_no_100() -> None:
    async with Server(echo) as server:
        reader, writer = await server.open()
        writer.write(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        async with asyncio.timeout(10):
            # Its handler waits for the body.
            while not (found := [each._request for each in server.connections._open]) or found[0] is None:
                await asyncio.sleep(0)
            while found[0]._waiter is None:
                await asyncio.sleep(0)
            writer.write(b"ok")
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"POST /a ok")


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://a.example:80/b?c=d", b"a.example:80", b"/b"),
        (b"HTTPS://[::1]/b", b"[::1]", b"/b"),
        (b"http://a", b"a", b"/"),
        (b"http://a?b=/c", b"a", b"/"),
        # These name no endpoint of ours.
        (b"http://user@a/b", b"x", b"http://user@a/b"),
        (b"ftp://a/b", b"x", b"ftp://a/b"),
        (b"*", b"x", b"*"),
    ],
)
async def test_a_target_in_absolute_form_names_the_host(target: bytes, host: bytes, path: bytes) -> None:
    async def show(request: Request) -> Response:
        return Response(200, b"%s %s" % ((request.header("host") or "").encode(), request.path.encode()))

    # The second one has a head that is known.
    sent = b"OPTIONS %b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % target
    async with Server(show) as server:
        reader, writer = await server.open()
        for _ in range(2):
            writer.write(sent)
            async with asyncio.timeout(10):
                assert (await answer_on(reader))[1] == b"%s %s" % (host, path)
        writer.close()


async def test_an_offer_of_another_protocol_is_ignored() -> None:
    async with Server(echo) as server:
        answer = await server.exchange(
            b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"Content-Length: 2\r\n\r\no",
            b"kGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )

    assert b"POST /a ok" in answer
    assert answer.endswith(b"GET /b ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: x y\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MAX_HEAD * 4, 431),
        (b"GET /" + b"a" * MAX_HEAD * 4, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * MAX_HEAD, 431),
        (TRAILERS + b"X: " + b"a" * MAX_HEAD * 16, 431),
        (TRAILERS + b"a" * MAX_HEAD * 16, 431),
        (TRAILERS + b"X: y\r\n" * MAX_HEAD, 431),
    ],
)
async def test_what_is_not_a_request_is_refused(sent: bytes, status: int) -> None:
    async with Server(echo, Deadlines(linger=0.2)) as server:
        answer = await server.exchange(sent)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("is_ahead", [True, False])
async def test_trailers_are_not_headers_of_the_next_request(is_ahead: bool) -> None:
    """A proxy sends the requests of several clients over one connection: none adds headers to that of another."""
    seen: list[dict[str, list[str]]] = []

    async def handle(request: Request) -> Response:
        await read_all(request)
        seen.append(dict(request.headers))
        return Response(200, b"ok")

    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    sent = chunked + b"Authorization: Bearer a\r\nHost: y\r\nX: " + b"x" * 1000 + b"\r\n\r\n", GET
    async with Server(handle) as server:
        reader, writer = await server.open()
        for part in [b"".join(sent)] if is_ahead else sent:
            writer.write(part)
            if not is_ahead:
                await answer_on(reader)
        for _ in sent if is_ahead else ():
            await answer_on(reader)
        writer.close()

    assert seen == [{"host": ["x"], "transfer-encoding": ["chunked"]}, {"host": ["x"]}]


@pytest.mark.parametrize(
    ("size", "count", "status"),
    [(1, MAX_SMALL_CHUNKS, 200), (1, MAX_SMALL_CHUNKS + 1, 400), (SMALL_CHUNK, MAX_SMALL_CHUNKS + 1, 200)],
)
async def test_a_body_in_many_small_chunks_is_refused(size: int, count: int, status: int) -> None:
    """Each chunk takes time to read, however small it is."""
    chunk = b"%x\r\n%s\r\n" % (size, b"a" * size)
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Server(echo, Deadlines(linger=0.2)) as server:
        answer = await server.exchange(sent + chunk * count + b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"send larger ones" in answer) == (status == 400)


async def test_a_body_that_the_parser_leaves_out_may_not_come_in_many_small_parts_either() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 10000\r\n\r\n"
    async with Server(echo, Deadlines(linger=0.2)) as server:
        reader, writer = await server.open()
        writer.write(head)
        while not server.connections._open or next(iter(server.connections._open))._request is None:
            await asyncio.sleep(0)
        connection = next(iter(server.connections._open))
        for _ in range(MAX_SMALL_CHUNKS + 1):
            connection.data_received(b"a")
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"send larger ones" in answer


async def test_what_comes_between_the_parts_of_a_body_counts_only_until_the_next_part() -> None:
    async with Server(echo) as server:
        reader, writer = await server.open()
        writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not server.connections._open or next(iter(server.connections._open))._request is None:
            await asyncio.sleep(0)
        connection = next(iter(server.connections._open))
        for _ in range(4):
            connection.data_received(b"1;" + b"x" * (MAX_HEAD // 2) + b"\r\n")
            connection.data_received(b"b\r\n")
        # Nor does the end of one body count for the head of the next request.
        connection.data_received(b"0\r\n" + b"X: " + b"y" * (MAX_HEAD // 2))
        connection.data_received(b"\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (MAX_HEAD // 2))
        connection.data_received(b"\r\n\r\n")
        async with asyncio.timeout(10):
            answers = (await answer_on(reader))[1], (await answer_on(reader))[1]
        writer.close()

    assert answers == (b"POST /a bbbb", b"GET /c ")


async def test_requests_sent_ahead_have_a_limit() -> None:
    release = asyncio.Event()
    handled = 0

    async def handle(_: Request) -> Response:
        nonlocal handled
        handled += 1
        await release.wait()
        return Response(200, b"done")

    async with Server(handle) as server:
        reader, writer = await server.open()
        writer.write(GET * 5000)
        while not handled:
            await asyncio.sleep(0)
        connection = next(iter(server.connections._open))
        async with asyncio.timeout(10):
            while not connection._discards:
                await asyncio.sleep(0)
        assert len(connection._pending) <= MAX_PENDING
        release.set()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
    assert answer.count(b"HTTP/1.1 200") == 1
    assert handled == 1


async def test_what_follows_a_request_does_not_cost_it_its_answer() -> None:
    release, began = asyncio.Event(), asyncio.Event()

    async def handle(_: Request) -> Response:
        began.set()
        await release.wait()
        return Response(200, b"done")

    async with Server(handle) as server:
        reader, writer = await server.open()
        writer.write(GET)
        await began.wait()
        writer.write(b"this is not HTTP\r\n\r\n")
        connection = next(iter(server.connections._open))
        async with asyncio.timeout(10):
            while not connection._discards:
                await asyncio.sleep(0)
            release.set()
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in answer
    assert answer.endswith(b"done")


async def test_a_body_that_cannot_be_read_is_refused() -> None:
    async with Server(echo, Deadlines(linger=0.2)) as server:
        reader, writer = await server.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(b"zz\r\n")
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_handler_that_fails_is_a_500_and_the_connection_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: Request) -> Response:
        if request.path == "/bad":
            raise ZeroDivisionError
        return Response(200, b"good")

    async with Server(handle) as server:
        answer = await server.exchange(
            b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )

    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error")
    assert answer.endswith(b"good")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("sent", [GET, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\npart"])
async def test_a_client_that_leaves_cancels_its_request(sent: bytes) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(request: Request) -> Response:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with Server(handle) as server:
        _, writer = await server.open()
        writer.write(sent)
        async with asyncio.timeout(10):
            await began.wait()
            writer.close()
            await cancelled.wait()


async def test_a_body_that_ends_early_is_no_body() -> None:
    outcome: asyncio.Queue[str] = asyncio.Queue()

    async def handle(request: Request) -> Response:
        # A handler may hold on to what a cancelled task would give up.
        await asyncio.shield(asyncio.ensure_future(read(request)))
        return Response()

    async def read(request: Request) -> None:
        try:
            await read_all(request)
        except ClientGoneError as error:
            await outcome.put(str(error))

    async with Server(handle) as server:
        reader, writer = await server.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\npart")
        await asyncio.sleep(0)
        writer.close()
        async with asyncio.timeout(10):
            assert "within the body" in await outcome.get()
        assert await reader.read() == b""


async def test_header_values_cannot_begin_another_header() -> None:
    async def handle(_: Request) -> Response:
        return Response(200, b"", headers={"Location": "/a\r\nSet-Cookie: b=c\n\0", "X-City": "Łódź"})

    async with Server(handle) as server:
        answer = await server.exchange(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    assert b"Location: /a  Set-Cookie: b=c  \r\n" in answer
    # A value that Latin-1 cannot write does not cost the client its answer.
    assert b"X-City: ?\xf3d?\r\n" in answer


class Stream:
    """Sends parts when the stream begins, and notes what the connection calls."""

    def __init__(self, *parts: bytes, finishes: bool = False) -> None:
        self.parts = parts
        self.finishes = finishes
        self.channel: Channel | None = None
        self.calls: list[str] = []
        self.gone = asyncio.Event()

    def begin(self, channel: Channel) -> None:
        self.channel = channel
        for part in self.parts:
            channel.send(part)
        if self.finishes:
            channel.finish()

    def drained(self) -> None:
        self.calls.append("drained")

    def lost(self) -> None:
        self.calls.append("lost")
        self.gone.set()


def streaming(stream: Stream) -> Handle:
    async def handle(_: Request) -> Response:
        return Response(200, content_type="text/event-stream", stream=stream)

    return handle


async def began(stream: Stream) -> Channel:
    async with asyncio.timeout(10):
        while stream.channel is None:
            await asyncio.sleep(0.01)
    return stream.channel


async def test_a_stream_is_sent_in_chunks_and_the_connection_is_closed() -> None:
    for version, body in (
        (b"1.1", b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        (b"1.0", b"data: 1\n\ndata: 2\n\n"),
    ):
        stream = Stream(b"data: 1\n\n", b"data: 2\n\n", finishes=True)
        async with Server(streaming(stream)) as server:
            # What is sent after it is not answered.
            answer = await server.exchange(b"GET / HTTP/%b\r\nHost: x\r\n\r\n" % version, GET)
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert b"Connection: close" in head
        assert rest == body
        assert stream.calls == []


async def test_parts_of_a_stream_are_sent_when_they_come_and_nothing_is_idle() -> None:
    stream = Stream(b"one")
    deadlines = Deadlines(headers=0.05, idle=0.05, write=0.05)
    async with Server(streaming(stream), deadlines) as server:
        reader, writer = await server.open()
        writer.write(GET)
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"one\r\n")).endswith(b"3\r\none\r\n")
            channel = await began(stream)
            # Longer than all deadlines: the stream is still there.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.gone.wait(), 0.3)
            channel.send(b"two")
            assert await reader.readuntil(b"two\r\n") == b"3\r\ntwo\r\n"
            channel.finish()
            assert await reader.read() == b"0\r\n\r\n"
        writer.close()
    assert server.aborted == 0


async def test_a_client_that_does_not_read_its_stream_is_cut_off_and_one_that_reads_again_is_not() -> None:
    for reads_again in (True, False):
        stream = Stream()
        async with Server(streaming(stream), Deadlines(write=30.0 if reads_again else 0.2)) as server:
            _reader, writer = await server.open()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(GET)
            channel = await began(stream)
            kept = 0
            while not channel.is_full:
                channel.send(b"x" * 4096)
                kept += 4096
                await asyncio.sleep(0)
            # The kernel keeps little on this side. What the other side keeps is its own choice.
            assert kept < 32 * 1024 * 1024
            if reads_again:
                writer.transport.resume_reading()  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                while ("drained" if reads_again else "lost") not in stream.calls:
                    if not channel.is_full and not reads_again:
                        # The other side has made room for a little more.
                        channel.send(b"x" * 4096)
                    await asyncio.sleep(0.01)
            assert server.aborted == (0 if reads_again else 1)
            writer.transport.abort()


async def test_what_is_sent_after_a_stream_is_not_answered_even_if_the_client_reads_late() -> None:
    stream, asked = Stream(), []

    async def handle(_: Request) -> Response:
        asked.append(1)
        return Response(200, stream=stream)

    async with Server(handle) as server:
        reader, writer = await server.open()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        channel = await began(stream)
        writer.write(GET)
        (connection,) = server.connections._open
        async with asyncio.timeout(10):
            while not connection._pending:
                await asyncio.sleep(0.01)
        while not channel.is_full:
            channel.send(b"x" * 4096)
            await asyncio.sleep(0)
        channel.finish()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()
    assert asked == [1]


async def test_a_stream_is_notified_when_its_client_leaves() -> None:
    stream = Stream(b"one")
    async with Server(streaming(stream)) as server:
        reader, writer = await server.open()
        writer.write(GET)
        async with asyncio.timeout(10):
            await reader.readuntil(b"one\r\n")
            writer.close()
            await stream.gone.wait()
        assert (len(server.connections), stream.calls) == (0, ["lost"])


async def test_a_stream_for_a_client_that_has_left_never_begins() -> None:
    stream, release, asked = Stream(), asyncio.Event(), asyncio.Event()

    async def handle(_: Request) -> Response:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await release.wait()
        return Response(200, stream=stream)

    async with Server(handle) as server:
        _, writer = await server.open()
        writer.write(GET)
        async with asyncio.timeout(10):
            await asked.wait()
            writer.transport.abort()
            await stream.gone.wait()
    assert (stream.channel, stream.calls) == (None, ["lost"])


async def test_connections_with_a_stream_leave_the_others_their_places() -> None:
    streams = [Stream(b"one") for _ in range(5)]
    unused = iter(streams)

    async def handle(request: Request) -> Response:
        return Response(200, stream=next(unused)) if request.path == "/a" else Response(200, b"done")

    async with Server(handle, Deadlines(connections=2)) as server:
        opened = []
        for _ in streams:
            reader, writer = await server.open()
            writer.write(GET)
            opened.append((reader, writer))
            async with asyncio.timeout(10):
                await reader.readuntil(b"one\r\n")
        assert await server.exchange(b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") != b""
        assert [stream.calls for stream in streams] == [[]] * 5
        for _, writer in opened:
            writer.close()
        async with asyncio.timeout(10):
            await server.connections.empty.wait()
        # The places of streams that have ended are not given away twice.
        assert len(server.connections._streaming) == 0


async def test_what_a_stream_does_not_need_is_not_kept() -> None:
    stream = Stream(b"one")
    async with Server(streaming(stream)) as server:
        reader, writer = await server.open()
        writer.write(GET.replace(b"Host: x", b"Host: x\r\nX-Long: " + b"x" * 60_000))
        async with asyncio.timeout(10):
            await reader.readuntil(b"one\r\n")
        (connection,) = server.connections._open
        assert (connection._request.headers, connection._known, connection._task) == ({}, [], None)
        kernel = connection._transport.get_extra_info("socket")
        assert kernel.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * connections.STREAM_SEND_BUFFER
        assert kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == connections.STREAM_ACKNOWLEDGED_MS
        writer.close()


async def test_what_is_left_of_an_answer_is_sent_in_time_or_the_connection_is_lost() -> None:
    """Less than the buffer of a connection may hold, so that nothing pauses."""
    stream = Stream()
    async with Server(streaming(stream), Deadlines(write=0.2)) as server:
        _reader, writer = await server.open()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        channel = await began(stream)
        (connection,) = server.connections._open
        # The kernels on both sides take less and less, and then no more.
        quiet = 0
        while quiet < 20:
            if connection._transport.get_write_buffer_size() < 32 * 1024:
                channel.send(b"x" * 4096)
                quiet = 0
                await asyncio.sleep(0)
            else:
                quiet += 1
                await asyncio.sleep(0.01)
        assert not channel.is_full
        channel.finish()
        async with asyncio.timeout(10):
            await server.connections.empty.wait()
        assert server.aborted == 1
        writer.transport.abort()


async def test_reading_pauses_while_a_body_waits_for_its_handler() -> None:
    release = asyncio.Event()
    sizes: list[int] = []

    async def handle(request: Request) -> Response:
        await release.wait()
        sizes.append(request.held)
        return Response(200, b"%d" % len(await read_all(request)))

    size = 8 * 1024 * 1024
    async with Server(handle) as server:
        reader, writer = await server.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await asyncio.sleep(0.2)
        release.set()
        assert (await answer_on(reader))[1] == b"%d" % size
        writer.close()
    assert sizes[0] < 2 * 1024 * 1024


async def test_what_is_sent_ahead_of_an_answer_is_not_read_without_limit() -> None:
    """The body of a request that waits for another one has no handler yet that could limit it."""
    release = asyncio.Event()

    async def handle(request: Request) -> Response:
        if request.path == "/slow":
            await release.wait()
        return Response(200, b"%d" % len(await read_all(request)))

    size = 2 * 1024 * 1024
    post_ahead = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    async with Server(handle) as server:
        reader, writer = await server.open()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write(post_ahead * 3)
        (connection,) = server.connections._open
        async with asyncio.timeout(10):
            while not connection._is_paused:
                await asyncio.sleep(0)
        assert server.connections._kept_bytes == connection._ahead < size
        release.set()
        assert [(await answer_on(reader))[1] for _ in range(4)] == [b"0", *[b"%d" % size] * 3]
        assert server.connections._kept_bytes == 0
        writer.close()


async def test_a_client_that_is_refused_without_its_body_being_read_may_go_on() -> None:
    """The body came as a whole while its handler was busy, and nobody took it."""
    began, release = asyncio.Event(), asyncio.Event()

    async def handle(_: Request) -> Response:
        began.set()
        await release.wait()
        return Response(401, b"no")

    size = 200_000
    async with Server(handle) as server:
        reader, writer = await server.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        async with asyncio.timeout(10):
            await began.wait()
        (connection,) = server.connections._open
        received = connection._request
        assert received is not None
        # As it comes with one read.
        connection.data_received(b"x" * size)
        assert received.complete
        assert connection._is_paused
        release.set()
        await answer_on(reader)
        writer.write(GET)
        assert b" 401 " in (await answer_on(reader))[0]
        writer.close()


async def test_what_is_kept_for_clients_that_do_not_read_has_a_common_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the budget, the connection is closed that keeps something for longest. Others go on."""
    monkeypatch.setattr(connections, "KEPT_BUDGET", 20 * 1024 * 1024)
    answer = b"x" * 16 * 1024 * 1024

    async def handle(request: Request) -> Response:
        return Response(200, answer if request.path == "/large" else b"small")

    async with Server(handle) as server:
        opened = []
        for number in range(3):
            reader, writer = await server.open()
            transport: Any = writer.transport
            transport.pause_reading()
            writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            opened.append((reader, writer))
            async with asyncio.timeout(10):
                while len(server.connections._kept) < 1 or server.aborted < number:
                    await asyncio.sleep(0)
        other, other_writer = await server.open()
        other_writer.write(GET)
        assert (await answer_on(other))[1] == b"small"
        assert server.aborted == 2
        assert len(server.connections._kept) == 1
        transport.resume_reading()
        assert (await answer_on(reader))[1] == answer
        async with asyncio.timeout(10):
            while server.connections._kept_bytes:
                await asyncio.sleep(0)
        for _, writer in [*opened, (other, other_writer)]:
            writer.transport.abort()


async def test_closing_lets_answers_in_progress_end() -> None:
    release, began = asyncio.Event(), asyncio.Event()

    async def handle(_: Request) -> Response:
        began.set()
        await release.wait()
        return Response(200, b"done")

    async with Server(handle) as server:
        busy, busy_writer = await server.open()
        idle, idle_writer = await server.open()
        busy_writer.write(GET)
        await began.wait()
        port = server.listener.port
        closing = asyncio.create_task(server.listener.close(10))
        async with asyncio.timeout(10):
            assert await idle.read() == b""
        release.set()
        head, body = await answer_on(busy)
        assert b"Connection: close" in head
        assert body == b"done"
        async with asyncio.timeout(10):
            await closing
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        for writer in (busy_writer, idle_writer):
            writer.close()


async def test_closing_waits_for_a_time_and_no_longer() -> None:
    began = asyncio.Event()

    async def hang(_: Request) -> Response:
        began.set()
        await asyncio.Event().wait()
        return Response()

    async with Server(hang) as server:
        reader, writer = await server.open()
        writer.write(GET)
        await began.wait()
        async with asyncio.timeout(10):
            await server.listener.close(0.01)
            assert await reader.read() == b""
        writer.close()


def test_a_port_has_a_number_when_it_is_listened_on() -> None:
    async def main() -> None:
        server = Server(echo)
        assert server.listener.port == 0
        async with server:
            assert server.listener.port > 0

    asyncio.run(main())


async def test_a_request_has_a_length_only_if_it_says_so() -> None:
    request: Any = Request("GET", "/", {"content-length": ["7"], "content-type": ["Application/JSON; charset=x"]})

    assert request.content_length == 7
    assert request.media_type == "application/json"
    assert Request("GET", "/", {}).content_length is None
    assert Request("GET", "/", {}).media_type == ""


def post(body: bytes, *lines: bytes, length: bytes | None = None, name: bytes = b"Content-Length") -> bytes:
    framing = b"%s: %s" % (name, b"%d" % len(body) if length is None else length)
    return b"\r\n".join((b"POST /a?b=c HTTP/1.1", b"Host: x", b"X-One: 1", framing, *lines, b"", body))


FIRST = post(b"first")
CHUNKED = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
SECOND = [
    (FIRST,),
    (post(b""),),
    (post(b"x" * 5000),),
    (post(b"other", name=b"content-length"),),
    (post(b"five5", length=b"05"),),
    (post(b"five5", length=b"5 "),),
    (post(b"five5", length=b"+5"),),
    (post(b"five5", length=b"5x"),),
    (post(b"five5", length=b""),),
    (post(b"five5", length=b"5\r\nContent-Length: 5"),),
    (post(b"five5", length=b"9999999999"),),
    # Parts, and more than one request in one part.
    (FIRST[:20], FIRST[20:]),
    (FIRST[:-2], FIRST[-2:]),
    (FIRST + FIRST,),
    (FIRST + CHUNKED, FIRST),
    (FIRST + FIRST[:-2], FIRST[-2:] + FIRST),
    (FIRST + b"\r\n", FIRST),
    (FIRST + b"garbage",),
    (b"\r\n" + FIRST,),
    # Other heads.
    (post(b"more", b"X-Two: 2"), post(b"more2", b"X-Two: 2"), FIRST),
    (CHUNKED, FIRST, CHUNKED),
    (post(b"kept", b"Connection: keep-alive"), post(b"again", b"Connection: keep-alive"), FIRST),
    (post(b"last", b"Connection: close"),),
    (post(b"h2", b"Upgrade: h2c", b"Connection: Upgrade"), FIRST),
    (FIRST.replace(b"POST", b"PUT"), FIRST.replace(b"/a?b=c", b"/d"), FIRST.replace(b"1.1", b"1.0")),
    (FIRST.replace(b"Host: x\r\n", b"Host: x\r\nHost: y\r\n"),),
]


@pytest.mark.parametrize("parts", SECOND)
async def test_a_known_head_is_read_as_the_parser_reads_it(
    parts: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    async def handle(request: Request) -> Response:
        body = await read_all(request)
        seen.append((request.method, request.path, request.query, dict(request.headers), request.keep_alive, body))
        return Response(200, body)

    async def run() -> tuple[list[object], bytes]:
        seen.clear()
        async with Server(handle) as server:
            reader, writer = await server.open()
            for _ in range(2):
                writer.write(FIRST)
                assert (await answer_on(reader))[1] == b"first"
            # After an answer the server may close, whatever is still to come.
            with contextlib.suppress(OSError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    # The server reads each part alone.
                    await asyncio.sleep(0.01)
                writer.write_eof()
            async with asyncio.timeout(10):
                rest = await reader.read()
            writer.close()
        return list(seen), rest

    quick = await run()
    # No head is that short.
    monkeypatch.setattr(known_heads, "MAX_HEAD", 0)
    assert quick == await run()


async def test_the_parser_reads_a_head_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[bytes] = []

    class Counting:
        def __init__(self, protocol: object) -> None:
            self._parser = httptools.HttpRequestParser(protocol)

        def feed_data(self, data: bytes) -> None:
            fed.append(data)
            self._parser.feed_data(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._parser, name)

    monkeypatch.setattr(connections, "httptools", SimpleNamespace(**vars(httptools) | {"HttpRequestParser": Counting}))
    others = [post(b"1", b"X-Other: %d" % number) for number in range(KNOWN_HEADS + 1)]
    named = [post(b"1" * number, b"Mcp-Name: tool_%d" % number, b"X-One: 1") for number in range(9)]
    async with Server(echo) as server:
        reader, writer = await server.open()
        for request in (FIRST, FIRST, post(b"longer than that"), *others, *others, *named):
            writer.write(request)
            await answer_on(reader)
        writer.close()

    # The last ones are known, and each new one takes the place of the oldest.
    assert fed == [FIRST, *others, *others, named[0]]


@pytest.mark.parametrize("lines", [(), (b"Connection: keep-alive",), (b"X-Other: x",)])
async def test_heads_of_connections_that_go_on_are_remembered(lines: tuple[bytes, ...]) -> None:
    async with Server(echo) as server:
        reader, writer = await server.open()
        writer.write(post(b"body", *lines))
        assert (await answer_on(reader))[1] == b"POST /a body"
        (connection,) = server.connections._open
        assert len(connection._known) == 1
        writer.close()


async def test_long_heads_are_not_remembered() -> None:
    async with Server(echo) as server:
        reader, writer = await server.open()
        writer.write(post(b"long", b"X-Long: " + b"x" * known_heads.MAX_HEAD))
        await answer_on(reader)
        (connection,) = server.connections._open
        assert connection._known == []
        writer.close()


async def test_what_can_be_answered_at_once_needs_no_task(caplog: pytest.LogCaptureFixture) -> None:
    handled: list[str] = []

    def answer_at_once(request: Request) -> Response | None:
        if request.path == "/broken":
            raise ValueError
        return Response(200, b"at once ", parts=(request.peek(),)) if request.path == "/a" else None

    async def handle(request: Request) -> Response:
        handled.append(request.path)
        return Response(200, b"later " + await read_all(request))

    async with Server(handle) as server:
        server.connections.answer_at_once = answer_at_once
        reader, writer = await server.open()
        for _ in range(2):
            writer.write(FIRST)
            assert (await answer_on(reader))[1] == b"at once first"
        writer.write(FIRST * 3)
        assert [(await answer_on(reader))[1] for _ in range(3)] == [b"at once first"] * 3
        writer.write(FIRST[:-2])
        await asyncio.sleep(0.01)
        # Its body is not there yet.
        writer.write(FIRST[-2:])
        assert (await answer_on(reader))[1] == b"later first"
        for path in (b"/b", b"/broken"):
            for _ in range(2):
                writer.write(FIRST.replace(b"/a", path))
                assert (await answer_on(reader))[1] == b"later first"
        writer.close()

    assert handled == ["/a", "/b", "/b", "/broken", "/broken"]
    assert [record.message for record in caplog.records] == ["a request could not be answered at once"] * 2


@pytest.mark.parametrize(
    "line",
    [
        b"Expect: 100-continue",
        b"TE: trailers",
        b"Trailer: x",
        b"Upgrade: h2c",
        b"Connection: keep-alive, x",
    ],
)
async def test_heads_that_change_how_a_request_is_read_are_not_remembered(line: bytes) -> None:
    async with Server(echo) as server:
        reader, writer = await server.open()
        writer.write(post(b"body", line))
        while (await answer_on(reader))[1] != b"POST /a body":
            # 100 Continue
            pass
        (connection,) = server.connections._open
        assert connection._known == []
        writer.write(FIRST)
        assert (await answer_on(reader))[1] == b"POST /a first"
        assert len(connection._known) == 1
        writer.close()
