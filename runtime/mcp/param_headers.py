"""PURE. Arguments that a client repeats in headers, so that what stands between can route by them (``x-mcp-header``).

Of the stateless era: a header that does not say what the argument says is refused, since others have believed it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Mirror", "decoded", "mismatch", "of_schema"]

_PREFIX, _SUFFIX = "=?base64?", "?="
_NUMBER = re.compile(r"-?[0-9]{1,20}([.][0-9]{1,20})?")
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Mirror:
    """A header, by its lower-case name, and the way to its argument."""

    header: str
    path: tuple[str, ...]


def of_schema(schema: Mapping[str, Any]) -> tuple[Mirror, ...]:
    """The mirrors of an inputSchema: only properties, and properties of properties, may have one."""
    return tuple(_walk(schema, ()))


def _walk(node: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Mirror]:
    properties = node.get("properties")
    if not isinstance(properties, dict) or len(path) > MAX_DEPTH:
        return
    for name, child in properties.items():
        if isinstance(child, dict):
            header = child.get("x-mcp-header")
            if isinstance(header, str):
                yield Mirror(f"mcp-param-{header.lower()}", (*path, name))
            yield from _walk(child, (*path, name))


def mismatch(
    mirrors: Sequence[Mirror], arguments: Mapping[str, Any], headers: Mapping[str, Sequence[str]]
) -> str | None:
    """The first header that does not agree with its argument; None if all do. ``headers`` have lower-case names."""
    for mirror in mirrors:
        value: Any = arguments
        for step in mirror.path:
            value = value.get(step) if isinstance(value, dict) else None
        given = headers.get(mirror.header, ())
        if value is None and not given:
            continue
        if value is None or len(given) != 1 or not _agree(value, decoded(given[0].strip(" \t"))):
            return mirror.header
    return None


def decoded(value: str) -> str | None:
    """A header value, out of its base64 wrapping if it wears one; None if the wrapping is broken."""
    if not (value.startswith(_PREFIX) and value.endswith(_SUFFIX) and len(value) >= len(_PREFIX + _SUFFIX)):
        return value
    try:
        return base64.b64decode(value[len(_PREFIX) : -len(_SUFFIX)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _agree(value: Any, said: str | None) -> bool:
    if said is None:
        return False
    if isinstance(value, bool):
        return said == ("true" if value else "false")
    if isinstance(value, int | float):
        return _NUMBER.fullmatch(said) is not None and float(said) == float(value)
    return isinstance(value, str) and said == value
