"""Laws of the judgement, for any small world and any change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from crd import integrity
from crd.finding import Finding, Level, Reason, dotted
from crd.integrity import Change
from crd.ref import Kind
from crd.snapshot import Snapshot
from tests.laws import oracle, worlds
from tests.laws.worlds import World

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the source that hypothesis gives

    from crd.manifest import Object

Identity = tuple[object, ...]
TRANSITIONS = {Reason.IMMUTABLE_FIELD, Reason.BREAKING_SCHEMA_CHANGE}


def identity(finding: Finding) -> Identity:
    """What a fault is, whoever is blamed: an error is laid on the changed object, so is a clash that only warns."""
    shared = finding.level is Level.ERROR or len(finding.related) == 2
    return (finding.reason, finding.level, finding.subject, None if shared else finding.ref)


@st.composite
def changes(draw: st.DrawFn, of: st.SearchStrategy[World] = worlds.worlds) -> tuple[World, Change]:
    """A world and a creation, an update or a deletion in it."""
    world = draw(of)
    deleted = draw(st.sampled_from([None, *world.items]))
    if deleted is not None and draw(st.booleans()):
        return world, Change(deleted.ref, deleted, None)
    kinds = sorted({item.ref.kind for item in world.items}) or worlds.KINDS
    new = draw(worlds.objects(kinds))
    return world, Change(new.ref, next((item for item in world.items if item.ref == new.ref), None), new)


any_change = st.one_of(changes(), changes(worlds.crowds()))


@worlds.QUICK
@given(worlds.worlds)
def test_no_change_breaks_nothing(world: World) -> None:
    for item in world.items:
        assert integrity.judge(world.snapshot, Change(item.ref, item, item)).findings == ()


@worlds.QUICK
@given(worlds.worlds)
def test_an_unrelated_edit_breaks_nothing_whatever_stands_broken(world: World) -> None:
    for item in world.items:
        assert integrity.judge(world.snapshot, Change(item.ref, item, worlds.edited(item))).findings == ()


@worlds.QUICK
@given(worlds.worlds)
def test_a_repair_passes(world: World) -> None:
    for item in world.items:
        assert integrity.judge(world.snapshot, Change(item.ref, item, worlds.repaired(item))).allowed


@worlds.QUICK
@given(worlds.worlds)
def test_a_deletion_passes(world: World) -> None:
    for item in world.items:
        assert integrity.judge(world.snapshot, Change(item.ref, item, None)).allowed


@worlds.QUICK
@given(worlds.worlds, st.randoms(use_true_random=False))
def test_a_survey_does_not_depend_on_the_order(world: World, random: Random) -> None:
    shuffled = list(world.items)
    random.shuffle(shuffled)
    assert list(map(repr, World(tuple(shuffled), world.around).survey)) == list(map(repr, world.survey))


@worlds.QUICK
@given(any_change, st.randoms(use_true_random=False))
def test_a_verdict_does_not_depend_on_the_order_of_arrival(case: tuple[World, Change], random: Random) -> None:
    world, change = case
    facts = list(world.snapshot)
    random.shuffle(facts)
    verdict = list(map(repr, integrity.judge(world.snapshot, change)))
    assert list(map(repr, integrity.judge(Snapshot.of(facts), change))) == verdict


@worlds.THOROUGH
@given(st.one_of(worlds.worlds, worlds.crowds()))
def test_a_survey_finds_what_a_look_at_every_pair_finds(world: World) -> None:
    found = [finding for finding in world.survey if finding.reason in oracle.REASONS]
    # Told alone: a selector that is no selector, and an object that claims one thing twice.
    selectors = (f for f in world.survey if f.reason in (Reason.EMPTY_SELECTOR, Reason.INVALID_SELECTOR))
    alone = {(Reason.SELECTS_NOTHING, f.ref, dotted(f.path[:2])) for f in selectors}
    expected = {breach for breach in oracle.breaches(world) if breach[:3] not in alone}
    between = {oracle.seen(f) for f in found if f.reason not in integrity.CLASHES or len(f.related) == 2}
    assert between == expected


@worlds.THOROUGH
@given(any_change)
def test_a_judgement_is_what_a_survey_of_all_finds_anew(case: tuple[World, Change]) -> None:
    world, change = case
    before = set(world.survey)
    anew = {identity(finding) for finding in world.after(change).survey if finding not in before}
    if change.new is None:
        assert all(level is Level.WARNING for _, level, *_ in anew)
    found = integrity.judge(world.snapshot, change)
    assert {identity(finding) for finding in found if finding.reason not in TRANSITIONS} == anew


@worlds.QUICK
@given(any_change)
def test_whoever_changes_is_the_one_to_blame(case: tuple[World, Change]) -> None:
    world, change = case
    assert {f.ref for f in integrity.judge(world.snapshot, change).errors} <= {change.ref}


@worlds.QUICK
@given(any_change)
def test_the_catalog_may_be_late_about_the_changed_object(case: tuple[World, Change]) -> None:
    world, change = case
    there = world.snapshot
    late = there.drop(change.ref)
    early = there if change.new is None or change.new.fact is None else there.put(change.new.fact)
    verdict = list(map(repr, integrity.judge(there, change)))
    assert list(map(repr, integrity.judge(late, change))) == verdict
    assert list(map(repr, integrity.judge(early, change))) == verdict


@worlds.THOROUGH
@given(st.lists(worlds.objects(), max_size=9), worlds.surroundings)
def test_what_is_let_in_one_by_one_stands_without_error(sequence: list[Object], around: list[object]) -> None:
    world = World((), tuple(around))  # type: ignore[arg-type]
    for new in sequence:
        old = next((item for item in world.items if item.ref == new.ref), None)
        change = Change(new.ref, old, new)
        if integrity.judge(world.snapshot, change).allowed:
            world = world.after(change)
    assert world.survey.errors == ()


def test_the_worlds_hold_every_fault_that_the_laws_are_about() -> None:
    """A law about worlds in which nothing happens would prove nothing."""
    seen: set[Reason] = set()
    holders: set[int] = set()

    @settings(worlds.THOROUGH, derandomize=True)
    @given(st.one_of(worlds.worlds, worlds.crowds()))
    def look(world: World) -> None:
        seen.update(finding.reason for finding in world.survey)
        snapshot = world.snapshot
        for item in world.items:
            if item.ref.kind is Kind.SERVER:
                holders.update(map(len, snapshot.view(item.ref).claimants.values()))

    look()
    assert seen >= oracle.REASONS | {Reason.LONG_NAME, Reason.INVALID_FIELD}
    assert max(holders) >= 3
