"""The access log: one JSON object for each call, on a line of its own. Lines are written together, a little later.

A line contains neither arguments nor secrets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["AccessLog", "write_to_stderr"]

# Seconds for which a line may wait for others. A process that is killed loses these lines.
DELAY = 0.05
# Lines that wait at most.
MAX_WAITING = 4096
_OPTIONS = orjson.OPT_APPEND_NEWLINE
# What every line begins with: the time in RFC 3339, to the millisecond, and the level.
_HEADS = tuple(b'%%b%%03dZ","level":"%b","logger":"access",' % level for level in (b"info", b"warning"))


class AccessLog:
    """``write`` takes whole lines; ``now`` is the Unix time. Who logs asks `is_enabled` first."""

    def __init__(self, write: Callable[[bytes], None], now: Callable[[], float]) -> None:
        self._write = write
        self._now = now
        self._logger = logging.getLogger("access")
        self._waiting: list[tuple[float, bool, Callable[..., Mapping[str, Any]], tuple[Any, ...]]] = []
        self._dropped = 0
        # The beginnings of the lines of a second, up to the milliseconds.
        self._second, self._text = -1, b""
        self._timer: asyncio.TimerHandle | None = None

    def is_enabled(self, *, warning: bool = False) -> bool:
        """Whether lines are written at the present level."""
        return self._logger.isEnabledFor(logging.WARNING if warning else logging.INFO)

    def add(self, describe: Callable[..., Mapping[str, Any]], seen: tuple[Any, ...], *, warning: bool = False) -> None:
        """Log one call; with ``warning`` at that level. ``describe`` makes the members of its line from ``seen``.

        That happens later, for several calls in a row, which takes half of the time.
        """
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append((self._now(), warning, describe, seen))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        lines: list[bytes] = []
        for now, warning, describe, seen in waiting:
            second = int(now)
            if second != self._second:
                text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
                self._second, self._text = second, f'{{"time":"{text}.'.encode()
            head = _HEADS[warning] % (self._text, int((now - second) * 1000))
            lines.append(head + orjson.dumps(describe(*seen), None, _OPTIONS)[1:])
        if self._dropped:
            lines.append(orjson.dumps({"logger": "access", "dropped": self._dropped}, None, _OPTIONS))
            self._dropped = 0
        if lines:
            self._write(b"".join(lines))


def write_to_stderr(lines: bytes) -> None:
    """Write to standard error, whole."""
    descriptor = sys.stderr.fileno()
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
