"""PURE. Known faults of MCP clients, each with its source, and which of them are tolerated.

A request with a fault of this table breaks the specification, but its meaning is clear. A tolerated fault is read as
what the client means; any other request is answered as the specification says. ``spec.tolerances`` of a server has a
switch for each. Loads without pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT", "TOLERANCES", "Fault", "Tolerance", "in_effect", "of"]


class Fault(StrEnum):
    """What a client does wrong, by the name of its switch."""

    NULL_MEMBER = "nullMember"
    REPEATED_HEADER = "repeatedHeader"
    TRAILING_SLASH = "trailingSlash"
    EMPTY_CURSOR = "emptyCursor"
    LEGACY_VERSION_HEADER = "legacyVersionHeader"


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
_BY_FAULT = {each.fault: each for each in TOLERANCES}


def of(fault: Fault) -> Tolerance:
    """The tolerance of a fault."""
    return _BY_FAULT[fault]


def in_effect(switches: Mapping[str, bool]) -> frozenset[Fault]:
    """The faults that are tolerated with these switches. A switch of another version has no effect here."""
    return frozenset(each.fault for each in TOLERANCES if switches.get(each.fault, each.by_default))
