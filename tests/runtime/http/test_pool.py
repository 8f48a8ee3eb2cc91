"""Exchanges with backends on kept connections, byte by byte (RFC 9112)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import itertools
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.http import pool as module
from runtime.http.exchange import Reply
from runtime.http.pool import LateError, Limits, LostError, MalformedError, NotConnectedError, Origin, Pool

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Backend:
    """Answers each request on a connection with the next of ``answers``; then the connection ends, or stays open."""

    def __init__(self, *answers: bytes, ends: bool = True) -> None:
        self.answers = list(answers)
        self.ends = ends
        self.connections = 0
        self.open: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        try:
            while self.answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answers.pop(0))
                await writer.drain()
            if not self.ends:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.origin = Origin("backend", self.server.sockets[0].getsockname()[1])
        self.pool = Pool(self.resolve, lambda _: None, lambda: 7.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()
        self.server.close()
        for writer in self.open:
            writer.close()

    async def resolve(self, _: str) -> tuple[str, ...]:
        return ("127.0.0.1",)

    async def ask(self, limit: int = 1000, *, cut: bool = False, timeout: float = 5.0) -> Reply:
        return await self.pool.exchange(self.origin, HEAD, None, timeout, Limits(limit, cut))


async def reply_to(answer: bytes, **options: Any) -> Reply:
    async with Backend(answer) as backend:
        return await backend.ask(**options)


async def test_a_reply_is_read() -> None:
    reply = await reply_to(b"HTTP/1.1 418 Teapot\r\nX-One: 1\r\nx-one: \xc3\xa9\xff\r\nContent-Length: 4\r\n\r\nbody")

    assert reply == Reply(
        418, {"x-one": "1, é\N{REPLACEMENT CHARACTER}", "content-length": "4"}, b"body", received_at=7.0
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 200), max_size=12), st.sampled_from(["chunked", "length", "end"]))
def test_bytes_may_arrive_in_any_parts(cuts: list[int], framing: str) -> None:
    body = b"abcdefgh" * 8
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    whole = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        + {
            "chunked": head
            + b"Transfer-Encoding: chunked\r\n\r\n20\r\n"
            + body[:32]
            + b"\r\n20\r\n"
            + body[32:]
            + b"\r\n0\r\n\r\n",
            "length": head + b"Content-Length: 64\r\n\r\n" + body,
            "end": head + b"\r\n" + body,
        }[framing]
    )
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})

    class Slow(Backend):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            for start, end in itertools.pairwise(edges):
                writer.write(whole[start:end])
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()

    async def run() -> Reply:
        async with Slow() as backend:
            return await backend.ask()

    reply = asyncio.run(run())
    assert (reply.status, reply.body, reply.broken, reply.cut) == (200, body, "", None)
    assert "link" not in reply.headers


async def test_trailers_are_no_headers() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    reply = await reply_to(answer + b"Content-Type: text/html\r\nX: 1\r\n\r\n")

    assert reply.body == b"ok"
    assert reply.headers == {"content-type": "text/plain", "transfer-encoding": "chunked"}


async def test_a_connection_is_used_again_while_it_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Backend(*[OK] * 3, ends=False) as backend:
        await backend.ask()
        await backend.ask()
        assert backend.connections == 1

        monkeypatch.setattr(module, "KEEP_ALIVE", 0.0)
        await backend.ask()
        assert backend.connections == 2


async def test_connections_that_nobody_uses_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE", 0.01)
    async with Backend(OK, ends=False) as backend:
        await backend.ask()
        async with asyncio.timeout(10):
            while backend.pool._idle:
                await asyncio.sleep(0.01)


async def test_a_closed_connection_leaves_nothing_to_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        async with Backend(OK) as backend:
            await backend.ask()
        async with asyncio.timeout(10):
            while any(type(each) is module._Exchange for each in gc.get_objects()):
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "first",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK.replace(b"ok", b"ok and more"),
    ],
)
async def test_what_follows_a_reply_is_never_taken_for_the_next(first: bytes) -> None:
    async with Backend(first, OK.replace(b"ok", b"k2"), ends=False) as backend:
        assert (await backend.ask()).body == b"ok"
        await asyncio.sleep(0.01)
        assert (await backend.ask()).body == b"k2"
        assert backend.connections == 2


async def test_a_server_that_speaks_without_being_asked_is_left() -> None:
    async with Backend(OK, OK, ends=False) as backend:
        await backend.ask()
        backend.open[0].write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        async with asyncio.timeout(10):
            while backend.pool._idle:
                await asyncio.sleep(0.001)
        assert (await backend.ask()).body == b"ok"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", LostError),
        (b"HTTP/1.1 200 OK\r\nX", LostError),
        (b"HTTP/1.1 100 Continue\r\n\r\n", LostError),
        (b"SSH-2.0-OpenSSH_9.9\r\n", MalformedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", MalformedError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * module.MAX_HEAD * 2, MalformedError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * module.MAX_HEAD, MalformedError),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n\0\0", MalformedError),
    ],
)
async def test_a_reply_without_a_head_is_no_reply(answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await reply_to(answer)


GZIP = gzip.compress(b"a" * 100_000, mtime=0)
# What comes before the trailers of a body.
TRAILERS = b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


@pytest.mark.parametrize(
    ("answer", "broken", "is_incomplete"),
    [
        (b"Content-Length: 9\r\n\r\npart", "the reply ended after 4 of 9 bytes, before it was complete", True),
        (b"Transfer-Encoding: chunked\r\n\r\n9\r\npart", "the reply ended after 4 bytes, before it was complete", True),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\npart", "the reply is not valid HTTP", False),
        (b"Content-Length: 2000\r\n\r\n" + b"x" * 2000, "the reply is larger than 1000 bytes", False),
        (b"\r\n" + b"x" * 2000, "the reply is larger than 1000 bytes", False),
        (b"Content-Encoding: gzip\r\n\r\n" + GZIP, "the reply is larger than 1000 bytes", False),
        (b"Content-Encoding: gzip\r\n\r\nnot gzip", "the reply is not valid gzip", False),
        (
            b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"abc", mtime=0)[:-9],
            "the reply ends within its gzip",
            True,
        ),
        (b"Content-Encoding: br\r\n\r\nabc", "the reply has a Content-Encoding that was not asked for", False),
        (TRAILERS + b"X: " + b"a" * 2**20, "the reply has trailers of more than 65536 bytes", False),
        (TRAILERS + b"a" * 2**20, "the reply has trailers of more than 65536 bytes", False),
        (TRAILERS + b"X: y\r\n" * 2**16, "the reply is not valid HTTP", False),
    ],
)
async def test_a_body_that_cannot_be_read_breaks_its_reply(answer: bytes, broken: str, is_incomplete: bool) -> None:
    reply = await reply_to(b"HTTP/1.1 200 OK\r\n" + answer)

    assert (reply.status, reply.broken, reply.is_incomplete) == (200, broken, is_incomplete)
    assert len(reply.body) <= 1000


async def test_what_comes_between_the_parts_of_a_body_counts_only_until_the_next_part() -> None:
    line = b"1;" + b"x" * (module.MAX_HEAD // 2) + b"\r\n"
    async with Backend(b"", ends=False) as backend:
        asked = asyncio.create_task(backend.ask())
        while not backend.open:
            await asyncio.sleep(0)
        for part in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[line, b"a\r\n"] * 4, b"0\r\n\r\n"):
            backend.open[0].write(part)
            await backend.open[0].drain()
            # Each part is read by itself.
            await asyncio.sleep(0.01)

        assert (await asked).body == b"aaaa"


@pytest.mark.parametrize("size", [1, module.SMALL_PART - 1, module.SMALL_PART])
async def test_a_body_in_many_small_parts_takes_little_more_memory_than_its_bytes(size: int) -> None:
    number = 2**18 // size
    parts = b"".join(b"%x\r\n%b\r\n" % (size, bytes([65 + each % 26]) * size) for each in range(number))
    exchange = module._Exchange(Pool(None, None, lambda: 0.0), Origin("x", 1))  # type: ignore[arg-type]
    exchange.connection_made(asyncio.Transport())
    exchange._reply, exchange._limits = asyncio.get_running_loop().create_future(), Limits(2**20)
    exchange.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts)

    assert sum(map(sys.getsizeof, exchange._body)) + sys.getsizeof(exchange._body) < 1.5 * size * number
    assert exchange._build().body == b"".join(bytes([65 + each % 26]) * size for each in range(number))


@pytest.mark.parametrize(
    ("answer", "full"),
    [
        (b"Content-Length: 2000\r\n\r\n" + b"x" * 2000, 2000),
        (b"\r\n" + b"x" * 2000, 0),
        (b"Content-Encoding: x-gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIP) + GZIP, 0),
    ],
)
async def test_a_long_body_may_be_cut(answer: bytes, full: int) -> None:
    reply = await reply_to(b"HTTP/1.1 200 OK\r\n" + answer, cut=True)

    assert (len(reply.body), reply.cut, reply.broken) == (1000, full, "")


async def test_a_gzipped_body_is_inflated_and_what_follows_it_ignored() -> None:
    packed = gzip.compress(b"hello") + b"trailing bytes"

    reply = await reply_to(b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\n\r\n" + packed)

    assert (reply.body, reply.broken) == (b"hello", "")


@pytest.mark.parametrize(("answer", "status"), [(b"", None), (b"HTTP/1.1 100 Continue\r\n\r\n", None), (OK[:-1], 200)])
async def test_one_deadline_covers_the_whole_reply(answer: bytes, status: int | None) -> None:
    async with Backend(answer, ends=False) as backend:
        with pytest.raises(LateError) as raised:
            await backend.ask(timeout=0.05)

        assert raised.value.status == status
        assert backend.pool._idle == {}


async def test_a_name_that_is_not_resolved_in_time_is_no_connection() -> None:
    async def resolve(_: str) -> tuple[str, ...]:
        await asyncio.get_running_loop().create_future()
        return ()

    pool = Pool(resolve, lambda _: None, lambda: 0.0)
    with pytest.raises(NotConnectedError, match=r"no connection to backend within 0\.1 s"):
        await pool.exchange(Origin("backend", 1), HEAD, None, 0.05, Limits(1))


async def test_addresses_are_tried_in_turn_and_forbidden_ones_never() -> None:
    async with Backend(OK) as backend:
        tried: list[str] = []

        def fault(address: str) -> str | None:
            tried.append(address)
            return "forbidden" if address == "169.254.169.254" else None

        async def resolve(_: str) -> tuple[str, ...]:
            return ("169.254.169.254", "127.0.0.2", "127.0.0.1")

        pool = Pool(resolve, fault, lambda: 0.0)
        reply = await pool.exchange(backend.origin, HEAD, None, 5.0, Limits(9))
        await pool.close()

        assert reply.body == b"ok"
        assert tried == ["169.254.169.254", "127.0.0.2", "127.0.0.1"]


@pytest.mark.parametrize(
    ("addresses", "message", "is_permanent"),
    [
        ((), "the name backend has no address", False),
        (("127.0.0.1",), "the connection to backend failed: ConnectionRefusedError", False),
        (("10.0.0.1",), "the connection to backend failed: 10.0.0.1 is wrong, which must not be called", True),
    ],
)
async def test_why_there_is_no_connection(addresses: tuple[str, ...], message: str, is_permanent: bool) -> None:
    async with Backend() as backend:
        port = backend.origin.port

    async def resolve(_: str) -> tuple[str, ...]:
        return addresses

    pool = Pool(resolve, lambda address: "wrong" if address == "10.0.0.1" else None, lambda: 0.0)
    with pytest.raises(NotConnectedError) as raised:
        await pool.exchange(Origin("backend", port), HEAD, None, 5.0, Limits(1))

    assert (str(raised.value), raised.value.is_permanent) == (message, is_permanent)


@pytest.mark.parametrize(("timeout", "pause"), [(60.0, 0.01), (0.5, 60.0)])
async def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    timeout: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    tried: list[str] = []

    async def connect_or_wait(protocol: Any, host: str, *rest: Any, **more: Any) -> Any:
        tried.append(host)
        if host == "10.0.0.1":
            await loop.create_future()
        return await connect(protocol, host, *rest, **more)

    async def resolve(_: str) -> tuple[str, ...]:
        return ("10.0.0.1", "127.0.0.1")

    monkeypatch.setattr(loop, "create_connection", connect_or_wait)
    monkeypatch.setattr(module, "NEXT_ADDRESS", pause)
    async with Backend(OK) as backend:
        pool = Pool(resolve, lambda _: None, lambda: 0.0)
        async with asyncio.timeout(30):
            reply = await pool.exchange(backend.origin, HEAD, None, timeout, Limits(1000))
        await pool.close()

    assert (reply.body, tried) == (b"ok", ["10.0.0.1", "127.0.0.1"])


async def test_a_caller_that_gives_up_leaves_no_reply_behind() -> None:
    async with Backend(b"", OK, ends=False) as backend:
        call = asyncio.create_task(backend.ask())
        async with asyncio.timeout(10):
            while not backend.connections:
                await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert backend.pool._idle == {}


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_reply_that_comes_when_its_caller_gives_up_costs_no_other_call_its_own(run: Callable[[Any], Reply]) -> None:
    may_answer = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.setblocking(True)
        with connection, contextlib.suppress(OSError):
            while connection.recv(1000):
                may_answer.wait()
                connection.sendall(OK)

    async def ask_twice(port: int) -> Reply:
        async def resolve(_: str) -> tuple[str, ...]:
            return ("127.0.0.1",)

        pool, origin = Pool(resolve, lambda _: None, lambda: 7.0), Origin("backend", port)
        given_up = asyncio.create_task(pool.exchange(origin, HEAD, None, 5.0, Limits(1000)))
        async with asyncio.timeout(10):
            accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
            threading.Thread(target=answer, args=(accepted,), daemon=True).start()
            await asyncio.sleep(0.05)
            # All three happen before anything is read. uvloop reads the reply before it tells the first caller.
            may_answer.set()
            time.sleep(0.05)  # noqa: ASYNC251 -- the loop must stand still
            other = asyncio.create_task(pool.exchange(origin, HEAD, None, 5.0, Limits(1000)))
            given_up.cancel()
            accepting = asyncio.create_task(serve_others())
            reply = await other
        accepting.cancel()
        await pool.close()
        return reply

    async def serve_others() -> None:
        accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
        threading.Thread(target=answer, args=(accepted,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        assert run(ask_twice(listening.getsockname()[1])).body == b"ok"


async def test_a_caller_that_gives_up_when_its_reply_is_there_costs_no_other_call_its_own() -> None:
    tasks: list[asyncio.Task[Reply]] = []
    async with Backend(OK, OK, ends=False) as backend:
        pool = backend.pool
        keep = pool.keep

        def now() -> float:
            # The reply is read. What begins now goes on before its caller does.
            if len(tasks) == 1:
                tasks.append(asyncio.create_task(backend.ask()))
            return 7.0

        def keep_and_cancel(origin: Origin, connection: Any) -> None:
            keep(origin, connection)
            tasks[0].cancel()

        pool.now, pool.keep = now, keep_and_cancel  # type: ignore[method-assign]
        tasks.append(asyncio.create_task(backend.ask()))
        async with asyncio.timeout(10):
            await asyncio.wait(tasks)
            other = await tasks[1]

    assert (tasks[0].cancelled(), other.body, backend.connections) == (True, b"ok", 1)


async def test_a_kept_connection_that_the_backend_closed_is_stale_and_a_new_one_is_not() -> None:
    class Closing(Backend):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    async with Closing() as backend:
        await backend.ask()
        with pytest.raises(LostError) as raised:
            await backend.ask()
        assert raised.value.is_stale
    with pytest.raises(LostError) as raised:
        await reply_to(b"")
    assert not raised.value.is_stale


async def test_each_exchange_of_a_connection_has_its_own_deadline() -> None:
    class Slow(Backend):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            for pause in (0.0, 0.3, 60.0):
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(pause)
                writer.write(OK)

    async with Slow() as backend:
        # The timer is that of the first deadline, which the second reply outlives and the third does not reach.
        await backend.ask(timeout=0.2)
        await backend.ask(timeout=5.0)
        with pytest.raises(LateError):
            async with asyncio.timeout(4):
                await backend.ask(timeout=0.05)
        assert backend.connections == 1


async def test_an_idempotent_request_is_sent_again_once_within_its_deadline() -> None:
    class Closing(Backend):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    async with Closing() as backend:
        for expected in (1, 2, 3):
            reply = await backend.pool.exchange(backend.origin, HEAD, None, 5.0, Limits(9), idempotent=True)
            assert (reply.body, backend.connections) == (b"ok", expected)

    async with Closing() as backend:
        await asyncio.gather(backend.ask(), backend.ask())
        # Both connections that are tried are closed.
        with pytest.raises(LostError):
            await backend.pool.exchange(backend.origin, HEAD, None, 5.0, Limits(9), idempotent=True)


async def test_what_a_backend_or_a_name_says_is_quoted_up_to_a_length() -> None:
    reply = await reply_to(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"0" * 30 + b"9\r\n\r\npart")
    assert reply.broken == f"the reply ended after 4 of {'0' * 20} bytes, before it was complete"

    async def resolve(_: str) -> tuple[str, ...]:
        return ()

    name = "h" * 400
    with pytest.raises(NotConnectedError) as raised:
        await Pool(resolve, lambda _: None, lambda: 0.0).exchange(Origin(name, 1), HEAD, None, 5.0, Limits(1))
    assert str(raised.value) == f"the name {name} has no address"[:300]
