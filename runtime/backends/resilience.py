"""What keeps one failing backend from harming the others: bulkheads, circuit breakers and a retry budget."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.backends.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crd.published.policy import Breaker

__all__ = ["PER_HOST", "Breakers", "Bulkheads", "Protection", "RetryBudget", "backend_share"]

PER_HOST = 64
# Seconds over which the retry budget counts.
WINDOW = 10.0
# Retries may be this share of the calls in the window, but at least MIN_RETRIES: a rarely called backend needs some.
SHARE = 0.2
MIN_RETRIES = 10
# Faults that count as failures of the backend. After a 4xx the backend is healthy and the call was wrong.
_FAILURES = frozenset({"unreachable", "disconnected", "timeout", "upstream_error"})


def backend_share(requests: int) -> int:
    """How many calls to one backend may be in progress on a server that answers ``requests`` requests at once.

    Three quarters, and at least one: calls to a backend that does not answer must not use up the requests of a server.
    """
    return max(1, requests * 3 // 4)


class Bulkheads:
    """Limits of concurrent calls, each by name."""

    def __init__(self) -> None:
        self._in_progress: dict[str, int] = {}

    def enter(self, name: str, limit: int) -> None:
        """Count one call. Raises CallError ``unavailable`` if ``limit`` calls are in progress under this name."""
        in_progress = self._in_progress.get(name, 0)
        if in_progress >= limit:
            message = f"{limit} calls to this backend are in progress, which is the limit; retry in 1 s"
            raise CallError("unavailable", message, is_transient=True, retry_after=1)
        self._in_progress[name] = in_progress + 1

    def leave(self, name: str) -> None:
        """The call is over."""
        in_progress = self._in_progress[name] - 1
        if in_progress:
            self._in_progress[name] = in_progress
        else:
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

    def enter(self, name: str, breaker: Breaker) -> None:
        """Begin a call. Raises CallError ``unavailable`` while the circuit is open."""
        circuit = self._circuits.setdefault(name, _Circuit())
        if circuit.opened is None:
            return
        remaining = circuit.opened + breaker.open_for - self._monotonic()
        if remaining > 0 or circuit.half_open:
            retry_after = max(1, round(remaining))
            message = f"circuit open after {circuit.failures} consecutive failures; retry in {retry_after} s"
            raise CallError("unavailable", message, is_transient=True, retry_after=retry_after)
        circuit.half_open = True

    def leave(self, name: str, breaker: Breaker, error: BaseException | None) -> None:
        """Record how the call ended. A cancelled call says nothing about the backend."""
        circuit = self._circuits.setdefault(name, _Circuit())
        circuit.half_open = False
        if error is None or (isinstance(error, CallError) and error.code not in _FAILURES):
            circuit.failures, circuit.opened = 0, None
        elif isinstance(error, CallError):
            circuit.failures += 1
            if circuit.failures >= breaker.consecutive_failures:
                circuit.opened = self._monotonic()


class Protection:
    """A context in which one call runs: within the limits of its host and its source, and within its breaker.

    ``limit`` is that of the source, ``most`` what no host may exceed.
    """

    __slots__ = ("_breaker", "_breakers", "_bulkheads", "_host", "_host_limit", "_limit", "_source")

    def __init__(
        self,
        bulkheads: Bulkheads,
        breakers: Breakers,
        host: str,
        source: str,
        limit: int,
        breaker: Breaker | None,
        most: int,
    ) -> None:
        self._bulkheads = bulkheads
        self._breakers = breakers
        self._host = host
        self._source = source
        self._limit = limit
        self._host_limit = min(max(PER_HOST, limit), most)
        self._breaker = breaker

    def __enter__(self) -> None:
        self._bulkheads.enter(self._host, self._host_limit)
        try:
            self._bulkheads.enter(self._source, self._limit)
        except CallError:
            self._bulkheads.leave(self._host)
            raise
        if self._breaker is not None:
            try:
                self._breakers.enter(self._source, self._breaker)
            except CallError:
                self._leave()
                raise

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._leave()
        if self._breaker is not None:
            self._breakers.leave(self._source, self._breaker, error)

    def _leave(self) -> None:
        self._bulkheads.leave(self._source)
        self._bulkheads.leave(self._host)


class RetryBudget:
    """Limits the retries to each host within `WINDOW`. ``monotonic`` gives seconds.

    Calls are counted by the second, so the memory of a host does not grow with its calls.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._calls: dict[str, deque[list[int]]] = {}
        self._retries: dict[str, deque[list[int]]] = {}

    def record_call(self, host: str) -> None:
        """Count a call."""
        self._count(self._calls, host)

    def take(self, host: str) -> bool:
        """Whether a retry is allowed. If so, it is counted."""
        if self._sum(self._retries, host) >= max(MIN_RETRIES, SHARE * self._sum(self._calls, host)):
            return False
        self._count(self._retries, host)
        return True

    def _count(self, counts: dict[str, deque[list[int]]], host: str) -> None:
        recent, second = counts.get(host), int(self._monotonic())
        if recent is None:
            recent = counts[host] = deque(maxlen=int(WINDOW) + 1)
        if recent and recent[-1][0] == second:
            recent[-1][1] += 1
        else:
            recent.append([second, 1])

    def _sum(self, counts: dict[str, deque[list[int]]], host: str) -> int:
        oldest = self._monotonic() - WINDOW
        return sum(number for second, number in counts.get(host, ()) if second > oldest)
