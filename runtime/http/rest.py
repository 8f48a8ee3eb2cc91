"""REST paths below the endpoint: tools, prompts and operations for clients that do not speak MCP.

They use the same calls as MCP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from cluster.message import Response
from runtime.backends.faults import CallError
from runtime.http import responses
from runtime.mcp import numbers, prompts, uri_templates
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from cluster.message import Request
    from crd.published.entries import Operation
    from runtime.app.compiled import CompiledCatalog
    from runtime.backends.dispatch import Dispatcher
    from runtime.http.exchange import Reply
    from runtime.mcp.context import Context

__all__ = ["answer"]

MAX_PARAMETERS = 100


async def answer(
    compiled: CompiledCatalog, dispatcher: Dispatcher, request: Request, path: str, body: bytes, context: Context
) -> Response:
    """Answer a request to ``path`` below the endpoint; 404 if nothing is served there."""
    try:
        if request.method == "POST" and path in compiled.rest_tools:
            tool = compiled.rest_tools[path]
            arguments = compiled.check_arguments(tool, _parse_arguments(body))
            return _relay(await dispatcher.forward(tool, arguments, context))
        if request.method == "GET":
            for prompt in compiled.catalog.prompts:
                if prompt.ingress_path == path:
                    return responses.text_response(200, prompts.render(prompt, _query(request)))
        for operation in compiled.catalog.operations:
            values = uri_templates.match(operation.ingress_path, path) if operation.method == request.method else None
            if values is not None:
                parameters = {**_parameters(operation, request), **values}
                sent = body if operation.method in ("POST", "PUT", "PATCH") else None
                return _relay(await dispatcher.operate(operation, parameters, sent, context))
    except CallError as fault:
        context.record.fail(fault)
        return responses.json_response(fault.to_json(context.request_id).encode(), fault.http_status)
    except RpcError as error:
        return _error(400, error.message)
    endpoint = compiled.catalog.settings.path_prefix
    return _error(404, f"no tool, prompt or operation answers {request.method} {path}; the MCP endpoint is {endpoint}")


def _parse_arguments(body: bytes) -> dict[str, Any]:
    try:
        arguments = numbers.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise CallError("invalid_arguments", f"the body must be JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise CallError("invalid_arguments", "the body must be a JSON object with the arguments")
    return arguments


def _parameters(operation: Operation, request: Request) -> dict[str, str]:
    """The query and header parameters that the request has."""
    query, values = _query(request), {}
    for parameter in operation.parameters:
        if parameter.place == "query" and parameter.name in query:
            values[parameter.name] = query[parameter.name]
        elif parameter.place == "header" and (sent := request.header(parameter.name.lower())) is not None:
            values[parameter.name] = sent
    return values


def _query(request: Request) -> dict[str, str]:
    """The first value of each query parameter."""
    values: dict[str, str] = {}
    if request.query.count("&") >= MAX_PARAMETERS:
        raise CallError("invalid_arguments", f"the query must have at most {MAX_PARAMETERS} parameters")
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        values.setdefault(name, value)
    return values


def _relay(reply: Reply) -> Response:
    """A backend's reply with its status, Content-Type and body."""
    # The status of a backend may be any number of three digits.
    status = reply.status if 200 <= reply.status < 600 else 502
    return Response(status, reply.body, reply.content_type)


def _error(status: int, message: str) -> Response:
    return responses.json_response(orjson.dumps({"error": {"code": "invalid_request", "message": message}}), status)
