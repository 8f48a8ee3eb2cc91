"""The limit for failed authentication."""

from __future__ import annotations

from runtime.auth import attempts
from runtime.auth.attempts import BURST, REFILL, Attempts

BAD, GOOD = ["Bearer bad"], ["Bearer good"]


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def exhausted(time: Time, address: str = "a") -> Attempts:
    found = Attempts(time)
    for _ in range(BURST):
        assert found.wait(address, BAD) is None
        found.record_failure(address, BAD)
    return found


def test_an_address_gets_one_more_attempt_at_a_time() -> None:
    time = Time()
    found = exhausted(time)

    assert found.wait("a", BAD) == REFILL
    assert found.wait("b", BAD) is None
    time.now += REFILL
    assert found.wait("a", BAD) is None
    found.record_failure("a", BAD)
    assert found.wait("a", BAD) == REFILL


def test_credentials_that_were_accepted_are_tried_until_they_fail() -> None:
    found = exhausted(Time())
    found.record_success(GOOD)

    assert found.wait("a", GOOD) is None
    found.record_failure("a", GOOD)
    assert found.wait("a", GOOD) is not None


def test_what_is_remembered_has_a_limit() -> None:
    found = Attempts(Time())
    for number in range(attempts.MAX_ADDRESSES + 10):
        found.record_failure(f"a{number}", BAD)
        found.record_success([f"Bearer {number}", "\udcff"])

    assert len(found._restored) == attempts.MAX_ADDRESSES
    assert len(found._known) == attempts.MAX_KNOWN
