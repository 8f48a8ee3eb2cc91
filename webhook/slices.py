"""Work that takes long, in slices of the event loop: all of it together has one slice in each iteration.

These are judgements that concern thousands of objects, decisions by a ledger, and changes of the live snapshot. Plain
reviews and probes wait for one slice at most.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from cluster.informers.turns import Turns
from crd.steps import advance

if TYPE_CHECKING:
    from crd.steps import Steps

__all__ = ["Slices"]

T = TypeVar("T")

# Seconds of a slice.
SECONDS = 0.002


class Slices:
    """One for a process. ``turns`` are the slices themselves."""

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns or Turns(time.monotonic, SECONDS)

    async def finish(self, steps: Steps[T]) -> T:
        """The result of the steps, which must not be None, after as many slices as they take."""
        await self._turns.wait()
        while (result := advance(steps, 1)) is None:
            if self._turns.is_over():
                await self._turns.wait()
        return result
