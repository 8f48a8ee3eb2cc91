"""PURE. MCP as a client speaks it to another server, in both eras: what is sent, and what an answer means."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import orjson

from runtime.backends.faults import CallError
from runtime.mcp import eras, jsonrpc, param_headers
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "answer",
    "introduction",
    "modern_headers",
    "notification",
    "passed_on",
    "request",
    "result",
    "routing",
    "signed",
    "speaks_modern",
]

Header = tuple[str, str]
CLIENT = {"name": "mcp-operator", "version": "0.1.0"}
_PLAIN = re.compile(r"[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?")
# JSON-RPC's own codes, which mean the same everywhere; the rest of its reserved range is MCP's, era by era.
_COMMON = frozenset(
    {jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST, jsonrpc.METHOD_NOT_FOUND, jsonrpc.INVALID_PARAMS,
     jsonrpc.INTERNAL_ERROR}
)  # fmt: skip
# Members of a result that are between the other server and us.
_OURS = ("resultType", "ttlMs", "cacheScope")
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"


def request(identifier: str, method: str, params: Mapping[str, Any]) -> bytes:
    """A request."""
    return orjson.dumps({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params})


def notification(method: str) -> bytes:
    """A notification without parameters."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method})


def introduction(version: str) -> dict[str, Any]:
    """The parameters of ``initialize``."""
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}


def signed(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with what the stateless era wants of every request."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": eras.MODERN,
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {**params, "_meta": meta}


def modern_headers(method: str) -> tuple[Header, ...]:
    """The headers that the stateless era wants of every request."""
    return (("MCP-Protocol-Version", eras.MODERN), ("Mcp-Method", method))


def routing(name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[Header, ...]:
    """The tool's name and the arguments that its schema wants in headers (``x-mcp-header``)."""
    return (("Mcp-Name", _encoded(name)), *_mirrored(schema, arguments))


def _mirrored(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[Header]:
    for mirror in param_headers.of_schema(schema):
        value: Any = arguments
        for step in mirror.path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, str):
            yield mirror.header, _encoded(value)
        elif isinstance(value, bool | int):
            yield mirror.header, orjson.dumps(value).decode()


def _encoded(value: str) -> str:
    """A header value; in base64 where it could not stand as it is, or would be taken for base64."""
    if _PLAIN.fullmatch(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def speaks_modern(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether an answer to ``server/discover`` is that of a server of the stateless era."""
    message = next((m for m in _messages(body, headers) if "result" in m or "error" in m), {})
    found, error = message.get("result"), message.get("error")
    versions: Any = found.get("supportedVersions") if isinstance(found, dict) else None
    if isinstance(error, dict) and error.get("code") == jsonrpc.UNSUPPORTED_VERSION:
        data = error.get("data")
        versions = data.get("supported") if isinstance(data, dict) else None
    return isinstance(versions, list) and eras.MODERN in versions


def answer(body: bytes, headers: Mapping[str, str], identifier: str) -> dict[str, Any] | None:
    """The response to a request, alone or in an event stream; None if there is none. An error may lack its id."""
    found = _messages(body, headers)
    return next((m for m in found if m.get("id") == identifier or ("error" in m and m.get("id") is None)), None)


def passed_on(error: Mapping[str, Any]) -> RpcError:
    """Another server's error as ours: codes that only its era knows become an internal error that names them."""
    code, message = error.get("code"), str(error.get("message") or "the backend answered an error")
    if not isinstance(code, int) or isinstance(code, bool):
        return RpcError(jsonrpc.INTERNAL_ERROR, message)
    if code in _COMMON or not -32768 <= code <= -32000:
        return RpcError(code, message, error.get("data"))
    return RpcError(jsonrpc.INTERNAL_ERROR, message, {"code": code})


def result(found: dict[str, Any], *, modern: bool) -> dict[str, Any]:
    """Another server's result of tools/call as ours. Raises CallError for one that nobody could use.

    ``structuredContent`` that is no object is wrapped for clients of the older eras.
    """
    if found.get("resultType", "complete") != "complete":
        message = "the backend's tool asks for more than its arguments, which is not passed on"
        raise CallError("unavailable", message)
    content = found.get("content", [])
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise CallError("bad_response", "the backend's result has no content")
    kept = {name: value for name, value in found.items() if name not in (*_OURS, "content", "_meta")}
    meta = (
        {k: v for k, v in found["_meta"].items() if k != _SERVER_INFO} if isinstance(found.get("_meta"), dict) else {}
    )
    if not modern and "structuredContent" in kept and not isinstance(kept["structuredContent"], dict):
        kept["structuredContent"] = {"result": kept["structuredContent"]}
    return {"content": content, **kept, **({"_meta": meta} if meta else {})}


def _messages(body: bytes, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    """The JSON-RPC messages of a body, in order; what is none is passed over."""
    stream = headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"
    found: list[dict[str, Any]] = []
    for text in _events(body) if stream else [body]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if isinstance(message, dict):
            found.append(message)
    return found


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event of a stream (HTML, server-sent events)."""
    data: list[bytes] = []
    for line in [*body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []
