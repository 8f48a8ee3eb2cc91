"""The plain-HTTP doors: tools, prompts and operations for callers that do not speak MCP. The calls are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from runtime import mapping, protocol, uris
from runtime.faults import CallError
from runtime.messages import RpcError

if TYPE_CHECKING:
    from runtime.serving import Serving
    from runtime.shaping import Reply
    from runtime.upstream import Upstream

__all__ = ["enter"]


async def enter(current: Serving, upstream: Upstream, request: web.Request, path: str, request_id: str) -> web.Response:
    """Answer a request to ``path`` below the endpoint; 404 where there is no door."""
    try:
        return await _entered(current, upstream, request, path)
    except CallError as fault:
        return web.Response(
            body=fault.line(request_id).encode(), status=fault.door_status, content_type="application/json"
        )
    except RpcError as error:
        return _refused(400, error.message)


async def _entered(current: Serving, upstream: Upstream, request: web.Request, path: str) -> web.Response:
    timeout = current.catalog.settings.request_timeout
    if request.method == "POST":
        for tool in current.catalog.tools:
            if tool.ingress_path == path:
                arguments = _object(await request.read())
                current.check(tool.name, arguments)
                return _passed(await upstream.ask(mapping.of_tool(tool, arguments), timeout))
    if request.method == "GET":
        for prompt in current.catalog.prompts:
            if prompt.ingress_path == path:
                return web.Response(text=protocol.rendered(prompt, dict(request.query)))
    for operation in current.catalog.operations:
        values = uris.match(operation.ingress_path, path) if operation.method == request.method else None
        if values is not None:
            given = {
                p.name: (request.query if p.place == "query" else request.headers)[p.name]
                for p in operation.parameters
                if p.place != "path" and p.name in (request.query if p.place == "query" else request.headers)
            }
            body = await request.read() if operation.method in ("POST", "PUT", "PATCH") else None
            return _passed(await upstream.ask(mapping.of_operation(operation, {**given, **values}, body), timeout))
    return _refused(404, f"no {request.method} door at {path}")


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
