"""PURE. JSON as text in which every number keeps its digits: 1.10 stays 1.10, and 2**70 is not rounded.

All functions expect text that a parser has accepted, and take time linear in it.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from runtime.backends.http_mapping import pointers
from runtime.mcp import numbers

__all__ = ["render"]

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PIECE = re.compile(rf'(?:[^\s"]++|{_STRING})++')
_TOKEN = re.compile(rf'{_STRING}|[{{}}\[\],:]|[^\s"{{}}\[\],:]+')
_DEPTH = {"{": 1, "[": 1, "}": -1, "]": -1}
# What a number that a serializer could write with other digits contains; a text without it has none. Fifteen digits
# survive a double (DBL_DIG). It may also match inside a string, which costs time only.
_AT_RISK = re.compile(r"[0-9](?:[eE]|[0-9.]{15})|\.[0-9]*0(?![0-9])|0\.0000|-0(?![0-9.])")
# What a number contains that a serializer wrote and that may have had other digits.
_MAY_DIFFER = re.compile(r"[0-9][.eE][0-9+-]|[0-9]{19}|\b0\b")


def render(text: str, value: Any, pointer: str) -> str:
    r"""``value``, which is at ``pointer`` of the document ``text``, as compact JSON with the digits of the text.

    Strings are written without needless escapes: a model reads ü more easily than \u00fc.
    """
    written = numbers.dumps(value).decode()
    if written == text:
        return text
    if not _AT_RISK.search(text) or (pointer and not _MAY_DIFFER.search(written)):
        return written
    if not pointer and "\\" not in text:
        return "".join(_PIECE.findall(text))
    tokens, start = _TOKEN.findall(text), 0
    for name in pointers.split(pointer):
        start = _child(tokens, start, name)
    end = _end(tokens, start) if pointer else len(tokens)
    return "".join([_unescape(token) if "\\" in token else token for token in tokens[start:end]])


def _unescape(token: str) -> str:
    return orjson.dumps(orjson.loads(token)).decode()


def _end(tokens: list[str], start: int) -> int:
    """The index after the value that begins at ``start``."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += _DEPTH.get(tokens[index], 0)
        if not depth:
            return index + 1
    raise ValueError("the text is not JSON")


def _child(tokens: list[str], start: int, name: str) -> int:
    """Where the member or item of the value at ``start`` begins. Of members of one name the last counts."""
    kind, index, position, found = tokens[start], start + 1, 0, start
    while tokens[index] not in ("}", "]"):
        if kind == "{":
            is_wanted = orjson.loads(tokens[index]) == name
            index += 2
        else:
            is_wanted = position == int(name)
            position += 1
        if is_wanted:
            found = index
        index = _end(tokens, index)
        index += tokens[index] == ","
    return found
