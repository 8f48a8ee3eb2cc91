"""PURE. URIs (RFC 3986) and the part of URI templates (RFC 6570) that resources are served at.

A template holds ``{name}`` (one segment or a part of one), ``{+name}`` (several segments) and, at its end, ``{?a,b}``.
Called by the rules; the runtime matches with patterns of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UriTemplate", "fault", "parse"]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9A-Fa-f]{2})+")
_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class UriTemplate:
    """The variables of a template: those of the path, which a URI always has, and those of the query, which it may."""

    path: tuple[str, ...]
    query: tuple[str, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (*self.path, *self.query)


def fault(uri: str) -> str | None:
    """What keeps a text from being a URI; None if it is one."""
    if _URI.fullmatch(uri):
        return None
    scheme = _SCHEME.match(uri)
    if not scheme:
        return "it has no scheme; start it with one, such as shop://policy"
    wrong = next((c for c in uri if not re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]%-]", c)), None)
    if wrong is not None:
        return f'character "{wrong}" is not allowed; encode it as %XX'
    if "%" in uri:
        return '"%" must be followed by two hexadecimal digits; encode it as %25'
    return "nothing follows the scheme; add the rest"


def parse(template: str) -> UriTemplate | str:
    """The variables of a template, or what is wrong with it."""
    found = tuple(_expressions(template))
    wrong = next((name for name in found if isinstance(name, str)), None)
    if wrong is not None:
        return wrong
    parsed = [each for each in found if not isinstance(each, str)]
    names = [name for _, each in parsed for name in each]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        return f'variable "{repeated}" is used twice; rename one'
    plain = _EXPRESSION.sub("x", template)
    if "{" in plain or "}" in plain:
        return 'a "{" or "}" is unbalanced; add the missing one or encode it as %7B or %7D'
    query = next((names for operator, names in parsed if operator == "?"), ())
    if query and not template.endswith("}"):
        return "{?…} must be at the end; move it there"
    said = fault(plain)
    if said:
        return said
    return UriTemplate(tuple(name for operator, names in parsed if operator != "?" for name in names), query)


def _expressions(template: str) -> Iterator[tuple[str, tuple[str, ...]] | str]:
    for position, match in enumerate(_EXPRESSION.finditer(template)):
        inside = match[1]
        operator = inside[:1] if inside[:1] in ("+", "?") else ""
        names = tuple(inside[len(operator) :].split(",")) if operator == "?" else (inside[len(operator) :],)
        bad = next((name for name in names if not _NAME.fullmatch(name)), None)
        if bad is not None:
            yield f'"{{{inside}}}" is not a supported expression; use {{name}}, {{+name}} or, at the end, {{?a,b}}'
        elif operator == "?" and _EXPRESSION.search(template, match.end()):
            yield "{?…} must be at the end; move it there"
        elif position == 0 and match.start() < template.find(":"):
            yield "the scheme must not be a variable; write it out, such as shop://"
        else:
            yield operator, names
