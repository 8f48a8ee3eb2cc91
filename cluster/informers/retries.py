"""PURE. How a watch may end, and how long to wait before the next one."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ABSENT_INTERVAL", "End", "Retries"]

# While the API server does not answer, how long at most between two attempts: it must not be longer away than it is.
MAX_RECONNECT_DELAY = 1.0
# Between two attempts that it answers, and that lead nowhere.
MAX_DELAY = 30.0
# How often an API that is not installed, or not shown to us, is asked for again.
ABSENT_INTERVAL = 30.0


class End(Enum):
    """Why a round of list and watch ended.

    ``FINISHED``: the API server closed the watch. ``SILENT``: nothing came for long. ``EXPIRED``: 410, the version is
    too old. ``UNREACHABLE``: no answer, a broken connection, or an error answer. ``ABSENT``: an optional type does not
    exist, or is not shown to us. ``LONG_EVENT``: a watch event was too long to be read. ``FAILED``: an exception that
    nobody expected.
    """

    FINISHED = auto()
    SILENT = auto()
    EXPIRED = auto()
    UNREACHABLE = auto()
    ABSENT = auto()
    LONG_EVENT = auto()
    FAILED = auto()


class Retries:
    """Counts what leads nowhere. The first attempt after an end comes at once; then each delay doubles, with jitter."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.fruitless = 0
        self._unreachable = 0
        self._jitter = jitter

    def delay(self, end: End, *, useful: bool) -> float:
        """Seconds to wait. ``useful`` says that the watch that ended had lived for a while, or delivered something."""
        if useful:
            self.fruitless = self._unreachable = 0
        match end:
            case End.ABSENT:
                return ABSENT_INTERVAL * (0.5 + self._jitter())
            case End.UNREACHABLE:
                self._unreachable += 1
                return self._grown(self._unreachable, MAX_RECONNECT_DELAY)
            case End.SILENT:
                return 0.0
            case End.FINISHED if useful:
                return 0.0
            case _:
                self.fruitless += 1
                return self._grown(self.fruitless, MAX_DELAY)

    def _grown(self, attempt: int, most: float) -> float:
        if attempt == 1:
            return 0.0
        return min(most, 0.125 * 2.0 ** min(attempt, 16)) * (0.5 + 0.5 * self._jitter())
