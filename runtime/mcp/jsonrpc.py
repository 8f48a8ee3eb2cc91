"""PURE. JSON-RPC 2.0 messages as bytes, and the error codes that MCP uses."""

from __future__ import annotations

from typing import Any

import orjson

from runtime.mcp import numbers

__all__ = [
    "CANCELLED",
    "HEADER_MISMATCH",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "LEGACY_NOT_FOUND",
    "LIMITED",
    "METHOD_NOT_FOUND",
    "OVERLOADED",
    "PARSE_ERROR",
    "UNSUPPORTED_VERSION",
    "RpcError",
    "error",
    "request",
    "result",
    "result_head",
]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022
# Resource not found, up to 2025-11-25. Later versions use INVALID_PARAMS.
LEGACY_NOT_FOUND = -32002
# Outside the range that JSON-RPC reserves; the same number as the HTTP status.
LIMITED = 429
OVERLOADED = 503
# The client asked for it. MCP reserves no code; this is that of LSP.
CANCELLED = -32800


class RpcError(Exception):
    """The request is answered with this JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def request(identifier: str | None, method: str, params: Any = None) -> bytes:
    """A request, or without an id a notification."""
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    if identifier is not None:
        message["id"] = identifier
    message["method"] = method
    if params is not None:
        message["params"] = params
    return numbers.dumps(message)


def result(identifier: str | int, payload: bytes) -> bytes:
    """A response. ``payload`` is the result as JSON."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (orjson.dumps(identifier), payload)


def result_head(identifier: str | int) -> bytes:
    """A response up to its result, after which only a brace follows."""
    return b'{"jsonrpc":"2.0","id":' + orjson.dumps(identifier) + b',"result":'


def error(identifier: str | int | None, code: int, message: str, data: Any = None) -> bytes:
    """An error response. It has no id if the request had none that could be read."""
    body: dict[str, Any] = {"jsonrpc": "2.0"}
    if identifier is not None:
        body["id"] = identifier
    body["error"] = {"code": code, "message": message}
    if data is not None:
        body["error"]["data"] = data
    return numbers.dumps(body)
