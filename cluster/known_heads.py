"""Heads of requests that the parser has read before on a connection, so that it need not read them again.

Most requests of a connection have the same head but for a few values, such as the digits of Content-Length. Whatever
else differs is left to the parser: nothing is decided about bytes that it has not accepted before.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.message import Request

__all__ = ["MAX_HEAD", "KnownHead", "learn"]

# Bytes of the longest head that is remembered.
MAX_HEAD = 2048
# Fields whose value differs from request to request: the tool that is called, and what proxies and tracing add.
VARYING = frozenset({b"content-length", b"mcp-name", b"traceparent", b"x-forwarded-for", b"x-request-id"})
# Bytes of the longest value that may differ, and of what it consists. None of them ends a field, is trimmed, or means
# anything to the parser. What is left of a value without them at both ends is empty, or begins with another byte.
MAX_VALUE = 128
_ALLOWED = (string.ascii_letters + string.digits + "._:-").encode()
_MAX_DIGITS = 9
# What changes how a request is read or answered.
_UNUSUAL = frozenset({"expect", "te", "trailer", "transfer-encoding", "upgrade"})
_NONE = dict[str, list[str]]()


class KnownHead(NamedTuple):
    """``parts``: what comes before each value that may differ, and the name of its field. ``end``: what comes last."""

    parts: tuple[tuple[bytes, str], ...]
    end: bytes
    method: str
    target: str
    headers: Mapping[str, list[str]]

    def read(self, data: bytes) -> tuple[dict[str, list[str]], bytes] | None:
        """The headers and the body of the request that ``data`` is, if this is its head and its body is there.

        They are those that the parser would find. ``data`` has nothing else.
        """
        headers, position = _NONE, 0
        for literal, name in self.parts:
            if not data.startswith(literal, position):
                return None
            start = position + len(literal)
            position = data.find(b"\r", start, start + MAX_VALUE + 1)
            value = data[start:position]
            if position <= start or value.strip(_ALLOWED):
                return None
            if headers is _NONE:
                headers = dict(self.headers)
            headers[name] = [value.decode()]
        if not data.startswith(self.end, position):
            return None
        body, length = data[position + len(self.end) :], headers["content-length"][0]
        is_whole = length.isdigit() and len(length) <= _MAX_DIGITS and len(body) == int(length)
        return (headers, body) if is_whole else None


def learn(data: bytes, request: Request) -> KnownHead | None:
    """The head of a request that the parser has read from ``data``.

    None if the connection does not go on, if what follows the head is not just the body, or if the head is too long or
    changes how the request is read or answered.
    """
    end, sent = data.find(b"\r\n\r\n", 0, MAX_HEAD), request.headers
    is_usual = _UNUSUAL.isdisjoint(sent) and sent.get("connection") in (None, ["keep-alive"])
    if end < 0 or not is_usual or not request.keep_alive or request.version != "1.1":
        return None
    parts, literal = list[tuple[bytes, str]](), 0
    position = data.find(b"\r\n", 0, end)
    while 0 <= position < end:
        start, position = position + 2, data.find(b"\r\n", position + 2, end)
        line_end = position if position >= 0 else end
        colon = data.find(b":", start, line_end)
        name = data[start:colon].lower()
        if colon < 0 or name not in VARYING:
            continue
        value = colon + 2 if data.startswith(b" ", colon + 1) else colon + 1
        varying = data[value:line_end]
        # Twice the same field, or a line that the parser takes for something else, is compared as it is.
        if not varying.strip(_ALLOWED) and sent.get(name.decode()) == [varying.decode()]:
            parts.append((data[literal:value], name.decode()))
            literal = line_end
    known = KnownHead(tuple(parts), data[literal : end + 4], request.method, request.target, sent)
    has_length = any(name == "content-length" for _, name in parts)
    return known if has_length and known.read(data) is not None else None
