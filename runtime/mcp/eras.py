"""PURE. Which era a POST belongs to, and whether it is well formed there.

One endpoint serves the stateless revision and the ones with sessions. The body decides: only a request whose ``_meta``
names a protocol version is of the stateless era. There the checks follow the order of the specification, and the first
that fails answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.mcp import jsonrpc, param_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LEGACY", "METHODS", "MODERN", "SERVED", "Call", "Refusal", "classify"]

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
SERVED = (MODERN, *LEGACY)

_VERSION = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
METHODS = frozenset(
    {
        "server/discover",
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "completion/complete",
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed message. ``id`` is None for a notification; ``modern`` tells the era."""

    method: str
    params: Mapping[str, Any]
    id: str | int | None
    modern: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to answer instead: an HTTP status and a JSON-RPC error."""

    status: int
    code: int
    message: str
    id: str | int | None = None
    data: Any = None

    @property
    def body(self) -> bytes:
        """The JSON-RPC error."""
        return jsonrpc.error(self.id, self.code, self.message, self.data)


def classify(body: Any, headers: Mapping[str, Sequence[str]]) -> Call | Refusal:
    """Read one POST. ``headers`` maps lower-case names to all their values."""
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        return Refusal(400, jsonrpc.INVALID_REQUEST, "the body is not one JSON-RPC 2.0 message")
    identifier = body.get("id")
    readable = identifier if isinstance(identifier, str | int) and not isinstance(identifier, bool) else None
    method, params = body.get("method"), body.get("params", {})
    if method is None and ("result" in body or "error" in body):
        # A response to a request of ours; we send none, so there is nothing to do with it.
        return Call("", {}, None, modern=False)
    if not isinstance(method, str) or ("id" in body and readable is None):
        return Refusal(400, jsonrpc.INVALID_REQUEST, "method is a string, id a string or an integer", readable)
    if not isinstance(params, dict):
        return Refusal(400, jsonrpc.INVALID_PARAMS, "params is an object", readable)
    stated = params.get("_meta")
    meta: dict[str, Any] = stated if isinstance(stated, dict) else {}
    call = Call(method, params, readable, modern=True)
    if _VERSION in meta:
        return call if readable is None else _modern(call, meta, headers)
    version = _one(headers, "mcp-protocol-version")
    if version is None or version in LEGACY or (version < MODERN and version.startswith("202")):
        return Call(method, params, readable, modern=False)
    if readable is None:
        return call
    missing = f"params._meta lacks {_VERSION}, {_CAPABILITIES}"
    return Refusal(400, jsonrpc.INVALID_PARAMS, missing, readable)


def _modern(call: Call, meta: Mapping[str, Any], headers: Mapping[str, Sequence[str]]) -> Call | Refusal:
    if not isinstance(meta.get(_VERSION), str) or not isinstance(meta.get(_CAPABILITIES), dict):
        message = f"params._meta lacks {_VERSION} (string) or {_CAPABILITIES} (object)"
        return Refusal(400, jsonrpc.INVALID_PARAMS, message, call.id)
    expected = {"MCP-Protocol-Version": meta[_VERSION], "Mcp-Method": call.method}
    for name, value in expected.items():
        if _one(headers, name.lower()) != value:
            message = f"Header mismatch: {name} does not match the body"
            return Refusal(400, jsonrpc.HEADER_MISMATCH, message, call.id)
    named = call.params.get(_NAMED_BY.get(call.method, ""))
    told = _one(headers, "mcp-name")
    if isinstance(named, str) and (told is None or param_headers.decoded(told) != named):
        message = f"Header mismatch: Mcp-Name does not match params.{_NAMED_BY[call.method]}"
        return Refusal(400, jsonrpc.HEADER_MISMATCH, message, call.id)
    if meta[_VERSION] != MODERN:
        data = {"supported": list(SERVED), "requested": meta[_VERSION]}
        return Refusal(400, jsonrpc.UNSUPPORTED_VERSION, "Unsupported protocol version", call.id, data)
    if call.method not in METHODS:
        return Refusal(404, jsonrpc.METHOD_NOT_FOUND, f"Method not found: {call.method}", call.id)
    return call


def _one(headers: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The value of a header that stands once; a repeated one counts as wrong."""
    values = headers.get(name, ())
    if not values:
        return None
    return values[0].strip(" \t") if len(values) == 1 else "\0repeated"
