"""PURE. What is structurally wrong with a manifest, as a person reads it: the fact, the value, the repair.

Words the decoder's errors by their type, and finds the value that no JSON can hold. Called by `crd.manifest` alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crd.finding import Reason
from crd.models import patterns
from crd.models.patterns import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["Problem", "breaches", "quoted", "unstorable"]

MAX_DEPTH = 200
MAX_QUOTE = 80

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A breach of the structural schema: the field path and what is wrong there."""

    path: Path
    message: str
    reason: Reason = Reason.INVALID_FIELD


def breaches(error: ValidationError) -> Iterator[Problem]:
    """What the decoder refused about a spec, in its order; one problem may come more than once."""
    details = error.errors(include_url=False)
    places = {detail["loc"] for detail in details}
    for detail in details:
        if detail["type"] == "rules":
            for rule in detail["ctx"]["rules"]:
                yield Problem(("spec", *detail["loc"], *rule.at), rule.message, rule.reason)
        elif _is_neither(detail["loc"], places):
            place = detail["loc"][:-1]
            message = f"{quoted(detail.get('input'))} is {_EITHER.get(str(place[-1]), _NEITHER)}"
            yield Problem(("spec", *place), message)
        elif not _echo(detail):
            path, message = _worded(detail)
            yield Problem(("spec", *path), message, _reason(detail))


def unstorable(node: Any, path: Path) -> Problem | None:
    """The first value that the API server cannot store: too deep, an integer over 64 bits, no JSON type, no Unicode.

    YAML can write all of these. ``path`` is where the node stands.
    """
    pending: list[tuple[Path, Any]] = [(path, node)]
    while pending:
        here, value = pending.pop()
        if len(here) - len(path) > MAX_DEPTH:
            return Problem(here[: len(path) + 1], f"the value is nested deeper than {MAX_DEPTH} levels; flatten it")
        fault = _fault(value)
        if fault:
            return Problem(here, fault)
        if isinstance(value, dict):
            for key in value:
                fault = _fault(key)
                if fault:
                    return Problem(here, f"a key cannot be stored: {fault}")
            pending += [((*here, str(key)), child) for key, child in reversed(value.items())]
        elif isinstance(value, list):
            pending += [((*here, index), child) for index, child in reversed(tuple(enumerate(value)))]
    return None


def quoted(value: object) -> str:
    """A value as JSON on one line, cut to 80 characters; what no JSON can hold is escaped or named by its type."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a value of type {type(value).__name__}"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_QUOTE else f"{text[: MAX_QUOTE - 1]}…"


def _fault(value: object) -> str | None:
    match value:
        case None | bool() | float() | dict() | list():
            return None
        case int():
            fits = -(2**63) <= value < 2**64
            return None if fits else f"{quoted(value)} does not fit 64 bits; write a smaller number, or text in quotes"
        case str():
            fits = value.isascii() or value == value.encode("utf-8", "replace").decode()
            return None if fits else f"{quoted(value)} holds half of a surrogate pair; write the whole character"
    return f"a value of type {type(value).__name__} is not JSON; write text, a number, a list or an object"


def _echo(detail: ErrorDetails) -> bool:
    """A list that counts as too short only because its entries are broken: those say so themselves."""
    value = detail.get("input")
    return detail["type"] == "too_short" and isinstance(value, list) and len(value) >= detail["ctx"]["min_length"]


def _is_neither(place: Path, places: Collection[Path]) -> bool:
    """Whether a value that may be a number or text is refused as both: the decoder adds which it tried to the path."""
    tried = {(*place[:-1], kind) for kind in ("int", "str")}
    return place in tried and tried <= set(places)


def _reason(detail: ErrorDetails) -> Reason:
    if detail["type"] == "string_pattern_mismatch":
        return _PATTERN_REASONS.get(detail["ctx"]["pattern"], Reason.INVALID_FIELD)
    return Reason.DUPLICATE_ENTRY if detail["type"] == "duplicate_entry" else Reason.INVALID_FIELD


def _worded(detail: ErrorDetails) -> tuple[Path, str]:
    kind, path, value, context = detail["type"], detail["loc"], detail.get("input"), detail.get("ctx", {})
    if kind == "duplicate_entry":
        return (*path, context["index"]), detail["msg"]
    if path[-1:] == ("[key]",):
        path = path[:-1]  # a key of a map that is not allowed is told at its entry
    words = _WORDS.get(kind)
    return path, words(path, value, context) if words else detail["msg"].removeprefix("Value error, ")


def _typed(name: str, repair: str) -> Callable[[Path, Any, Mapping[str, Any]], str]:
    return lambda _path, value, _context: f"{quoted(value)} is {name}; {repair}"


def _missing(path: Path, _value: Any, _context: Mapping[str, Any]) -> str:
    return f"{path[-1]} is missing; add it"


def _text(_path: Path, value: Any, _context: Mapping[str, Any]) -> str:
    repair = "put it in quotes" if isinstance(value, bool | int | float) else "write text"
    return f"{quoted(value)} is no text; {repair}"


def _pattern(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"{quoted(value)} is not allowed; use {MEANINGS[context['pattern']]}"


def _choice(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"{quoted(value)} is not allowed; use {context['expected'].replace(chr(39), '')}"


def _long(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"{quoted(value)} has {len(value)} characters; shorten it to {context['max_length']} at most"


def _short(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    if context["min_length"] == 1:
        return "the text is empty; write some, or remove the field"
    return f"{quoted(value)} is too short; write {context['min_length']} characters at least"


def _low(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"{quoted(value)} is too low; use {context['ge']} or more"


def _high(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"{quoted(value)} is too high; use {context['le']} or less"


def _many(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"{len(value)} entries are too many; keep {context['max_length']} at most"


def _few(_path: Path, _value: Any, _context: Mapping[str, Any]) -> str:
    return "the list is empty; add an entry"


def _whole(_path: Path, value: Any, _context: Mapping[str, Any]) -> str:
    quotes = isinstance(value, str) and value.lstrip("-").isdigit()
    return f"{quoted(value)} is no whole number; {'remove the quotes' if quotes else 'write one, without quotes'}"


_NEITHER = "neither a whole number nor text; put it in quotes"
_EITHER = {"port": "no port; use a number from 1 to 65535 or the name of a port of the Service"}
_PATTERN_REASONS = {
    patterns.SERVED_NAME: Reason.INVALID_NAME,
    patterns.URI: Reason.INVALID_URI,
    patterns.BASE64: Reason.INVALID_CONTENT,
    patterns.HEADER_NAME: Reason.INVALID_MAPPING,
    patterns.POINTER: Reason.INVALID_MAPPING,
    patterns.PATH_TEMPLATE: Reason.INVALID_MAPPING,
}
_OBJECT = _typed("no object", "write members as key: value")
_WORDS: dict[str, Callable[[Path, Any, Mapping[str, Any]], str]] = {
    "missing": _missing,
    "string_type": _text,
    "string_pattern_mismatch": _pattern,
    "string_too_long": _long,
    "string_too_short": _short,
    "literal_error": _choice,
    "int_type": _whole,
    "int_from_float": _whole,
    "float_type": _typed("no number", "write one, without quotes"),
    "bool_type": _typed("no truth value", "write true or false, without quotes"),
    "greater_than_equal": _low,
    "less_than_equal": _high,
    "too_long": _many,
    "too_short": _few,
    "tuple_type": _typed("no list", 'write entries that each start with "- "'),
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
}
