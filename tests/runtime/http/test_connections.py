"""Clients that hold connections and bodies back, and what others see of it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import math
from typing import Any

import pytest

from cluster.bodies import Bodies
from cluster.connections import Connection, Connections, Deadlines
from cluster.message import Request, Response
from crd.published.settings import Auth
from tests.runtime.raw_http import INITIALIZE, modern, send


class Raw:
    """A connection on which a test sends bytes as it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, replica: Any) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", replica.listener.port))

    async def send(self, *lines: str, body: bytes = b"") -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode() + body)
        await self.writer.drain()

    async def start_request(self, length: int, body: bytes, *more: str) -> None:
        """Headers that announce a body, and a part of the body."""
        await self.send(*HEADERS, f"Content-Length: {length}", *more, "", body=body)

    async def answer(self) -> bytes:
        """Everything until the server closes the connection; fails if that takes too long."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def status(self) -> int:
        async with asyncio.timeout(10):
            line = await self.reader.readline()
        return int(line.split()[1])

    def close(self) -> None:
        self.writer.close()


HEADERS = ("POST /mcp HTTP/1.1", "Host: x", "Content-Type: application/json")
BODY = json.dumps(INITIALIZE).encode()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_hundred_half_sent_bodies_turn_nobody_away(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(max_concurrent_requests=1))
    held = [await Raw.open(replica) for _ in range(100)]
    for each in held:
        await each.start_request(1000, b"{")
    await until(lambda: replica.app.open_requests == 100)

    assert (await send(replica.mcp, body=INITIALIZE))[0] == 200
    assert replica.app.in_progress == 0
    for each in held:
        each.close()
    await until(lambda: replica.app.open_requests == 0)


async def test_a_body_that_does_not_arrive_is_answered_with_408(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(body=0.05))
    raw = await Raw.open(replica)

    await raw.start_request(1000, b"{")

    assert b" 408 " in (await raw.answer()).partition(b"\r\n")[0]


@pytest.mark.parametrize("lines", [(), ("POST /mcp HTTP/1.1", "Host: x")], ids=["nothing", "half of the headers"])
async def test_a_connection_without_a_request_is_closed(replicas: Any, catalog_of: Any, lines: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(headers=0.05))
    raw = await Raw.open(replica)

    await raw.send(*lines)

    assert await raw.answer() == b""
    await until(lambda: replica.count("mcp_server_connections_closed_total") == 1)


async def test_headers_that_drip_have_one_deadline(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(headers=0.1))
    raw = await Raw.open(replica)
    await raw.send(HEADERS[0])

    async def drip() -> None:
        for number in range(10_000):
            await raw.send(f"X-{number}: y")
            await asyncio.sleep(0.01)

    with pytest.raises(ConnectionError):
        await drip()


async def test_a_slow_second_request_has_the_same_deadline(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(headers=0.1))
    raw = await Raw.open(replica)
    await raw.start_request(len(BODY), BODY)
    assert await raw.status() == 200

    await raw.send(HEADERS[0])

    await raw.answer()
    assert replica.count("mcp_server_connections_closed_total") == 1


async def test_an_idle_connection_is_closed(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(idle=0.05))
    raw = await Raw.open(replica)
    await raw.start_request(len(BODY), BODY)

    assert b" 200 " in await raw.answer()


async def test_a_connection_lives_through_many_requests(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(headers=0.2))
    raw = await Raw.open(replica)

    for _ in range(5):
        await raw.start_request(len(BODY), BODY)
        assert await raw.status() == 200
        length = 0
        while (line := await raw.reader.readline()).strip():
            length = int(line.split()[1]) if line.lower().startswith(b"content-length") else length
        await raw.reader.readexactly(length)
        await asyncio.sleep(0.06)
    raw.close()


async def test_silent_and_half_sent_connections_keep_nobody_out(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(connections=4))
    held = [await Raw.open(replica) for _ in range(4)]
    await held[0].start_request(1000, b"{")
    await until(lambda: replica.app.open_requests == 1)

    assert (await send(replica.mcp, body=INITIALIZE))[0] == 200

    assert await held[0].answer() == b""
    for each in held:
        each.close()


async def test_connections_in_use_are_not_closed_for_new_ones(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(), deadlines=Deadlines(connections=2))
    release = asyncio.Event()

    async def wait(*_: Any) -> dict[str, Any]:
        await release.wait()
        return {"content": []}

    replica.backends.call = wait
    calls = [asyncio.create_task(modern(replica.mcp, "tools/call", name="echo", arguments={})) for _ in range(2)]
    await until(lambda: replica.app.in_progress == 2)

    third = await Raw.open(replica)
    assert await third.answer() == b""

    release.set()
    assert [status for status, _, _ in await asyncio.gather(*calls)] == [200, 200]


async def test_the_slowest_bodies_are_given_up_when_memory_is_short(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(max_request_bytes=400))
    replica.app._bodies = Bodies(10.0, budget=1000)
    held = [await Raw.open(replica) for _ in range(3)]
    for each in held[:2]:
        await each.start_request(400, b"x" * 390)
    await until(lambda: replica.app._bodies._held == 780)

    await held[2].start_request(400, b"x" * 390)

    assert await held[0].status() == 503
    assert (await send(replica.mcp, body=INITIALIZE))[0] == 200
    assert replica.app._bodies._held <= 780
    for each in held:
        each.close()


async def test_a_client_that_is_denied_need_not_send_its_body(replicas: Any, catalog_of: Any, tmp_path: Any) -> None:
    (tmp_path / "secrets" / "keys").mkdir(parents=True)
    (tmp_path / "secrets" / "keys" / "ann").write_text("s3cret")
    replica = await replicas.start(catalog_of(auth=Auth("APIKey", "keys")))
    raw = await Raw.open(replica)

    await raw.start_request(1000, b"{", "Authorization: Bearer wrong")

    assert await raw.status() == 401
    raw.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
async def test_no_request_is_inflated(replicas: Any, catalog_of: Any, encoding: str) -> None:
    replica = await replicas.start(catalog_of())
    raw = await Raw.open(replica)
    bomb = gzip.compress(b"\0" * 10_000_000)

    await raw.start_request(len(bomb), bomb, f"Content-Encoding: {encoding}")

    assert await raw.status() == 415
    raw.close()


async def test_a_body_over_the_limit_is_refused_by_its_length_or_as_it_arrives(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(max_request_bytes=64))
    announced, chunked = await Raw.open(replica), await Raw.open(replica)

    await announced.start_request(65, b"")
    await chunked.send(*HEADERS, "Transfer-Encoding: chunked", "", "41", "x" * 65)

    assert await announced.status() == 413
    assert await chunked.status() == 413
    announced.close()
    chunked.close()


async def test_paths_have_a_limit(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of())

    assert (await send(f"{replica.mcp}/{'a' * 2048}", "GET"))[0] == 414


async def test_replies_are_not_run_by_a_browser(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of())

    for url in (f"{replica.mcp}/echo", replica.mcp, f"{replica.url}/elsewhere"):
        _, headers, _ = await send(url, body=INITIALIZE)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.aborted.set()

    def get_write_buffer_size(self) -> int:
        return 1


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    deadlines = Deadlines(headers=math.inf, write=0.01)
    connections = Connections(never_handled, deadlines, now=lambda: 0.0, added={})
    slow, quick = Transport(), Transport()
    protocols = {each: connections.make() for each in (slow, quick)}
    for transport, protocol in protocols.items():
        protocol.connection_made(transport)
        protocol.pause_writing()
    protocols[quick].resume_writing()

    async with asyncio.timeout(10):
        await slow.aborted.wait()

    assert not quick.aborted.is_set()
    for protocol in protocols.values():
        protocol.connection_lost(None)


async def never_handled(_: Request) -> Response:
    raise AssertionError("no request was sent")


@pytest.mark.parametrize("body", [b"whole", b"half"])
async def test_a_client_that_leaves_during_its_call_leaves_nothing_to_the_garbage_collector(body: bytes) -> None:
    bodies, begun = Bodies(3600.0), asyncio.Event()

    async def handle(request: Request) -> Response:
        begun.set()
        await bodies.read(request, 100)
        await asyncio.sleep(math.inf)
        raise AssertionError("the call is cancelled")

    connections = Connections(handle, Deadlines(), now=lambda: 0.0, added={})
    gc.collect()
    gc.disable()
    try:
        before = {id(each) for each in gc.get_objects() if isinstance(each, Connection | Request)}
        connection = connections.make()
        connection.connection_made(Transport())
        connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n" + body)
        await begun.wait()
        await asyncio.sleep(0)
        connection.connection_lost(None)
        del connection
        await until(
            lambda: (
                not any(isinstance(each, Connection | Request) and id(each) not in before for each in gc.get_objects())
            )
        )
    finally:
        gc.enable()


async def test_a_closed_connection_leaves_nothing_to_the_garbage_collector(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of())

    def left() -> int:
        return sum(type(each) is Connection for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        assert (await modern(replica.mcp, "tools/list"))[0] == 200
        await until(lambda: not len(replica.app.connections))
        assert left() == 0
    finally:
        gc.enable()
