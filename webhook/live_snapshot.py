"""The snapshot that the webhook judges by: what the watches show, and what it admitted and no watch has shown yet.

Two requests a moment apart must see each other, although a watch reports the first only later. So every admitted write
counts at once, until a watch or a read shows what became of it, or until it can no longer be stored. Of an object with
writes on their way the snapshot holds the last one; what else the object may turn out to be are its `alternatives`.

A judgement that takes long is made by a snapshot that is not the `current` one any more at its end. So the last objects
that moved are remembered, and `moves_since` tells what differs.
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.informers.versions import Version
    from crd.facts import Fact
    from crd.integrity import Change
    from crd.manifest import Object

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
    """``monotonic`` gives seconds. No method waits. `current` is another object after each change of it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        # What the operator may not list, Secrets above all, it cannot say to be missing.
        self._settled = Snapshot().mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
        self._arrived: dict[Ref, Fact] = {}
        self._monotonic = monotonic
        self._pending: OrderedDict[Ref, list[_Pending]] = OrderedDict()
        # Below the pending writes: the last state shown of these objects.
        self._shown: dict[Ref, Fact | None] = {}
        # By namespace; those of servers with an Ingress also together, because others may have the same host.
        self._alternatives: dict[str, dict[Ref, list[MemberFact | ServerFact]]] = {}
        self._reachable: dict[Ref, list[ServerFact]] = {}
        self._dearer: dict[str, dict[Ref, list[MemberFact]]] = {}
        self._sightings: OrderedDict[Ref, Sighting] = OrderedDict()
        self._moved: deque[Ref] = deque(maxlen=MOVES)
        self._moves = 0

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
        if not pending:
            snapshot = self._snapshot
            shown = self._shown[ref] = snapshot.get(ref)
            if shown is None and placed is not None and placed[0] is snapshot:
                # The common case, a new object: the snapshot with it was made to judge it.
                self._pending[ref] = [entry]
                self._settled = placed[1]
                self._moves += 1
                self._moved.append(ref)
                return
        # A retry of the same write takes the place of the former one; others may land before it.
        others = [one for one in pending if not _repeats(one, entry)]
        self._settle(ref, [*others, entry], placed)

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

    @property
    def _snapshot(self) -> Snapshot:
        if self._arrived:
            self._settled = self._settled.put_all(self._arrived.values())
            self._arrived = {}
        return self._settled

    def _note_move(self, ref: Ref) -> None:
        self._moves += 1
        self._moved.append(ref)

    def _put(self, ref: Ref, fact: Fact | None) -> None:
        """Change the snapshot. While a list is read nobody looks at it, and many facts at once take less time."""
        self._note_move(ref)
        if fact is None:
            self._settled = self._snapshot.drop(ref)
            return
        self._arrived[ref] = fact
        if len(self._arrived) >= ARRIVED:
            self._settled = self._snapshot

    def _remember(self, ref: Ref, sighting: Sighting) -> None:
        self._sightings.pop(ref, None)
        self._sightings[ref] = sighting
        if len(self._sightings) > SIGHTINGS:
            self._sightings.popitem(last=False)

    def _show(self, ref: Ref, fact: Fact | None, remaining: list[_Pending]) -> None:
        """The object has this state, and these writes of it may still be stored."""
        if ref in self._pending:
            self._shown[ref] = fact
            self._settle(ref, remaining)
        else:
            self._put(ref, fact)

    def _settle(self, ref: Ref, remaining: list[_Pending], placed: tuple[Snapshot, Snapshot] | None = None) -> None:
        """Of the writes of an object, these may still be stored. ``placed`` is as for `expect`."""
        if not remaining:
            self._pending.pop(ref, None)
            self._keep_alternatives(ref, [], [])
            fact = self._shown.pop(ref, None)
            self._put(ref, fact)
            return
        self._pending[ref] = remaining
        shown = self._shown[ref]
        states = [*([shown] if isinstance(shown, MemberFact | ServerFact) else ()), *(one.fact for one in remaining)]
        # A creation where there is an object has to wait until that is gone: it is the less likely state.
        first = states.pop() if remaining[-1].base or shown is None else states.pop(0)
        known = [_without_tokens(first)]
        others, dearer = [], []
        for fact in states:
            essence = _without_tokens(fact)
            if essence not in known:
                known.append(essence)
                others.append(fact)
            if isinstance(fact, MemberFact) and isinstance(first, MemberFact) and _may_be_dearer(fact, first):
                dearer.append(fact)
        self._keep_alternatives(ref, others, dearer)
        if placed is not None and placed[0] is self._snapshot and placed[1].get(ref) == first:
            # To put it again could take long: a server may select thousands of objects.
            self._settled = placed[1]
            self._note_move(ref)
        else:
            self._put(ref, first)

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
