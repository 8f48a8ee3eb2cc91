"""A call of a tool through the runtime's own dispatcher, without a network: what would be sent is recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.explain import explanation
from runtime.backends.dispatch import Dispatcher
from runtime.backends.http_mapping import escaping
from runtime.backends.http_mapping.values import Sources
from runtime.backends.mcp.client import McpClient
from runtime.backends.secret_files import SecretFiles
from runtime.http.client import HttpClient, fixed_lines
from runtime.mcp.context import Context
from runtime.telemetry.call_record import CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cli.explain.explanation import Explanation
    from crd.published.entries import Tool
    from crd.published.policy import HeaderFrom, Tls
    from runtime.app.compiled import CompiledCatalog
    from runtime.http.exchange import Header, Reply, Request

__all__ = ["Untraced", "rehearse"]

_NOWHERE = Path("/nonexistent")
_NEW_ID = "<a new id for each call>"


class _Placeholders(SecretFiles):
    """Names what a header is read from instead of reading it."""

    def __init__(self, namespace: str) -> None:
        super().__init__(_NOWHERE, _NOWHERE)
        self._namespace = namespace

    def header(self, source: HeaderFrom) -> Header:
        """The header with ``<Secret namespace/name key>`` as its value."""
        place = f"<{source.kind} {self._namespace}/{source.object} key {source.key}>"
        return source.name, escaping.check_header(source.name, f"{source.prefix}{place}")


class _SendingError(Exception):
    """A request is about to be sent; ``args[0]`` is the request."""


class _Recorder(HttpClient):
    """Sends nothing."""

    async def send(
        self,
        request: Request,
        timeout: float,
        *,
        tls: Tls | None = None,
        max_bytes: int = 0,
        cut: bool = False,
        more: tuple[Header, ...] = (),
        ends: Callable[[bytes], bool] | None = None,
    ) -> Reply:
        """Raises _SendingError."""
        raise _SendingError(request._replace(headers=(*request.headers, *more)))


class Untraced(CallRecord):
    """A record with a placeholder for the trace, which is another one for each call."""

    def next_span(self) -> str:
        """See `CallRecord.next_span`."""
        return "<the trace of the client, and a new span>"


async def rehearse(
    compiled: CompiledCatalog,
    tool: Tool,
    arguments: Mapping[str, Any],
    claims: Mapping[str, Any],
    spec: Mapping[str, Any],
) -> Explanation:
    """The request of a call with these arguments. Raises CallError if the call would be refused.

    ``claims`` are those of the client's token; a claim that the tool sends and that is missing gets a placeholder.
    ``spec`` is the spec of the MCPTool as its author wrote it.
    """
    filled = compiled.check_arguments(tool, arguments)
    claims = {**{name: f"<claim {name}>" for name in _claims_of(tool)}, **claims}
    headers = {each.name.lower(): [f"<header {each.name} of the client>"] for each in tool.policy.forward_headers}
    context = Context("explain", claims=claims, headers=headers, settings=compiled.catalog.settings, record=Untraced())
    files = _Placeholders(tool.source.partition("/")[0])
    recorder = _Recorder(files)
    mcp = McpClient(recorder, new_id=lambda: _NEW_ID)
    dispatcher = Dispatcher(files, recorder, mcp, monotonic=float, jitter=float, new_id=lambda: _NEW_ID)
    try:
        # In a session, or to find out about the era, other messages would come before tools/call.
        called = tool if tool.mcp is None else replace(tool, mcp=replace(tool.mcp, protocol="Modern"))
        await dispatcher.call(called, filled, context)
    except _SendingError as sending:
        request: Request = sending.args[0]
    finally:
        await dispatcher.close()
    base, _, _ = explanation.split_url(request.url)
    lines = fixed_lines(base.partition("://")[2], request.headers).splitlines()
    fixed = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return explanation.explain(tool, request, Sources(filled, claims), arguments, spec, fixed)


def _claims_of(tool: Tool) -> list[str]:
    named = [entry.claim for entry in (*tool.http.query, *tool.http.headers)]
    return [claim for claim in (*named, *(field.claim for field in tool.http.body.fields)) if claim]
