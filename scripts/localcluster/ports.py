"""Ports for programs that listen where their caller says.

A port that the kernel chooses for a probe may go to a connection, or to another probe, before the program listens.
These ports are below those that the kernel chooses, and each process has a block of its own: it holds the first port of
the block until it ends.
"""

from __future__ import annotations

import contextlib
import socket
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["free_port"]

BLOCKS = range(20_000, 30_000, 250)

_HELD: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on. Another process gets it only after this one has ended.

    Raises RuntimeError if no port of the block is free.
    """
    ports = _own_block()
    for _ in range(BLOCKS.step):
        port = next(ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            # A connection that was closed a moment ago keeps nobody from listening.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", port))  # noqa: S104 -- a port is free if it is on each address; nothing is accepted
            return port
    raise RuntimeError(f"no port of the block of this process is free: {port // BLOCKS.step * BLOCKS.step} and above")


@cache
def _own_block() -> Iterator[int]:
    """The ports of the first block that no other process holds, again and again."""
    for first in BLOCKS:
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", first))
        except OSError:
            holder.close()
            continue
        _HELD.append(holder)
        return cycle(range(first + 1, first + BLOCKS.step))
    raise RuntimeError(f"other processes hold all blocks of ports from {BLOCKS.start} to {BLOCKS.stop}")
