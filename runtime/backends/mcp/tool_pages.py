"""PURE. The pages of ``tools/list`` of another MCP server, put together within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.backends.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_BYTES", "MAX_PAGES", "MAX_PAGE_BYTES", "MAX_TOOLS", "Listing", "ToolPages"]

MAX_PAGES = 500
MAX_TOOLS = 10_000
# Of one page, and of all pages together.
MAX_PAGE_BYTES = 2 * 1024 * 1024
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools that a server lists. ``fault`` says why the list is incomplete; empty if it is complete.

    ``capabilities`` are those that the server declared when it was asked which era it speaks.
    """

    tools: tuple[Mapping[str, Any], ...] = ()
    fault: str = ""
    capabilities: frozenset[str] = frozenset()


class ToolPages:
    """Takes one page after the other."""

    def __init__(self) -> None:
        self.tools: list[Mapping[str, Any]] = []
        self._cursors: set[str] = set()
        self._pages = 0
        self._bytes = 0

    def add(self, result: Mapping[str, Any], size: int) -> str | None:
        """Take the result of a request, of ``size`` bytes. The cursor of the next page, None after the last one.

        Raises CallError ``bad_response`` for a page that is none, and for a list beyond the bounds.
        """
        tools, cursor = result.get("tools"), result.get("nextCursor")
        self._pages += 1
        self._bytes += size
        if not isinstance(tools, list) or not all(isinstance(each, dict) for each in tools):
            raise CallError("bad_response", "/tools of the server's list must be a list of objects")
        if cursor is not None and not isinstance(cursor, str):
            raise CallError("bad_response", "/nextCursor of the server's list must be a string")
        room = MAX_TOOLS - len(self.tools)
        self.tools += tools[:room]
        if len(tools) > room:
            raise CallError("bad_response", f"the server lists more than {MAX_TOOLS} tools")
        if not cursor:
            return None  # some servers end their lists with an empty one
        if self._bytes > MAX_BYTES:
            raise CallError("bad_response", f"the server's list is larger than {MAX_BYTES} bytes")
        if self._pages >= MAX_PAGES:
            raise CallError("bad_response", f"the server's list has more than {MAX_PAGES} pages")
        if cursor in self._cursors:
            raise CallError("bad_response", "the server's list has no end: it names the same next page again")
        self._cursors.add(cursor)
        return cursor
