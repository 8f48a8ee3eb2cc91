"""PURE. The values of a request (arguments, constants, claims), and how parameters, headers and forms write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping, pointers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.published.entries import BodyField, ParameterEntry
    from runtime.http.exchange import Header

__all__ = ["HEADER_DELIMITERS", "Sources", "form_pairs", "headers", "query_pairs"]

_QUERY_DELIMITERS = {"Comma": ",", "Space": "%20", "Pipe": "%7C"}
HEADER_DELIMITERS = {"Comma": ",", "Space": " ", "Pipe": "|"}


class Sources(NamedTuple):
    """The arguments of one call, and the claims of the client's verified token."""

    arguments: Mapping[str, Any]
    claims: Mapping[str, Any]

    def value_of(self, entry: ParameterEntry | BodyField) -> Any:
        """The value of an entry, or ABSENT if its argument was not given. Raises CallError for a missing claim."""
        if entry.argument:
            return pointers.argument(self.arguments, entry.argument)
        if entry.claim:
            if entry.claim not in self.claims:
                raise CallError("misconfigured", f'the client token has no claim "{entry.claim}"')
            return self.claims[entry.claim]
        return entry.value or ""


def query_pairs(entry: ParameterEntry, sources: Sources) -> Iterator[tuple[str, str]]:
    """The escaped query parameters of an entry. None for an absent, null, or (with ``omit_empty``) empty value.

    What a style has no notation for is written as JSON: an object without DeepObject, and objects and lists in lists.
    """
    value = sources.value_of(entry)
    if not _is_omitted(value, entry):
        yield from _pairs(entry.argument or entry.name, entry.name, entry.style, value)


def form_pairs(field: BodyField, value: Any) -> Iterator[tuple[str, str]]:
    """The escaped pairs of a field in a urlencoded form. None for an absent or null value, and an empty list or object.

    An empty text is a value of a form.
    """
    if value is pointers.ABSENT or value is None or (value in ([], {}) and field.style != "Json"):
        return
    yield from _pairs(field.argument or field.name, field.name, field.style, value)


def _pairs(name: str, parameter: str, style: str, value: Any) -> Iterator[tuple[str, str]]:
    """``name`` is that of the argument, for refusals."""
    parameter = escaping.escape(parameter, parameter)
    if style == "Json":
        yield parameter, escaping.escape(name, escaping.to_json(value).decode())
    elif isinstance(value, dict) and style == "DeepObject":
        yield from _members(name, parameter, value)
    elif isinstance(value, list):
        items = _items(name, value, HEADER_DELIMITERS.get(style, ","))
        if style in ("Repeat", "DeepObject"):
            yield from ((parameter, item) for item in items)
        else:
            yield parameter, _QUERY_DELIMITERS.get(style, ",").join(items)
    else:
        yield parameter, escaping.escape(name, escaping.to_plain_text(name, value))


def _members(name: str, parameter: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """``parameter[member]=…``, at every depth. A list repeats the parameter of its member."""
    for key, child in value.items():
        member = f"{parameter}%5B{escaping.escape(name, key)}%5D"
        if isinstance(child, dict):
            yield from _members(name, member, child)
        else:
            yield from ((member, item) for item in _items(name, child if isinstance(child, list) else [child]))


def _items(name: str, values: list[Any], delimiter: str = ",") -> list[str]:
    """The escaped items of a list, without null. In items that are JSON the delimiter is escaped as JSON does it."""
    return [escaping.escape(name, _item(name, item, delimiter)) for item in values if item is not None]


def _item(name: str, value: Any, delimiter: str) -> str:
    text = escaping.to_plain_text(name, value)
    # Space and Pipe occur in compact JSON only within strings.
    return (
        text.replace(delimiter, f"\\u{ord(delimiter):04x}")
        if isinstance(value, dict | list) and delimiter != ","
        else text
    )


def headers(entry: ParameterEntry, sources: Sources) -> Iterator[Header]:
    """The header of an entry, if it has a value. Raises CallError for a value that a header cannot hold."""
    value = sources.value_of(entry)
    if _is_omitted(value, entry):
        return
    name = entry.argument or entry.name
    if entry.style == "Json":
        text = escaping.to_ascii_json(value)
    elif isinstance(value, list):
        delimiter = HEADER_DELIMITERS.get(entry.style, ",")
        text = delimiter.join(_item(name, item, delimiter) for item in value if item is not None)
    else:
        text = escaping.to_plain_text(name, value)
    if text:
        yield entry.name, escaping.check_header(name, text)
    elif not entry.omit_empty:
        yield entry.name, ""


def _is_omitted(value: Any, entry: ParameterEntry) -> bool:
    return value is pointers.ABSENT or value is None or (entry.omit_empty and value in ("", [], {}))
