"""What keeps one bad backend from harming the rest: bulkheads, circuit breakers, a budget of retries."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.backends.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crd.published.policy import Breaker

__all__ = ["Breakers", "Bulkheads", "RetryBudget"]

PER_HOST = 64
WINDOW = 10.0
SHARE = 0.2
# Without a floor, a backend that is called now and then would never be called again.
FLOOR = 10
# What says that a backend is ill; a 4xx says that it is well and the call was wrong.
_ILL = frozenset({"unreachable", "timeout", "upstream_error"})


class Bulkheads:
    """How many calls are in progress, by name of a wall."""

    def __init__(self) -> None:
        self._inside: Counter[str] = Counter()

    @contextmanager
    def within(self, name: str, limit: int) -> Iterator[None]:
        """One call behind a wall. Raises CallError ``unavailable`` where ``limit`` are there already."""
        if self._inside[name] >= limit:
            message = f"{limit} calls are in progress there"
            raise CallError("unavailable", message, retryable=True, retry_after=1)
        self._inside[name] += 1
        try:
            yield
        finally:
            self._inside[name] -= 1
            if not self._inside[name]:
                del self._inside[name]


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    opened: float | None = None
    trying: bool = False


class Breakers:
    """After so many failures in a row calls fail at once, until one is let through again. ``monotonic`` in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._circuits: dict[str, _Circuit] = {}

    @contextmanager
    def through(self, name: str, breaker: Breaker | None) -> Iterator[None]:
        """One call, whose fault counts. Raises CallError ``unavailable`` while the circuit is open."""
        if breaker is None:
            yield
            return
        circuit = self._circuits.setdefault(name, _Circuit())
        self._enter(circuit, breaker)
        try:
            yield
        except CallError as fault:
            circuit.trying = False
            if fault.code in _ILL:
                circuit.failures += 1
                if circuit.failures >= breaker.consecutive_failures:
                    circuit.opened = self._monotonic()
            else:
                circuit.failures, circuit.opened = 0, None
            raise
        except BaseException:
            # Called off: that says nothing about the backend.
            circuit.trying = False
            raise
        circuit.failures, circuit.opened, circuit.trying = 0, None, False

    def _enter(self, circuit: _Circuit, breaker: Breaker) -> None:
        if circuit.opened is None:
            return
        rest = circuit.opened + breaker.open_for - self._monotonic()
        if rest > 0 or circuit.trying:
            message = "this backend failed again and again; it is left alone for a while"
            raise CallError("unavailable", message, retryable=True, retry_after=max(1, round(rest)))
        circuit.trying = True


class RetryBudget:
    """Of the calls of the last ten seconds to a backend, a fifth may be retries, and ten in any case."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._calls: dict[str, deque[float]] = {}
        self._retries: dict[str, deque[float]] = {}

    def called(self, host: str) -> None:
        """A call begins."""
        self._recent(self._calls, host).append(self._monotonic())

    def take(self, host: str) -> bool:
        """Whether a retry may be made; it is counted if so."""
        retries = self._recent(self._retries, host)
        if len(retries) >= max(FLOOR, SHARE * len(self._recent(self._calls, host))):
            return False
        retries.append(self._monotonic())
        return True

    def _recent(self, times: dict[str, deque[float]], host: str) -> deque[float]:
        found = times.setdefault(host, deque())
        oldest = self._monotonic() - WINDOW
        while found and found[0] <= oldest:
            found.popleft()
        return found
