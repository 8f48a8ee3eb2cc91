"""PURE. Where the values of a request come from: arguments, constants, claims; and how each is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping, pointers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.published.entries import BodyField, ParameterEntry

__all__ = ["Sources", "headers", "pairs"]

_DELIMITERS = {"Comma": ",", "Space": "%20", "Pipe": "%7C"}


@dataclass(frozen=True, slots=True)
class Sources:
    """The arguments of one call, and the claims of the client's verified token."""

    arguments: Mapping[str, Any]
    claims: Mapping[str, Any]

    def of(self, source: ParameterEntry | BodyField) -> Any:
        """The value of an entry; ABSENT for an argument that was not given. Raises CallError for a missing claim."""
        if source.argument:
            return pointers.argument(self.arguments, source.argument)
        if source.claim:
            if source.claim not in self.claims:
                raise CallError("misconfigured", "the client's token lacks a claim that this call needs")
            return self.claims[source.claim]
        return source.value or ""


def pairs(entry: ParameterEntry, sources: Sources) -> Iterator[tuple[str, str]]:
    """The query parameters that an entry becomes, escaped; none for what is absent, null, or empty and to be omitted.

    Raises CallError for a value that its style cannot write.
    """
    value = sources.of(entry)
    if _omitted(value, entry):
        return
    name = entry.argument or entry.name
    written = escaping.escaped(entry.name, entry.name)
    if entry.style == "Json":
        yield written, escaping.escaped(name, escaping.dumped(value).decode())
    elif isinstance(value, dict):
        if entry.style != "DeepObject":
            raise CallError("invalid_arguments", f"/{name}: objects cannot stand here")
        for key, child in value.items():
            if child is not None:
                member = f"{written}%5B{escaping.escaped(name, key)}%5D"
                yield member, escaping.escaped(name, escaping.text(name, child))
    elif isinstance(value, list):
        items = [escaping.escaped(name, escaping.text(name, item)) for item in value if item is not None]
        if entry.style == "Repeat":
            yield from ((written, item) for item in items)
        else:
            yield written, _DELIMITERS.get(entry.style, ",").join(items)
    else:
        yield written, escaping.escaped(name, escaping.text(name, value))


def headers(entry: ParameterEntry, sources: Sources) -> Iterator[tuple[str, str]]:
    """The header that an entry becomes, or none. Raises CallError for what is no header value."""
    value = sources.of(entry)
    if _omitted(value, entry):
        return
    name = entry.argument or entry.name
    if entry.style == "Json":
        said = escaping.dumped(value).decode()
    elif isinstance(value, list):
        said = {"Space": " ", "Pipe": "|"}.get(entry.style, ",").join(
            escaping.text(name, v) for v in value if v is not None
        )
    else:
        said = escaping.text(name, value)
    yield entry.name, escaping.header(name, said)


def _omitted(value: Any, entry: ParameterEntry) -> bool:
    return value is pointers.ABSENT or value is None or (entry.omit_empty and value in ("", [], {}))
