"""Backends that speak MCP: each tools/call becomes one tools/call of the backend, in the era that it supports.

Arguments and results pass unchanged. The client's token is never sent. If the backend requests something from its
client (input, sampling), the call fails, because such requests are not passed on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runtime.backends import faults
from runtime.backends.faults import CallError, Fate
from runtime.backends.http_mapping import mapping
from runtime.backends.mcp import mcp_wire, tool_pages
from runtime.backends.mcp.tool_pages import Listing, ToolPages
from runtime.http.exchange import Request
from runtime.mcp import eras, jsonrpc
from runtime.mcp.jsonrpc import RpcError
from runtime.telemetry.call_record import CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from crd.published.entries import Tool
    from crd.published.policy import Tls
    from runtime.http.exchange import Header, Reply
    from runtime.mcp.context import Context

__all__ = ["Eras", "HttpSender", "McpClient", "Target"]

SESSION = "mcp-session-id"
# Seconds that the end of a session may take after the result is there.
END_TIMEOUT = 1.0
# Seconds for which it is remembered that a backend speaks the stateless era, and that it does not. A proxy may have
# said so, or a backend that was being rolled out.
MODERN_TTL, LEGACY_TTL = 300.0, 60.0
# Backends, each with the credentials of one call.
MAX_PEERS = 4096
# Sessions that are being ended. A backend that ends no sessions must not collect ours here.
MAX_ENDING = 64
T = TypeVar("T")


class HttpSender(Protocol):
    """Sends a request and reads the whole reply. See `runtime.http.client.HttpClient.send`."""

    async def send(
        self,
        request: Request,
        timeout: float,
        *,
        tls: Tls | None = None,
        max_bytes: int = ...,
        ends: Callable[[bytes], bool] | None = None,
    ) -> Reply:
        """The reply, whatever its status. Raises CallError if there is none."""
        ...


class Eras(Protocol):
    """The eras of backends that all replicas of the server know. Nothing is raised if they cannot be reached."""

    async def find(self, name: str) -> tuple[bool, float] | None:
        """Whether a backend supports the stateless era, and for how many seconds that holds.

        None: the caller is to ask the backend, and then to call `put` or `give_up`.
        """
        ...

    async def put(self, name: str, *, is_modern: bool, seconds: float) -> None:
        """Tell all others."""
        ...

    async def give_up(self, name: str) -> None:
        """The backend did not say it. Others may ask."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """An MCP endpoint whose tools are listed, and with which credentials. ``protocol`` is Auto, Modern or Legacy."""

    url: str
    headers: tuple[Header, ...] = ()
    tls: Tls | None = None
    protocol: str = "Auto"


@dataclass(frozen=True, slots=True)
class _Peer:
    """A backend and the credentials with which one tool calls it, for the call of ``record``.

    ``source`` says where the credentials come from; empty for a listing. What a backend says of itself is shared with
    other replicas only if ``is_shared``: not where the client's headers are part of the question.
    """

    url: str
    headers: tuple[Header, ...]
    tls: Tls | None
    timeout: float
    max_bytes: int
    record: CallRecord
    source: str = ""
    is_shared: bool = False

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
    capabilities: frozenset[str] = frozenset()

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
    """``new_id`` makes request ids. ``monotonic`` gives seconds. ``eras`` is what other replicas know, if they tell.

    Eras are remembered for a time, shared sessions until the backend knows them no more.
    """

    def __init__(
        self,
        http: HttpSender,
        *,
        new_id: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
        eras: Eras | None = None,
    ) -> None:
        self._http = http
        self._shared_eras = eras
        self._new_id = new_id
        self._monotonic = monotonic
        self._eras: dict[str, tuple[bool, float]] = {}
        self._offers: dict[str, frozenset[str]] = {}
        self._sessions: dict[str, _Session] = {}
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait until the sessions of calls are ended, which takes `END_TIMEOUT` at most."""
        await asyncio.gather(*self._ending, *self._running.values(), return_exceptions=True)

    async def call(
        self, tool: Tool, arguments: Mapping[str, Any], context: Context, headers: tuple[Header, ...], timeout: float
    ) -> dict[str, Any]:
        """The result of tools/call. Raises CallError, or RpcError for an error of the backend."""
        mcp = tool.mcp
        if mcp is None:
            raise ValueError(f"the backend of tool {tool.source} does not speak MCP")
        max_bytes = tool.policy.response.max_bytes or context.settings.max_response_bytes
        policy, url = tool.policy, mapping.base_url(tool.backend) + mcp.path
        source, is_shared = f"{url} {policy.headers_from!r}", not policy.forward_headers
        peer = _Peer(url, headers, policy.tls, timeout, max_bytes, context.record, source, is_shared)
        params = {"name": mcp.tool, "arguments": dict(arguments)}
        progress = _Progress(tool.idempotent)
        session: _Session | None = None
        try:
            async with asyncio.timeout(timeout):
                if mcp.protocol == "Modern" or (mcp.protocol == "Auto" and await self._detect_modern(peer)):
                    routing = mcp_wire.routing_headers(mcp.tool, tool.input_schema, arguments)
                    sent = mcp_wire.modern_headers("tools/call") + routing
                    result, text = await self._call_tool(
                        peer, mcp_wire.with_meta(params, context.record.next_span()), sent, progress
                    )
                elif mcp.session == "Shared":
                    result, text = await self._call_in_shared_session(peer, params, progress)
                else:
                    session = await self._open(peer)
                    result, text = await self._call_tool(peer, params, session.headers, progress)
        except TimeoutError as error:
            if not progress.is_called:
                raise faults.before_call(faults.timeout(timeout, idempotent=True)) from error
            raise faults.timeout(timeout, idempotent=tool.idempotent) from error
        except CallError as fault:
            # Not from itself: a fault that is its own cause is left to the garbage collector.
            raise fault if progress.is_called else faults.before_call(fault) from fault.__cause__
        finally:
            # The result is there, or will never be.
            self._end_later(peer, session)
        return mcp_wire.tool_result(result, tool, modern=context.modern, request_id=context.request_id, text=text)

    async def list_tools(self, target: Target, timeout: float) -> Listing:
        """The tools that a server lists, as far as they arrive within ``timeout`` seconds and the bounds of a list."""
        record = CallRecord(self._new_id())
        peer = _Peer(target.url, target.headers, target.tls, timeout, tool_pages.MAX_PAGE_BYTES, record)
        pages, fault, session = ToolPages(), "", None
        try:
            async with asyncio.timeout(timeout):
                if target.protocol == "Modern" or (target.protocol == "Auto" and await self._detect_modern(peer)):
                    headers = mcp_wire.modern_headers("tools/list")
                else:
                    session = await self._open(peer)
                    headers = session.headers
                cursor: str | None = ""
                while cursor is not None:
                    params: dict[str, Any] = {"cursor": cursor} if cursor else {}
                    params = params if session is not None else mcp_wire.with_meta(params)
                    identifier, reply = await self._post(peer, "tools/list", params, headers)
                    cursor = pages.add(_result(identifier, reply, idempotent=True)[0], len(reply.body))
        except TimeoutError:
            fault = f"timeout: the list did not end within {timeout:g} s"
        except CallError as error:
            fault = str(error)
        except RpcError as error:
            fault = f"the server answered with error {error.code}: {error.message}"
        finally:
            self._end_later(peer, session)
        offers = session.capabilities if session else self._offers.get(peer.key, frozenset[str]())
        return Listing(tuple(pages.tools), fault, offers)

    def _end_later(self, peer: _Peer, session: _Session | None) -> None:
        """End a session of one call. Nobody waits for it."""
        if session is not None and session.identifier is not None and len(self._ending) < MAX_ENDING:
            ending = asyncio.create_task(self._end(peer, session))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _detect_modern(self, peer: _Peer) -> bool:
        """Whether a backend supports the stateless era. It is asked by ``server/discover``, by one call for all."""
        key = peer.key
        known = self._eras.get(key)
        # A listing needs to know what the server offers, too.
        is_enough = bool(peer.source) or key in self._offers
        if is_enough and known is not None and known[1] > self._monotonic():
            return known[0]
        return await self._once(f"era {key}", lambda: self._ask_era(peer, key))

    async def _ask_era(self, peer: _Peer, key: str) -> bool:
        name, shared = peer.source, self._shared_eras if peer.is_shared else None
        known = await shared.find(name) if shared is not None else None
        if known is not None:
            is_modern, seconds = known
        else:
            try:
                is_modern = await self._discover(peer)
            except BaseException:
                if shared is not None:
                    await shared.give_up(name)
                raise
            seconds = MODERN_TTL if is_modern else LEGACY_TTL
            if shared is not None:
                await shared.put(name, is_modern=is_modern, seconds=seconds)
        _remember(self._eras, key, (is_modern, self._monotonic() + seconds))
        return is_modern

    async def _discover(self, peer: _Peer) -> bool:
        params, headers = mcp_wire.with_meta({}), mcp_wire.modern_headers("server/discover")
        _, reply = await self._post(peer, "server/discover", params, headers)
        if reply.status >= 500 or reply.status in (401, 403, 429):
            raise faults.from_reply(reply, idempotent=True)
        _remember(self._offers, peer.key, mcp_wire.capabilities_of(reply))
        return mcp_wire.speaks_modern(reply)

    async def _once(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of what is done once for all that ask while it is being done.

        It is not given up when one of them leaves. Its requests have the deadline of the call that began it.
        """
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._forget(name, done))
        result: T = await asyncio.shield(task)
        return result

    def _forget(self, name: str, task: asyncio.Task[Any]) -> None:
        del self._running[name]
        if not task.cancelled():
            # Everybody who asked may have left.
            task.exception()

    async def _call_tool(
        self, peer: _Peer, params: Mapping[str, Any], headers: tuple[Header, ...], progress: _Progress
    ) -> tuple[dict[str, Any], str]:
        """The result of tools/call, and its text. From here on a fault is one of the call itself."""
        progress.is_called = True
        peer.record.attempts += 1
        posted = await self._post(peer, "tools/call", params, headers, idempotent=progress.idempotent)
        return _result(*posted, idempotent=progress.idempotent, exact=True)

    async def _call_in_shared_session(
        self, peer: _Peer, params: Mapping[str, Any], progress: _Progress
    ) -> tuple[dict[str, Any], str]:
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
        key = peer.key
        session = self._sessions.get(key)
        if session is None or session == stale:
            session = await self._once(f"session {key}", lambda: self._open_shared(peer, key))
        return session

    async def _open_shared(self, peer: _Peer, key: str) -> _Session:
        session = await self._open(peer)
        _remember(self._sessions, key, session)
        return session

    async def _open(self, peer: _Peer) -> _Session:
        identifier, reply = await self._post(peer, "initialize", mcp_wire.initialize_params(eras.LEGACY[0]), ())
        result, _ = _result(identifier, reply, idempotent=True)
        version = result.get("protocolVersion")
        if version not in eras.LEGACY:
            what = "names no version of MCP as a string"
            if isinstance(version, str):
                what = f"speaks MCP version {version[:40]}"
            message = f"the backend {what}; supported are {', '.join(eras.SERVED)}"
            raise CallError("bad_response", message)
        session = _Session(version, reply.headers.get(SESSION), mcp_wire.capabilities(result))
        await self._send(peer, "POST", jsonrpc.request(None, "notifications/initialized"), session.headers)
        return session

    async def _end(self, peer: _Peer, session: _Session) -> None:
        """End a session. If that fails, the backend ends it by its own timeout."""
        try:
            await self._send(replace(peer, timeout=END_TIMEOUT), "DELETE", None, session.headers)
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
        ends = mcp_wire.ResponseWatch(identifier).ends
        return identifier, await self._send(peer, "POST", body, headers, idempotent=idempotent, ends=ends)

    async def _send(
        self,
        peer: _Peer,
        method: str,
        body: bytes | None,
        headers: tuple[Header, ...],
        *,
        idempotent: bool = True,
        ends: Callable[[bytes], bool] | None = None,
    ) -> Reply:
        content_type = (("Content-Type", "application/json"),) if body is not None else ()
        accept = ("Accept", "application/json, text/event-stream")
        sent = (*content_type, accept, *headers, *peer.headers, *peer.record.trace_headers())
        request = Request(method, peer.url, sent, body, idempotent)
        peer.record.sent += len(body or b"")
        reply = await self._http.send(request, peer.timeout, tls=peer.tls, max_bytes=peer.max_bytes, ends=ends)
        peer.record.received += len(reply.body)
        return reply


def _remember(known: dict[str, T], key: str, value: T) -> None:
    """Keep a value; above `MAX_PEERS` the oldest one is forgotten."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MAX_PEERS:
        del known[next(iter(known))]


def _result(identifier: str, reply: Reply, *, idempotent: bool, exact: bool = False) -> tuple[dict[str, Any], str]:
    """The result of request ``identifier``, and the text of the message that holds it.

    Raises RpcError for a JSON-RPC error, CallError without a response.
    """
    message, text = mcp_wire.find_response(reply, identifier, exact=exact) or ({}, "")
    error = message.get("error")
    # A 404 means that the session has ended, whatever the body says.
    if isinstance(error, dict) and reply.status != 404:
        raise mcp_wire.translate_error(error)
    if not 200 <= reply.status < 300:
        raise faults.from_reply(reply, idempotent=idempotent)
    result = message.get("result")
    if not isinstance(result, dict):
        what = "the backend's reply contains no JSON-RPC result for the request"
        # In MCP a 2xx status says nothing about the request; the result would.
        raise CallError("bad_response", what, Fate.UNKNOWN, idempotent=idempotent, status=reply.status)
    return result, text
