"""REST paths below the endpoint: tools, prompts and operations for clients that do not speak MCP.

They use the same calls as MCP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from runtime.backends.faults import CallError
from runtime.http import responses
from runtime.mcp import numbers, prompts, uri_templates
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from crd.published.entries import Operation
    from runtime.app.compiled import CompiledCatalog
    from runtime.backends.dispatch import Dispatcher
    from runtime.http.exchange import Reply
    from runtime.mcp.context import Context

__all__ = ["answer"]


async def answer(
    compiled: CompiledCatalog, dispatcher: Dispatcher, request: web.Request, path: str, body: bytes, context: Context
) -> web.Response:
    """Answer a request to ``path`` below the endpoint; 404 if nothing is served there."""
    try:
        if request.method == "POST" and path in compiled.rest_tools:
            tool = compiled.rest_tools[path]
            arguments = compiled.check_arguments(tool, _parse_arguments(body))
            return _relay(await dispatcher.forward(tool, arguments, context))
        if request.method == "GET":
            for prompt in compiled.catalog.prompts:
                if prompt.ingress_path == path:
                    return web.Response(text=prompts.render(prompt, dict(request.query)))
        for operation in compiled.catalog.operations:
            values = uri_templates.match(operation.ingress_path, path) if operation.method == request.method else None
            if values is not None:
                parameters = {**_parameters(operation, request), **values}
                sent = body if operation.method in ("POST", "PUT", "PATCH") else None
                return _relay(await dispatcher.operate(operation, parameters, sent, context))
    except CallError as fault:
        return responses.json_response(fault.to_json(context.request_id).encode(), fault.http_status)
    except RpcError as error:
        return _error(400, error.message)
    return _error(404, f"no tool, prompt or operation answers {request.method} {path}")


def _parse_arguments(body: bytes) -> dict[str, Any]:
    try:
        arguments = numbers.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise CallError("invalid_arguments", f"the body must be JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise CallError("invalid_arguments", "the body must be a JSON object with the arguments")
    return arguments


def _parameters(operation: Operation, request: web.Request) -> dict[str, str]:
    """The query and header parameters that the request has."""
    values = {}
    for parameter in operation.parameters:
        source = {"query": request.query, "header": request.headers}.get(parameter.place)
        if source is not None and parameter.name in source:
            values[parameter.name] = source[parameter.name]
    return values


def _relay(reply: Reply) -> web.Response:
    """A backend's reply with its status, Content-Type and body."""
    headers = {"Content-Type": reply.content_type} if reply.content_type else {}
    # 1xx are not final, and aiohttp accepts what is not a status at all.
    status = reply.status if 200 <= reply.status < 600 else 502
    return web.Response(body=reply.body, status=status, headers=headers)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"code": "invalid_request", "message": message}}, status=status)
