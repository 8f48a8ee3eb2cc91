"""PURE. The header Link (RFC 8288, section 3), read in one pass: a backend chooses its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_target"]


def find_target(header: str, relation: str) -> str | None:
    """The target of the first link with this relation; None if there is none. What cannot be read is passed over."""
    for link in _split(header, ","):
        target, separator, rest = link.strip().partition(">")
        if not target.startswith("<") or not separator:
            continue
        for parameter in _split(rest, ";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "rel":
                if relation in value.strip().strip('"').lower().split():
                    return target[1:]
                # Only the first rel of a link counts (RFC 8288, section 3.3).
                break
    return None


def _split(text: str, separator: str) -> Iterator[str]:
    """The parts of a text at a separator that stands neither in a quoted string nor between angle brackets."""
    start, closing, is_escaped = 0, "", False
    for position, character in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif closing == '"' and character == "\\":
            is_escaped = True
        elif closing:
            if character == closing:
                closing = ""
        elif character in '"<':
            closing = '"' if character == '"' else ">"
        elif character == separator:
            yield text[start:position]
            start = position + 1
    yield text[start:]
