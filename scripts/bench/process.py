"""What a benchmark reads of its own process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

__all__ = ["Ticker", "status"]


def status(field: str) -> float:
    """MiB of a memory field of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


class Ticker:
    """Notes for how many seconds the event loop computed at most before it came back to others.

    That is the CPU time of its thread: on a machine that others use as well, the clock would show their work, too.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Tick, some milliseconds apart: ticking takes CPU time as well."""
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.thread_time() - before)
