"""The laws of steps and moves: pauses change no verdict, and neither does it matter when the others moved.

A decision that was made before other objects moved, and was made again by the moves alone, is the one that the later
snapshot would have given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crd import integrity, manifest
from crd.facts import MemberFact, ServerFact
from crd.integrity import Change, Moves
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from crd.steps import finish
from tests.laws import states
from tests.laws.test_judge import any_change
from webhook import admit

if TYPE_CHECKING:
    from crd.facts import Fact
    from tests.laws.states import State

others = st.lists(st.tuples(states.objects(), st.sampled_from(["put", "put", "drop"])), max_size=6)
services = st.lists(st.tuples(st.sampled_from(states.FOREIGN), st.booleans()), max_size=2)


def moved(
    snapshot: Snapshot,
    objects: list[tuple[states.Object, str]],
    foreign: list[tuple[Fact, bool]],
    alternatives: list[MemberFact | ServerFact],
) -> tuple[Snapshot, Moves]:
    """The snapshot after these steps, and what moved: also what has further states since."""
    after = snapshot
    refs: list[Ref] = []
    for item, step in objects:
        after = after.put(item.fact) if step == "put" and item.fact is not None else after.drop(item.ref)
        refs.append(item.ref)
    for fact, is_there in foreign:
        after = after.put(fact) if is_there else after.drop(fact.ref)
        refs.append(fact.ref)
    refs += [fact.ref for fact in alternatives]
    return after, Moves(tuple((snapshot.get(ref), after.get(ref)) for ref in dict.fromkeys(refs)))


def judged(change: Change) -> admit.JudgedObject:
    return admit.JudgedObject(change, integrity.judge_object(change), ())


def facts_of(items: list[states.Object], change: Change) -> list[MemberFact | ServerFact]:
    """States that other objects may also have."""
    facts = [item.fact for item in items if item.ref != change.ref]
    return [fact for fact in facts if isinstance(fact, MemberFact | ServerFact)]


@states.THOROUGH
@given(any_change, others, services, st.lists(states.objects(), max_size=3))
def test_a_decision_that_follows_the_moves_is_that_of_the_later_snapshot(
    given: tuple[State, Change],
    objects: list[tuple[states.Object, str]],
    foreign: list[tuple[Fact, bool]],
    items: list[states.Object],
) -> None:
    state, change = given
    alternatives = facts_of(items, change)
    known = admit.decide(state.snapshot, (), judged(change))
    if not known.allowed:
        return
    later, moves = moved(state.snapshot, objects, foreign, alternatives)

    again = finish(admit.decide_again(known, moves, alternatives, judged(change)))

    anew = admit.decide(later, alternatives, judged(change))
    assert again.allowed == anew.allowed
    assert (again.before, again.after) == (anew.before, anew.after)
    if not alternatives:
        assert again.verdict.errors == anew.verdict.errors


@states.THOROUGH
@given(any_change, st.lists(states.objects(), max_size=3))
def test_beside_each_state_that_others_may_have_the_verdict_is_that_of_a_snapshot_with_it(
    given: tuple[State, Change], items: list[states.Object]
) -> None:
    state, change = given
    alternatives = facts_of(items, change)

    decision = admit.decide(state.snapshot, alternatives, judged(change))

    of_each = [integrity.judge(state.snapshot.put(fact), change) for fact in alternatives]
    of_none = integrity.judge(state.snapshot, change)
    assert decision.allowed == (of_none.allowed and all(verdict.allowed for verdict in of_each))
    if not decision.allowed and of_none.allowed:
        assert any(set(decision.verdict.errors) == set(verdict.errors) for verdict in of_each)


@states.QUICK
@given(any_change)
def test_a_judgement_pauses_at_each_member_and_claim_of_a_server(given: tuple[State, Change]) -> None:
    state, change = given
    decision = admit.decide(state.snapshot, (), judged(change))

    pauses = [*admit.decide_in_steps(state.snapshot, (), judged(change))]

    if change.ref.kind is Kind.SERVER:
        view = decision.after.view(change.ref)
        assert len(pauses) >= len(view.members) + len(view.claimants)


@pytest.mark.parametrize("asked", [None, {"name": "s"}, {"name": "t"}])
def test_a_judgement_of_a_member_pauses_at_each_server_that_selects_it(asked: dict[str, str] | None) -> None:
    def tool(name: str) -> states.Object:
        spec = {"name": name, "service": {"name": "orders", "port": 80}}
        return manifest.decode(states.raw(Ref(Kind.TOOL, "one", "a"), spec, {"app": "x"}, ""))

    count = integrity.MAX_JOINED + 1
    selector = {"toolSelector": {"matchLabels": {"app": "x"}}}
    refs = [Ref(Kind.SERVER, "one", f"s{number}") for number in range(count)]
    servers = [manifest.decode(states.raw(ref, selector, {}, "")).fact for ref in refs]
    old = tool(asked["name"]) if asked else None
    known = [old.fact] if old is not None else []
    snapshot = Snapshot.of(fact for fact in [*servers, *known] if fact is not None)
    change = Change(Ref(Kind.TOOL, "one", "a"), old, tool("t"))

    pauses = [*admit.decide_in_steps(snapshot, (), judged(change))]

    assert len(pauses) > count


def test_an_object_that_is_in_no_snapshot_may_have_a_further_state() -> None:
    change = Change(Ref(Kind.PROMPT, "one", "a"), None, None)

    assert Moves(((None, None),)).concerning(change) == Moves(((None, None),))
