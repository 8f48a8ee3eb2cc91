"""PURE. What an admitted change takes from the clients of a server, for the user who made it.

These lines are not findings; `webhook.admit` returns them as warnings. A change that works as its author wants it says
nothing: who serves an object is in its status, and in ``mcp-operator graph``.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING

from crd.facts import MemberFact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crd.facts import Fact
    from crd.integrity import Change
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["preview"]

# The maximum number of servers in one line.
NAMED = 3


def preview(after: Snapshot, change: Change) -> Iterator[str]:
    """A line about the servers that no longer serve a member; nothing for any other change.

    ``after`` contains the other objects. The state of the changed object in it does not matter.
    """
    old = change.old.fact if change.old is not None else None
    if not isinstance(old, MemberFact):
        return
    kept = _servers(after, change.new.fact if change.new is not None else None)
    lost = set(_servers(after, old)).difference(kept)
    if lost:
        further = [f"{len(lost) - NAMED} more"] if len(lost) > NAMED else []
        named = [*(server.key for server in nsmallest(NAMED, lost)), *further]
        yield f"{change.ref} is no longer served by {_join(named)}"


def _servers(snapshot: Snapshot, fact: Fact | None) -> tuple[Ref, ...]:
    """The servers that serve a member; none if it has no claims, such as a disabled tool."""
    if not isinstance(fact, MemberFact) or not fact.claims:
        return ()
    return snapshot.selecting(fact.ref.kind, fact.ref.namespace, fact.labels)


def _join(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
