"""PURE. A document as a tree of values with their positions.

`cli.manifests.yaml_nodes` and `cli.manifests.json_nodes` build it with a `Builder`; `Node.value` is the document as
kubectl reads it, and `Node.locate` finds the field of a finding. Nothing here recurses, time is linear in the text plus
what its aliases unfold to, and both depth and unfolding have a limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_DEPTH", "MAX_UNFOLDED", "Broken", "BrokenError", "Budget", "Builder", "Node"]

# The API server allows far less nesting in an object; `crd.models.problem` reports it from 200 levels.
MAX_DEPTH = 250
# What the aliases of a file may unfold to, in characters: one object that the API server accepts has at most 3 MiB.
MAX_UNFOLDED = 4 * 1024 * 1024

Members: TypeAlias = "dict[str, tuple[int, Node]]"


class BrokenError(Exception):
    """A document that cannot be read: what is wrong, and the offset in the text."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message

    @property
    def broken(self) -> Broken:
        """The same fault as a value."""
        return Broken(self.offset, self.message)


class Broken:
    """Takes the place of a document that cannot be read."""

    __slots__ = ("message", "offset")

    def __init__(self, offset: int, message: str) -> None:
        self.offset = offset
        self.message = message


class Node:
    """A value and the offset at which it begins.

    ``members`` of a mapping: key to the key's offset and the node; ``items`` of a sequence: nodes. ``weight`` is the
    approximate number of characters with aliases unfolded, ``height`` the number of levels below.
    """

    __slots__ = ("height", "items", "members", "offset", "value", "weight")

    def __init__(self, offset: int, value: Any, weight: int = 1) -> None:
        self.offset = offset
        self.value = value
        self.weight = weight
        self.height = 0
        self.members: Members | None = None
        self.items: list[Node] | None = None

    def locate(self, path: Sequence[str | int]) -> int:
        """The offset of the key, or list item, at a path; of its nearest ancestor in the document if it is missing."""
        node, offset = self, self.offset
        for step in path:
            if node.members is not None:
                found = node.members.get(str(step))
                if found is None:
                    return offset
                offset, node = found
            elif node.items is not None and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                offset = node.offset
            else:
                return offset
        return offset


class Budget:
    """How many characters the aliases of one file may still unfold to."""

    __slots__ = ("remaining",)

    def __init__(self) -> None:
        self.remaining = MAX_UNFOLDED


class _Open:
    """A mapping or sequence under construction; ``key`` is the member whose value comes next."""

    __slots__ = ("anchor", "key", "key_offset", "merged", "node")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: str | None = None
        self.key_offset = 0
        self.merged: list[Node] | None = None


_MERGE = "<<"


class Builder:
    """Builds one document from the events of a parser, in order. Every method raises BrokenError."""

    def __init__(self, budget: Budget) -> None:
        self.root: Node | None = None
        self._budget = budget
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}

    def scalar(self, offset: int, value: Any, anchor: str | None = None, *, merge: bool = False) -> None:
        """Add a scalar; with ``merge`` it is YAML's merge key ``<<`` if it is a key."""
        if type(value) is float:
            if not math.isfinite(value):
                raise BrokenError(offset, f"invalid number {value}; write a finite number or a quoted string")
            # Go writes 2.0 as 2, so the API server reads an integer.
            value = int(value) if value.is_integer() and abs(value) < 2**53 else value
        node = Node(offset, value, _weigh(value))
        if anchor is not None:
            self._anchors[anchor] = node
        self._add(node, merge=merge)

    def open(self, offset: int, value: dict[str, Any] | list[Any], anchor: str | None = None) -> None:
        """Open a mapping or sequence; the nodes until `close` belong to it."""
        if len(self._open) >= MAX_DEPTH:
            raise BrokenError(offset, f"nested deeper than {MAX_DEPTH} levels; flatten it")
        node = Node(offset, value)
        if isinstance(value, dict):
            node.members = {}
        else:
            node.items = []
        if anchor is not None:
            self._anchors[anchor] = None
        self._open.append(_Open(node, anchor))

    def close(self) -> None:
        """Complete the innermost mapping or sequence."""
        entry = self._open.pop()
        node = entry.node
        if entry.merged:
            _merge(node, entry.merged)
        if entry.anchor is not None:
            self._anchors[entry.anchor] = node
        self._add(node)

    def alias(self, offset: int, anchor: str) -> None:
        """Add the node of an anchor once more."""
        if anchor not in self._anchors:
            raise BrokenError(
                offset, f"alias *{anchor} has no anchor &{anchor} before it; add the anchor or correct the name"
            )
        target = self._anchors[anchor]
        if target is None:
            raise BrokenError(offset, f"alias *{anchor} is inside of its own anchor &{anchor}; write the value out")
        if target.weight > self._budget.remaining:
            raise BrokenError(offset, f"aliases unfold to more than {MAX_UNFOLDED} characters; write the values out")
        self._budget.remaining -= target.weight
        node = Node(offset, target.value, target.weight)
        node.height, node.members, node.items = target.height, target.members, target.items
        self._add(node)

    def _add(self, node: Node, *, merge: bool = False) -> None:
        if not self._open:
            self.root = node
            return
        entry = self._open[-1]
        parent = entry.node
        parent.weight += node.weight
        if node.height >= parent.height:
            parent.height = node.height + 1
            if parent.height > MAX_DEPTH:
                raise BrokenError(node.offset, f"aliases nest deeper than {MAX_DEPTH} levels; flatten them")
        if parent.items is not None:
            parent.items.append(node)
            parent.value.append(node.value)
        elif entry.key is None:
            entry.key, entry.key_offset = _read_key(node, parent, merge=merge), node.offset
        else:
            _add_member(entry, node)


def _weigh(value: Any) -> int:
    if type(value) is str:
        return 1 + len(value)
    return 2 + value.bit_length() // 3 if type(value) is int else 2


def _read_key(node: Node, mapping: Node, *, merge: bool) -> str:
    if merge:
        return _MERGE
    value = node.value
    if type(value) is not str:
        value = _format_key(node)
    if mapping.members is not None and value in mapping.members:
        raise BrokenError(node.offset, f'duplicate key "{value}"; remove one of the two')
    # A quoted "<<" is an ordinary key; the space distinguishes it from the merge key until its value is read.
    return value if value != _MERGE else f"{_MERGE} "


def _add_member(entry: _Open, node: Node) -> None:
    key, entry.key = entry.key, None
    if key == _MERGE:
        sources = node.items if node.items is not None else [node]
        if any(source.members is None for source in sources):
            raise BrokenError(
                node.offset, "<< merges mappings only; write a mapping, an alias of a mapping, or a list of these"
            )
        entry.merged = [*(entry.merged or ()), *sources]
        return
    if key == f"{_MERGE} ":
        key = _MERGE
    if key is not None and entry.node.members is not None:
        entry.node.members[key] = (entry.key_offset, node)
        entry.node.value[key] = node.value


def _merge(node: Node, sources: list[Node]) -> None:
    """Add the members that the mapping lacks; of two sources the first wins (YAML 1.1, merge)."""
    for source in sources:
        for key, found in (source.members or {}).items():
            if node.members is not None and key not in node.members:
                node.members[key] = found
                node.value[key] = found[1].value


def _format_key(node: Node) -> str:
    """A key that is not a string, as kubectl writes it in JSON."""
    match node.value:
        case bool():
            return "true" if node.value else "false"
        case int() | float():
            return str(node.value)
    raise BrokenError(node.offset, "a key must be a string; quote it")
