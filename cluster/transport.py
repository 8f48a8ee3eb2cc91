"""The port to an API server: requests and watches as plain JSON, and its refusals.

Two adapters implement it: `cluster.pod` (with the mounted service account) and `cluster.kubeconfig` (through the
Kubernetes library). Tests bring a third.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

__all__ = [
    "ERROR_LIMIT",
    "EVENT_LIMIT",
    "JSON",
    "METADATA_LIST",
    "ApiError",
    "CredentialsError",
    "LongAnswerError",
    "LongEventError",
    "LostConnectionError",
    "MalformedAnswerError",
    "Transport",
    "answer_of",
    "error_of",
    "events_of",
]

REQUEST_TIMEOUT = 10.0
# Bytes of one watch event. etcd stores objects of 1.5 MiB; their JSON may be some times as long.
EVENT_LIMIT = 8 * 1024 * 1024
# Bytes that are read of a refusal. The longest is the message of a webhook.
ERROR_LIMIT = 1024 * 1024
JSON = "application/json"
# Items without spec and status; an API server that cannot leave them out answers with whole items.
METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"


class ApiError(Exception):
    """The API server refused a request with this status; ``reason`` and ``message`` are those of its Status."""

    def __init__(self, status: int, reason: str, message: str, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.body = body or {}


class CredentialsError(OSError):
    """The credentials cannot be read or refreshed now; nothing was sent. A later attempt may succeed."""


class LongAnswerError(OSError):
    """An answer is longer than the caller accepts, or compressed."""


class LostConnectionError(ConnectionError):
    """The connection ended, or what came is not HTTP, before an answer was complete."""


class MalformedAnswerError(OSError):
    """An answer is not JSON, as that of a proxy before the API server."""


class LongEventError(Exception):
    """A watch event is longer than `EVENT_LIMIT`; the watch cannot go on."""


class Transport(Protocol):
    """An authenticated connection to one API server."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = REQUEST_TIMEOUT,
    ) -> dict[str, Any]:
        """One request within ``timeout`` seconds. Raises ApiError, TimeoutError, or OSError without an answer."""
        ...

    async def fetch(
        self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = JSON, limit: int | None = None
    ) -> bytes:
        """The body of a GET, not decoded. Raises as `request`.

        With ``limit``, the answer may come from somebody else through the API server: it is not inflated, and one that
        has more bytes, or is compressed, raises LongAnswerError.
        """
        ...

    def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """A watch: entered once the API server has accepted it, it gives the events until the server ends it.

        Entering raises as `request`; iterating raises OSError when the connection breaks, TimeoutError after ``idle``
        seconds without a byte, and LongEventError.
        """
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


def answer_of(payload: bytes) -> dict[str, Any]:
    """The object that an answer consists of; another JSON value is in the member ``value``.

    Raises MalformedAnswerError.
    """
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        start = payload[:200].decode(errors="replace")
        raise MalformedAnswerError(f"the answer is not JSON; it begins with {start!r}") from error
    return answer if isinstance(answer, dict) else {"value": answer}


def error_of(status: int, payload: bytes) -> ApiError:
    """What a refusal says; the API server sends a Status, a proxy before it anything."""
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return ApiError(status, "Unknown", payload[:200].decode(errors="replace"))
    return ApiError(status, str(body.get("reason") or "Unknown"), str(body.get("message") or ""), body)


async def events_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Watch events out of the bytes of a response, however these are cut.

    Raises LongEventError as soon as more than `EVENT_LIMIT` bytes of one event have come.
    """
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            size += len(line)
            if size > EVENT_LIMIT:
                break
            parts.append(line)
            event = b"".join(parts)
            parts.clear()
            size = 0
            if event:
                yield orjson.loads(event)
        else:
            size += len(rest)
            parts.append(rest)
        if size > EVENT_LIMIT:
            raise LongEventError(f"a watch event is longer than {EVENT_LIMIT} bytes")
