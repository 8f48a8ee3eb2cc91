"""PURE. The regular expressions of a schema: whether the engine of `crd.schema.validation` has and can afford them.

The engine matches in linear time, so every pattern that it compiles is safe. What compiling costs is bounded here: by
the length of a pattern, by the shorthands in it (the engine rewrites the whole pattern for each), by the number of
patterns, and by how many of them need more than `SMALL_BYTES` once they are compiled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs
from pydantic_core import SchemaError, SchemaValidator, core_schema

from crd.finding import Reason, shortened
from crd.schema import subschemas
from crd.schema.validation import PATTERN_BYTES, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.schema.subschemas import Path

__all__ = ["MAX_LARGE", "MAX_LENGTH", "MAX_PATTERNS", "MAX_SHORTHANDS", "PatternFault", "faults"]

MAX_LENGTH = 2048
MAX_SHORTHANDS = 64
MAX_PATTERNS = 100
SMALL_BYTES = 64 * 1024
MAX_LARGE = 8
# Faults that are told of one schema: each costs another attempt to read the pattern.
MAX_TOLD = 3
_SHORTHAND = re.compile(r"\\[dDsSwWc]")
_SMALLER = "bound the length with maxLength instead of {n,m}, or shorten it"


@dataclass(frozen=True, slots=True)
class PatternFault:
    """Where a pattern stands that cannot be used, and why."""

    path: Path
    reason: Reason
    message: str


def faults(schema: Mapping[str, Any]) -> Iterator[PatternFault]:
    """The patterns that cannot be used, the first few of them; each text is told where it stands first."""
    places: dict[str, Path] = {}
    for path, text in _patterns(schema):
        places.setdefault(text, path)
    if len(places) > MAX_PATTERNS:
        message = f"the schema holds {len(places)} different patterns, at most {MAX_PATTERNS} are allowed; remove some"
        yield PatternFault((), Reason.PATTERN_TOO_LARGE, message)
        return
    told = large = 0
    for text, path in places.items():
        found = _fault(text)
        if found is None and not _compiles(text, SMALL_BYTES):
            large += 1
            if large > MAX_LARGE:
                message = (
                    f"{shortened(text)} is large pattern number {large}: it needs more than {SMALL_BYTES // 1024} KiB "
                    f"once compiled, at most {MAX_LARGE} such patterns are allowed; {_SMALLER}"
                )
                yield PatternFault(path, Reason.PATTERN_TOO_LARGE, message)
                return
        if found is not None:
            yield PatternFault(path, *found)
            told += 1
            if told == MAX_TOLD:
                return


def _patterns(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    for path, node in subschemas.walk(schema):
        if not isinstance(node, dict):
            continue
        if isinstance(node.get("pattern"), str):
            yield (*path, "pattern"), node["pattern"]
        named = node.get("patternProperties")
        for text in named if isinstance(named, dict) else ():
            yield (*path, "patternProperties", text), text


@lru_cache(maxsize=1024)
def _fault(text: str) -> tuple[Reason, str] | None:
    if len(text) > MAX_LENGTH:
        message = f"{shortened(text)} has {len(text)} characters, at most {MAX_LENGTH} are allowed; shorten it"
        return Reason.PATTERN_TOO_LARGE, message
    shorthands = sum(1 for _ in _SHORTHAND.finditer(text))
    if shorthands > MAX_SHORTHANDS:
        message = (
            f"{shortened(text)} holds {shorthands} shorthands such as \\d and \\S, at most {MAX_SHORTHANDS} are "
            "allowed; write them as classes, such as [0-9]"
        )
        return Reason.PATTERN_TOO_LARGE, message
    if _compiles(text, PATTERN_BYTES):
        return None
    why = _reason_of_refusal(text)
    if "size limit" in why or not why:
        message = f"{shortened(text)} needs more than {PATTERN_BYTES // 1024} KiB once compiled; {_SMALLER}"
        return Reason.PATTERN_TOO_LARGE, message
    if "look-around" in why:
        message = (
            f"{shortened(text)} uses look-around, which cannot be matched in linear time; put a second pattern beside "
            "it with allOf or not"
        )
        return Reason.UNSUPPORTED_PATTERN, message
    if re.search(r"(?<!\\)(\\\\)*\\([1-9]|k<)", text):
        message = (
            f"{shortened(text)} uses a backreference, which cannot be matched in linear time; write the alternatives "
            "out or check it in the backend"
        )
        return Reason.UNSUPPORTED_PATTERN, message
    return Reason.INVALID_SCHEMA, f"{shortened(text)} is not a regular expression: {why}; correct it"


@lru_cache(maxsize=4096)
def _compiles(text: str, limit: int) -> bool:
    try:
        compile_schema({"pattern": text}, pattern_bytes=limit)
    except jsonschema_rs.ValidationError:
        return False
    return True


def _reason_of_refusal(text: str) -> str:
    """What an engine of the same family says of the pattern, which the validator does not; empty if it takes it."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=text))
    except SchemaError as error:
        return str(error).strip().rpartition("\n")[2].strip().removeprefix("error: ").removeprefix("SchemaError: ")
    return ""
