"""The one endpoint of MCP: era, session and limits of a message, then its answer."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from runtime.app import methods
from runtime.http import responses
from runtime.mcp import eras, jsonrpc, param_headers
from runtime.mcp.eras import Call, Refusal
from runtime.mcp.jsonrpc import RpcError
from runtime.state import limits
from runtime.state.sessions import Session, SessionStore, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crd.published.entries import Tool
    from runtime.app.compiled import Serving
    from runtime.app.methods import Protocol
    from runtime.mcp.context import Context
    from runtime.state.limits import Limiter
    from runtime.telemetry.metrics import Metrics

__all__ = ["SESSION", "WHAT", "Endpoint", "Visit"]

access = logging.getLogger("access")

SESSION = "Mcp-Session-Id"
# What a request turned out to be about, for the log and the metrics.
WHAT = web.RequestKey("what", str)
MAX_NAME = 128
# The one version with arrays of messages.
BATCHED = "2025-03-26"
MAX_BATCH = 50


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that was let in. ``client`` tells its sender from others, where it has no session."""

    request: web.Request
    context: Context
    client: str


class Endpoint:
    """``mint`` makes session ids that cannot be guessed; ``stores`` are by session mode."""

    def __init__(
        self,
        calls: Protocol,
        stores: Mapping[str, SessionStore],
        limiter: Limiter,
        metrics: Metrics,
        mint: Callable[[], str],
    ) -> None:
        self._calls = calls
        self._stores = stores
        self._limiter = limiter
        self._metrics = metrics
        self._mint = mint

    async def answer(self, current: Serving, visit: Visit) -> web.Response:
        """Any request to the endpoint."""
        request = visit.request
        if request.method == "POST":
            return await self._post(current, visit)
        if request.method == "DELETE" and request.headers.get("MCP-Protocol-Version") != eras.MODERN:
            return await self._delete(current, visit)
        return web.Response(status=405, headers={"Allow": "POST, DELETE"})

    async def _post(self, current: Serving, visit: Visit) -> web.Response:
        request = visit.request
        if request.content_type != "application/json":
            return web.Response(status=415, text="send application/json\n")
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            return responses.refused(None, jsonrpc.PARSE_ERROR, f"Parse error: {error}", 400)
        headers = {name.lower(): request.headers.getall(name) for name in request.headers}
        if isinstance(body, list):
            return await self._batch(current, visit, body, headers)
        call = eras.classify(body, headers)
        if isinstance(call, Refusal):
            return responses.bearing(call.body, call.status)
        request[WHAT] = " ".join(filter(None, (call.method, str(call.params.get("name") or ""))))[:MAX_NAME]
        tool = _called(current, call)
        if call.modern:
            if call.id is None:
                return web.Response(status=202)
            wrong = tool and param_headers.mismatch(current.mirrors[tool.name], _arguments(call), headers)
            if wrong:
                message = f"Header mismatch: {wrong} does not match its argument"
                return responses.refused(call.id, jsonrpc.HEADER_MISMATCH, message, 400)
            return await self._answered(current, visit, call, eras.MODERN, tool)
        if call.method == "initialize" and call.id is not None:
            return await self._initialize(current, visit, call)
        return await self._legacy(current, visit, call, tool)

    async def _initialize(self, current: Serving, visit: Visit, call: Call) -> web.Response:
        verdict = await self._limiter.admit(current.catalog.settings.limits, visit.client, None)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            return responses.limited(call.id, verdict)
        asked = call.params.get("protocolVersion")
        version = asked if asked in eras.LEGACY else eras.LEGACY[0]
        headers = {}
        store = self._store(current)
        if store is not None:
            identifier = self._mint()
            session = Session(version, visit.context.principal)
            await store.create(identifier, session, current.catalog.settings.session_ttl)
            headers[SESSION] = identifier
        body = jsonrpc.result(call.id or 0, methods.initialized(current, version))
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _legacy(self, current: Serving, visit: Visit, call: Call, tool: Tool | None) -> web.Response:
        entered = await self._session(current, visit, call.id)
        if isinstance(entered, web.Response):
            return entered
        version, visit = entered
        if call.id is None:
            return web.Response(status=202)
        return await self._answered(current, visit, call, version, tool)

    async def _batch(
        self, current: Serving, visit: Visit, items: list[object], headers: Mapping[str, Sequence[str]]
    ) -> web.Response:
        """Several messages at once: one version had that, and those after it have not."""
        visit.request[WHAT] = "batch"
        calls = [eras.classify(item, headers) for item in items[: MAX_BATCH + 1]]
        alone = [c for c in calls if isinstance(c, Call) and (c.modern or c.method == "initialize")]
        if alone or not 0 < len(calls) <= MAX_BATCH:
            return responses.refused(None, jsonrpc.INVALID_REQUEST, "the body is not one JSON-RPC 2.0 message", 400)
        entered = await self._session(current, visit, None)
        if isinstance(entered, web.Response):
            return entered
        version, visit = entered
        if version != BATCHED:
            return responses.refused(None, jsonrpc.INVALID_REQUEST, f"{version} has no arrays of messages", 400)
        answers = []
        for call in calls:
            if isinstance(call, Refusal):
                answers.append(call.body)
            elif call.id is not None:
                answer = await self._answered(current, visit, call, version, _called(current, call))
                answers.append(answer.body if isinstance(answer.body, bytes) else b"null")
        return responses.bearing(b"[" + b",".join(answers) + b"]") if answers else web.Response(status=202)

    async def _session(
        self, current: Serving, visit: Visit, identifier: str | int | None
    ) -> tuple[str, Visit] | web.Response:
        """The version that a message is in and whose it is, or why it is not answered; ``identifier`` is its id."""
        version = visit.request.headers.get("MCP-Protocol-Version", eras.LEGACY[-1])
        if version not in eras.LEGACY:
            message = f"MCP-Protocol-Version {version} is not served; use {', '.join(eras.SERVED)}"
            return responses.refused(identifier, jsonrpc.INVALID_REQUEST, message, 400)
        store = self._store(current)
        if store is None:
            return version, visit
        name = visit.request.headers.get(SESSION)
        if name is None:
            return responses.refused(identifier, jsonrpc.INVALID_REQUEST, f"{SESSION} is missing", 400)
        principal = visit.context.principal
        session = await store.use(name, principal, current.catalog.settings.session_ttl)
        if session is None:
            return responses.refused(identifier, jsonrpc.INVALID_REQUEST, "Session not found", 404)
        return session.version, dataclasses.replace(visit, client=limits.client(principal, name, ""))

    async def _delete(self, current: Serving, visit: Visit) -> web.Response:
        store = self._store(current)
        if store is None:
            return web.Response(status=405, headers={"Allow": "POST"})
        identifier = visit.request.headers.get(SESSION)
        if identifier is None:
            return responses.refused(None, jsonrpc.INVALID_REQUEST, f"{SESSION} is missing", 400)
        ended = await store.end(identifier, visit.context.principal)
        return web.Response(status=204 if ended else 404)

    def _store(self, current: Serving) -> SessionStore | None:
        """Where sessions are; None for a stateless server. A pod older than the wish for Redis has no way to it yet."""
        mode = current.catalog.settings.sessions
        if mode != "Stateless" and mode not in self._stores:
            raise StoreUnavailableError(f"this pod was started without {mode}")
        return self._stores.get(mode)

    async def _answered(
        self, current: Serving, visit: Visit, call: Call, version: str, tool: Tool | None
    ) -> web.Response:
        if call.id is None:
            raise ValueError("a notification has no answer")
        context = dataclasses.replace(visit.context, modern=call.modern)
        verdict = await self._limiter.admit(current.catalog.settings.limits, visit.client, tool)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            if verdict.scope != "tool":
                return responses.limited(call.id, verdict)
            return responses.bearing(jsonrpc.result(call.id, self._calls.limited(current, call, verdict, context)))
        try:
            result = await self._calls.answer(current, call, version, context)
            return responses.bearing(jsonrpc.result(call.id, result))
        except RpcError as error:
            return responses.bearing(jsonrpc.error(call.id, error.code, error.message, error.data))
        except Exception:  # noqa: BLE001 -- a bug is answered, counted and logged, not a dropped connection
            access.exception("request %s met a bug", context.request_id)
            said = f"Internal error {context.request_id}"
            return responses.refused(call.id, jsonrpc.INTERNAL_ERROR, said, 500)


def _called(current: Serving, call: Call) -> Tool | None:
    name = call.params.get("name")
    return current.tools.get(name) if call.method == "tools/call" and isinstance(name, str) else None


def _arguments(call: Call) -> Mapping[str, object]:
    arguments = call.params.get("arguments")
    return arguments if isinstance(arguments, dict) else {}
