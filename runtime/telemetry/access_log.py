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
# Bytes that wait at most. They are more only when the reader of the log does not keep up.
MAX_WAITING = 1024 * 1024
_OPTIONS = orjson.OPT_APPEND_NEWLINE
# What every line begins with: the time in RFC 3339, to the millisecond, and the level.
_HEADS = tuple(b'%%b%%03dZ","level":"%b","logger":"access",' % level for level in (b"info", b"warning"))


class AccessLog:
    """``write`` takes whole lines; ``now`` is the Unix time. Who logs asks `is_enabled` first."""

    def __init__(self, write: Callable[[bytes], None], now: Callable[[], float]) -> None:
        self._write = write
        self._now = now
        self._logger = logging.getLogger("access")
        self._lines: list[bytes] = []
        self._size = 0
        self._dropped = 0
        # The beginnings of the lines of a second, up to the milliseconds.
        self._second, self._text = -1, b""
        self._timer: asyncio.TimerHandle | None = None

    def is_enabled(self, *, warning: bool = False) -> bool:
        """Whether lines are written at the present level."""
        return self._logger.isEnabledFor(logging.WARNING if warning else logging.INFO)

    def add(self, members: Mapping[str, Any], *, warning: bool = False) -> None:
        """Log one call; with ``warning`` at that level. There is a member at least."""
        if self._size > MAX_WAITING:
            self._dropped += 1
            return
        now = self._now()
        second = int(now)
        if second != self._second:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second, self._text = second, f'{{"time":"{text}.'.encode()
        head = _HEADS[warning] % (self._text, int((now - second) * 1000))
        line = head + orjson.dumps(members, None, _OPTIONS)[1:]
        self._lines.append(line)
        self._size += len(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        self._timer = None
        lines, self._lines, self._size = self._lines, [], 0
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
