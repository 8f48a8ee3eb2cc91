"""Reads the bodies of requests, and limits what is held of them: in all, and of one namespace.

Bytes count from when they are read until the request is answered. Of a namespace that sends more than its share,
requests are refused; those of the others are not. The API server writes the namespace of a review before its object.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.message import Request

__all__ = ["BODY_LIMIT", "HEAD", "Bodies", "Body", "RefusedError", "namespace_of", "uid_of"]

# The largest object is 3 MiB of JSON, twice in an update, in an envelope.
BODY_LIMIT = 7 * 1024 * 1024
# What is held at once, in all and of one namespace.
BYTES, BYTES_OF_NAMESPACE = 64 * 1024 * 1024, 16 * 1024 * 1024
# The API server does not wait longer for an answer.
READ_SECONDS = 5.0
# The API server writes the uid and the namespace of a review within so many bytes.
HEAD = 4096
_NAMESPACE = re.compile(rb'"namespace": ?"([a-z0-9-]{1,63})"')
_LATER = "; try again in a second"
_TOO_LARGE = f"the body has more than {BODY_LIMIT} bytes"
_UID = re.compile(rb'"uid": ?"([^"\\]{1,253})"')


class RefusedError(Exception):
    """A body is not read to its end. ``status`` is that of HTTP; ``uid`` is the review's, empty if it was not read."""

    def __init__(self, status: int, message: str, uid: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.uid = uid


@dataclass(slots=True)
class _Share:
    """What is held of one namespace: bytes, bodies, and those of the bodies that were read to their end."""

    size: int = 0
    bodies: int = 0
    complete: int = 0


@dataclass(slots=True)
class Body:
    """What was read of one body. ``namespace`` is empty if its head names none; ``share`` is what that one holds."""

    content: bytes = field(default=b"", repr=False)
    size: int = 0
    namespace: bytes = b""
    share: _Share | None = None
    complete: bool = False


class Bodies:
    """What is held: ``size`` bytes, and ``complete`` bodies that were read to their end."""

    def __init__(
        self, *, limit: int = BYTES, limit_of_namespace: int = BYTES_OF_NAMESPACE, read_seconds: float = READ_SECONDS
    ) -> None:
        self.size = 0
        self.complete = 0
        self._limit = limit
        self._limit_of_namespace = limit_of_namespace
        self._read_seconds = read_seconds
        self._shares: dict[bytes, _Share] = {}

    async def read(self, request: Request, body: Body) -> None:
        """Read the body of a request to its end. Whatever happens, the caller must `release` it.

        Raises RefusedError: 413 for one that is too large, 429 while too much is held, 408 if it arrives too slowly.
        Raises ClientGoneError.
        """
        if (request.content_length or 0) > BODY_LIMIT:
            raise RefusedError(413, _TOO_LARGE)
        deadline, is_whole = 0.0, False
        parts: list[bytes] = []
        while not is_whole:
            if request.complete:
                parts.append(request.take())
                is_whole = True
            else:
                deadline = deadline or asyncio.get_running_loop().time() + self._read_seconds
                try:
                    async with asyncio.timeout_at(deadline):
                        parts.append(await request.receive())
                except TimeoutError as error:
                    raise RefusedError(408, f"the body took more than {self._read_seconds:.0f} s") from error
                is_whole = not parts[-1]
            size = len(parts[-1])
            body.size += size
            self.size += size
            if body.share is not None:
                body.share.size += size
            elif body.size >= HEAD or is_whole:
                body.namespace = namespace_of(b"".join(parts))
                body.share = self._shares.setdefault(body.namespace, _Share())
                body.share.bodies += 1
                body.share.size += body.size
            if body.size > BODY_LIMIT:
                raise RefusedError(413, _TOO_LARGE)
            if body.share is not None and body.share.size > self._limit_of_namespace:
                text = f"the reviews of namespace {body.namespace.decode()} in progress take too much memory{_LATER}"
                raise RefusedError(429, text, uid_of(b"".join(parts)))
            if self.size > self._limit:
                raise RefusedError(
                    429, f"the reviews in progress take too much memory{_LATER}", uid_of(b"".join(parts))
                )
        body.content = b"".join(parts)
        assert body.share is not None
        body.share.complete += 1
        body.complete = True
        self.complete += 1

    def release(self, body: Body) -> None:
        """The request is answered, so its body is not held any more."""
        self.size -= body.size
        share = body.share
        if share is None:
            return
        share.size -= body.size
        share.bodies -= 1
        if body.complete:
            share.complete -= 1
            self.complete -= 1
        if not share.bodies:
            del self._shares[body.namespace]


def namespace_of(content: bytes) -> bytes:
    """The namespace of a review that is not parsed; empty if its head names none."""
    found = _NAMESPACE.search(content, 0, HEAD)
    return found[1] if found else b""


def uid_of(content: bytes) -> str:
    """The uid of a review that is not parsed; empty if its head has none."""
    found = _UID.search(content, 0, HEAD)
    return found[1].decode(errors="replace") if found else ""
