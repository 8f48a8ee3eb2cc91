"""The laws of what is put into the live snapshot in steps: it ends as if it had been put there at once.

Meanwhile the snapshot is whole, what is admitted counts at once, and every other object is in a state that it had at
some time.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crd import manifest
from crd.integrity import Change
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from tests.laws import states
from webhook import live_snapshot
from webhook.live_snapshot import LiveSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.facts import Fact
    from crd.manifest import Object

REFS = [*(Ref(Kind.TOOL, "one", name) for name in "ab"), Ref(Kind.SERVER, "one", "x"), Ref(Kind.TOOL, "two", "a")]
END = object()
SERVICE = {"name": "orders", "port": 80}


def build(ref: Ref, served: str, label: str, uid: str, version: int) -> Object:
    """A tool with a name and a label, or a server that selects the label."""
    if ref.kind is Kind.SERVER:
        spec: dict[str, Any] = {"toolSelector": {"matchLabels": {"app": label}}}
    else:
        spec = {"name": served, "description": served * (1 + len(uid)), "service": SERVICE}
    raw = states.raw(ref, spec, {"app": label}, uid)
    raw["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return manifest.decode(raw)


objects = st.builds(
    build,
    st.sampled_from(REFS),
    st.sampled_from(["get", "put"]),
    st.sampled_from(["shop", "other"]),
    st.sampled_from(["u", "uu"]),
    st.integers(1, 6),
)
kinds = st.sampled_from(["observe", "observe", "delete", "create", "update", "note", "resolve", "resolve absent"])
# What happens to an object, and how many steps are made before the next thing happens.
events = st.lists(st.tuples(kinds, objects, objects, st.integers(0, 12)), max_size=14)


def happen(live: LiveSnapshot, kind: str, item: Object, other: Object) -> None:
    ref, fact, metadata = item.ref, item.fact, item.metadata
    assert fact is not None
    uid, version = str(metadata["uid"]), int(metadata["resourceVersion"])
    match kind:
        case "observe":
            live.observe(ref, fact, version, uid)
        case "delete":
            live.observe_deletion(ref, version, uid)
        case "create":
            live.expect(Change(ref, None, item))
        case "update":
            live.expect(Change(ref, build(ref, "old", "shop", uid, int(other.metadata["resourceVersion"])), item))
        case "note":
            live.note_stored(ref, uid, str(version))
        case "resolve":
            live.resolve(ref, item, 2000.0)
        case "resolve absent":
            live.resolve(ref, None, 2000.0)


def known(live: LiveSnapshot, ref: Ref) -> tuple[Fact | None, list[Any], list[Any]]:
    """What a judgement learns of an object: its state, and those that it may also have."""
    change = Change(Ref(Kind.TOOL, ref.namespace, "another"), None, None)
    others = [fact for fact in live.alternatives(change) if fact.ref == ref]
    return live.current.get(ref), others, [fact for fact in live.dearer(ref.namespace) if fact.ref == ref]


@pytest.fixture(autouse=True, scope="module")
def everything_takes_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_snapshot, "QUICK", -1)
        patch.setattr(live_snapshot, "TOGETHER", 2)
        yield


@states.THOROUGH
@given(events)
def test_what_is_placed_in_steps_ends_as_if_it_had_been_placed_at_once(
    events: list[tuple[str, Object, Object, int]],
) -> None:
    at_once, live = LiveSnapshot(lambda: 2000.0), LiveSnapshot(lambda: 2000.0)
    live.spread(lambda: None)
    steps: Iterator[None] = live.place_late()
    had = {ref: [known(at_once, ref)] for ref in REFS}
    # What was admitted beside states that are not there any more.
    mixed: set[Ref] = set()
    for kind, item, other, pauses in events:
        moves, before = live.moves, {ref: known(live, ref) for ref in REFS}
        for each in (at_once, live):
            happen(each, kind, item, other)
        fact, others, _ = known(at_once, item.ref)
        had[item.ref].append((fact, others, _))
        if kind in ("create", "update"):
            mixed.add(item.ref)
            fact_now, others_now, _ = known(live, item.ref)
            assert item.fact in (fact_now, *others_now) or item.fact not in (fact, *others)
        for _ in range(pauses):
            if next(steps, END) is END:
                steps = live.place_late()
                break
            assert live.current == Snapshot.of(live.current).mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
        moved = {*islice(reversed(live._moved), live.moves - moves)}
        for ref in REFS:
            if not live.is_late([ref]):
                mixed.discard(ref)
                assert known(live, ref) == known(at_once, ref)
            assert ref in mixed or known(live, ref) in had[ref]
            assert ref in moved or known(live, ref) == before[ref]

    for _ in steps:
        pass
    assert not any(live.is_behind(ref.namespace) or live.is_late([ref]) for ref in REFS)
    assert {ref: known(live, ref) for ref in REFS} == {ref: known(at_once, ref) for ref in REFS}
    assert live.current == at_once.current
