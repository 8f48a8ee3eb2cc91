"""One exchange after another on a connection to the API server, whatever comes back."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from cluster import api_connection
from cluster.api_connection import MAX_HEAD, READ_AHEAD, Connection
from cluster.transport import LostConnectionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEAD = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"


class Wire:
    """A transport. What is written to it is kept."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.paused = False
        self.options: dict[tuple[int, int], int] = {}

    def get_extra_info(self, _name: str) -> Wire:
        return self

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options[level, option] = value

    def write(self, data: bytes) -> None:
        self.sent += data

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


@pytest.fixture
async def wire() -> AsyncIterator[tuple[Connection, Wire]]:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]
    yield connection, wire
    if hasattr(connection, "_parser"):
        connection.connection_lost(None)


async def answered(connection: Connection, *parts: bytes, ends: Any = False) -> bytes:
    """The whole body of the answer that comes in these parts. Then the connection ``ends``, if not False, with this."""
    sending = asyncio.create_task(connection.send(HEAD, None))
    await asyncio.sleep(0)
    for part in parts:
        connection.data_received(part)
    if ends is not False:
        connection.connection_lost(ends)
    await sending
    body = b""
    while part := await connection.receive():
        body += part
    return body


@pytest.mark.parametrize("answer", [OK, CHUNKED])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_answer_is_read_however_it_is_cut(wire: tuple[Connection, Wire], answer: bytes, size: int) -> None:
    connection, transport = wire
    interim = b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"
    whole = interim + answer

    for _ in range(2):
        parts = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert await answered(connection, *parts) == b"ok"
        assert connection.status == 200
        assert "a" not in connection.headers
        assert connection.is_reusable
    assert transport.sent == HEAD * 2


async def test_a_body_goes_along(wire: tuple[Connection, Wire]) -> None:
    connection, transport = wire
    sending = asyncio.create_task(connection.send(HEAD, b"body"))
    await asyncio.sleep(0)
    connection.data_received(OK)
    await sending

    assert transport.sent == HEAD + b"body"
    # The body of the answer was not taken: it must not be that of the next one.
    assert not connection.is_reusable


async def test_headers_are_found_by_their_name_in_lower_case(wire: tuple[Connection, Wire]) -> None:
    assert await answered(wire[0], b"HTTP/1.1 204 No\r\nX-A: 1\r\nx-a: 2\r\n\r\n") == b""
    assert (wire[0].status, wire[0].headers) == (204, {"x-a": "1, 2"})


async def test_trailers_are_no_headers(wire: tuple[Connection, Wire]) -> None:
    answer = CHUNKED.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"

    assert await answered(wire[0], answer) == b"ok"
    assert wire[0].headers == {"transfer-encoding": "chunked"}


async def test_without_a_length_the_end_of_the_connection_is_that_of_the_body(wire: tuple[Connection, Wire]) -> None:
    assert await answered(wire[0], b"HTTP/1.1 200 OK\r\n\r\no", b"k", ends=None) == b"ok"
    assert not wire[0].is_reusable


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([OK[:-1]], None),
        ([CHUNKED[:-2]], None),
        ([b"HTTP/1.1 200 OK\r\n\r\nok"], ConnectionResetError("reset")),
        ([b"HTTP/1.1 200 OK\r\nContent-Le"], None),
        ([], None),
    ],
    ids=["length", "chunked", "reset", "head", "nothing"],
)
async def test_half_an_answer_is_none(wire: tuple[Connection, Wire], parts: list[bytes], error: Any) -> None:
    with pytest.raises(LostConnectionError, match=r"reset.* is not complete" if error else "the API server closed"):
        await answered(wire[0], *parts, ends=error)
    assert not wire[0].is_stale


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnumber\r\n",
    ],
)
async def test_what_is_not_http_closes_the_connection(wire: tuple[Connection, Wire], answer: bytes) -> None:
    with pytest.raises(LostConnectionError, match=r"not valid HTTP/1\.1"):
        await answered(wire[0], answer)
    assert wire[1].closed


async def test_a_head_without_end_closes_the_connection(wire: tuple[Connection, Wire]) -> None:
    with pytest.raises(LostConnectionError, match=f"more than {MAX_HEAD} bytes"):
        await answered(wire[0], b"HTTP/1.1 200 OK\r\nA: ", *[b"a" * 1000] * 70)
    assert wire[1].closed


@pytest.mark.parametrize("start", [b"A: ", b""])
async def test_a_trailer_without_end_closes_the_connection(wire: tuple[Connection, Wire], start: bytes) -> None:
    with pytest.raises(LostConnectionError, match=f"trailer of the answer has more than {MAX_HEAD} bytes"):
        await answered(wire[0], CHUNKED.removesuffix(b"\r\n") + start, *[b"a" * 1000] * 70)
    assert wire[1].closed


async def test_what_comes_between_the_parts_of_a_body_counts_only_until_the_next_part(
    wire: tuple[Connection, Wire],
) -> None:
    line = b"1;" + b"x" * (MAX_HEAD // 2) + b"\r\n"

    assert await answered(wire[0], CHUNKED.partition(b"1\r\n")[0], *[line, b"a\r\n"] * 4, b"0\r\n\r\n") == b"aaaa"


@pytest.mark.parametrize("more", [OK, b"garbage"])
async def test_more_than_was_asked_for_is_not_the_next_answer(wire: tuple[Connection, Wire], more: bytes) -> None:
    assert await answered(wire[0], OK + more) == b"ok"
    assert not wire[0].is_reusable


async def test_a_server_that_speaks_unasked_is_left(wire: tuple[Connection, Wire]) -> None:
    assert await answered(wire[0], OK) == b"ok"
    wire[0].data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert wire[1].closed
    assert not wire[0].is_open


async def test_a_server_that_wants_to_close_is_not_asked_again(wire: tuple[Connection, Wire]) -> None:
    assert await answered(wire[0], OK.replace(b"Content", b"Connection: close\r\nContent")) == b"ok"
    assert not wire[0].is_reusable


async def test_a_connection_that_ended_while_it_was_not_used_is_stale(wire: tuple[Connection, Wire]) -> None:
    connection = wire[0]
    assert await answered(connection, OK) == b"ok"
    with pytest.raises(LostConnectionError):
        await answered(connection, ends=None)
    assert connection.is_stale
    with pytest.raises(LostConnectionError, match="the connection is closed"):
        await connection.send(HEAD, None)


async def test_an_answer_that_had_begun_is_not_stale(wire: tuple[Connection, Wire]) -> None:
    assert await answered(wire[0], OK) == b"ok"
    with pytest.raises(LostConnectionError):
        await answered(wire[0], b"HTTP", ends=None)
    assert not wire[0].is_stale


async def test_what_nobody_takes_is_not_read_on(wire: tuple[Connection, Wire]) -> None:
    connection, transport = wire
    sending = asyncio.create_task(connection.send(HEAD, None))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * READ_AHEAD)
    await sending
    assert not transport.paused
    connection.data_received(b"a")
    assert transport.paused

    assert len(await connection.receive()) == READ_AHEAD + 1
    assert not transport.paused


async def test_a_connection_notices_that_the_other_end_is_gone(wire: tuple[Connection, Wire]) -> None:
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    assert wire[1].options == {
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
        **{(socket.IPPROTO_TCP, option): value for option, value in zip(options, (30, 5, 3), strict=True)},
    }


def test_a_system_without_these_options_is_spared_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_connection, "KEEPALIVE", {"TCP_NONE": 1})
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]

    assert wire.options == {(socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1}
