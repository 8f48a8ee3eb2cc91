"""Spans of calls, sent to a collector by OTLP over HTTP. Imported only by a process that exports traces.

The SDK of OpenTelemetry reads the standard variables, samples, queues, batches and sends, in a thread of its own. A
call makes no span while it is in progress: its record becomes spans when it is over, if its trace is sampled.
"""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import requests
from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import create_connection

from crd import addresses
from runtime import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context

    from runtime.telemetry.call_record import Attempt, CallRecord

__all__ = ["Traces"]

logger = logging.getLogger(__name__)

# Spans that wait to be sent. More than that, and new ones are dropped and counted.
MAX_QUEUE = 2048
_SCOPE = InstrumentationScope("mcp-operator", VERSION)


class _Counting(SpanExporter):
    """Counts what is taken out of the queue, and what became of it."""

    def __init__(self, exporter: SpanExporter, count: Callable[[str, int], None]) -> None:
        self._exporter = exporter
        self._count = count
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._count("exported" if result is SpanExportResult.SUCCESS else "failed", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Traces:
    """``now`` is the Unix time, ``monotonic`` gives seconds. ``count`` is called with an outcome and a number of spans.

    A collector that is a Service of ``cluster_domain`` is resolved by its absolute name, and not connected at an
    address that `crd.addresses` forbids. Any other collector is the choice of whoever sets the environment.
    """

    def __init__(
        self,
        count: Callable[[str, int], None],
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        cluster_domain: str = "cluster.local",
        max_queue: int = MAX_QUEUE,
    ) -> None:
        session = requests.Session()
        # No proxies of the environment, no netrc.
        session.trust_env = False
        session.mount("http://", _service_adapter(cluster_domain))
        self._exporter = _Counting(OTLPSpanExporter(session=session), count)
        self._processor = BatchSpanProcessor(self._exporter, max_queue_size=max_queue)
        provider = TracerProvider(shutdown_on_exit=False)
        self._sampler, self._resource = provider.sampler, provider.resource
        self._count = count
        self._now = now
        self._monotonic = monotonic
        self._max_queue = max_queue
        self._given = 0

    def samples(self, trace_id: str, parent_id: str, flags: str, name: str) -> bool:
        """Whether a trace is exported: as its parent says, or as the sampler decides for a new one.

        A tracestate decides nothing here, and the SDK logs what it cannot read of one.
        """
        parent: Context | None = None
        if parent_id:
            parent = api.set_span_in_context(NonRecordingSpan(_context(trace_id, parent_id, int(flags, 16))))
        found = self._sampler.should_sample(parent, int(trace_id, 16), name, SpanKind.SERVER)
        return found.decision is Decision.RECORD_AND_SAMPLE

    def export(self, record: CallRecord, operation: str, http_method: str, status: int, seconds: float) -> None:
        """Queue the spans of a call that is over, if its trace is sampled. It does not wait for the collector."""
        if not record.is_sampled:
            return
        # Durations are measured by the monotonic clock.
        offset = self._now() - self._monotonic()
        ended = self._monotonic()
        own = _context(record.trace_id, record.span_id)
        parent = _context(record.trace_id, record.parent_id) if record.parent_id else None
        spans = [self._client_span(record, attempt, own, offset) for attempt in record.spans]
        spans.append(
            _span(
                operation if operation not in ("-", "rest", "batch") else http_method,
                own,
                parent,
                self._resource,
                _server_attributes(record, operation, http_method, status),
                SpanKind.SERVER,
                _status(record.error_type, is_error=bool(record.error_type) or status >= 500),
                (ended - seconds + offset, ended + offset),
            )
        )
        for span in spans:
            if self._given - self._exporter.taken >= self._max_queue:
                self._count("dropped", 1)
                continue
            self._given += 1
            self._processor.on_end(span)

    def _client_span(self, record: CallRecord, attempt: Attempt, own: SpanContext, offset: float) -> ReadableSpan:
        host, _, port = attempt.backend.rpartition(":")
        attributes: dict[str, Any] = {"server.address": host, "server.port": int(port)}
        if attempt.method == "tools/call":
            name = f"tools/call {record.tool.mcp.tool}" if record.tool and record.tool.mcp else "tools/call"
            attributes["mcp.method.name"] = "tools/call"
            attributes["gen_ai.operation.name"] = "execute_tool"
            if record.tool and record.tool.mcp:
                attributes["gen_ai.tool.name"] = record.tool.mcp.tool
        else:
            name = attributes["http.request.method"] = attempt.method
            if attempt.number:
                attributes["http.request.resend_count"] = attempt.number
        if attempt.status is not None:
            attributes["http.response.status_code"] = attempt.status
        if attempt.error:
            attributes["error.type"] = attempt.error
        context = _context(record.trace_id, attempt.span_id)
        status = _status(attempt.error, is_error=bool(attempt.error))
        times = (attempt.started + offset, attempt.ended + offset)
        return _span(name, context, own, self._resource, attributes, SpanKind.CLIENT, status, times)

    def close(self, timeout: float) -> bool:
        """Send what waits, for at most ``timeout`` seconds, and end. Whether all of it was sent or refused."""
        # A thread that the end of the process does not wait for, as the collector may not answer.
        thread = threading.Thread(target=self._processor.shutdown, daemon=True)
        thread.start()
        thread.join(timeout)
        return not thread.is_alive()


def _context(trace_id: str, span_id: str, flags: int = 1) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(flags))


def _span(
    name: str,
    context: SpanContext,
    parent: SpanContext | None,
    resource: Any,
    attributes: dict[str, Any],
    kind: SpanKind,
    status: Status,
    times: tuple[float, float],
) -> ReadableSpan:
    return ReadableSpan(
        name,
        context,
        parent,
        resource,
        attributes,
        kind=kind,
        status=status,
        start_time=int(times[0] * 1e9),
        end_time=int(times[1] * 1e9),
        instrumentation_scope=_SCOPE,
    )


def _status(error: str, *, is_error: bool) -> Status:
    return Status(StatusCode.ERROR, error or None) if is_error else Status(StatusCode.UNSET)


def _server_attributes(record: CallRecord, operation: str, http_method: str, status: int) -> dict[str, Any]:
    """By the conventions for MCP. No arguments, and no URIs, which may contain arguments."""
    method, _, target = operation.partition(" ")
    attributes: dict[str, Any] = {
        "http.request.method": http_method,
        "http.response.status_code": status,
        "network.protocol.name": "http",
        "network.transport": "tcp",
        "mcp_operator.request.id": record.request_id,
    }
    if method not in ("-", "rest", "batch"):
        attributes["mcp.method.name"] = method
    if record.tool is not None:
        attributes["gen_ai.tool.name"] = record.tool.name
        attributes["gen_ai.operation.name"] = "execute_tool"
    elif method == "prompts/get" and target:
        attributes["gen_ai.prompt.name"] = target
    if record.error_type:
        attributes["error.type"] = record.error_type
    if record.error_code is not None:
        attributes["rpc.response.status_code"] = str(record.error_code)
    return attributes


def _service_adapter(cluster_domain: str) -> HTTPAdapter:
    """Connections over http to Services: to an address that was checked."""

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            if not addresses.is_service(self.host, cluster_domain):
                return super()._new_conn()
            name = addresses.absolute_name(self.host, cluster_domain)
            try:
                found = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
                address = str(found[0][4][0])
                fault = addresses.find_fault(address)
                if fault is not None:
                    logger.warning("no spans are sent to %s: %s is %s, which must not be called", name, address, fault)
                    raise NewConnectionError(self, f"{address} is {fault}, which must not be called")
                return create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
            except OSError as error:
                raise NewConnectionError(self, f"{name}: {error}") from error

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *words: Any, **more: Any) -> None:
            super().init_poolmanager(*words, **more)
            self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, "http": Pool}

    return Adapter()
