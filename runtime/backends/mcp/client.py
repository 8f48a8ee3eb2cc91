"""Backends that speak MCP: each tools/call becomes one tools/call of the backend, in the era that it supports.

Arguments and results pass unchanged. The client's token is never sent. If the backend requests something from its
client (input, sampling), the call fails, because such requests are not passed on.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from runtime.backends import faults
from runtime.backends.faults import CallError, Fate
from runtime.backends.http_mapping import mapping
from runtime.backends.mcp import mcp_wire
from runtime.http.exchange import Request
from runtime.mcp import eras, jsonrpc
from runtime.telemetry.call_record import CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crd.published.entries import Tool
    from crd.published.policy import Tls
    from runtime.http.exchange import Header, Reply
    from runtime.mcp.context import Context

__all__ = ["HttpSender", "McpClient"]

SESSION = "mcp-session-id"
# Seconds that the end of a session may take after the result is there.
END_TIMEOUT = 1.0


class HttpSender(Protocol):
    """Sends a request and reads the whole reply. See `runtime.http.client.HttpClient.send`."""

    async def send(self, request: Request, timeout: float, *, tls: Tls | None = None) -> Reply:
        """The reply, whatever its status. Raises CallError if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Peer:
    """A backend and the credentials with which one tool calls it, for the call of ``record``."""

    url: str
    headers: tuple[Header, ...]
    tls: Tls | None
    timeout: float
    record: CallRecord = field(default_factory=CallRecord, compare=False)

    @property
    def key(self) -> str:
        """Identifies URL and credentials, without revealing the credentials."""
        digest = hashlib.sha256(repr(self.headers).encode()).hexdigest()
        return f"{self.url} {digest}"


@dataclass(frozen=True, slots=True)
class _Session:
    """A session of the era of sessions. Some servers assign no identifier."""

    version: str
    identifier: str | None

    @property
    def headers(self) -> tuple[Header, ...]:
        session = ((SESSION, self.identifier),) if self.identifier else ()
        # The version header was introduced in 2025-06-18.
        return (*session, ("MCP-Protocol-Version", self.version)) if self.version >= "2025-06-18" else session


@dataclass(slots=True)
class _Progress:
    """Whether tools/call itself has been sent, after the messages that open a session."""

    idempotent: bool
    is_called: bool = False


class McpClient:
    """``new_id`` makes request ids. Eras and shared sessions are cached for the life of the process."""

    def __init__(self, http: HttpSender, *, new_id: Callable[[], str]) -> None:
        self._http = http
        self._new_id = new_id
        self._is_modern: dict[str, bool] = {}
        self._sessions: dict[str, _Session] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def call(
        self, tool: Tool, arguments: Mapping[str, Any], context: Context, headers: tuple[Header, ...], timeout: float
    ) -> dict[str, Any]:
        """The result of tools/call. Raises CallError, or RpcError for an error of the backend."""
        mcp = tool.mcp
        if mcp is None:
            raise ValueError(f"the backend of tool {tool.source} does not speak MCP")
        peer = _Peer(mapping.base_url(tool.backend) + mcp.path, headers, tool.policy.tls, timeout, context.record)
        params = {"name": mcp.tool, "arguments": dict(arguments)}
        progress = _Progress(tool.idempotent)
        session: _Session | None = None
        try:
            async with asyncio.timeout(timeout):
                if mcp.protocol == "Modern" or (mcp.protocol == "Auto" and await self._detect_modern(peer)):
                    routing = mcp_wire.routing_headers(mcp.tool, tool.input_schema, arguments)
                    sent = mcp_wire.modern_headers("tools/call") + routing
                    result = await self._call_tool(
                        peer, mcp_wire.with_meta(params, context.record.next_span()), sent, progress
                    )
                elif mcp.session == "Shared":
                    result = await self._call_in_shared_session(peer, params, progress)
                else:
                    session = await self._open(peer)
                    result = await self._call_tool(peer, params, session.headers, progress)
        except TimeoutError as error:
            if not progress.is_called:
                raise faults.before_call(faults.timeout(timeout, idempotent=True)) from error
            raise faults.timeout(timeout, idempotent=tool.idempotent) from error
        except CallError as fault:
            raise fault if progress.is_called else faults.before_call(fault) from fault
        finally:
            # After the deadline of the call: its result is there, or will never be.
            if session is not None:
                await self._end(peer, session)
        return mcp_wire.tool_result(result, tool, modern=context.modern, request_id=context.request_id)

    async def _detect_modern(self, peer: _Peer) -> bool:
        """Whether a backend supports the stateless era. It is asked once, by ``server/discover``."""
        if peer.key not in self._is_modern:
            params, headers = mcp_wire.with_meta({}), mcp_wire.modern_headers("server/discover")
            _, reply = await self._post(peer, "server/discover", params, headers)
            if reply.status >= 500 or reply.status in (401, 403, 429):
                raise faults.from_reply(reply, idempotent=True)
            self._is_modern[peer.key] = mcp_wire.speaks_modern(reply)
        return self._is_modern[peer.key]

    async def _call_tool(
        self, peer: _Peer, params: Mapping[str, Any], headers: tuple[Header, ...], progress: _Progress
    ) -> dict[str, Any]:
        """The result of tools/call. From here on a fault is one of the call itself."""
        progress.is_called = True
        peer.record.attempts += 1
        posted = await self._post(peer, "tools/call", params, headers, idempotent=progress.idempotent)
        return _result(*posted, idempotent=progress.idempotent)

    async def _call_in_shared_session(
        self, peer: _Peer, params: Mapping[str, Any], progress: _Progress
    ) -> dict[str, Any]:
        session = await self._share(peer, None)
        try:
            return await self._call_tool(peer, params, session.headers, progress)
        except CallError as fault:
            if fault.status != 404 or session.identifier is None:
                raise
        # The backend no longer knows the session, so it did not run the tool. Open a new one, once.
        progress.is_called = False
        session = await self._share(peer, session)
        return await self._call_tool(peer, params, session.headers, progress)

    async def _share(self, peer: _Peer, stale: _Session | None) -> _Session:
        """The session that all calls to a peer share. One call opens it; ``stale`` is a session to replace."""
        async with self._opening.setdefault(peer.key, asyncio.Lock()):
            session = self._sessions.get(peer.key)
            if session is None or session == stale:
                session = self._sessions[peer.key] = await self._open(peer)
            return session

    async def _open(self, peer: _Peer) -> _Session:
        identifier, reply = await self._post(peer, "initialize", mcp_wire.initialize_params(eras.LEGACY[0]), ())
        version = _result(identifier, reply, idempotent=True).get("protocolVersion")
        if version not in eras.LEGACY:
            message = f"the backend speaks MCP version {str(version)[:40]}; supported are {', '.join(eras.SERVED)}"
            raise CallError("bad_response", message)
        session = _Session(version, reply.headers.get(SESSION))
        await self._send(peer, "POST", jsonrpc.request(None, "notifications/initialized"), session.headers)
        return session

    async def _end(self, peer: _Peer, session: _Session) -> None:
        """End a session. If that fails, the backend ends it by its own timeout."""
        if session.identifier is not None:
            try:
                await self._send(replace(peer, timeout=min(peer.timeout, END_TIMEOUT)), "DELETE", None, session.headers)
            except CallError:
                return

    async def _post(
        self,
        peer: _Peer,
        method: str,
        params: Mapping[str, Any],
        headers: tuple[Header, ...],
        *,
        idempotent: bool = True,
    ) -> tuple[str, Reply]:
        """The id of a request, and the reply. ``idempotent``: the request may be sent twice."""
        identifier = self._new_id()
        body = jsonrpc.request(identifier, method, params)
        return identifier, await self._send(peer, "POST", body, headers, idempotent=idempotent)

    async def _send(
        self, peer: _Peer, method: str, body: bytes | None, headers: tuple[Header, ...], *, idempotent: bool = True
    ) -> Reply:
        content_type = (("Content-Type", "application/json"),) if body is not None else ()
        accept = ("Accept", "application/json, text/event-stream")
        sent = (*content_type, accept, *headers, *peer.headers, *peer.record.trace_headers())
        request = Request(method, peer.url, sent, body, idempotent)
        peer.record.sent += len(body or b"")
        reply = await self._http.send(request, peer.timeout, tls=peer.tls)
        peer.record.received += len(reply.body)
        return reply


def _result(identifier: str, reply: Reply, *, idempotent: bool) -> dict[str, Any]:
    """The result of request ``identifier``. Raises RpcError for a JSON-RPC error, CallError without a response."""
    message = mcp_wire.find_response(reply, identifier)
    error = message.get("error") if message else None
    # A 404 means that the session has ended, whatever the body says.
    if isinstance(error, dict) and reply.status != 404:
        raise mcp_wire.translate_error(error)
    if not 200 <= reply.status < 300:
        raise faults.from_reply(reply, idempotent=idempotent)
    result = message.get("result") if message else None
    if not isinstance(result, dict):
        what = "the backend's reply contains no JSON-RPC result for the request"
        # In MCP a 2xx status says nothing about the request; the result would.
        raise CallError("bad_response", what, Fate.UNKNOWN, idempotent=idempotent, status=reply.status)
    return result
