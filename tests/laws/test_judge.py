"""Laws of the judgement, for any small world and any change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from crd import integrity
from crd.catalog import Catalog
from crd.finding import Finding, Level, Verdict
from crd.integrity import Change
from tests.laws import worlds

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the source that hypothesis gives

    from crd.manifest import Object

Identity = tuple[object, ...]


def surveyed(items: list[Object]) -> Verdict:
    return integrity.survey(Catalog.of([worlds.ORDERS]), items)


def replaced(items: list[Object], change: Change) -> list[Object]:
    rest = [item for item in items if item.ref != change.ref]
    return [*rest, change.new] if change.new is not None else rest


def identity(finding: Finding) -> Identity:
    """What a fault is, whoever is blamed: of a clash, the server, the space and the value say all."""
    clash = len(finding.subject) == 3 and len(finding.related) == 2
    return (finding.reason, finding.level, finding.subject, None if clash else finding.ref)


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[Object], Change]:
    """A world and a creation, an update or a deletion in it."""
    items = draw(worlds.worlds)
    deleted = draw(st.sampled_from([None, *items]))
    if deleted is not None and draw(st.booleans()):
        return items, Change(deleted.ref, deleted, None)
    new = draw(worlds.objects())
    return items, Change(new.ref, next((item for item in items if item.ref == new.ref), None), new)


@worlds.QUICK
@given(worlds.worlds)
def test_no_change_breaks_nothing(items: list[Object]) -> None:
    there = worlds.catalog(items)
    for item in items:
        assert integrity.judge(there, Change(item.ref, item, item)).findings == ()


@worlds.QUICK
@given(worlds.worlds)
def test_an_unrelated_edit_breaks_nothing_whatever_stands_broken(items: list[Object]) -> None:
    there = worlds.catalog(items)
    for item in items:
        assert integrity.judge(there, Change(item.ref, item, worlds.edited(item))).findings == ()


@worlds.QUICK
@given(worlds.worlds)
def test_a_repair_passes(items: list[Object]) -> None:
    there = worlds.catalog(items)
    for item in items:
        assert integrity.judge(there, Change(item.ref, item, worlds.repaired(item))).allowed


@worlds.QUICK
@given(worlds.worlds)
def test_a_deletion_passes(items: list[Object]) -> None:
    there = worlds.catalog(items)
    for item in items:
        assert integrity.judge(there, Change(item.ref, item, None)).allowed


@worlds.QUICK
@given(worlds.worlds, st.randoms(use_true_random=False))
def test_a_survey_does_not_depend_on_the_order(items: list[Object], random: Random) -> None:
    shuffled = items.copy()
    random.shuffle(shuffled)
    assert list(map(repr, surveyed(shuffled))) == list(map(repr, surveyed(items)))


@worlds.QUICK
@given(changes())
def test_a_judgement_is_what_a_survey_of_all_finds_anew(case: tuple[list[Object], Change]) -> None:
    items, change = case
    before = set(surveyed(items))
    oracle = {identity(finding) for finding in surveyed(replaced(items, change)) if finding not in before}
    if change.new is None:
        assert all(level is Level.WARNING for _, level, *_ in oracle)
    assert {identity(finding) for finding in integrity.judge(worlds.catalog(items), change)} == oracle


@worlds.QUICK
@given(changes())
def test_whoever_changes_is_the_one_to_blame(case: tuple[list[Object], Change]) -> None:
    items, change = case
    assert {f.ref for f in integrity.judge(worlds.catalog(items), change).errors} <= {change.ref}


@worlds.QUICK
@given(changes())
def test_the_catalog_may_be_late_about_the_changed_object(case: tuple[list[Object], Change]) -> None:
    items, change = case
    there = worlds.catalog(items)
    late = there.drop(change.ref)
    early = there if change.new is None or change.new.fact is None else there.put(change.new.fact)
    verdict = list(map(repr, integrity.judge(there, change)))
    assert list(map(repr, integrity.judge(late, change))) == verdict
    assert list(map(repr, integrity.judge(early, change))) == verdict


@worlds.QUICK
@given(st.lists(worlds.objects(), max_size=9))
def test_what_is_let_in_one_by_one_stands_without_error(sequence: list[Object]) -> None:
    standing: dict[object, Object] = {}
    for new in sequence:
        change = Change(new.ref, standing.get(new.ref), new)
        if integrity.judge(worlds.catalog(standing.values()), change).allowed:
            standing[new.ref] = new
    assert surveyed(list(standing.values())).errors == ()
