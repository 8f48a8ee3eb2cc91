"""PURE. The contextBudget of a server: how many tokens a model reads of its tools.

The budget is held over every selected tool, also one whose name another tool has: it is listed as soon as the other one
is gone. See docs/decisions/0041.
"""

from __future__ import annotations

from heapq import heappush, heapreplace
from typing import TYPE_CHECKING

from crd.finding import Finding, Reason
from crd.ref import Kind
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crd.facts import MemberFact, ServerFact
    from crd.ref import Ref
    from crd.snapshot import Snapshot
    from crd.steps import Steps

__all__ = [
    "Further",
    "context_budget",
    "cost",
    "dearest",
    "exceeded",
    "exceeded_in_steps",
    "excess",
    "excess_in_steps",
    "not_served",
    "total",
]

# So many tools a message names.
NAMED = 3


class Further:
    """Further states that tools may have. ``tokens`` and ``listed`` are as those of a `ServerView`, of all together."""

    def __init__(self, facts: Iterable[MemberFact] = ()) -> None:
        self.facts = [fact for fact in facts if fact.tokens]
        self.tokens = sum(fact.tokens for fact in self.facts)
        self.listed = len(self.facts)


NONE = Further()


def cost(server: ServerFact, tool: MemberFact) -> int:
    """The tokens of a tool in the list of a server; 0 for what is not listed."""
    return tool.tokens and tool.tokens + server.prefix_tokens


def total(snapshot: Snapshot, server: ServerFact) -> int:
    """The tokens of all tools that a server selects."""
    view = snapshot.view(server.ref)
    return view.tokens + view.listed * server.prefix_tokens


def excess(snapshot: Snapshot, server: ServerFact | None, others: Further = NONE) -> int:
    """By how many tokens the tools exceed the budget of a server; 0 if they do not, or there is no budget.

    Of each tool, the state with the most tokens counts, in the snapshot or of the ``others``. The server is in the
    snapshot.
    """
    return finish(excess_in_steps(snapshot, server, others))


def excess_in_steps(snapshot: Snapshot, server: ServerFact | None, others: Further = NONE) -> Steps[int]:
    """The same as `excess`, with a step for each of the others."""
    if server is None or server.budget is None:
        return 0
    known = total(snapshot, server)
    if known + others.tokens + others.listed * server.prefix_tokens <= server.budget:
        return 0  # whatever the others overlap with
    members = snapshot.view(server.ref).members
    more: dict[Ref, int] = {}
    for fact in others.facts:
        yield
        if fact.ref.namespace == server.ref.namespace and server.selector.matches(fact.labels):
            standing = snapshot.member(fact.ref) if fact.ref in members else None
            further = cost(server, fact) - (cost(server, standing) if standing else 0)
            more[fact.ref] = max(further, more.get(fact.ref, 0))
    return max(0, known + sum(more.values()) - server.budget)


def context_budget(snapshot: Snapshot, server: ServerFact) -> Iterator[Finding]:
    """A server that selects tools of more tokens than its budget."""
    over = excess(snapshot, server)
    if over:
        yield exceeded(snapshot, server, server.ref, over)


def exceeded(snapshot: Snapshot, server: ServerFact, blamed: Ref, over: int, *, named: bool = True) -> Finding:
    """The finding about an excess of a server, which is attributed to an object; with ``named``, of its dearest tools.

    To find these takes a walk over all tools of the server.
    """
    return finish(exceeded_in_steps(snapshot, server, blamed, over, named=named))


def exceeded_in_steps(
    snapshot: Snapshot, server: ServerFact, blamed: Ref, over: int, *, named: bool = True
) -> Steps[Finding]:
    """The same as `exceeded`, with a step for each tool."""
    budget = server.budget or 0
    found = (yield from _find_dearest(snapshot, server)) if named else []
    names = ", ".join(f"{fact.served_name or fact.ref.name} ({cost(server, fact)})" for fact in found)
    message = (
        f"the tools of {server.ref} would have about {budget + over} tokens, more than its contextBudget of {budget}"
        f"{f'; the most expensive are {names}' if names else ''}; shorten their descriptions and schemas, select fewer "
        "tools or raise spec.contextBudget"
    )
    path = ("spec", "contextBudget") if blamed.kind is Kind.SERVER else ()
    related = (server.ref, *(fact.ref for fact in found if fact.ref != blamed))
    return Finding.of(
        Reason.CONTEXT_BUDGET_EXCEEDED, blamed, message, subject=(server.ref.key,), path=path, related=related
    )


def not_served(server: ServerFact, tool: MemberFact) -> Finding:
    """The finding about a stored tool that a server does not serve because of its budget."""
    message = (
        f"{server.ref} does not serve it: its {cost(server, tool)} tokens do not fit into the contextBudget of "
        f"{server.budget} beside the tools that are served already; shorten descriptions and schemas, select fewer "
        "tools or raise spec.contextBudget"
    )
    return Finding.of(
        Reason.CONTEXT_BUDGET_EXCEEDED, tool.ref, message, subject=(server.ref.key,), related=(server.ref,)
    )


def dearest(snapshot: Snapshot, server: ServerFact) -> list[MemberFact]:
    """The tools of a server with the most tokens."""
    return finish(_find_dearest(snapshot, server))


def _find_dearest(snapshot: Snapshot, server: ServerFact) -> Steps[list[MemberFact]]:
    found: list[tuple[int, Ref, MemberFact]] = []
    for ref in snapshot.view(server.ref).members:
        yield
        fact = snapshot.member(ref)
        if fact is None or not fact.tokens:
            continue
        entry = (fact.tokens, ref, fact)
        if len(found) < NAMED:
            heappush(found, entry)
        elif entry > found[0]:
            heapreplace(found, entry)
    return [fact for _, _, fact in sorted(found, reverse=True)]
