"""PURE. Level 2 of integrity: whether a change may join the writes that are admitted right now.

`crd.integrity` judges a change against what the watches have shown; two replicas of the webhook may each judge one of
two changes that clash, neither shown to the other yet. For servers that are Strict the webhook therefore notes what it
admits in a ledger, by compare-and-swap, before it answers. What counts of another object is then every state that it
may have: the one in the snapshot, and each of its intents. Called by `webhook.ledger`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from crd.facts import MemberFact, ServerFact
from crd.finding import Finding, Verdict, dotted
from crd.ledger import intent
from crd.ledger.intent import KEEP, LEASE, Intent
from crd.ref import Kind
from crd.rules.names import REASONS
from crd.snapshot import MEMBER_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crd.facts import Claim
    from crd.integrity import Change
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = [
    "Clash",
    "Conflict",
    "Grant",
    "Intents",
    "concerns",
    "decide",
    "decide_all",
    "drop_moot",
    "findings",
    "is_guarded",
    "without",
]

Intents: TypeAlias = "tuple[Intent, ...]"


@dataclass(frozen=True, slots=True)
class Grant:
    """The change may be admitted once these intents are the ledger."""

    intents: Intents


@dataclass(frozen=True, slots=True)
class Clash:
    """Two objects that a Strict server would serve under one claim, for as long as these intents count.

    ``holders`` are the objects other than the changed one: one of them, or two where it is the server that changes.
    """

    server: Ref
    claim: Claim
    holders: tuple[Ref, ...]
    because: Intents


@dataclass(frozen=True, slots=True)
class Conflict:
    """The change may not be admitted while these stand."""

    clashes: tuple[Clash, ...]

    def involved(self, changed: Ref) -> frozenset[Ref]:
        """The objects whose state decides whether the conflict is real, without the changed one."""
        return frozenset(ref for clash in self.clashes for ref in (clash.server, *clash.holders)) - {changed}


def concerns(snapshot: Snapshot, change: Change) -> bool:
    """Whether a change claims anything, or selects anybody, anew where a server is Strict."""
    new, old = (item.fact if item is not None else None for item in (change.new, change.old))
    if new is None or (old is not None and intent.essence(old) == intent.essence(new)):
        return False
    if isinstance(new, ServerFact):
        return _binding(new)
    return bool(new.claims) and is_guarded(snapshot, new.ref.namespace)


def is_guarded(snapshot: Snapshot, namespace: str) -> bool:
    """Whether a server of the namespace is Strict, so that its changes are noted."""
    servers = (snapshot.server(ref) for ref in snapshot.refs(Kind.SERVER, namespace))
    return any(server is not None and _binding(server) for server in servers)


def decide(snapshot: Snapshot, intents: Intents, change: Change, now: float) -> Grant | Conflict:
    """Whether the change clashes with any state that any other object may have.

    What clashed before with the object as it was is no clash of this change. Clashes within the snapshot alone are left
    to `integrity.judge`, which has to have passed the change. ``now`` is in seconds of the epoch.
    """
    kept = tuple(entry for entry in intents if now - entry.at <= KEEP)
    found = list(_clashes(snapshot, kept, change.new))
    if found:
        before = _clashes(snapshot, kept, change.old, binding=True)
        standing = {(clash.server, clash.claim) for clash in before}
        found = [clash for clash in found if (clash.server, clash.claim) not in standing]
    if found:
        return Conflict(tuple(found))
    own = intent.of(change, now)
    return Grant(kept if own is None else (*(entry for entry in kept if not _same(entry, own)), own))


def decide_all(
    snapshot: Snapshot, intents: Intents, changes: Iterable[tuple[Change, bool]], now: float
) -> tuple[Intents, list[Grant | Conflict]]:
    """The ledger once all of these changes have been decided one after the other, and each outcome.

    A change comes with whether it is a dry run, which the ledger does not keep.
    """
    outcomes: list[Grant | Conflict] = []
    for change, dry_run in changes:
        outcome = decide(snapshot, intents, change, now)
        outcomes.append(outcome)
        if isinstance(outcome, Grant) and not dry_run:
            intents = outcome.intents
    return intents, outcomes


def drop_moot(intents: Intents, looked: Mapping[Ref, Object | None], now: float) -> Intents:
    """The intents without those that are moot, by linearizable reads made after the ledger was read."""
    return tuple(
        entry
        for entry in intents
        if entry.fact.ref not in looked or not intent.moot(entry, looked[entry.fact.ref], now)
    )


def without(intents: Intents, change: Change) -> Intents:
    """The intents without that of a change, which was not admitted after all."""
    own = intent.of(change, 0.0)
    return intents if own is None else tuple(entry for entry in intents if not _same(entry, own))


def findings(conflict: Conflict, change: Change, sightings: Mapping[Ref, Object | None]) -> Verdict:
    """The clashes, told as faults of the changed object. What was sighted as intended is told as plain fact."""
    return Verdict.of(_finding(clash, change, _is_pending(clash, sightings)) for clash in conflict.clashes)


def _finding(clash: Clash, change: Change, pending: bool) -> Finding:
    claim, server, holder = clash.claim, clash.server, clash.holders[0]
    retry = f", or retry in {LEASE:.0f} s if that write was not stored" if pending else ""
    fact = change.new.fact if change.new is not None else None
    if isinstance(fact, MemberFact):
        path = fact.place(claim)
        holds = "is being admitted right now to serve" if pending else "already serves"
        message = f'{holder} {holds} "{claim.value}" on {server}; change {dotted(path)}{retry}'
        related: tuple[Ref, ...] = (holder, server)
    else:
        path = ("spec", "toolSelector")
        stands = ", and one of them is being admitted right now" if pending else ""
        message = (
            f'{holder} and {clash.holders[1]} would both serve "{claim.value}" on {server}{stands}; '
            f"narrow spec.toolSelector or rename one of them{retry}"
        )
        related = clash.holders
    subject = (server.key, claim.space.value, claim.value)
    return Finding.of(REASONS[claim.space], change.ref, message, subject=subject, path=path, related=related)


def _is_pending(clash: Clash, sightings: Mapping[Ref, Object | None]) -> bool:
    """Whether it rests on a state that nobody has seen stored."""
    for entry in clash.because:
        seen = sightings.get(entry.fact.ref)
        if seen is None or seen.fact is None or intent.essence(seen.fact) != entry.fact:
            return True
    return False


def _binding(server: ServerFact) -> bool:
    """A server that prefers the incumbent lets clashes in on purpose, and serves one of the two."""
    return server.strict and not server.prefer_incumbent


def _same(one: Intent, other: Intent) -> bool:
    return (one.fact, one.uid, one.base) == (other.fact, other.uid, other.base)


def _clashes(snapshot: Snapshot, intents: Intents, item: Object | None, *, binding: bool = False) -> Iterator[Clash]:
    """The clashes of an object with the states that others may have; ``binding`` counts a server that is not Strict."""
    fact = item.fact if item is not None else None
    if fact is None:
        return
    others = [entry for entry in intents if entry.fact.ref != fact.ref]
    if isinstance(fact, MemberFact):
        yield from _of_member(snapshot, others, fact)
    elif binding or _binding(fact):
        yield from _of_server(snapshot, others, fact)


def _of_member(snapshot: Snapshot, others: Iterable[Intent], member: MemberFact) -> Iterator[Clash]:
    """A member against intended members on every server, and against known ones on intended servers."""
    claims = set(member.claims)
    rivals: list[tuple[Intents, MemberFact]] = []
    intended: list[tuple[Intent, ServerFact]] = []
    for entry in others:
        fact = entry.fact
        if isinstance(fact, ServerFact):
            if _binding(fact) and _selects(fact, member):
                intended.append((entry, fact))
        elif not claims.isdisjoint(fact.claims):
            rivals.append(((entry,), fact))
    for server in map(snapshot.server, snapshot.selecting(member.ref.kind, member.ref.namespace, member.labels)):
        if server is not None and _binding(server):
            yield from _with_rivals(server, member, rivals, ())
    # A look at every member of the namespace, for as long as a selector was changed a moment ago.
    known = [((), fact) for fact in _holders(snapshot, member)] if intended else []
    for entry, server in intended:
        yield from _with_rivals(server, member, [*rivals, *known], (entry,))


def _holders(snapshot: Snapshot, member: MemberFact) -> Iterator[MemberFact]:
    """The known members that claim what this one claims, whoever selects them."""
    claims = set(member.claims)
    for kind in MEMBER_KINDS:
        for fact in map(snapshot.member, snapshot.refs(kind, member.ref.namespace)):
            if fact is not None and fact.ref != member.ref and not claims.isdisjoint(fact.claims):
                yield fact


def _with_rivals(
    server: ServerFact, member: MemberFact, rivals: Iterable[tuple[Intents, MemberFact]], because: Intents
) -> Iterator[Clash]:
    """The clashes with rivals that a server selects; each rests on the intents beside it, and on ``because``."""
    for entries, rival in rivals:
        if _selects(server, rival):
            for claim in member.claims:
                if claim in rival.claims:
                    yield Clash(server.ref, claim, (rival.ref,), (*because, *entries))


def _of_server(snapshot: Snapshot, others: Iterable[Intent], server: ServerFact) -> Iterator[Clash]:
    """A server whose intended members clash with known ones, or with one another."""
    known = snapshot.put(server).view(server.ref).claimants
    earlier: dict[Claim, list[Intent]] = {}
    for entry in others:
        fact = entry.fact
        if not isinstance(fact, MemberFact) or not _selects(server, fact):
            continue
        for claim in fact.claims:
            for ref in known.get(claim, ()):
                if ref != fact.ref:
                    yield Clash(server.ref, claim, (ref, fact.ref), (entry,))
            for rival in earlier.setdefault(claim, []):
                if rival.fact.ref != fact.ref:
                    yield Clash(server.ref, claim, (rival.fact.ref, fact.ref), (rival, entry))
            earlier[claim].append(entry)


def _selects(server: ServerFact, member: MemberFact) -> bool:
    same = server.ref.namespace == member.ref.namespace
    return same and server.selector_of(member.ref.kind).matches(member.labels)
