"""A request as it arrives, and the sizes of responses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.message import READ_AHEAD, ClientGoneError, Request, Response


def request(**headers: list[str]) -> Request:
    return Request(
        "POST", "/a/b?c=d?e", {name.replace("_", "-"): values for name, values in headers.items()}, "10.0.0.9"
    )


def test_what_a_request_says() -> None:
    found = request(x_one=["1", "2"], content_length=["7"], empty=[])

    assert (found.method, found.target, found.remote) == ("POST", "/a/b?c=d?e", "10.0.0.9")
    assert (found.path, found.query) == ("/a/b", "c=d?e")
    assert (found.header("x-one"), found.header("x-two"), found.header("empty")) == ("1", None, None)
    assert (found.values("x-one"), found.values("x-two")) == (["1", "2"], ())
    assert (found.content_length, request().content_length) == (7, None)
    assert (found.version, found.keep_alive, found.operation, found.identifier) == ("1.1", True, "-", None)
    assert (found.complete, found.gone, found.is_recognised) == (False, False, False)
    assert Request("GET", "/", {}).remote == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("application/json", "application/json"),
        (" Application/JSON ; charset=utf-8", "application/json"),
        ("application/json, text/plain", "application/json"),
        ("text/plain;a,b", "text/plain"),
    ],
)
def test_the_media_type_has_no_parameters(value: str | None, expected: str) -> None:
    assert request(**({} if value is None else {"content_type": [value]})).media_type == expected


def test_a_body_that_is_there_at_once() -> None:
    found = request()
    found.put(b"ab")
    assert (found.complete, found.peek(), found.take(), found.take()) == (True, b"ab", b"ab", b"")
    empty = request()
    empty.put(b"")
    assert (empty.complete, empty.peek(), empty.take()) == (True, b"", b"")


def test_a_body_in_parts() -> None:
    found = request()
    for part in (b"a", b"b", b"c"):
        found.feed(part)
    assert (found.peek(), found.peek()) == (b"abc", b"abc")
    assert (found.take(), found.take()) == (b"abc", b"")
    found.feed(b"d")
    assert (found.complete, found.take()) == (False, b"d")


def test_who_sends_is_held_back_while_much_waits() -> None:
    calls: list[str] = []
    found = request()
    found.feed(b"x" * READ_AHEAD * 2)
    found.take()
    found.limit(lambda: calls.append("pause"), lambda: calls.append("resume"))
    found.feed(b"x" * READ_AHEAD)
    assert calls == []
    found.feed(b"y")
    assert calls == ["pause"]
    assert len(found.take()) == READ_AHEAD + 1
    assert calls == ["pause", "resume"]
    # What was taken does not wait any more.
    found.feed(b"x" * READ_AHEAD)
    assert calls == ["pause", "resume"]


def test_a_handler_receives_the_parts_as_they_come(simulate: Any) -> None:
    async def main() -> None:
        asked: list[float] = []
        loop = asyncio.get_running_loop()
        found = request()
        found.on_receive = lambda: asked.append(loop.time())
        found.feed(b"early")
        assert await found.receive() == b"early"
        # It is not asked to send on before something is waited for, and then once.
        assert asked == []
        reading = asyncio.ensure_future(found.receive())
        await asyncio.sleep(1)
        assert (asked, reading.done()) == ([0.0], False)
        found.feed(b"one")
        found.feed(b"two")
        assert await reading == b"onetwo"
        last = asyncio.ensure_future(found.receive())
        await asyncio.sleep(1)
        found.end()
        assert await last == b""
        assert await found.receive() == b""
        assert (len(asked), found.complete, found.gone) == (1, True, False)

    simulate(main())


def test_a_client_that_leaves_is_an_error_after_what_it_has_sent(simulate: Any) -> None:
    async def main() -> None:
        found = request()
        reading = asyncio.ensure_future(found.receive())
        await asyncio.sleep(1)
        found.end(gone=True)
        with pytest.raises(ClientGoneError):
            await reading
        assert (found.complete, found.gone) == (False, True)
        other = request()
        other.feed(b"a")
        other.end(gone=True)
        assert await other.receive() == b"a"
        with pytest.raises(ClientGoneError, match=r"^the client closed the connection within the body of its request$"):
            await other.receive()
        # Who gave up waiting is not woken.
        cancelled = request()
        waiting = asyncio.ensure_future(cancelled.receive())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        cancelled.feed(b"late")
        assert await cancelled.receive() == b"late"

    simulate(main())


def test_the_size_of_a_response() -> None:
    assert Response(200, b"ab").size == 2
    assert Response(200, b"ab", parts=(b"c", b"def")).size == 6
    plain = Response()
    assert (plain.status, plain.body, plain.content_type) == (200, b"", "text/plain; charset=utf-8")
    assert (plain.headers, plain.close, plain.parts, plain.stream, plain.size) == ({}, False, (), None, 0)
