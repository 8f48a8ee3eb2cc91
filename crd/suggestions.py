"""PURE. "Did you mean": the known name that is most similar to an unknown one, at a limited cost.

Comparing two strings takes quadratic time, so the number and length of names and the number of lookups are limited.
Beyond the limits there is no suggestion, which only affects the text of a message.
"""

from __future__ import annotations

from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING

from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crd.steps import Steps

__all__ = ["MAX_LENGTH", "MAX_LOOKUPS", "MAX_NAMES", "Suggestions"]

MAX_NAMES = 200
MAX_LENGTH = 64
MAX_LOOKUPS = 10
# The number of names that are compared in full: those that share most letters.
MAX_COMPARED = 5


class Suggestions:
    """The names that are known in one place; `nearest` answers only the first lookups."""

    def __init__(self, known: Iterable[str]) -> None:
        """``known`` is read up to the limit, at the first lookup."""
        self._known = known
        self._names: list[str] | None = None
        self._left = MAX_LOOKUPS

    def nearest(self, name: str, cutoff: float = 0.6) -> str | None:
        """The most similar known name by the ratio of difflib; None below ``cutoff``, or after too many lookups."""
        return finish(self.nearest_in_steps(name, cutoff))

    def nearest_in_steps(self, name: str, cutoff: float = 0.6) -> Steps[str | None]:
        """The same as `nearest`, with a step for each name that it is compared with."""
        if len(name) > MAX_LENGTH or not self._left:
            return None
        self._left -= 1
        if self._names is None:
            self._names = [each for each in islice(self._known, MAX_NAMES) if len(each) <= MAX_LENGTH]
        from difflib import SequenceMatcher

        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(name)
        similar: list[tuple[float, int]] = []
        for index, each in enumerate(self._names):
            yield
            matcher.set_seq1(each)
            if matcher.real_quick_ratio() >= cutoff and (bound := matcher.quick_ratio()) >= cutoff:
                similar.append((bound, -index))
        best, found = cutoff, None
        for _, index in nlargest(MAX_COMPARED, similar):
            yield
            matcher.set_seq1(self._names[-index])
            ratio = matcher.ratio()
            if ratio > best or (found is None and ratio == best):
                best, found = ratio, self._names[-index]
        return found
