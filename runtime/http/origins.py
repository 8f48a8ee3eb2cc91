"""PURE. Which web pages may use the server, and what a browser has to hear of it (Fetch standard, CORS protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["allowed", "cors", "preflight"]

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_READABLE = "Mcp-Session-Id, WWW-Authenticate, Retry-After"


def allowed(origin: str | None, hosts: Sequence[str], origins: Sequence[str] = ()) -> bool:
    """DNS rebinding: a browser's Origin is one that was allowed, a host we are known by, or the machine itself.

    A request without an Origin comes from no web page, and is fine.
    """
    if origin is None or origin in origins:
        return True
    scheme, separator, rest = origin.partition("://")
    host = rest.rpartition(":")[0] if rest.rpartition(":")[2].isdigit() else rest
    return bool(separator) and scheme in ("http", "https") and host in (*_LOCAL, *hosts)


def cors(origin: str | None, origins: Sequence[str]) -> dict[str, str]:
    """Headers that let a page of another origin read the answer; none where no such page was allowed."""
    if not origins:
        return {}
    if origin not in origins:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin or "", "Access-Control-Expose-Headers": _READABLE}


def preflight(asked: str | None) -> dict[str, str]:
    """Headers of the answer to a preflight; ``asked`` are the headers that the page wants to send."""
    wanted = {"Access-Control-Allow-Headers": asked} if asked else {}
    return {"Access-Control-Allow-Methods": "GET, POST, DELETE", "Access-Control-Max-Age": "3600", **wanted}
