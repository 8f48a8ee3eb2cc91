"""What is known of one call at its end: filled along the way, then logged and counted.

It holds neither arguments nor what a backend said.
"""

from __future__ import annotations

import re
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crd.published.entries import Tool
    from runtime.backends.faults import CallError

__all__ = ["CLIENT_GONE", "TOOL_ERROR", "Attempt", "CallRecord", "Tracer"]

# The value of error.type for a result with isError, as the OpenTelemetry conventions name it.
TOOL_ERROR = "tool_error"
# The status of a request whose client left before it was answered. It is logged and counted, and sent to nobody.
CLIENT_GONE = 499
# W3C Trace Context, section 3.2: version, trace id, parent id, flags. A later version may have more.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")


class _Digits:
    """Random hexadecimal digits. The system is asked for many at once: each question is a system call."""

    def __init__(self) -> None:
        self._drawn, self._at = "", 0

    def take(self, number: int) -> str:
        """So many digits, which nobody had before."""
        if self._at + number > len(self._drawn):
            self._drawn, self._at = token_hex(2048), 0
        start, self._at = self._at, self._at + number
        return self._drawn[start : self._at]


_digits = _Digits()


class Attempt(NamedTuple):
    """A request to a backend, as a span. ``method`` is that of HTTP, or tools/call for one that speaks MCP.

    ``started`` and ``ended`` are by the monotonic clock; ``number`` counts from 0.
    """

    span_id: str
    number: int
    method: str
    backend: str
    started: float
    ended: float
    status: int | None
    error: str


class Tracer(Protocol):
    """Exports the spans of calls. See `runtime.telemetry.traces.Traces`."""

    def samples(self, trace_id: str, parent_id: str, flags: str, name: str) -> bool:
        """Whether a trace is exported."""
        ...

    def export(self, record: CallRecord, operation: str, http_method: str, status: int, seconds: float) -> None:
        """Export the spans of a call that is over."""
        ...


class CallRecord:
    """One call. ``tool`` is set for a tool of the catalog, ``modern`` for the era in which the client saw it.

    ``fault`` is what the client was told (`fail`). ``error_code`` is that of a JSON-RPC error. ``backend_seconds`` is
    the time for which backends were waited for, in all ``attempts``; ``sent`` and ``received`` are the bytes of their
    bodies, ``request_bytes`` those of the client's. ``calls`` are the records of a batch, each with its ``operation``
    and ``seconds``. A stream ``ended`` for a reason, after ``notified`` notifications. With a ``tracer``, a call whose
    trace is sampled has a span, and one for each attempt.
    """

    # A call leaves most of them as they are.
    principal = ""
    operation = "-"
    tool: Tool | None = None
    modern = True
    backend = ""
    attempts = 0
    backend_seconds = 0.0
    sent = 0
    received = 0
    request_bytes = 0
    seconds = 0.0
    is_error = False
    ended = ""
    notified = 0
    fault: CallError | None = None
    error_code: int | None = None
    trace_id = ""
    calls: tuple[CallRecord, ...] = ()
    tracer: Tracer | None = None
    span_id = ""
    parent_id = ""
    is_sampled = False
    spans: tuple[Attempt, ...] = ()
    _attempt_span = ""
    _flags = "00"
    _state = ""

    def __init__(self, request_id: str = "") -> None:
        self.request_id = request_id

    def follow(self, headers: Mapping[str, Sequence[str]]) -> None:
        """Continue the trace of the client, if its headers name one."""
        parents = headers.get("traceparent")
        if parents is not None and len(parents) == 1 and self.join_trace(parents[0]):
            state = ",".join(headers.get("tracestate", ()))
            self._state = state if _TRACESTATE.fullmatch(state) else ""

    def join_trace(self, parent: str) -> bool:
        """Continue the trace of a traceparent. Whether it is one."""
        found = _TRACEPARENT.fullmatch(parent)
        if found is None or (found[4] and parent.startswith("00")):
            return False
        self.trace_id, self.parent_id, self._flags, self._state = found[1], found[2], found[3], ""
        return True

    def begin_span(self) -> None:
        """With a tracer, decide whether the trace is sampled; once."""
        if self.tracer is None or self.span_id:
            return
        if not self.trace_id:
            self.trace_id = _digits.take(32)
        self.span_id = _digits.take(16)
        self.is_sampled = self.tracer.samples(self.trace_id, self.parent_id, self._flags, self.operation)
        self._flags = "01" if self.is_sampled else "00"

    def begin_attempt(self) -> None:
        """A request to a backend begins, which continues the trace with a span of its own."""
        self.begin_span()
        if self.is_sampled:
            self._attempt_span = _digits.take(16)

    def end_attempt(self, times: tuple[float, float], method: str, status: int | None, error: str) -> None:
        """It has ended. ``times`` are when it began and when it ended."""
        if self._attempt_span:
            attempt = Attempt(self._attempt_span, len(self.spans), method, self.backend, *times, status, error)
            self.spans, self._attempt_span = (*self.spans, attempt), ""

    def next_span(self) -> str:
        """The traceparent of a request to a backend. Without a tracer, a new trace is not sampled."""
        if self.tracer is not None:
            self.begin_span()
            if self._attempt_span:
                return f"00-{self.trace_id}-{self._attempt_span}-{self._flags}"
        digits = _digits.take(16 if self.trace_id else 48)
        if not self.trace_id:
            self.trace_id = digits[16:]
        return f"00-{self.trace_id}-{digits[:16]}-{self._flags}"

    def trace_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of a request to a backend by which it continues the trace."""
        parent = ("traceparent", self.next_span())
        return (parent, ("tracestate", self._state)) if self._state else (parent,)

    def fail(self, fault: CallError) -> None:
        """Note the fault that is reported to the client.

        Its traceback and its cause are dropped. The frames of the traceback have this record, so each failed call would
        leave 50 objects to the garbage collector, and all other calls wait while it looks at them.
        """
        fault.__traceback__ = fault.__cause__ = fault.__context__ = None
        self.fault = fault

    @property
    def error_type(self) -> str:
        """Why the call failed, out of a fixed set; empty if it did not."""
        if self.fault is not None:
            return self.fault.code
        if self.error_code is not None:
            return str(self.error_code) if -32800 <= self.error_code <= -32000 else "rpc_error"
        return TOOL_ERROR if self.is_error else ""

    def members(self) -> dict[str, Any]:
        """What the log says of the call, besides its status and duration."""
        members: dict[str, Any] = {}
        if self.trace_id:
            members["traceId"] = self.trace_id
        if self.tool is not None:
            members["tool"] = self.tool.name
        if self.attempts:
            members["backend"] = self.backend
            members["attempts"] = self.attempts
            members["backendMs"] = round(self.backend_seconds * 1000, 1)
            members["backendRequestBytes"] = self.sent
            members["backendResponseBytes"] = self.received
        if error := self.error_type:
            members["error"] = error
        if self.ended:
            members["ended"] = self.ended
            members["notifications"] = self.notified
        if self.fault is not None:
            members["request"] = self.fault.fate.value
            if self.fault.status is not None:
                members["backendStatus"] = self.fault.status
        return members
