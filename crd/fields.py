"""PURE. Fields that the schema does not define: in a manifest, or dropped by the API server.

The API server drops unknown fields before a webhook sees the object. `unknown` is for files; `lost` is for the webhook
and uses the last-applied annotation of ``kubectl apply``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from crd.manifest import kind_of
from crd.models import openapi
from crd.suggestions import Suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.ref import Kind

__all__ = ["LAST_APPLIED", "Unknown", "lost", "prepare", "unknown"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A field that the schema does not define; ``nearest`` is the most similar known field, if any."""

    path: tuple[str | int, ...]
    name: str
    nearest: str | None

    @property
    def repair(self) -> str:
        """The end of a message about the field."""
        if self.nearest:
            return f'did you mean "{self.nearest}"?'
        parent = str(self.path[-2]) if len(self.path) > 1 else ""
        if parent.endswith("Selector"):
            return "write labels as matchLabels: {app: shop}"
        return "remove it"


def unknown(raw: Mapping[str, Any]) -> Iterator[Unknown]:
    """The unknown fields of a manifest of our kinds, in document order. Metadata is not checked."""
    kind = kind_of(raw)
    if kind not in openapi.KINDS:
        return
    if not _knows(_shape_of(kind), raw):
        yield from _walk(raw, openapi.schema(kind), (), {})


def lost(raw: Mapping[str, Any]) -> Iterator[Unknown]:
    """The unknown fields in the last-applied annotation, which the API server dropped from the object."""
    metadata = raw.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    applied = annotations.get(LAST_APPLIED) if isinstance(annotations, dict) else None
    if not isinstance(applied, str):
        return
    try:
        manifest = orjson.loads(applied)
    except orjson.JSONDecodeError:
        return
    if isinstance(manifest, dict):
        yield from unknown(manifest)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The fields of an object, None where any are allowed, and those that hold objects or lists of objects."""

    known: frozenset[str] | None
    nested: tuple[tuple[str, _Shape], ...]
    items: _Shape | None


def prepare() -> None:
    """Work out what is known of each kind: it takes 100 ms once, which an event loop should not stand still later."""
    for kind in openapi.KINDS:
        _shape_of(kind)


@cache
def _shape_of(kind: Kind) -> _Shape:
    shape = _shape(openapi.schema(kind))
    assert shape is not None
    return shape


def _shape(schema: Mapping[str, Any]) -> _Shape | None:
    """The shape of what a schema describes; None if any fields are allowed everywhere below it."""
    known = schema.get("properties", {})
    nested = ((name, _shape(child)) for name, child in known.items())
    items = _shape(schema["items"]) if "items" in schema else None
    if "properties" not in schema and items is None:
        return None
    fields = frozenset(known) if "properties" in schema else None
    return _Shape(fields, tuple((name, child) for name, child in nested if child is not None), items)


def _knows(shape: _Shape, node: Any) -> bool:
    """Whether a value holds no unknown field: as `_walk` finds none, but in a fraction of the time."""
    if isinstance(node, dict):
        if shape.known is None:
            return True
        if not node.keys() <= shape.known:
            return False
        for name, child in shape.nested:
            if name in node and not _knows(child, node[name]):
                return False
    elif isinstance(node, list) and shape.items is not None:
        for each in node:
            if not _knows(shape.items, each):
                return False
    return True


def _walk(
    node: Any, schema: Mapping[str, Any], path: tuple[str | int, ...], asked: dict[int, Suggestions]
) -> Iterator[Unknown]:
    """``asked`` contains the suggestions of each object schema, so that their limit applies to the whole manifest."""
    if isinstance(node, list) and "items" in schema:
        for index, item in enumerate(node):
            yield from _walk(item, schema["items"], (*path, index), asked)
    if not isinstance(node, dict):
        return
    known = schema.get("properties")
    if known is None:
        return
    for name, value in node.items():
        if name in known:
            yield from _walk(value, known[name], (*path, name), asked)
        else:
            suggestions = asked.setdefault(id(known), Suggestions(known))
            yield Unknown((*path, str(name)), str(name), suggestions.nearest(str(name)))
