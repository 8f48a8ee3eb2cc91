"""PURE. How large a schema may be: every client carries it along, and every call is checked against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.schema import subschemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_SCHEMAS", "excesses"]

MAX_DEPTH = 32
# Of JSON. `crd.manifest` decodes no tool with more.
MAX_BYTES = 64 * 1024
MAX_SCHEMAS = 2000


def excesses(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is too much of a schema: a word for it, and a message."""
    depth = _depth(schema)
    if depth > MAX_DEPTH:
        yield "depth", f"the schema must be at most {MAX_DEPTH} levels deep, got {depth}; flatten it"
    count = sum(1 for _ in subschemas.walk(schema)) if depth <= MAX_DEPTH else 0
    if count > MAX_SCHEMAS:
        yield "schemas", f"the schema must have at most {MAX_SCHEMAS} subschemas, got {count}; split the tool"


def _depth(value: Any) -> int:
    """Levels of objects and arrays."""
    level, depth = [value], 0
    while level:
        nested = [item for item in level if isinstance(item, dict | list)]
        depth += bool(nested)
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
    return depth
