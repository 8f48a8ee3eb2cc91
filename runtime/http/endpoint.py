"""The MCP endpoint: the era, session and rate limit of a message, then its answer."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from cluster.message import Response
from runtime.auth.authenticator import ANONYMOUS, Identity
from runtime.http import responses
from runtime.http.streams import Listener, Scope, SessionKey
from runtime.mcp import eras, jsonrpc, lists, methods, numbers, param_headers, subscriptions
from runtime.mcp.eras import Call, Refusal
from runtime.mcp.jsonrpc import RpcError
from runtime.state.sessions import Session, SessionStore, StoreUnavailableError
from runtime.telemetry.call_record import CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cluster.message import Request
    from runtime.app.compiled import CompiledCatalog
    from runtime.http.streams import Streams
    from runtime.mcp.context import Context
    from runtime.mcp.methods import Methods
    from runtime.state.limits import Limiter
    from runtime.telemetry.metrics import Metrics

__all__ = ["SESSION", "AdmittedRequest", "Endpoint"]

logger = logging.getLogger(__name__)

SESSION = "Mcp-Session-Id"
MAX_OPERATION = 128
MAX_ORIGIN = 512
# Results of more bytes, such as long lists, are sent from where they are.
MAX_COPIED = 16 * 1024
# As nearly all clients write it.
_JSON = ["application/json"]
# The only version with JSON-RPC batches.
BATCH_VERSION = "2025-03-26"
MAX_BATCH = 50
# The bytes of the answers of a batch, after which its other calls are not made: each may be as large as one alone.
MAX_BATCH_ANSWER = 4 * 1024 * 1024


class AdmittedRequest(NamedTuple):
    """A complete request of a client that is ``identity``. ``client`` is the key of its rate limit."""

    request: Request
    body: bytes
    context: Context
    client: str
    identity: Identity = ANONYMOUS


class Endpoint:
    """``new_id`` makes session ids that cannot be guessed. ``stores`` holds session stores by session mode."""

    def __init__(
        self,
        methods: Methods,
        stores: Mapping[str, SessionStore],
        limiter: Limiter,
        metrics: Metrics,
        streams: Streams,
        new_id: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        # The calls in progress of clients with sessions, by principal, session and id; and those that were cancelled.
        self._running: dict[tuple[str, str, object], asyncio.Task[Any]] = {}
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._methods = methods
        self._stores = stores
        self._limiter = limiter
        self._metrics = metrics
        self._streams = streams
        self._new_id = new_id

    def find_page(
        self, compiled: CompiledCatalog, headers: Mapping[str, Sequence[str]], body: bytes
    ) -> tuple[Call, bytes] | None:
        """The call and its result, if it asks for a page of a list in the stateless era as it should; else None."""
        if headers.get("content-type") != _JSON:
            return None
        try:
            # Of its numbers only the id counts. One that is not exact is none here, and is left to `answer`.
            call = eras.classify(orjson.loads(body), headers, compiled.tolerated)
        except orjson.JSONDecodeError:
            return None
        if isinstance(call, Refusal) or not call.modern or call.id is None or call.method not in lists.LISTS:
            return None
        cursor, meta = call.params.get("cursor"), call.params.get("_meta")
        page = compiled.pages.get((call.method, True, cursor)) if cursor is None or isinstance(cursor, str) else None
        return None if page is None or (isinstance(meta, dict) and "traceparent" in meta) else (call, page)

    async def answer(self, compiled: CompiledCatalog, admitted: AdmittedRequest) -> Response:
        """Answer any request to the endpoint: a POST is a message, a GET listens in a session, a DELETE ends it."""
        request = admitted.request
        if request.method == "DELETE" and request.header("mcp-protocol-version") != eras.MODERN:
            return await self._end_session(compiled, admitted)
        if request.method == "GET" and _may_listen(request):
            return await self._listen_in_session(compiled, admitted)
        if request.method != "POST":
            text = f"MCP messages are sent by POST; this endpoint has no stream for {request.method}\n"
            return responses.text_response(405, text, {"Allow": "POST, DELETE"})
        if request.headers.get("content-type") != _JSON and request.media_type != "application/json":
            return responses.text_response(415, "Content-Type must be application/json\n")
        try:
            body = numbers.loads(admitted.body)
        except orjson.JSONDecodeError as error:
            return responses.rpc_error(None, jsonrpc.PARSE_ERROR, f"Parse error: {error}", 400)
        headers = request.headers
        if isinstance(body, list):
            return await self._batch(compiled, admitted, body, headers)
        call = eras.classify(body, headers, compiled.tolerated)
        if isinstance(call, Refusal):
            return responses.json_response(call.body, call.status)
        request.identifier = call.id
        request.operation = _operation(call)
        if call.modern:
            if call.id is None:
                return responses.empty_response(202)
            if call.method == subscriptions.LISTEN:
                return await self._listen(compiled, admitted, call, call.id)
            return await self._answer_call(compiled, admitted, call, eras.MODERN, headers)
        if call.method == "initialize" and call.id is not None:
            return await self._initialize(compiled, admitted, call)
        return await self._answer_in_session(compiled, admitted, call, headers)

    async def _listen(
        self, compiled: CompiledCatalog, admitted: AdmittedRequest, call: Call, identifier: str | int
    ) -> Response:
        """Open the stream that a request of the stateless era asks for."""
        if not subscriptions.accepts_events(admitted.request.values("accept")):
            message = f"{call.method} is answered with a stream: Accept must name text/event-stream"
            return responses.rpc_error(identifier, jsonrpc.INVALID_REQUEST, message, 406)
        if len(numbers.dumps(identifier)) > subscriptions.MAX_ID:
            message = f"/id: must have at most {subscriptions.MAX_ID} bytes as JSON in {call.method}"
            return responses.rpc_error(None, jsonrpc.INVALID_REQUEST, message, 400)
        try:
            kinds = subscriptions.read_filter(call.params)
        except RpcError as error:
            admitted.context.record.error_code = error.code
            return responses.json_response(jsonrpc.error(identifier, error.code, error.message))
        return await self._open_stream(compiled, admitted, identifier, kinds, None)

    async def _listen_in_session(self, compiled: CompiledCatalog, admitted: AdmittedRequest) -> Response:
        """Open the stream of a session, on which its client is notified of changes of all lists."""
        request, settings = admitted.request, compiled.catalog.settings
        request.operation = "listen"
        if self._store(compiled) is None:
            return responses.empty_response(405, {"Allow": "POST"})
        if not subscriptions.accepts_events(request.values("accept")):
            return responses.text_response(406, "GET is answered with a stream: Accept must name text/event-stream\n")
        version = await self._resume_session(compiled, admitted, request.headers, None)
        if isinstance(version, Response):
            return version
        session = eras.header(request.headers, SESSION, tolerated=compiled.tolerated) or ""
        key = SessionKey(settings.sessions, session, admitted.context.principal)
        return await self._open_stream(compiled, admitted, None, frozenset(subscriptions.Kind), key)

    async def _open_stream(
        self,
        compiled: CompiledCatalog,
        admitted: AdmittedRequest,
        identifier: str | int | None,
        kinds: frozenset[subscriptions.Kind],
        session: SessionKey | None,
    ) -> Response:
        verdict = await self._limiter.admit(compiled.catalog.settings.limits, admitted.client, None)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            return responses.too_many_requests(identifier, verdict)
        refusal = self._refuse_stream(admitted.client, identifier)
        if refusal is not None:
            return refusal
        origin = admitted.request.header("origin")
        # What follows a long one is the digits of a port.
        origin = None if origin is None else origin[:MAX_ORIGIN]
        listener = Listener(admitted.client, admitted.identity.grant, admitted.identity.scopes, origin, session)
        stream = self._streams.open(compiled, listener, identifier, kinds)
        return Response(200, b"", responses.EVENTS, dict(responses.UNBUFFERED), stream=stream)

    def _refuse_stream(self, client: str, identifier: str | int | None) -> Response | None:
        """The answer to who may open no further stream."""
        if self._streams.is_draining:
            return responses.too_many_streams(identifier, "this pod is about to end")
        exceeded = self._streams.exceeded(client)
        if exceeded is Scope.CLIENT:
            self._metrics.limited.labels("streams").inc()
            message = f"this client has {self._streams.per_client} open streams, which is the limit"
            return responses.too_many_streams(identifier, message, 429)
        if exceeded is Scope.SERVER:
            self._metrics.shed.inc()
            message = f"{len(self._streams)} streams are open, which is the limit"
            return responses.too_many_streams(identifier, message)
        return None

    async def _answer_in_session(
        self, compiled: CompiledCatalog, admitted: AdmittedRequest, call: Call, headers: Mapping[str, Sequence[str]]
    ) -> Response:
        version = await self._resume_session(compiled, admitted, headers, call.id)
        if isinstance(version, Response):
            return version
        session = eras.header(headers, SESSION, tolerated=compiled.tolerated) or ""
        if call.id is None:
            if call.method == "notifications/cancelled":
                self._cancel(admitted.context.principal, session, call.params.get("requestId"))
            return responses.empty_response(202)
        if not session:
            # The ids of different clients cannot be told apart. A client that leaves cancels its call all the same.
            return await self._answer_call(compiled, admitted, call, version, headers)
        return await self._answer_cancellable(compiled, admitted, call, version, session)

    async def _answer_call(
        self,
        compiled: CompiledCatalog,
        admitted: AdmittedRequest,
        call: Call,
        version: str,
        headers: Mapping[str, Sequence[str]],
    ) -> Response:
        """Check the headers of a tool's arguments, charge the rate limits, then run the method."""
        if call.id is None:
            raise ValueError("a notification has no answer")
        name = call.params.get("name")
        tool = compiled.tools.get(name) if call.method == "tools/call" and isinstance(name, str) else None
        declared = compiled.param_headers(tool) if call.modern and tool is not None else ()
        if declared:
            arguments = call.params.get("arguments")
            header = param_headers.find_mismatch(declared, arguments if isinstance(arguments, dict) else {}, headers)
            if header is not None:
                message = f"Header mismatch: {header} must be sent once, with the value of its argument"
                return responses.rpc_error(call.id, jsonrpc.HEADER_MISMATCH, message, 400)
        context = admitted.context if call.modern else admitted.context._replace(modern=False)
        record = context.record
        record.tool, record.modern = tool, call.modern
        meta = call.params.get("_meta")
        if isinstance(meta, dict) and isinstance(parent := meta.get("traceparent"), str):
            # Of this call; a header may be of whatever carried it.
            record.join_trace(parent)
        verdict = await self._limiter.admit(compiled.catalog.settings.limits, admitted.client, tool)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            if verdict.scope != "tool":
                return responses.too_many_requests(call.id, verdict)
            result = self._methods.report_rate_limit(compiled, call, verdict, context)
            return responses.json_response(jsonrpc.result(call.id, result))
        try:
            result = await self._methods.answer(compiled, call, version, context)
            if len(result) > MAX_COPIED:
                return Response(200, jsonrpc.result_head(call.id), responses.JSON, parts=(result, b"}"))
            return Response(200, jsonrpc.result(call.id, result), responses.JSON)
        except RpcError as error:
            record.error_code = error.code
            return responses.json_response(jsonrpc.error(call.id, error.code, error.message, error.data))

    async def _batch(
        self,
        compiled: CompiledCatalog,
        admitted: AdmittedRequest,
        items: list[object],
        headers: Mapping[str, Sequence[str]],
    ) -> Response:
        """Answer a JSON-RPC batch. Only `BATCH_VERSION` has batches."""
        admitted.request.operation = "batch"
        calls = [eras.classify(item, headers, compiled.tolerated) for item in items[: MAX_BATCH + 1]]
        if not 0 < len(calls) <= MAX_BATCH:
            message = f"a batch must hold 1 to {MAX_BATCH} messages"
            return responses.rpc_error(None, jsonrpc.INVALID_REQUEST, message, 400)
        if any(isinstance(call, Call) and (call.modern or call.method == "initialize") for call in calls):
            message = f"a batch must not hold initialize or messages of {eras.MODERN}; send each one alone"
            return responses.rpc_error(None, jsonrpc.INVALID_REQUEST, message, 400)
        version = await self._resume_session(compiled, admitted, headers, None)
        if isinstance(version, Response):
            return version
        if version != BATCH_VERSION:
            message = f"protocol version {version} has no batches; send one message per request"
            return responses.rpc_error(None, jsonrpc.INVALID_REQUEST, message, 400)
        answers, size = [], 0
        for call in calls:
            if isinstance(call, Refusal):
                answers.append(call.body)
            elif call.id is None:
                continue
            elif size > MAX_BATCH_ANSWER:
                message = (
                    f"not called: the answers before have more than {MAX_BATCH_ANSWER} bytes; send it in another batch"
                )
                answers.append(jsonrpc.error(call.id, jsonrpc.LIMITED, message))
            else:
                answers.append(await self._answer_part(compiled, admitted, call, version, headers))
            size += len(answers[-1])
        return responses.json_response(b"[" + b",".join(answers) + b"]") if answers else responses.empty_response(202)

    async def _answer_cancellable(
        self, compiled: CompiledCatalog, admitted: AdmittedRequest, call: Call, version: str, session: str
    ) -> Response:
        """Answer a call that the client may cancel by its id."""
        task = asyncio.current_task()
        key = (admitted.context.principal, session, call.id)
        if task is None or key in self._running:
            return await self._answer_call(compiled, admitted, call, version, admitted.request.headers)
        self._running[key] = task
        try:
            return await self._answer_call(compiled, admitted, call, version, admitted.request.headers)
        except asyncio.CancelledError:
            if task not in self._cancelled or task.uncancel():
                # The client left, whatever it said before.
                raise
            admitted.context.record.error_code = jsonrpc.CANCELLED
            return responses.rpc_error(call.id, jsonrpc.CANCELLED, "Request cancelled", 200)
        finally:
            del self._running[key]
            self._cancelled.discard(task)

    def _cancel(self, principal: str, session: str, identifier: object) -> None:
        """Cancel the call with this id, if it is in progress on this replica."""
        task = self._running.get((principal, session, identifier)) if isinstance(identifier, str | int) else None
        if task is not None and task not in self._cancelled:
            self._cancelled.add(task)
            task.cancel()

    async def _answer_part(
        self,
        compiled: CompiledCatalog,
        admitted: AdmittedRequest,
        call: Call,
        version: str,
        headers: Mapping[str, Sequence[str]],
    ) -> bytes:
        """Answer a call of a batch, which has a record of its own."""
        whole, record = admitted.context.record, CallRecord(admitted.context.request_id)
        record.tracer = whole.tracer
        record.follow(headers)
        record.operation = _operation(call)
        whole.calls = (*whole.calls, record)
        part = admitted._replace(context=admitted.context._replace(record=record))
        started = self._monotonic()
        try:
            response = await self._answer_call(compiled, part, call, version, headers)
            return b"".join((response.body, *response.parts))
        finally:
            record.seconds = self._monotonic() - started

    async def _initialize(self, compiled: CompiledCatalog, admitted: AdmittedRequest, call: Call) -> Response:
        """Open a session, unless the server is stateless."""
        if call.id is None:
            raise ValueError("a notification has no answer")
        settings = compiled.catalog.settings
        verdict = await self._limiter.admit(settings.limits, admitted.client, None)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            return responses.too_many_requests(call.id, verdict)
        requested = call.params.get("protocolVersion")
        version = requested if requested in eras.LEGACY else eras.LEGACY[0]
        headers = {}
        store = self._store(compiled)
        if store is not None:
            identifier = self._new_id()
            session = Session(version, admitted.context.principal)
            await store.create(identifier, session, settings.session_ttl, client=admitted.client)
            headers[SESSION] = identifier
        body = jsonrpc.result(call.id, methods.initialize(compiled, version, notifies=store is not None))
        return responses.json_response(body, headers=headers)

    async def _resume_session(
        self,
        compiled: CompiledCatalog,
        admitted: AdmittedRequest,
        headers: Mapping[str, Sequence[str]],
        identifier: str | int | None,
    ) -> str | Response:
        """The version of a message's session, or a refusal.

        ``identifier`` is the id of the message.
        """
        try:
            version = eras.header(headers, "MCP-Protocol-Version", tolerated=compiled.tolerated) or eras.UNNAMED
            session_id = eras.header(headers, SESSION, tolerated=compiled.tolerated)
        except eras.ConflictingHeaderError as error:
            return responses.rpc_error(identifier, jsonrpc.INVALID_REQUEST, f"Header mismatch: {error}", 400)
        if version not in eras.LEGACY:
            message = f'MCP-Protocol-Version "{version[:80]}" is not supported; use one of {", ".join(eras.LEGACY)}'
            return responses.rpc_error(identifier, jsonrpc.INVALID_REQUEST, message, 400)
        store = self._store(compiled)
        if store is None:
            return version
        if session_id is None:
            return responses.rpc_error(identifier, jsonrpc.INVALID_REQUEST, _NO_SESSION, 400)
        principal = admitted.context.principal
        settings = compiled.catalog.settings
        session = await store.use(session_id, principal, settings.session_ttl)
        if session is None:
            # Each costs a look into the store.
            verdict = await self._limiter.admit(settings.limits, admitted.client, None)
            if verdict.scope is not None:
                self._metrics.limited.labels(verdict.scope).inc()
                return responses.too_many_requests(identifier, verdict)
            message = "Session not found; send initialize to open a new one"
            return responses.rpc_error(identifier, jsonrpc.INVALID_REQUEST, message, 404)
        return session.version

    async def _end_session(self, compiled: CompiledCatalog, admitted: AdmittedRequest) -> Response:
        store = self._store(compiled)
        if store is None:
            return responses.empty_response(405, {"Allow": "POST"})
        try:
            session_id = eras.header(admitted.request.headers, SESSION, tolerated=compiled.tolerated)
        except eras.ConflictingHeaderError as error:
            return responses.rpc_error(None, jsonrpc.INVALID_REQUEST, f"Header mismatch: {error}", 400)
        if session_id is None:
            return responses.rpc_error(None, jsonrpc.INVALID_REQUEST, _NO_SESSION, 400)
        principal = admitted.context.principal
        if await store.end(session_id, principal):
            self._streams.end_session(SessionKey(compiled.catalog.settings.sessions, session_id, principal))
            return responses.empty_response(204)
        verdict = await self._limiter.admit(compiled.catalog.settings.limits, admitted.client, None)
        if verdict.scope is not None:
            self._metrics.limited.labels(verdict.scope).inc()
            return responses.too_many_requests(None, verdict)
        return responses.empty_response(404)

    def _store(self, compiled: CompiledCatalog) -> SessionStore | None:
        """The session store; None for a stateless server. A pod from before Redis was configured has no connection."""
        mode = compiled.catalog.settings.sessions
        if mode != "Stateless" and mode not in self._stores:
            raise StoreUnavailableError(f"this pod has no connection to {mode}; it is about to be replaced")
        return self._stores.get(mode)


def _may_listen(request: Request) -> bool:
    """Whether a GET is one of a client with a session. The oldest transport, and the stateless era, have none."""
    return SESSION.lower() in request.headers and request.header("mcp-protocol-version") != eras.MODERN


def _operation(call: Call) -> str:
    """The name of a call in the log."""
    name = call.params.get("name")
    # Any other value may be nested too deep to be written.
    return (f"{call.method} {name}" if name and isinstance(name, str) else call.method)[:MAX_OPERATION]


_NO_SESSION = f"missing header {SESSION}; send initialize to open a session"
