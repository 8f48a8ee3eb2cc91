"""All calls to backends, each under the policy of its entry: credentials, timeout, bulkhead, breaker, retries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from crd.published.policy import Policy
from runtime.backends import faults
from runtime.backends.faults import CallError, Fate
from runtime.backends.http_mapping import escaping, mapping, replies
from runtime.backends.resilience import PER_HOST, Breakers, Bulkheads, Protection, RetryBudget, backend_share
from runtime.http.exchange import Reply, Request
from runtime.mcp import numbers
from runtime.mcp.jsonrpc import RpcError
from runtime.telemetry.call_record import TOOL_ERROR

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from crd.published.entries import HttpResource, Operation, Tool
    from crd.published.pins import Verdict
    from runtime.backends.http_mapping.mapping import Mapper
    from runtime.backends.secret_files import SecretFiles
    from runtime.http.client import HttpClient
    from runtime.http.exchange import Header
    from runtime.mcp.context import Context
    from runtime.telemetry.call_record import CallRecord

    CallOnce = Callable[[tuple[Header, ...], float], Awaitable["T"]]

__all__ = ["Dispatcher", "McpCaller"]

# Seconds: the upper bound of the first pause before a retry, and of any pause.
BACKOFF, MAX_BACKOFF = 0.1, 2.0
MAX_MAPPERS = 20_000
MAX_HOSTS = 4096
_NO_POLICY = Policy()
T = TypeVar("T")


class McpCaller(Protocol):
    """Calls a backend that speaks MCP."""

    async def call(
        self, tool: Tool, arguments: Mapping[str, Any], context: Context, headers: tuple[Header, ...], timeout: float
    ) -> dict[str, Any]:
        """The result of tools/call. Raises CallError, or RpcError for an error of the backend."""
        ...


class Dispatcher:
    """One per process. ``jitter`` gives numbers from 0 to 1, ``monotonic`` seconds, ``new_id`` unguessable ids.

    ``verdict`` gives the last verdict on a pinned tool of another MCP server, None if there is none.

    ``on_fault`` is called with each fault that a call to a backend ends with, ``on_retry`` with each that is followed
    by another attempt, ``on_open`` when a circuit breaker opens.
    """

    def __init__(
        self,
        files: SecretFiles,
        http: HttpClient,
        mcp: McpCaller,
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        new_id: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        verdict: Callable[[Tool], Verdict | None] = lambda tool: None,
        on_fault: Callable[[CallError], None] = lambda fault: None,
        on_retry: Callable[[CallError], None] = lambda fault: None,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._files = files
        self._http = http
        self._mcp = mcp
        self._monotonic = monotonic
        self._jitter = jitter
        self._new_id = new_id
        self._sleep = sleep
        self._verdict = verdict
        self._on_fault = on_fault
        self._on_retry = on_retry
        # Of each host the last fault, what became of the request, and when.
        self._faults: dict[str, tuple[str, str, float]] = {}
        # By the identity of a tool.
        self._mappers: dict[int, tuple[Tool, _Target, Mapper]] = {}
        self._bulkheads = Bulkheads()
        self._breakers = Breakers(monotonic, on_open)
        self._budget = RetryBudget(monotonic)

    async def call(self, tool: Tool, arguments: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The result of tools/call. ``arguments`` satisfy the listed inputSchema. Raises CallError, or RpcError."""
        if tool.mcp is not None:
            self._refuse_drift(tool)

            def call_once(headers: tuple[Header, ...], timeout: float) -> Awaitable[dict[str, Any]]:
                return self._mcp.call(tool, arguments, context, headers, timeout)

            target = _target("tool", tool, tool.policy)
            return await self._attempt(target, context, call_once, "tools/call", idempotent=tool.idempotent)
        reply = await self._send(*self._tool_call(tool, arguments, context), context)
        return replies.tool_result(reply, tool, modern=context.modern, request_id=context.request_id)

    def _refuse_drift(self, tool: Tool) -> None:
        if tool.mcp is not None and tool.mcp.on_drift == "Refuse":
            verdict = self._verdict(tool)
            if verdict is not None and verdict.is_drift:
                raise faults.drifted(str(verdict))

    async def forward(self, tool: Tool, arguments: Mapping[str, Any], context: Context) -> Reply:
        """The backend's reply, whatever its status, for the REST path of a tool. Raises CallError."""
        if tool.mcp is not None:
            result = await self.call(tool, arguments, context)
            return Reply(200, {"content-type": "application/json"}, numbers.dumps(result))
        return await self._send_for_any_status(*self._tool_call(tool, arguments, context), context)

    async def read(self, resource: HttpResource, values: Mapping[str, str], context: Context) -> Reply:
        """The content of a resource, reduced by its ``select``. Raises CallError."""
        request = mapping.map_resource(resource, values, context.claims)
        target = _target("resource", resource, resource.policy)
        return replies.select(await self._send(target, request, context), resource.policy.response)

    async def operate(
        self, operation: Operation, values: Mapping[str, str], body: bytes | None, context: Context
    ) -> Reply:
        """The backend's reply, whatever its status. Raises CallError."""
        request = mapping.map_operation(operation, values, body)
        return await self._send_for_any_status(_target("resource", operation, _NO_POLICY), request, context)

    def keep_tools(self, tools: Mapping[str, Tool]) -> None:
        """Forget the mappings of tools that are in the catalog no more."""
        self._mappers = {key: known for key, known in self._mappers.items() if tools.get(known[0].name) is known[0]}

    def open_circuits(self) -> dict[str, str]:
        """The sources of calls whose circuit is not closed: ``open`` or ``half-open``."""
        return self._breakers.states()

    def last_faults(self) -> dict[str, dict[str, Any]]:
        """By host and port: the last fault of a call, the newest first."""
        now = self._monotonic()
        return {
            host: {"code": code, "request": fate, "secondsAgo": round(now - at)}
            for host, (code, fate, at) in reversed(self._faults.items())
        }

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _tool_call(self, tool: Tool, arguments: Mapping[str, Any], context: Context) -> tuple[_Target, Request]:
        _, target, mapper = self._prepare(tool)
        request = mapper.map(arguments, context.claims)
        if request.method in ("POST", "PATCH") and request.idempotent and tool.policy.retries.attempts:
            # One key for all attempts, so that the backend can recognise a repeated call.
            request = request._replace(headers=(*request.headers, ("Idempotency-Key", self._new_id())))
        return target, request

    def _prepare(self, tool: Tool) -> tuple[Tool, _Target, Mapper]:
        """Target and mapping of a tool. A tool is known by its identity: another catalog has other tools."""
        known = self._mappers.get(id(tool))
        if known is None or known[0] is not tool:
            if len(self._mappers) >= MAX_MAPPERS:
                del self._mappers[next(iter(self._mappers))]
            known = self._mappers[id(tool)] = (tool, _target("tool", tool, tool.policy), mapping.compile_tool(tool))
        return known

    async def _send_for_any_status(self, target: _Target, request: Request, context: Context) -> Reply:
        """Like `_send`, but a reply with an unexpected status is returned."""
        unexpected: list[Reply] = []
        try:
            return await self._send(target, request, context, unexpected)
        except CallError:
            if unexpected:
                return unexpected[-1]
            raise

    async def _send(
        self, target: _Target, request: Request, context: Context, unexpected: list[Reply] | None = None
    ) -> Reply:
        """The reply, if its status is expected. Raises CallError for anything else, after all attempts.

        ``unexpected`` collects the replies with an unexpected status.
        """
        policy, response, record = target.policy, target.policy.response, context.record

        async def send_once(headers: tuple[Header, ...], timeout: float) -> Reply:
            sent = request
            if headers:
                mapped: tuple[Header, ...] = ()
                if request.headers:
                    # A header of the policy replaces a mapped one of the same name.
                    names = {name.lower() for name, _ in headers}
                    mapped = tuple(header for header in request.headers if header[0].lower() not in names)
                sent = Request(request.method, request.url, mapped + headers, request.body, request.idempotent)
            record.attempts += 1
            if request.body:
                record.sent += len(request.body)
            reply = await self._http.send(
                sent,
                timeout,
                tls=policy.tls,
                max_bytes=response.max_bytes or context.settings.max_response_bytes,
                cut=response.on_too_large == "Truncate",
                more=record.trace_headers(),
            )
            record.received += len(reply.body)
            if not replies.is_expected(reply.status, response.expect_status):
                if unexpected is not None:
                    unexpected.append(reply)
                raise faults.from_reply(reply, idempotent=request.idempotent)
            if reply.broken:
                raise faults.bad_response(reply.status, reply.broken, idempotent=request.idempotent)
            return reply

        return await self._attempt(target, context, send_once, request.method, idempotent=request.idempotent)

    async def _attempt(
        self,
        target: _Target,
        context: Context,
        call_once: CallOnce[T],
        method: str,
        *,
        idempotent: bool,
    ) -> T:
        """What one of the attempts that the policy allows returns. Raises CallError if none succeeds.

        ``call_once`` makes an attempt, with the headers of the policy and within so many seconds. ``method`` names it.
        """
        policy, host, record = target.policy, target.host, context.record
        if record.tracer is not None:
            call_once = self._trace(call_once, record, method)
        headers: tuple[Header, ...] = ()
        if policy.headers_from or policy.forward_headers:
            headers = self._policy_headers(policy, context)
        limit = context.settings.request_timeout
        # Seconds for the whole call: the entry's timeout, at most the server's.
        deadline = self._monotonic() + min(policy.timeout or limit, limit)
        record.backend = host
        self._budget.record_call(host)
        earlier, attempt = Fate.NOT_SENT, 0
        try:
            with self._protect(target, context):
                while True:
                    started = self._monotonic()
                    try:
                        return await call_once(headers, max(0.001, deadline - started))
                    except CallError as fault:
                        pause = self._pause_before_retry(fault, policy, host, attempt, deadline, idempotent=idempotent)
                        if pause is None:
                            # Not from itself: a fault that is its own cause is left to the garbage collector.
                            raise faults.after_attempts(fault, earlier) from fault.__cause__
                        earlier = Fate.UNKNOWN if Fate.UNKNOWN in (earlier, fault.fate) else fault.fate
                        self._on_retry(fault)
                    finally:
                        record.backend_seconds += self._monotonic() - started
                    attempt += 1
                    await self._sleep(pause)
        except CallError as fault:
            self._report(fault, host)
            raise

    def _trace(self, call_once: CallOnce[T], record: CallRecord, method: str) -> CallOnce[T]:
        """The same, remembered as an attempt by the record of the call."""

        async def traced(headers: tuple[Header, ...], timeout: float) -> T:
            started, status, error = self._monotonic(), None, "cancelled"
            record.begin_attempt()
            try:
                result = await call_once(headers, timeout)
            except RpcError as answer:
                error = str(answer.code)
                raise
            except CallError as fault:
                status, error = fault.status, fault.code
                raise
            else:
                status = result.status if isinstance(result, Reply) else None
                error = TOOL_ERROR if isinstance(result, dict) and result.get("isError") else ""
                return result
            finally:
                record.end_attempt((started, self._monotonic()), method, status, error)

        return traced

    def _pause_before_retry(
        self, fault: CallError, policy: Policy, host: str, attempt: int, deadline: float, *, idempotent: bool
    ) -> float | None:
        """Seconds until the next attempt. None if the policy, the deadline or the retry budget allows none."""
        retries = policy.retries
        if attempt >= retries.attempts or not idempotent or _retry_condition(fault) not in retries.on:
            return None
        pause = self._jitter() * min(MAX_BACKOFF, BACKOFF * float(2**attempt))
        pause = max(pause, float(fault.retry_after or 0))
        if self._monotonic() + pause >= deadline or not self._budget.take(host):
            return None
        return pause

    def _report(self, fault: CallError, host: str) -> None:
        """Count and remember a call that failed after all its attempts. The access log has it, too."""
        self._on_fault(fault)
        self._faults.pop(host, None)
        self._faults[host] = (fault.code, fault.fate.value, self._monotonic())
        if len(self._faults) > MAX_HOSTS:
            del self._faults[next(iter(self._faults))]

    def _protect(self, target: _Target, context: Context) -> Protection:
        policy, most = target.policy, backend_share(context.settings.max_concurrent_requests)
        limit = min(policy.concurrency or PER_HOST, most)
        return Protection(self._bulkheads, self._breakers, target.host, target.source, limit, policy.breaker, most)

    def _policy_headers(self, policy: Policy, context: Context) -> tuple[Header, ...]:
        """Headers from Secrets and ConfigMaps, and the forwarded headers of the client."""
        forwarded: list[Header] = []
        for each in policy.forward_headers:
            sent = context.headers.get(each.name.lower())
            if sent is not None:
                try:
                    forwarded.append((each.backend_header, escaping.check_header(each.name, ", ".join(sent))))
                except CallError as fault:
                    # A header is not an argument: the model cannot correct it.
                    rule = fault.message.partition(": ")[2]
                    message = f"the header {each.name} of the client's request {rule}"
                    raise CallError("invalid_request", message) from fault
        return (*forwarded, *[self._files.header(source) for source in policy.headers_from])


class _Target(NamedTuple):
    """What a call is made to, under which policy: the name of the entry, and host and port of its backend."""

    source: str
    host: str
    policy: Policy


def _target(kind: str, entry: Tool | HttpResource | Operation, policy: Policy) -> _Target:
    return _Target(f"{kind} {entry.source}", f"{entry.backend.host}:{entry.backend.port}", policy)


def _retry_condition(fault: CallError) -> str:
    """The value of ``retryOn`` that covers a fault; empty if none does."""
    if not fault.is_transient:
        return ""
    if fault.code in ("unreachable", "disconnected"):
        return "connect"
    return "429" if fault.status == 429 else "5xx" if fault.code == "upstream_error" else ""
