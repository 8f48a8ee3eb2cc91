"""PURE. Whether a regular expression can take exponential time where it is matched by trying one way after another.

The criterion is exponential degree of ambiguity (Weber and Seidl, 1991): some state of the automaton is reached from
itself by one word in two ways. The automaton is Glushkov's, whose states are the letters of the expression; ways
between two letters are counted, because ``(a*)*`` goes from a letter to itself in two of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from crd.schema import expressions
from crd.schema.expressions import Choice, Letter, Repeat, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crd.schema.expressions import Node

__all__ = ["TooComplexError", "exponential"]

MAX_STATES = 200
MAX_STEPS = 200_000
# A bounded repetition is unfolded up to this many times; a longer one counts as endless.
UNFOLDED = 8


class TooComplexError(Exception):
    """There is too much of it to look into."""


@lru_cache(maxsize=4096)
def exponential(text: str) -> bool:
    """Whether it may. Raises UnreadableError for what is not looked into, TooComplexError for too much."""
    automaton = _Automaton()
    automaton.part(expressions.parse(text))
    reachable = automaton.closure()
    twice = (edge for edge, count in automaton.edges.items() if count > 1)
    if any(source in reachable[target] or source == target for source, target in twice):
        return True
    return automaton.diverges(reachable)


@dataclass(frozen=True, slots=True)
class _Part:
    """The states with which a part begins and ends, and whether it may be empty."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    empty: bool


_NOTHING = _Part((), (), empty=True)


class _Automaton:
    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.edges: Counter[tuple[int, int]] = Counter()

    def part(self, node: Node) -> _Part:
        """Add the states and edges of an expression."""
        match node:
            case Letter():
                if len(self.letters) >= MAX_STATES:
                    raise TooComplexError
                self.letters.append(node)
                state = (len(self.letters) - 1,)
                return _Part(state, state, empty=False)
            case Sequence():
                whole = _NOTHING
                for each in node.parts:
                    whole = self._after(whole, self.part(each))
                return whole
            case Choice():
                parts = [self.part(option) for option in node.options]
                first = tuple(state for part in parts for state in part.first)
                last = tuple(state for part in parts for state in part.last)
                return _Part(first, last, empty=any(part.empty for part in parts))
        return self._repeated(node)

    def _after(self, before: _Part, after: _Part) -> _Part:
        self._connect(before.last, after.first)
        first = (*before.first, *after.first) if before.empty else before.first
        last = (*before.last, *after.last) if after.empty else after.last
        return _Part(first, last, before.empty and after.empty)

    def _repeated(self, node: Repeat) -> _Part:
        if node.most is not None and node.most <= UNFOLDED:
            whole = _NOTHING
            for number in range(node.most):
                part = self.part(node.inner)
                whole = self._after(whole, _Part(part.first, part.last, part.empty or number >= node.least))
            return whole
        inner = self.part(node.inner)
        self._connect(inner.last, inner.first)
        return _Part(inner.first, inner.last, inner.empty or node.least == 0)

    def _connect(self, sources: Iterable[int], targets: tuple[int, ...]) -> None:
        self.edges.update((source, target) for source in sources for target in targets)

    def closure(self) -> list[set[int]]:
        """For each state those that come after it."""
        following = self._following()
        found: list[set[int]] = []
        for state in range(len(self.letters)):
            seen: set[int] = set()
            waiting = [*following[state]]
            while waiting:
                other = waiting.pop()
                if other not in seen:
                    seen.add(other)
                    waiting += following[other]
            found.append(seen)
        return found

    def diverges(self, reachable: list[set[int]]) -> bool:
        """Whether two ways by one word begin at a state, part, and meet there again.

        A pair of states is followed as long as both may come back to where they parted.
        """
        following = self._following()
        steps = 0
        for state in range(len(self.letters)):
            if state not in reachable[state]:
                continue
            seen: set[tuple[int, int]] = set()
            waiting = [(a, b) for a, b in self._pairs(following[state], following[state]) if a < b]
            while waiting:
                pair = waiting.pop()
                steps += 1
                if steps > MAX_STEPS:
                    raise TooComplexError
                if pair in seen or not all(state in reachable[each] or each == state for each in pair):
                    continue
                seen.add(pair)
                for following_pair in self._pairs(following[pair[0]], following[pair[1]]):
                    if following_pair == (state, state):
                        return True
                    waiting.append(following_pair)
        return False

    def _following(self) -> list[list[int]]:
        following: list[list[int]] = [[] for _ in self.letters]
        for source, target in self.edges:
            following[source].append(target)
        return following

    def _pairs(self, ones: list[int], others: list[int]) -> list[tuple[int, int]]:
        return [(a, b) for a in ones for b in others if _meet(self.letters[a], self.letters[b])]


def _meet(one: Letter, other: Letter) -> bool:
    return any(low <= high2 and low2 <= high for low, high in one.ranges for low2, high2 in other.ranges)
