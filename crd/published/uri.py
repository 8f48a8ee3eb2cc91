"""PURE. URIs (RFC 3986) and the URI templates of resources: a subset of RFC 6570.

A template consists of literal text, ``{name}`` (a segment or a part of one), ``{+name}`` (one or more segments) and, at
its end, ``{?a,b}`` (query parameters). The rules check templates with `parse`; the runtime matches URIs by `split`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Expression", "UriTemplate", "find_fault", "parse", "split"]

_CHARACTER = r"[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:({_CHARACTER}|%[0-9A-Fa-f]{{2}})+")
_FORBIDDEN = re.compile(rf"(?!{_CHARACTER}|%).", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_EXPRESSION = re.compile(r"\{([+?]?)([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression in braces: ``operator`` is empty, ``+`` or ``?``; only ``?`` has several names."""

    operator: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{{{self.operator}{','.join(self.names)}}}"


@dataclass(frozen=True, slots=True)
class UriTemplate:
    """The variables of a template: a matching URI has all path variables, and may have the query variables."""

    path: tuple[str, ...]
    query: tuple[str, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """Path variables, then query variables."""
        return (*self.path, *self.query)


def split(template: str) -> Iterator[str | Expression]:
    """The literal texts and expressions of a template, in order. Unbalanced braces are literal text."""
    position = 0
    for match in _EXPRESSION.finditer(template):
        if match.start() > position:
            yield template[position : match.start()]
        operator, names = match.groups()
        yield Expression(operator, tuple(names.split(",")) if operator == "?" else (names,))
        position = match.end()
    if position < len(template):
        yield template[position:]


def find_fault(uri: str) -> str | None:
    """Why a string is not a valid URI; None if it is one."""
    if _URI.fullmatch(uri):
        return None
    if not _SCHEME.match(uri):
        return "it has no scheme; start it with one, such as shop://policy"
    wrong = _FORBIDDEN.search(uri)
    if wrong is not None:
        return f'character "{wrong[0]}" is not allowed; encode it as %XX'
    if "%" in uri:
        return '"%" must be followed by two hexadecimal digits; encode it as %25'
    return "nothing follows the scheme; add the rest"


def parse(template: str) -> UriTemplate | str:
    """The variables of a template, or why it is not valid."""
    parts = tuple(split(template))
    expressions = [part for part in parts if isinstance(part, Expression)]
    literal = next((part for part in parts[:1] if isinstance(part, str)), "")
    for number, expression in enumerate(expressions):
        if not all(map(_NAME.fullmatch, expression.names)):
            return f'"{expression}" is not a supported expression; use {{name}}, {{+name}} or, at the end, {{?a,b}}'
        if expression.operator == "?" and number < len(expressions) - 1:
            return "{?…} must be at the end; move it there"
        if number == 0 and ":" in template and ":" not in literal:
            return "the scheme must not be a variable; write it out, such as shop://"
    counts = Counter(name for expression in expressions for name in expression.names)
    repeated = next((name for name, count in counts.items() if count > 1), None)
    if repeated:
        return f'variable "{repeated}" is used twice; rename one'
    # Every expression stands for at least one character.
    plain = "".join("x" if isinstance(part, Expression) else part for part in parts)
    if "{" in plain or "}" in plain:
        return 'a "{" or "}" is unbalanced; add the missing one or encode it as %7B or %7D'
    query = expressions[-1].names if expressions and expressions[-1].operator == "?" else ()
    if query and not template.endswith("}"):
        return "{?…} must be at the end; move it there"
    fault = find_fault(plain)
    if fault:
        return fault
    path = tuple(name for expression in expressions if expression.operator != "?" for name in expression.names)
    return UriTemplate(path, query)
