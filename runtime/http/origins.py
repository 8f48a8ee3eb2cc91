"""PURE. Which web pages may use the server, and the CORS headers for them (Fetch standard)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cors", "is_allowed", "preflight"]

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_READABLE = "Mcp-Session-Id, WWW-Authenticate, Retry-After"


def is_allowed(origin: str | None, hosts: Sequence[str], origins: Sequence[str] = ()) -> bool:
    """Protection from DNS rebinding: an Origin must be an allowed one, one of our host names, or the local machine.

    A request without an Origin does not come from a web page and is allowed.
    """
    if origin is None or origin in origins:
        return True
    scheme, separator, rest = origin.partition("://")
    host = rest.rpartition(":")[0] if rest.rpartition(":")[2].isdigit() else rest
    return bool(separator) and scheme in ("http", "https") and host in (*_LOCAL, *hosts)


def cors(origin: str | None, origins: Sequence[str]) -> dict[str, str]:
    """Headers that let a page of an allowed origin read the response."""
    if not origins:
        return {}
    if origin not in origins:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin or "", "Access-Control-Expose-Headers": _READABLE}


def preflight(requested_headers: str | None) -> dict[str, str]:
    """Headers of the response to a preflight. ``requested_headers`` are those that the page wants to send."""
    allowed = {"Access-Control-Allow-Headers": requested_headers} if requested_headers else {}
    return {"Access-Control-Allow-Methods": "GET, POST, DELETE", "Access-Control-Max-Age": "3600", **allowed}
