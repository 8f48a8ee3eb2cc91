"""PURE. ``$ref`` and ``$dynamicRef``: they stay inside of the schema, lead somewhere, and not in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from crd.schema import subschemas
from crd.schema.subschemas import IN_PLACE, Path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["circles", "dangling", "remote", "target"]

KEYWORDS = ("$ref", "$dynamicRef")


def remote(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """References to what is not part of the schema, each with its way and its text."""
    own = {node["$id"] for _, node in subschemas.walk(schema) if isinstance(node, dict) and _is_text(node.get("$id"))}
    for path, text in _references(schema):
        base = text.partition("#")[0]
        if base and base not in own:
            yield path, text


def dangling(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Local references that lead nowhere."""
    for path, text in _references(schema):
        if text.startswith("#") and target(schema, text) is None:
            yield path, text


def circles(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """References that come back to themselves without going into a value, so that judging would never end."""
    ways = dict(subschemas.walk(schema))
    for path, text in _references(schema):
        if text.startswith("#") and _returns(schema, ways, path[:-1]):
            yield path, text


def target(schema: Mapping[str, Any], reference: str) -> Path | None:
    """The way to what a local reference names; None if there is nothing."""
    fragment = unquote(reference.removeprefix("#"))
    if fragment and not fragment.startswith("/"):
        return next((path for path, node in subschemas.walk(schema) if _anchored(node, fragment)), None)
    path: Path = ()
    node: Any = schema
    for step in (s.replace("~1", "/").replace("~0", "~") for s in fragment.split("/")[1:]):
        if isinstance(node, dict) and step in node:
            path, node = (*path, step), node[step]
        elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
            path, node = (*path, int(step)), node[int(step)]
        else:
            return None
    return path


def _returns(schema: Mapping[str, Any], ways: Mapping[Path, Any], start: Path) -> bool:
    """Whether the schema at a path judges the same value again, by references and applicators in place alone."""
    seen: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        for following in _judging(schema, ways, path):
            if following == start:
                return True
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return False


def _judging(schema: Mapping[str, Any], ways: Mapping[Path, Any], path: Path) -> Iterator[Path]:
    """The schemas that the schema at a path applies to its own value."""
    node = ways[path] if path in ways else subschemas.at(schema, path)
    if not isinstance(node, dict):
        return
    for keyword in KEYWORDS:
        text = node.get(keyword)
        found = target(schema, text) if isinstance(text, str) and text.startswith("#") else None
        if found is not None:
            yield found
    yield from ((*path, *step) for step, _ in subschemas.children(node) if step[0] in IN_PLACE)


def _references(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    for path, node in subschemas.walk(schema):
        for keyword in KEYWORDS if isinstance(node, dict) else ():
            if _is_text(node.get(keyword)):
                yield (*path, keyword), node[keyword]


def _anchored(node: Any, name: str) -> bool:
    return isinstance(node, dict) and name in (node.get("$anchor"), node.get("$dynamicAnchor"))


def _is_text(value: object) -> bool:
    return isinstance(value, str)
