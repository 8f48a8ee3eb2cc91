"""The work of a judgement grows no faster than the object. It is counted in calls: a timing depends on the machine.

What native code does in one call is not counted. `scripts.bench.judge` measures it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from crd import fields, impact, integrity, manifest
from crd.finding import MAX_FINDINGS, MAX_MESSAGE
from crd.integrity import Change
from crd.rules import schemas
from crd.schema import patterns
from crd.snapshot import Snapshot
from tests.laws import hostile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crd.finding import Verdict
    from tests.laws.hostile import Manifest

SMALL, LARGE = 15_000, 30_000
# A little more than twice: lists that grow are copied, and what every object costs is part of both counts.
GROWTH = 2.2
# Below it, what every object costs is most of the count.
FEW = 3000
# No object of `LARGE` bytes needs more: 27 calls a byte.
MOST = 800_000
MEMBERS = 200


def snapshot(raws: Sequence[Manifest]) -> Snapshot:
    return Snapshot.of(fact for raw in raws if (fact := manifest.decode(raw).fact))


def judge(state: Snapshot, old: Manifest | None, new: Manifest | None) -> Verdict:
    """All that the webhook does with a review, and nothing remembered from before."""
    schemas._KEPT.clear()
    schemas._LAST.clear()
    patterns._fault.cache_clear()
    before = manifest.decode(old) if old is not None else None
    after = manifest.decode(new) if new is not None else None
    item = after or before
    assert item is not None
    change = Change(item.ref, before, after)
    verdict = integrity.judge(state, change)
    for _ in zip(range(MAX_FINDINGS), fields.lost(new or {}), strict=False):
        pass
    list(impact.preview(state, change))
    return verdict


def calls(action: Callable[..., Any], *arguments: Any) -> int:
    """How many functions an action calls, those of C among them."""
    count = 0

    def counted(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        action(*arguments)
    finally:
        sys.setprofile(before)
    return count


def grows_linearly(few: int, many: int) -> bool:
    return many <= max(FEW, few * GROWTH)


STATE = snapshot([hostile.server()])


def test_the_law_sees_what_is_not_linear() -> None:
    def quadratic(size: int) -> int:
        return calls(lambda: [len("") for _ in range(size // 50) for _ in range(size // 50)])

    assert not grows_linearly(quadratic(SMALL), quadratic(LARGE))


@pytest.mark.parametrize("name", hostile.OBJECTS)
def test_the_work_grows_as_the_object_does(name: str) -> None:
    build = hostile.OBJECTS[name]
    few, many = (calls(judge, STATE, None, build(size)) for size in (SMALL, LARGE))

    assert grows_linearly(few, many), (few, many)
    assert many <= MOST


@pytest.mark.parametrize("name", hostile.CHANGES)
def test_the_work_grows_as_the_change_does(name: str) -> None:
    build = hostile.CHANGES[name]
    few, many = (calls(judge, STATE, *build(size)) for size in (SMALL, LARGE))

    assert grows_linearly(few, many), (few, many)
    assert many <= MOST


@pytest.mark.parametrize("name", hostile.STATES)
def test_a_server_costs_as_much_as_its_members_and_a_member_costs_nothing_for_the_others(name: str) -> None:
    found = []
    for count in (MEMBERS, 2 * MEMBERS):
        raws, old, new = hostile.STATES[name](count)
        state = snapshot([*raws, *([old] if old else [])])
        found.append(calls(judge, state, old, new))
    few, many = found

    assert many <= few * (1.1 if name in hostile.OF_ONE_MEMBER else GROWTH) + 50, (few, many)


@pytest.mark.parametrize("name", hostile.OBJECTS)
def test_a_verdict_is_small_and_the_same_again(name: str) -> None:
    raw = hostile.OBJECTS[name](SMALL)
    verdict = judge(STATE, None, raw)

    assert len(verdict.findings) <= MAX_FINDINGS + 1
    assert all(len(finding.message) <= MAX_MESSAGE for finding in verdict)
    assert [str(finding) for finding in judge(STATE, None, raw)] == [str(finding) for finding in verdict]
