"""Bulkheads, circuit breakers and the retry budget: each bound, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from crd.published.policy import Breaker
from runtime.backends import resilience
from runtime.backends.faults import CallError, Fate
from runtime.backends.resilience import Breakers, Bulkheads, Protection, RetryBudget, backend_share
from runtime.mcp.jsonrpc import RpcError

BREAKER = Breaker(2, 30.0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(("requests", "share"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3), (100, 75)])
def test_a_backend_gets_three_quarters_of_the_requests_and_at_least_one(requests: int, share: int) -> None:
    assert backend_share(requests) == share


@pytest.mark.parametrize(("most", "limit", "reached"), [(2, 5, 2), (5, 2, 2), (2, 2, 2), (1, 3, 1)])
def test_calls_are_limited_by_host_and_by_source(most: int, limit: int, reached: int) -> None:
    bulkheads = Bulkheads()
    for _ in range(reached):
        bulkheads.enter("h:80", most, "tool a", limit)

    with pytest.raises(CallError) as caught:
        bulkheads.enter("h:80", most, "tool a", limit)

    fault = caught.value
    assert fault.message == f"{reached} calls to this backend are in progress, which is the limit; retry in 1 s"
    assert (fault.code, fault.retryable, fault.retry_after) == ("unavailable", True, 1)
    bulkheads.enter("other:80", most, "tool b", limit)
    bulkheads.leave("h:80", "tool a")
    bulkheads.enter("h:80", most, "tool a", limit)


def test_sources_share_the_limit_of_their_host_and_nothing_is_kept_of_calls_that_are_over() -> None:
    bulkheads = Bulkheads()
    bulkheads.enter("h:80", 2, "tool a", 9)
    bulkheads.enter("h:80", 2, "tool b", 9)
    with pytest.raises(CallError, match="2 calls"):
        bulkheads.enter("h:80", 2, "tool c", 9)
    assert bulkheads._in_progress == {"h:80": 2, "tool a": 1, "tool b": 1}

    bulkheads.leave("h:80", "tool a")
    assert bulkheads._in_progress == {"h:80": 1, "tool b": 1}
    bulkheads.leave("h:80", "tool b")
    assert bulkheads._in_progress == {}


def fault(code: str, fate: Fate = Fate.UNKNOWN, status: int | None = None) -> CallError:
    return CallError(code, "x", fate, status=status)


@pytest.mark.parametrize(
    ("error", "effect"),
    [
        (None, "answer"),
        (RpcError(-32603, "no"), "answer"),
        (fault("upstream_error", status=500), "answer"),
        (fault("invalid_request", Fate.REFUSED, 400), "answer"),
        (fault("bad_response", status=200), "answer"),
        (fault("bad_response"), "answer"),
        (fault("bad_response", Fate.NOT_SENT, 200), "answer"),
        (fault("upstream_error", status=502), "failure"),
        (fault("upstream_error", status=503), "failure"),
        (fault("upstream_error", status=504), "failure"),
        (fault("timeout"), "failure"),
        (fault("disconnected"), "failure"),
        (fault("unreachable", Fate.NOT_SENT), "failure"),
        (fault("misconfigured", Fate.NOT_SENT), "nothing"),
        (asyncio.CancelledError(), "nothing"),
        (ZeroDivisionError(), "nothing"),
    ],
)
def test_the_end_of_a_call_is_an_answer_a_failure_or_says_nothing(
    clock: Clock, error: BaseException | None, effect: str
) -> None:
    breakers = Breakers(clock)
    breakers.leave("a", BREAKER, object(), fault("timeout"))

    breakers.leave("a", BREAKER, object(), error)

    assert breakers.states() == ({"a": "open"} if effect == "failure" else {})
    breakers.leave("a", BREAKER, object(), fault("timeout"))
    assert breakers.states() == ({} if effect == "answer" else {"a": "open"})


def test_an_open_circuit_fails_calls_at_once_and_lets_one_trial_through_later(clock: Clock) -> None:
    opened: list[float] = []
    breakers = Breakers(clock, lambda: opened.append(clock.now))
    for _ in range(2):
        breakers.enter("a", BREAKER, object())
        breakers.leave("a", BREAKER, object(), fault("timeout"))
    breakers.enter("b", BREAKER, object())

    clock.now += 10.4
    with pytest.raises(CallError) as caught:
        breakers.enter("a", BREAKER, object())
    found = caught.value
    assert (found.code, found.retry_after, found.is_transient) == ("unavailable", 20, True)
    assert found.message == "circuit open after 2 consecutive failures; retry in 20 s"
    assert breakers.states() == {"a": "open"}

    clock.now = 1030.0
    assert breakers.states() == {"a": "half-open"}
    trial = object()
    breakers.enter("a", BREAKER, trial)
    clock.now += 60
    with pytest.raises(CallError, match="retry in 1 s"):
        breakers.enter("a", BREAKER, object())
    # A call from before the circuit opened proves nothing.
    breakers.leave("a", BREAKER, object(), None)
    assert breakers.states() == {"a": "half-open"}
    breakers.leave("a", BREAKER, trial, fault("timeout"))
    assert breakers.states() == {"a": "open"}
    with pytest.raises(CallError, match="after 3 consecutive failures; retry in 30 s"):
        breakers.enter("a", BREAKER, object())

    clock.now += 30
    trial = object()
    breakers.enter("a", BREAKER, trial)
    breakers.leave("a", BREAKER, trial, None)
    assert (breakers.states(), breakers._circuits, opened) == ({}, {}, [1000.0])
    breakers.enter("a", BREAKER, object())


def test_a_trial_that_is_cancelled_is_followed_by_another(clock: Clock) -> None:
    breakers, once = Breakers(clock), Breaker(1, 5.0)
    breakers.leave("a", once, object(), fault("timeout"))
    clock.now += 5
    trial = object()
    breakers.enter("a", once, trial)

    breakers.leave("a", once, trial, asyncio.CancelledError())

    assert breakers.states() == {"a": "half-open"}
    breakers.enter("a", once, object())


def test_the_oldest_circuits_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resilience, "MAX_HOSTS", 2)
    breakers, once = Breakers(clock), Breaker(1, 5.0)
    for name in "abc":
        breakers.leave(name, once, object(), fault("timeout"))

    assert breakers.states() == {"b": "open", "c": "open"}


@pytest.mark.parametrize(
    ("limit", "most", "of_host"), [(3, 100, 64), (80, 100, 80), (80, 70, 70), (3, 10, 10), (64, 64, 64)]
)
def test_a_host_has_the_limit_of_all_hosts_or_that_of_its_source(
    clock: Clock, limit: int, most: int, of_host: int
) -> None:
    assert Protection(Bulkheads(), Breakers(clock), "h", "a", limit, None, most)._host_limit == of_host


def test_a_protected_call_leaves_no_trace_but_its_failure(clock: Clock) -> None:
    bulkheads, breakers, once = Bulkheads(), Breakers(clock), Breaker(1, 5.0)
    protection = Protection(bulkheads, breakers, "h", "a", 3, once, 3)

    with protection:
        assert bulkheads._in_progress == {"h": 1, "a": 1}
    assert (bulkheads._in_progress, breakers._circuits) == ({}, {})
    with suppress(CallError), protection:
        raise fault("timeout")
    assert (bulkheads._in_progress, breakers.states()) == ({}, {"a": "open"})
    with pytest.raises(CallError, match="circuit open after 1 "), protection:
        raise AssertionError
    assert bulkheads._in_progress == {}
    clock.now += 5
    with protection, pytest.raises(CallError, match="circuit open"):
        breakers.enter("a", once, object())
    assert breakers.states() == {}


def test_a_host_may_be_asked_again_for_a_fifth_of_its_calls(clock: Clock) -> None:
    budget = RetryBudget(clock)
    assert [budget.take("rare") for _ in range(11)] == [True] * 10 + [False]
    for _ in range(60):
        budget.record_call("busy")

    assert [budget.take("busy") for _ in range(13)] == [True] * 12 + [False]
    clock.now += 9
    assert not budget.take("busy")
    clock.now += 1
    # The calls and the retries of ten seconds ago count no more.
    assert [budget.take("busy") for _ in range(11)] == [True] * 10 + [False]


def test_calls_are_counted_by_the_second(clock: Clock) -> None:
    budget = RetryBudget(clock)
    for now in (1000.0, 1000.9, 1001.0, 1001.5):
        clock.now = now
        budget.record_call("a")
        budget.take("a")

    counted = [[1000, 2], [1001, 2]]
    assert (list(budget._calls["a"]), list(budget._retries["a"])) == (counted, counted)
    for second in range(1002, 1030):
        clock.now = float(second)
        budget.record_call("a")
    assert [second for second, _ in budget._calls["a"]] == list(range(1019, 1030))


def test_the_hosts_that_were_counted_first_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resilience, "MAX_HOSTS", 2)
    budget = RetryBudget(clock)
    for host in ("a", "b", "b", "c"):
        budget.record_call(host)

    assert list(budget._calls) == ["b", "c"]
