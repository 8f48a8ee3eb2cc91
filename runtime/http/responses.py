"""HTTP responses that belong to no MCP method: JSON, errors and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from cluster.message import Response
from runtime.auth import oauth_metadata
from runtime.mcp import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.settings import Auth
    from runtime.auth.oauth_metadata import DeniedError, Resource
    from runtime.state.limits import Verdict

__all__ = [
    "access_denied",
    "empty_response",
    "json_response",
    "rpc_error",
    "service_unavailable",
    "text_response",
    "too_many_attempts",
    "too_many_requests",
    "too_many_streams",
]


JSON = "application/json; charset=utf-8"
EVENTS = "text/event-stream"
# A proxy must pass on each event when it comes.
UNBUFFERED = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
# Seconds until a client may try to open a stream again.
STREAM_PAUSE = 10


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with a JSON body."""
    return Response(status, body, JSON, dict(headers) if headers else {})


def text_response(status: int, text: str, headers: Mapping[str, str] | None = None, *, close: bool = False) -> Response:
    """A response with a line of text."""
    # What a client sent need not be UTF-8, and may be quoted.
    return Response(status, text.encode(errors="replace"), headers=dict(headers) if headers else {}, close=close)


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A response without a body."""
    return Response(status, content_type="", headers=dict(headers) if headers else {})


def rpc_error(
    identifier: str | int | None, code: int, message: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON-RPC error."""
    return json_response(jsonrpc.error(identifier, code, message), status, headers)


def service_unavailable(reason: str) -> Response:
    """503 with Retry-After."""
    return rpc_error(None, jsonrpc.OVERLOADED, f"{reason}; retry in 1 s", 503, {"Retry-After": "1"})


def too_many_requests(identifier: str | int | None, verdict: Verdict) -> Response:
    """429, with the time until the bucket holds a token again."""
    message = f"the rate limit of this {verdict.scope} is exceeded; retry in {verdict.retry_after} s"
    return rpc_error(identifier, jsonrpc.LIMITED, message, 429, {"Retry-After": str(verdict.retry_after)})


def too_many_streams(identifier: str | int | None, reason: str, status: int = 503) -> Response:
    """503 or 429 for a client that may open no further stream."""
    code = jsonrpc.LIMITED if status == 429 else jsonrpc.OVERLOADED
    message = f"{reason}; retry in {STREAM_PAUSE} s"
    return rpc_error(identifier, code, message, status, {"Retry-After": str(STREAM_PAUSE)})


def too_many_attempts(wait: int) -> Response:
    """429 for an address from which too many requests failed to authenticate."""
    message = f"too many failed attempts to authenticate; retry in {wait} s"
    return rpc_error(None, jsonrpc.LIMITED, message, 429, {"Retry-After": str(wait)})


def access_denied(error: DeniedError, auth: Auth, resource: Resource) -> Response:
    """400, 401 or 403, with a challenge that tells the client how to authenticate (RFC 6750, section 3)."""
    body = orjson.dumps({"error": error.error or "unauthorized", "error_description": error.message})
    return json_response(body, error.status, {"WWW-Authenticate": oauth_metadata.challenge(error, auth, resource)})
