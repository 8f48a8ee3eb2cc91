"""PURE. Match URIs against the URI templates of resources (RFC 6570; the grammar is in `crd.published.uri`)."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from crd.published.uri import split

__all__ = ["is_template", "match"]


def is_template(uri: str) -> bool:
    """Whether a URI of the catalog has variables."""
    return "{" in uri


def match(template: str, uri: str) -> dict[str, str] | None:
    """The decoded values of the template's variables in a URI. None if the URI does not match."""
    pattern, query = _compile(template)
    base, _, query_string = uri.partition("?") if query else (uri, "", "")
    found = pattern.fullmatch(base)
    if found is None:
        return None
    return {
        **{name: value for name, value in parse_qsl(query_string, keep_blank_values=True) if name in query},
        **{_variable_name(group): unquote(value) for group, value in found.groupdict().items()},
    }


@lru_cache(maxsize=4096)
def _compile(template: str) -> tuple[re.Pattern[str], frozenset[str]]:
    """A pattern for the part before the query, and the names of the query variables."""
    pattern, query = "", frozenset[str]()
    for part in split(template):
        if isinstance(part, str):
            pattern += re.escape(part)
        elif part.operator == "?":
            query = frozenset(part.names)
        else:
            characters = "[^?#]" if part.operator == "+" else "[^/?#]"
            pattern += f"(?P<{_group_name(part.names[0])}>{characters}+)"
    return re.compile(pattern), query


def _group_name(variable: str) -> str:
    """Names of groups cannot contain a dash; names of variables can."""
    return "v_" + variable.replace("-", "__dash__")


def _variable_name(group: str) -> str:
    return group.removeprefix("v_").replace("__dash__", "-")
