"""PURE. What each server serves and selects before and after a change, and what its tool list costs a model.

Called by `cli.commands.check`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crd.compiler import compilation, members
from crd.facts import ServerFact, Space
from crd.models.server import ServerSpec
from crd.ref import Kind
from crd.snapshot import Snapshot
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.manifests.transaction import Transaction
    from crd.compiler.compilation import Compilation
    from crd.compiler.members import CompiledMember
    from crd.facts import Claim
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["ServerChange", "compare"]


@dataclass(frozen=True, slots=True)
class ServerChange:
    """What clients of a server see of a change.

    ``gone`` and ``new`` are what it serves, as in ``tool name "find_orders"``; ``selected`` and ``released`` are
    objects that exist before and after. ``tokens`` are the estimated costs of its tool list, before and after.
    """

    server: Ref
    gone: tuple[str, ...]
    new: tuple[str, ...]
    selected: tuple[Ref, ...]
    released: tuple[Ref, ...]
    tokens: tuple[int, int]

    @property
    def is_empty(self) -> bool:
        """Whether clients see no difference."""
        before, after = self.tokens
        return not (self.gone or self.new or self.selected or self.released) and before == after


def compare(before: Transaction, after: Transaction) -> tuple[ServerChange, ...]:
    """The servers whose clients see a difference, by name. A server that is not valid serves nothing."""
    old, new = _State(before), _State(after)
    found = []
    for ref in sorted({*old.servers, *new.servers}):
        earlier = old.compile(ref, compilation.Incumbents())
        later = new.compile(ref, earlier.published() if earlier is not None else compilation.Incumbents())
        former, current = _served(earlier), _served(later)
        selected_before, selected_after = old.members(ref), new.members(ref)
        change = ServerChange(
            ref,
            tuple(sorted(former - current)),
            tuple(sorted(current - former)),
            tuple(sorted((selected_after - selected_before) & old.objects.keys())),
            tuple(sorted((selected_before - selected_after) & new.objects.keys())),
            (earlier.tokens if earlier is not None else 0, later.tokens if later is not None else 0),
        )
        if not change.is_empty:
            found.append(change)
    return tuple(found)


class _State:
    """A state of the files, whose servers can be compiled. Each member is compiled once."""

    def __init__(self, files: Transaction) -> None:
        self.objects: Mapping[Ref, Object] = {item.ref: item for item in files.objects}
        facts = (item.fact for item in files.objects)
        self._snapshot = Snapshot.of((*files.facts, *(fact for fact in facts if fact is not None)))
        self._compiled: dict[Ref, CompiledMember] = {}

    @property
    def servers(self) -> Iterator[Ref]:
        return (ref for ref in self.objects if ref.kind is Kind.SERVER)

    def members(self, server: Ref) -> set[Ref]:
        return set(self._snapshot.view(server).members)

    def compile(self, ref: Ref, incumbents: compilation.Incumbents) -> Compilation | None:
        server = self.objects.get(ref)
        if server is None or not isinstance(server.spec, ServerSpec) or not isinstance(server.fact, ServerFact):
            return None
        selected = self.members(ref)
        steps = compilation.advance(None, server, sorted(selected), self._member, self._snapshot, incumbents)
        return finish(steps)

    def _member(self, ref: Ref) -> CompiledMember | None:
        if ref not in self._compiled:
            self._compiled[ref] = members.compile_member(self.objects[ref])
        return self._compiled[ref]


def _served(compiled: Compilation | None) -> frozenset[str]:
    """The names, URIs and paths that a server serves."""
    if compiled is None:
        return frozenset()
    return frozenset(_describe(claim, compiled.prefix) for claim in compiled.holders)


def _describe(claim: Claim, prefix: str) -> str:
    named = claim.space in (Space.TOOL_NAME, Space.PROMPT_NAME)
    return f'{claim.space.value} "{prefix if named else ""}{claim.value}"'
