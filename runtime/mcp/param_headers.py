"""PURE. Arguments that a client repeats in headers, so that intermediaries can route by them (``x-mcp-header``).

Stateless era only. A header that contradicts its argument is refused, because an intermediary has already acted on it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crd.published.headers import HEADER_VALUE
from crd.schema.param_headers import KEYWORD
from runtime.mcp import numbers
from runtime.mcp.json_schema import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtime.http.exchange import Header

__all__ = ["ParamHeader", "build", "decode", "encode", "find_mismatch", "is_plain", "of_schema"]

_PREFIX, _SUFFIX = "=?base64?", "?="
_PLAIN = re.compile(HEADER_VALUE)
_NUMBER = re.compile(r"-?[0-9]{1,400}([.][0-9]{1,400})?")


@dataclass(frozen=True, slots=True)
class ParamHeader:
    """A header, by lower-case name, and the path of its argument."""

    header: str
    path: tuple[str, ...]

    def value_in(self, arguments: Mapping[str, Any]) -> Any:
        """The argument; None if absent."""
        value: Any = arguments
        for name in self.path:
            value = value.get(name) if isinstance(value, dict) else None
        return value


def of_schema(schema: Mapping[str, Any]) -> tuple[ParamHeader, ...]:
    """The headers that an inputSchema declares: on its properties, and on properties of properties."""
    return tuple(_walk(schema, ()))


def _walk(node: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[ParamHeader]:
    properties = node.get("properties")
    if not isinstance(properties, dict) or len(path) > MAX_DEPTH:
        return
    for name, child in properties.items():
        if isinstance(child, dict):
            header = child.get(KEYWORD)
            if isinstance(header, str):
                yield ParamHeader(f"mcp-param-{header.lower()}", (*path, name))
            yield from _walk(child, (*path, name))


def find_mismatch(
    declared: Sequence[ParamHeader], arguments: Mapping[str, Any], headers: Mapping[str, Sequence[str]]
) -> str | None:
    """The name of the first header that contradicts its argument, or None. ``headers`` by lower-case name."""
    for each in declared:
        value = each.value_in(arguments)
        sent = headers.get(each.header, ())
        if value is None and not sent:
            continue
        # A header that is repeated with one value is that value.
        values = {line.strip(" \t") for line in sent}
        if value is None or len(values) != 1 or not _is_equal(value, decode(values.pop())):
            return each.header
    return None


def build(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[Header]:
    """The headers that a client sends for these arguments."""
    for each in of_schema(schema):
        value = each.value_in(arguments)
        if isinstance(value, str):
            yield each.header, encode(value)
        elif isinstance(value, bool | int | Decimal):
            yield each.header, numbers.to_text(value)


def encode(value: str) -> str:
    """A string as a header value: in base64 if a header cannot hold it, or if it looks like base64 itself."""
    if _PLAIN.fullmatch(value) and not value.startswith(_PREFIX):
        return value
    return f"{_PREFIX}{base64.b64encode(value.encode()).decode()}{_SUFFIX}"


def is_plain(value: str) -> bool:
    """Whether a header value is the string itself, and not its base64."""
    return not value.startswith(_PREFIX)


def decode(value: str) -> str | None:
    """The string in a header value. None for invalid base64."""
    if not (value.startswith(_PREFIX) and value.endswith(_SUFFIX) and len(value) >= len(_PREFIX + _SUFFIX)):
        return value
    try:
        return base64.b64decode(value[len(_PREFIX) : -len(_SUFFIX)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_equal(argument: Any, sent: str | None) -> bool:
    if sent is None:
        return False
    if isinstance(argument, bool):
        return sent == ("true" if argument else "false")
    if isinstance(argument, int | float | Decimal):
        return _NUMBER.fullmatch(sent) is not None and Decimal(sent) == Decimal(str(argument))
    return isinstance(argument, str) and sent == argument
