"""PURE. The pin of a tool of another MCP server: what was reviewed of it, compared with what the server lists now.

`mcp-operator import mcp` writes pins, pods compare, and the controller reports. Loads without pydantic.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import orjson

from crd.schema.subschemas import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "AS_PINNED",
    "MAX_BYTES",
    "MAX_DEPTH",
    "PARTS",
    "UNKNOWN",
    "UNREADABLE",
    "VANISHED",
    "Pin",
    "Verdict",
    "compare",
    "decode",
    "encode",
    "pin_of",
]

# The members of a tool that clients and models go by. Others, such as _meta and icons, may change at any time.
PARTS = ("title", "description", "inputSchema", "outputSchema", "annotations")
# A part that is deeper, in levels, or larger, in bytes, is not read, and so never as pinned.
MAX_DEPTH, MAX_BYTES = 64, 64 * 1024
UNREADABLE = "unreadable"
# Lists whose order means nothing in JSON Schema.
_SETS = frozenset({"required", "enum", "type"})
# What MCP says of a hint that is absent.
_HINTS: dict[str, Any] = {
    "readOnlyHint": False,
    "destructiveHint": True,
    "idempotentHint": False,
    "openWorldHint": True,
    "title": "",
}
# One letter for each set of parts.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
UNKNOWN = "?"
_VANISHED = "x"


class _TooDeepError(Exception):
    """A value has more levels than are read."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The digest of each part of a tool, as ``sha256:<hex>``; empty for a part that the server does not list."""

    title: str = ""
    description: str = ""
    input_schema: str = ""
    output_schema: str = ""
    annotations: str = ""

    @property
    def digests(self) -> tuple[str, ...]:
        """In the order of `PARTS`."""
        return self.title, self.description, self.input_schema, self.output_schema, self.annotations


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a pinned tool: the `PARTS` that have changed, or that the server lists it no more."""

    changed: tuple[str, ...] = ()
    vanished: bool = False

    @property
    def is_drift(self) -> bool:
        """Whether the tool is no longer what was pinned."""
        return self.vanished or bool(self.changed)

    def __str__(self) -> str:
        if self.vanished:
            return "the server no longer lists it"
        return f"changed: {', '.join(self.changed)}" if self.changed else "as pinned"


AS_PINNED, VANISHED = Verdict(), Verdict(vanished=True)


def pin_of(tool: Mapping[str, Any]) -> Pin:
    """The pin of an entry of ``tools/list``.

    Two entries that mean the same have one pin: the order of members, of ``required``, ``enum`` and ``type``, the
    spelling of numbers, and a hint that is left out or has its default make no difference. A part that is too deep or
    too large has `UNREADABLE` instead of a digest.
    """
    annotations = tool.get("annotations")
    if isinstance(annotations, dict):
        hints = {name: annotations.get(name) for name in _HINTS}
        annotations = {name: value for name, value in hints.items() if value is not None and value != _HINTS[name]}
    return Pin(
        _digest(tool.get("title") or None),
        _digest(tool.get("description") or None),
        _digest(tool.get("inputSchema"), is_schema=True),
        _digest(tool.get("outputSchema"), is_schema=True),
        _digest(annotations or None),
    )


def compare(pin: Pin, listed: Iterable[Pin]) -> Verdict:
    """The verdict on a pin. ``listed`` are those of the entries of the tool's name; of several, each must be equal."""
    found = [each.digests for each in listed]
    if not found:
        return VANISHED
    changed = (
        part
        for index, (part, digest) in enumerate(zip(PARTS, pin.digests, strict=True))
        if any(digests[index] != digest for digests in found)
    )
    return Verdict(tuple(changed))


def encode(verdicts: Sequence[Verdict | None], room: int) -> str:
    """Verdicts, None for an unknown one, in at most ``room`` characters. What does not fit is unknown.

    A letter stands for a verdict, and a number before it for so many of them.
    """
    written, done = "", 0
    for letter, run in groupby(map(_letter, verdicts)):
        count = len([*run])
        part = f"{count if count > 1 else ''}{letter}"
        # Always room for the rest.
        if len(written) + len(part) > room - len(str(len(verdicts))) - 1:
            return f"{written}{len(verdicts) - done}{UNKNOWN}" if room > len(str(len(verdicts))) else ""
        written, done = written + part, done + count
    return written


def decode(text: str, count: int) -> tuple[Verdict | None, ...] | None:
    """What `encode` was given; None for a text that it does not write for ``count`` verdicts."""
    verdicts: list[Verdict | None] = []
    number = ""
    for character in text:
        if character in "0123456789":
            number += character
            if len(number) > len(str(count)):
                return None
            continue
        many = int(number or "1")
        if len(verdicts) + many > count:
            return None
        if character == _VANISHED:
            verdict: Verdict | None = VANISHED
        elif character == UNKNOWN:
            verdict = None
        else:
            bits = _LETTERS.find(character)
            if bits < 0:
                return None
            verdict = Verdict(tuple(part for index, part in enumerate(PARTS) if bits >> index & 1))
        verdicts += [verdict] * many
        number = ""
    return tuple(verdicts) if len(verdicts) == count and not number else None


def _letter(verdict: Verdict | None) -> str:
    if verdict is None:
        return UNKNOWN
    if verdict.vanished:
        return _VANISHED
    return _LETTERS[sum(1 << index for index, part in enumerate(PARTS) if part in verdict.changed)]


def _digest(value: Any, *, is_schema: bool = False) -> str:
    if value is None:
        return ""
    try:
        if len(orjson.dumps(value)) > MAX_BYTES:
            return UNREADABLE
        plain = _schema(value, 0) if is_schema else _plain(value, 0)
    except (_TooDeepError, orjson.JSONEncodeError):
        return UNREADABLE
    return f"sha256:{hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def _plain(value: Any, depth: int) -> Any:
    """JSON with one spelling of each number."""
    if depth > MAX_DEPTH:
        raise _TooDeepError
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**64:
        whole = int(value)
        # orjson writes 64 bits.
        return whole if whole >= -(2**63) else value
    if isinstance(value, dict):
        return {name: _plain(each, depth + 1) for name, each in value.items()}
    return [_plain(each, depth + 1) for each in value] if isinstance(value, list) else value


def _schema(node: Any, depth: int) -> Any:
    """A schema with one order of what is a set, and one spelling of each number."""
    if depth > MAX_DEPTH:
        raise _TooDeepError
    if isinstance(node, list):
        # ``items`` of older drafts.
        return [_schema(each, depth + 1) for each in node]
    if not isinstance(node, dict):
        return _plain(node, depth)
    made: dict[str, Any] = {}
    for keyword, value in node.items():
        shape = SHAPES.get(keyword)
        if shape == "map" and isinstance(value, dict):
            made[keyword] = {name: _schema(child, depth + 2) for name, child in value.items()}
        elif shape in ("one", "list"):
            made[keyword] = _schema(value, depth + 1)
        elif keyword in _SETS and isinstance(value, list):
            made[keyword] = _sorted(value, depth)
        elif keyword == "dependentRequired" and isinstance(value, dict):
            made[keyword] = {
                name: _sorted(each, depth) if isinstance(each, list) else _plain(each, depth + 2)
                for name, each in value.items()
            }
        else:
            made[keyword] = _plain(value, depth + 1)
    return made


def _sorted(values: list[Any], depth: int) -> list[Any]:
    plain = [_plain(value, depth + 2) for value in values]
    return sorted(plain, key=lambda each: orjson.dumps(each, option=orjson.OPT_SORT_KEYS))
