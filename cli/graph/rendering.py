"""PURE. Renders a graph as a text tree, a Mermaid flowchart or a DOT digraph. The output is deterministic."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from cli.check.formats.text import escape
from cli.graph.model import GROUPS
from crd.finding import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cli.graph.model import Backing, Exposure, Graph, Member

__all__ = ["FORMATS", "render_dot", "render_mermaid", "render_text"]

_SIGNS = {Level.ERROR: "✗ ", Level.WARNING: "! ", None: ""}
_LEGEND = "✗ error  ! warning; run mcp-operator check for details"
_UNSELECTED = "selected by no MCPServer"
_UNREAD = "unreadable"

Tree = tuple[str, "list[Tree]"]


def render_text(graph: Graph) -> str:
    """A tree: servers, kinds, what is exposed, which Service answers."""
    trees: list[Tree] = [
        (
            f"{_SIGNS[server.level]}{server.ref}{_sized(server.context, server.budget)}",
            _groups(server.members) or [("selects nothing", [])],
        )
        for server in graph.servers
    ]
    if graph.unselected:
        trees.append((_UNSELECTED, _groups(graph.unselected)))
    if graph.unread:
        trees.append((_UNREAD, [(f"{_SIGNS[Level.ERROR]}{ref}", []) for ref in graph.unread]))
    lines = [line for tree in trees for line in _indent(tree)]
    return "".join(f"{escape(line)}\n" for line in [*lines, "", _LEGEND])


def _groups(members: Sequence[Member]) -> list[Tree]:
    return [
        (GROUPS[kind], [_branch(member) for member in found])
        for kind, found in groupby(members, key=lambda member: member.ref.kind)
    ]


def _branch(member: Member) -> Tree:
    sign = _SIGNS[member.level]
    if len(member.exposures) == 1:
        return f"{sign}{_exposed(member.exposures[0])}  ({member.ref}){_sized(member.context)}", []
    return f"{sign}{member.ref}", [(_exposed(exposure), []) for exposure in member.exposures]


def _sized(context: tuple[int, int], budget: int | None = None) -> str:
    """What a model reads of tools, and the budget for it; nothing if there are no tools."""
    size, tokens = context
    return f"  {size} bytes, about {tokens}{f' of {budget}' if budget else ''} tokens" if size else ""


def _exposed(exposure: Exposure) -> str:
    label = _one_line(exposure.label)
    return f"{label} → {_backed(exposure.backing)}" if exposure.backing else label


def _backed(backing: Backing) -> str:
    return str(backing) if backing.exists else f"{backing} (missing)"


def _indent(tree: Tree, head: str = "", rest: str = "") -> Iterator[str]:
    label, children = tree
    yield head + label
    for child in children:
        last = child is children[-1]
        yield from _indent(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def render_mermaid(graph: Graph) -> str:
    """A flowchart from left to right."""
    network = _Network(graph)
    lines = ["flowchart LR"]
    lines += [f'  {name}["{"<br/>".join(map(_escape_mermaid, words))}"]' for name, words in network.nodes.items()]
    lines += [f"  {start} --> {end}" for start, end in network.edges]
    lines += ["  classDef error stroke:#c00,stroke-width:3px", "  classDef warning stroke:#b80,stroke-width:2px"]
    lines += ["  classDef absent stroke-dasharray:4"]
    lines += [f"  class {name} {kind}" for name, kind in network.classes.items()]
    return "\n".join(lines) + "\n"


def render_dot(graph: Graph) -> str:
    """A digraph for Graphviz."""
    network = _Network(graph)
    looks = {"error": 'color="#cc0000", penwidth=2', "warning": 'color="#bb8800", penwidth=2', "absent": "style=dashed"}
    styles = {name: f", {looks[kind]}" for name, kind in network.classes.items()}
    labels = {name: r"\n".join(map(_escape_dot, words)) for name, words in network.nodes.items()}
    lines = ["digraph mcp {", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f'  {name} [label="{label}"{styles.get(name, "")}];' for name, label in labels.items()]
    lines += [f"  {start} -> {end};" for start, end in network.edges]
    return "\n".join([*lines, "}"]) + "\n"


class _Network:
    """Nodes with the lines of their labels, edges, and the class of each node that has one."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: dict[str, tuple[str, ...]] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self.classes: dict[str, str] = {}
        self._names: dict[object, str] = {}
        for server in graph.servers:
            start = self._node(server.ref, (f"{_SIGNS[server.level]}{server.ref}",), server.level)
            self._members(start, server.members)
        if graph.unselected:
            self._members(self._node(_UNSELECTED, (_UNSELECTED,), None), graph.unselected)
        for ref in graph.unread:
            self._node(ref, (f"{_SIGNS[Level.ERROR]}{ref}", _UNREAD), Level.ERROR)

    def _members(self, start: str, members: Sequence[Member]) -> None:
        for member in members:
            labels = (_one_line(exposure.label) for exposure in member.exposures)
            end = self._node(member.ref, (f"{_SIGNS[member.level]}{member.ref}", *labels), member.level)
            self.edges[start, end] = None
            for exposure in member.exposures:
                if exposure.backing:
                    self.edges[end, self._backing(exposure.backing)] = None

    def _backing(self, backing: Backing) -> str:
        words = (str(backing.service), f"port {backing.port}")
        return self._node((backing.service, backing.port), words, None if backing.exists else "absent")

    def _node(self, key: object, words: tuple[str, ...], kind: str | None) -> str:
        if key not in self._names:
            name = self._names[key] = f"n{len(self._names)}"
            self.nodes[name] = words
            if kind:
                self.classes[name] = kind
        return self._names[key]


def _one_line(label: str) -> str:
    return " ".join(label.split())


def _escape_mermaid(label: str) -> str:
    """Escape all but the usual characters of names as Mermaid's entity codes."""
    return "".join(c if c.isalnum() or c in " -_./:✗!,()" else f"#{ord(c)};" for c in label)


def _escape_dot(label: str) -> str:
    return escape(label).replace("\\", "\\\\").replace('"', '\\"')


FORMATS: dict[str, Callable[[Graph], str]] = {
    "text": render_text,
    "mermaid": render_mermaid,
    "dot": render_dot,
}
