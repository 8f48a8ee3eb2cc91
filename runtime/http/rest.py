"""The plain-HTTP doors: tools, prompts and operations for callers that do not speak MCP. The calls are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from runtime.app import methods
from runtime.backends.faults import CallError
from runtime.mcp import uri_templates
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from crd.published.entries import Operation
    from runtime.app.compiled import Serving
    from runtime.backends.dispatch import Backends
    from runtime.backends.http_mapping.replies import Reply
    from runtime.mcp.context import Context

__all__ = ["enter"]


async def enter(
    current: Serving, backends: Backends, request: web.Request, path: str, context: Context
) -> web.Response:
    """Answer a request to ``path`` below the endpoint; 404 where there is no door."""
    try:
        return await _entered(current, backends, request, path, context)
    except CallError as fault:
        return web.Response(
            body=fault.line(context.request_id).encode(), status=fault.door_status, content_type="application/json"
        )
    except RpcError as error:
        return _refused(400, error.message)


async def _entered(
    current: Serving, backends: Backends, request: web.Request, path: str, context: Context
) -> web.Response:
    if request.method == "POST" and path in current.doors:
        tool = current.doors[path]
        arguments = current.check(tool.name, _object(await request.read()))
        return _passed(await backends.ask(tool, arguments, context))
    if request.method == "GET":
        for prompt in current.catalog.prompts:
            if prompt.ingress_path == path:
                return web.Response(text=methods.rendered(prompt, dict(request.query)))
    for operation in current.catalog.operations:
        values = uri_templates.match(operation.ingress_path, path) if operation.method == request.method else None
        if values is not None:
            given = {**_parameters(operation, request), **values}
            body = await request.read() if operation.method in ("POST", "PUT", "PATCH") else None
            return _passed(await backends.operate(operation, given, body, context))
    return _refused(404, f"no {request.method} door at {path}")


def _parameters(operation: Operation, request: web.Request) -> dict[str, str]:
    """The values of query and header parameters, as far as they were sent."""
    found = {}
    for parameter in operation.parameters:
        sent = {"query": request.query, "header": request.headers}.get(parameter.place)
        if sent is not None and parameter.name in sent:
            found[parameter.name] = sent[parameter.name]
    return found


def _passed(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type} if reply.content_type else {}
    return web.Response(body=reply.body, status=reply.status, headers=headers)


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"code": "invalid_request", "message": message}}, status=status)


def _object(body: bytes) -> dict[str, Any]:
    try:
        arguments = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise CallError("invalid_arguments", f"the body is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise CallError("invalid_arguments", "the body is a JSON object with the arguments")
    return arguments
