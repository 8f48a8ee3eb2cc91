"""PURE. URI templates: ``{name}`` (one segment or a part of one), ``{+name}`` (several), ``{?a,b}`` at the end.

That is RFC 6570, level 1, with reserved expansion and form-style query of the higher ones.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

__all__ = ["is_template", "match"]

_VARIABLE = re.compile(r"\{([^{}?]+)\}")
_QUERY = re.compile(r"\{\?([^{}]+)\}$")


def is_template(text: str) -> bool:
    """Whether it holds variables."""
    return "{" in text


def match(template: str, uri: str) -> dict[str, str] | None:
    """The decoded values of the variables in a URI, or None if it is not one of the template's."""
    pattern, query = _compiled(template)
    base, _, given = uri.partition("?") if query else (uri, "", "")
    found = pattern.fullmatch(base)
    if found is None:
        return None
    values = {name: unquote(value) for name, value in found.groupdict().items()}
    return {
        **{name: value for name, value in parse_qsl(given, keep_blank_values=True) if name in query},
        **{_name(group): value for group, value in values.items()},
    }


@lru_cache(maxsize=4096)
def _compiled(template: str) -> tuple[re.Pattern[str], frozenset[str]]:
    tail = _QUERY.search(template)
    head = template[: tail.start()] if tail else template
    parts = _VARIABLE.split(head)
    pattern = "".join(_variable(part) if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.compile(pattern), frozenset(tail[1].split(",")) if tail else frozenset()


def _variable(name: str) -> str:
    several = name.startswith("+")
    return f"(?P<{_group(name.removeprefix('+'))}>{'[^?#]+' if several else '[^/?#]+'})"


def _group(name: str) -> str:
    """A regular expression's group names hold no dash; parameters do."""
    return "v_" + name.replace("-", "__dash__")


def _name(group: str) -> str:
    return group.removeprefix("v_").replace("__dash__", "-")
