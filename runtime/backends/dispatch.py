"""All calls to backends, each with the policies of its entry: credentials, time, bulkhead, breaker, retries."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from crd.published.policy import Policy
from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping, mapping, replies
from runtime.backends.http_mapping.replies import Reply
from runtime.backends.resilience import PER_HOST, Breakers, Bulkheads, RetryBudget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from crd.published.entries import Backend, HttpResource, Operation, Tool
    from runtime.backends.http_mapping.mapping import Request
    from runtime.backends.secret_files import SecretFiles
    from runtime.http.client import Upstream
    from runtime.mcp.context import Context

__all__ = ["Backends", "McpCaller"]

Header = tuple[str, str]
BACKOFF, MAX_BACKOFF = 0.1, 2.0
_PLAIN = Policy()


class McpCaller(Protocol):
    """Calls a backend that speaks MCP itself."""

    async def call(
        self, tool: Tool, arguments: Mapping[str, Any], context: Context, headers: tuple[Header, ...], timeout: float
    ) -> dict[str, Any]:
        """A result of tools/call. Raises CallError, or RpcError for an error of the other server."""
        ...


class Backends:
    """One a process. ``jitter`` gives numbers from 0 to 1, ``mint`` unguessable words, ``monotonic`` seconds."""

    def __init__(
        self,
        files: SecretFiles,
        upstream: Upstream,
        mcp: McpCaller,
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        mint: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._files = files
        self._upstream = upstream
        self._mcp = mcp
        self._monotonic = monotonic
        self._jitter = jitter
        self._mint = mint
        self._sleep = sleep
        self._bulkheads = Bulkheads()
        self._breakers = Breakers(monotonic)
        self._budget = RetryBudget(monotonic)

    async def call(self, tool: Tool, arguments: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The result of tools/call. ``arguments`` satisfy the listed inputSchema. Raises CallError, or RpcError."""
        if tool.mcp is not None:
            headers = self._headers(tool.policy, context)
            with self._guarded(f"tool {tool.source}", tool.backend, tool.policy):
                return await self._mcp.call(tool, arguments, context, headers, _timeout(tool.policy, context))
        request = self._marked(tool, mapping.of_tool(tool, arguments, context.claims))
        reply = await self._sent(_Call(f"tool {tool.source}", tool.backend, tool.policy, request, context))
        return replies.success(reply, tool, modern=context.modern, request_id=context.request_id)

    async def ask(self, tool: Tool, arguments: Mapping[str, Any], context: Context) -> Reply:
        """The backend's reply, whatever its status: for the tool's plain-HTTP door. Raises CallError."""
        if tool.mcp is not None:
            result = await self.call(tool, arguments, context)
            return Reply(200, "application/json", orjson.dumps(result))
        request = self._marked(tool, mapping.of_tool(tool, arguments, context.claims))
        return await self._asked(_Call(f"tool {tool.source}", tool.backend, tool.policy, request, context))

    async def read(self, resource: HttpResource, values: Mapping[str, str], context: Context) -> Reply:
        """The content of a resource, as far as it is selected. Raises CallError."""
        request = mapping.of_resource(resource, values, context.claims)
        call = _Call(f"resource {resource.source}", resource.backend, resource.policy, request, context)
        return replies.selected(await self._sent(call), resource.policy.response)

    async def operate(
        self, operation: Operation, values: Mapping[str, str], body: bytes | None, context: Context
    ) -> Reply:
        """The backend's reply, whatever its status. Raises CallError."""
        request = mapping.of_operation(operation, values, body)
        return await self._asked(_Call(f"resource {operation.source}", operation.backend, _PLAIN, request, context))

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    async def _asked(self, call: _Call) -> Reply:
        """Like `_sent`, but a refusal is an answer too."""
        try:
            return await self._sent(call)
        except CallError:
            if call.refusals:
                return call.refusals[-1]
            raise

    async def _sent(self, call: _Call) -> Reply:
        """The reply, if its status is expected. Raises CallError for anything else, after all attempts."""
        policy = call.policy
        headers = _merged(call.request.headers, self._headers(policy, call.context))
        call = replace(call, request=replace(call.request, headers=headers))
        deadline = self._monotonic() + _timeout(policy, call.context)
        self._budget.called(call.host)
        with self._guarded(call.source, call.backend, policy):
            for attempt in range(policy.retries.attempts + 1):
                try:
                    return await self._once(call, deadline)
                except CallError as fault:
                    pause = self._pause(fault, call, attempt, deadline)
                    if pause is None:
                        raise
                await self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, call: _Call, deadline: float) -> Reply:
        wanted = call.policy.response
        reply = await self._upstream.ask(
            call.request,
            max(0.001, deadline - self._monotonic()),
            tls=call.policy.tls,
            max_bytes=wanted.max_bytes or call.context.settings.max_response_bytes,
            cut=wanted.on_too_large == "Truncate",
        )
        if replies.expected(reply.status, wanted.expect_status):
            return reply
        call.refusals.append(reply)
        raise faults.of_status(
            reply.status, reply.body, idempotent=call.request.idempotent, retry_after=reply.retry_after
        )

    def _pause(self, fault: CallError, call: _Call, attempt: int, deadline: float) -> float | None:
        """Seconds until the next attempt; None if there is none: by the policy, the time left, or the budget."""
        retries = call.policy.retries
        if attempt >= retries.attempts or not call.request.idempotent or _class(fault) not in retries.on:
            return None
        pause = self._jitter() * min(MAX_BACKOFF, BACKOFF * float(2**attempt))
        pause = max(pause, float(fault.retry_after or 0))
        if self._monotonic() + pause >= deadline or not self._budget.take(call.host):
            return None
        return pause

    @contextmanager
    def _guarded(self, source: str, backend: Backend, policy: Policy) -> Iterator[None]:
        host = f"{backend.host}:{backend.port}"
        with (
            self._bulkheads.within(host, PER_HOST),
            self._bulkheads.within(source, policy.concurrency or PER_HOST),
            self._breakers.through(source, policy.breaker),
        ):
            yield

    def _headers(self, policy: Policy, context: Context) -> tuple[Header, ...]:
        """What comes out of Secrets and ConfigMaps, and what of the client's request is passed on."""
        stored = [self._files.header(wanted) for wanted in policy.headers_from]
        passed = [
            (wanted.backend_header, escaping.header(wanted.name, context.headers[wanted.name.lower()]))
            for wanted in policy.forward_headers
            if wanted.name.lower() in context.headers
        ]
        return (*passed, *stored)

    def _marked(self, tool: Tool, request: Request) -> Request:
        """One key for all attempts, by which a backend can tell a repeated call from another one."""
        if request.method not in ("POST", "PATCH") or not (tool.policy.retries.attempts and request.idempotent):
            return request
        return replace(request, headers=(*request.headers, ("Idempotency-Key", self._mint())))


@dataclass(frozen=True, slots=True)
class _Call:
    """One call with all its attempts; ``refusals`` are the replies whose status was not expected."""

    source: str
    backend: Backend
    policy: Policy
    request: Request
    context: Context
    refusals: list[Reply] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"{self.backend.host}:{self.backend.port}"


def _timeout(policy: Policy, context: Context) -> float:
    """How long the whole call may take: the entry's time, within the server's."""
    bound = context.settings.request_timeout
    return min(policy.timeout or bound, bound)


def _merged(mapped: tuple[Header, ...], added: tuple[Header, ...]) -> tuple[Header, ...]:
    """The headers of a request; a stored or forwarded one takes the place of a mapped one of its name."""
    names = {name.lower() for name, _ in added}
    return (*(header for header in mapped if header[0].lower() not in names), *added)


def _class(fault: CallError) -> str:
    """The word of ``retryOn`` for a fault; empty for one that no retry mends."""
    if fault.status is None:
        return "connect" if fault.code == "unreachable" else ""
    return "429" if fault.status == 429 else "5xx" if fault.status >= 500 else ""
