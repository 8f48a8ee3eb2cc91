"""What keeps one failing backend from harming the others: bulkheads, circuit breakers and a retry budget."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.backends.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crd.published.policy import Breaker

__all__ = ["PER_HOST", "Breakers", "Bulkheads", "RetryBudget"]

PER_HOST = 64
# Seconds over which the retry budget counts.
WINDOW = 10.0
# Retries may be this share of the calls in the window, but at least MIN_RETRIES: a rarely called backend needs some.
SHARE = 0.2
MIN_RETRIES = 10
# Faults that count as failures of the backend. After a 4xx the backend is healthy and the call was wrong.
_FAILURES = frozenset({"unreachable", "disconnected", "timeout", "upstream_error"})


class Bulkheads:
    """Limits of concurrent calls, each by name."""

    def __init__(self) -> None:
        self._in_progress: Counter[str] = Counter()

    @contextmanager
    def limit(self, name: str, limit: int) -> Iterator[None]:
        """Count one call. Raises CallError ``unavailable`` if ``limit`` calls are in progress under this name."""
        if self._in_progress[name] >= limit:
            message = f"{limit} calls to this backend are in progress, which is the limit; retry in 1 s"
            raise CallError("unavailable", message, is_transient=True, retry_after=1)
        self._in_progress[name] += 1
        try:
            yield
        finally:
            self._in_progress[name] -= 1
            if not self._in_progress[name]:
                del self._in_progress[name]


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    opened: float | None = None
    half_open: bool = False


class Breakers:
    """Circuit breakers by name. ``monotonic`` gives seconds.

    After a number of consecutive failures calls fail at once, until a trial call succeeds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._circuits: dict[str, _Circuit] = {}

    @contextmanager
    def guard(self, name: str, breaker: Breaker | None) -> Iterator[None]:
        """Run one call and record its outcome. Raises CallError ``unavailable`` while the circuit is open."""
        if breaker is None:
            yield
            return
        circuit = self._circuits.setdefault(name, _Circuit())
        if circuit.opened is not None:
            remaining = circuit.opened + breaker.open_for - self._monotonic()
            if remaining > 0 or circuit.half_open:
                retry_after = max(1, round(remaining))
                message = f"circuit open after {circuit.failures} consecutive failures; retry in {retry_after} s"
                raise CallError("unavailable", message, is_transient=True, retry_after=retry_after)
            circuit.half_open = True
        try:
            yield
        except CallError as fault:
            circuit.half_open = False
            if fault.code in _FAILURES:
                circuit.failures += 1
                if circuit.failures >= breaker.consecutive_failures:
                    circuit.opened = self._monotonic()
            else:
                circuit.failures, circuit.opened = 0, None
            raise
        except BaseException:
            # A cancelled call says nothing about the backend.
            circuit.half_open = False
            raise
        circuit.failures, circuit.opened, circuit.half_open = 0, None, False


class RetryBudget:
    """Limits the retries to each host within `WINDOW`. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._calls: dict[str, deque[float]] = {}
        self._retries: dict[str, deque[float]] = {}

    def record_call(self, host: str) -> None:
        """Count a call."""
        self._recent(self._calls, host).append(self._monotonic())

    def take(self, host: str) -> bool:
        """Whether a retry is allowed. If so, it is counted."""
        retries = self._recent(self._retries, host)
        if len(retries) >= max(MIN_RETRIES, SHARE * len(self._recent(self._calls, host))):
            return False
        retries.append(self._monotonic())
        return True

    def _recent(self, times: dict[str, deque[float]], host: str) -> deque[float]:
        recent = times.setdefault(host, deque())
        oldest = self._monotonic() - WINDOW
        while recent and recent[0] <= oldest:
            recent.popleft()
        return recent
