"""What a long-running part of a process takes in place of the clock and of chance, so that tests bring their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Clock"]


@dataclass(frozen=True, slots=True)
class Clock:
    """``monotonic`` gives seconds, ``sleep`` waits for so many of them, ``jitter`` gives numbers from 0 to 1."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
