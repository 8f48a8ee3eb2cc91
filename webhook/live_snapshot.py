"""The snapshot the webhook judges by: what the watches show, and what it allowed and no watch has shown yet.

Two requests a moment apart must see each other, although the API server tells us of the first only later. So every
allowed object is in the snapshot at once, and stays until a watch shows it or it is clear that it was never stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crd import extraction, manifest
from crd.facts import MemberFact, ServerFact
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from crd.facts import Fact

__all__ = ["IN_FLIGHT_SECONDS", "Memory", "fact_of"]

# Longer than an API request may take (60 s), with room for a watch that lags.
IN_FLIGHT_SECONDS = 75.0


@dataclass(frozen=True, slots=True)
class _InFlight:
    fact: Fact
    until: float
    shown: Fact | None


class Memory:
    """``monotonic`` gives seconds. All methods are quick and none waits."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        # What the operator may not list, Secrets above all, it cannot say to be missing.
        self._catalog = Snapshot().blind_to(Kind.SECRET, Kind.CONFIG_MAP)
        self._monotonic = monotonic
        self._in_flight: dict[Ref, _InFlight] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot as of now."""
        now = self._monotonic()
        while self._in_flight:
            ref, entry = next(iter(self._in_flight.items()))
            if entry.until > now:
                break
            del self._in_flight[ref]
            self._catalog = self._catalog.put(entry.shown) if entry.shown else self._catalog.drop(ref)
        return self._catalog

    def expect(self, fact: Fact) -> None:
        """This was allowed; it counts until a watch shows it, or for `IN_FLIGHT_SECONDS`."""
        earlier = self._in_flight.pop(fact.ref, None)
        shown = earlier.shown if earlier else self._catalog.get(fact.ref)
        self._in_flight[fact.ref] = _InFlight(fact, self._monotonic() + IN_FLIGHT_SECONDS, shown)
        self._catalog = self._catalog.put(fact)

    def shown(self, fact: Fact) -> None:
        """A watch, or a read of this very object, shows this state."""
        entry = self._in_flight.get(fact.ref)
        if entry is not None and not _same(entry.fact, fact):
            self._in_flight[fact.ref] = _InFlight(entry.fact, entry.until, fact)
            return
        self._in_flight.pop(fact.ref, None)
        self._catalog = self._catalog.put(fact)

    def gone(self, ref: Ref) -> None:
        """A watch, or a read of this very object, shows that it is not there."""
        self._in_flight.pop(ref, None)
        self._catalog = self._catalog.drop(ref)

    def absent(self, ref: Ref) -> None:
        """A read shows nothing there; what was allowed a moment ago may still be on its way."""
        if ref not in self._in_flight:
            self._catalog = self._catalog.drop(ref)


def _same(expected: Fact, shown: Fact) -> bool:
    """Equal but for what the API server adds when it stores an object."""
    if isinstance(expected, MemberFact | ServerFact) and isinstance(shown, MemberFact | ServerFact):
        return replace(expected, uid=shown.uid, created=shown.created) == shown
    return expected == shown


def fact_of(kind: Kind, item: dict[str, Any]) -> Fact | None:
    """The facts of a stored object; None if its spec cannot be read."""
    return manifest.decode(item).fact if kind in manifest.OURS else extraction.facts_of_foreign(item)
