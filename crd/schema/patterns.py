"""PURE. The regular expressions of a schema: whether the engine of `crd.schema.validation` supports them.

The engine matches in linear time, so every pattern that it compiles is safe. This module limits the cost of compiling:
the length of a pattern, the number of character class escapes (the engine rewrites the whole pattern for each), the
number of patterns, and the number of patterns that need more than `SMALL_BYTES` when compiled. Lengths and escapes are
limited for each pattern, and for all patterns of a schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs
from pydantic_core import SchemaError, SchemaValidator, core_schema

from crd.finding import Reason, shorten
from crd.schema.validation import PATTERN_BYTES, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crd.schema.subschemas import Path

__all__ = ["PatternFault", "faults", "is_faultless"]

MAX_LENGTH = 2048
MAX_ESCAPES = 64
MAX_PATTERNS = 100
# Limits for all patterns of a schema together.
MAX_TOTAL_LENGTH = 8192
MAX_TOTAL_ESCAPES = 256
SMALL_BYTES = 64 * 1024
MAX_LARGE = 8
_ESCAPE = re.compile(r"\\[dDsSwWc]")
_COUNT = re.compile(r"\{([0-9]{1,9}(?:,[0-9]{0,9})?)\}")
_SMALLER = "limit the length with maxLength instead of {n,m} or shorten the pattern"
# Escapes and classes are skipped, because their content is not a group.
_UNSUPPORTED = re.compile(
    r"(?P<backreference>\\(?:[1-9]|k<))|\\.|\[(?:[^\]\\]|\\.)*\]?|(?P<look>\(\?<?[=!])|(?P<flags>\(\?[a-zA-Z^-]+[:)])",
    re.DOTALL,
)
_LINEAR = "which cannot be matched in linear time"
_REPAIRS = {
    "backreference": f"uses a backreference, {_LINEAR}; list the alternatives or check it in the backend",
    "look": f"uses look-around, {_LINEAR}; use a second pattern in allOf or not",
    "flags": "sets flags, which ECMA-262 does not have; write both cases, such as [aA]",
}


@dataclass(frozen=True, slots=True)
class PatternFault:
    """A pattern that cannot be used: its path, the reason and the message."""

    path: Path
    reason: Reason
    message: str


def faults(nodes: Iterable[tuple[Path, Any]]) -> Iterator[PatternFault]:
    """The patterns that cannot be used, each at its first path, or the limit that all patterns together exceed."""
    places: dict[str, Path] = {}
    for path, text in _patterns(nodes):
        places.setdefault(text, path)
    for number, most, what in (
        (len(places), MAX_PATTERNS, "different patterns"),
        (sum(map(len, places)), MAX_TOTAL_LENGTH, "characters of patterns"),
        (
            sum(map(_count_escapes, places)),
            MAX_TOTAL_ESCAPES,
            "character class escapes such as \\d and \\S in patterns",
        ),
    ):
        if number > most:
            message = f"the schema must have at most {most} {what}, got {number}; remove or shorten some"
            yield PatternFault((), Reason.PATTERN_TOO_LARGE, message)
            return
    large = 0
    for text, path in places.items():
        found = _fault(text)
        large += found is not None and found.large
        if large > MAX_LARGE:
            message = (
                f"the schema must have at most {MAX_LARGE} patterns that need more than {SMALL_BYTES // 1024} KiB when "
                f"compiled; {_SMALLER}: {shorten(text)}"
            )
            yield PatternFault((), Reason.PATTERN_TOO_LARGE, message)
            return
        if found is not None and found.message:
            yield PatternFault(path, found.reason, found.message)


def is_faultless(text: str) -> bool:
    """Whether a schema with this pattern alone has no fault by it, and the pattern is not large when compiled."""
    return _fault(text) is None


def _patterns(nodes: Iterable[tuple[Path, Any]]) -> Iterator[tuple[Path, str]]:
    for path, node in nodes:
        if not isinstance(node, dict):
            continue
        if isinstance(node.get("pattern"), str):
            yield (*path, "pattern"), node["pattern"]
        named = node.get("patternProperties")
        for text in named if isinstance(named, dict) else ():
            yield (*path, "patternProperties", text), text


@dataclass(frozen=True, slots=True)
class _Fault:
    """The fault of a pattern; without a message, the pattern is only large."""

    reason: Reason
    message: str
    large: bool = False


@lru_cache(maxsize=1024)
def _fault(text: str) -> _Fault | None:
    if len(text) > MAX_LENGTH:
        message = f"{shorten(text)} must have at most {MAX_LENGTH} characters, got {len(text)}; shorten it"
        return _Fault(Reason.PATTERN_TOO_LARGE, message)
    escapes = _count_escapes(text)
    if escapes > MAX_ESCAPES:
        message = (
            f"{shorten(text)} must have at most {MAX_ESCAPES} character class escapes such as \\d and \\S, got "
            f"{escapes}; write them as classes, such as [0-9]"
        )
        return _Fault(Reason.PATTERN_TOO_LARGE, message)
    unsupported = next((match.lastgroup for match in _UNSUPPORTED.finditer(text) if match.lastgroup), None)
    if unsupported is not None:
        return _Fault(Reason.UNSUPPORTED_PATTERN, f"{shorten(text)} {_REPAIRS[unsupported]}")
    if _compiles(text, SMALL_BYTES):
        return None
    if _compiles(text, PATTERN_BYTES):
        return _Fault(Reason.PATTERN_TOO_LARGE, "", large=True)
    lessened = _COUNT.sub(_lessen, text)
    why = "" if lessened != text and _compiles(lessened, PATTERN_BYTES) else _reason_of_refusal(lessened)
    if "size limit" in why or (lessened != text and not why):
        message = f"{shorten(text)} needs more than {PATTERN_BYTES // 1024} KiB when compiled; {_SMALLER}"
        return _Fault(Reason.PATTERN_TOO_LARGE, message, large=True)
    why = why or "it is not one of ECMA-262"
    return _Fault(Reason.INVALID_SCHEMA, f"{shorten(text)} is not a regular expression: {why}; correct it")


def _lessen(count: re.Match[str]) -> str:
    """Replace a valid repetition count by one, so that a remaining fault is not caused by the size."""
    least, _, most = count[1].partition(",")
    return count[0] if most and int(least) > int(most) else "{1}"


def _count_escapes(text: str) -> int:
    return sum(1 for _ in _ESCAPE.finditer(text))


def _compiles(text: str, limit: int) -> bool:
    try:
        compile_schema({"pattern": text}, pattern_bytes=limit)
    except jsonschema_rs.ValidationError:
        return False
    return True


def _reason_of_refusal(text: str) -> str:
    """The error of a related engine, because the validator gives none; empty if that engine accepts the pattern."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=text))
    except SchemaError as error:
        return str(error).strip().rpartition("\n")[2].strip().removeprefix("error: ")
    return ""
