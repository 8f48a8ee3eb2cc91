"""PURE. A document as a tree that remembers where everything stands.

`cli.manifests.yaml_nodes` and `cli.manifests.json_nodes` build it with a `Builder`; `Node.value` is the document as
kubectl reads it, and `Node.place` finds the field of a finding. Nothing here
recurses, so no nesting is too deep for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_DEPTH", "Broken", "BrokenError", "Builder", "Node"]

# The API server's own JSON reader goes no deeper than this many levels by far; `crd.models.problem` speaks from 200 on.
MAX_DEPTH = 250
# What aliases may add to a document, in characters: etcd takes less than half of this as one object.
MAX_UNFOLDED = 4 * 1024 * 1024

Members: TypeAlias = "dict[str, tuple[int, Node]]"


class BrokenError(Exception):
    """A document that cannot be read: what is wrong, and the offset in its text at which."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message

    @property
    def broken(self) -> Broken:
        """The same as a value."""
        return Broken(self.offset, self.message)


class Broken:
    """What stands in place of a document that cannot be read."""

    __slots__ = ("message", "offset")

    def __init__(self, offset: int, message: str) -> None:
        self.offset = offset
        self.message = message


class Node:
    """A value and the offset at which it begins.

    ``members`` of a mapping: key to the key's offset and the node; ``items`` of a sequence: nodes. ``weight`` is about
    the length of the value written out, ``height`` its levels, aliases unfolded.
    """

    __slots__ = ("height", "items", "members", "offset", "value", "weight")

    def __init__(self, offset: int, value: Any, weight: int = 1) -> None:
        self.offset = offset
        self.value = value
        self.weight = weight
        self.height = 0
        self.members: Members | None = None
        self.items: list[Node] | None = None

    def place(self, path: Sequence[str | int]) -> int:
        """The offset of the key, or list item, that a path names; of its nearest ancestor where it is not there."""
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


class _Open:
    """A mapping or sequence that is being built; ``key`` is the member whose value comes next."""

    __slots__ = ("anchor", "key", "key_offset", "merged", "node")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: str | None = None
        self.key_offset = 0
        self.merged: list[Node] | None = None


_MERGE = "<<"


class Builder:
    """Builds one document out of what a parser meets, in its order. Every method raises BrokenError.

    ``length`` is that of the text: what is written out may be as long, but not what aliases make of it.
    """

    def __init__(self, length: int) -> None:
        self.root: Node | None = None
        self._limit = length + MAX_UNFOLDED
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}

    def scalar(self, offset: int, value: Any, anchor: str | None = None, *, merge: bool = False) -> None:
        """A scalar; ``merge`` says that it is YAML's ``<<`` if it stands as a key."""
        if type(value) is float:
            if not math.isfinite(value):
                raise BrokenError(offset, f"{value} is no number of JSON; write a number, or text in quotes")
            # Go writes 2.0 as 2, so the API server reads an integer.
            value = int(value) if value.is_integer() and abs(value) < 2**53 else value
        node = Node(offset, value, 1 + len(value) if type(value) is str else 2)
        if anchor is not None:
            self._anchors[anchor] = node
        self._add(node, merge=merge)

    def open(self, offset: int, value: dict[str, Any] | list[Any], anchor: str | None = None) -> None:
        """An empty mapping or sequence, which what follows goes into until `close`."""
        if len(self._open) >= MAX_DEPTH:
            raise BrokenError(offset, f"this is nested deeper than {MAX_DEPTH} levels; flatten it")
        node = Node(offset, value)
        if isinstance(value, dict):
            node.members = {}
        else:
            node.items = []
        if anchor is not None:
            self._anchors[anchor] = None
        self._open.append(_Open(node, anchor))

    def close(self) -> None:
        """The innermost mapping or sequence is complete."""
        entry = self._open.pop()
        node = entry.node
        if entry.merged:
            _merge(node, entry.merged)
        if entry.anchor is not None:
            self._anchors[entry.anchor] = node
        self._add(node)

    def alias(self, offset: int, anchor: str) -> None:
        """What stands at an anchor, once more."""
        if anchor not in self._anchors:
            raise BrokenError(offset, f"*{anchor} has no anchor &{anchor} before it; add one, or correct the name")
        target = self._anchors[anchor]
        if target is None:
            raise BrokenError(offset, f"*{anchor} stands inside of &{anchor}, so it would never end; write it out")
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
        if parent.weight > self._limit:
            raise BrokenError(node.offset, f"aliases unfold to more than {MAX_UNFOLDED} characters; write it out")
        if node.height >= parent.height:
            parent.height = node.height + 1
            if parent.height > MAX_DEPTH:
                raise BrokenError(node.offset, f"aliases nest deeper than {MAX_DEPTH} levels; write it out")
        if parent.items is not None:
            parent.items.append(node)
            parent.value.append(node.value)
        elif entry.key is None:
            entry.key, entry.key_offset = _key(node, parent, merge=merge), node.offset
        else:
            _member(entry, node)


def _key(node: Node, mapping: Node, *, merge: bool) -> str:
    if merge:
        return _MERGE
    value = node.value
    if type(value) is not str:
        value = _key_text(node)
    if mapping.members is not None and value in mapping.members:
        raise BrokenError(node.offset, f'the key "{value}" is here twice; remove one of them')
    # A quoted "<<" is a key like any other; the space tells it from the merge until its value is there.
    return value if value != _MERGE else f"{_MERGE} "


def _member(entry: _Open, node: Node) -> None:
    key, entry.key = entry.key, None
    if key == _MERGE:
        sources = node.items if node.items is not None else [node]
        if any(source.members is None for source in sources):
            raise BrokenError(node.offset, "<< merges mappings only; give it a mapping, an alias of one, or a list")
        entry.merged = [*(entry.merged or ()), *sources]
        return
    if key == f"{_MERGE} ":
        key = _MERGE
    if key is not None and entry.node.members is not None:
        entry.node.members[key] = (entry.key_offset, node)
        entry.node.value[key] = node.value


def _merge(node: Node, sources: list[Node]) -> None:
    """Members of the sources that the mapping does not have itself; of two sources the first wins (YAML 1.1, merge)."""
    for source in sources:
        for key, found in (source.members or {}).items():
            if node.members is not None and key not in node.members:
                node.members[key] = found
                node.value[key] = found[1].value


def _key_text(node: Node) -> str:
    """A key that is no text, as kubectl writes it in JSON."""
    match node.value:
        case bool():
            return "true" if node.value else "false"
        case int() | float():
            return str(node.value)
    raise BrokenError(node.offset, "a key is text; put it in quotes, or write it before a colon")
