"""How long to wait after a watch has ended."""

from __future__ import annotations

import itertools

import pytest

from cluster.informers.retries import ABSENT_INTERVAL, MAX_DELAY, MAX_RECONNECT_DELAY, End, Retries


def delays(end: End, times: int, *, useful: bool = False) -> list[float]:
    retries = Retries(lambda: 1.0)
    return [retries.delay(end, useful=useful) for _ in range(times)]


@pytest.mark.parametrize("end", [End.EXPIRED, End.FAILED, End.LONG_EVENT, End.FINISHED])
def test_what_leads_nowhere_is_tried_less_and_less_often(end: End) -> None:
    found = delays(end, 12)

    assert found[0] == 0.0
    assert all(later == min(MAX_DELAY, 2 * earlier) for earlier, later in itertools.pairwise(found[1:]))
    assert found[-1] == MAX_DELAY


def test_an_api_server_that_does_not_answer_is_asked_every_second() -> None:
    found = delays(End.UNREACHABLE, 12)

    assert found[0] == 0.0
    assert 0.0 < found[1] < MAX_RECONNECT_DELAY
    assert found[-1] == MAX_RECONNECT_DELAY


@pytest.mark.parametrize(("end", "expected"), [(End.FINISHED, 0.0), (End.SILENT, 0.0), (End.ABSENT, ABSENT_INTERVAL)])
def test_a_useful_watch_is_opened_again_at_once(end: End, expected: float) -> None:
    assert all(delay == pytest.approx(expected, rel=0.5) for delay in delays(end, 5, useful=True))


@pytest.mark.parametrize(
    ("end", "jitter", "expected"),
    [
        (End.EXPIRED, 0.0, [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]),
        (End.EXPIRED, 1.0, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
        (End.UNREACHABLE, 0.0, [0.0, 0.25, 0.5, 0.5]),
        (End.UNREACHABLE, 1.0, [0.0, 0.5, 1.0, 1.0]),
        (End.ABSENT, 0.0, [15.0, 15.0]),
        (End.ABSENT, 1.0, [45.0, 45.0]),
    ],
)
def test_each_delay_is_at_least_half_of_the_longest_one(end: End, jitter: float, expected: list[float]) -> None:
    retries = Retries(lambda: jitter)
    assert [retries.delay(end, useful=False) for _ in expected] == expected


def test_a_useful_watch_ends_the_growth() -> None:
    retries = Retries(lambda: 1.0)
    for _ in range(8):
        retries.delay(End.EXPIRED, useful=False)

    retries.delay(End.FINISHED, useful=True)

    assert retries.fruitless == 0
    assert retries.delay(End.EXPIRED, useful=False) == 0.0


def test_attempts_of_many_replicas_are_spread() -> None:
    early, late = Retries(lambda: 0.0), Retries(lambda: 1.0)
    for retries in (early, late):
        retries.delay(End.UNREACHABLE, useful=False)

    assert early.delay(End.UNREACHABLE, useful=False) < late.delay(End.UNREACHABLE, useful=False)
