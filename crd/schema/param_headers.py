"""PURE. ``x-mcp-header``: arguments that clients repeat in headers (MCP 2026-07-28, tools).

Conforming clients silently ignore a tool whose schema violates one of these rules.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crd.schema.subschemas import Path

__all__ = ["KEYWORD", "faults"]

KEYWORD = "x-mcp-header"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SENDABLE = ("string", "integer", "boolean")


def faults(nodes: Iterable[tuple[Path, Any]]) -> Iterator[tuple[Path, str]]:
    """The faults of ``x-mcp-header`` keywords, each with its path."""
    seen: dict[str, Path] = {}
    for path, node in nodes:
        if not isinstance(node, dict) or KEYWORD not in node:
            continue
        at, name = (*path, KEYWORD), node[KEYWORD]
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            yield at, f'must be a header name of letters, digits and "-", got {json.dumps(name)[:80]}'
        elif not path or any(step != "properties" for step in path[::2]):
            yield at, "x-mcp-header is only supported on properties of objects; move or remove it"
        elif node.get("type") not in _SENDABLE:
            yield at, "x-mcp-header requires type string, integer or boolean; change the type or remove x-mcp-header"
        elif name.lower() in seen:
            other = ".".join(map(str, seen[name.lower()]))
            yield at, f'"{name}" is already the header of {other}; rename one of the two'
        else:
            seen[name.lower()] = path
