"""PURE. Level 2 of integrity: whether a change conflicts with writes that are being admitted.

`crd.integrity` judges a change against the cache of one replica. Two replicas can each judge one of two conflicting
changes before their caches show the other one. For Strict servers the webhook therefore records each admitted change in
a ledger, by compare-and-swap, before it answers. A change is then compared with every state that another object may
have: the one in the snapshot, and each of its intents. Against the contextBudget of a Strict server, each tool counts
with the most tokens that it has in any of these states; the clients that it names must support each of them. Called by
`webhook.ledger`.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from crd.facts import MemberFact, ServerFact
from crd.finding import Finding, Verdict, format_path
from crd.ledger import intent
from crd.ledger.intent import KEEP, LEASE, Intent
from crd.ref import Kind
from crd.rules import budgets, clients
from crd.rules.names import REASONS
from crd.snapshot import MEMBER_KINDS, Snapshot
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from crd.facts import Claim, Fact
    from crd.integrity import Change
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.steps import Steps

__all__ = [
    "Breach",
    "Clash",
    "Conflict",
    "Grant",
    "Intents",
    "concerns",
    "decide",
    "decide_all",
    "decide_all_in_steps",
    "drop_moot",
    "findings",
    "is_guarded",
    "without",
]

T = TypeVar("T")
Intents: TypeAlias = "tuple[Intent, ...]"

# So many of the intents that bring a server over its budget are looked at before a refusal.
MAX_CAUSES = 32
# So many servers that are intended are remembered with all their tools.
MAX_PLACED = 8


@dataclass(frozen=True, slots=True)
class Grant:
    """The change may be admitted once these intents are stored as the ledger."""

    intents: Intents


@dataclass(frozen=True, slots=True)
class Clash:
    """Two objects that a Strict server would serve under the same claim, as long as the intents in ``because`` count.

    ``claimants`` are the objects other than the changed one: one object, or two if the changed object is the server.
    """

    server: Ref
    claim: Claim
    claimants: tuple[Ref, ...]
    because: Intents


@dataclass(frozen=True, slots=True)
class Breach:
    """Tools that a Strict server must not list, over its budget or for its clients, as long as ``because`` counts.

    ``finding`` says so of the changed object.
    """

    finding: Finding
    because: Intents


@dataclass(frozen=True, slots=True)
class Conflict:
    """The change must not be admitted as long as these clashes and breaches exist."""

    clashes: tuple[Clash, ...]
    breaches: tuple[Breach, ...] = ()

    def involved(self, changed: Ref) -> frozenset[Ref]:
        """The objects whose stored state decides whether the conflict exists, without the changed one."""
        of_clashes = (ref for clash in self.clashes for ref in (clash.server, *clash.claimants))
        of_breaches = (entry.fact.ref for breach in self.breaches for entry in breach.because)
        related = (ref for breach in self.breaches for ref in breach.finding.related)
        return frozenset((*of_clashes, *of_breaches, *related)) - {changed}


def concerns(snapshot: Snapshot, change: Change) -> bool:
    """Whether a change of claims, selectors or budgets must be recorded, because a server of the namespace is Strict.

    A tool that needs more tokens than before must be recorded only where a Strict server has a budget. One that another
    client no longer supports is recorded wherever a server is Strict: the server may be about to name the client.
    """
    new, old = (item.fact if item is not None else None for item in (change.new, change.old))
    if new is None:
        return False
    if isinstance(new, ServerFact):
        return _is_held(new) and (old is None or intent.essence(old) != intent.essence(new))
    if not new.claims:
        return False
    is_known = isinstance(old, MemberFact) and (old.labels, old.claims) == (new.labels, new.claims)
    if isinstance(old, MemberFact) and is_known and _unsupported(new) <= _unsupported(old):
        return new.tokens > old.tokens and any(map(_is_budgeted, snapshot.strict_servers(new.ref.namespace)))
    return is_guarded(snapshot, new.ref.namespace)


def is_guarded(snapshot: Snapshot, namespace: str) -> bool:
    """Whether a server of the namespace is Strict, so that changes in the namespace are recorded."""
    return any(map(_is_held, snapshot.strict_servers(namespace)))


def decide(
    snapshot: Snapshot, intents: Intents, change: Change, now: float, dearer: Collection[MemberFact] = ()
) -> Grant | Conflict:
    """Whether the change conflicts with any state that another object may have; see `decide_all`."""
    after, (outcome,) = decide_all(snapshot, intents, [(change, False)], now, dearer)
    return Grant(after) if outcome is None else outcome


def decide_all(
    snapshot: Snapshot,
    intents: Intents,
    changes: Iterable[tuple[Change, bool]],
    now: float,
    dearer: Collection[MemberFact] = (),
) -> tuple[Intents, list[Conflict | None]]:
    """The ledger after these changes have been decided one after another, and what each conflicts with.

    Clashes of the old state of the object are not attributed to the change. Clashes within the snapshot are found by
    `integrity.judge`, which must have admitted the change. ``now`` is in seconds since the epoch. ``dearer`` are
    further states that tools may have, which count against the budgets of servers. The flag of a change says whether
    it is a dry run, which is not recorded.
    """
    return finish(decide_all_in_steps(snapshot, intents, changes, now, dearer))


def decide_all_in_steps(
    snapshot: Snapshot,
    intents: Intents,
    changes: Iterable[tuple[Change, bool]],
    now: float,
    dearer: Collection[MemberFact] = (),
) -> Steps[tuple[Intents, list[Conflict | None]]]:
    """The same as `decide_all`, in steps."""
    known = _Known(snapshot)
    yield from known.fill(entry for entry in intents if now - entry.at <= KEEP)
    outcomes: list[Conflict | None] = []
    for change, dry_run in changes:
        clashes = yield from _find(snapshot, known, change)
        breaches: list[Breach] = []
        if not clashes:
            yield from _gather(_find_excesses(snapshot, known, change, dearer), breaches)
            yield from _gather(_find_unsupported(known, change), breaches)
        outcomes.append(Conflict(clashes, tuple(breaches)) if clashes or breaches else None)
        own = intent.of(change, now) if not (clashes or breaches or dry_run) else None
        if own is not None:
            yield from known.record(own)
    return tuple(known.intents), outcomes


def _gather(items: Iterable[T | None], into: list[T]) -> Steps[None]:
    """Add the items of an iterator that pauses."""
    for item in items:
        yield
        if item is not None:
            into.append(item)


class _Known:
    """The intents of a ledger beside a snapshot, and which may clash with a member: a change must not look at all.

    ``servers`` are those of servers, ``members`` those of members, and ``tools`` of these the ones that count against a
    budget.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._placed: OrderedDict[ServerFact, Snapshot] = OrderedDict()
        self._claimants: dict[str, dict[Claim, list[MemberFact]]] = {}
        self._clear()

    def concerning(self, fact: MemberFact | ServerFact) -> Iterable[Intent]:
        """The intents of servers and of members that share a claim; for a server, those of members."""
        if isinstance(fact, ServerFact):
            return self.members
        rivals = {id(entry): entry for claim in fact.claims for entry in self._by_claim.get(claim, ())}
        return (*rivals.values(), *self.servers)

    def place(self, server: ServerFact) -> Steps[Snapshot]:
        """A snapshot of a server that is intended and of the tools that it selects. Visits these, once for a few."""
        found = self._placed.get(server)
        if found is None:
            tools: list[MemberFact] = []
            selected = self._snapshot.selected_in_steps((Kind.TOOL,), server.ref.namespace, server.selector)
            yield from _gather(selected, tools)
            found = yield from (yield from Snapshot().put_all_in_steps(tools)).put_in_steps(server)
            self._placed[server] = found
            if len(self._placed) > MAX_PLACED:
                self._placed.popitem(last=False)
        return found

    def claimants(self, namespace: str) -> Steps[Mapping[Claim, Sequence[MemberFact]]]:
        """The members of the snapshot by their claims, whichever server selects them. Visits all, once."""
        found = self._claimants.get(namespace)
        if found is None:
            found = self._claimants[namespace] = {}
            for kind in MEMBER_KINDS:
                for ref in self._snapshot.refs(kind, namespace):
                    yield
                    member = self._snapshot.member(ref)
                    if member is not None:
                        for claim in member.claims:
                            found.setdefault(claim, []).append(member)
        return found

    def record(self, own: Intent) -> Steps[None]:
        """Add an intent, in place of the same one if it was recorded before."""
        if own.fact.ref in self._refs:
            intents = self.intents
            self._clear()
            yield from self.fill(entry for entry in intents if not _same(entry, own))
        self._add(own)

    def fill(self, intents: Iterable[Intent]) -> Steps[None]:
        """Add intents that are not in it."""
        for entry in intents:
            yield
            self._add(entry)

    def _clear(self) -> None:
        self.intents: list[Intent] = []
        self.servers: list[Intent] = []
        self.members: list[Intent] = []
        self.tools: list[Intent] = []
        self._by_claim: defaultdict[Claim, list[Intent]] = defaultdict(list)
        self._refs: set[Ref] = set()

    def _add(self, entry: Intent) -> None:
        self.intents.append(entry)
        self._refs.add(entry.fact.ref)
        if isinstance(entry.fact, ServerFact):
            self.servers.append(entry)
        else:
            self.members.append(entry)
            if entry.fact.tokens:
                self.tools.append(entry)
            for claim in entry.fact.claims:
                self._by_claim[claim].append(entry)


def _find(snapshot: Snapshot, known: _Known, change: Change) -> Steps[tuple[Clash, ...]]:
    """The clashes of the new state of an object that the old one does not have."""
    found: list[Clash] = []
    yield from _gather(_clashes(snapshot, known, change.new), found)
    if found:
        standing = set()
        for clash in _clashes(snapshot, known, change.old, binding=True):
            yield
            if clash is not None:
                standing.add((clash.server, clash.claim))
        found = [clash for clash in found if (clash.server, clash.claim) not in standing]
    return tuple(found)


def drop_moot(intents: Intents, looked: Mapping[Ref, Object | None], now: float) -> Intents:
    """The intents without those that are moot according to linearizable reads made after the ledger was read."""
    return tuple(
        entry
        for entry in intents
        if entry.fact.ref not in looked or not intent.moot(entry, looked[entry.fact.ref], now)
    )


def without(intents: Intents, withdrawn: Iterable[Intent]) -> Intents:
    """The intents without these, whenever they were recorded: their changes were not admitted after all."""
    by_ref: defaultdict[Ref, list[Intent]] = defaultdict(list)
    for own in withdrawn:
        by_ref[own.fact.ref].append(own)
    return tuple(entry for entry in intents if not any(_same(entry, own) for own in by_ref.get(entry.fact.ref, ())))


def findings(conflict: Conflict, change: Change, sightings: Mapping[Ref, Object | None]) -> Verdict:
    """The conflict as findings about the changed object. Intents that ``sightings`` show as stored are plain facts."""
    return Verdict.of(
        (
            *(_finding(clash, change, _is_pending(clash.because, sightings)) for clash in conflict.clashes),
            *(_finding_of_breach(breach, _is_pending(breach.because, sightings)) for breach in conflict.breaches),
        )
    )


def _finding(clash: Clash, change: Change, pending: bool) -> Finding:
    claim, server, claimant = clash.claim, clash.server, clash.claimants[0]
    retry = f", or retry in {LEASE:.0f} s if that write was not stored" if pending else ""
    fact = change.new.fact if change.new is not None else None
    if isinstance(fact, MemberFact):
        path = fact.place(claim)
        serves = "is being admitted right now to serve" if pending else "already serves"
        message = f'{claimant} {serves} "{claim.value}" on {server}; change {format_path(path)}{retry}'
        related: tuple[Ref, ...] = (claimant, server)
    else:
        path = ("spec", "toolSelector")
        state = ", and one of them is being admitted right now" if pending else ""
        message = (
            f'{claimant} and {clash.claimants[1]} would both serve "{claim.value}" on {server}{state}; '
            f"narrow spec.toolSelector or rename one of them{retry}"
        )
        related = clash.claimants
    subject = (server.key, claim.space.value, claim.value)
    return Finding.of(REASONS[claim.space], change.ref, message, subject=subject, path=path, related=related)


def _finding_of_breach(breach: Breach, pending: bool) -> Finding:
    if not pending:
        return breach.finding
    names = ", ".join(dict.fromkeys(entry.fact.ref.name for entry in breach.because[:3]))
    note = f"; {names} is being admitted right now; retry in {LEASE:.0f} s if that write was not stored"
    return replace(breach.finding, message=breach.finding.message + note)


def _is_pending(because: Intents, sightings: Mapping[Ref, Object | None]) -> bool:
    """Whether it depends on a state that is not known to be stored."""
    for entry in because:
        seen = sightings.get(entry.fact.ref)
        if seen is None or seen.fact is None or intent.essence(seen.fact) != entry.fact:
            return True
    return False


def _is_binding(server: ServerFact) -> bool:
    """Whether clashes must not be admitted. A server that prefers the incumbent admits them and serves one."""
    return server.strict and not server.prefer_incumbent


def _is_budgeted(server: ServerFact) -> bool:
    """Whether a budget must not be exceeded by what is admitted."""
    return server.strict and server.budget is not None


def _is_demanding(server: ServerFact) -> bool:
    """Whether every tool that is admitted must be supported by the clients that the server names."""
    return server.strict and bool(server.clients)


def _is_held(server: ServerFact) -> bool:
    """Whether changes around the server are recorded."""
    return _is_binding(server) or _is_budgeted(server) or _is_demanding(server)


def _unsupported(member: MemberFact) -> set[str]:
    return {client for client, _, _ in member.unsupported}


def _find_unsupported(known: _Known, change: Change) -> Iterator[Breach | None]:
    """The tools and servers that are intended and may not come together, because of a client that the server names."""
    new, old = (item.fact if item is not None else None for item in (change.new, change.old))
    if isinstance(new, ServerFact):
        for entry in known.members if _is_demanding(new) else ():
            yield None
            for finding in _on_server(new, entry.fact):
                if finding not in _on_server(old, entry.fact):
                    yield Breach(clients.blame_server(finding, new.ref), (entry,))
    elif new is not None:
        for entry in known.servers:
            yield None
            if isinstance(entry.fact, ServerFact) and _is_demanding(entry.fact):
                for finding in _on_server(entry.fact, new):
                    if finding not in _on_server(entry.fact, old):
                        yield Breach(finding, (entry,))


def _on_server(server: Fact | None, member: Fact | None) -> tuple[Finding, ...]:
    """Why the clients that a server names cannot use a member; nothing if the server does not select it."""
    if not isinstance(server, ServerFact) or not isinstance(member, MemberFact) or not _selects(server, member):
        return ()
    return (*clients.portability_on_server(server, member),)


def _find_excesses(
    snapshot: Snapshot, known: _Known, change: Change, dearer: Collection[MemberFact]
) -> Iterator[Breach | None]:
    """The budgets of Strict servers that the change may exceed, or exceed by more than before."""
    fact = change.new.fact if change.new is not None else None
    standing: list[ServerFact] = []
    intended: list[tuple[Intent, ServerFact]] = []
    if isinstance(fact, ServerFact):
        standing += [fact] if _is_budgeted(fact) else []
    elif fact is not None and fact.tokens:
        for ref in (yield from snapshot.selecting_in_steps(Kind.TOOL, fact.ref.namespace, fact.labels)):
            yield None
            server = snapshot.server(ref)
            if server is not None and _is_budgeted(server):
                standing.append(server)
        for entry in known.servers:
            yield None
            if isinstance(entry.fact, ServerFact) and _is_budgeted(entry.fact) and _selects(entry.fact, fact):
                intended.append((entry, entry.fact))
    if fact is None or not (standing or intended):
        return
    entries = [entry for entry in known.tools if entry.fact.ref != fact.ref]
    others = [*(one for one in dearer if one.ref != fact.ref), *(entry.fact for entry in entries)]
    tools = budgets.Further(one for one in others if isinstance(one, MemberFact))
    if standing:
        states = yield from _states(snapshot, change)
        for server in standing:
            yield from _excess(states, server, fact, tools, entries, ())
    for entry, server in intended:
        # The state of a server that is intended replaces the one in the snapshot.
        states = yield from _states((yield from known.place(server)), change)
        yield from _excess(states, server, fact, tools, entries, (entry,))


def _states(base: Snapshot, change: Change) -> Steps[tuple[Snapshot, Snapshot]]:
    """The snapshot before and after a change."""
    former, new = (item.fact if item is not None else None for item in (change.old, change.new))
    before = yield from base.put_in_steps(former) if former is not None else base.drop_in_steps(change.ref)
    return before, (yield from before.put_in_steps(new)) if new is not None else before


def _excess(
    states: tuple[Snapshot, Snapshot],
    server: ServerFact,
    fact: Fact,
    tools: budgets.Further,
    entries: Iterable[Intent],
    because: Intents,
) -> Iterator[Breach | None]:
    """The budget of a server if it is exceeded, and by more than before."""
    before, after = states
    yield None
    over = yield from budgets.excess_in_steps(after, server, tools)
    if over and over > (yield from budgets.excess_in_steps(before, before.server(server.ref), tools)):
        causes: list[Intent] = []
        for entry in entries:
            yield None
            if isinstance(entry.fact, MemberFact) and _selects(server, entry.fact):
                causes.append(entry)
                if len(causes) == MAX_CAUSES:
                    break
        yield Breach((yield from budgets.exceeded_in_steps(after, server, fact.ref, over)), (*because, *causes))


def _same(one: Intent, other: Intent) -> bool:
    return (one.fact, one.uid, one.base) == (other.fact, other.uid, other.base)


def _clashes(
    snapshot: Snapshot, known: _Known, item: Object | None, *, binding: bool = False
) -> Iterator[Clash | None]:
    """The clashes of an object with all states of others; ``binding`` includes a server that is not Strict."""
    fact = item.fact if item is not None else None
    if isinstance(fact, MemberFact):
        yield from _of_member(snapshot, known, fact)
    elif fact is not None and (binding or _is_binding(fact)):
        yield from _of_server(known, fact)


def _of_member(snapshot: Snapshot, known: _Known, member: MemberFact) -> Iterator[Clash | None]:
    """The clashes of a member: with intended members on every server, and with known members on intended servers."""
    rivals: list[tuple[Intents, MemberFact]] = []
    intended: list[tuple[Intent, ServerFact]] = []
    for entry in known.concerning(member):
        yield None
        fact = entry.fact
        if isinstance(fact, ServerFact):
            if _is_binding(fact) and _selects(fact, member):
                intended.append((entry, fact))
        elif fact.ref != member.ref:
            rivals.append(((entry,), fact))
    if rivals:
        for ref in (yield from snapshot.selecting_in_steps(member.ref.kind, member.ref.namespace, member.labels)):
            server = snapshot.server(ref)
            if server is not None and _is_binding(server):
                yield from _with_rivals(server, member, rivals, ())
    if not intended:
        return
    claimants = yield from known.claimants(member.ref.namespace)
    others = {one.ref: one for claim in member.claims for one in claimants.get(claim, ()) if one.ref != member.ref}
    rivals += [((), one) for _, one in sorted(others.items())]
    for entry, server in intended:
        yield from _with_rivals(server, member, rivals, (entry,))


def _with_rivals(
    server: ServerFact, member: MemberFact, rivals: Iterable[tuple[Intents, MemberFact]], because: Intents
) -> Iterator[Clash | None]:
    """The clashes with rivals that a server selects. Each depends on the intents of the rival and on ``because``."""
    for entries, rival in rivals:
        yield None
        if _selects(server, rival):
            for claim in member.claims:
                if claim in rival.claims:
                    yield Clash(server.ref, claim, (rival.ref,), (*because, *entries))


def _of_server(known: _Known, server: ServerFact) -> Iterator[Clash | None]:
    """The clashes of a server: of intended members with known members, and among each other.

    For each claim of an intended member it finds one clash with a known and one with an intended member. When such a
    clash turns out to be none, the ledger is decided again.
    """
    earlier: dict[Claim, list[Intent]] = {}
    for entry in known.concerning(server):
        yield None
        fact = entry.fact
        if not isinstance(fact, MemberFact) or not _selects(server, fact):
            continue
        claimants = yield from known.claimants(fact.ref.namespace)
        for claim in fact.claims:
            yield None
            for one in claimants.get(claim, ()):
                yield None
                if one.ref != fact.ref and _selects(server, one):
                    yield Clash(server.ref, claim, (one.ref, fact.ref), (entry,))
                    break
            # Two different ones are enough to find another one for each.
            before = earlier.setdefault(claim, [])
            rival = next((each for each in before if each.fact.ref != fact.ref), None)
            if rival is not None:
                yield Clash(server.ref, claim, (rival.fact.ref, fact.ref), (rival, entry))
            if not before or (rival is not None and len(before) < 2):
                before.append(entry)


def _selects(server: ServerFact, member: MemberFact) -> bool:
    same = server.ref.namespace == member.ref.namespace
    return same and server.selector_of(member.ref.kind).matches(member.labels)
