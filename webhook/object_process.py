"""Judges objects one by one in a process of low priority, for `webhook.object_processes`: ``python -m`` this module.

Standard input is a socket. On it come review bodies, each behind its length, and go out answers in the same form: a
pickled review without its objects and a `JudgedObject` without its manifests, or what is wrong with the body. An empty
answer, before all others, says that the process is ready. A judgement that takes too long ends the process.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from webhook import admit, review
from webhook.object_cache import ObjectCache

if TYPE_CHECKING:
    from webhook.admit import JudgedObject
    from webhook.review import Review

__all__ = ["CPU_SECONDS", "HEADER", "answer"]

HEADER = struct.Struct("!I")
# What one judgement may take; the kernel ends the process when it is over, also within foreign code.
CPU_SECONDS = 0.5
ADDRESS_SPACE = 384 * 1024**2
NICENESS = 10


def answer(body: bytes) -> tuple[Review, JudgedObject | None] | str:
    """The review without its objects, and its object's judgement, if it needs one; or what makes the body unfit."""
    try:
        asked = review.parse(body)
        judged = None if admit.is_being_deleted(asked) else admit.judge_object(asked, ObjectCache(0))
    except ValueError as error:
        return str(error)
    return replace(asked, new=None, old=None), admit.without_manifests(judged) if judged is not None else None


def main() -> None:
    """Serve until the other end closes."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    # Where memory runs out, this process goes first.
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    connection = socket.socket(fileno=0)
    with connection, connection.makefile("rb") as incoming:
        connection.sendall(HEADER.pack(0))
        while header := incoming.read(HEADER.size):
            body = incoming.read(HEADER.unpack(header)[0])
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            used = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(used.ru_utime + used.ru_stime + CPU_SECONDS) + 2
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            given = pickle.dumps(answer(body))
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.sendall(HEADER.pack(len(given)) + given)


if __name__ == "__main__":
    main()
