"""Laws of validation, for any small state and any change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from crd import impact, integrity, manifest
from crd.facts import MemberFact
from crd.finding import Finding, Level, Reason, format_path
from crd.integrity import Change
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from tests.laws import oracle, states
from tests.laws.states import State

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the source that hypothesis gives

    from crd.manifest import Object

Identity = tuple[object, ...]
TRANSITIONS = {Reason.IMMUTABLE_FIELD, Reason.BREAKING_SCHEMA_CHANGE}


def identity(finding: Finding) -> Identity:
    """The identity of a finding, whichever of its objects reports it."""
    shared = finding.level is Level.ERROR or len(finding.related) == 2
    return (finding.reason, finding.level, finding.subject, None if shared else finding.ref)


@st.composite
def changes(draw: st.DrawFn, of: st.SearchStrategy[State] = states.states) -> tuple[State, Change]:
    """A state and a creation, an update or a deletion in it."""
    state = draw(of)
    deleted = draw(st.sampled_from([None, *state.items]))
    if deleted is not None and draw(st.booleans()):
        return state, Change(deleted.ref, deleted, None)
    kinds = sorted({item.ref.kind for item in state.items}) or states.KINDS
    new = draw(states.objects(kinds))
    return state, Change(new.ref, next((item for item in state.items if item.ref == new.ref), None), new)


any_change = st.one_of(changes(), changes(states.crowds()))


@states.THOROUGH
@given(any_change)
def test_a_member_that_joins_has_the_verdict_of_the_rules_about_several_objects(given: tuple[State, Change]) -> None:
    state, change = given
    fact = change.new.fact if change.new is not None else None
    if not isinstance(fact, MemberFact):
        return
    snapshot = state.snapshot.drop(fact.ref)
    creation = Change(fact.ref, None, change.new)
    of_object = integrity.judge_object(creation)
    joined = integrity.join(snapshot, fact, of_object)
    if joined is None:
        return
    after, verdict = joined
    placed = integrity.place(snapshot, creation)
    assert after == placed[1]
    assert verdict == integrity.judge_relations(placed, creation, of_object)
    assert [*impact.preview(after, creation)] == []


@states.QUICK
@given(states.states)
def test_no_change_causes_no_error(state: State) -> None:
    for item in state.items:
        assert integrity.judge(state.snapshot, Change(item.ref, item, item)).findings == ()


@states.QUICK
@given(states.states)
def test_an_unrelated_edit_is_admitted_among_invalid_objects(state: State) -> None:
    for item in state.items:
        assert integrity.judge(state.snapshot, Change(item.ref, item, states.edited(item))).findings == ()


@states.QUICK
@given(states.states)
def test_a_repair_is_admitted(state: State) -> None:
    for item in state.items:
        assert integrity.judge(state.snapshot, Change(item.ref, item, states.repaired(item))).allowed


@states.QUICK
@given(states.states)
def test_a_deletion_is_admitted(state: State) -> None:
    for item in state.items:
        assert integrity.judge(state.snapshot, Change(item.ref, item, None)).allowed


@states.QUICK
@given(states.states, st.randoms(use_true_random=False))
def test_a_survey_does_not_depend_on_the_order(state: State, random: Random) -> None:
    shuffled = list(state.items)
    random.shuffle(shuffled)
    assert list(map(repr, State(tuple(shuffled), state.around).survey)) == list(map(repr, state.survey))


@states.QUICK
@given(any_change, st.randoms(use_true_random=False))
def test_a_verdict_does_not_depend_on_the_order_of_arrival(case: tuple[State, Change], random: Random) -> None:
    state, change = case
    facts = list(state.snapshot)
    random.shuffle(facts)
    verdict = list(map(repr, integrity.judge(state.snapshot, change)))
    assert list(map(repr, integrity.judge(Snapshot.of(facts), change))) == verdict


@states.THOROUGH
@given(st.one_of(states.states, states.crowds()))
def test_a_survey_finds_what_comparing_every_pair_finds(state: State) -> None:
    found = [finding for finding in state.survey if finding.reason in oracle.REASONS]
    # These hide other findings: an invalid selector, and an object that claims the same thing twice.
    selectors = (f for f in state.survey if f.reason in (Reason.EMPTY_SELECTOR, Reason.INVALID_SELECTOR))
    alone = {(Reason.SELECTS_NOTHING, f.ref, format_path(f.path[:2])) for f in selectors}
    expected = {breach for breach in oracle.breaches(state) if breach[:3] not in alone}
    between = {oracle.seen(f) for f in found if f.reason not in integrity.CLASHES or len(f.related) == 2}
    assert between == expected


@states.THOROUGH
@given(any_change)
def test_a_verdict_is_the_difference_of_two_surveys(case: tuple[State, Change]) -> None:
    state, change = case
    before = set(state.survey)
    anew = {identity(finding) for finding in state.after(change).survey if finding not in before}
    if change.new is None:
        assert all(level is Level.WARNING for _, level, *_ in anew)
    found = {f for f in integrity.judge(state.snapshot, change) if f.reason not in TRANSITIONS}
    # A survey tells each server once of hosts and paths that overlap, however many other servers have them.
    told = {identity(finding) for finding in before if finding.reason is Reason.INGRESS_TAKEN}
    assert {identity(finding) for finding in found} - told == anew - told
    assert {f.reason for f in found if identity(f) in told} <= {Reason.INGRESS_TAKEN}


def test_a_server_is_told_of_every_pair_of_paths_that_it_makes() -> None:
    """Also where two others overlap already in the same hosts and paths, so that a survey says nothing new of them."""

    def server(namespace: str, host: str, day: int) -> Object:
        spec = {"toolSelector": {"matchLabels": {"app": "a"}}, "ingress": {"host": host, "pathPrefix": "/mcp"}}
        raw = states.raw(Ref(Kind.SERVER, namespace, "main"), spec, {}, f"2026-01-0{day}T00:00:00Z")
        return manifest.decode(raw)

    state = State((server("one", "*.example.com", 1), server("two", "a.example.com", 3)), ())
    new = server("three", "*.example.com", 2)
    found = integrity.judge(state.snapshot, Change(new.ref, None, new))
    assert [f.subject for f in found.errors] == [("*.example.com/mcp",), ("*.example.com/mcp", "a.example.com/mcp")]


@states.QUICK
@given(any_change)
def test_findings_are_reported_on_the_changed_object(case: tuple[State, Change]) -> None:
    state, change = case
    assert {f.ref for f in integrity.judge(state.snapshot, change).errors} <= {change.ref}


@states.QUICK
@given(any_change)
def test_the_snapshot_may_be_stale_about_the_changed_object(case: tuple[State, Change]) -> None:
    state, change = case
    there = state.snapshot
    late = there.drop(change.ref)
    early = there if change.new is None or change.new.fact is None else there.put(change.new.fact)
    verdict = list(map(repr, integrity.judge(there, change)))
    assert list(map(repr, integrity.judge(late, change))) == verdict
    assert list(map(repr, integrity.judge(early, change))) == verdict


@states.THOROUGH
@given(st.lists(states.objects(), max_size=9), states.surroundings)
def test_objects_admitted_one_by_one_have_no_errors(sequence: list[Object], around: list[object]) -> None:
    state = State((), tuple(around))  # type: ignore[arg-type]
    for new in sequence:
        old = next((item for item in state.items if item.ref == new.ref), None)
        change = Change(new.ref, old, new)
        if integrity.judge(state.snapshot, change).allowed:
            state = state.after(change)
    assert state.survey.errors == ()


def test_the_states_contain_every_finding_that_the_laws_concern() -> None:
    """The laws prove nothing for states without findings."""
    seen: set[Reason] = set()
    holders: set[int] = set()

    @settings(states.THOROUGH, derandomize=True)
    @given(st.one_of(states.states, states.crowds()))
    def look(state: State) -> None:
        seen.update(finding.reason for finding in state.survey)
        snapshot = state.snapshot
        for item in state.items:
            if item.ref.kind is Kind.SERVER:
                holders.update(map(len, snapshot.view(item.ref).claimants.values()))

    look()
    assert seen >= oracle.REASONS | {Reason.LONG_NAME, Reason.INVALID_FIELD}
    assert max(holders) >= 3
