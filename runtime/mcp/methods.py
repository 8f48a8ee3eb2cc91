"""PURE. The methods of MCP in both eras: from a call to the bytes of its result.

Knows neither HTTP nor sessions: `runtime.http.endpoint` reads the calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson

from crd.published.entries import HttpResource
from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import replies
from runtime.mcp import eras, jsonrpc, lists, numbers, prompts, subscriptions, uri_templates
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.entries import Operation, Tool
    from runtime.app.compiled import CompiledCatalog
    from runtime.http.exchange import Reply
    from runtime.mcp.context import Context
    from runtime.mcp.eras import Call
    from runtime.state.limits import Verdict

__all__ = ["Backends", "Methods", "initialize"]

_CAPABILITIES: dict[str, Any] = {"tools": {}, "prompts": {}, "resources": {}, "completions": {}}
# Of a server whose clients can listen.
_NOTIFYING = {**_CAPABILITIES, **subscriptions.CAPABILITIES}


class Backends(Protocol):
    """Calls to backends under the policies of their entries. Every method may raise CallError."""

    async def call(self, tool: Tool, arguments: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The result of tools/call. Raises RpcError for an error of a backend that speaks MCP."""
        ...

    async def read(self, resource: HttpResource, values: Mapping[str, str], context: Context) -> Reply:
        """The content of a resource."""
        ...

    async def operate(
        self, operation: Operation, values: Mapping[str, str], body: bytes | None, context: Context
    ) -> Reply:
        """The backend's reply, whatever its status."""
        ...


def initialize(compiled: CompiledCatalog, version: str, *, notifies: bool) -> bytes:
    """The result of ``initialize`` for the negotiated version. ``notifies``: the client may listen in a session."""
    info = lists.implementation(compiled.catalog, version)
    capabilities = _NOTIFYING if notifies else _CAPABILITIES
    result = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}
    return orjson.dumps({**result, **_instructions(compiled)})


class Methods:
    """Answers calls. ``version`` is the protocol version of the session, or in the stateless era of the message."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def answer(self, compiled: CompiledCatalog, call: Call, version: str, context: Context) -> bytes:
        """The result of a request, as JSON. Raises RpcError."""
        if call.method in lists.LISTS:
            return _list(compiled, call)
        match call.method:
            case "tools/call":
                result = await self._call_tool(compiled, call, version, context)
            case "prompts/get":
                result = _get_prompt(compiled, call, version)
            case "resources/read":
                result = await self._read_resource(compiled, call, context)
            case "completion/complete":
                result = _complete(compiled, call)
            case "server/discover" if call.modern:
                result = {
                    "supportedVersions": list(eras.SERVED),
                    "capabilities": _NOTIFYING,
                    **_instructions(compiled),
                    **_caching(lists.list_ttl_ms(compiled.catalog), call),
                }
            case "ping" if not call.modern:
                return b"{}"
            case _:
                raise RpcError(jsonrpc.METHOD_NOT_FOUND, f"Method not found: {call.method}")
        return _to_json(compiled, call, result)

    def report_rate_limit(self, compiled: CompiledCatalog, call: Call, verdict: Verdict, context: Context) -> bytes:
        """The result of a tools/call that exceeds the rate limit of its tool."""
        message = f"the rate limit of this tool is exceeded; retry in {verdict.retry_after} s"
        fault = CallError("rate_limited", message, is_transient=True, retry_after=verdict.retry_after)
        context.record.fail(fault)
        return _to_json(compiled, call, replies.error_result(fault, context.request_id))

    async def _call_tool(self, compiled: CompiledCatalog, call: Call, version: str, context: Context) -> dict[str, Any]:
        name = _text(call.params, "name", "/params")
        tool = compiled.tools.get(name)
        if tool is None:
            raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown tool: {name}")
        arguments = _arguments(call)
        try:
            result = await self._backends.call(tool, compiled.check_arguments(tool, arguments), context)
        except CallError as fault:
            context.record.fail(fault)
            # Since 2025-11-25 invalid arguments are reported to the model, which can correct them.
            if fault.code == "invalid_arguments" and version < "2025-11-25":
                raise RpcError(jsonrpc.INVALID_PARAMS, fault.message) from fault
            return replies.error_result(fault, context.request_id)
        context.record.is_error = result.get("isError") is True
        return result

    async def _read_resource(self, compiled: CompiledCatalog, call: Call, context: Context) -> dict[str, Any]:
        uri = _text(call.params, "uri", "/params")
        if len(uri) > uri_templates.MAX_URI:
            message = f"/params/uri: must have at most {uri_templates.MAX_URI} characters"
            raise RpcError(jsonrpc.INVALID_PARAMS, message)
        inline = compiled.resources.get(uri)
        if inline is not None:
            return {"contents": [prompts.embed(inline)], **_caching(lists.list_ttl_ms(compiled.catalog), call)}
        match = compiled.find_backed_resource(uri)
        if match is None:
            raise _not_found(call, uri)
        entry, values = match
        try:
            if isinstance(entry, HttpResource):
                reply = await self._backends.read(entry, values, context)
            else:
                reply = await self._backends.operate(entry, values, None, context)
                if not 200 <= reply.status < 300:
                    raise faults.from_reply(reply, idempotent=True)
        except CallError as fault:
            context.record.fail(fault)
            if fault.code == "not_found":
                raise _not_found(call, uri) from fault
            if fault.code == "invalid_arguments":
                raise RpcError(jsonrpc.INVALID_PARAMS, fault.message, {"uri": uri}) from fault
            data = {"uri": uri, **orjson.loads(fault.to_json(context.request_id))["error"]}
            raise RpcError(jsonrpc.INTERNAL_ERROR, fault.message, data) from fault
        return {"contents": replies.resource_contents(uri, reply, entry.mime_type), **_caching(0, call)}


def _list(compiled: CompiledCatalog, call: Call) -> bytes:
    cursor = call.params.get("cursor")
    page = None
    if cursor is None or isinstance(cursor, str):
        page = compiled.pages.get((call.method, call.modern, cursor))
    if page is None:
        message = "/params/cursor: invalid cursor; list again without a cursor, because the catalog may have changed"
        raise RpcError(jsonrpc.INVALID_PARAMS, message)
    return page


def _not_found(call: Call, uri: str) -> RpcError:
    code = jsonrpc.INVALID_PARAMS if call.modern else jsonrpc.LEGACY_NOT_FOUND
    return RpcError(code, "Resource not found", {"uri": uri})


def _get_prompt(compiled: CompiledCatalog, call: Call, version: str) -> dict[str, Any]:
    name = _text(call.params, "name", "/params")
    prompt = compiled.prompts.get(name)
    if prompt is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown prompt: {name}")
    return prompts.get(compiled, prompt, _arguments(call), version)


def _complete(compiled: CompiledCatalog, call: Call) -> dict[str, Any]:
    ref, argument = call.params.get("ref"), call.params.get("argument")
    if not isinstance(ref, dict):
        raise RpcError(jsonrpc.INVALID_PARAMS, "/params/ref: must be an object")
    if not isinstance(argument, dict):
        raise RpcError(jsonrpc.INVALID_PARAMS, "/params/argument: must be an object")
    name, prefix = argument.get("name"), argument.get("value")
    if not isinstance(name, str) or not isinstance(prefix, str):
        raise RpcError(jsonrpc.INVALID_PARAMS, "/params/argument: name and value must be strings")
    if ref.get("type") == "ref/resource":
        uri = _text(ref, "uri", "/params/ref")
        if not compiled.has_resource(uri):
            raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown resource: {uri}")
        return prompts.complete((), prefix)
    if ref.get("type") != "ref/prompt":
        raise RpcError(jsonrpc.INVALID_PARAMS, "/params/ref/type: must be ref/prompt or ref/resource")
    title = _text(ref, "name", "/params/ref")
    prompt = compiled.prompts.get(title)
    if prompt is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown prompt: {title}")
    variable = next((each for each in prompt.variables if each.name == name), None)
    if variable is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f'prompt "{prompt.name}" has no argument "{name}"')
    return prompts.complete(variable.enum, prefix)


def _text(members: Mapping[str, Any], name: str, path: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise RpcError(jsonrpc.INVALID_PARAMS, f"{path}/{name}: must be a string")
    return value


def _arguments(call: Call) -> dict[str, Any]:
    arguments = call.params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise RpcError(jsonrpc.INVALID_PARAMS, "/params/arguments: must be an object")
    return arguments


def _instructions(compiled: CompiledCatalog) -> dict[str, str]:
    text = compiled.catalog.settings.info.instructions
    return {"instructions": text} if text else {}


def _caching(ttl_ms: int, call: Call) -> dict[str, Any]:
    return {"ttlMs": ttl_ms, "cacheScope": "private"} if call.modern else {}


def _to_json(compiled: CompiledCatalog, call: Call, result: dict[str, Any]) -> bytes:
    """The result as JSON, in the stateless era with the members that every result carries there."""
    if not call.modern:
        return numbers.dumps(result)
    given = result.get("_meta")
    meta = {**given, "io.modelcontextprotocol/serverInfo": compiled.server_info} if given else compiled.modern_meta
    return numbers.dumps({"resultType": "complete", **result, "_meta": meta})
