"""The connections of API servers. The usual request is answered without the machinery that others need.

A review that needs no waiting is answered as soon as its last byte is there, without a parser, a task, a request and a
response. Every other request, and every one that is not written as an API server writes it, or that does not arrive as
a whole, is read by `cluster.connections`.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from certs import tls
from cluster import connections
from cluster.message import Response
from webhook.object_processes import SMALL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Answer", "Connection", "Connections"]

logger = logging.getLogger(__name__)

# The head of an API server has less than 500 bytes.
MAX_HEAD = 2048
# A longer body cannot be judged at once.
MAX_BODY = SMALL
# The status and the type of what is answered at once.
_OK = Response(content_type="application/json")
_REQUEST = re.compile(rb"POST (/[!-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[\t -~]*\r\n)+)\r\n")
# Whatever else a header changes of how a request is read or answered is for the parser.
_OTHERS = frozenset(
    {b"transfer-encoding", b"connection", b"expect", b"upgrade", b"content-encoding", b"trailer", b"te"}
)
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,8}")


class Head(NamedTuple):
    """What the head of a plain request says."""

    path: str
    query: str
    length: int


if TYPE_CHECKING:
    Answer = Callable[[str, str, bytes], bytes | None]
    """Path, query and body to the body of an answer with status 200; None if it takes waiting, or another status."""


@lru_cache(maxsize=512)
def read_head(head: bytes) -> Head | None:
    """The head of a POST of JSON with a length; None for every other one, well formed or not."""
    found = _REQUEST.fullmatch(head)
    if found is None:
        return None
    headers: dict[bytes, bytes] = {}
    for line in found[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        if headers.setdefault(name.lower(), value) is not value:
            return None
    length = headers.get(b"content-length", b"").strip()
    is_json = headers.get(b"content-type", b"").strip() == b"application/json"
    if not is_json or b"host" not in headers or not _OTHERS.isdisjoint(headers) or not _LENGTH.fullmatch(length):
        return None
    path, _, query = found[1].decode().partition("?")
    return Head(path, query, int(length))


class Connection(connections.Connection):
    """One connection."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Connections) -> None:
        super().__init__(owner)
        self._owner = owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection of a client whose certificate has no name that is allowed."""
        super().connection_made(transport)
        allowed = self._owner.client_names
        if allowed and tls.names(transport.get_extra_info("peercert")).isdisjoint(allowed):
            logger.warning(
                "a client was turned away: its certificate has none of the names %s", ", ".join(sorted(allowed))
            )
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Answer a plain request that is there as a whole, and let others be parsed."""
        if self.is_between_requests:
            end = data.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
            head = read_head(data[:end]) if end > 3 else None
            # A request that another one follows at once is not plain either.
            if head is not None and head.length <= MAX_BODY and len(data) == end + head.length:
                answer = self._owner.answer(head.path, head.query, data[end:])
                if answer is not None:
                    self.answer_at_once(self._owner.head(_OK) + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)
                    return
        super().data_received(data)


class Connections(connections.Connections):
    """With ``answer`` for requests that can be answered at once.

    If there are ``client_names``, the certificate of a client must have one of them.
    """

    def __init__(
        self, *arguments: Any, answer: Answer, client_names: frozenset[str] = frozenset(), **options: Any
    ) -> None:
        super().__init__(*arguments, added={}, **options)
        self.answer = answer
        self.client_names = client_names

    def make(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self)
