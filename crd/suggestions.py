"""PURE. "Did you mean": the known name that an unknown one looks like, at a bounded cost.

Comparing two texts takes quadratic time, so the names, their lengths and the number of look-ups are limited. Whoever
asks more often gets no suggestion, which changes the wording of a message and nothing else.
"""

from __future__ import annotations

from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_LENGTH", "MAX_LOOKUPS", "MAX_NAMES", "Suggestions"]

MAX_NAMES = 200
MAX_LENGTH = 64
MAX_LOOKUPS = 10
# Names that are compared in full, out of those that share most letters.
MAX_COMPARED = 5


class Suggestions:
    """The names that are known at one place; `nearest` answers the first look-ups only."""

    def __init__(self, known: Iterable[str]) -> None:
        """``known`` is read up to the limit, and not before the first look-up."""
        self._known = known
        self._names: list[str] | None = None
        self._left = MAX_LOOKUPS

    def nearest(self, name: str, cutoff: float = 0.6) -> str | None:
        """The known name that is most like this one; None if none is, by difflib's ratio, or if too many were asked."""
        if len(name) > MAX_LENGTH or not self._left:
            return None
        self._left -= 1
        if self._names is None:
            self._names = [each for each in islice(self._known, MAX_NAMES) if len(each) <= MAX_LENGTH]
        from difflib import SequenceMatcher

        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(name)
        alike: list[tuple[float, int]] = []
        for index, each in enumerate(self._names):
            matcher.set_seq1(each)
            if matcher.real_quick_ratio() >= cutoff and (bound := matcher.quick_ratio()) >= cutoff:
                alike.append((bound, -index))
        best, found = cutoff, None
        for _, index in nlargest(MAX_COMPARED, alike):
            matcher.set_seq1(self._names[-index])
            ratio = matcher.ratio()
            if ratio > best or (found is None and ratio == best):
                best, found = ratio, self._names[-index]
        return found
