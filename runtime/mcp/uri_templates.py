"""PURE. Match URIs against the URI templates of resources (RFC 6570; the grammar is in `crd.published.uri`)."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

__all__ = ["is_template", "match"]

_VARIABLE = re.compile(r"\{([^{}?]+)\}")
_QUERY = re.compile(r"\{\?([^{}]+)\}$")


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
    tail = _QUERY.search(template)
    head = template[: tail.start()] if tail else template
    parts = _VARIABLE.split(head)
    for index in range(len(parts)):
        is_variable = index % 2
        if not is_variable:
            parts[index] = re.escape(parts[index])
        elif parts[index].startswith("+"):
            parts[index] = f"(?P<{_group_name(parts[index][1:])}>[^?#]+)"
        else:
            parts[index] = f"(?P<{_group_name(parts[index])}>[^/?#]+)"
    return re.compile("".join(parts)), frozenset(tail[1].split(",")) if tail else frozenset()


def _group_name(variable: str) -> str:
    """Names of groups cannot contain a dash; names of variables can."""
    return "v_" + variable.replace("-", "__dash__")


def _variable_name(group: str) -> str:
    return group.removeprefix("v_").replace("__dash__", "-")
