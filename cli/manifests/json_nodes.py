"""PURE. Parses JSON documents with positions, one after the other, as kubectl reads a stream.

YAML 1.1 is not quite a superset of JSON: YAML parsers reject tabs and surrogate pairs that JSON allows.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from cli.manifests.nodes import BrokenError, Budget, Builder, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["compose"]

_SPACE = re.compile(r"[ \t\n\r]*")


def compose(text: str) -> list[Node]:
    """The documents of a file, in order. Raises BrokenError at a syntax error and at a duplicate key."""
    return list(_parse_documents(text))


def _parse_documents(text: str) -> Iterator[Node]:
    at = _skip(text, 0)
    while at < len(text):
        builder = Builder(Budget())
        at = _skip(text, _parse_document(text, at, builder))
        if builder.root is not None:
            yield builder.root


def _parse_document(text: str, at: int, builder: Builder) -> int:
    """Build one document; returns the offset of its end."""
    closers: list[str] = []
    while True:
        at = _parse_value(text, at, builder, closers)
        if not closers:
            return at


def _parse_value(text: str, at: int, builder: Builder, closers: list[str]) -> int:
    """Read a scalar or open a mapping or sequence, and close what ends here; returns the next value's offset."""
    opening = text[at : at + 1]
    if opening in ("{", "["):
        builder.open(at, {} if opening == "{" else [])
        closers.append("}" if opening == "{" else "]")
        at = _skip(text, at + 1)
        if text[at : at + 1] != closers[-1]:
            return _parse_key(text, at, builder) if opening == "{" else at
    else:
        at = _parse_scalar(text, at, builder)
    while closers:
        at = _skip(text, at)
        found = text[at : at + 1]
        if found == ",":
            at = _skip(text, at + 1)
            return _parse_key(text, at, builder) if closers[-1] == "}" else at
        if found != closers[-1]:
            raise BrokenError(at, f"invalid JSON: expected a comma or {closers[-1]}")
        builder.close()
        closers.pop()
        at += 1
    return at


def _parse_key(text: str, at: int, builder: Builder) -> int:
    if text[at : at + 1] != '"':
        raise BrokenError(at, "invalid JSON: expected a member name in double quotes")
    at = _skip(text, _parse_scalar(text, at, builder))
    if text[at : at + 1] != ":":
        raise BrokenError(at, "invalid JSON: expected a colon after the member name")
    return _skip(text, at + 1)


def _parse_scalar(text: str, at: int, builder: Builder) -> int:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise BrokenError(error.pos, f"invalid JSON: {error.msg.lower()}") from error
    except ValueError as error:
        shown = text[at : at + 12].rstrip(" \t\n\r,]}")
        raise BrokenError(at, f"invalid number {shown}; write a finite number or a quoted string") from error
    builder.scalar(at, value)
    return end


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _reject_constant(name: str) -> float:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
