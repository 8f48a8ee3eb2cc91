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
from typing import TYPE_CHECKING, Any

from webhook import admit, review
from webhook.object_cache import ObjectCache

if TYPE_CHECKING:
    from webhook.admit import JudgedObject
    from webhook.review import Review

__all__ = ["ANSWER", "CPU_SECONDS", "QUESTION", "answer", "read"]

# What goes before a body: whether it is only to be read, and its length. And what goes before an answer: its length.
QUESTION = struct.Struct("!?I")
ANSWER = struct.Struct("!I")
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


def read(body: bytes) -> tuple[Review, list[dict[str, Any]]] | str:
    """The review and the patch that fills in derived defaults; or what makes the body unfit.

    Without its objects, but for the metadata of the old one: what the deletion of an object is noted by.
    """
    try:
        asked = review.parse(body)
    except ValueError as error:
        return str(error)
    metadata = (asked.old or {}).get("metadata")
    kept = {key: metadata.get(key) for key in ("uid", "resourceVersion")} if isinstance(metadata, dict) else None
    old = {"metadata": kept} if asked.old is not None else None
    return replace(asked, new=None, old=old), admit.defaulting_patch(asked)


def main() -> None:
    """Serve until the other end closes."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    # Where memory runs out, this process goes first.
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    connection = socket.socket(fileno=0)
    with connection, connection.makefile("rb") as incoming:
        connection.sendall(ANSWER.pack(0))
        while header := incoming.read(QUESTION.size):
            is_read_only, length = QUESTION.unpack(header)
            body = incoming.read(length)
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            used = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(used.ru_utime + used.ru_stime + CPU_SECONDS) + 2
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            given = pickle.dumps(read(body) if is_read_only else answer(body))
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.sendall(ANSWER.pack(len(given)) + given)


if __name__ == "__main__":
    main()
