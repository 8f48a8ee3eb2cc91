"""PURE. Parses YAML documents with positions, from the events of the C parser.

The composer of the library is not used: it recurses in C, so a few thousand brackets would crash the process.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import yaml

from cli.manifests import scalars
from cli.manifests.nodes import MAX_UNFOLDED, Broken, BrokenError, Budget, Builder, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Nodes", "Read", "Remember", "compose", "compose_parts"]

Nodes: TypeAlias = "tuple[Node | Broken, ...] | None"
Read: TypeAlias = "Callable[[str], scalars.Value]"

# As kubectl splits a file (apimachinery, util/yaml); such a line cannot be part of a YAML document.
_SEPARATOR = re.compile(r"^---(?=[ \t]*(?:#.*)?\r?$)", re.MULTILINE)
_BLANK = re.compile(r"\s*(?:[#%].*(?:\n\s*|$))*")
# A directive may say how the documents after it are read, and the end of a document belongs to the one before it.
_DEPENDS = re.compile(r"^(?:%|\.\.\.)", re.MULTILINE)


class Remember(Protocol):
    """Returns what ``make`` returns, or what it returned for an equal part before."""

    def __call__(self, part: str, make: Callable[[], Nodes]) -> Nodes:
        """The documents of a part of a file, with offsets in the part."""


def compose(text: str, read: Read = scalars.plain) -> list[Node | Broken]:
    """The documents of a file, in order. After a broken document, reading continues at the next ``---``.

    ``read`` gives the value of an unquoted scalar.
    """
    try:
        return list(_parse_stream(text, 0, Budget(), read))
    except BrokenError:
        pass
    budget = Budget()
    found: list[Node | Broken] = []
    for start, part in _split(text):
        try:
            found += list(_parse_stream(part, start, budget, read))
        except BrokenError as error:
            found.append(error.broken)
    return found


def compose_parts(text: str, remember: Remember) -> Sequence[tuple[int, Node | Broken]]:
    """As `compose`, each document with the offset of the part between separators that its own offsets are relative to.

    So a file of which one document was changed is not parsed as a whole. One with directives, ends of documents or
    aliases is: what the aliases of all its documents unfold to has one limit.
    """
    if not _DEPENDS.search(text):
        made = [(start, remember(part, partial(_compose_part, part))) for start, part in _split(text)]
        if all(nodes is not None for _, nodes in made):
            return [(start, node) for start, nodes in made for node in nodes or ()]
    return [(0, node) for node in compose(text)]


def _compose_part(text: str) -> Nodes:
    """The documents of a part; None if it has aliases."""
    budget = Budget()
    try:
        found: Nodes = tuple(_parse_stream(text, 0, budget))
    except BrokenError as error:
        found = (error.broken,)
    return found if budget.remaining == MAX_UNFOLDED else None


def _split(text: str) -> Iterator[tuple[int, str]]:
    starts = [0, *(match.end() for match in _SEPARATOR.finditer(text))]
    ends = [*(match.start() for match in _SEPARATOR.finditer(text)), len(text)]
    for start, end in zip(starts, ends, strict=True):
        if not _BLANK.fullmatch(text, start, end):
            yield start, text[start:end]


def _parse_stream(text: str, start: int, budget: Budget, read: Read = scalars.plain) -> Iterator[Node]:
    """The documents of one stream. Raises BrokenError at the first fault and stops there.

    After a fault only a separator is certain, and the C parser is quadratic in open brackets.
    """
    events = _parse_events(text, start)
    for event in events:
        if type(event) is yaml.DocumentStartEvent:
            builder = Builder(budget)
            _build_document(events, builder, start, read)
            if builder.root is not None:
                yield builder.root


def _parse_events(text: str, start: int) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = min(mark.index, len(text.rstrip())) if mark else 0
        raise BrokenError(start + at, _describe(error, text[at : at + 1])) from error
    except yaml.reader.ReaderError as error:
        # The position counts bytes of UTF-8.
        at = len(text.encode()[: error.position].decode("utf-8", "ignore"))
        message = f"invalid YAML: the character U+{ord(text[at]):04X} is not allowed; remove it"
        raise BrokenError(start + at, message) from error


def _describe(error: yaml.MarkedYAMLError, character: str) -> str:
    problem = error.problem or "syntax error"
    if character == "\t":
        return "invalid YAML: a tab cannot indent; use spaces"
    context = f" {error.context}" if error.context else ""
    return f"invalid YAML: {problem}{context}"


def _build_document(events: Iterator[yaml.Event], builder: Builder, start: int, read: Read) -> None:
    event: Any  # the type stubs lack the marks and anchors of the C parser's events
    for event in events:
        kind = type(event)
        offset = start + event.start_mark.index
        if kind is yaml.ScalarEvent:
            value, merge = _read_scalar(event, offset, read)
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


def _read_scalar(event: Any, offset: int, read: Read) -> tuple[scalars.Value, bool]:
    """The value, and whether it is the merge key ``<<``."""
    text = event.value
    if event.tag is None:
        if not event.implicit[0]:
            return text, False
        return read(text), text == "<<"
    try:
        return scalars.tagged(event.tag, text), False
    except ValueError as error:
        raise BrokenError(offset, str(error)) from error
