"""Backends that speak MCP themselves: one tools/call there for one here, in whichever era they are.

Arguments and results pass unchanged; the client's token never does. What the other server asks its client for (input,
sampling) is not passed on: a call that needs it fails and says so.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.backends.mcp import mcp_wire
from runtime.mcp import eras

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crd.published.entries import Mcp, Tool
    from crd.published.policy import Tls
    from runtime.http.client import Exchanged
    from runtime.mcp.context import Context

__all__ = ["Exchanger", "McpUpstream"]

Header = tuple[str, str]
SESSION = "mcp-session-id"


class Exchanger(Protocol):
    """The one door to HTTP."""

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Sequence[Header],
        body: bytes | None,
        timeout: float,
        tls: Tls | None = None,
    ) -> Exchanged:
        """A request and the whole of its reply, whatever the status. Raises CallError if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Peer:
    """Another server as one set of credentials sees it."""

    url: str
    headers: tuple[Header, ...]
    tls: Tls | None
    timeout: float

    @property
    def key(self) -> str:
        """Names it without naming a credential."""
        digest = hashlib.sha256(repr(self.headers).encode()).hexdigest()
        return f"{self.url} {digest}"


@dataclass(frozen=True, slots=True)
class _Session:
    """An initialized legacy peer; some give out no identifier."""

    version: str
    identifier: str | None

    @property
    def headers(self) -> tuple[Header, ...]:
        named = ((SESSION, self.identifier),) if self.identifier else ()
        # The header came with 2025-06-18.
        return (*named, ("MCP-Protocol-Version", self.version)) if self.version >= "2025-06-18" else named


class McpUpstream:
    """``mint`` makes identifiers of requests. Eras and shared sessions are kept for as long as the process lives."""

    def __init__(self, exchanger: Exchanger, *, mint: Callable[[], str]) -> None:
        self._exchanger = exchanger
        self._mint = mint
        self._modern: dict[str, bool] = {}
        self._sessions: dict[str, _Session] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def call(
        self, tool: Tool, arguments: Mapping[str, Any], context: Context, headers: tuple[Header, ...], timeout: float
    ) -> dict[str, Any]:
        """The result of tools/call. Raises CallError, or RpcError for an error that the other server answers."""
        if tool.mcp is None:
            raise ValueError(f"{tool.source} is no MCP backend")
        backend = tool.backend
        if backend.port == 0:
            raise CallError("misconfigured", f"Service {backend.host} has no such port; see the object's conditions")
        url = f"{backend.scheme}://{backend.host}:{backend.port}{tool.mcp.path}"
        peer = _Peer(url, headers, tool.policy.tls, timeout)
        try:
            async with asyncio.timeout(timeout):
                answer = await self._called(tool, tool.mcp, arguments, peer)
        except TimeoutError as error:
            raise CallError("timeout", f"no reply within {timeout:g} s", retryable=tool.idempotent) from error
        return mcp_wire.result(answer, modern=context.modern)

    async def _called(self, tool: Tool, mcp: Mcp, arguments: Mapping[str, Any], peer: _Peer) -> dict[str, Any]:
        params = {"name": mcp.tool, "arguments": dict(arguments)}
        if await self._is_modern(mcp, peer):
            more = mcp_wire.routing(mcp.tool, tool.input_schema, arguments)
            return await self._asked(
                peer, "tools/call", mcp_wire.signed(params), mcp_wire.modern_headers("tools/call") + more
            )
        if mcp.session == "Shared":
            return await self._in_shared_session(peer, params)
        session = await self._open(peer)
        try:
            return await self._asked(peer, "tools/call", params, session.headers)
        finally:
            await self._ended(peer, session)

    async def _is_modern(self, mcp: Mcp, peer: _Peer) -> bool:
        """The era of a peer: as its author says, else as it answers to ``server/discover``, once."""
        if mcp.protocol != "Auto":
            return mcp.protocol == "Modern"
        if peer.key not in self._modern:
            reply = await self._posted(
                peer, "server/discover", mcp_wire.signed({}), mcp_wire.modern_headers("server/discover")
            )
            if reply.status >= 500 or reply.status in (401, 403, 429):
                raise _refused(reply)
            self._modern[peer.key] = mcp_wire.speaks_modern(reply.body, reply.headers)
        return self._modern[peer.key]

    async def _in_shared_session(self, peer: _Peer, params: Mapping[str, Any]) -> dict[str, Any]:
        session = await self._shared(peer, None)
        try:
            return await self._asked(peer, "tools/call", params, session.headers)
        except CallError as fault:
            if fault.status != 404 or session.identifier is None:
                raise
        # The other server has forgotten it; one that forgets a new one at once is broken.
        session = await self._shared(peer, session)
        return await self._asked(peer, "tools/call", params, session.headers)

    async def _shared(self, peer: _Peer, stale: _Session | None) -> _Session:
        """The session that all calls share, opened by one of them; ``stale`` is one that is to be replaced."""
        async with self._opening.setdefault(peer.key, asyncio.Lock()):
            known = self._sessions.get(peer.key)
            if known is None or known == stale:
                known = self._sessions[peer.key] = await self._open(peer)
            return known

    async def _open(self, peer: _Peer) -> _Session:
        reply = await self._posted(peer, "initialize", mcp_wire.introduction(eras.LEGACY[0]), ())
        result = _result(reply, reply.identifier)
        version = result.get("protocolVersion")
        if version not in eras.LEGACY:
            raise CallError("bad_response", f"the backend speaks {version}, which is not spoken here")
        session = _Session(version, reply.headers.get(SESSION))
        await self._exchanged(peer, "POST", mcp_wire.notification("notifications/initialized"), session.headers)
        return session

    async def _ended(self, peer: _Peer, session: _Session) -> None:
        """Tell the other server that the session is over; if it does not hear, the session ends by its own time."""
        if session.identifier is not None:
            try:
                await self._exchanged(peer, "DELETE", None, session.headers)
            except CallError:
                return

    async def _asked(
        self, peer: _Peer, method: str, params: Mapping[str, Any], headers: tuple[Header, ...]
    ) -> dict[str, Any]:
        reply = await self._posted(peer, method, params, headers)
        return _result(reply, reply.identifier)

    async def _posted(
        self, peer: _Peer, method: str, params: Mapping[str, Any], headers: tuple[Header, ...]
    ) -> _Answered:
        identifier = self._mint()
        body = mcp_wire.request(identifier, method, params)
        reply = await self._exchanged(peer, "POST", body, headers)
        return _Answered(reply.status, reply.headers, reply.body, identifier)

    async def _exchanged(self, peer: _Peer, method: str, body: bytes | None, headers: tuple[Header, ...]) -> Exchanged:
        types = (("Content-Type", "application/json"),) if body is not None else ()
        accept = ("Accept", "application/json, text/event-stream")
        sent = (*types, accept, *headers, *peer.headers)
        return await self._exchanger.exchange(method, peer.url, sent, body, peer.timeout, peer.tls)


@dataclass(frozen=True, slots=True)
class _Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes
    identifier: str


def _refused(reply: _Answered) -> CallError:
    return faults.of_status(reply.status, reply.body, idempotent=False, retry_after=reply.headers.get("retry-after"))


def _result(reply: _Answered, identifier: str) -> dict[str, Any]:
    """The result in a reply. Raises RpcError for a JSON-RPC error, CallError for anything that is no answer."""
    message = mcp_wire.answer(reply.body, reply.headers, identifier)
    error = message.get("error") if message else None
    # A 404 means that the session is gone, whatever stands in its body.
    if isinstance(error, dict) and reply.status != 404:
        raise mcp_wire.passed_on(error)
    if not 200 <= reply.status < 300:
        raise _refused(reply)
    result = message.get("result") if message else None
    if not isinstance(result, dict):
        raise CallError("bad_response", "the backend answered no JSON-RPC result")
    return result
