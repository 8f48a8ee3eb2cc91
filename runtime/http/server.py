"""The serving port: access control, then the MCP endpoint or a REST path below it; access log and metrics."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from cluster.bodies import Bodies, BodyEvictedError
from cluster.connections import Connections, Deadlines
from cluster.listener import Listener
from cluster.message import ClientGoneError, Response
from crd.clients.tolerances import Fault
from runtime.auth import oauth_metadata
from runtime.auth.attempts import Attempts
from runtime.auth.jwks import KeysUnavailableError
from runtime.auth.oauth_metadata import DeniedError
from runtime.http import client_address, origins, responses
from runtime.http.endpoint import AdmittedRequest
from runtime.http.streams import ListenStream
from runtime.mcp import jsonrpc, lists, uri_templates
from runtime.mcp.context import Context
from runtime.state import limits
from runtime.state.sessions import StoreUnavailableError
from runtime.telemetry.call_record import CLIENT_GONE, CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.message import Request
    from crd.published.settings import Settings
    from runtime.app.catalog_store import CatalogStore
    from runtime.app.compiled import CompiledCatalog
    from runtime.auth.authenticator import Authenticator, Identity
    from runtime.http.endpoint import Endpoint
    from runtime.state.limits import Limiter
    from runtime.telemetry.access_log import AccessLog
    from runtime.telemetry.call_record import Tracer
    from runtime.telemetry.metrics import Metrics

__all__ = ["App", "RestHandler", "listen"]

logger = logging.getLogger(__name__)

_DEADLINES = Deadlines()
_FAULTS_OF_CLIENTS = frozenset({"invalid_arguments", "invalid_request", "not_found", "rate_limited"})
# Headers with which a request is not answered at once.
_UNUSUAL = frozenset({"content-encoding", "origin", "traceparent"})
# What a backend answers is data; a browser must not guess its type, nor run it with the rights of this origin.
_SAFETY = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


class RestHandler(Protocol):
    """Answers a request to a path below the endpoint; 404 if nothing is served there."""

    async def __call__(
        self, compiled: CompiledCatalog, request: Request, path: str, body: bytes, context: Context
    ) -> Response:
        """``path`` begins with a slash. ``body`` is that of the request, which has been read."""
        ...


class App:
    """Handles every request to the serving port. ``new_id`` makes request ids; ``monotonic`` gives seconds.

    ``now`` is the Unix time.

    ``open_requests`` is the number of requests whose headers are there, ``in_progress`` of those whose body is, too.
    """

    def __init__(
        self,
        catalog_store: CatalogStore,
        authenticator: Authenticator,
        endpoint: Endpoint,
        rest: RestHandler,
        limiter: Limiter,
        metrics: Metrics,
        access_log: AccessLog,
        *,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        now: Callable[[], float],
        draining: Callable[[], bool],
        deadlines: Deadlines = _DEADLINES,
        tracer: Tracer | None = None,
    ) -> None:
        self._catalog_store = catalog_store
        self._authenticator = authenticator
        self._endpoint = endpoint
        self._rest = rest
        self._limiter = limiter
        self._metrics = metrics
        self.access_log = access_log
        self._new_id = new_id
        self._monotonic = monotonic
        self._draining = draining
        self._tracer = tracer
        self.connections = Connections(
            self.handle,
            deadlines,
            now=now,
            added=_SAFETY,
            on_abort=metrics.closed.inc,
            answer_at_once=self.answer_at_once,
        )
        self._bodies = Bodies(deadlines.body)
        self._attempts = Attempts(monotonic)
        self.open_requests = 0
        self.in_progress = 0

    def answer_at_once(self, request: Request) -> Response | None:
        """Answer a list in the stateless era if nothing has to be waited for, and nothing is unusual. Else None.

        `handle` would answer the same. Lists are asked for often, and a task for each would cost as much as they do.
        """
        compiled, headers = self._catalog_store.compiled, request.headers
        method = headers.get("mcp-method")
        if compiled is None or method is None or method[0] not in lists.LISTS or not _UNUSUAL.isdisjoint(headers):
            return None
        settings = compiled.catalog.settings
        is_limited = settings.limits.server is not None or settings.limits.per_client is not None
        if is_limited or request.path != settings.path_prefix or request.method != "POST":
            return None
        identity = self._recognize(settings, request)
        body = request.peek()
        is_full = self.in_progress >= settings.max_concurrent_requests or len(body) > settings.max_request_bytes
        if identity is None or is_full or settings.allowed_origins or self._draining():
            return None
        started = self._monotonic()
        compiled = compiled.visible_to(identity.scopes)
        found = self._endpoint.find_page(compiled, headers, body)
        if found is None:
            return None
        call, page = found
        record = CallRecord(self._new_id())
        if self._tracer is not None:
            record.tracer = self._tracer
        record.principal, record.request_bytes = identity.principal, len(body)
        request.operation = call.method
        head = jsonrpc.result_head("" if call.id is None else call.id)
        response = Response(200, head, responses.JSON, parts=(page, b"}"))
        self._see(
            compiled, (request.method, request.operation), record, 200, response.size, self._monotonic() - started
        )
        return response

    def _recognize(self, settings: Settings, request: Request) -> Identity | None:
        try:
            return self._authenticator.recognize(settings.auth, request.values("authorization"))
        except KeysUnavailableError:
            return None

    async def handle(self, request: Request) -> Response:
        """Answer a request; then count and log it."""
        compiled = self._catalog_store.compiled
        started, request_id = self._monotonic(), self._new_id()
        if compiled is None:
            return _closing(responses.service_unavailable("no catalog is loaded yet"))
        settings = compiled.catalog.settings
        record = CallRecord(request_id)
        if self._tracer is not None:
            record.tracer = self._tracer
        if "traceparent" in request.headers:
            record.follow(request.headers)
        self.open_requests += 1
        try:
            response = await self._route(compiled, request, record)
        except (asyncio.CancelledError, ClientGoneError):
            self._see(
                compiled, (request.method, request.operation), record, CLIENT_GONE, 0, self._monotonic() - started
            )
            raise
        except DeniedError as error:
            self._metrics.denied.labels(str(error.status)).inc()
            response = responses.access_denied(error, settings.auth, _resource(settings, request))
        except KeysUnavailableError as error:
            logger.warning("request %s: clients cannot be authenticated: %s", request_id, error)
            response = responses.service_unavailable("clients cannot be authenticated at the moment")
        except StoreUnavailableError as error:
            logger.warning("request %s: sessions or rate limits are unavailable: %s", request_id, error)
            response = responses.service_unavailable("sessions or rate limits are unavailable at the moment")
        except Exception:
            logger.exception("request %s failed with an unexpected exception", request_id)
            self._metrics.unexpected.inc()
            message = f"Internal error; see request {request_id} in the server log"
            response = responses.rpc_error(request.identifier, jsonrpc.INTERNAL_ERROR, message, 500)
        finally:
            self.open_requests -= 1
        if settings.allowed_origins:
            response.headers.update(origins.cors(request.header("origin"), settings.allowed_origins))
        response.close = response.close or self._draining()
        if isinstance(response.stream, ListenStream):
            response.stream.on_end = partial(self._see_stream, request.method, request.operation, record, started)
            return response
        size = response.size if response.parts else len(response.body)
        self._see(
            compiled, (request.method, request.operation), record, response.status, size, self._monotonic() - started
        )
        return response

    def _see_stream(
        self, method: str, operation: str, record: CallRecord, started: float, stream: ListenStream
    ) -> None:
        """Count and log a stream that has ended."""
        record.ended, record.notified = str(stream.ended), stream.notified
        self._metrics.ended_streams.labels(record.ended).inc()
        self._see(None, (method, operation), record, 200, stream.sent, self._monotonic() - started)

    def _see(
        self,
        compiled: CompiledCatalog | None,
        asked: tuple[str, str],
        record: CallRecord,
        status: int,
        size: int,
        seconds: float,
    ) -> None:
        """Count and log a request; of a batch, each of its calls, too. ``asked`` are its HTTP method and operation."""
        method = asked[0]
        if record.calls:
            self._metrics.observe(method, "batch", status, seconds, record)
        for call in record.calls or (record,):
            operation = call.operation if record.calls else asked[1]
            if call.tracer is not None:
                call.operation = operation
                call.begin_span()
                call.tracer.export(call, operation, method, status, call.seconds or seconds)
            self._metrics.observe(method, operation, status, call.seconds or seconds, call)
            # The client cannot help it.
            is_warning = call.fault is not None and call.fault.code not in _FAULTS_OF_CLIENTS
            if not self.access_log.is_enabled(warning=is_warning):
                continue
            seen = (compiled, method, operation, record, call, status, size, call.seconds or seconds)
            self.access_log.add(_describe, seen, warning=is_warning)

    async def _route(self, compiled: CompiledCatalog, request: Request, record: CallRecord) -> Response:
        """Check origin and path, authenticate the client, receive the body, then answer."""
        settings, headers, path = compiled.catalog.settings, request.headers, request.path
        if path != settings.path_prefix or "origin" in headers:
            # Neither is usual.
            path = _endpoint_path(path, compiled)
            response = _answer_early(settings, request, path)
            if response is not None:
                return response
        if "content-encoding" in headers and headers["content-encoding"][0].strip().lower() not in ("", "identity"):
            message = "a compressed body is not accepted; send it without Content-Encoding\n"
            return responses.text_response(415, message, {"Accept-Encoding": "identity"})
        forwarded = headers.get("x-forwarded-for", ())
        address = client_address.identify(request.remote, forwarded, settings.trusted_proxies)
        identity = self._authenticator.recognize(settings.auth, headers.get("authorization", ()))
        if identity is None:
            found = await self._identify(settings, headers.get("authorization", ()), address)
            if isinstance(found, Response):
                return found
            identity = found
        if compiled.scopes:
            compiled = compiled.visible_to(identity.scopes)
        record.principal = identity.principal
        context = Context(record.request_id, identity.principal, identity.claims, headers, True, settings, record)
        try:
            limit = settings.max_request_bytes
            body = Bodies.whole(request, limit) if request.complete else await self._bodies.read(request, limit)
        except TimeoutError:
            return responses.text_response(408, "the body of the request did not arrive in time\n", close=True)
        except BodyEvictedError:
            self._metrics.shed.inc()
            return _closing(responses.service_unavailable("the body of the request arrived too slowly"))
        if body is None:
            message = f"the request body must have at most {settings.max_request_bytes} bytes\n"
            return responses.text_response(413, message, close=True)
        record.request_bytes = len(body)
        # Only now: a body that is still on its way takes no place from others.
        if self.in_progress >= settings.max_concurrent_requests:
            self._metrics.shed.inc()
            return responses.service_unavailable(f"{self.in_progress} requests are in progress, which is the limit")
        self.in_progress += 1
        try:
            client = limits.client_key(context.principal, address)
            admitted = AdmittedRequest(request, body, context, client, identity)
            if path == settings.path_prefix:
                return await self._endpoint.answer(compiled, admitted)
            return await self._answer_rest(compiled, admitted, path)
        finally:
            self.in_progress -= 1

    async def _identify(self, settings: Settings, authorization: Sequence[str], address: str) -> Identity | Response:
        """The client of a request, or a refusal to try its credentials. Raises DeniedError, and counts wrong ones."""
        wait = self._attempts.wait(address, authorization) if authorization else None
        if wait is not None:
            self._metrics.limited.labels("authentication").inc()
            return responses.too_many_attempts(wait)
        try:
            identity = await self._authenticator.authenticate(settings.auth, authorization)
        except DeniedError:
            if authorization:
                self._attempts.record_failure(address, authorization)
            raise
        self._attempts.record_success(authorization)
        return identity

    async def _answer_rest(self, compiled: CompiledCatalog, admitted: AdmittedRequest, path: str) -> Response:
        """Answer a complete request of an authenticated client at a REST path."""
        settings, request = compiled.catalog.settings, admitted.request
        request.operation = "rest"
        rest_path = path.removeprefix(settings.path_prefix)
        tool = compiled.rest_tools.get(rest_path) if request.method == "POST" else None
        admitted.context.record.tool = tool
        verdict = await self._limiter.admit(settings.limits, admitted.client, tool)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            return responses.too_many_requests(None, verdict)
        return await self._rest(compiled, request, rest_path, admitted.body, admitted.context)


async def listen(app: App, host: str, port: int) -> Listener:
    """Serve ``app``. Every path goes to it, because the catalog in force determines the paths."""
    listener = Listener(app.connections)
    await listener.start(host, port)
    return listener


def _describe(
    compiled: CompiledCatalog | None,
    http_method: str,
    operation: str,
    record: CallRecord,
    call: CallRecord,
    status: int,
    size: int,
    seconds: float,
) -> dict[str, Any]:
    """A line of the log. ``call`` is ``record``, or one call of a batch. A stream has no catalog."""
    line = {
        "requestId": record.request_id,
        "method": http_method,
        "operation": operation,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "requestBytes": record.request_bytes,
        "responseBytes": size,
        **call.members(),
    }
    if record.principal:
        line["principal"] = limits.hash_key(record.principal)
    if call.tool is not None and compiled is not None:
        line["definition"] = compiled.definition(call.tool, modern=call.modern)
    return line


def _answer_early(settings: Settings, request: Request, path: str) -> Response | None:
    """The answer to an origin that is not allowed, or for which no credentials are needed; else None."""
    origin = request.header("origin")
    if not origins.is_allowed(origin, settings.hosts, settings.allowed_origins):
        return responses.text_response(403, f'Origin "{origin}" is not allowed\n')
    if len(path) > uri_templates.MAX_URI:
        return responses.text_response(414, f"the path must have at most {uri_templates.MAX_URI} characters\n")
    if path.startswith(oauth_metadata.WELL_KNOWN) and request.method == "GET":
        return _resource_metadata(settings, request, path)
    if path != settings.path_prefix and not path.startswith(settings.path_prefix + "/"):
        return responses.text_response(404, f"not found; the MCP endpoint is {settings.path_prefix}\n")
    if request.method == "OPTIONS" and origin in settings.allowed_origins:
        requested = request.header("access-control-request-headers")
        return responses.empty_response(204, origins.preflight(requested))
    return None


def _endpoint_path(path: str, compiled: CompiledCatalog) -> str:
    """The path of a request. The endpoint has a second one, with a slash, if that fault of clients is tolerated."""
    prefix = compiled.catalog.settings.path_prefix
    return prefix if Fault.TRAILING_SLASH in compiled.tolerated and path == f"{prefix}/" else path


def _closing(response: Response) -> Response:
    """A response after which the connection is closed, because the rest of its request is unread."""
    response.close = True
    return response


def _resource_metadata(settings: Settings, request: Request, path: str) -> Response:
    """Protected resource metadata (RFC 9728), readable without authentication."""
    resource = _resource(settings, request)
    body = oauth_metadata.metadata(settings.auth, resource)
    if body is None or path not in resource.paths:
        return responses.text_response(404, "no protected resource has this path\n")
    return responses.json_response(body)


def _resource(settings: Settings, request: Request) -> oauth_metadata.Resource:
    """The server as the client addresses it. Behind an Ingress the scheme is in X-Forwarded-Proto."""
    scheme = "https" if request.header("x-forwarded-proto") == "https" else "http"
    return oauth_metadata.resource(settings, scheme, request.header("host") or "")
