"""PURE. Compiles what every MCPServer of the files serves, as the controller does in a cluster.

Called by `cli.commands.explain` and `cli.dev.plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.compiler.compilation import Incumbents, advance
from crd.compiler.members import compile_member
from crd.facts import MemberFact, ServerFact
from crd.models.server import ServerSpec
from crd.snapshot import Snapshot
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from crd.compiler.compilation import Compilation
    from crd.compiler.members import CompiledMember
    from crd.facts import Fact
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["backends_of", "compile_members", "compile_servers", "snapshot_of"]


def snapshot_of(objects: Iterable[Object], facts: Iterable[Fact]) -> Snapshot:
    """A snapshot of our objects, and of the Services and other objects that they refer to."""
    return Snapshot.of((*facts, *(item.fact for item in objects if item.fact is not None)))


def compile_members(
    objects: Iterable[Object], compile_: Callable[[Object], CompiledMember] = compile_member
) -> dict[Ref, CompiledMember]:
    """Every MCPTool, MCPPrompt and MCPResource by itself. ``compile_`` may remember what `compile_member` returned."""
    return {item.ref: compile_(item) for item in objects if isinstance(item.fact, MemberFact)}


def compile_servers(
    objects: Iterable[Object], members: Mapping[Ref, CompiledMember], snapshot: Snapshot
) -> dict[Ref, Compilation]:
    """What each server serves, by its reference. A server with an invalid spec is left out."""
    return {
        server.ref: finish(
            advance(None, server, snapshot.view(server.ref).members, members.get, snapshot, Incumbents())
        )
        for server in objects
        if isinstance(server.spec, ServerSpec) and isinstance(server.fact, ServerFact)
    }


def backends_of(objects: Iterable[Object]) -> Iterator[tuple[Ref, int | str]]:
    """Every Service that an MCPTool or MCPResource calls, and the port by number or name."""
    for item in objects:
        if isinstance(item.fact, MemberFact):
            yield from ((backend.service, backend.port) for backend in item.fact.backends)
