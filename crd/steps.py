"""PURE. Work that is done in steps, so that who does it can look after others between two of them.

Between two steps a generator pauses: it yields None, and in the end returns its result. An iterator that yields items
pauses by yielding None among them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Steps", "advance", "finish", "skip_pauses"]

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]


def finish(steps: Steps[T]) -> T:
    """Do all steps without a pause."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: T = end.value
        return result


def skip_pauses(items: Iterable[T | None]) -> Iterator[T]:
    """The items of an iterator that pauses."""
    return (item for item in items if item is not None)


def advance(steps: Steps[T], most: int) -> T | None:
    """Do so many steps at most. The result, which must not be None, or None as long as steps are left."""
    try:
        for _ in range(most):
            next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    return None
