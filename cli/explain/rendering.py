"""PURE. An explanation as text for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.check.formats.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.explain.explanation import Explanation, Part

__all__ = ["Title", "render"]

MAX_VALUE = 60
MAX_BODY = 4096


@dataclass(frozen=True, slots=True)
class Title:
    """What is explained: the object and its place, and the name under which a server serves it, if one does."""

    tool: str
    place: str
    name: str
    server: str

    def to_json(self) -> dict[str, Any]:
        """The members for programs."""
        return {"tool": self.tool, "place": self.place, "name": self.name, "server": self.server or None}


def render(title: Title, explained: Explanation) -> str:
    """The request as it is sent, then a line for each part with the fields that make it, then the notes."""
    return "".join(f"{line}\n" for line in _lines(title, explained))


def _lines(title: Title, explained: Explanation) -> Iterator[str]:
    served = f"served by {title.server} as {title.name}" if title.server else "no MCPServer in these files selects it"
    yield escape(f"{title.tool} ({title.place}), {served}")
    yield ""
    yield escape(f"{explained.method} {explained.url}")
    for name, value in explained.headers:
        yield escape(f"{name}: {value}")
    if explained.body is not None:
        yield ""
        body = explained.body_text()
        yield f"({len(explained.body)} bytes that are not text)" if body is None else _body(body)
    yield ""
    rows = [_row(part) for part in explained.parts]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for where, value, fields in rows:
        yield f"  {where:{widths[0]}}  {value:{widths[1]}}  {fields}"
    for note in explained.notes:
        yield escape(f"note: {note}")


def _row(part: Part) -> tuple[str, str, str]:
    value = f"{part.name}={part.value}" if part.where == "query" else part.value
    if part.where == "header":
        value = f"{part.name}: {part.value}"
    elif part.where == "body" and part.name:
        value = part.name
    value = escape(value)
    fields = escape(f"{', '.join(part.fields)}{f' ← {part.source}' if part.source else ''}")
    return part.where, value if len(value) <= MAX_VALUE else f"{value[: MAX_VALUE - 1]}…", fields


def _body(text: str) -> str:
    """A body as it is sent, but for characters that a terminal would act on; a long one is cut."""
    shown = "\n".join(escape(line.removesuffix("\r")) for line in text[:MAX_BODY].split("\n"))
    return shown if len(text) <= MAX_BODY else f"{shown}… ({len(text)} characters)"
