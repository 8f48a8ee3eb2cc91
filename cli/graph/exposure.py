"""PURE. Which server exposes what, backed by which Service: a small frozen picture of a catalog.

`cli.graph.drawing` draws it; `cli.commands.graph` is the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crd.facts import MemberFact, ServerFact, Space
from crd.finding import Level
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crd.finding import Verdict
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["GROUPS", "Backing", "Exposure", "Graph", "Member", "Server", "picture"]

GROUPS = {Kind.TOOL: "tools", Kind.PROMPT: "prompts", Kind.RESOURCE: "resources"}


@dataclass(frozen=True, slots=True, order=True)
class Backing:
    """A Service and one of its ports; ``there`` if it was given."""

    service: Ref
    port: str
    there: bool

    def __str__(self) -> str:
        return f"{self.service}:{self.port}"


@dataclass(frozen=True, slots=True)
class Exposure:
    """What clients see of a member: a name, a URI, or a door; and the Service that answers, if one does."""

    label: str
    backing: Backing | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """An MCPTool, MCPPrompt or MCPResource; ``level`` is that of its worst finding."""

    ref: Ref
    exposures: tuple[Exposure, ...]
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """An MCPServer and what it selects, ordered by kind and name."""

    ref: Ref
    members: tuple[Member, ...]
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """All servers, and the members that no server selects; ``unread`` are objects whose spec cannot be read."""

    servers: tuple[Server, ...]
    unselected: tuple[Member, ...]
    unread: tuple[Ref, ...]


def picture(snapshot: Snapshot, objects: Iterable[Object], verdict: Verdict) -> Graph:
    """The graph of these objects, which are in the catalog."""
    levels: dict[Ref, Level] = {}
    for finding in verdict:
        if levels.get(finding.ref) is not Level.ERROR:
            levels[finding.ref] = finding.level
    items = sorted(objects, key=lambda item: item.ref)
    members = {item.ref: _member(snapshot, item.fact, levels) for item in items if isinstance(item.fact, MemberFact)}
    servers = tuple(_server(snapshot, item.ref, members, levels) for item in items if isinstance(item.fact, ServerFact))
    selected = {member.ref for server in servers for member in server.members}
    return Graph(
        servers,
        tuple(sorted((m for ref, m in members.items() if ref not in selected), key=_order)),
        tuple(item.ref for item in items if item.fact is None),
    )


def _server(snapshot: Snapshot, ref: Ref, members: Mapping[Ref, Member], levels: Mapping[Ref, Level]) -> Server:
    selected = (members[member] for member in snapshot.view(ref).members if member in members)
    return Server(ref, tuple(sorted(selected, key=_order)), levels.get(ref))


def _member(snapshot: Snapshot, fact: MemberFact, levels: Mapping[Ref, Level]) -> Member:
    backings: dict[tuple[str | int, ...], Backing] = {}
    for backend in fact.backends:
        there = snapshot.service(backend.service) is not None
        backings[_part(backend.path)] = Backing(backend.service, str(backend.port), there)
    labels: dict[tuple[str | int, ...], str] = {}
    for claim, place in zip(fact.claims, fact.places, strict=True):
        # A door is what is left to show of an operation that is served as nothing else.
        if claim.space is not Space.REST_PATH or _part(place) not in labels:
            labels[_part(place)] = claim.value
    exposures = tuple(Exposure(label, backings.get(part)) for part, label in labels.items())
    return Member(fact.ref, exposures, levels.get(fact.ref))


def _part(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The part of a spec that a field belongs to: an entry of a list, or the spec itself."""
    index = next((at for at, step in enumerate(path) if isinstance(step, int)), None)
    return path[: index + 1] if index is not None else path[:1]


def _order(member: Member) -> tuple[int, str, Ref]:
    label = member.exposures[0].label if member.exposures else ""
    return (list(GROUPS).index(member.ref.kind), label, member.ref)
