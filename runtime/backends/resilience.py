"""What keeps one failing backend from harming the others: bulkheads, circuit breakers and a retry budget."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from runtime.backends.faults import CallError, Fate
from runtime.mcp.jsonrpc import RpcError

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
MAX_HOSTS = 4096
# No answer: the backend keeps callers waiting, or cannot be reached.
_NO_ANSWER = frozenset({"unreachable", "disconnected", "timeout"})
# Answers that say that the backend, or what is in front of it, cannot serve at present (RFC 9110, 15.6). Any other
# answer is one: 500 is about one request, and could otherwise be caused by one caller to keep the others out.
_OVERLOADED = frozenset({502, 503, 504})


@lru_cache(maxsize=16)
def backend_share(requests: int) -> int:
    """How many calls to one backend may be in progress on a server that answers ``requests`` requests at once.

    Three quarters, and at least one: calls to a backend that does not answer must not use up the requests of a server.
    """
    return max(1, requests * 3 // 4)


class Bulkheads:
    """Limits of concurrent calls, by host and by source. No host has the name of a source."""

    def __init__(self) -> None:
        self._in_progress: dict[str, int] = {}

    def enter(self, host: str, most: int, source: str, limit: int) -> None:
        """Count one call of a source to a host. Raises CallError ``unavailable`` if one of them is at its limit."""
        counts = self._in_progress
        of_host, of_source = counts.get(host, 0), counts.get(source, 0)
        if of_host >= most or of_source >= limit:
            reached = most if of_host >= most else limit
            message = f"{reached} calls to this backend are in progress, which is the limit; retry in 1 s"
            raise CallError("unavailable", message, is_transient=True, retry_after=1)
        counts[host], counts[source] = of_host + 1, of_source + 1

    def leave(self, host: str, source: str) -> None:
        """The call is over."""
        counts = self._in_progress
        for name in (host, source):
            in_progress = counts[name] - 1
            if in_progress:
                counts[name] = in_progress
            else:
                del counts[name]


@dataclass(slots=True)
class _Circuit:
    """``opened`` is a time, ``open_for`` seconds. ``trial`` is the call whose outcome is waited for."""

    failures: int = 0
    opened: float | None = None
    open_for: float = 0.0
    trial: object = None


class Breakers:
    """Circuit breakers by name. ``monotonic`` gives seconds. ``on_open`` is called when one opens.

    A breaker protects callers, and this process, from waiting for a backend that does not answer. After a number of
    consecutive failures calls fail at once. Later one trial call is let through. Any answer to it closes the circuit,
    also an error. 502, 503 and 504 come from what is in front of a backend, and count as failures. Nothing is kept of a
    closed circuit without failures.
    """

    def __init__(self, monotonic: Callable[[], float], on_open: Callable[[], None] = lambda: None) -> None:
        self._monotonic = monotonic
        self._on_open = on_open
        self._circuits: dict[str, _Circuit] = {}

    def enter(self, name: str, breaker: Breaker, call: object) -> None:
        """Begin a call. Raises CallError ``unavailable`` while the circuit is open."""
        circuit = self._circuits.get(name)
        if circuit is None or circuit.opened is None:
            return
        remaining = circuit.opened + breaker.open_for - self._monotonic()
        if remaining > 0 or circuit.trial is not None:
            retry_after = max(1, round(remaining))
            message = f"circuit open after {circuit.failures} consecutive failures; retry in {retry_after} s"
            raise CallError("unavailable", message, is_transient=True, retry_after=retry_after)
        circuit.trial = call

    def leave(self, name: str, breaker: Breaker, call: object, error: BaseException | None) -> None:
        """Record how the call ended. A call that was cancelled, or not sent, says nothing about the backend."""
        circuit = self._circuits.get(name)
        if circuit is not None and circuit.trial is call:
            circuit.trial = None
        if _is_answered(error):
            if circuit is not None and circuit.trial is None:
                del self._circuits[name]
        elif _is_failure(error):
            if circuit is None:
                if len(self._circuits) >= MAX_HOSTS:
                    del self._circuits[next(iter(self._circuits))]
                circuit = self._circuits[name] = _Circuit()
            circuit.failures += 1
            if circuit.failures >= breaker.consecutive_failures:
                if circuit.opened is None:
                    self._on_open()
                circuit.opened, circuit.open_for = self._monotonic(), breaker.open_for

    def states(self) -> dict[str, str]:
        """The circuits that are not closed: ``open``, or ``half-open`` when a trial is due or in progress."""
        now = self._monotonic()
        return {
            name: "open" if circuit.opened + circuit.open_for > now else "half-open"
            for name, circuit in self._circuits.items()
            if circuit.opened is not None
        }


def _is_failure(error: BaseException | None) -> bool:
    return isinstance(error, CallError) and (error.code in _NO_ANSWER or error.status in _OVERLOADED)


def _is_answered(error: BaseException | None) -> bool:
    """Whether the backend answered: with a result, an error of MCP, or a status that says no more than that."""
    if error is None or isinstance(error, RpcError):
        return True
    if not isinstance(error, CallError) or _is_failure(error):
        return False
    return error.status is not None or error.fate is not Fate.NOT_SENT


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
        self._bulkheads.enter(self._host, self._host_limit, self._source, self._limit)
        if self._breaker is not None:
            try:
                self._breakers.enter(self._source, self._breaker, self)
            except CallError:
                self._bulkheads.leave(self._host, self._source)
                raise

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._bulkheads.leave(self._host, self._source)
        if self._breaker is not None:
            self._breakers.leave(self._source, self._breaker, self, error)


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
        recent = self._calls.get(host)
        if recent and recent[-1][0] == int(self._monotonic()):
            recent[-1][1] += 1
        else:
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
            if len(counts) >= MAX_HOSTS:
                del counts[next(iter(counts))]
            recent = counts[host] = deque(maxlen=int(WINDOW) + 1)
        if recent and recent[-1][0] == second:
            recent[-1][1] += 1
        else:
            recent.append([second, 1])

    def _sum(self, counts: dict[str, deque[list[int]]], host: str) -> int:
        oldest = self._monotonic() - WINDOW
        return sum(number for second, number in counts.get(host, ()) if second > oldest)
