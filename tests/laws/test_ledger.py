"""The protocol of Strict servers in every order of its steps: replicas lag, writes are lost, leases expire.

A write is read, answered, and lands or does not; between any two steps of one, any steps of the others may come. The
steps are the real ones: `integrity.judge` on what a replica has been shown, `ledger.decide` on the page that was read,
a compare-and-swap of the page, and the API server's own check that a write lands on the state it was admitted for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from crd import integrity
from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.integrity import Change
from crd.ledger import conflicts, intent
from crd.manifest import Object
from crd.ref import Kind, Ref
from crd.rules import names
from crd.selector import Operator, Requirement, Selector
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = intent.dump(())


class State(NamedTuple):
    """An object as the model has it: a tool by its label and its name, or a server by the labels it selects."""

    ref: Ref
    labels: tuple[str, ...]
    name: str = ""


class Stored(NamedTuple):
    state: State
    uid: str
    version: int


class Write(NamedTuple):
    """``new`` is None for a deletion; ``creates`` says that there must be nothing under the name."""

    replica: int
    ref: Ref
    new: State | None
    creates: bool = False


class Review(NamedTuple):
    """The progress of a write. ``page`` is the ledger as its replica read it, ``seen`` the objects read since."""

    phase: str = "waiting"
    old: Stored | None = None
    page: tuple[int, bytes] = (0, NOBODY)
    seen: tuple[tuple[Ref, Stored | None], ...] = ()


@dataclass(frozen=True)
class ClusterState:
    stored: tuple[Stored, ...]
    log: tuple[tuple[Ref, Stored | None, int], ...]
    shown: tuple[int, ...]
    reviews: tuple[Review, ...]
    page: tuple[int, bytes] = (0, NOBODY)
    ticks: int = 0

    def at(self, ref: Ref) -> Stored | None:
        return next((one for one in self.stored if one.state.ref == ref), None)

    def having(self, number: int, review: Review, **changes: object) -> ClusterState:
        reviews = (*self.reviews[:number], review, *self.reviews[number + 1 :])
        return replace(self, reviews=reviews, **changes)  # type: ignore[arg-type]


def ref(kind: Kind, name: str) -> Ref:
    return Ref(kind, "shop", name)


MAIN = ref(Kind.SERVER, "main")
A, B, C = (ref(Kind.TOOL, name) for name in "abc")


def tool(where: Ref, name: str, label: str = "in") -> State:
    return State(where, (label,), name)


def server(*labels: str) -> State:
    return State(MAIN, labels)


@cache
def item(state: State, uid: str, version: int | None) -> Object:
    metadata = {"uid": uid} | ({"resourceVersion": str(version)} if version is not None else {})
    fact: MemberFact | ServerFact
    if state.ref.kind is Kind.SERVER:
        wanted = Requirement("app", Operator.IN, frozenset(state.labels))
        fact = ServerFact(state.ref, Selector((wanted,)), strict=True, uid=uid)
    else:
        claims = (Claim(Space.TOOL_NAME, state.name),)
        fact = MemberFact(state.ref, {"app": state.labels[0]}, uid, "", claims, ())
    return Object(state.ref, {"metadata": metadata}, None, fact)


def seen(stored: Stored | None) -> Object | None:
    return item(*stored) if stored is not None else None


@cache
def snapshot(log: tuple[tuple[Ref, Stored | None, int], ...]) -> Snapshot:
    if not log:
        return Snapshot()
    before, (where, stored, _) = snapshot(log[:-1]), log[-1]
    found = seen(stored)
    return before.put(found.fact) if found is not None and found.fact is not None else before.drop(where)


@cache
def intents(page: bytes) -> conflicts.Intents:
    return intent.load(page)


class Model:
    """``cached``: the API server may send a stale object for review; it detects that when it stores the write."""

    def __init__(self, there: list[State], writes: list[Write], *, keeping: bool = True, cached: bool = False) -> None:
        self.writes = writes
        self.keeping = keeping
        self.cached = cached
        stored = tuple(Stored(state, f"old-{state.ref.name}", number) for number, state in enumerate(there, 1))
        log = tuple((one.state.ref, one, 0) for one in stored)
        self.first = ClusterState(stored, log, (len(log), len(log)), (Review(),) * len(writes))

    def explore(self) -> set[ClusterState]:
        """Every state of the cluster that can follow."""
        found, todo = {self.first}, [self.first]
        while todo:
            for cluster in self.steps(todo.pop()):
                if cluster not in found:
                    found.add(cluster)
                    todo.append(cluster)
        return found

    def steps(self, cluster: ClusterState) -> Iterator[ClusterState]:
        for number, review in enumerate(cluster.reviews):
            match review.phase:
                case "waiting" | "refetched" as phase:
                    yield from self._asked(cluster, number, cached=self.cached and phase == "waiting")
                case "asked":
                    yield self._answered(cluster, number, review)
                case "admitted":
                    yield self._landed(cluster, number, review)
                    yield cluster.having(number, Review("lost"))
        for replica, count in enumerate(cluster.shown):
            if count < len(cluster.log):
                shown = (*cluster.shown[:replica], count + 1, *cluster.shown[replica + 1 :])
                yield replace(cluster, shown=shown)
        if cluster.ticks < 3 and self._time_may_pass(cluster):
            yield replace(cluster, ticks=cluster.ticks + 1)

    def _time_may_pass(self, cluster: ClusterState) -> bool:
        """A lease expires only when no write is in flight and no answering replica is two leases behind."""
        behind = (cluster.log[count:] for count in cluster.shown)
        late = any(tick < cluster.ticks for rest in behind for _, _, tick in rest)
        return not late and not any(review.phase in ("asked", "admitted") for review in cluster.reviews)

    def _asked(self, cluster: ClusterState, number: int, *, cached: bool = False) -> Iterator[ClusterState]:
        write, stored = self.writes[number], cluster.at(self.writes[number].ref)
        if write.creates:
            yield cluster.having(number, Review("asked", None, cluster.page))
        elif stored is not None:
            earlier = {old for where, old, _ in cluster.log if where == write.ref and old is not None}
            for old in earlier if cached else {stored}:
                yield cluster.having(number, Review("asked", old, cluster.page))

    def _answered(self, cluster: ClusterState, number: int, review: Review) -> ClusterState:
        write, now = self.writes[number], self._now(cluster)
        known = snapshot(cluster.log[: cluster.shown[write.replica]])
        change = self._change(number, review)
        if not integrity.judge(known, change).allowed:
            return cluster.having(number, Review("refused"))
        if not self.keeping:
            return cluster.having(number, review._replace(phase="admitted"))
        if change.new is None:
            version, page = cluster.page
            marked = intent.dump(conflicts.landed(intents(page), review.old.uid if review.old else ""))
            return cluster.having(number, Review("admitted", review.old), page=(version + 1, marked))
        looked = {where: seen(stored) for where, stored in review.seen}
        outcome = conflicts.decide(known, conflicts.settled(intents(review.page[1]), looked, now), change, now)
        if isinstance(outcome, conflicts.Conflict):
            unseen = sorted(outcome.involved(write.ref) - looked.keys())
            if not unseen:
                return cluster.having(number, Review("refused"))
            sightings = (*review.seen, *((where, cluster.at(where)) for where in unseen))
            return cluster.having(number, review._replace(seen=sightings))
        if cluster.page[0] != review.page[0]:
            return cluster.having(number, review._replace(page=cluster.page, seen=()))
        written = (cluster.page[0] + 1, intent.dump(outcome.intents))
        return cluster.having(number, Review("admitted", review.old), page=written)

    def _landed(self, cluster: ClusterState, number: int, review: Review) -> ClusterState:
        """The API server stores a write only if the object has not changed since the review, and else asks again."""
        write = self.writes[number]
        if cluster.at(write.ref) != review.old:
            return cluster.having(number, Review("lost" if write.creates else "refetched"))
        uid = review.old.uid if review.old else f"new-{number}"
        stored = Stored(write.new, uid, len(cluster.log) + 1) if write.new is not None else None
        rest = tuple(one for one in cluster.stored if one.state.ref != write.ref)
        now = tuple(sorted((*rest, stored))) if stored is not None else rest
        log = (*cluster.log, (write.ref, stored, cluster.ticks))
        return cluster.having(number, Review("stored"), stored=now, log=log)

    def _change(self, number: int, review: Review) -> Change:
        write = self.writes[number]
        uid = review.old.uid if review.old else f"new-{number}"
        return Change(write.ref, seen(review.old), item(write.new, uid, None) if write.new is not None else None)

    def _now(self, cluster: ClusterState) -> float:
        return cluster.ticks * (intent.LEASE + 1)


@cache
def served_twice(stored: tuple[Stored, ...]) -> bool:
    there = snapshot(tuple((one.state.ref, one, 0) for one in stored))
    holders = there.view(MAIN).claimants
    return any(True for claim in holders for _ in names.duplicates(there, MAIN, claim))


def create(replica: int, state: State) -> Write:
    return Write(replica, state.ref, state, creates=True)


def update(replica: int, state: State) -> Write:
    return Write(replica, state.ref, state)


def delete(replica: int, where: Ref) -> Write:
    return Write(replica, where, None)


SCENARIOS = {
    "two tools of one name": ([server("in")], [create(0, tool(A, "x")), create(1, tool(B, "x"))]),
    "three tools of one name": (
        [server("in")],
        [create(0, tool(A, "x")), create(1, tool(B, "x")), create(0, tool(C, "x"))],
    ),
    "a rename, and two that want the old and the new name": (
        [server("in"), tool(A, "x")],
        [update(0, tool(A, "y")), create(1, tool(B, "x")), create(1, tool(C, "y"))],
    ),
    "two renames of one tool, and one that wants the first of them": (
        [server("in"), tool(A, "x")],
        [update(0, tool(A, "y")), update(1, tool(A, "z")), create(0, tool(B, "y"))],
    ),
    "a selector that widens while a tool comes": (
        [server("in"), tool(A, "x")],
        [update(0, server("in", "out")), create(1, tool(B, "x", "out"))],
    ),
    "a selector that widens while two tools come": (
        [server("in")],
        [update(0, server("in", "out")), create(1, tool(A, "x", "out")), create(0, tool(B, "x", "in"))],
    ),
    "a label that moves a tool under the server": (
        [server("in"), tool(A, "x", "out")],
        [update(0, tool(A, "x", "in")), create(1, tool(B, "x")), update(1, server("in", "more"))],
    ),
    "a deletion, and one that wants the name": (
        [server("in"), tool(A, "x")],
        [delete(0, A), create(1, tool(B, "x")), create(0, tool(A, "x"))],
    ),
    "a tool that comes and goes, and one that wants its name": (
        [server("in")],
        [create(0, tool(A, "x")), delete(1, A), create(1, tool(B, "x"))],
    ),
    "a tool that makes way for one of its own name, and one that wants what that will serve": (
        [server("in"), tool(A, "y")],
        [delete(0, A), create(1, tool(A, "x")), create(0, tool(B, "x"))],
    ),
    "two that swap their names": (
        [server("in"), tool(A, "x"), tool(B, "y")],
        [update(0, tool(A, "z")), update(1, tool(B, "x")), update(0, tool(A, "y"))],
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_order_of_steps_stores_a_name_twice(scenario: str) -> None:
    states = Model(*SCENARIOS[scenario]).explore()

    assert [cluster for cluster in states if served_twice(cluster.stored)] == []


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if "rename" in name])
def test_no_order_stores_a_name_twice_with_stale_reviews(scenario: str) -> None:
    states = Model(*SCENARIOS[scenario], cached=True).explore()

    assert [cluster for cluster in states if served_twice(cluster.stored)] == []


@pytest.mark.parametrize("scenario", ["two tools of one name", "a selector that widens while a tool comes"])
def test_without_the_ledger_some_order_stores_a_name_twice(scenario: str) -> None:
    states = Model(*SCENARIOS[scenario], keeping=False).explore()

    assert any(served_twice(cluster.stored) for cluster in states)


@pytest.mark.parametrize("scenario", ["two tools of one name", "three tools of one name"])
def test_one_write_is_always_admitted_unless_it_is_lost(scenario: str) -> None:
    for cluster in Model(*SCENARIOS[scenario]).explore():
        phases = {review.phase for review in cluster.reviews}
        assert phases != {"refused"}


def test_a_name_is_free_once_its_object_is_deleted() -> None:
    model = Model(*SCENARIOS["a tool that comes and goes, and one that wants its name"])
    states = [
        cluster
        for cluster in model.explore()
        if [review.phase for review in cluster.reviews] == ["stored", "stored", "waiting"]
        and cluster.shown[1] == len(cluster.log)
    ]
    assert states
    for cluster in states:
        (step,) = model._asked(cluster, 2)
        while step.reviews[2].phase == "asked":
            step = model._answered(step, 2, step.reviews[2])
        assert step.reviews[2].phase == "admitted"


def test_a_lost_write_releases_its_name_when_its_lease_expires() -> None:
    there, writes = SCENARIOS["two tools of one name"]
    states = Model(there, writes).explore()

    ends = {tuple(review.phase for review in cluster.reviews) for cluster in states if cluster.ticks}
    assert ("lost", "stored") in ends
    assert ("lost", "refused") in {tuple(review.phase for review in cluster.reviews) for cluster in states}
