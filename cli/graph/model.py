"""PURE. The graph of servers, their members, and the Services that answer.

`cli.graph.rendering` renders it; `cli.commands.graph` is the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crd.compiler import members
from crd.facts import MemberFact, ServerFact, Space
from crd.finding import Level
from crd.ref import Kind
from crd.rules import budgets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crd.finding import Verdict
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["GROUPS", "Backing", "Exposure", "Graph", "Member", "Server", "build"]

GROUPS = {Kind.TOOL: "tools", Kind.PROMPT: "prompts", Kind.RESOURCE: "resources"}


@dataclass(frozen=True, slots=True, order=True)
class Backing:
    """A Service and one of its ports; ``exists`` if the Service is in the snapshot."""

    service: Ref
    port: str
    exists: bool

    def __str__(self) -> str:
        return f"{self.service}:{self.port}"


@dataclass(frozen=True, slots=True)
class Exposure:
    """What clients see of a member: a name, a URI or a REST path; and the Service that answers, if any."""

    label: str
    backing: Backing | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """An MCPTool, MCPPrompt or MCPResource; ``level`` is that of its worst finding.

    ``context`` is what a model reads of a tool, in bytes and estimated tokens.
    """

    ref: Ref
    exposures: tuple[Exposure, ...]
    level: Level | None = None
    context: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Server:
    """An MCPServer and its selected members, ordered by kind and name.

    ``tokens`` is what a model reads of all tools, with the prefix of the server; ``budget`` is its contextBudget.
    """

    ref: Ref
    members: tuple[Member, ...]
    level: Level | None = None
    tokens: int = 0
    budget: int | None = None

    @property
    def context(self) -> tuple[int, int]:
        """What a model reads of all tools, in bytes and estimated tokens."""
        return sum(member.context[0] for member in self.members), self.tokens


@dataclass(frozen=True, slots=True)
class Graph:
    """All servers, and the members that no server selects; ``unread`` are objects whose spec cannot be read."""

    servers: tuple[Server, ...]
    unselected: tuple[Member, ...]
    unread: tuple[Ref, ...]


def build(snapshot: Snapshot, objects: Iterable[Object], verdict: Verdict) -> Graph:
    """Build the graph of objects that are in the snapshot."""
    levels: dict[Ref, Level] = {}
    for finding in verdict:
        if levels.get(finding.ref) is not Level.ERROR:
            levels[finding.ref] = finding.level
    items = sorted(objects, key=lambda item: item.ref)
    built = {
        item.ref: _build_member(snapshot, item, item.fact, levels)
        for item in items
        if isinstance(item.fact, MemberFact)
    }
    servers = tuple(
        _build_server(snapshot, item.fact, built, levels) for item in items if isinstance(item.fact, ServerFact)
    )
    selected = {member.ref for server in servers for member in server.members}
    return Graph(
        servers,
        tuple(sorted((m for ref, m in built.items() if ref not in selected), key=_order)),
        tuple(item.ref for item in items if item.fact is None),
    )


def _build_server(
    snapshot: Snapshot, fact: ServerFact, built: Mapping[Ref, Member], levels: Mapping[Ref, Level]
) -> Server:
    ref = fact.ref
    selected = (built[member] for member in snapshot.view(ref).members if member in built)
    members = tuple(sorted(selected, key=_order))
    return Server(ref, members, levels.get(ref), budgets.total(snapshot, fact), fact.budget)


def _build_member(snapshot: Snapshot, item: Object, fact: MemberFact, levels: Mapping[Ref, Level]) -> Member:
    backings: dict[tuple[str | int, ...], Backing] = {}
    for backend in fact.backends:
        exists = snapshot.service(backend.service) is not None
        backings[_part_of(backend.path)] = Backing(backend.service, str(backend.port), exists)
    labels: dict[tuple[str | int, ...], str] = {}
    for claim, place in zip(fact.claims, fact.places, strict=True):
        # The REST path is shown only for an operation that is not served as anything else.
        if claim.space is not Space.REST_PATH or _part_of(place) not in labels:
            labels[_part_of(place)] = claim.value
    exposures = tuple(Exposure(label, backings.get(part)) for part, label in labels.items())
    context = members.context_of(members.compile_member(item)) if fact.ref.kind is Kind.TOOL else (0, 0)
    return Member(fact.ref, exposures, levels.get(fact.ref), context)


def _part_of(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The part of a spec that a field belongs to: an entry of a list, or the spec itself."""
    index = next((at for at, step in enumerate(path) if isinstance(step, int)), None)
    return path[: index + 1] if index is not None else path[:1]


def _order(member: Member) -> tuple[int, str, Ref]:
    label = member.exposures[0].label if member.exposures else ""
    return (list(GROUPS).index(member.ref.kind), label, member.ref)
