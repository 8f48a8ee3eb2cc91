"""PURE. Documents out of JSON text: one after the other, as kubectl reads a stream.

YAML 1.1 is nearly, not wholly, a superset of JSON: its readers refuse tabs and surrogate pairs that JSON has.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from cli.manifests.nodes import BrokenError, Builder, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["compose"]

_SPACE = re.compile(r"[ \t\n\r]*")


def compose(text: str) -> list[Node]:
    """The documents of a file, in order. Raises BrokenError where it stops being JSON, or at a key given twice."""
    return list(_documents(text))


def _documents(text: str) -> Iterator[Node]:
    at = _skip(text, 0)
    while at < len(text):
        builder = Builder(len(text))
        at = _skip(text, _document(text, at, builder))
        if builder.root is not None:
            yield builder.root


def _document(text: str, at: int, builder: Builder) -> int:
    """Build one document and say where it ends."""
    closers: list[str] = []
    while True:
        at = _value(text, at, builder, closers)
        if not closers:
            return at


def _value(text: str, at: int, builder: Builder, closers: list[str]) -> int:
    """Read one value, or the beginning of a nested one, and what closes after it; say where the next value begins."""
    opening = text[at : at + 1]
    if opening in ("{", "["):
        builder.open(at, {} if opening == "{" else [])
        closers.append("}" if opening == "{" else "]")
        at = _skip(text, at + 1)
        if text[at : at + 1] != closers[-1]:
            return _key(text, at, builder) if opening == "{" else at
    else:
        at = _scalar(text, at, builder)
    while closers:
        at = _skip(text, at)
        found = text[at : at + 1]
        if found == ",":
            at = _skip(text, at + 1)
            return _key(text, at, builder) if closers[-1] == "}" else at
        if found != closers[-1]:
            raise BrokenError(at, f"this is not JSON: a comma or {closers[-1]} is missing; add it")
        builder.close()
        closers.pop()
        at += 1
    return at


def _key(text: str, at: int, builder: Builder) -> int:
    if text[at : at + 1] != '"':
        raise BrokenError(at, "this is not JSON: a member starts with a name in double quotes; correct it")
    at = _skip(text, _scalar(text, at, builder))
    if text[at : at + 1] != ":":
        raise BrokenError(at, "this is not JSON: a colon is missing after the name; add it")
    return _skip(text, at + 1)


def _scalar(text: str, at: int, builder: Builder) -> int:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise BrokenError(error.pos, f"this is not JSON: {error.msg.lower()}; correct it") from error
    except ValueError as error:
        shown = text[at : at + 12]
        raise BrokenError(at, f"{shown} is no number of JSON; write a number, or text in quotes") from error
    builder.scalar(at, value)
    return end


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _no_constant(name: str) -> float:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
