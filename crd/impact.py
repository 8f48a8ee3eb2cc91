"""PURE. The effect of an admitted change on what servers serve, for the user who made it.

These lines are not findings; `webhook.admit` returns them as warnings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.facts import MemberFact, ServerFact
from crd.published import catalogs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crd.facts import Fact
    from crd.integrity import Change
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["preview", "served_by"]

# The maximum number of servers in one line.
NAMED = 3
# In the order of `ServerView.counts`.
_NOUNS = ("tool", "prompt", "resource")


def preview(after: Snapshot, change: Change) -> Iterator[str]:
    """Lines about changes of names or servers; nothing for a change that leaves them as they are.

    ``after`` contains the other objects and the new state of the changed object.
    """
    old = change.old.fact if change.old is not None else None
    new = change.new.fact if change.new is not None else None
    if isinstance(new, ServerFact):
        if not isinstance(old, ServerFact) or _selection(old) != _selection(new):
            yield from _serving(after, change.ref)
    elif isinstance(old, MemberFact) or isinstance(new, MemberFact):
        yield from _served(after, change.ref, old, new)


def served_by(after: Snapshot, ref: Ref, servers: Sequence[Ref]) -> str:
    """The line about the servers that serve a member."""
    named = [f"{server.key} ({_describe_contents(after, server)})" for server in servers[:NAMED]]
    return f"{ref} is served by {_join([*named, *_rest(servers)])}"


def _selection(server: ServerFact) -> tuple[object, ...]:
    return server.selector, server.prompt_selector, server.resource_selector, server.prefix


def _serving(snapshot: Snapshot, server: Ref) -> Iterator[str]:
    if snapshot.view(server).members:
        yield f"{server} serves {_describe_contents(snapshot, server)}"


def _served(snapshot: Snapshot, ref: Ref, old: Fact | None, new: Fact | None) -> Iterator[str]:
    before, after = _servers(snapshot, old), _servers(snapshot, new)
    if isinstance(new, MemberFact) and after:
        claims = old.claims if isinstance(old, MemberFact) else ()
        if before != after or claims != new.claims:
            yield served_by(snapshot, ref, after)
    lost = [server for server in before if server not in after]
    if lost:
        yield f"{ref} is no longer served by {_join([*(server.key for server in lost[:NAMED]), *_rest(lost)])}"


def _servers(snapshot: Snapshot, fact: Fact | None) -> list[Ref]:
    """The servers that serve a member; none if it has no claims, such as a disabled tool."""
    if not isinstance(fact, MemberFact) or not fact.claims:
        return []
    return sorted(snapshot.selecting(fact.ref.kind, fact.ref.namespace, fact.labels))


def _rest(servers: Sequence[Ref]) -> list[str]:
    return [f"{len(servers) - NAMED} more"] if len(servers) > NAMED else []


def _describe_contents(snapshot: Snapshot, server: Ref) -> str:
    view = snapshot.view(server)
    counts = zip(_NOUNS, view.counts, strict=True)
    counted = [f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts if count]
    return ", ".join([*counted, f"catalog {-(-view.weight // 1024)} KiB of {catalogs.LIMIT // 1024}"])


def _join(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
