"""PURE. Results of the last reading of files, so that a save costs what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Memo"]

T = TypeVar("T")


class Memo:
    """Remembers what was made since the second last call of `forget`."""

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[object, object]] = {}
        self._now: dict[Hashable, tuple[object, object]] = {}

    def forget(self) -> None:
        """A new reading begins: what the last one did not use is dropped."""
        self._before, self._now = self._now, {}

    def get(self, key: Hashable, source: object, make: Callable[[], T]) -> T:
        """What was made of an equal ``source`` under this key, or what ``make`` returns.

        The source is kept, so its id may be a part of the key.
        """
        known = self._now.get(key) or self._before.get(key)
        if known is None or not (known[0] is source or known[0] == source):
            known = (source, make())
        self._now[key] = known
        return cast("T", known[1])

    def keep(self, key: Hashable) -> None:
        """Count what is known under this key as used in this reading."""
        if key in self._before:
            self._now.setdefault(key, self._before[key])
