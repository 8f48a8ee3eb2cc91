"""PURE. What a position in a request demands of a string, as JSON Schema.

A mapping refuses strings that are unsafe in a path or impossible in a header. Schemas that clients see say so, so that
every argument that is valid by the listed schema can be sent. A listed constraint may be stricter than the mapping.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BASE64",
    "HEADER",
    "MULTI_SEGMENT",
    "SEGMENT",
    "Constraint",
    "header_item",
    "narrow",
    "query_item",
    "rejects",
]

_BAD = r"/\\%\u0000-\u001F\u007F"
# Not empty, not "." or ".." with or without path parameters, and nothing that a proxy could decode to a slash.
_SEGMENT = rf"(?:[^.{_BAD}]|\.{{1,2}}[^.;{_BAD}])[^{_BAD}]*"
_VISIBLE = r"[!-~](?:[ -~]*[!-~])?"


class Constraint(NamedTuple):
    """A pattern of ECMA-262 that the whole string must match, and the maximum length of the string."""

    pattern: str
    max_length: int | None
    not_empty: bool = False


SEGMENT = Constraint(f"^{_SEGMENT}$", 1024, not_empty=True)
MULTI_SEGMENT = Constraint(f"^{_SEGMENT}(?:/{_SEGMENT})*$", 1024, not_empty=True)
HEADER = Constraint(f"^(?:{_VISIBLE})?$", 4096)
BASE64 = Constraint(r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$", None)

# Patterns whose strings are safe everywhere: an anchored sequence of letters, digits, "_" and "-", not empty.
_SAFE_ATOM = r"(?:[A-Za-z0-9_-]|\[[A-Za-z0-9_-]+\])"
_SAFE_PATTERN = re.compile(rf"\^{_SAFE_ATOM}\+?(?:{_SAFE_ATOM}(?:[+*?]|\{{[0-9]+(?:,[0-9]*)?\}})?)*\$")


def header_item(delimiter: str) -> Constraint:
    """The constraint on the items of a list that is joined in a header."""
    visible = {",": r"!-+\u002D-~", "|": "!-{}~", " ": "!-~"}[delimiter]
    inner = visible if delimiter == " " else f" {visible}"
    return Constraint(f"^[{visible}](?:[{inner}]*[{visible}])?$", 256, not_empty=True)


def query_item(delimiter: str) -> Constraint:
    """The constraint on the items of a list that is joined in a query by a character that is escaped like a literal."""
    return Constraint({" ": "^[^ ]*$", "|": "^[^|]*$"}[delimiter], None)


def rejects(constraint: Constraint, value: str) -> bool:
    """Whether a string cannot be sent."""
    limit = constraint.max_length
    return re.search(constraint.pattern[:-1] + r"\Z", value) is None or (limit is not None and len(value) > limit)


def narrow(
    schema: Mapping[str, Any], path: tuple[str, ...], constraint: Constraint, *, items: bool = False
) -> dict[str, Any]:
    """The schema with a constraint on the strings of one property, or on its items.

    A property that cannot hold a free string is left as it is, and so is one behind a reference in the path.
    """
    properties = schema.get("properties")
    if path:
        child = properties.get(path[0]) if isinstance(properties, dict) else None
        if not isinstance(properties, dict) or not isinstance(child, dict):
            return dict(schema)
        narrowed = narrow(child, path[1:], constraint, items=items)
        return dict(schema) if narrowed == child else {**schema, "properties": {**properties, path[0]: narrowed}}
    if items:
        return _narrow_items(schema, constraint)
    return _narrow_value(schema, constraint)


def _narrow_items(node: Mapping[str, Any], constraint: Constraint) -> dict[str, Any]:
    """Beside a reference, ``items`` applies in addition to those of the target."""
    stated = node.get("type")
    types = stated if isinstance(stated, list) else [stated]
    item = node.get("items", {})
    if (stated is not None and "array" not in types) or "enum" in node or "const" in node or item is False:
        return dict(node)
    given = item if isinstance(item, dict) else {}
    narrowed = _narrow_value(given, constraint)
    return dict(node) if narrowed == given else {**node, "items": narrowed}


def _narrow_value(node: Mapping[str, Any], constraint: Constraint) -> dict[str, Any]:
    stated = node.get("type")
    types = stated if isinstance(stated, list) else [stated]
    if (stated is not None and "string" not in types) or "enum" in node or "const" in node:
        return dict(node)
    found = dict(node)
    longest = node.get("maxLength")
    if constraint.max_length is not None and not (isinstance(longest, int) and longest <= constraint.max_length):
        found["maxLength"] = constraint.max_length
    if constraint.not_empty and not node.get("minLength"):
        found["minLength"] = 1
    pattern = node.get("pattern")
    if pattern is None:
        found["pattern"] = constraint.pattern
    elif constraint is BASE64 or not (isinstance(pattern, str) and _SAFE_PATTERN.fullmatch(pattern)):
        found["allOf"] = [*node.get("allOf", ()), {"pattern": constraint.pattern}]
    return found
