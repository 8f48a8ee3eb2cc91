"""Prints a line for each step, with its duration."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["note", "step"]


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print the step and its duration when it has ended, also after a failure."""
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(f"  failed  {time.monotonic() - started:6.1f} s  {what}", file=sys.stderr, flush=True)
        raise
    print(f"  done    {time.monotonic() - started:6.1f} s  {what}", file=sys.stderr, flush=True)


def note(line: str) -> None:
    """Print a line of progress within a step."""
    print(f"          {line}", file=sys.stderr, flush=True)
