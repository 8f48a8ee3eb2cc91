"""The HTTP face: one endpoint for MCP, doors below it, sessions and limits before both."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from runtime import doors, ladder, messages, protocol
from runtime.ladder import Call, Refusal
from runtime.messages import RpcError
from runtime.sessions import Session, SessionStore, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.catalog import Holder
    from runtime.metrics import Metrics
    from runtime.protocol import Protocol
    from runtime.serving import Serving
    from runtime.upstream import Upstream

__all__ = ["Front", "application"]

access = logging.getLogger("access")

MAX_BODY = 1024 * 1024
SESSION = "Mcp-Session-Id"
# What a request turned out to be about, for the log and the metrics.
WHAT = web.RequestKey("what", str)


class Front:
    """``mint`` makes session and request ids that cannot be guessed; ``monotonic`` gives seconds."""

    def __init__(
        self,
        holder: Holder,
        upstream: Upstream,
        calls: Protocol,
        stores: dict[str, SessionStore],
        metrics: Metrics,
        *,
        mint: Callable[[], str],
        monotonic: Callable[[], float],
        draining: Callable[[], bool],
    ) -> None:
        self._holder = holder
        self._upstream = upstream
        self._calls = calls
        self._stores = stores
        self._metrics = metrics
        self._mint = mint
        self._monotonic = monotonic
        self._draining = draining
        self.in_flight = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request to the serving port."""
        current = self._holder.serving
        started, request_id = self._monotonic(), self._mint()
        if current is None:
            return _unavailable("no catalog yet")
        if self.in_flight >= current.catalog.settings.max_concurrent_requests:
            self._metrics.shed.inc()
            return _unavailable(f"{self.in_flight} requests are in progress")
        self.in_flight += 1
        try:
            response = await self._routed(current, request, request_id)
        except web.HTTPRequestEntityTooLarge:
            response = web.Response(status=413, text=f"at most {MAX_BODY} bytes\n")
        except StoreUnavailableError as error:
            access.warning("sessions: %s", error)
            response = _unavailable("sessions cannot be kept just now")
        finally:
            self.in_flight -= 1
        if self._draining():
            response.force_close()
        duration = self._monotonic() - started
        what = request.get(WHAT, "-")
        self._metrics.duration.labels(request.method, what.partition(" ")[0], str(response.status)).observe(duration)
        access.info(
            "%s",
            orjson.dumps(
                {
                    "requestId": request_id,
                    "method": request.method,
                    "what": what,
                    "status": response.status,
                    "ms": round(duration * 1000, 1),
                }
            ).decode(),
        )
        return response

    async def _routed(self, current: Serving, request: web.Request, request_id: str) -> web.Response:
        settings = current.catalog.settings
        if not ladder.origin_allowed(request.headers.get("Origin"), settings.hosts):
            return web.Response(status=403, text="this Origin is not allowed\n")
        path = request.rel_url.raw_path
        if path.startswith(settings.path_prefix + "/"):
            request[WHAT] = "door"
            door = path.removeprefix(settings.path_prefix)
            return await doors.enter(current, self._upstream, request, door, request_id)
        if path != settings.path_prefix:
            return web.Response(status=404, text=f"MCP is spoken at {settings.path_prefix}\n")
        if request.method == "POST":
            return await self._post(current, request, request_id)
        if request.method == "DELETE" and request.headers.get("MCP-Protocol-Version") != ladder.MODERN:
            return await self._delete(current, request)
        return web.Response(status=405, headers={"Allow": "POST, DELETE"})

    async def _post(self, current: Serving, request: web.Request, request_id: str) -> web.Response:
        if request.content_type != "application/json":
            return web.Response(status=415, text="send application/json\n")
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            return _json(messages.error(None, messages.PARSE_ERROR, f"Parse error: {error}"), 400)
        headers = {name.lower(): request.headers.getall(name) for name in request.headers}
        call = ladder.classify(body, headers)
        if isinstance(call, Refusal):
            return _json(call.body, call.status)
        request[WHAT] = " ".join(filter(None, (call.method, str(call.params.get("name") or ""))))
        if call.modern:
            if call.id is None:
                return web.Response(status=202)
            return await self._answered(current, call, ladder.MODERN, request_id)
        if call.method == "initialize" and call.id is not None:
            return await self._initialize(current, call)
        return await self._legacy(current, request, call, request_id)

    async def _initialize(self, current: Serving, call: Call) -> web.Response:
        asked = call.params.get("protocolVersion")
        version = asked if asked in ladder.LEGACY else ladder.LEGACY[0]
        headers = {}
        store = self._store(current)
        if store is not None:
            identifier = self._mint()
            await store.create(identifier, Session(version), current.catalog.settings.session_ttl)
            headers[SESSION] = identifier
        body = messages.result(call.id or 0, protocol.initialized(current, version))
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _legacy(self, current: Serving, request: web.Request, call: Call, request_id: str) -> web.Response:
        version = request.headers.get("MCP-Protocol-Version", ladder.LEGACY[-1])
        if version not in ladder.LEGACY:
            message = f"MCP-Protocol-Version {version} is not served; use {', '.join(ladder.SERVED)}"
            return _json(messages.error(call.id, messages.INVALID_REQUEST, message), 400)
        store = self._store(current)
        if store is not None:
            identifier = request.headers.get(SESSION)
            if identifier is None:
                return _json(messages.error(call.id, messages.INVALID_REQUEST, f"{SESSION} is missing"), 400)
            session = await store.use(identifier, current.catalog.settings.session_ttl)
            if session is None:
                return _json(messages.error(call.id, messages.INVALID_REQUEST, "Session not found"), 404)
            version = session.version
        if call.id is None:
            return web.Response(status=202)
        return await self._answered(current, call, version, request_id)

    async def _delete(self, current: Serving, request: web.Request) -> web.Response:
        store = self._store(current)
        if store is None:
            return web.Response(status=405, headers={"Allow": "POST"})
        identifier = request.headers.get(SESSION)
        if identifier is None:
            return _json(messages.error(None, messages.INVALID_REQUEST, f"{SESSION} is missing"), 400)
        return web.Response(status=204 if await store.end(identifier) else 404)

    def _store(self, current: Serving) -> SessionStore | None:
        """Where sessions are; None for a stateless server. A pod older than the wish for Redis has no way to it yet."""
        mode = current.catalog.settings.sessions
        if mode != "Stateless" and mode not in self._stores:
            raise StoreUnavailableError(f"this pod was started without {mode}")
        return self._stores.get(mode)

    async def _answered(self, current: Serving, call: Call, version: str, request_id: str) -> web.Response:
        if call.id is None:
            raise ValueError("a notification has no answer")
        try:
            return _json(messages.result(call.id, await self._calls.answer(current, call, version, request_id)), 200)
        except RpcError as error:
            return _json(messages.error(call.id, error.code, error.message, error.data), 200)
        except Exception:  # noqa: BLE001 -- a bug is answered, counted and logged, not a dropped connection
            access.exception("request %s met a bug", request_id)
            return _json(messages.error(call.id, messages.INTERNAL_ERROR, f"Internal error {request_id}"), 500)


def application(front: Front) -> web.Application:
    """Every path goes to the front: which paths there are depends on the catalog in force."""
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{path:.*}", front.handle)
    return app


def _json(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _unavailable(message: str) -> web.Response:
    body = messages.error(None, messages.OVERLOADED, f"{message}; try again")
    return web.Response(body=body, status=503, content_type="application/json", headers={"Retry-After": "1"})
