"""Answers of HTTP that are of no method: refusals, and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from runtime.auth import oauth_metadata
from runtime.mcp import jsonrpc

if TYPE_CHECKING:
    from crd.published.settings import Auth
    from runtime.auth.oauth_metadata import DeniedError, Resource
    from runtime.state.limits import Verdict

__all__ = ["bearing", "denied", "limited", "refused", "unavailable"]


def bearing(body: bytes, status: int = 200, **headers: str) -> web.Response:
    """JSON."""
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def refused(identifier: str | int | None, code: int, message: str, status: int) -> web.Response:
    """A JSON-RPC error."""
    return bearing(jsonrpc.error(identifier, code, message), status)


def unavailable(message: str) -> web.Response:
    """503, to be tried again soon."""
    body = jsonrpc.error(None, jsonrpc.OVERLOADED, f"{message}; try again")
    return web.Response(body=body, status=503, content_type="application/json", headers={"Retry-After": "1"})


def limited(identifier: str | int | None, verdict: Verdict) -> web.Response:
    """429, with the time after which a token is there again."""
    message = f"the rate limit of this {verdict.scope} is reached; try again in {verdict.retry_after} s"
    body = jsonrpc.error(identifier, jsonrpc.LIMITED, message)
    headers = {"Retry-After": str(verdict.retry_after)}
    return web.Response(body=body, status=429, content_type="application/json", headers=headers)


def denied(error: DeniedError, auth: Auth, about: Resource) -> web.Response:
    """400, 401 or 403, with a challenge that says where a client is let in (RFC 6750, section 3)."""
    said = {"error": error.error or "unauthorized", "error_description": error.message}
    headers = {"WWW-Authenticate": oauth_metadata.challenge(error, auth, about)}
    return web.Response(body=orjson.dumps(said), status=error.status, content_type="application/json", headers=headers)
