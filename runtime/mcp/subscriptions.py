"""PURE. Notifications that a list has changed: what a client asks for, and the messages as server-sent events.

Nothing here knows connections: `runtime.http.streams` sends the events.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runtime.mcp import jsonrpc, numbers
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "CAPABILITIES",
    "KEEP_ALIVE",
    "LISTEN",
    "MAX_ID",
    "Kind",
    "accepts_events",
    "acknowledge",
    "complete",
    "digests_of",
    "notify_change",
    "read_filter",
]

LISTEN = "subscriptions/listen"
# Characters of the id of a request that opens a stream, as JSON. It is kept as long as the stream is.
MAX_ID = 256
# A comment, which clients ignore.
KEEP_ALIVE = b": keep-alive\n\n"
_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
_EVENTS = frozenset({"text/event-stream", "text/*", "*/*"})
_NO_WEIGHT = frozenset({"q=0", "q=0.", "q=0.0", "q=0.00", "q=0.000"})
# Media ranges of an Accept header that are read.
_MAX_RANGES = 32


class Kind(StrEnum):
    """A list that may change, as MCP names it."""

    TOOLS = "tools"
    PROMPTS = "prompts"
    RESOURCES = "resources"


_LISTS = {
    Kind.TOOLS: ("tools/list",),
    Kind.PROMPTS: ("prompts/list",),
    Kind.RESOURCES: ("resources/list", "resources/templates/list"),
}
# What a server declares that notifies its clients of changes.
CAPABILITIES: dict[str, Any] = {kind.value: {"listChanged": True} for kind in Kind}


def accepts_events(accept: Iterable[str]) -> bool:
    """Whether the values of an Accept header name event streams, or everything. Without the header, they do not."""
    for each in ",".join(accept).split(",", _MAX_RANGES)[:_MAX_RANGES]:
        media, *parameters = (part.strip().lower() for part in each.split(";"))
        if media in _EVENTS and _NO_WEIGHT.isdisjoint(parameters):
            return True
    return False


def read_filter(params: Mapping[str, Any]) -> frozenset[Kind]:
    """The kinds that the params of `LISTEN` ask for. Raises RpcError.

    Other members are left out of what is accepted: this server does not learn that the content of a resource changes.
    """
    wanted = params.get("notifications")
    if not isinstance(wanted, dict):
        raise RpcError(jsonrpc.INVALID_PARAMS, "/params/notifications: must be an object")
    kinds = set()
    for kind in Kind:
        value = wanted.get(_member(kind))
        if value is not None and not isinstance(value, bool):
            raise RpcError(jsonrpc.INVALID_PARAMS, f"/params/notifications/{_member(kind)}: must be a boolean")
        if value:
            kinds.add(kind)
    uris = wanted.get("resourceSubscriptions")
    if uris is not None and not (isinstance(uris, list) and all(isinstance(uri, str) for uri in uris)):
        message = "/params/notifications/resourceSubscriptions: must be a list of strings"
        raise RpcError(jsonrpc.INVALID_PARAMS, message)
    return frozenset(kinds)


def digests_of(
    lists: Mapping[tuple[str, bool], bytes], kinds: Iterable[Kind], *, modern: bool
) -> dict[Kind, tuple[bytes, ...]]:
    """The digests of the lists of each kind, out of those of all lists (`CompiledCatalog.list_digests`)."""
    return {kind: tuple(lists[method, modern] for method in _LISTS[kind]) for kind in kinds}


def acknowledge(identifier: str | int, kinds: frozenset[Kind]) -> bytes:
    """The first event of a stream that a request with this id opened: what was accepted of its filter."""
    accepted = {_member(kind): True for kind in Kind if kind in kinds}
    params = {**_tag(identifier), "notifications": accepted}
    return _event(jsonrpc.request(None, "notifications/subscriptions/acknowledged", params))


def notify_change(kind: Kind, identifier: str | int | None) -> bytes:
    """The event that a list has changed. ``identifier`` is that of the request that opened the stream, if one did."""
    params = None if identifier is None else _tag(identifier)
    return _event(jsonrpc.request(None, f"notifications/{kind}/list_changed", params))


def complete(identifier: str | int) -> bytes:
    """The last event of a stream: the result of the request that opened it."""
    return _event(jsonrpc.result(identifier, numbers.dumps({"resultType": "complete", **_tag(identifier)})))


def _member(kind: Kind) -> str:
    return f"{kind}ListChanged"


def _tag(identifier: str | int) -> dict[str, Any]:
    return {"_meta": {_SUBSCRIPTION: identifier}}


def _event(message: bytes) -> bytes:
    return b"data: %b\n\n" % message
