"""PURE. Known faults of MCP clients, each with its source, and which of them are tolerated.

A request with a fault of this table breaks the specification, but its meaning is clear. A tolerated fault is read as
what the client means; any other request is answered as the specification says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["DEFAULT", "TOLERANCES", "Fault", "Tolerance"]


class Fault(StrEnum):
    """What a client does wrong."""

    NULL_MEMBER = "NullMember"
    REPEATED_HEADER = "RepeatedHeader"
    TRAILING_SLASH = "TrailingSlash"
    EMPTY_CURSOR = "EmptyCursor"
    LEGACY_VERSION_HEADER = "LegacyVersionHeader"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``by_default``: tolerated unless a server says otherwise. ``source`` is where the fault was seen."""

    fault: Fault
    what: str
    source: str
    by_default: bool


TOLERANCES = (
    Tolerance(
        Fault.NULL_MEMBER,
        "params, params.arguments or the id of a notification is null instead of absent",
        "https://github.com/chaitin/MonkeyCode/pull/1268, https://github.com/KeeperHub/keeperhub/issues/2108; JSON-RPC"
        " 2.0, section 4.2, allows params only as an object or array",
        by_default=True,
    ),
    Tolerance(
        Fault.REPEATED_HEADER,
        "MCP-Protocol-Version, Mcp-Method, Mcp-Name or Mcp-Session-Id is sent several times with one value, as several"
        " lines or joined by commas (RFC 9110, section 5.3)",
        "https://github.com/lowdefy/lowdefy/pull/2345",
        by_default=True,
    ),
    Tolerance(
        Fault.TRAILING_SLASH,
        "the path of the endpoint ends with a slash that it does not have",
        "https://github.com/PrefectHQ/fastmcp/issues/1867, https://github.com/modelcontextprotocol/python-sdk/issues/732",
        by_default=True,
    ),
    Tolerance(
        Fault.EMPTY_CURSOR,
        'the first page of a list is requested with the cursor ""',
        "MCP, server/utilities/pagination, has no empty cursor for the first page; languages whose absent string is"
        " empty write it",
        by_default=True,
    ),
    Tolerance(
        Fault.LEGACY_VERSION_HEADER,
        "_meta names the stateless era, and MCP-Protocol-Version a version with sessions",
        "a hosted connector, reported in September 2026; MCP 2026-07-28, basic/transports, requires -32020",
        by_default=False,
    ),
)
DEFAULT = frozenset(each.fault for each in TOLERANCES if each.by_default)
