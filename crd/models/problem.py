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

__all__ = ["Problem", "breaches", "quoted", "string_expected", "unstorable"]

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
            message = f"must be {_EITHER.get(str(place[-1]), _NEITHER)}, got {quoted(detail.get('input'))}"
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
            return Problem(here[: len(path) + 1], f"must be at most {MAX_DEPTH} levels deep; flatten it")
        fault = _fault(value)
        if fault:
            return Problem(here, fault)
        if isinstance(value, dict):
            for key in value:
                fault = _fault(key)
                if fault:
                    return Problem(here, f"every key {fault}")
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
            return None if fits else f"must fit in 64 bits, got {quoted(value)}; use a smaller number or quote it"
        case str():
            fits = value.isascii() or value == value.encode("utf-8", "replace").decode()
            return (
                None
                if fits
                else f"must be valid Unicode, got an unpaired surrogate in {quoted(value)}; write the whole character"
            )
    return f"must be a JSON value, got type {type(value).__name__}; use a string, number, list or object"


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
    return lambda _path, value, _context: f"must be {name}, got {quoted(value)}; {repair}"


def _unquoted(name: str) -> Callable[[Path, Any, Mapping[str, Any]], str]:
    """A value that is not written in quotes."""
    return lambda _path, value, _context: (
        f"must be {name}, got {quoted(value)}" + ("; remove the quotes" if isinstance(value, str) else "")
    )


def _missing(path: Path, _value: Any, _context: Mapping[str, Any]) -> str:
    return f'required field "{path[-1]}" is missing; add it'


def string_expected(value: object) -> str:
    """The message about a value that is not a string."""
    repair = "; quote it" if isinstance(value, bool | int | float) else ""
    return f"must be a string, got {quoted(value)}{repair}"


def _string(_path: Path, value: Any, _context: Mapping[str, Any]) -> str:
    return string_expected(value)


def _pattern(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be {MEANINGS[context['pattern']]}, got {quoted(value)}"


def _choice(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be {context['expected'].replace(chr(39), '')}, got {quoted(value)}"


def _long(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must have at most {context['max_length']} characters, got {len(value)}: {quoted(value)}"


def _short(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    if context["min_length"] == 1:
        return "must not be empty; set a value or remove the field"
    return f"must have at least {context['min_length']} characters, got {quoted(value)}"


def _low(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be ≥ {context['ge']}, got {quoted(value)}"


def _high(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be ≤ {context['le']}, got {quoted(value)}"


def _many(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must have at most {context['max_length']} entries, got {len(value)}; remove some"


def _few(_path: Path, _value: Any, _context: Mapping[str, Any]) -> str:
    return "must not be empty; add an entry"


def _whole(_path: Path, value: Any, _context: Mapping[str, Any]) -> str:
    is_quoted = isinstance(value, str) and value.lstrip("-").isdigit()
    return f"must be an integer, got {quoted(value)}{'; remove the quotes' if is_quoted else ''}"


_NEITHER = "an integer or a string"
_EITHER = {"port": "a number from 1 to 65535 or the name of a port of the Service"}
_PATTERN_REASONS = {
    patterns.SERVED_NAME: Reason.INVALID_NAME,
    patterns.URI: Reason.INVALID_URI,
    patterns.BASE64: Reason.INVALID_CONTENT,
    patterns.HEADER_NAME: Reason.INVALID_MAPPING,
    patterns.POINTER: Reason.INVALID_MAPPING,
    patterns.PATH_TEMPLATE: Reason.INVALID_MAPPING,
}
_OBJECT = _typed("an object", "write its members as key: value")
_WORDS: dict[str, Callable[[Path, Any, Mapping[str, Any]], str]] = {
    "missing": _missing,
    "string_type": _string,
    "string_pattern_mismatch": _pattern,
    "string_too_long": _long,
    "string_too_short": _short,
    "literal_error": _choice,
    "int_type": _whole,
    "int_from_float": _whole,
    "float_type": _unquoted("a number"),
    "bool_type": _unquoted("true or false"),
    "greater_than_equal": _low,
    "less_than_equal": _high,
    "too_long": _many,
    "too_short": _few,
    "tuple_type": _typed("a list", 'start each entry with "- "'),
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
}
