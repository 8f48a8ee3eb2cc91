"""An admitted write counts until a watch or a read shows what became of it, or until it can no longer be stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crd import manifest
from crd.facts import Fact, MemberFact, ServerFact
from crd.integrity import Change, Moves
from crd.manifest import Object
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from webhook import live_snapshot
from webhook.live_snapshot import KEEP_SECONDS, LANDING_SECONDS, WRITES, LiveSnapshot, Sighting

REF = Ref(Kind.TOOL, "shop", "a")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def raw(served: str = "get", uid: str = "u", version: str = "", port: Any = 80, name: str = "a") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "uid": uid} | ({"resourceVersion": version} if version else {})
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": metadata,
        "spec": {"name": served, "service": {"name": "s", "port": port}},
    }


def creation(served: str = "get", uid: str = "u") -> Change:
    new = manifest.decode(raw(served, uid))
    return Change(new.ref, None, new)


def update(served: str, version: str, uid: str = "u") -> Change:
    old, new = manifest.decode(raw("old", uid, version)), manifest.decode(raw(served, uid, version))
    return Change(new.ref, old, new)


def show(live: LiveSnapshot, served: str, version: int | str, uid: str = "u") -> None:
    fact = manifest.decode(raw(served, uid)).fact
    assert fact is not None
    live.observe(REF, fact, version, uid)


def served(live: LiveSnapshot) -> str | None:
    fact = live.current.member(REF)
    return fact.served_name if fact else None


def others(live: LiveSnapshot) -> list[Any]:
    return sorted(getattr(fact, "served_name", None) for fact in live.alternatives(creation()))


def test_an_admitted_creation_counts_at_once_until_a_watch_shows_it() -> None:
    live = LiveSnapshot(Clock())

    live.expect(creation())
    assert (served(live), live.pending_since(REF)) == ("get", 0.0)
    show(live, "renamed", 7)

    assert (served(live), live.pending_since(REF)) == ("renamed", None)


def test_an_update_counts_beside_what_it_replaces_until_a_later_version_is_shown() -> None:
    live = LiveSnapshot(Clock())
    show(live, "old", 5)

    live.expect(update("new", "5"))
    show(live, "old", 5)
    assert (served(live), others(live)) == ("new", ["old"])

    show(live, "third", 6)
    assert (served(live), others(live)) == ("third", [])


def test_two_updates_of_one_object_count_both() -> None:
    live = LiveSnapshot(Clock())
    show(live, "old", 5)

    live.expect(update("new", "5"))
    live.expect(update("newer", "5"))

    assert (served(live), others(live)) == ("newer", ["new", "old"])
    assert live.alternatives(serving(None, 1, "elsewhere")) == []


def serving(host: str | None, number: int, namespace: str = "team") -> Change:
    """A server, or a later write of it."""
    ingress = {"ingress": {"host": host}} if host else {}
    spec = {"toolSelector": {"matchLabels": {"app": f"a{number}"}}, **ingress}
    metadata = {"name": "main", "namespace": namespace, "uid": f"u{number}"}
    new = manifest.decode(
        {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPServer", "metadata": metadata, "spec": spec}
    )
    return Change(new.ref, None, new)


def test_servers_elsewhere_matter_only_to_who_can_be_reached_too() -> None:
    live = LiveSnapshot(Clock())
    for number in range(2):
        live.expect(serving(None, number))
        live.expect(serving("a.example.com", number, "reached"))

    def whose(host: str | None, namespace: str) -> list[str]:
        return [fact.ref.namespace for fact in live.alternatives(serving(host, 9, namespace))]

    assert live.alternatives(creation()) == []
    assert (whose(None, "shop"), whose("b.example.com", "shop")) == ([], ["reached"])
    assert (whose("b.example.com", "reached"), whose(None, "team")) == (["reached"], ["team"])


def test_an_object_is_crowded_until_its_writes_are_seen() -> None:
    live = LiveSnapshot(Clock())
    for number in range(WRITES):
        assert not live.is_crowded(REF)
        live.expect(creation(f"get-{number}", uid=f"u{number}"))

    assert live.is_crowded(REF)
    show(live, "get-0", 7, uid="u0")
    assert not live.is_crowded(REF)


def test_a_repeated_write_counts_once() -> None:
    live = LiveSnapshot(Clock())
    live.expect(creation(uid="one"))
    live.expect(creation("other", uid="two"))
    live.expect(creation(uid="three"))

    assert (served(live), others(live)) == ("get", ["other"])


def test_an_update_that_the_watch_is_behind_stays() -> None:
    live = LiveSnapshot(Clock())
    live.expect(update("new", "7"))

    show(live, "older", 6)

    assert (served(live), others(live)) == ("new", ["older"])


def test_a_creation_waits_for_its_own_uid() -> None:
    live = LiveSnapshot(Clock())
    show(live, "old", 5, uid="former")
    live.expect(creation())
    assert (served(live), others(live)) == ("old", ["get"])

    live.observe_deletion(REF, 6, "former")
    assert (served(live), others(live)) == ("get", [])
    live.observe_deletion(REF, 8, "u")
    assert served(live) is None


def test_an_update_ends_with_its_object_but_not_by_an_older_deletion() -> None:
    live = LiveSnapshot(Clock())
    live.expect(update("new", "7"))

    live.observe_deletion(REF, 6, "former")
    assert served(live) == "new"
    live.observe_deletion(REF, 8, "u")
    assert served(live) is None


def test_versions_that_are_not_numbers_are_equal_or_not() -> None:
    live = LiveSnapshot(Clock())
    live.expect(update("new", "abc"))

    show(live, "old", "abc")
    assert served(live) == "new"
    show(live, "old", "abd")
    assert served(live) == "old"


def test_what_nothing_shows_is_forgotten_in_the_end() -> None:
    clock = Clock()
    live = LiveSnapshot(clock)
    show(live, "old", 5)
    live.expect(update("new", "5"))

    clock.now += KEEP_SECONDS + 1

    assert (served(live), others(live)) == ("old", [])


def test_the_oldest_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_snapshot, "PENDING", 1)
    monkeypatch.setattr(live_snapshot, "SIGHTINGS", 1)
    live = LiveSnapshot(Clock())
    other = manifest.decode(raw(name="b"))

    live.expect(creation())
    live.expect(Change(other.ref, None, other))
    assert [fact.ref.name for fact in live.current] == ["b"]

    show(live, "old", 5)
    assert other.fact is not None
    live.observe(other.ref, other.fact, 6, "u")
    assert live.sighting(REF) is None
    assert live.sighting(other.ref) == Sighting(6, "u")


def test_what_cannot_be_read_is_not_expected() -> None:
    live = LiveSnapshot(Clock())
    broken = manifest.decode(raw(port=[]))

    live.expect(Change(broken.ref, None, broken))
    live.expect(Change(broken.ref, broken, None))

    assert len(live.current) == 0


READS = {
    "a creation may still be stored": (creation(), None, 1.0, "get"),
    "a creation that can no longer be stored is gone": (creation(), None, LANDING_SECONDS + 1, None),
    "a creation fails where there is another object": (creation(), raw("else", "v", "9"), 1.0, None),
    "an update may still be stored on its base": (update("new", "5"), raw("old", "u", "5"), 1.0, "new"),
    "an update can no longer be stored": (update("new", "5"), raw("old", "u", "5"), LANDING_SECONDS + 1, None),
    "an update was refused, and another one stored": (update("new", "5"), raw("third", "u", "6"), 1.0, None),
    "an update cannot be stored on nothing": (update("new", "5"), None, 1.0, None),
}


@pytest.mark.parametrize("row", READS.values(), ids=READS)
def test_a_read_shows_what_cannot_be_stored_any_more(row: Any) -> None:
    change, found, seconds, expected = row
    clock = Clock()
    live = LiveSnapshot(clock)
    live.expect(change)
    clock.now += seconds

    live.resolve(REF, manifest.decode(found) if found else None, live.now())

    assert served(live) == expected


def test_a_write_counts_for_as_long_as_the_api_server_may_store_it() -> None:
    """It gives up on a request after 60 s (--request-timeout), and its answer takes some time."""
    clock = Clock()
    live = LiveSnapshot(clock)
    live.expect(update("new", "5"))
    clock.now += 62.0

    live.resolve(REF, manifest.decode(raw("old", "u", "5")), live.now())

    assert served(live) == "new"


def test_a_read_that_was_begun_before_the_write_was_admitted_says_nothing_of_it() -> None:
    clock = Clock()
    live = LiveSnapshot(clock)
    begun = live.now()
    clock.now += 1
    live.expect(update("new", "5"))

    live.resolve(REF, None, begun)

    assert served(live) == "new"


def test_a_review_of_a_deletion_shows_that_its_object_was_stored() -> None:
    live = LiveSnapshot(Clock())
    live.expect(creation())

    live.note_stored(REF, "another", "6")
    assert live.pending_since(REF) is not None
    live.note_stored(REF, "u", "7")

    assert (served(live), live.pending_since(REF)) == ("get", None)


def test_a_review_of_a_deletion_leaves_a_write_that_may_still_be_stored() -> None:
    live = LiveSnapshot(Clock())
    live.expect(creation("get"))
    live.expect(update("new", "7"))

    live.note_stored(REF, "u", "6")
    show(live, "get", 6)

    assert (served(live), others(live)) == ("new", ["get"])


def test_facts_that_are_shown_one_after_the_other_are_seen_together() -> None:
    live = LiveSnapshot(Clock())
    empty = live.current
    names = [f"tool-{number}" for number in range(2 * live_snapshot.ARRIVED + 1)]
    for name in names:
        fact = manifest.decode(raw(name=name)).fact
        assert fact is not None
        live.observe(fact.ref, fact, 1, "u")
    live.observe_deletion(Ref(Kind.TOOL, "shop", names[-1]), 2, "u")
    live.observe_deletion(Ref(Kind.TOOL, "shop", names[0]), 2, "u")

    assert {fact.ref.name for fact in live.current} == set(names[1:-1])
    assert live.current is live.current is not empty
    show(live, "get", 3)
    show(live, "put", 4)
    assert served(live) == "put"


def test_a_list_does_not_gather_more_facts_than_can_be_put_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    put, sizes = Snapshot.put_all, []

    def note(snapshot: Snapshot, facts: Any) -> Snapshot:
        sizes.append(len(facts))
        return put(snapshot, facts)

    monkeypatch.setattr(Snapshot, "put_all", note)
    live = LiveSnapshot(Clock())
    for number in range(live_snapshot.ARRIVED + 1):
        fact = manifest.decode(raw(name=f"tool-{number}")).fact
        assert fact is not None
        live.observe(fact.ref, fact, 1, "u")
    assert sizes == [live_snapshot.ARRIVED]
    assert len(live.current) == live_snapshot.ARRIVED + 1


def described(text: str, version: str = "", label: str = "in") -> Object:
    changed = raw(version=version)
    changed["spec"]["description"] = text
    changed["metadata"]["labels"] = {"app": label}
    return manifest.decode(changed)


def test_a_longer_state_of_a_tool_may_still_count_against_a_budget() -> None:
    live = LiveSnapshot(Clock())
    long, short = described("What it does. " * 9, "1"), described("What it does.")
    assert long.fact is not None
    live.observe(long.ref, long.fact, 1, "u")

    live.expect(Change(long.ref, long, short))

    assert live.dearer("shop") == [long.fact]
    assert live.alternatives(creation()) == []
    show(live, "get", 2)
    assert live.dearer("shop") == []


def test_a_state_with_other_labels_may_count_against_another_budget() -> None:
    live = LiveSnapshot(Clock())
    before, after = described("What it does.", "1", "in"), described("What it does.", label="out")
    assert before.fact is not None
    live.observe(before.ref, before.fact, 1, "u")

    live.expect(Change(before.ref, before, after))

    assert live.dearer("shop") == [before.fact]


def test_a_shorter_state_of_a_tool_does_not_count_against_a_budget() -> None:
    live = LiveSnapshot(Clock())
    short, long = described("What it does.", "1"), described("What it does. " * 9)
    assert short.fact is not None
    live.observe(short.ref, short.fact, 1, "u")

    live.expect(Change(short.ref, short, long))

    assert live.dearer("shop") == []


def other(name: str) -> Change:
    item = manifest.decode(raw(name=name))
    return Change(item.ref, None, item)


def test_what_nothing_shows_is_kept_for_its_whole_time() -> None:
    clock = Clock()
    live = LiveSnapshot(clock)
    show(live, "old", 5)
    live.expect(update("new", "5"))

    clock.now += KEEP_SECONDS
    assert (served(live), live.pending_since(REF)) == ("new", KEEP_SECONDS)
    clock.now += 0.1
    assert (served(live), live.pending_since(REF), live.is_crowded(REF)) == ("old", None, False)


def test_as_many_are_remembered_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_snapshot, "PENDING", 2)
    monkeypatch.setattr(live_snapshot, "SIGHTINGS", 2)
    live = LiveSnapshot(Clock())
    for name in ("a", "b", "a"):
        live.expect(other(name))
    assert {fact.ref.name for fact in live.current} == {"a", "b"}
    # The one that was written last is the last to be forgotten.
    live.expect(other("c"))
    assert {fact.ref.name for fact in live.current} == {"a", "c"}

    for version, name in enumerate(("a", "b", "a", "c"), 1):
        fact = manifest.decode(raw(name=name)).fact
        assert fact is not None
        live.observe(fact.ref, fact, version, f"u{version}")
    sightings = {name: live.sighting(Ref(Kind.TOOL, "shop", name)) for name in "abc"}
    assert sightings == {"a": Sighting(3, "u3"), "b": None, "c": Sighting(4, "u4")}
    live.observe_deletion(Ref(Kind.TOOL, "shop", "a"), 9, "u3")
    assert live.sighting(Ref(Kind.TOOL, "shop", "a")) == Sighting(9, "u3")


def test_a_new_object_takes_the_snapshot_that_it_was_judged_by() -> None:
    live = LiveSnapshot(Clock())
    before = live.current
    new = creation()
    assert new.new is not None
    fact = new.new.fact
    assert fact is not None
    after = before.put(fact)
    live.expect(new, (before, after))

    assert live.current is after
    assert (live.pending_since(REF), others(live), live.dearer("shop")) == (0.0, [], [])
    # One that was made of another snapshot lacks what came meanwhile.
    live.expect(other("b"), (before, before.put(fact)))
    assert {fact.ref.name for fact in live.current} == {"a", "b"}
    # And where there is an object, the snapshot with it says only one of two states.
    show(live, "old", 5)
    placed = live.current
    live.expect(update("new", "5"), (placed, placed))
    assert (served(live), others(live)) == ("new", ["old"])


def test_an_update_takes_the_snapshot_that_it_was_judged_by() -> None:
    live = LiveSnapshot(Clock())
    show(live, "old", 5)
    change = update("new", "5")
    assert change.new is not None
    assert change.new.fact is not None
    before, after = live.current, live.current.put(change.new.fact)
    live.expect(change, (before, after))

    assert live.current is after
    assert (served(live), others(live)) == ("new", ["old"])
    # Not one of another snapshot.
    live.expect(update("newer", "6"), (before, before))
    assert served(live) == "newer"


def test_what_moved_is_told_until_too_much_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_snapshot, "MOVES", 3)
    live = LiveSnapshot(Clock())
    first, begun = live.current, live.moves
    assert live.moves_since(begun, first) == Moves(())

    new, changed = creation(), update("new", "5")
    live.expect(new)
    live.expect(new)
    moves = live.moves_since(begun, first)
    assert moves == Moves(((None, live.current.get(REF)),))

    second, later = live.current, live.moves
    live.expect(changed)
    live.observe_deletion(other("b").ref)
    # The newest first.
    assert live.moves_since(later, second) == Moves(((None, None), (second.get(REF), live.current.get(REF))))
    assert live.moves_since(begun, first) is None


def test_a_write_of_which_only_a_further_state_is_new_moved_its_object() -> None:
    live = LiveSnapshot(Clock())
    show(live, "old", 5)
    before, moves = live.current, live.moves
    live.expect(creation("new", "v"))

    assert (served(live), others(live)) == ("old", ["new"])
    assert live.moves_since(moves, before) == Moves(((before.get(REF), before.get(REF)),))


def test_a_read_that_changes_nothing_leaves_the_snapshot_as_it_is() -> None:
    live = LiveSnapshot(Clock())
    live.expect(creation())
    before = live.current

    live.resolve(REF, None, live.now())
    live.resolve(Ref(Kind.TOOL, "shop", "unknown"), None, live.now())
    assert live.current is before
    # Begun at the moment of the write: what it shows was there before.
    live.resolve(REF, manifest.decode(raw("else", "v", "9")), live.now())
    assert served(live) is None


WRITTEN = {
    "an update by the version it was made on": (("new", "5"), 5, "u", "new"),
    "an update by an older version": (("new", "5"), 4, "u", "new"),
    "an update by a later version": (("new", "5"), 6, "u", None),
    "an update by a version that nobody knows": (("new", "5"), None, "u", "new"),
    "a creation by its uid": ((), 9, "u", None),
    "a creation by another uid": ((), 9, "v", "get"),
    "a creation by its uid at no version": ((), None, "u", None),
}


@pytest.mark.parametrize("row", WRITTEN.values(), ids=WRITTEN)
def test_what_was_stored_is_seen_by_uid_and_version(row: Any) -> None:
    made, version, uid, pending = row
    live = LiveSnapshot(Clock())
    show(live, "there", 1, uid="before")
    live.expect(update(*made) if made else creation())

    fact = manifest.decode(raw("shown")).fact
    assert fact is not None
    live.observe(REF, fact, version, uid)

    states = {served(live), *others(live)} - {"shown"}
    assert states == ({pending} if pending else set())


ENDED = {
    "an update by the deletion of its object": (("new", "5"), 6, "u", True),
    "an update by a deletion at its version": (("new", "5"), 5, "u", True),
    "an update by an older deletion": (("new", "5"), 4, "u", False),
    "an update by a deletion that a list shows": (("new", "5"), None, "u", True),
    "a creation by the deletion of another object": ((), 9, "v", False),
    "a creation by its own deletion": ((), 9, "u", True),
    "a creation by a deletion of nobody knows what": ((), 9, "", False),
}


@pytest.mark.parametrize("row", ENDED.values(), ids=ENDED)
def test_what_was_deleted_is_seen_by_uid_and_version(row: Any) -> None:
    made, version, uid, ended = row
    live = LiveSnapshot(Clock())
    live.expect(update(*made) if made else creation())

    live.observe_deletion(REF, version, uid)

    assert (live.pending_since(REF) is None) is ended
    assert (served(live) is None) is ended


def test_writes_are_repetitions_if_they_say_the_same_of_the_same() -> None:
    def count(*changes: Change) -> int:
        live = LiveSnapshot(Clock())
        for change in changes:
            live.expect(change)
        return len(live._pending[REF])

    assert count(creation(uid="one"), creation(uid="two")) == 1
    assert count(creation(), creation("put")) == 2
    assert count(update("new", "5"), update("new", "5")) == 1
    assert count(update("new", "5"), update("new", "6")) == 2
    assert count(update("new", "5", uid="one"), update("new", "5", uid="two")) == 2
    assert count(creation("new"), update("new", "5")) == 2


def test_a_deletion_that_a_review_shows_leaves_no_state_but_the_stored_one() -> None:
    live = LiveSnapshot(Clock())
    show(live, "old", 5)
    live.expect(update("new", "5"))
    live.expect(update("newer", "6"))

    live.note_stored(REF, "u", "6")
    assert (served(live), others(live)) == ("newer", ["new"])
    live.note_stored(REF, "u", "7")
    assert (served(live), others(live), live.pending_since(REF)) == ("newer", [], None)
    # Nothing is on its way any more, so nothing can be shown.
    before = live.current
    live.note_stored(REF, "u", "8")
    assert live.current is before


SERVER = Ref(Kind.SERVER, "shop", "main")


def server_fact(name: str = "main", namespace: str = "shop") -> ServerFact:
    fact = manifest.decode({
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"toolSelector": {"selectAll": True}},
    }).fact  # fmt: skip
    assert isinstance(fact, ServerFact)
    return fact


def tool_facts(count: int, namespace: str = "shop") -> list[MemberFact]:
    items = [raw(f"get_{number}", name=f"tool-{number}") for number in range(count)]
    for item in items:
        item["metadata"]["namespace"] = namespace
    facts = [manifest.decode(item).fact for item in items]
    return [fact for fact in facts if isinstance(fact, MemberFact)]


def spreading(*known: Fact) -> tuple[LiveSnapshot, list[str]]:
    """A live snapshot that has these facts, and how often it said that something is late."""
    woken: list[str] = []
    live = LiveSnapshot(Clock())
    for fact in known:
        live.observe(fact.ref, fact)
    live.spread(lambda: woken.append("late"))
    return live, woken


def test_what_concerns_more_than_a_few_objects_is_late_until_it_was_placed_in_steps() -> None:
    live, woken = spreading(*tool_facts(live_snapshot.QUICK + 1))
    before = live.current

    live.observe(SERVER, server_fact())
    assert live.current is before
    assert (live.is_behind("shop"), live.is_behind("other"), live.is_late([REF, SERVER])) == (True, False, True)
    steps = [*live.place_late()]

    assert len(steps) > live_snapshot.QUICK
    assert woken == ["late"]
    assert len(live.current.view(SERVER).members) == live_snapshot.QUICK + 1
    assert (live.is_behind("shop"), live.is_late([SERVER])) == (False, False)


@pytest.mark.parametrize("count", [0, 1])
def test_what_concerns_few_objects_or_comes_before_anybody_judges_is_placed_at_once(count: int) -> None:
    live, woken = spreading(*tool_facts(live_snapshot.QUICK))
    if count:
        live, woken = LiveSnapshot(Clock()), []
        for fact in tool_facts(live_snapshot.QUICK + 1):
            live.observe(fact.ref, fact)

    live.observe(SERVER, server_fact())

    assert len(live.current.view(SERVER).members) == live_snapshot.QUICK + count
    assert not woken


def test_a_tool_that_many_servers_select_is_late_also_when_it_goes() -> None:
    servers = [server_fact(f"s-{number}") for number in range(live_snapshot.QUICK + 1)]
    live, woken = spreading(*servers, *tool_facts(1))
    ref = tool_facts(1)[0].ref

    live.observe_deletion(ref)
    assert live.current.get(ref) is not None
    assert [*live.place_late()]

    assert live.current.get(ref) is None
    assert woken == ["late"]


def test_what_is_late_in_one_namespace_does_not_wait_for_all_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_snapshot, "TOGETHER", 1)
    monkeypatch.setattr(live_snapshot, "QUICK", 3)
    live, _ = spreading(*tool_facts(4), *tool_facts(4, "other"))
    for name in "abc":
        live.observe(Ref(Kind.SERVER, "shop", name), server_fact(name))
    live.observe(Ref(Kind.SERVER, "other", "x"), server_fact("x", "other"))

    for _ in live.place_late():
        if not live.is_behind("other"):
            break

    assert live.is_late([Ref(Kind.SERVER, "shop", "c")])


def test_facts_that_look_at_many_objects_in_all_are_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    put, sizes = Snapshot.put_all, []

    def note(snapshot: Snapshot, facts: Any) -> Snapshot:
        sizes.append(len(facts))
        return put(snapshot, facts)

    live, woken = spreading(*(server_fact(f"s-{number}") for number in range(live_snapshot.QUICK)))
    assert live.current is not None
    monkeypatch.setattr(Snapshot, "put_all", note)
    for fact in tool_facts(7):
        live.observe(fact.ref, fact)

    assert sizes == [3, 3]
    assert not woken


def test_when_nobody_places_it_any_more_nothing_is_late() -> None:
    live, _ = spreading(*tool_facts(live_snapshot.QUICK + 1))
    live.observe(SERVER, server_fact())
    steps = live.place_late()
    next(steps)

    live.spread(None)

    assert not live.is_behind("shop")
    assert len(live.current.view(SERVER).members) == live_snapshot.QUICK + 1


def test_what_moves_without_end_does_not_keep_what_is_late_from_being_placed() -> None:
    live, _ = spreading(*tool_facts(live_snapshot.QUICK + 1))
    live.observe(SERVER, server_fact())
    number = 0
    for number, _ in enumerate(live.place_late()):
        fact = tool_facts(1, f"n{number % 7}")[0]
        live.observe(fact.ref, replace(fact, weight=number))
        assert number < 100 * live_snapshot.QUICK

    assert number
    assert not live.is_behind("shop")
    assert live.current == Snapshot.of(live.current).mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
