"""PURE. The era of a POST, and whether the message is well formed in that era.

One endpoint serves the stateless era (2026-07-28) and the era of sessions (up to 2025-11-25). The body decides: a
request whose ``_meta`` names a protocol version belongs to the stateless era. Its checks follow the order of the
specification, and the first one that fails determines the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from crd.clients import tolerances
from crd.clients.tolerances import Fault
from runtime.mcp import jsonrpc, param_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "LEGACY",
    "METHODS",
    "MODERN",
    "SERVED",
    "UNNAMED",
    "Call",
    "ConflictingHeaderError",
    "Refusal",
    "classify",
    "header",
]

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
SERVED = (MODERN, *LEGACY)
# The version of a message that names none: the header was introduced after it.
UNNAMED = "2025-03-26"

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
        "subscriptions/listen",
    }
)


class Call(NamedTuple):
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


class ConflictingHeaderError(Exception):
    """A header is sent several times with different values. The message names it."""


def header(
    headers: Mapping[str, Sequence[str]],
    name: str,
    expected: str | None = None,
    tolerated: frozenset[Fault] = tolerances.DEFAULT,
) -> str | None:
    """The value of a header, or None if it is absent. Equal values of a repeated header are one value.

    ``expected`` is the value in the body, if there is one: it may contain a comma, at which a proxy joins values.
    Raises ConflictingHeaderError.
    """
    sent = headers.get(name.lower(), ())
    if len(sent) == 1 and sent[0] == expected:
        # As nearly always.
        return expected
    lines = [_clean(line) for line in sent]
    if not lines:
        return None
    if Fault.REPEATED_HEADER not in tolerated and len(lines) > 1:
        raise ConflictingHeaderError(f"{name} must be sent once")
    if Fault.REPEATED_HEADER not in tolerated or lines == [expected]:
        return lines[0]
    # Empty elements of a list are ignored (RFC 9110, section 5.6.1.2).
    values = sorted({value for line in lines for value in _split(line, expected)} - {""}) or [""]
    if len(values) > 1:
        quoted = ", ".join(f'"{value[:80]}"' for value in values[:4])
        raise ConflictingHeaderError(f"{name} is sent with different values: {quoted}")
    return values[0]


def _clean(value: str) -> str:
    """A header value without the space around it, and without what cannot be written as UTF-8."""
    return value.strip(" \t").encode(errors="surrogateescape").decode(errors="replace")


def _split(line: str, expected: str | None) -> list[str]:
    """The values that a line joins: those between its commas, or several times the expected one."""
    if expected and "," in expected:
        repeated = (
            separator.join([expected] * ((len(line) + len(separator)) // (len(expected) + len(separator))))
            for separator in (",", ", ")
        )
        return [expected] if line and line in repeated else [line]
    return [value.strip(" \t") for value in line.split(",")]


def classify(
    body: Any, headers: Mapping[str, Sequence[str]], tolerated: frozenset[Fault] = tolerances.DEFAULT
) -> Call | Refusal:
    """Read the body of one POST. ``headers`` maps lower-case names to all their values.

    ``tolerated`` are the faults of clients that are read as what the client means.
    """
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
    may_be_null = Fault.NULL_MEMBER in tolerated
    if "id" in body and readable is None and not (identifier is None and may_be_null and _is_notification(method)):
        return Refusal(400, jsonrpc.INVALID_REQUEST, "/id: must be a string or an integer")
    if params is None and may_be_null:
        params = {}
    if not isinstance(params, dict):
        return Refusal(400, jsonrpc.INVALID_PARAMS, "/params: must be an object", readable)
    if params.get("arguments", {}) is None and may_be_null:
        params = {name: value for name, value in params.items() if name != "arguments"}
    if params.get("cursor") == "" and Fault.EMPTY_CURSOR in tolerated:
        params = {name: value for name, value in params.items() if name != "cursor"}
    raw_meta = params.get("_meta")
    meta: dict[str, Any] = raw_meta if isinstance(raw_meta, dict) else {}
    call = Call(method, params, readable, modern=True)
    try:
        if _VERSION in meta:
            return call if readable is None else _check_modern(call, meta, headers, tolerated)
        return _check_legacy(call, header(headers, "MCP-Protocol-Version", tolerated=tolerated))
    except ConflictingHeaderError as error:
        code = jsonrpc.HEADER_MISMATCH if _VERSION in meta else jsonrpc.INVALID_REQUEST
        return Refusal(400, code, f"Header mismatch: {error}", readable)


def _is_notification(method: str) -> bool:
    return method.startswith("notifications/")


def _check_legacy(call: Call, version: str | None) -> Call | Refusal:
    """A message without the ``_meta`` of the stateless era. Its header may still name that era, or an unknown one."""
    legacy = call._replace(modern=False)
    if version is None or version in LEGACY or (call.method == "initialize" and version != MODERN):
        # initialize negotiates the version in its params, whatever its header says.
        return legacy
    if call.id is None:
        return call
    if version == MODERN:
        hint = f" {MODERN} has no initialize; send server/discover." if call.method == "initialize" else ""
        message = f'/params/_meta: missing required properties "{_VERSION}" and "{_CAPABILITIES}".{hint}'
        return Refusal(400, jsonrpc.INVALID_PARAMS, message.removesuffix("."), call.id)
    return _unsupported(call, version)


def _unsupported(call: Call, version: str) -> Refusal:
    data = {"supported": list(SERVED), "requested": version}
    message = f'Unsupported protocol version "{version[:80]}"; supported are {", ".join(SERVED)}'
    return Refusal(400, jsonrpc.UNSUPPORTED_VERSION, message, call.id, data)


def _check_modern(
    call: Call, meta: Mapping[str, Any], headers: Mapping[str, Sequence[str]], tolerated: frozenset[Fault]
) -> Call | Refusal:
    version = meta[_VERSION]
    if not isinstance(version, str) or not isinstance(meta.get(_CAPABILITIES), dict):
        message = f'/params/_meta: "{_VERSION}" must be a string and "{_CAPABILITIES}" an object'
        return Refusal(400, jsonrpc.INVALID_PARAMS, message, call.id)
    member = _NAME_MEMBER.get(call.method, "")
    name = call.params.get(member)
    if (
        version == MODERN
        and call.method in METHODS
        and headers.get("mcp-protocol-version") == [version]
        and headers.get("mcp-method") == [call.method]
        and (not isinstance(name, str) or (headers.get("mcp-name") == [name] and param_headers.is_plain(name)))
    ):
        # As nearly always: every header is sent once, with the value of the body.
        return call
    expected = {"MCP-Protocol-Version": version, "Mcp-Method": call.method}
    if isinstance(name, str):
        expected["Mcp-Name"] = name
    for each, value in expected.items():
        sent = header(headers, each, value, tolerated)
        if each == "Mcp-Name" and sent is not None:
            sent = param_headers.decode(sent)
        is_tolerated = each == "MCP-Protocol-Version" and sent in LEGACY and Fault.LEGACY_VERSION_HEADER in tolerated
        if sent != value and not is_tolerated:
            source = f"/params/{member}" if each == "Mcp-Name" else "the body"
            problem = "is missing" if sent is None else f'is "{sent[:80]}"'
            message = f'Header mismatch: {each} {problem} and must be the value in {source}, "{value[:80]}"'
            return Refusal(400, jsonrpc.HEADER_MISMATCH, message, call.id)
    if version != MODERN:
        return _unsupported(call, version)
    if call.method not in METHODS:
        return Refusal(404, jsonrpc.METHOD_NOT_FOUND, f"Method not found: {call.method}", call.id)
    return call
