"""The protocol of Strict servers, in every order of its steps: replicas lag, writes are lost, time goes by.

A write is read, answered, and lands or does not; between any two steps of one, any steps of the others may come. The
steps are the real ones: `integrity.judge` on what a replica has been shown, `crd.ledger` on the page that was read, for
one change or for two that wait together, a compare-and-swap of the page, and the API server's own check that a write
lands on the state it was admitted for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from crd import integrity
from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.integrity import Change
from crd.ledger import conflicts, intent, page
from crd.ledger.page import Page, Sighting
from crd.manifest import Object
from crd.ref import Kind, Ref
from crd.rules import budgets, clients, names
from crd.selector import Operator, Requirement, Selector
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = page.dump(Page())


class State(NamedTuple):
    """An object as the model has it: a tool by its label and its name, or a server by the labels it selects.

    ``tokens`` are those of the tool, or the budget of the server, which is 0 if it has none. ``client`` is one that
    cannot use the tool, or that the server names.
    """

    ref: Ref
    labels: tuple[str, ...]
    name: str = ""
    tokens: int = 0
    client: str = ""


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
    """Where a write is. ``page`` is the ledger that its replica has read, ``seen`` what it looked at since, when."""

    phase: str = "waiting"
    old: Stored | None = None
    page: tuple[int, bytes] = (0, NOBODY)
    seen: tuple[tuple[Ref, Stored | None, int], ...] = ()


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


def tool(where: Ref, name: str, label: str = "in", tokens: int = 0, client: str = "") -> State:
    return State(where, (label,), name, tokens, client)


def server(*labels: str, budget: int = 0, client: str = "") -> State:
    return State(MAIN, labels, tokens=budget, client=client)


@cache
def item(state: State, uid: str, version: int | None) -> Object:
    metadata = {"uid": uid} | ({"resourceVersion": str(version)} if version is not None else {})
    fact: MemberFact | ServerFact
    if state.ref.kind is Kind.SERVER:
        wanted = Requirement("app", Operator.IN, frozenset(state.labels))
        named = (state.client,) if state.client else ()
        selector, budget = Selector((wanted,)), state.tokens or None
        fact = ServerFact(state.ref, selector, strict=True, uid=uid, budget=budget, clients=named)
    else:
        claims = (Claim(Space.TOOL_NAME, state.name),)
        labels = {"app": state.labels[0]}
        lacking = ((state.client, ("spec", "inputSchema"), "it is too deep"),) if state.client else ()
        fact = MemberFact(state.ref, labels, uid, "", claims, (), unsupported=lacking, tokens=state.tokens)
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
def read(text: bytes) -> Page:
    return page.load(text)


@cache
def sighting(log: tuple[tuple[Ref, Stored | None, int], ...], ref: Ref) -> Sighting | None:
    """What a replica that has been shown this much of the log saw last of an object."""
    uid = ""
    found = None
    for version, (where, stored, _) in enumerate(log, 1):
        if where == ref:
            uid = stored.uid if stored is not None else uid
            found = Sighting(version, uid)
    return found


@cache
def reached(log: tuple[tuple[Ref, Stored | None, int], ...], kind: Kind) -> int:
    return max((version for version, (where, _, _) in enumerate(log, 1) if where.kind is kind), default=0)


class Model:
    """``waiting``: replicas wait until they have seen what the ledger takes for known.

    ``cached``: the API server may ask about a state out of its cache; it finds out when the write is to land.
    """

    def __init__(
        self,
        there: list[State],
        writes: list[Write],
        *,
        keeping: bool = True,
        cached: bool = False,
        waiting: bool = True,
    ) -> None:
        self.writes = writes
        self.waiting = waiting
        self.keeping = keeping
        self.cached = cached
        stored = tuple(Stored(state, f"old-{state.ref.name}", number) for number, state in enumerate(there, 1))
        log = tuple((one.state.ref, one, 0) for one in stored)
        self.first = ClusterState(stored, log, (len(log), len(log)), (Review(),) * len(writes))

    def explore(self) -> set[ClusterState]:
        """Every state that can come."""
        found, todo = {self.first}, [self.first]
        while todo:
            for state in self.steps(todo.pop()):
                if state not in found:
                    found.add(state)
                    todo.append(state)
        return found

    def steps(self, state: ClusterState) -> Iterator[ClusterState]:
        for number, review in enumerate(state.reviews):
            match review.phase:
                case "waiting" | "refetched" as phase:
                    yield from self._asked(state, number, cached=self.cached and phase == "waiting")
                case "asked":
                    yield from self._answered(state, number, review)
                    yield from self._answered_together(state, number, review)
                case "admitted":
                    yield self._landed(state, number, review)
                    yield state.having(number, Review("lost"))
        for replica, count in enumerate(state.shown):
            if count < len(state.log):
                shown = (*state.shown[:replica], count + 1, *state.shown[replica + 1 :])
                yield replace(state, shown=shown)
        # Time may pass, a lease at once, when nothing is on its way; replicas may lag for as long as there is time.
        if state.ticks < 2 and not any(review.phase in ("asked", "admitted") for review in state.reviews):
            yield replace(state, ticks=state.ticks + 1)

    def _asked(self, state: ClusterState, number: int, *, cached: bool = False) -> Iterator[ClusterState]:
        write, stored = self.writes[number], state.at(self.writes[number].ref)
        if write.creates:
            yield state.having(number, Review("asked", None, state.page))
        elif stored is not None:
            earlier = {old for where, old, _ in state.log if where == write.ref and old is not None}
            for old in earlier if cached else {stored}:
                yield state.having(number, Review("asked", old, state.page))

    def _answered(self, state: ClusterState, number: int, review: Review) -> Iterator[ClusterState]:
        if self.keeping and self.writes[number].new is None:
            # The note of a deletion is written in the background, if it can be.
            version, text = state.page
            marked = page.dump(page.mark_stored(read(text), [review.old.uid] if review.old else []))
            yield state.having(number, Review("admitted", review.old))
            yield state.having(number, Review("admitted", review.old), page=(version + 1, marked))
        elif not self.keeping:
            known = snapshot(state.log[: state.shown[self.writes[number].replica]])
            passed = integrity.judge(known, self._change(number, review)).allowed
            yield state.having(number, review._replace(phase="admitted") if passed else Review("refused"))
        else:
            yield from self._decided(state, (number,))

    def _answered_together(self, state: ClusterState, number: int, review: Review) -> Iterator[ClusterState]:
        """With another one that waits for the same writer: one write of the ledger for both."""
        for other in range(number + 1, len(state.reviews)):
            beside = state.reviews[other]
            same = self.writes[other].replica == self.writes[number].replica and beside.page == review.page
            if same and beside.phase == "asked" and self.keeping and self.writes[other].new and self.writes[number].new:
                yield from self._decided(state, (number, other))

    def _decided(self, state: ClusterState, batch: tuple[int, ...]) -> Iterator[ClusterState]:
        """What a writer does with the changes that wait, as `webhook.ledger` does; nothing while it is behind."""
        reviews = {number: state.reviews[number] for number in batch}
        log, now = state.log[: state.shown[self.writes[batch[0]].replica]], self._now(state)
        version, text = reviews[batch[0]].page
        stored = read(text)
        if self.waiting and page.is_behind(stored, lambda kind: reached(log, kind)):
            return
        held = page.collect(stored, lambda ref: sighting(log, ref))
        looks = sorted((look for review in reviews.values() for look in review.seen), key=lambda look: look[2])
        looked = {where: seen(found) for where, found, _ in looks}
        unseen = {*page.list_overdue(held, now)} - looked.keys()
        known = snapshot(log)
        for where, _, when in looks:
            # A read goes into the informers, unless the watch has overtaken it.
            if all(where != shown for shown, _, _ in log[when:]):
                fact = looked[where].fact if looked[where] is not None else None  # type: ignore[union-attr]
                known = known.put(fact) if fact is not None else known.drop(where)
        changes = {number: self._change(number, review) for number, review in reviews.items()}
        for number, change in changes.items():
            if not integrity.judge(known, change).allowed:
                yield state.having(number, Review("refused"))
                return
            if not conflicts.concerns(known, change):
                yield state.having(number, Review("admitted", reviews[number].old))
                return
        if not unseen:
            overdue = {where: looked[where] for where in page.list_overdue(held, now)}
            held = page.resolve(held, overdue, now)
            intents = conflicts.drop_moot(held.intents, looked, now)
            intents, outcomes = conflicts.decide_all(known, intents, [(each, False) for each in changes.values()], now)
            for change, outcome in zip(changes.values(), outcomes, strict=True):
                if outcome is not None:
                    unseen |= outcome.involved(change.ref) - looked.keys()
        if unseen:
            for number, review in reviews.items():
                looks_now = (*review.seen, *((where, state.at(where), len(state.log)) for where in sorted(unseen)))
                state = state.having(number, review._replace(seen=looks_now))
            yield state
            return
        if None in outcomes:
            if state.page[0] != version:
                for number, review in reviews.items():
                    state = state.having(number, review._replace(page=state.page, seen=()))
                yield state
                return
            state = replace(state, page=(version + 1, page.dump(Page(intents, held.horizon))))
        for number, outcome in zip(batch, outcomes, strict=True):
            granted = outcome is None
            state = state.having(number, Review("admitted", reviews[number].old) if granted else Review("refused"))
        yield state

    def _landed(self, state: ClusterState, number: int, review: Review) -> ClusterState:
        """The API server stores a write only on the very state that it was admitted for, and else asks again."""
        write = self.writes[number]
        if state.at(write.ref) != review.old:
            return state.having(number, Review("lost" if write.creates else "refetched"))
        uid = review.old.uid if review.old else f"new-{number}"
        stored = Stored(write.new, uid, len(state.log) + 1) if write.new is not None else None
        rest = tuple(one for one in state.stored if one.state.ref != write.ref)
        now = tuple(sorted((*rest, stored))) if stored is not None else rest
        log = (*state.log, (write.ref, stored, state.ticks))
        return state.having(number, Review("stored"), stored=now, log=log)

    def _change(self, number: int, review: Review) -> Change:
        write = self.writes[number]
        uid = review.old.uid if review.old else f"new-{number}"
        return Change(write.ref, seen(review.old), item(write.new, uid, None) if write.new is not None else None)

    def _now(self, state: ClusterState) -> float:
        return state.ticks * (intent.LEASE + 1)


@cache
def served_twice(stored: tuple[Stored, ...]) -> bool:
    there = snapshot(tuple((one.state.ref, one, 0) for one in stored))
    holders = there.view(MAIN).claimants
    return any(True for claim in holders for _ in names.duplicates(there, MAIN, claim))


@cache
def exceeds_budget(stored: tuple[Stored, ...]) -> bool:
    there = snapshot(tuple((one.state.ref, one, 0) for one in stored))
    return budgets.excess(there, there.server(MAIN)) > 0


@cache
def lists_unsupported(stored: tuple[Stored, ...]) -> bool:
    there = snapshot(tuple((one.state.ref, one, 0) for one in stored))
    main = there.server(MAIN)
    assert main is not None
    members = map(there.member, there.view(MAIN).members)
    return any(True for member in members if member for _ in clients.portability_on_server(main, member))


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
    "a tool that leaves the ledger, and one that wants its name": (
        [server("in")],
        [create(0, tool(A, "x")), create(0, tool(C, "y")), create(1, tool(B, "x"))],
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
def test_whatever_the_order_no_name_is_ever_stored_twice(scenario: str) -> None:
    states = Model(*SCENARIOS[scenario]).explore()

    assert [state for state in states if served_twice(state.stored)] == []


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if "rename" in name])
def test_nor_when_the_api_server_asks_out_of_its_cache(scenario: str) -> None:
    states = Model(*SCENARIOS[scenario], cached=True).explore()

    assert [state for state in states if served_twice(state.stored)] == []


@pytest.mark.parametrize("scenario", ["two tools of one name", "a selector that widens while a tool comes"])
def test_without_the_ledger_some_order_stores_a_name_twice(scenario: str) -> None:
    states = Model(*SCENARIOS[scenario], keeping=False).explore()

    assert any(served_twice(state.stored) for state in states)


def test_nor_would_the_ledger_do_if_nobody_waited_for_its_horizon() -> None:
    states = Model(*SCENARIOS["a tool that leaves the ledger, and one that wants its name"], waiting=False).explore()

    assert any(served_twice(state.stored) for state in states)


def test_what_was_stored_leaves_the_ledger() -> None:
    states = Model(*SCENARIOS["a rename, and two that want the old and the new name"]).explore()

    assert any(
        [entry.fact.ref for entry in read(state.page[1]).intents] == [B]
        and all(review.phase in ("stored", "refused") for review in state.reviews[:2])
        for state in states
    )


@pytest.mark.parametrize("scenario", ["two tools of one name", "three tools of one name"])
def test_one_is_always_let_in_unless_it_is_lost(scenario: str) -> None:
    for state in Model(*SCENARIOS[scenario]).explore():
        phases = {review.phase for review in state.reviews}
        assert phases != {"refused"}


def test_a_name_is_free_as_soon_as_its_holder_was_deleted() -> None:
    model = Model(*SCENARIOS["a tool that comes and goes, and one that wants its name"])
    states = [
        state
        for state in model.explore()
        if [review.phase for review in state.reviews] == ["stored", "stored", "waiting"]
        and state.shown[1] == len(state.log)
    ]
    assert states
    for state in states:
        (step,) = model._asked(state, 2)
        while step.reviews[2].phase == "asked":
            (step,) = model._answered(step, 2, step.reviews[2])
        assert step.reviews[2].phase == "admitted"


def test_a_lost_write_gives_its_name_back_when_it_can_no_longer_land() -> None:
    there, writes = SCENARIOS["two tools of one name"]
    states = Model(there, writes).explore()

    ends = {tuple(review.phase for review in state.reviews) for state in states if state.ticks}
    assert ("lost", "stored") in ends
    assert ("lost", "refused") in {tuple(review.phase for review in state.reviews) for state in states}


BUDGETS = {
    "two tools of which one fits": (
        [server("in", budget=10)],
        [create(0, tool(A, "x", tokens=6)), create(1, tool(B, "y", tokens=6))],
    ),
    "three tools of which two fit": (
        [server("in", budget=10)],
        [create(0, tool(A, "x", tokens=5)), create(1, tool(B, "y", tokens=5)), create(0, tool(C, "z", tokens=4))],
    ),
    "a tool that grows while another one comes": (
        [server("in", budget=10), tool(A, "x", tokens=4)],
        [update(0, tool(A, "x", tokens=8)), create(1, tool(B, "y", tokens=5))],
    ),
    "a tool that shrinks, and two that want the room": (
        [server("in", budget=10), tool(A, "x", tokens=8)],
        [update(0, tool(A, "x", tokens=2)), create(0, tool(B, "y", tokens=7)), create(1, tool(C, "z", tokens=2))],
    ),
    "a tool that grows and shrinks, and one that wants the room": (
        [server("in", budget=10), tool(A, "x", tokens=4)],
        [update(0, tool(A, "x", tokens=9)), update(1, tool(A, "x", tokens=3)), create(1, tool(B, "y", tokens=5))],
    ),
    "a selector that widens while a tool comes": (
        [server("in", budget=10), tool(A, "x", tokens=6)],
        [update(0, server("in", "out", budget=10)), create(1, tool(B, "y", "out", tokens=6))],
    ),
    "a budget that is lowered while a tool comes": (
        [server("in", budget=10), tool(A, "x", tokens=4)],
        [update(0, server("in", budget=5)), create(1, tool(B, "y", tokens=5))],
    ),
    "a label that moves a tool under the server": (
        [server("in", budget=10), tool(A, "x", "out", tokens=6)],
        [update(0, tool(A, "x", "in", tokens=6)), create(1, tool(B, "y", tokens=6))],
    ),
    "a deletion, and two that want the room": (
        [server("in", budget=10), tool(A, "x", tokens=6)],
        [delete(0, A), create(1, tool(B, "y", tokens=6)), create(0, tool(C, "z", tokens=6))],
    ),
}


@pytest.mark.parametrize("scenario", BUDGETS)
def test_whatever_the_order_no_budget_is_ever_exceeded(scenario: str) -> None:
    states = Model(*BUDGETS[scenario]).explore()

    assert [state for state in states if exceeds_budget(state.stored)] == []
    assert any({review.phase for review in state.reviews} <= {"stored", "refused"} for state in states)


@pytest.mark.parametrize("scenario", ["two tools of which one fits", "a tool that grows while another one comes"])
def test_without_the_ledger_some_order_exceeds_a_budget(scenario: str) -> None:
    states = Model(*BUDGETS[scenario], keeping=False).explore()

    assert any(exceeds_budget(state.stored) for state in states)


GEMINI = "gemini"
CLIENTS = {
    "a client that is named while a tool comes that it cannot use": (
        [server("in")],
        [update(0, server("in", client=GEMINI)), create(1, tool(A, "x", client=GEMINI))],
    ),
    "a client that is named while a tool becomes one that it cannot use": (
        [server("in"), tool(A, "x")],
        [update(0, server("in", client=GEMINI)), update(1, tool(A, "x", client=GEMINI))],
    ),
    "a client that is named while a label moves a tool under the server": (
        [server("in"), tool(A, "x", "out", client=GEMINI)],
        [update(0, server("in", client=GEMINI)), update(1, tool(A, "x", "in", client=GEMINI))],
    ),
    "a selector that widens while a tool comes": (
        [server("in", client=GEMINI)],
        [update(0, server("in", "out", client=GEMINI)), create(1, tool(A, "x", "out", client=GEMINI))],
    ),
    "a client that is no longer named, a tool that it cannot use, and the client again": (
        [server("in", client=GEMINI)],
        [update(0, server("in")), create(1, tool(A, "x", client=GEMINI)), update(1, server("in", client=GEMINI))],
    ),
    "a tool that is mended and spoilt while a client is named": (
        [server("in"), tool(A, "x", client=GEMINI)],
        [
            update(0, tool(A, "x")),
            update(1, tool(A, "x", client=GEMINI)),
            update(0, server("in", client=GEMINI)),
        ],
    ),
}


@pytest.mark.parametrize("scenario", CLIENTS)
def test_whatever_the_order_no_tool_is_stored_that_a_named_client_cannot_use(scenario: str) -> None:
    states = Model(*CLIENTS[scenario]).explore()

    assert [state for state in states if lists_unsupported(state.stored)] == []
    assert any({review.phase for review in state.reviews} <= {"stored", "refused"} for state in states)


@pytest.mark.parametrize("scenario", list(CLIENTS)[:4])
def test_without_the_ledger_some_order_stores_a_tool_that_a_named_client_cannot_use(scenario: str) -> None:
    states = Model(*CLIENTS[scenario], keeping=False).explore()

    assert any(lists_unsupported(state.stored) for state in states)
