"""PURE. Documents out of YAML text, by the C parser's events.

The library's own composer is not asked: it recurses in C, so a few thousand brackets would end the process.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from cli.manifests import scalars
from cli.manifests.nodes import Broken, BrokenError, Builder, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["compose"]

# As kubectl splits a file (apimachinery, util/yaml); no YAML can hold such a line inside of a document.
_SEPARATOR = re.compile(r"^---(?=[ \t]*(?:#.*)?\r?$)", re.MULTILINE)
_BLANK = re.compile(r"\s*(?:[#%].*(?:\n\s*|$))*")


def compose(text: str) -> list[Node | Broken]:
    """The documents of a file, in order. One that cannot be read does not hide those that ``---`` sets apart."""
    try:
        return list(_stream(text, 0))
    except BrokenError:
        return [document for start, part in _parts(text) for document in _whole(part, start)]


def _whole(text: str, start: int) -> list[Node | Broken]:
    try:
        return list(_stream(text, start))
    except BrokenError as error:
        return [error.broken]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    starts = [0, *(match.end() for match in _SEPARATOR.finditer(text))]
    ends = [*(match.start() for match in _SEPARATOR.finditer(text)), len(text)]
    for start, end in zip(starts, ends, strict=True):
        if not _BLANK.fullmatch(text, start, end):
            yield start, text[start:end]


def _stream(text: str, start: int) -> Iterator[Node]:
    """The documents of one stream. Raises BrokenError at the first fault: past it, only a separator is certain.

    Nor is it worth going on: the parser takes a minute for a hundred thousand open brackets.
    """
    events = _events(text, start)
    for event in events:
        if type(event) is yaml.DocumentStartEvent:
            builder = Builder(len(text))
            _document(events, builder, start)
            if builder.root is not None:
                yield builder.root


def _events(text: str, start: int) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = min(mark.index, len(text.rstrip())) if mark else 0
        raise BrokenError(start + at, _worded(error, text[at : at + 1])) from error
    except yaml.reader.ReaderError as error:
        # The position counts bytes of UTF-8.
        at = len(text.encode()[: error.position].decode("utf-8", "ignore"))
        message = f"this is not YAML: the character U+{ord(text[at]):04X} is not allowed; remove it"
        raise BrokenError(start + at, message) from error


def _worded(error: yaml.MarkedYAMLError, character: str) -> str:
    problem = error.problem or "it cannot be read"
    if character == "\t":
        return "this is not YAML: a tab cannot indent; use spaces"
    context = f" {error.context}" if error.context else ""
    return f"this is not YAML: {problem}{context}; correct it"


def _document(events: Iterator[yaml.Event], builder: Builder, start: int) -> None:
    event: Any  # the stubs know neither the marks nor the anchors of the C parser's events
    for event in events:
        kind = type(event)
        offset = start + event.start_mark.index
        if kind is yaml.ScalarEvent:
            value, merge = _scalar(event, offset)
            builder.scalar(offset, value, event.anchor, merge=merge)
        elif kind is yaml.MappingStartEvent:
            builder.open(offset, {}, event.anchor)
        elif kind is yaml.SequenceStartEvent:
            builder.open(offset, [], event.anchor)
        elif kind is yaml.AliasEvent:
            builder.alias(offset, event.anchor)
        elif kind is yaml.DocumentEndEvent:
            return
        else:
            builder.close()


def _scalar(event: Any, offset: int) -> tuple[scalars.Value, bool]:
    """The value, and whether it is a ``<<`` that merges."""
    text = event.value
    if event.tag is None:
        if not event.implicit[0]:
            return text, False
        return scalars.plain(text), text == "<<"
    try:
        return scalars.tagged(event.tag, text), False
    except ValueError as error:
        raise BrokenError(offset, str(error)) from error
