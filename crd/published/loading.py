"""PURE. A published catalog, read in steps and line by line, so that its reader can do other things in between.

A line of entries that was read before is not read again: the same entries are in the new catalog. So a change of one
entry costs one line, and what was made for the other entries stays valid. See docs/decisions/0038.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from crd.published import catalogs
from crd.published.catalogs import Catalog, InvalidCatalogError
from crd.published.entries import HttpResource, InlineResource, Operation, Prompt, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.steps import Steps

__all__ = ["Loaded", "inflate", "load"]

T = TypeVar("T")
# Work that pauses at each yield.
_SECTIONS: dict[str, Any] = {
    "tools": Tool,
    "prompts": Prompt,
    "resources": InlineResource,
    "http_resources": HttpResource,
    "operations": Operation,
}
# Entries that are read in one step.
ENTRIES = 32


@dataclass(frozen=True, slots=True)
class Loaded:
    """``lines`` are the entries of each line, by section and the digest of the line."""

    catalog: Catalog
    digest: str
    lines: Mapping[tuple[str, bytes], tuple[Any, ...]] = field(default_factory=dict)


def inflate(packed: bytes) -> Steps[list[bytes]]:
    """The lines of a gzipped catalog. Raises InvalidCatalogError, or zlib.error."""
    lines: list[bytes] = []
    parts: list[bytes] = []
    for part in catalogs.inflate(packed):
        first, *others = part.split(b"\n")
        parts.append(first)
        for other in others:
            lines.append(b"".join(parts))
            parts = [other]
        yield
    return [*lines, b"".join(parts)]


def load(lines: list[bytes], before: Loaded | None = None) -> Steps[Loaded]:
    """The catalog of these lines, with the entries of the catalog ``before`` where that has the same lines.

    Raises InvalidCatalogError.
    """
    digests = []
    for line in lines:
        digests.append(hashlib.sha256(line).digest())
        yield
    digest = catalogs.digest_of_lines(digests)
    # Every second line is one of entries (`crd.compiler.compilation`). Here its number takes its place.
    frame = b"".join(b"%d" % number if number % 2 else line for number, line in enumerate(lines))
    try:
        raw = catalogs.parse(frame)
        sections = {name: list(raw.pop(name, ())) for name in _SECTIONS}
    except (InvalidCatalogError, TypeError):
        # Another layout, such as that of a file that somebody wrote.
        raw = catalogs.parse(b"\n".join(lines))
        sections = {name: list(raw.pop(name, ())) for name in _SECTIONS}
    known = before.lines if before is not None else {}
    kept: dict[tuple[str, bytes], tuple[Any, ...]] = {}
    members: dict[str, tuple[Any, ...]] = {}
    try:
        frame_of = catalogs.reader(Catalog)(raw)
        for name, kind in _SECTIONS.items():
            read, entries = catalogs.reader(kind), list[Any]()
            for item in sections[name]:
                if type(item) is not int:
                    entries.append(read(item))
                else:
                    key = (name, digests[item])
                    found = known.get(key)
                    if found is None:
                        found = tuple(map(read, orjson.loads(b"[" + lines[item] + b"]")))
                    if not found:
                        raise InvalidCatalogError("not a catalog: a line of entries is empty")
                    kept[key] = found
                    entries.extend(found)
                if type(item) is int or len(entries) % ENTRIES == 0:
                    yield
            members[name] = tuple(entries)
    except (KeyError, TypeError, AttributeError, IndexError, orjson.JSONDecodeError) as error:
        raise InvalidCatalogError(f"not a catalog: {type(error).__name__}: {error}") from error
    return Loaded(replace(frame_of, **members), digest, kept)
