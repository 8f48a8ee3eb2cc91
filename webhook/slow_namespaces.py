"""PURE. The namespaces whose objects take long on the event loop. For a while, other processes judge theirs.

What a judgement takes on the event loop delays everybody. An object that takes long is not always seen beforehand, and
whoever sends one may send many. So a namespace has an allowance of such time, which refills slowly.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

__all__ = ["LONG_SECONDS", "SlowNamespaces"]

T = TypeVar("T")

# A judgement that takes less CPU time is not counted: it delays the others by about as much as an ordinary one.
LONG_SECONDS = 0.003
# The allowance, and how much of it comes back in a second. A single judgement may be the first that needs a module or a
# cache, so it never exhausts the allowance alone.
ALLOWANCE_SECONDS = 0.02
REFILL = 0.002
AWAY_SECONDS = 60.0
NAMESPACES = 1024


class SlowNamespaces:
    """``now`` is in seconds, by any clock that does not go back. ``until`` says how long others judge a namespace."""

    def __init__(self) -> None:
        self.until: OrderedDict[str, float] = OrderedDict()
        # What was used, and when that was noted.
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def note(self, namespace: str, seconds: float, now: float) -> None:
        """A judgement of this namespace took so much CPU time on the event loop, at least `LONG_SECONDS`."""
        before, at = self._used.pop(namespace, (0.0, now))
        before = max(0.0, before - (now - at) * REFILL)
        if before and before + seconds > ALLOWANCE_SECONDS:
            _remember(self.until, namespace, now + AWAY_SECONDS)
        else:
            _remember(self._used, namespace, (min(before + seconds, ALLOWANCE_SECONDS), now))

    def holds(self, namespace: str, now: float) -> bool:
        """Whether others judge this namespace."""
        return self.until.get(namespace, 0.0) > now


def _remember(kept: OrderedDict[str, T], namespace: str, what: T) -> None:
    kept.pop(namespace, None)
    kept[namespace] = what
    if len(kept) > NAMESPACES:
        kept.popitem(last=False)
