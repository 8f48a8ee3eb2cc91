"""The HTTP face: who may come in, then the endpoint of MCP or a door below it, and what is told of every request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import orjson
from aiohttp import web

from runtime.app.endpoint import WHAT, Visit
from runtime.auth import oauth_metadata
from runtime.auth.jwks import KeysUnavailableError
from runtime.auth.oauth_metadata import DeniedError
from runtime.http import origins, responses
from runtime.mcp.context import Context
from runtime.state import limits
from runtime.state.sessions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crd.published.settings import Settings
    from runtime.app.catalog_store import Holder
    from runtime.app.compiled import Serving
    from runtime.app.endpoint import Endpoint
    from runtime.auth.gatekeeper import Gatekeeper
    from runtime.state.limits import Limiter
    from runtime.telemetry.metrics import Metrics

__all__ = ["Doors", "Front", "application"]

access = logging.getLogger("access")


class Doors(Protocol):
    """Answers a request to a path below the endpoint, whoever does not speak MCP; 404 where there is no door."""

    async def __call__(self, current: Serving, request: web.Request, path: str, context: Context) -> web.Response:
        """``path`` begins with a slash."""
        ...


class Front:
    """``mint`` makes request ids; ``monotonic`` gives seconds."""

    def __init__(
        self,
        holder: Holder,
        gatekeeper: Gatekeeper,
        endpoint: Endpoint,
        doors: Doors,
        limiter: Limiter,
        metrics: Metrics,
        *,
        mint: Callable[[], str],
        monotonic: Callable[[], float],
        draining: Callable[[], bool],
    ) -> None:
        self._holder = holder
        self._gatekeeper = gatekeeper
        self._endpoint = endpoint
        self._doors = doors
        self._limiter = limiter
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
            return responses.unavailable("no catalog yet")
        settings = current.catalog.settings
        if self.in_flight >= settings.max_concurrent_requests:
            self._metrics.shed.inc()
            return responses.unavailable(f"{self.in_flight} requests are in progress")
        self.in_flight += 1
        # The bound on a body is the catalog's, and may change while the process lives.
        bounded = request.clone(client_max_size=settings.max_request_bytes)
        try:
            response = await self._guarded(current, bounded, request_id)
        finally:
            self.in_flight -= 1
        response.headers.update(origins.cors(request.headers.get("Origin"), settings.allowed_origins))
        if self._draining():
            response.force_close()
        self._told(request, bounded.get(WHAT, "-"), response.status, self._monotonic() - started, request_id)
        return response

    def _told(self, request: web.Request, what: str, status: int, seconds: float, request_id: str) -> None:
        self._metrics.observe(request.method, what, status, seconds)
        line = {
            "requestId": request_id,
            "method": request.method,
            "what": what,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        access.info("%s", orjson.dumps(line).decode())

    async def _guarded(self, current: Serving, request: web.Request, request_id: str) -> web.Response:
        settings = current.catalog.settings
        try:
            return await self._routed(current, request, request_id)
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text=f"at most {settings.max_request_bytes} bytes\n")
        except DeniedError as error:
            self._metrics.denied.labels(str(error.status)).inc()
            return responses.denied(error, settings.auth, _resource(settings, request))
        except KeysUnavailableError as error:
            access.warning("request %s: %s", request_id, error)
            return responses.unavailable("who you are cannot be told just now")
        except StoreUnavailableError as error:
            access.warning("request %s: %s", request_id, error)
            return responses.unavailable("sessions or limits cannot be kept just now")

    async def _routed(self, current: Serving, request: web.Request, request_id: str) -> web.Response:
        settings = current.catalog.settings
        origin = request.headers.get("Origin")
        if not origins.allowed(origin, settings.hosts, settings.allowed_origins):
            return web.Response(status=403, text="this Origin is not allowed\n")
        path = request.rel_url.raw_path
        if path.startswith(oauth_metadata.WELL_KNOWN) and request.method == "GET":
            return _metadata(settings, request, path)
        is_door = path.startswith(settings.path_prefix + "/")
        if not is_door and path != settings.path_prefix:
            return web.Response(status=404, text=f"MCP is spoken at {settings.path_prefix}\n")
        if request.method == "OPTIONS" and origin in settings.allowed_origins:
            asked = request.headers.get("Access-Control-Request-Headers")
            return web.Response(status=204, headers=origins.preflight(asked))
        identity = await self._gatekeeper.identify(settings.auth, request.headers.getall("Authorization", []))
        headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
        context = Context(request_id, identity.principal, identity.claims, headers, settings=settings)
        visit = Visit(request, context, limits.client(identity.principal, "", _address(settings, request)))
        if is_door:
            return await self._door(current, visit, path.removeprefix(settings.path_prefix))
        return await self._endpoint.answer(current, visit)

    async def _door(self, current: Serving, visit: Visit, path: str) -> web.Response:
        visit.request[WHAT] = "door"
        tool = current.doors.get(path) if visit.request.method == "POST" else None
        verdict = await self._limiter.admit(current.catalog.settings.limits, visit.client, tool)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            return responses.limited(None, verdict)
        return await self._doors(current, visit.request, path, visit.context)


def application(front: Front) -> web.Application:
    """Every path goes to the front: which paths there are depends on the catalog in force."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.handle)
    return app


def _metadata(settings: Settings, request: web.Request, path: str) -> web.Response:
    """Protected resource metadata (RFC 9728), which anybody may read."""
    about = _resource(settings, request)
    body = oauth_metadata.metadata(settings.auth, about)
    if body is None or path not in about.paths:
        return web.Response(status=404, text="no such resource\n")
    return responses.bearing(body)


def _resource(settings: Settings, request: web.Request) -> oauth_metadata.Resource:
    """As the client names us: behind an Ingress, by the scheme that it tells."""
    scheme = "https" if request.headers.get("X-Forwarded-Proto") == "https" else request.scheme
    return oauth_metadata.resource(settings, scheme, request.headers.get("Host", ""))


def _address(settings: Settings, request: web.Request) -> str:
    """The client's address: behind an Ingress what that saw, which is the last one of the list."""
    forwarded = request.headers.getall("X-Forwarded-For", [])
    if settings.hosts and forwarded:
        return forwarded[-1].rpartition(",")[2].strip()
    return request.remote or ""
