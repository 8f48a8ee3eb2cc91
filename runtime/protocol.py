"""The methods of MCP, for both eras: from a call to the bytes of its result.

Knows no HTTP and no session; `runtime.server` brings the calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from crd import template
from runtime import ladder, mapping, messages, serving, shaping
from runtime.faults import CallError
from runtime.messages import RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd import published
    from runtime.ladder import Call
    from runtime.serving import Serving
    from runtime.upstream import Upstream

__all__ = ["Protocol", "initialized", "rendered"]

_CAPABILITIES: dict[str, Any] = {"tools": {}, "prompts": {}, "resources": {}}
MAX_VALUE = 8192


def initialized(current: Serving, version: str) -> bytes:
    """The result of ``initialize`` in the version that was agreed on."""
    info = serving.server_info(current.catalog.server)
    return orjson.dumps({"protocolVersion": version, "capabilities": _CAPABILITIES, "serverInfo": info})


def rendered(prompt: published.Prompt, arguments: Mapping[str, Any]) -> str:
    """The prompt's text. Raises RpcError for a missing or unsuitable argument."""
    values: dict[str, str] = {}
    for variable in prompt.variables:
        value = arguments.get(variable.name, variable.default)
        if value is None and variable.required:
            raise RpcError(messages.INVALID_PARAMS, f'argument "{variable.name}" of prompt {prompt.name} is required')
        if value is not None and (not isinstance(value, str) or len(value) > MAX_VALUE):
            raise RpcError(messages.INVALID_PARAMS, f'argument "{variable.name}" is a string of at most {MAX_VALUE}')
        values[variable.name] = value or ""
    return template.render(prompt.template, values)


class Protocol:
    """``request_id`` of a call is ours, for the log and for what a failed call tells."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def answer(self, current: Serving, call: Call, version: str, request_id: str) -> bytes:
        """The result of a request, as JSON. Raises RpcError."""
        if (call.method, call.modern) in current.lists:
            if call.params.get("cursor") is not None:
                raise RpcError(messages.INVALID_PARAMS, "there is one page only; leave cursor out")
            return current.lists[call.method, call.modern]
        match call.method:
            case "tools/call":
                result = await self._tool(current, call, version, request_id)
            case "prompts/get":
                result = _prompt(current, call)
            case "resources/read":
                result = await self._resource(current, call)
            case "server/discover" if call.modern:
                result = _discovered()
            case "ping" if not call.modern:
                return b"{}"
            case _:
                raise RpcError(messages.METHOD_NOT_FOUND, f"Method not found: {call.method}")
        return orjson.dumps(_completed(current, result) if call.modern else result)

    async def _tool(self, current: Serving, call: Call, version: str, request_id: str) -> dict[str, Any]:
        name, arguments = call.params.get("name"), call.params.get("arguments", {})
        tool = current.tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise RpcError(messages.INVALID_PARAMS, f"Unknown tool: {name}")
        if not isinstance(arguments, dict):
            raise RpcError(messages.INVALID_PARAMS, "arguments is an object")
        try:
            current.check(tool.name, arguments)
            request = mapping.of_tool(tool, arguments)
            reply = await self._upstream.send(request, current.catalog.settings.request_timeout)
            return shaping.success(reply, modern=call.modern)
        except CallError as fault:
            # Since 2025-11-25 the model itself is told of bad arguments, so that it can mend them.
            if fault.code == "invalid_arguments" and version < "2025-11-25":
                raise RpcError(messages.INVALID_PARAMS, fault.message) from fault
            return shaping.failure(fault, request_id)

    async def _resource(self, current: Serving, call: Call) -> dict[str, Any]:
        uri = call.params.get("uri")
        if not isinstance(uri, str):
            raise RpcError(messages.INVALID_PARAMS, "uri is a string")
        cached = {"ttlMs": 0, "cacheScope": "private"} if call.modern else {}
        inline = current.resources.get(uri)
        if inline is not None:
            part = {"text": inline.text} if inline.blob is None else {"blob": inline.blob}
            if call.modern:
                cached["ttlMs"] = serving.LIST_TTL_MS
            return {"contents": [{"uri": uri, "mimeType": inline.mime_type, **part}], **cached}
        found = current.operation(uri)
        if found is None:
            code = messages.INVALID_PARAMS if call.modern else messages.LEGACY_NOT_FOUND
            raise RpcError(code, "Resource not found", {"uri": uri})
        operation, values = found
        try:
            request = mapping.of_operation(operation, values)
            reply = await self._upstream.send(request, current.catalog.settings.request_timeout)
        except CallError as fault:
            raise _read_failed(fault, uri, modern=call.modern) from fault
        return {"contents": shaping.contents(uri, reply, operation.mime_type), **cached}


def _read_failed(fault: CallError, uri: str, *, modern: bool) -> RpcError:
    if fault.code == "not_found":
        code = messages.INVALID_PARAMS if modern else messages.LEGACY_NOT_FOUND
        return RpcError(code, "Resource not found", {"uri": uri})
    if fault.code == "invalid_arguments":
        return RpcError(messages.INVALID_PARAMS, fault.message, {"uri": uri})
    return RpcError(messages.INTERNAL_ERROR, fault.message, {"uri": uri, "code": fault.code})


def _prompt(current: Serving, call: Call) -> dict[str, Any]:
    name, arguments = call.params.get("name"), call.params.get("arguments", {})
    prompt = current.prompts.get(name) if isinstance(name, str) else None
    if prompt is None:
        raise RpcError(messages.INVALID_PARAMS, f"Unknown prompt: {name}")
    if not isinstance(arguments, dict):
        raise RpcError(messages.INVALID_PARAMS, "arguments is an object")
    content = {"type": "text", "text": rendered(prompt, arguments)}
    described = {"description": prompt.description} if prompt.description else {}
    return {**described, "messages": [{"role": "user", "content": content}]}


def _discovered() -> dict[str, Any]:
    return {
        "supportedVersions": list(ladder.SERVED),
        "capabilities": _CAPABILITIES,
        "ttlMs": serving.LIST_TTL_MS,
        "cacheScope": "private",
    }


def _completed(current: Serving, result: dict[str, Any]) -> dict[str, Any]:
    meta = {"io.modelcontextprotocol/serverInfo": serving.server_info(current.catalog.server)}
    return {"resultType": "complete", **result, "_meta": meta}
