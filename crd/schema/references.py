"""PURE. ``$ref`` and ``$dynamicRef``: references must be local, resolve to a schema, and have no cycles.

All references are resolved in one pass that is linear in the size of the schema. ``#`` refers to the nearest enclosing
schema with an ``$id``, or to the root. A reference to an ``$id`` must be spelt like the ``$id``; a reference that only
becomes equal by resolving URIs counts as remote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from crd.schema import subschemas
from crd.schema.subschemas import IN_PLACE, Path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MAX_CHAIN", "MAX_EXPANSION", "Graph", "Reference"]

KEYWORDS = ("$ref", "$dynamicRef")
# The maximum number of schemas that one value is validated against, and the maximum length of a chain of them.
MAX_EXPANSION = 10_000
MAX_CHAIN = 64


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference: its path, the index of the schema that contains it, and the index of its target.

    ``target`` is None if the reference does not resolve to a schema; ``remote`` if it refers to another document.
    """

    path: Path
    text: str
    source: int
    target: int | None
    remote: bool


class Graph:
    """The schemas of a document, and which of them apply to the same value as another one: in place or by reference."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Resolve all references of a schema."""
        self.nodes: list[tuple[Path, Any]] = [((), schema)]
        self.repeated_ids: list[Path] = []
        # For each schema, how many schemas a value is validated against; `excess` computes them.
        self.sizes: list[int] = []
        self._edges: list[list[int]] = []
        documents = [0]  # for each schema, the index of the schema that "#" refers to
        ids: dict[str, int] = {}
        anchors: dict[tuple[int, str], int] = {}
        for index, (path, node) in enumerate(self.nodes):
            given = node.get("$id") if isinstance(node, dict) else None
            if isinstance(given, str):
                documents[index] = index
                if ids.setdefault(given, index) != index:
                    self.repeated_ids.append((*path, "$id"))
            for keyword in ("$anchor", "$dynamicAnchor") if isinstance(node, dict) else ():
                if isinstance(node.get(keyword), str):
                    anchors.setdefault((documents[index], node[keyword]), index)
            edges: list[int] = []
            for step, child in subschemas.children(node):
                if step[0] in IN_PLACE:
                    edges.append(len(self.nodes))
                self.nodes.append(((*path, *step), child))
                documents.append(documents[index])
            self._edges.append(edges)
        self.references = [*self._resolve(documents, ids, anchors)]
        for each in self.references:
            if each.target is not None:
                self._edges[each.source].append(each.target)

    def _resolve(
        self, documents: Sequence[int], ids: Mapping[str, int], anchors: Mapping[tuple[int, str], int]
    ) -> Iterator[Reference]:
        indexes = {path: index for index, (path, _) in enumerate(self.nodes)}
        for index, (path, node) in enumerate(self.nodes):
            for keyword in KEYWORDS if isinstance(node, dict) else ():
                text = node.get(keyword)
                if not isinstance(text, str):
                    continue
                base, _, fragment = text.partition("#")
                document = ids.get(base) if base else documents[index]
                name = unquote(fragment)
                if document is None:
                    target = None
                elif name and not name.startswith("/"):
                    target = anchors.get((document, name))
                else:
                    start, root = self.nodes[document]
                    found = _find_path(root, name)
                    target = None if found is None else indexes.get((*start, *found))
                yield Reference((*path, keyword), text, index, target, document is None)

    def cycles(self) -> Iterator[Reference]:
        """References in a cycle that does not descend into a value, so that validation would never end."""
        sources: list[list[int]] = [[] for _ in self.nodes]
        for source, targets in enumerate(self._edges):
            for target in targets:
                sources[target].append(source)
        # A schema that leads to a cycle and is reached from one is part of a cycle, or between two.
        held = set(range(len(self.nodes))) - set(_order(self._edges, sources)) - set(_order(sources, self._edges))
        yield from (each for each in self.references if each.source in held and each.target in held)

    def excess(self) -> tuple[Path, str] | None:
        """The path and message if one value would be validated against too many schemas, or by too long a chain.

        Both are counted along references and keywords that apply to the same value. ``unevaluatedProperties`` and
        ``unevaluatedItems`` repeat the validation, so the schemas are counted again for each of them. The schema must
        have no cycles.
        """
        sources: list[list[int]] = [[] for _ in self.nodes]
        for source, targets in enumerate(self._edges):
            for target in targets:
                sources[target].append(source)
        sizes, chains = [1] * len(self.nodes), [1] * len(self.nodes)
        self.sizes = sizes
        repeated = 0
        for index in _order(self._edges, sources):
            path, node = self.nodes[index]
            properties = node.get("properties") if isinstance(node, dict) else None
            own = 1 + (len(properties) if isinstance(properties, dict) else 0)
            sizes[index] = min(own + sum(sizes[each] for each in self._edges[index]), MAX_EXPANSION + 1)
            chains[index] = 1 + max((chains[each] for each in self._edges[index]), default=0)
            if isinstance(node, dict) and ("unevaluatedProperties" in node or "unevaluatedItems" in node):
                repeated += sizes[index]
            if chains[index] > MAX_CHAIN:
                return (
                    path,
                    f"references must form chains of at most {MAX_CHAIN} schemas per value; shorten the chain",
                )
            if max(sizes[index], repeated) > MAX_EXPANSION:
                message = f"a value must be validated against at most {MAX_EXPANSION} schemas; use fewer references"
                return path, message
        return None


def _order(edges: list[list[int]], sources: list[list[int]]) -> Iterator[int]:
    """The nodes that do not lead to a cycle, each after all nodes that it leads to."""
    left = [len(targets) for targets in edges]
    ready = [index for index, count in enumerate(left) if not count]
    while ready:
        index = ready.pop()
        yield index
        for source in sources[index]:
            left[source] -= 1
            if not left[source]:
                ready.append(source)


def _find_path(schema: Any, pointer: str) -> Path | None:
    """The path that a JSON Pointer refers to; None if there is nothing."""
    path: Path = ()
    node: Any = schema
    for step in (s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:]):
        if isinstance(node, dict) and step in node:
            path, node = (*path, step), node[step]
        elif isinstance(node, list) and step.isdecimal() and len(step) < 6 and int(step) < len(node):
            path, node = (*path, int(step)), node[int(step)]
        else:
            return None
    return path
