"""PURE. Messages about structural problems of a manifest: what must hold, the value, and the repair.

Translates the validation errors of pydantic by their type, and finds values that the API server cannot store. Called by
`crd.manifest` only.
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

__all__ = ["Problem", "describe_non_string", "describe_number", "find_unstorable", "quote", "translate"]

MAX_NESTING = 200
MAX_PROBLEMS = 1000
# The maximum number of values that `find_unstorable` visits.
MAX_VALUES = 100_000
MAX_QUOTE = 80
# The fields that are durations.
DURATIONS = frozenset({"listTTL", "openFor", "period", "requestTimeout", "timeout", "ttl"})

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A violation of the structural schema: the path of the field, the message and the reason."""

    path: Path
    message: str
    reason: Reason = Reason.INVALID_FIELD


def translate(error: ValidationError) -> Iterator[Problem]:
    """The validation errors of a spec as problems, in pydantic's order; a problem may appear more than once.

    Of more than `MAX_PROBLEMS` errors only the number is reported.
    """
    count = error.error_count()
    if count > MAX_PROBLEMS:
        yield Problem(("spec",), f"{count} values are invalid, which is too many to list; correct them")
        return
    details = error.errors(include_url=False)
    places = {detail["loc"] for detail in details}
    for detail in details:
        if detail["type"] == "rules":
            for rule in detail["ctx"]["rules"]:
                yield Problem(("spec", *detail["loc"], *rule.at), rule.message, rule.reason)
        elif _is_neither(detail["loc"], places):
            place = detail["loc"][:-1]
            message = f"must be {_EITHER.get(str(place[-1]), _NEITHER)}, got {quote(detail.get('input'))}"
            yield Problem(("spec", *place), message)
        elif not _follows_from_entries(detail):
            path, message = _describe(detail)
            yield Problem(("spec", *path), message, _reason(detail))


def find_unstorable(node: Any, path: Path) -> Problem | None:
    """The first value that the API server cannot store; None if it can store all of them.

    Called for specs that cannot be decoded, to name the cause. It gives up after `MAX_VALUES`.

    YAML can express values that nest too deeply, exceed 64 bits, have no JSON type or are not valid Unicode. ``path``
    is the path of ``node``.
    """
    pending: list[tuple[Path, Any]] = [(path, node)]
    left = MAX_VALUES
    while pending and left:
        left -= 1
        here, value = pending.pop()
        if len(here) - len(path) > MAX_NESTING:
            return Problem(here[: len(path) + 1], f"must be at most {MAX_NESTING} levels deep; flatten it")
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


def quote(value: object) -> str:
    """A value as JSON on one line, at most 80 characters long.

    Unpaired surrogates are escaped; a value that JSON cannot represent is described by its type.
    """
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
            return None if fits else f"must fit in 64 bits, got {quote(value)}; use a smaller number or quote it"
        case str():
            fits = value.isascii() or value == value.encode("utf-8", "replace").decode()
            return (
                None
                if fits
                else f"must be valid Unicode, got an unpaired surrogate in {quote(value)}; write the whole character"
            )
    return f"must be a JSON value, got type {type(value).__name__}; use a string, number, list or object"


def _follows_from_entries(detail: ErrorDetails) -> bool:
    """Whether a list counts as too short only because its entries are invalid, which are reported themselves."""
    value = detail.get("input")
    return detail["type"] == "too_short" and isinstance(value, list) and len(value) >= detail["ctx"]["min_length"]


def _is_neither(place: Path, places: Collection[Path]) -> bool:
    """Whether a value that may be an integer or a string is neither: pydantic reports each attempt at its own path."""
    tried = {(*place[:-1], kind) for kind in ("int", "str")}
    return place in tried and tried <= set(places)


def _reason(detail: ErrorDetails) -> Reason:
    if detail["type"] == "string_pattern_mismatch":
        return _PATTERN_REASONS.get(detail["ctx"]["pattern"], Reason.INVALID_FIELD)
    return Reason.DUPLICATE_ENTRY if detail["type"] == "duplicate_entry" else Reason.INVALID_FIELD


def _describe(detail: ErrorDetails) -> tuple[Path, str]:
    kind, path, value, context = detail["type"], detail["loc"], detail.get("input"), detail.get("ctx", {})
    if kind == "duplicate_entry":
        return (*path, context["index"]), detail["msg"]
    if path[-1:] == ("[key]",):
        path = path[:-1]  # an invalid key of a map is reported at its entry
    message = _MESSAGES.get(kind)
    return path, message(path, value, context) if message else detail["msg"].removeprefix("Value error, ")


def _typed(name: str, repair: str) -> Callable[[Path, Any, Mapping[str, Any]], str]:
    return lambda _path, value, _context: f"must be {name}, got {quote(value)}; {repair}"


def _unquote(name: str) -> Callable[[Path, Any, Mapping[str, Any]], str]:
    return lambda _path, value, _context: (
        f"must be {name}, got {quote(value)}" + ("; remove the quotes" if isinstance(value, str) else "")
    )


def _missing(path: Path, _value: Any, _context: Mapping[str, Any]) -> str:
    return f'required field "{path[-1]}" is missing; add it'


def describe_number(count: int, most: int) -> str:
    """The message about a list or map with too many entries."""
    return f"must have at most {most} entries, got {count}; remove some"


def describe_non_string(value: object) -> str:
    """The message about a value that is not a string."""
    repair = "; quote it" if isinstance(value, bool | int | float) else ""
    return f"must be a string, got {quote(value)}{repair}"


def _string(path: Path, value: Any, _context: Mapping[str, Any]) -> str:
    # A number in quotes is none, either.
    return _duration(value) if _is_duration(path) else describe_non_string(value)


def _is_duration(path: Path) -> bool:
    return bool(path) and path[-1] in DURATIONS


def _duration(value: Any) -> str:
    return f"must be {MEANINGS[patterns.DURATION]}, got {quote(value)}"


def _pattern(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be {MEANINGS[context['pattern']]}, got {quote(value)}"


def _choice(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be {context['expected'].replace(chr(39), '')}, got {quote(value)}"


def _long(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must have at most {context['max_length']} characters, got {len(value)}: {quote(value)}"


def _short(path: Path, value: Any, context: Mapping[str, Any]) -> str:
    if _is_duration(path):
        return _duration(value)
    if context["min_length"] == 1:
        return "must not be empty; set a value or remove the field"
    return f"must have at least {context['min_length']} characters, got {quote(value)}"


def _low(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be ≥ {context['ge']}, got {quote(value)}"


def _high(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return f"must be ≤ {context['le']}, got {quote(value)}"


def _many(_path: Path, value: Any, context: Mapping[str, Any]) -> str:
    return describe_number(len(value), context["max_length"])


def _few(_path: Path, _value: Any, _context: Mapping[str, Any]) -> str:
    return "must not be empty; add an entry"


def _whole(_path: Path, value: Any, _context: Mapping[str, Any]) -> str:
    is_quoted = isinstance(value, str) and value.lstrip("-").isdigit()
    return f"must be an integer, got {quote(value)}{'; remove the quotes' if is_quoted else ''}"


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
_MESSAGES: dict[str, Callable[[Path, Any, Mapping[str, Any]], str]] = {
    "missing": _missing,
    "string_type": _string,
    "string_pattern_mismatch": _pattern,
    "string_too_long": _long,
    "string_too_short": _short,
    "literal_error": _choice,
    "int_type": _whole,
    "int_from_float": _whole,
    "float_type": _unquote("a number"),
    "bool_type": _unquote("true or false"),
    "greater_than_equal": _low,
    "less_than_equal": _high,
    "too_long": _many,
    "too_short": _few,
    "tuple_type": _typed("a list", 'start each entry with "- "'),
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
}
