"""PURE. Match URIs against the URI templates of resources, and paths against those of operations (RFC 6570).

The grammar is in `crd.published.uri`. Matching takes time proportional to the length of the URI and the number of
variables, whatever the template: a client chooses the URI, and a regular expression could take exponentially longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from crd.published.uri import split

__all__ = ["MAX_URI", "is_template", "match"]

# Longer URIs name no resource.
MAX_URI = 2048


@dataclass(frozen=True, slots=True)
class _Variable:
    """One or more characters, none of them ``excluded``."""

    name: str
    excluded: str


def is_template(uri: str) -> bool:
    """Whether a URI of the catalog has variables."""
    return "{" in uri


def match(template: str, uri: str) -> dict[str, str] | None:
    """The decoded values of the template's variables in a URI. None if the URI does not match.

    If several values match, the first variable is as long as possible, then the second, and so on.
    """
    parts, query = _compile(template)
    base, _, query_string = uri.partition("?") if query else (uri, "", "")
    values = _match_parts(parts, base)
    if values is None:
        return None
    parameters = parse_qsl(query_string, keep_blank_values=True)
    return {
        **{name: value for name, value in parameters if name in query},
        **{name: unquote(value) for name, value in values.items()},
    }


@lru_cache(maxsize=4096)
def _compile(template: str) -> tuple[tuple[str | _Variable, ...], frozenset[str]]:
    """The literals and variables before the query, and the names of the query variables."""
    parts: list[str | _Variable] = []
    query = frozenset[str]()
    for part in split(template):
        if isinstance(part, str):
            parts.append(part)
        elif part.operator == "?":
            query = frozenset(part.names)
        else:
            parts.append(_Variable(part.names[0], "?#" if part.operator == "+" else "/?#"))
    return tuple(parts), query


def _match_parts(parts: tuple[str | _Variable, ...], text: str) -> dict[str, str] | None:
    length = len(text)
    if length > MAX_URI or (parts and isinstance(parts[0], str) and not text.startswith(parts[0])):
        return None
    # From the end: for each part, the positions from which it and all later parts match the rest of the text.
    starts = [bytearray(length + 1)]
    starts[0][length] = 1
    for part in reversed(parts):
        after, here = starts[-1], bytearray(length + 1)
        if isinstance(part, str):
            position = text.find(part)
            while position != -1:
                here[position] = after[position + len(part)]
                position = text.find(part, position + 1)
        else:
            for position in range(length - 1, -1, -1):
                if text[position] not in part.excluded:
                    here[position] = after[position + 1] or here[position + 1]
        starts.append(here)
    starts.reverse()
    if not starts[0][0]:
        return None
    # From the start: each variable takes as much as the later parts allow.
    values: dict[str, str] = {}
    position = 0
    for index, part in enumerate(parts):
        if isinstance(part, str):
            position += len(part)
            continue
        end = cursor = position
        while cursor < length and text[cursor] not in part.excluded:
            cursor += 1
            if starts[index + 1][cursor]:
                end = cursor
        values[part.name] = text[position:end]
        position = end
    return values
