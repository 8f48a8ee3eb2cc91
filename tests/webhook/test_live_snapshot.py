"""What was allowed counts until a watch shows it, or until it is clear that it never came."""

from __future__ import annotations

from crd.facts import Claim, MemberFact, Space
from crd.ref import Kind, Ref
from webhook.live_snapshot import IN_FLIGHT_SECONDS, Memory

REF = Ref(Kind.TOOL, "shop", "a")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fact(name: str = "a", uid: str = "") -> MemberFact:
    return MemberFact(REF, {"app": "shop"}, uid, "2026" if uid else "", (Claim(Space.TOOL_NAME, name),), ())


def test_an_allowed_object_is_there_at_once() -> None:
    memory = Memory(Clock())

    memory.expect(fact())

    assert memory.snapshot.get(REF) == fact()


def test_when_a_watch_shows_it_the_watch_is_believed() -> None:
    memory = Memory(Clock())
    memory.expect(fact())

    memory.shown(fact(uid="u"))
    memory.shown(fact("renamed", "u"))

    assert memory.snapshot.get(REF) == fact("renamed", "u")


def test_an_older_state_shown_meanwhile_does_not_hide_it() -> None:
    memory = Memory(Clock())
    memory.shown(fact("old", "u"))
    memory.expect(fact("new"))

    memory.shown(fact("old", "u"))

    assert memory.snapshot.get(REF) == fact("new")


def test_what_never_came_is_forgotten_and_what_was_shown_counts_again() -> None:
    clock = Clock()
    memory = Memory(clock)
    memory.shown(fact("old", "u"))
    memory.expect(fact("new"))
    memory.expect(fact("newer"))

    clock.now = IN_FLIGHT_SECONDS + 1

    assert memory.snapshot.get(REF) == fact("old", "u")


def test_what_never_was_is_dropped() -> None:
    clock = Clock()
    memory = Memory(clock)
    memory.expect(fact())

    clock.now = IN_FLIGHT_SECONDS + 1

    assert memory.snapshot.get(REF) is None


def test_a_read_that_finds_nothing_does_not_undo_what_is_on_its_way() -> None:
    memory = Memory(Clock())
    memory.expect(fact())

    memory.absent(REF)
    assert memory.snapshot.get(REF) == fact()
    memory.gone(REF)
    assert memory.snapshot.get(REF) is None
