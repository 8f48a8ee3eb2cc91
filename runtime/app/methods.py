"""The methods of MCP, for both eras: from a call to the bytes of its result.

Knows no HTTP and no session; `runtime.app.endpoint` brings the calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from crd.published.entries import HttpResource
from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import replies
from runtime.mcp import eras, jsonrpc, lists, prompts
from runtime.mcp.jsonrpc import RpcError
from runtime.mcp.prompts import rendered

if TYPE_CHECKING:
    from crd.published.entries import InlineResource, Operation
    from runtime.app.compiled import Backends, Serving
    from runtime.backends.http_mapping.replies import Reply
    from runtime.mcp.context import Context
    from runtime.mcp.eras import Call
    from runtime.state.limits import Verdict

__all__ = ["Protocol", "initialized", "rendered"]

_CAPABILITIES: dict[str, Any] = {"tools": {}, "prompts": {}, "resources": {}, "completions": {}}


def initialized(current: Serving, version: str) -> bytes:
    """The result of ``initialize`` in the version that was agreed on."""
    info = lists.implementation(current.catalog, version)
    told = {"protocolVersion": version, "capabilities": _CAPABILITIES, "serverInfo": info}
    return orjson.dumps({**told, **_instructions(current)})


class Protocol:
    """``version`` of a call is that of its session, or of its own words."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def answer(self, current: Serving, call: Call, version: str, context: Context) -> bytes:
        """The result of a request, as JSON. Raises RpcError."""
        if call.method in lists.LISTS:
            return _listed(current, call)
        match call.method:
            case "tools/call":
                result = await self._tool(current, call, version, context)
            case "prompts/get":
                result = _prompt(current, call, version)
            case "resources/read":
                result = await self._resource(current, call, context)
            case "completion/complete":
                result = _completion(current, call)
            case "server/discover" if call.modern:
                result = _discovered(current)
            case "ping" if not call.modern:
                return b"{}"
            case _:
                raise RpcError(jsonrpc.METHOD_NOT_FOUND, f"Method not found: {call.method}")
        return _dumped(current, call, result)

    def limited(self, current: Serving, call: Call, verdict: Verdict, context: Context) -> bytes:
        """The result of a tools/call that came too soon after others."""
        message = f"this tool is called too often; try again in {verdict.retry_after} s"
        fault = CallError("rate_limited", message, retryable=True, retry_after=verdict.retry_after)
        return _dumped(current, call, replies.failure(fault, context.request_id))

    async def _tool(self, current: Serving, call: Call, version: str, context: Context) -> dict[str, Any]:
        name, arguments = call.params.get("name"), call.params.get("arguments", {})
        tool = current.tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown tool: {name}")
        if not isinstance(arguments, dict):
            raise RpcError(jsonrpc.INVALID_PARAMS, "arguments is an object")
        try:
            return await self._backends.call(tool, current.check(tool.name, arguments), context)
        except CallError as fault:
            # Since 2025-11-25 the model itself is told of bad arguments, so that it can mend them.
            if fault.code == "invalid_arguments" and version < "2025-11-25":
                raise RpcError(jsonrpc.INVALID_PARAMS, fault.message) from fault
            return replies.failure(fault, context.request_id)

    async def _resource(self, current: Serving, call: Call, context: Context) -> dict[str, Any]:
        uri = call.params.get("uri")
        if not isinstance(uri, str):
            raise RpcError(jsonrpc.INVALID_PARAMS, "uri is a string")
        inline = current.resources.get(uri)
        if inline is not None:
            return {"contents": [_contents(inline)], **_cached(_ttl(current), call)}
        found = current.backed(uri)
        if found is None:
            raise _not_found(uri, modern=call.modern)
        entry, values = found
        try:
            reply = await self._read(entry, values, context)
            return {"contents": replies.contents(uri, reply, entry.mime_type), **_cached(0, call)}
        except CallError as fault:
            raise _read_failed(fault, uri, modern=call.modern) from fault

    async def _read(self, entry: HttpResource | Operation, values: dict[str, str], context: Context) -> Reply:
        if isinstance(entry, HttpResource):
            return await self._backends.read(entry, values, context)
        reply = await self._backends.operate(entry, values, None, context)
        if not 200 <= reply.status < 300:
            raise faults.of_status(reply.status, reply.body, idempotent=True, retry_after=reply.retry_after)
        return reply


def _listed(current: Serving, call: Call) -> bytes:
    cursor = call.params.get("cursor")
    page = None
    if cursor is None or isinstance(cursor, str):
        page = current.pages.get((call.method, call.modern, cursor))
    if page is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, "this cursor is of another list, or of a former one; begin anew")
    return page


def _contents(inline: InlineResource) -> dict[str, Any]:
    part = {"text": inline.text} if inline.blob is None else {"blob": inline.blob}
    return {"uri": inline.uri, "mimeType": inline.mime_type, **part}


def _not_found(uri: str, *, modern: bool) -> RpcError:
    code = jsonrpc.INVALID_PARAMS if modern else jsonrpc.LEGACY_NOT_FOUND
    return RpcError(code, "Resource not found", {"uri": uri})


def _read_failed(fault: CallError, uri: str, *, modern: bool) -> RpcError:
    if fault.code == "not_found":
        return _not_found(uri, modern=modern)
    if fault.code == "invalid_arguments":
        return RpcError(jsonrpc.INVALID_PARAMS, fault.message, {"uri": uri})
    return RpcError(jsonrpc.INTERNAL_ERROR, fault.message, {"uri": uri, "code": fault.code})


def _prompt(current: Serving, call: Call, version: str) -> dict[str, Any]:
    name, arguments = call.params.get("name"), call.params.get("arguments", {})
    prompt = current.prompts.get(name) if isinstance(name, str) else None
    if prompt is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown prompt: {name}")
    if not isinstance(arguments, dict):
        raise RpcError(jsonrpc.INVALID_PARAMS, "arguments is an object")
    return prompts.got(current, prompt, arguments, version)


def _completion(current: Serving, call: Call) -> dict[str, Any]:
    ref, argument = call.params.get("ref"), call.params.get("argument")
    if not isinstance(ref, dict) or not isinstance(argument, dict):
        raise RpcError(jsonrpc.INVALID_PARAMS, "ref and argument are objects")
    name, begun = argument.get("name"), argument.get("value")
    if not isinstance(name, str) or not isinstance(begun, str):
        raise RpcError(jsonrpc.INVALID_PARAMS, "name and value of argument are strings")
    if ref.get("type") == "ref/resource":
        uri = ref.get("uri")
        if not isinstance(uri, str) or not current.completes(uri):
            raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown resource: {uri}")
        return prompts.completed((), begun)
    prompt = current.prompts.get(str(ref.get("name"))) if ref.get("type") == "ref/prompt" else None
    if prompt is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown prompt: {ref.get('name')}")
    variable = next((each for each in prompt.variables if each.name == name), None)
    if variable is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f'prompt {prompt.name} has no argument "{name}"')
    return prompts.completed(variable.enum, begun)


def _discovered(current: Serving) -> dict[str, Any]:
    told = {"supportedVersions": list(eras.SERVED), "capabilities": _CAPABILITIES, **_instructions(current)}
    return {**told, "ttlMs": _ttl(current), "cacheScope": "private"}


def _instructions(current: Serving) -> dict[str, str]:
    text = current.catalog.settings.info.instructions
    return {"instructions": text} if text else {}


def _ttl(current: Serving) -> int:
    return round(current.catalog.settings.list_ttl * 1000)


def _cached(ttl: int, call: Call) -> dict[str, Any]:
    return {"ttlMs": ttl, "cacheScope": "private"} if call.modern else {}


def _dumped(current: Serving, call: Call, result: dict[str, Any]) -> bytes:
    if not call.modern:
        return orjson.dumps(result)
    meta = {**result.get("_meta", {}), "io.modelcontextprotocol/serverInfo": _served_by(current)}
    return orjson.dumps({"resultType": "complete", **result, "_meta": meta})


def _served_by(current: Serving) -> dict[str, str]:
    return lists.implementation(current.catalog, eras.MODERN)
