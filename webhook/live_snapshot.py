"""The snapshot that the webhook judges by: what the watches show, and what it admitted and no watch has shown yet.

Two requests a moment apart must see each other, although a watch reports the first only later. So every admitted write
counts at once, until a watch or a read shows what became of it, or until it can no longer be stored. Of an object with
writes on their way the snapshot holds the last one; what else the object may turn out to be are its `alternatives`.

A judgement that takes long is made by a snapshot that is not the `current` one any more at its end. So the last objects
that moved are remembered, and `moves_since` tells what differs.

What is learned of an object may concern thousands of others: a tool that so many servers select, or a server that
selects so many tools. Then it is late: its state in the snapshot, and its `alternatives`, stay those from before until
`place_late` has made the new snapshot in steps, and change together. To who judges, it is as if the watch had shown it
later. What is admitted meanwhile is in both.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from cluster.informers import versions
from crd.facts import MemberFact, ServerFact
from crd.integrity import Moves
from crd.ledger import intent
from crd.ledger.intent import Intent
from crd.ledger.page import Sighting
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cluster.informers.versions import Version
    from crd.facts import Fact
    from crd.integrity import Change
    from crd.manifest import Object
    from crd.steps import Steps

T = TypeVar("T")

__all__ = [
    "KEEP_SECONDS",
    "LANDING_SECONDS",
    "MOVES",
    "WRITES",
    "LiveSnapshot",
]

# How long an admitted write can still be stored: the API server gives up on a request after 60 s.
LANDING_SECONDS = 65.0
# How long it counts at most where neither a watch nor a read has shown what became of it.
KEEP_SECONDS = 180.0
# Of so many objects the last sighting is remembered, and of so many objects' writes that they were admitted.
SIGHTINGS = 16384
PENDING = 16384
# So many writes of one object may be on their way; each review of the namespace looks at the states it may have.
WRITES = 8
# So many facts wait at most until they are put into the snapshot together, which takes some milliseconds.
ARRIVED = 200
# So many moves of objects are remembered.
MOVES = 4096
# A change of the snapshot that looks at more servers or members is made in steps, and facts that arrive are not put
# together if they look at more in all.
QUICK, QUICK_TOGETHER = 200, 400
# So many objects of a namespace are placed together.
TOGETHER = 256
# What moves while objects are placed is placed too, and what moves meanwhile. After so many times no more pauses are
# made, so that it comes to an end.
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class _Pending:
    """An admitted write of which nobody has shown what became of it. The others are as in an `Intent`."""

    fact: MemberFact | ServerFact
    uid: str
    base: str
    at: float

    @property
    def intent(self) -> Intent:
        """It as it stands in a ledger."""
        return Intent(intent.essence(self.fact), self.uid, self.base, self.at)


class LiveSnapshot:
    """``monotonic`` gives seconds. No method waits. `current` is another object after each change of it.

    What is late is in `_late`, by namespace. `_shown` has the last state shown of these objects too, and of those with
    pending writes.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        # What the operator may not list, Secrets above all, it cannot say to be missing.
        self._settled = Snapshot().mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
        self._arrived: dict[Ref, Fact] = {}
        self._monotonic = monotonic
        self._pending: OrderedDict[Ref, list[_Pending]] = OrderedDict()
        # Below the pending writes, and what is late: the last state shown of these objects.
        self._shown: dict[Ref, Fact | None] = {}
        # By namespace; those of servers with an Ingress also together, because others may have the same host.
        self._alternatives: dict[str, dict[Ref, list[MemberFact | ServerFact]]] = {}
        self._reachable: dict[Ref, list[ServerFact]] = {}
        self._dearer: dict[str, dict[Ref, list[MemberFact]]] = {}
        self._sightings: OrderedDict[Ref, Sighting] = OrderedDict()
        self._moved: deque[Ref] = deque(maxlen=MOVES)
        self._moves = 0
        self._wake: Callable[[], None] | None = None
        self._late: dict[str, dict[Ref, None]] = {}
        # What moved since the snapshot was taken that `place_late` works on; None while it does not.
        self._moved_meanwhile: dict[Ref, None] | None = None
        self._arrived_extent = 0

    @property
    def current(self) -> Snapshot:
        """The snapshot as of now."""
        while self._pending:
            ref, pending = next(iter(self._pending.items()))
            if len(self._pending) <= PENDING and self._monotonic() - pending[-1].at <= KEEP_SECONDS:
                break
            self._settle(ref, [])
        return self._snapshot

    @property
    def moves(self) -> int:
        """How often an object moved until now: its state in the snapshot, or another one that it may have."""
        return self._moves

    def moves_since(self, moves: int, former: Snapshot) -> Moves | None:
        """What moved since there were so many moves, from the snapshot of that time; None if not all is remembered."""
        count = self._moves - moves
        if count > len(self._moved):
            return None
        current = self.current
        refs = dict.fromkeys(islice(reversed(self._moved), self._moves - moves))
        return Moves(tuple((former.get(ref), current.get(ref)) for ref in refs))

    def now(self) -> float:
        """The time by which admitted writes age, in seconds."""
        return self._monotonic()

    def alternatives(self, change: Change) -> list[MemberFact | ServerFact]:
        """Further states that objects may turn out to have which a change could be in the way of.

        They are those of its namespace; for a server with an Ingress also those of such servers elsewhere.
        """
        namespace, new = change.ref.namespace, change.new.fact if change.new is not None else None
        found = [fact for facts in self._alternatives.get(namespace, {}).values() for fact in facts]
        if isinstance(new, ServerFact) and new.ways_in is not None:
            found += [f for ref, facts in self._reachable.items() if ref.namespace != namespace for f in facts]
        return found

    def is_crowded(self, ref: Ref) -> bool:
        """Whether as many writes of an object are on their way as may be."""
        return len(self._pending.get(ref, ())) >= WRITES

    def dearer(self, namespace: str) -> list[MemberFact]:
        """States of tools of a namespace that count more against some budget than the state in the snapshot."""
        return [fact for facts in self._dearer.get(namespace, {}).values() for fact in facts]

    def expect(self, change: Change, placed: tuple[Snapshot, Snapshot] | None = None) -> None:
        """This write was admitted. ``placed`` is `current` without and with it, where that is known already."""
        new, old, ref = change.new, change.old, change.ref
        if new is None or new.fact is None:
            return
        base = str(old.metadata.get("resourceVersion") or "") if old is not None else ""
        entry = _Pending(new.fact, str(new.metadata.get("uid") or ""), base, self._monotonic())
        pending = self._pending.pop(ref, [])
        if not pending and not (self._late and self._is_late(ref)):
            snapshot = self._snapshot
            shown = self._shown[ref] = snapshot.get(ref)
            if shown is None and placed is not None and placed[0] is snapshot:
                # The common case, a new object: the snapshot with it was made to judge it.
                self._pending[ref] = [entry]
                self._settled = placed[1]
                self._moves += 1
                self._moved.append(ref)
                if self._moved_meanwhile is not None:
                    self._moved_meanwhile[ref] = None
                return
        # A retry of the same write takes the place of the former one; others may land before it.
        others = [one for one in pending if not _repeats(one, entry)]
        self._settle(ref, [*others, entry], placed)
        if self._is_late(ref):
            # Unlike what a watch shows, this counts at once: beside the state that is in the snapshot still.
            self._add_alternative(ref, entry.fact)

    def note_stored(self, ref: Ref, uid: str, resource_version: str) -> None:
        """An object of this uid is stored at this version, as a review of its deletion says."""
        version = _version(resource_version)
        pending = self._pending.get(ref, [])
        decided = [one for one in pending if _was_decided(one, version, uid)]
        if decided:
            self._show(ref, decided[-1].fact, [one for one in pending if one not in decided])

    def pending_since(self, ref: Ref) -> float | None:
        """Seconds since the last write of an object was admitted that nobody has seen stored; None without one."""
        pending = self._pending.get(ref)
        return self._monotonic() - pending[-1].at if pending else None

    def observe(self, ref: Ref, fact: Fact, version: Version | None = None, uid: str = "") -> None:
        """The informers have this state now."""
        self._remember(ref, Sighting(version, uid))
        self._show(ref, fact, [one for one in self._pending.get(ref, ()) if not _was_decided(one, version, uid)])

    def observe_deletion(self, ref: Ref, version: Version | None = None, uid: str = "") -> None:
        """The informers have nothing now where the object of this uid was."""
        self._remember(ref, Sighting(version, uid))
        self._show(ref, None, [one for one in self._pending.get(ref, ()) if not _was_ended(one, version, uid)])

    def resolve(self, ref: Ref, stored: Object | None, begun: float) -> None:
        """A read that was ``begun`` at this time found this, None where there is no object.

        What was admitted before and cannot be stored any more counts no longer.
        """
        now = self._monotonic()
        pending = self._pending.get(ref, [])
        remaining = [one for one in pending if one.at > begun or _may_land(one, stored, now)]
        if len(remaining) < len(pending):
            self._settle(ref, remaining)

    def sighting(self, ref: Ref) -> Sighting | None:
        """What a watch showed last of an object, if that was not long ago."""
        return self._sightings.get(ref)

    def spread(self, wake: Callable[[], None] | None) -> None:
        """From now on, have ``wake`` called when something is late; with None, nothing is late any more."""
        self._wake = wake
        self._settled = self._snapshot
        if wake is None:
            self._moved_meanwhile = None
            finish(self.place_late())

    def place_late(self) -> Steps[bool]:
        """Put what is late into the snapshot, in steps. Namespaces take turns. Not to be begun twice."""
        while self._late:
            namespace = next(iter(self._late))
            yield from self._place_some(namespace)
            if namespace in self._late:
                self._late[namespace] = self._late.pop(namespace)
        return True

    def is_behind(self, namespace: str) -> bool:
        """Whether anything of a namespace is late."""
        return namespace in self._late

    def is_late(self, refs: Iterable[Ref]) -> bool:
        """Whether the snapshot has yet to show what is known of one of these objects."""
        return bool(self._late) and any(map(self._is_late, refs))

    def _is_late(self, ref: Ref) -> bool:
        return ref in self._late.get(ref.namespace, ())

    def _place_some(self, namespace: str) -> Steps[None]:
        batch = frozenset(islice(self._late[namespace], TOGETHER))
        snapshot, rounds = self._snapshot, 0
        moved: Iterable[Ref] = sorted(batch)
        while moved:
            self._moved_meanwhile = {}
            placing = self._place(snapshot, moved, batch)
            snapshot = (yield from placing) if rounds < ROUNDS else finish(placing)
            moved, rounds = self._moved_meanwhile, rounds + 1
        # From here on there is no pause, and nothing moved since the last one.
        self._moved_meanwhile = None
        self._settled = snapshot
        for ref in filter(self._is_late, sorted(batch)):
            _, others, dearer = self._states(ref)
            self._end_lateness(ref, others, dearer)
            self._note_move(ref)

    def _place(self, snapshot: Snapshot, refs: Iterable[Ref], late: frozenset[Ref]) -> Steps[Snapshot]:
        """The snapshot with the present state of these objects, of which ``late`` ones are still to be placed."""
        current = self._snapshot
        facts = []
        for ref in refs:
            yield
            fact = self._states(ref)[0] if ref in late and self._is_late(ref) else current.get(ref)
            if fact is None:
                snapshot = yield from snapshot.drop_in_steps(ref)
            else:
                facts.append(fact)
        return (yield from snapshot.put_all_in_steps(facts))

    @property
    def _snapshot(self) -> Snapshot:
        if self._arrived:
            self._settled = self._settled.put_all(self._arrived.values())
            self._arrived = {}
            self._arrived_extent = 0
        return self._settled

    def _note_move(self, ref: Ref) -> None:
        self._moves += 1
        self._moved.append(ref)
        if self._moved_meanwhile is not None:
            self._moved_meanwhile[ref] = None

    def _put(self, ref: Ref, fact: Fact | None, extent: int) -> None:
        """Change the snapshot. While a list is read nobody looks at it, and many facts at once take less time."""
        self._note_move(ref)
        if fact is None:
            self._settled = self._snapshot.drop(ref)
            return
        self._arrived[ref] = fact
        self._arrived_extent += extent
        if len(self._arrived) >= ARRIVED or self._arrived_extent > QUICK_TOGETHER:
            self._settled = self._snapshot

    def _extent(self, ref: Ref, fact: Fact | None) -> int:
        """How much `_put` has to look at, if that matters."""
        if self._wake is None:
            return 0
        # How much a member has to look at depends on the servers that are there.
        snapshot = self._snapshot if isinstance(fact, ServerFact) else self._settled
        return snapshot.extent(ref, fact)

    def _remember(self, ref: Ref, sighting: Sighting) -> None:
        self._sightings.pop(ref, None)
        self._sightings[ref] = sighting
        if len(self._sightings) > SIGHTINGS:
            self._sightings.popitem(last=False)

    def _show(self, ref: Ref, fact: Fact | None, remaining: list[_Pending]) -> None:
        """The object has this state, and these writes of it may still be stored."""
        if ref in self._pending or self._wake is not None:
            self._shown[ref] = fact
            self._settle(ref, remaining)
        else:
            self._put(ref, fact, 0)

    def _settle(self, ref: Ref, remaining: list[_Pending], placed: tuple[Snapshot, Snapshot] | None = None) -> None:
        """Of the writes of an object, these may still be stored. ``placed`` is as for `expect`."""
        if remaining:
            self._pending[ref] = remaining
        else:
            self._pending.pop(ref, None)
        first, others, dearer = self._states(ref)
        if placed is not None and placed[0] is self._snapshot and placed[1].get(ref) == first:
            # To put it again could take long: a server may select thousands of objects.
            self._settled = placed[1]
            self._note_move(ref)
        elif (extent := self._extent(ref, first)) <= QUICK or self._wake is None:
            self._put(ref, first, extent)
        else:
            self._late.setdefault(ref.namespace, {})[ref] = None
            if self._moved_meanwhile is not None:
                self._moved_meanwhile[ref] = None
            self._wake()
            return
        self._end_lateness(ref, others, dearer)

    def _states(self, ref: Ref) -> tuple[Fact | None, list[MemberFact | ServerFact], list[MemberFact]]:
        """The state of an object for the snapshot, the others that it may have, and the `dearer` ones of these."""
        shown, pending = self._shown[ref], self._pending.get(ref)
        if not pending:
            return shown, [], []
        states = [*([shown] if isinstance(shown, MemberFact | ServerFact) else ()), *(one.fact for one in pending)]
        # A creation where there is an object has to wait until that is gone: it is the less likely state.
        first = states.pop() if pending[-1].base or shown is None else states.pop(0)
        known = [_without_tokens(first)]
        others, dearer = [], []
        for fact in states:
            essence = _without_tokens(fact)
            if essence not in known:
                known.append(essence)
                others.append(fact)
            if isinstance(fact, MemberFact) and isinstance(first, MemberFact) and _may_be_dearer(fact, first):
                dearer.append(fact)
        return first, others, dearer

    def _end_lateness(self, ref: Ref, others: list[MemberFact | ServerFact], dearer: list[MemberFact]) -> None:
        """The snapshot has the state that is known of an object, and these are the others that it may have."""
        self._keep_alternatives(ref, others, dearer)
        if ref not in self._pending:
            self._shown.pop(ref, None)
        late = self._late.get(ref.namespace, {})
        if late.pop(ref, ref) is None and not late:
            del self._late[ref.namespace]

    def _add_alternative(self, ref: Ref, fact: MemberFact | ServerFact) -> None:
        """An object may have this state too."""
        others = self._alternatives.get(ref.namespace, {}).get(ref, [])
        dearer = self._dearer.get(ref.namespace, {}).get(ref, [])
        standing = self._snapshot.member(ref)
        if isinstance(fact, MemberFact) and fact.tokens and (standing is None or _may_be_dearer(fact, standing)):
            dearer = [*dearer, fact]
        self._keep_alternatives(ref, [*others, fact], dearer)
        self._note_move(ref)

    def _keep_alternatives(self, ref: Ref, facts: list[MemberFact | ServerFact], dearer: list[MemberFact]) -> None:
        _keep(self._alternatives, ref.namespace, ref, facts)
        _keep(self._dearer, ref.namespace, ref, dearer)
        reachable = [fact for fact in facts if isinstance(fact, ServerFact) and fact.ways_in is not None]
        if reachable:
            self._reachable[ref] = reachable
        else:
            self._reachable.pop(ref, None)


def _keep(kept: dict[str, dict[Ref, list[T]]], where: str, ref: Ref, facts: list[T]) -> None:
    by_ref = kept.setdefault(where, {})
    by_ref.pop(ref, None)
    if facts:
        by_ref[ref] = facts
    if not by_ref:
        del kept[where]


def _may_be_dearer(fact: MemberFact, first: MemberFact) -> bool:
    return fact.tokens > first.tokens or (fact.tokens > 0 and fact.labels != first.labels)


def _without_tokens(fact: MemberFact | ServerFact) -> MemberFact | ServerFact:
    """The essence of a state, but for the tokens: most writes change these, and no other object of one name."""
    essence = intent.essence(fact)
    return replace(essence, tokens=0) if isinstance(essence, MemberFact) else essence


def _repeats(one: _Pending, other: _Pending) -> bool:
    if one.base != other.base or (one.base and one.uid != other.uid):
        return False
    return intent.essence(one.fact) == intent.essence(other.fact)


def _may_land(entry: _Pending, stored: Object | None, now: float) -> bool:
    """Whether a write may still be stored on this state. A creation is refused for good where there is an object."""
    return intent.can_land(entry.intent, stored, now, LANDING_SECONDS) and (bool(entry.base) or stored is None)


def _was_decided(entry: _Pending, version: Version | None, uid: str) -> bool:
    """Whether a write has been stored, or cannot be any more, once its object was seen at this version."""
    if entry.base:
        base = _version(entry.base)
        return version is not None and version != base and not (base is not None and versions.is_older(version, base))
    return not entry.uid or entry.uid == uid


def _was_ended(entry: _Pending, version: Version | None, uid: str) -> bool:
    """Whether a write was stored, or cannot be any more, once this uid was seen deleted at this version."""
    if entry.base:
        base = _version(entry.base)
        return version is None or base is None or not versions.is_older(version, base)
    return bool(entry.uid) and entry.uid == uid


def _version(text: str) -> Version | None:
    return versions.parse(text) if text else None
