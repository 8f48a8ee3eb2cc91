"""Heads that are known are read as the parser reads them, or left to it."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster import known_heads
from cluster.known_heads import KnownHead
from cluster.message import Request


class Parsed:
    """What the parser finds in bytes that are one request and nothing else. ``is_one`` is false for all others."""

    def __init__(self, data: bytes) -> None:
        self.target, self.body = b"", b""
        self.headers: dict[str, list[str]] = {}
        self.ended = 0
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.ended = -1
        self.is_one = self.ended == 1

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.ended += 1

    @property
    def request(self) -> Request:
        request = Request(self._parser.get_method().decode(), self.target.decode("latin-1"), self.headers)
        request.version, request.keep_alive = self._parser.get_http_version(), self._parser.should_keep_alive()
        return request


def post(*lines: bytes, body: bytes = b"{}") -> bytes:
    return b"\r\n".join((b"POST /mcp HTTP/1.1", *lines, b"Content-Length: %d" % len(body), b"Host: x", b"", body))


def learn(data: bytes) -> KnownHead | None:
    parsed = Parsed(data)
    assert parsed.is_one
    return known_heads.learn(data, parsed.request)


FIELDS = [b"Mcp-Name", b"mcp-name", b"traceparent", b"X-Forwarded-For", b"X-Request-Id", b"Content-Length", b"X-Other"]
PLAIN = [b"get_order", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"10.0.0.1", b"2", b"02"]
HOSTILE = [b"a\nX-Evil: 1", b"a\r\n b", b"a\r\nTransfer-Encoding: chunked", b"a\r\nMcp-Name: b", b"\xff", b"a b", b""]
VALUES = st.one_of(st.sampled_from(PLAIN), st.sampled_from(HOSTILE), st.binary(max_size=12))
COLONS = st.sampled_from([b": ", b":", b":  ", b" : "])
# Of each line, its beginning, and its value in the one and in the other request.
LINES = st.lists(st.tuples(st.tuples(st.sampled_from(FIELDS), COLONS).map(b"".join), VALUES, VALUES), max_size=4)


@given(lines=LINES, body=st.binary(max_size=3), more=st.binary(max_size=1))
@example(lines=[(b"Mcp-Name: ", b"a", b"b")], body=b"", more=b"")
@example(lines=[(b"Mcp-Name: ", b"a", b"a\r\nMcp-Name: b")], body=b"", more=b"")
@example(lines=[(b"Mcp-Name: ", b"a", b"c"), (b"Mcp-Name: ", b"b", b"d")], body=b"", more=b"")
@example(lines=[(b"X-Other: ", b"a\nMcp-Name: b", b"a\nMcp-Name: c")], body=b"", more=b"")
def test_what_is_read_is_what_the_parser_finds(
    lines: list[tuple[bytes, bytes, bytes]], body: bytes, more: bytes
) -> None:
    data = post(*(name + value for name, value, _ in lines))
    parsed = Parsed(data)
    known = known_heads.learn(data, parsed.request) if parsed.is_one else None
    other = post(*(name + value for name, _, value in lines), body=body) + more
    read = known.read(other) if known is not None else None
    if known is not None and read is not None:
        found = Parsed(other)
        assert found.is_one
        assert read == (found.headers, found.body)
        assert (known.method, known.target) == ("POST", "/mcp")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"Mcp-Name", b"get_order"),
        (b"mcp-name:", b"get_order"),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"X-Forwarded-For", b"2001:db8::1"),
        (b"X-Request-Id", b"5"),
    ],
)
def test_a_value_that_differs_is_read(field: bytes, value: bytes) -> None:
    field = field.removesuffix(b":") + (b":" if field.endswith(b":") else b": ")
    known = learn(post(field + b"first", b"X-Other: x"))
    assert known is not None

    headers, body = known.read(post(field + value, b"X-Other: x", body=b'{"id": 1}')) or ({}, b"")

    assert headers[field.strip(b": ").decode().lower()] == [value.decode()]
    assert headers["content-length"] == ["9"]
    assert body == b'{"id": 1}'
    # What was learned is as it was.
    assert known.headers["content-length"] == ["2"]


@pytest.mark.parametrize(
    "other",
    [
        post(b"Mcp-Name: a", b"X-Other: y"),
        post(b"X-Other: x", b"Mcp-Name: a"),
        post(b"Mcp-Name: a"),
        post(b"Mcp-Name: ", b"X-Other: x"),
        post(b"Mcp-Name: a b", b"X-Other: x"),
        post(b"Mcp-Name: a ", b"X-Other: x"),
        post(b"Mcp-Name: " + b"a" * 129, b"X-Other: x"),
        post(b"Mcp-Name: a", b"X-Other: x") + b" ",
        post(b"Mcp-Name: a", b"X-Other: x")[:-1],
        post(b"Mcp-Name: a", b"X-Other: x").replace(b": 2\r", b": 0000000002\r"),
        post(b"Mcp-Name: a", b"X-Other: x").replace(b": 2\r", b": 2a\r"),
    ],
)
def test_whatever_else_differs_is_left_to_the_parser(other: bytes) -> None:
    known = learn(post(b"Mcp-Name: first", b"X-Other: x"))
    assert known is not None
    assert known.read(other) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET /mcp HTTP/1.1\r\nHost: x\r\n\r\n",
        post(b"Connection: close"),
        post().replace(b"HTTP/1.1", b"HTTP/1.0"),
        post(b"Expect: 100-continue"),
        post(b"TE: trailers"),
        post(b"Trailer: x"),
        post(b"X-Long: " + b"x" * known_heads.MAX_HEAD),
        post().replace(b"Content-Length: 2", b"Content-Length:  2"),
    ],
)
def test_some_heads_are_not_remembered(data: bytes) -> None:
    assert learn(data) is None


def test_a_head_is_remembered_only_with_its_whole_body() -> None:
    data = post()
    assert known_heads.learn(data[:-1], Parsed(data).request) is None
    assert known_heads.learn(data + b"x", Parsed(data).request) is None
