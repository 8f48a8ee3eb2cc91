"""PURE. MCP as a client of a backend speaks it, in both eras: what is sent, and what a reply means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from runtime import VERSION
from runtime.backends import faults
from runtime.backends.faults import CallError, Fate
from runtime.backends.http_mapping import json_texts, replies
from runtime.mcp import eras, json_schema, jsonrpc, numbers, param_headers
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.published.entries import Tool
    from runtime.http.exchange import Header, Reply

__all__ = [
    "ResponseWatch",
    "capabilities",
    "capabilities_of",
    "find_response",
    "initialize_params",
    "modern_headers",
    "routing_headers",
    "speaks_modern",
    "tool_result",
    "translate_error",
    "with_meta",
]

CLIENT = {"name": "mcp-operator", "version": VERSION}
# The codes of JSON-RPC itself, which mean the same in both eras. The rest of the reserved range is MCP's, per era.
_COMMON = frozenset(
    {jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST, jsonrpc.METHOD_NOT_FOUND, jsonrpc.INVALID_PARAMS,
     jsonrpc.INTERNAL_ERROR}
)  # fmt: skip
# What a server may offer.
_OFFERS = frozenset({"tools", "prompts", "resources"})
# Members of a result that concern only the backend and this client.
_HOP_MEMBERS = ("resultType", "ttlMs", "cacheScope")
# What the content blocks of each type must have, as strings.
_BLOCKS = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("uri", "name"),
}
# Prefixes of members of _meta that only a server itself may set.
_RESERVED = ("io.modelcontextprotocol/", "mcp.example.com/")


def initialize_params(version: str) -> dict[str, Any]:
    """The params of ``initialize``."""
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}


def with_meta(params: Mapping[str, Any], traceparent: str = "") -> dict[str, Any]:
    """Params with the ``_meta`` that the stateless era requires of every request, and the trace that they belong to."""
    meta: dict[str, Any] = {"traceparent": traceparent} if traceparent else {}
    meta |= {
        "io.modelcontextprotocol/protocolVersion": eras.MODERN,
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {**params, "_meta": meta}


def modern_headers(method: str) -> tuple[Header, ...]:
    """The headers that the stateless era requires of every request."""
    return (("MCP-Protocol-Version", eras.MODERN), ("Mcp-Method", method))


def routing_headers(name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[Header, ...]:
    """The tool's name, and the arguments that its schema repeats in headers (``x-mcp-header``)."""
    return (("Mcp-Name", param_headers.encode(name)), *param_headers.build(schema, arguments))


def speaks_modern(reply: Reply) -> bool:
    """Whether a reply to ``server/discover`` comes from a server of the stateless era."""
    message = next((m for m, _ in _messages(reply) if "result" in m or "error" in m), {})
    result, error = message.get("result"), message.get("error")
    versions: Any = result.get("supportedVersions") if isinstance(result, dict) else None
    if isinstance(error, dict) and error.get("code") == jsonrpc.UNSUPPORTED_VERSION:
        data = error.get("data")
        versions = data.get("supported") if isinstance(data, dict) else None
    return isinstance(versions, list) and eras.MODERN in versions


def capabilities(result: Any) -> frozenset[str]:
    """What a server offers, by its result of ``initialize`` or ``server/discover``."""
    declared = result.get("capabilities") if isinstance(result, dict) else None
    return _OFFERS & declared.keys() if isinstance(declared, dict) else frozenset()


def capabilities_of(reply: Reply) -> frozenset[str]:
    """What a server offers, by its reply to ``server/discover``."""
    return next((capabilities(m["result"]) for m, _ in _messages(reply) if "result" in m), frozenset())


def find_response(reply: Reply, identifier: str, *, exact: bool = False) -> tuple[dict[str, Any], str] | None:
    """The response to a request, and its text; or None. An error may lack its id.

    With ``exact``, numbers that a double rounds are `Decimal`.
    """
    return next((found for found in _messages(reply, exact=exact) if _answers(found[0], identifier)), None)


def translate_error(error: Mapping[str, Any]) -> RpcError:
    """A backend's error for our client. A code that only one era defines becomes an internal error with that code.

    Data that is nested too deep is left out.
    """
    code, message, data = error.get("code"), error.get("message"), error.get("data")
    is_text = message and not isinstance(message, dict | list)
    message = str(message) if is_text else "the backend answered with an error"
    if not isinstance(code, int) or isinstance(code, bool):
        return RpcError(jsonrpc.INTERNAL_ERROR, message)
    if code in _COMMON or not -32768 <= code <= -32000:
        return RpcError(code, message, data if replies.depth(data) <= json_schema.MAX_DEPTH else None)
    return RpcError(jsonrpc.INTERNAL_ERROR, message, {"code": code})


def tool_result(result: dict[str, Any], tool: Tool, *, modern: bool, request_id: str, text: str = "") -> dict[str, Any]:
    """A backend's result of tools/call for our client. Raises CallError for one that no client can use.

    ``text`` is the message that holds the result: ``structuredContent`` keeps its digits.

    ``structuredContent`` is held to the tool's outputSchema. A result that does not match it becomes an ``isError``
    result with the backend's content; with onSchemaMismatch Observe, only its structuredContent is left out. In the era
    of sessions ``structuredContent`` must be an object; any other value is wrapped. Members of ``_meta`` with a prefix
    of MCP or of this project are removed, in content blocks too: a client believes that this server set them. A content
    block that MCP does not know becomes text, because a client that meets it loses the whole result.
    """
    if result.get("resultType", "complete") != "complete":
        message = "the backend's tool requests input from its client, which this server does not pass on"
        raise CallError("bad_response", message, Fate.UNKNOWN)
    if replies.depth(result) > json_schema.MAX_DEPTH:
        message = f"the backend's result is nested deeper than {json_schema.MAX_DEPTH} levels"
        raise faults.bad_response(200, message, idempotent=tool.idempotent)
    content = result.get("content", [])
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        message = "/content of the backend's result must be a list of objects"
        raise faults.bad_response(200, message, idempotent=tool.idempotent)
    if not isinstance(result.get("isError", False), bool):
        message = "/isError of the backend's result must be a boolean"
        raise faults.bad_response(200, message, idempotent=tool.idempotent)
    kept = {name: value for name, value in result.items() if name not in _HOP_MEMBERS}
    if tool.output_schema is not None:
        found = "/structuredContent is missing"
        if "structuredContent" in kept:
            found = replies.find_output_faults(tool.output_schema, kept["structuredContent"]) or ""
        if found:
            kept.pop("structuredContent", None)
            if not kept.get("isError") and tool.policy.response.on_schema_mismatch != "Observe":
                message = f"the result does not match the outputSchema: {found}"
                fault = faults.bad_response(200, message, idempotent=tool.idempotent)
                kept = {**replies.error_result(fault, request_id), "_meta": kept.get("_meta")}
                content = [*kept["content"], *content]
    if "structuredContent" in kept:
        value = kept["structuredContent"]
        exact = orjson.Fragment(json_texts.render(text, value, "/result/structuredContent")) if text else value
        kept["structuredContent"] = exact if modern or isinstance(value, dict) else {"result": exact}
    for block in content:
        _clean_meta(block)
        if isinstance(block.get("resource"), dict):
            _clean_meta(block["resource"])
    kept["content"] = [_readable(block) for block in content]
    _clean_meta(kept)
    return kept


def _readable(block: dict[str, Any]) -> dict[str, Any]:
    """A content block as it is, if it has what its type requires, else as a text that holds its JSON."""
    kind, resource = block.get("type"), block.get("resource")
    required = _BLOCKS.get(kind) if isinstance(kind, str) else None
    if required is not None and all(isinstance(block.get(name), str) for name in required):
        return block
    if kind == "resource" and isinstance(resource, dict) and isinstance(resource.get("uri"), str):
        contents = [resource[name] for name in ("text", "blob") if name in resource]
        if len(contents) == 1 and isinstance(contents[0], str):
            return block
    return {"type": "text", "text": numbers.dumps(block).decode()}


def _clean_meta(holder: dict[str, Any]) -> None:
    """Remove reserved members of ``_meta``, and ``_meta`` itself if it is empty or not an object."""
    meta = holder.pop("_meta", None)
    if isinstance(meta, dict):
        cleaned = {name: value for name, value in meta.items() if not name.lower().startswith(_RESERVED)}
        if cleaned:
            holder["_meta"] = cleaned


class ResponseWatch:
    """Looks for the response to a request in an event stream while it arrives, in time linear in its size."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._line = bytearray()
        self._data: list[bytes] = []
        self._ended_with_cr = False

    def ends(self, chunk: bytes) -> bool:
        """Take the next part of the stream. Whether it completes the response."""
        if b"\r" in chunk or self._ended_with_cr:
            # A line ends with any of both, or with the one after the other.
            text = chunk.removeprefix(b"\n") if self._ended_with_cr else chunk
            self._ended_with_cr = chunk.endswith(b"\r")
            chunk = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._line += line
            whole = bytes(self._line)
            self._line.clear()
            if whole.startswith(b"data:"):
                self._data.append(whole[5:].removeprefix(b" "))
            elif not whole and self._data:
                event = b"\n".join(self._data)
                self._data.clear()
                if self._is_response(event):
                    return True
        self._line += rest
        return False

    def _is_response(self, event: bytes) -> bool:
        try:
            message = numbers.loads_reply(event.decode(), exact=False)
        except ValueError:
            return False
        return isinstance(message, dict) and _answers(message, self._identifier)


def _answers(message: dict[str, Any], identifier: str) -> bool:
    """Whether a message is the response to a request. An error may lack its id."""
    if "method" in message:
        # A request of the backend, whatever its id.
        return False
    return message.get("id") == identifier or ("error" in message and message.get("id") is None)


def _messages(reply: Reply, *, exact: bool = False) -> list[tuple[dict[str, Any], str]]:
    """The JSON-RPC messages of a body or an event stream, in order, and their texts. Anything else is ignored."""
    messages: list[tuple[dict[str, Any], str]] = []
    for data in _events(reply.body) if reply.media_type == "text/event-stream" else [reply.body]:
        try:
            text = data.decode()
            message = numbers.loads_reply(text, exact=exact)
        except ValueError:
            continue
        if isinstance(message, dict):
            messages.append((message, text))
    return messages


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event of a stream (HTML standard, server-sent events)."""
    data: list[bytes] = []
    for line in [*body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []
