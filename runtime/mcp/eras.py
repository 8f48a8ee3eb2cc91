"""PURE. The era of a POST, and whether the message is well formed in that era.

One endpoint serves the stateless era (2026-07-28) and the era of sessions (up to 2025-11-25). The body decides: a
request whose ``_meta`` names a protocol version belongs to the stateless era. Its checks follow the order of the
specification, and the first one that fails determines the answer.
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
# The member of params that the header Mcp-Name repeats.
_NAME_MEMBER = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
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
    """A well-formed message. ``id`` is None for a notification. ``modern``: it belongs to the stateless era."""

    method: str
    params: Mapping[str, Any]
    id: str | int | None
    modern: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a malformed message: an HTTP status and a JSON-RPC error."""

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
    """Read the body of one POST. ``headers`` maps lower-case names to all their values."""
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        message = 'the body must be a JSON-RPC 2.0 message: an object with "jsonrpc": "2.0"'
        return Refusal(400, jsonrpc.INVALID_REQUEST, message)
    identifier = body.get("id")
    readable = identifier if isinstance(identifier, str | int) and not isinstance(identifier, bool) else None
    method, params = body.get("method"), body.get("params", {})
    if method is None and ("result" in body or "error" in body):
        # A response. This server sends no requests, so it ignores responses.
        return Call("", {}, None, modern=False)
    if not isinstance(method, str):
        return Refusal(400, jsonrpc.INVALID_REQUEST, "/method: must be a string", readable)
    if "id" in body and readable is None:
        return Refusal(400, jsonrpc.INVALID_REQUEST, "/id: must be a string or an integer")
    if not isinstance(params, dict):
        return Refusal(400, jsonrpc.INVALID_PARAMS, "/params: must be an object", readable)
    raw_meta = params.get("_meta")
    meta: dict[str, Any] = raw_meta if isinstance(raw_meta, dict) else {}
    call = Call(method, params, readable, modern=True)
    if _VERSION in meta:
        return call if readable is None else _check_modern(call, meta, headers)
    version = _single(headers, "mcp-protocol-version")
    if version is None or version in LEGACY or (version < MODERN and version.startswith("202")):
        return Call(method, params, readable, modern=False)
    if readable is None:
        return call
    message = f'/params/_meta: missing required properties "{_VERSION}" and "{_CAPABILITIES}"'
    return Refusal(400, jsonrpc.INVALID_PARAMS, message, readable)


def _check_modern(call: Call, meta: Mapping[str, Any], headers: Mapping[str, Sequence[str]]) -> Call | Refusal:
    if not isinstance(meta.get(_VERSION), str) or not isinstance(meta.get(_CAPABILITIES), dict):
        message = f'/params/_meta: "{_VERSION}" must be a string and "{_CAPABILITIES}" an object'
        return Refusal(400, jsonrpc.INVALID_PARAMS, message, call.id)
    expected = {"MCP-Protocol-Version": meta[_VERSION], "Mcp-Method": call.method}
    for name, value in expected.items():
        if _single(headers, name.lower()) != value:
            message = f"Header mismatch: {name} must be sent once, with the value in the body"
            return Refusal(400, jsonrpc.HEADER_MISMATCH, message, call.id)
    member = _NAME_MEMBER.get(call.method, "")
    name_in_body = call.params.get(member)
    name_in_header = _single(headers, "mcp-name")
    if isinstance(name_in_body, str) and (
        name_in_header is None or param_headers.decode(name_in_header) != name_in_body
    ):
        message = f"Header mismatch: Mcp-Name must be sent once, with the value of /params/{member}"
        return Refusal(400, jsonrpc.HEADER_MISMATCH, message, call.id)
    if meta[_VERSION] != MODERN:
        data = {"supported": list(SERVED), "requested": meta[_VERSION]}
        return Refusal(400, jsonrpc.UNSUPPORTED_VERSION, "Unsupported protocol version", call.id, data)
    if call.method not in METHODS:
        return Refusal(404, jsonrpc.METHOD_NOT_FOUND, f"Method not found: {call.method}", call.id)
    return call


def _single(headers: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The value of a header that is sent once, or None. A repeated header gets a value that equals no other."""
    values = headers.get(name, ())
    if not values:
        return None
    return values[0].strip(" \t") if len(values) == 1 else "\0repeated"
