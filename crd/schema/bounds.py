"""PURE. Limits of the size of a schema: clients send it to models, and every call is validated against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.schema import subschemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_SCHEMAS", "depth_of", "excesses"]

MAX_DEPTH = 32
# Bytes of JSON. `crd.manifest` refuses larger schemas before it decodes the tool.
MAX_BYTES = 64 * 1024
MAX_SCHEMAS = 2000


def excesses(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The exceeded limits of a schema: the name of the limit, and a message."""
    depth = depth_of(schema)
    if depth > MAX_DEPTH:
        yield "depth", f"the schema must be at most {MAX_DEPTH} levels deep, got {depth}; flatten it"
    count = sum(1 for _ in subschemas.walk(schema)) if depth <= MAX_DEPTH else 0
    if count > MAX_SCHEMAS:
        yield "schemas", f"the schema must have at most {MAX_SCHEMAS} subschemas, got {count}; split the tool"


def depth_of(value: Any) -> int:
    """The nesting depth of objects and arrays."""
    level, depth = [value], 0
    while level:
        nested = [item for item in level if isinstance(item, dict | list)]
        depth += bool(nested)
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
    return depth
