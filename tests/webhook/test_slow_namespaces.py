"""Whose objects take long on the event loop is judged elsewhere, and only they."""

from __future__ import annotations

from webhook import slow_namespaces
from webhook.slow_namespaces import ALLOWANCE_SECONDS, AWAY_SECONDS, LONG_SECONDS, REFILL, SlowNamespaces


def test_one_judgement_alone_is_forgiven_however_long_it_took() -> None:
    slow = SlowNamespaces()

    slow.note("shop", 10 * ALLOWANCE_SECONDS, 0.0)

    assert not slow.holds("shop", 0.0)


def test_another_one_soon_after_it_is_not_and_no_other_namespace_is_affected() -> None:
    slow = SlowNamespaces()
    slow.note("shop", ALLOWANCE_SECONDS, 0.0)
    slow.note("shop", LONG_SECONDS, 1.0)
    slow.note("bank", LONG_SECONDS, 1.0)

    assert slow.holds("shop", 1.0)
    assert slow.holds("shop", 0.9 + AWAY_SECONDS)
    assert not slow.holds("shop", 1.1 + AWAY_SECONDS)
    assert not slow.holds("bank", 1.0)


def test_many_that_take_a_little_long_use_up_the_allowance() -> None:
    slow = SlowNamespaces()
    count = int(ALLOWANCE_SECONDS / LONG_SECONDS)
    for _ in range(count):
        slow.note("shop", LONG_SECONDS, 0.0)
        assert not slow.holds("shop", 0.0)

    slow.note("shop", LONG_SECONDS, 0.0)

    assert slow.holds("shop", 0.0)


def test_the_allowance_comes_back() -> None:
    slow = SlowNamespaces()
    for second in range(100):
        slow.note("shop", ALLOWANCE_SECONDS / 2, second * ALLOWANCE_SECONDS / 2 / REFILL)

    assert not slow.holds("shop", 0.0)


def test_as_many_namespaces_are_remembered_as_may_be() -> None:
    slow = SlowNamespaces()
    for number in range(slow_namespaces.NAMESPACES + 1):
        for _ in range(2):
            slow.note(str(number), ALLOWANCE_SECONDS, 0.0)

    assert not slow.holds("0", 0.0)
    assert slow.holds("1", 0.0)
    assert slow.holds(str(slow_namespaces.NAMESPACES), 0.0)
