"""How long a connection may take, how many there may be, and what its answers begin with: in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cluster.connections import MAX_PENDING, Connections, Deadlines
from cluster.message import ClientGoneError, Request, Response

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
DEADLINES = Deadlines(headers=10.0, body=30.0, idle=75.0, write=20.0, linger=2.0, connections=3)


class Wire(asyncio.Transport):
    """A connection in memory: ``sent`` is what the server wrote, ``closed`` when and how it was closed."""

    def __init__(self, connections: Connections, peer: Any = ("10.0.0.9", 4711)) -> None:
        super().__init__({"peername": peer})
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.sent = b""
        self.closed: tuple[str, float] | None = None
        self.reads = True
        self.ended = False
        self.protocol = connections.make()
        self.protocol.connection_made(self)

    def get(self, data: bytes) -> bytes:
        """Send this; the answer, as far as it is there at once."""
        before = len(self.sent)
        self.protocol.data_received(data)
        return self.sent[before:]

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def writelines(self, parts: Any) -> None:
        self.sent += b"".join(parts)

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, how: str) -> None:
        if self.closed is None:
            self.closed = (how, self.loop.time() - self.began)
            self.loop.call_soon(self.protocol.connection_lost, None)


async def ok(_: Request) -> Response:
    return Response(200, b"ok")


class Port:
    """Connections, and how many of them were closed at the limit or a deadline."""

    def __init__(
        self,
        handle: Callable[[Request], Awaitable[Response]] = ok,
        deadlines: Deadlines = DEADLINES,
        **options: Any,
    ) -> None:
        self.aborted = 0
        options = {"now": lambda: 0.0, "added": {}, **options}
        self.connections = Connections(handle, deadlines, on_abort=self._count, **options)

    def _count(self) -> None:
        self.aborted += 1

    def open(self, **options: Any) -> Wire:
        return Wire(self.connections, **options)


@pytest.mark.parametrize(("first", "expected"), [(None, 10.0), (60.0, 60.0)])
def test_a_connection_has_a_time_for_its_first_byte(simulate: Any, first: float | None, expected: float) -> None:
    async def main() -> None:
        port = Port(deadlines=Deadlines(headers=10.0, first=first))
        wire = port.open()
        await asyncio.sleep(200)
        assert wire.closed == ("aborted", pytest.approx(expected))
        assert (port.aborted, len(port.connections)) == (1, 0)

    simulate(main())


@pytest.mark.parametrize("first", [None, 60.0])
@pytest.mark.parametrize("answered", [False, True])
def test_the_bytes_of_a_head_have_one_deadline_however_they_drip(
    simulate: Any, first: float | None, answered: bool
) -> None:
    async def main() -> None:
        port = Port(deadlines=Deadlines(headers=10.0, idle=75.0, first=first))
        wire = port.open()
        if answered:
            wire.get(GET)
            await asyncio.sleep(0)
            assert wire.sent.endswith(b"ok")
        began = wire.loop.time()
        for byte in GET[:20]:
            wire.get(bytes([byte]))
            await asyncio.sleep(0.9)
            if wire.closed:
                break
        assert wire.closed is not None
        assert wire.closed[1] + wire.began - began == pytest.approx(10.0)

    simulate(main())


def test_between_requests_a_connection_is_kept_for_its_time_and_in_one_for_any(simulate: Any) -> None:
    async def main() -> None:
        async def slow(request: Request) -> Response:
            if request.path == "/slow":
                await asyncio.sleep(3600)
            return Response(200, b"ok")

        port = Port(slow)
        wire = port.open()
        for _ in range(3):
            wire.get(GET)
            await asyncio.sleep(74)
            assert wire.closed is None
        wire.get(GET.replace(b"/a", b"/slow"))
        await asyncio.sleep(3601)
        assert wire.sent.count(b"HTTP/1.1 200 OK") == 4
        await asyncio.sleep(100)
        assert wire.closed is not None
        assert wire.closed[1] == pytest.approx(3 * 74 + 3600 + 75)
        assert port.aborted == 1

    simulate(main())


def test_a_client_that_does_not_read_has_a_time_to_go_on(simulate: Any) -> None:
    async def main() -> None:
        port = Port()
        one, other = port.open(), port.open()
        for wire in (one, other):
            wire.get(GET)
        await asyncio.sleep(1)
        for wire in (one, other):
            wire.protocol.pause_writing()
            assert not wire.protocol.is_between_requests
        await asyncio.sleep(19)
        one.protocol.resume_writing()
        assert one.protocol.is_between_requests
        await asyncio.sleep(200)
        assert other.closed == ("aborted", pytest.approx(21.0))
        # From when it read on, it has the time between requests.
        assert one.closed == ("aborted", pytest.approx(20.0 + 75.0))

    simulate(main())


def test_an_answer_has_no_deadline_once_the_client_reads_again(simulate: Any) -> None:
    async def main() -> None:
        async def slow(_: Request) -> Response:
            await asyncio.sleep(100)
            return Response(200, b"ok")

        wire = Port(slow).open()
        wire.get(GET)
        await asyncio.sleep(1)
        wire.protocol.pause_writing()
        await asyncio.sleep(5)
        wire.protocol.resume_writing()
        await asyncio.sleep(100)
        assert (wire.sent.count(b"200 OK"), wire.closed) == (1, None)

    simulate(main())


def test_what_was_sent_ahead_waits_until_the_client_reads(simulate: Any) -> None:
    async def main() -> None:
        wire = Port().open()
        wire.protocol.pause_writing()
        wire.get(GET + GET)
        await asyncio.sleep(1)
        assert wire.sent == b""
        wire.protocol.resume_writing()
        await asyncio.sleep(1)
        assert wire.sent.count(b"200 OK") == 2

    simulate(main())


def test_a_refused_client_may_send_on_for_a_moment_and_nobody_reads_it(simulate: Any) -> None:
    async def main() -> None:
        port = Port()
        wire = port.open()
        answer = wire.get(b"NONSENSE\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answer.endswith(b"Content-Length: 25\r\nConnection: close\r\n\r\nthe request is malformed\n")
        assert (wire.ended, wire.closed) == (True, None)
        assert wire.get(GET) == b""
        await asyncio.sleep(100)
        assert wire.closed == ("aborted", pytest.approx(2.0))

    simulate(main())


@pytest.mark.parametrize("cut", [1, 1000])
def test_a_head_has_a_size_and_says_so(simulate: Any, cut: int) -> None:
    async def main() -> None:
        wire = Port().open()
        whole = b"GET /a HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000
        for start in range(0, len(whole), max(cut, 100)):
            wire.get(whole[start : start + max(cut, 100)])
        assert wire.sent.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert wire.sent.endswith(b"\r\n\r\nthe headers must have at most 65536 bytes\n")

    simulate(main())


@pytest.mark.parametrize("cut", [20, 40, 65_000])
def test_a_head_that_does_not_end_has_the_same_size(simulate: Any, cut: int) -> None:
    async def main() -> None:
        wire = Port().open()
        whole = b"GET /a HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000
        wire.get(whole[:cut])
        wire.get(whole[cut:65_536])
        assert wire.sent == b""
        wire.get(b"x")
        assert wire.sent.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")

    simulate(main())


@pytest.mark.parametrize(("size", "status"), [(65_536 - 27, 200), (65_536 - 26, 431)])
def test_the_size_of_a_head_is_that_of_its_names_and_values(simulate: Any, size: int, status: int) -> None:
    """As on the wire, with a colon, a blank and a line break for each: Host takes 9 here, three X take 5 more each."""

    async def main() -> None:
        wire = Port().open()
        lines = b"".join(b"X: %b\r\n" % (b"x" * part) for part in (size // 2 - 1, size - size // 2 - 1, 5))
        wire.get(b"GET /a HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")
        await asyncio.sleep(0)
        assert wire.sent.startswith(b"HTTP/1.1 %d " % status)

    simulate(main())


def test_at_the_limit_the_one_that_waited_longest_gives_way(simulate: Any) -> None:
    async def main() -> None:
        held = asyncio.Event()

        async def hold(request: Request) -> Response:
            if request.path == "/held":
                await held.wait()
            request.is_recognised = request.path == "/ours"
            return Response(200, b"ok")

        port = Port(hold)
        busy, ours, idle = (port.open() for _ in range(3))
        busy.get(GET.replace(b"/a", b"/held"))
        ours.get(GET.replace(b"/a", b"/ours"))
        idle.get(GET)
        await asyncio.sleep(0)
        assert len(port.connections) == 3
        assert port.aborted == 0

        new = port.open()
        assert [wire.closed is not None for wire in (busy, ours, idle, new)] == [False, False, True, False]
        new.get(GET.replace(b"/a", b"/held"))
        # Only those of clients that were recognised wait now.
        newer = port.open()
        assert [wire.closed is not None for wire in (busy, ours, new, newer)] == [False, True, False, False]
        newer.get(GET.replace(b"/a", b"/held"))
        # Nobody waits: the new one is too many.
        last = port.open()
        assert [wire.closed is not None for wire in (busy, new, newer, last)] == [False, False, False, True]
        assert (port.aborted, len(port.connections)) == (3, 3)
        held.set()
        await asyncio.sleep(1)
        assert [wire.sent.count(b"200 OK") for wire in (busy, new, newer, last)] == [1, 1, 1, 0]

    simulate(main())


def test_quiet_connections_are_closed_and_no_others(simulate: Any) -> None:
    async def main() -> None:
        port = Port()
        old, new, begun = (port.open() for _ in range(3))
        old.get(GET)
        await asyncio.sleep(5)
        new.get(GET)
        begun.get(GET[:5])
        await asyncio.sleep(0)
        port.connections.close_quiet(5.5)
        assert (old.closed, new.closed, begun.closed) == (None, None, None)
        port.connections.close_quiet(5.0)
        assert old.closed == ("closed", pytest.approx(5.0))
        assert (new.closed, begun.closed) == (None, None)
        await asyncio.sleep(1)
        # A request has begun on the third one: it is answered.
        port.connections.close_quiet(0.0)
        assert (new.closed is not None, begun.closed) == (True, None)
        begun.get(GET[5:])
        await asyncio.sleep(0)
        assert begun.sent.endswith(b"ok")
        assert port.aborted == 0

    simulate(main())


def test_all_connections_end_before_the_port_is_empty(simulate: Any) -> None:
    async def main() -> None:
        held = asyncio.Event()

        async def hold(_: Request) -> Response:
            await held.wait()
            return Response(200, b"ok")

        port = Port(hold)
        assert port.connections.empty.is_set()
        busy, idle = port.open(), port.open()
        busy.get(GET)
        assert not port.connections.empty.is_set()
        port.connections.close_waiting()
        await asyncio.sleep(0)
        assert (busy.closed, idle.closed) == (None, ("closed", pytest.approx(0.0)))
        assert not port.connections.empty.is_set()
        held.set()
        async with asyncio.timeout(1):
            await port.connections.empty.wait()
        assert b"Connection: close" in busy.sent
        late = port.open()
        port.connections.abort_all()
        assert late.closed is not None
        assert late.closed[0] == "aborted"

    simulate(main())


def test_what_answers_begin_with(simulate: Any) -> None:
    async def main() -> None:
        now = [0.5]
        connections = Connections(ok, DEADLINES, now=lambda: now[0], added={"X-Added": "for \u20ac 5"})

        def head(response: Response) -> list[bytes]:
            return connections.head(response).split(b"\r\n")[:-1]

        first = [b"HTTP/1.1 200 OK", b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"X-Added: for ? 5"]
        assert head(Response(200, content_type="")) == first
        assert head(Response(200, content_type="a/b"))[3:] == [b"Content-Type: a/b"]
        assert head(Response(299))[0] == b"HTTP/1.1 299 "
        assert head(Response(404, headers={"X-A": "1\r\nX-B: 2", "X-C": "\u20ac\0\u00fc"}))[4:] == [
            b"X-A: 1  X-B: 2",
            b"X-C: ? \xfc",
        ]
        now[0] = 0.9
        assert head(Response(200, content_type="")) == first
        # It is made once a second.
        assert connections.head(Response(200)) is connections.head(Response(200))
        now[0] = 1.0
        assert head(Response(200, content_type=""))[1] == b"Date: Thu, 01 Jan 1970 00:00:01 GMT"
        for number in range(300):
            assert head(Response(200, content_type=f"a/{number}"))[3] == b"Content-Type: a/%d" % number
        assert len(connections._heads) == 256

    simulate(main())


def test_a_request_knows_where_it_comes_from(simulate: Any) -> None:
    async def main() -> None:
        seen: list[Request] = []

        async def keep(request: Request) -> Response:
            seen.append(request)
            return Response(200, b"ok")

        wire = Port(keep).open()
        wire.get(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: \xc3\xa9\r\nx-a: 2\r\n\r\n")
        await asyncio.sleep(0)
        (request,) = seen
        assert (request.remote, request.method, request.target) == ("10.0.0.9", "GET", "/a?b=c")
        assert (request.path, request.query, request.version, request.keep_alive) == ("/a", "b=c", "1.1", True)
        assert request.headers == {"host": ["x"], "x-a": ["\u00e9", "2"]}

    simulate(main())


@pytest.mark.parametrize(("peer", "remote"), [(("fd00::1", 4711, 0, 0), "fd00::1"), ("", ""), (None, "")])
def test_a_peer_without_an_address_has_none(simulate: Any, peer: Any, remote: str) -> None:
    async def main() -> None:
        seen: list[str] = []

        async def keep(request: Request) -> Response:
            seen.append(request.remote)
            return Response(200, b"ok")

        Port(keep).open(peer=peer).get(GET)
        await asyncio.sleep(0)
        assert seen == [remote]

    simulate(main())


def test_reading_goes_on_as_soon_as_few_requests_wait(simulate: Any) -> None:
    async def main() -> None:
        async def hold(_: Request) -> Response:
            await asyncio.sleep(1)
            return Response(200, b"ok")

        wire = Port(hold).open()
        wire.get(GET)
        wire.get(GET * 11)
        reads = []
        for _ in range(5):
            await asyncio.sleep(0.5)
            reads.append(wire.reads)
            await asyncio.sleep(0.5)
        # After each second one less waits: 11 at first, and 8 may.
        assert reads == [False, False, False, True, True]

    simulate(main())


def test_reading_pauses_while_too_much_is_sent_ahead(simulate: Any) -> None:
    async def main() -> None:
        held = asyncio.Event()

        async def hold(request: Request) -> Response:
            if request.path == "/held":
                await held.wait()
            return Response(200, b"ok")

        wire = Port(hold).open()
        for times in (1, 2):
            held.clear()
            wire.get(GET.replace(b"/a", b"/held"))
            await asyncio.sleep(0)
            wire.get(GET * 8)
            assert wire.reads
            wire.get(GET)
            assert not wire.reads
            # More may be there already. It is paused once.
            wire.get(GET)
            assert not wire.reads
            held.set()
            await asyncio.sleep(1)
            assert wire.reads
            assert wire.sent.count(b"200 OK") == 11 * times

    simulate(main())


def test_a_client_that_leaves_within_a_body_is_told_to_its_handler(simulate: Any) -> None:
    async def main() -> None:
        outcomes: list[str] = []

        async def read(request: Request) -> Response:
            try:
                while await request.receive():
                    pass
            except ClientGoneError as error:
                outcomes.append(str(error))
                raise
            except asyncio.CancelledError:
                outcomes.append("cancelled")
                raise
            return Response()

        port = Port(read)
        wire = port.open()
        wire.get(POST + b"ab")
        await asyncio.sleep(1)
        wire.abort()
        await asyncio.sleep(1)
        assert outcomes == ["cancelled"]
        assert len(port.connections) == 0

    simulate(main())


@pytest.mark.parametrize(("ahead", "answered"), [(MAX_PENDING, MAX_PENDING + 1), (MAX_PENDING + 1, 1)])
def test_so_many_requests_may_be_sent_ahead(simulate: Any, ahead: int, answered: int) -> None:
    """One more is refused, and with it what waits: the one in progress is answered."""

    async def main() -> None:
        async def hold(_: Request) -> Response:
            await asyncio.sleep(1)
            return Response(200, b"ok")

        wire = Port(hold).open()
        wire.get(GET)
        wire.get(GET * ahead)
        await asyncio.sleep(ahead + 5)
        assert wire.sent.count(b"HTTP/1.1 200 OK") == answered

    simulate(main())


def test_a_request_with_a_known_head_is_in_progress_like_every_other_one(simulate: Any) -> None:
    async def main() -> None:
        held = asyncio.Event()

        async def hold(request: Request) -> Response:
            if await request.receive() == b"hold!":
                await held.wait()
            return Response(200, b"ok")

        port = Port(hold, Deadlines(connections=1))
        wire = port.open()
        for _ in range(2):
            wire.get(POST + b"\r\n\r\nx")
            await asyncio.sleep(0)
        (known,) = wire.protocol._known
        assert known.parts == ((b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: ", "content-length"),)
        assert known.end == b"\r\n\r\n"
        wire.get(POST + b"hold!")
        await asyncio.sleep(0)
        new = port.open()
        assert (wire.closed, new.closed is not None) == (None, True)
        held.set()
        await asyncio.sleep(1)
        assert wire.sent.count(b"200 OK") == 3
        # It waits again.
        newer = port.open()
        assert (wire.closed is not None, newer.closed) == (True, None)

    simulate(main())
