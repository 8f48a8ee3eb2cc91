"""A port with TLS: what a handshake may take, and how many there may be."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from certs import issuance
from certs.tls import HotContext
from cluster import listener as module
from cluster.connections import Connections, Deadlines
from cluster.listener import HANDSHAKE_SECONDS, Listener
from cluster.message import Request, Response

NOW = datetime.now(UTC)  # noqa: TID251 -- TLS judges by the clock of the machine
CA = issuance.authority("ca", NOW)
TRUSTING = ssl.create_default_context(cadata=CA.certificate.decode())
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
# What the kernel allows.
MOST_WAITING = int(Path("/proc/sys/net/core/somaxconn").read_text()) if sys.platform == "linux" else 0


async def handle(_: Request) -> Response:
    return Response(200, b"ok")


@asynccontextmanager
async def listening(host: str = "127.0.0.1", *, with_tls: bool = True) -> AsyncIterator[tuple[Listener, Connections]]:
    open_ = Connections(handle, Deadlines(), now=lambda: 0.0, added={})
    listener = Listener(open_)
    tls = HotContext(issuance.leaf(CA, ["localhost"], NOW)).outer if with_tls else None
    await listener.start(host, 0, tls)
    try:
        async with asyncio.timeout(30):
            yield listener, open_
    finally:
        await listener.close(0.0)


async def ask(listener: Listener) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=TRUSTING, server_hostname="localhost"
    )
    writer.write(GET)
    answer = await reader.readuntil(b"ok")
    writer.close()
    return answer


def loopbacks() -> list[str]:
    """The addresses of this machine. Not every one has IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return ["127.0.0.1"]
    return ["127.0.0.1", "::1"]


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


async def test_requests_are_answered_over_tls() -> None:
    async with listening() as (listener, open_):
        assert (await ask(listener)).startswith(b"HTTP/1.1 200")
        assert (await ask(listener)).startswith(b"HTTP/1.1 200")
        await until(lambda: not len(open_))
        assert listener._handshakes == {}


async def test_a_handshake_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 0.05)
    async with listening() as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"\x16\x03")
        assert await closed(reader)
        await until(lambda: not listener._handshakes)
        writer.close()


async def test_handshakes_that_do_not_end_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKES", 4)
    async with listening() as (listener, _):
        held = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(10)]
        for reader, _ in held[:6]:
            assert await closed(reader)
        assert len(listener._handshakes) == 4

        assert (await ask(listener)).startswith(b"HTTP/1.1 200")
        for _, writer in held:
            writer.close()


async def test_what_is_no_handshake_ends_its_own_connection_alone() -> None:
    async with listening() as (listener, open_):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(GET)
        await closed(reader)
        writer.close()
        assert (await ask(listener)).startswith(b"HTTP/1.1 200")
        await until(lambda: not len(open_))


async def test_a_failure_to_accept_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACCEPT_PAUSE", 0.0)
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [OSError(24, "Too many open files")]

    async def accept_or_fail(listening: Any) -> Any:
        if failures:
            raise failures.pop()
        return await accept(listening)

    monkeypatch.setattr(loop, "sock_accept", accept_or_fail)
    async with listening() as (listener, _):
        assert (await ask(listener)).startswith(b"HTTP/1.1 200")
        assert failures == []


async def test_after_the_end_nobody_is_accepted_and_who_is_there_is_answered() -> None:
    async with listening() as (listener, _):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=TRUSTING, server_hostname="localhost"
        )
        port = listener.port
        await listener.stop_accepting()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("with_tls", [True, False])
async def test_so_many_clients_may_wait_to_be_accepted(*, with_tls: bool) -> None:
    async with listening(with_tls=with_tls) as (listener, _):
        if sys.platform == "linux":
            served = listener._socket if listener._server is None else listener._server.sockets[0]
            assert served is not None
            # Of a socket that listens, tcpi_sacked is the length of its queue.
            info = served.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            assert struct.unpack_from("I", info, 28) == (min(module.BACKLOG, MOST_WAITING),)


@pytest.mark.parametrize("host", loopbacks())
@pytest.mark.parametrize("with_tls", [True, False])
async def test_addresses_of_both_families_are_listened_on(host: str, *, with_tls: bool) -> None:
    async with listening(host, with_tls=with_tls) as (listener, _):
        tls = {"ssl": TRUSTING, "server_hostname": "localhost"} if with_tls else {}
        reader, writer = await asyncio.open_connection(host, listener.port, **tls)  # type: ignore[arg-type]
        writer.write(GET)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_handshakes_end_with_the_port() -> None:
    async with listening() as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"\x16\x03")
        await until(lambda: bool(listener._handshakes))
        await listener.close(0.0)
        async with asyncio.timeout(HANDSHAKE_SECONDS / 2):
            assert await closed(reader)
        writer.close()


async def test_the_end_of_a_connection_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read leaves the end of TLS unanswered."""
    monkeypatch.setattr(module, "TLS_SHUTDOWN_SECONDS", 0.05)
    async with listening() as (listener, open_):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=TRUSTING, server_hostname="localhost"
        )
        writer.write(GET)
        await reader.readuntil(b"ok")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        open_.close_waiting()
        async with asyncio.timeout(10):
            await open_.empty.wait()
        writer.transport.abort()
