"""Processes that judge or read large objects, so that this never delays the event loop, and can be ended.

Compiling 64 KiB of schema holds the interpreter for as long as it takes, so neither a thread nor a count of steps would
do. A process that exceeds its bounds is killed and replaced; its review gets an error, and the next ones go on. Reviews
wait in a queue of limited length, by namespace in turn: whoever sends many waits for himself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webhook.bodies import namespace_of
from webhook.object_process import ANSWER, QUESTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.admit import JudgedObject
    from webhook.review import Review

__all__ = ["ExceededError", "ObjectProcesses", "QueueFullError", "is_small"]

logger = logging.getLogger(__name__)

# What is judged on the event loop, in bytes of the body. Some words cost more than their bytes: each counts as so many.
SMALL = 16 * 1024
COSTLY = {b'"pattern': 1024, b'"$ref"': 512}
COMPOSITIONS, COMPOSITION = (b'"anyOf"', b'"oneOf"', b'"allOf"'), 512
# So do Unicode classes within patterns, and each repetition in a counted one.
UNICODE_CLASS = 4096
REPETITION = 32
# And each value of a list or member of an object: to say what is wrong with thousands of them takes long.
VALUE = 4
# So many bytes of a body are handed over at once.
PART = 128 * 1024
# Processes by default.
MOST = 2
# Seconds by the clock. By the time that the process computes, the bound is lower: `object_process.CPU_SECONDS`.
WALL_SECONDS = 2.0
START_SECONDS = 30.0
# Reviews that wait, and their bytes: in all, and of one namespace.
QUEUE, QUEUE_BYTES = 128, 48 * 1024 * 1024
QUEUE_OF_NAMESPACE, QUEUE_BYTES_OF_NAMESPACE = 64, 16 * 1024 * 1024
_COUNTED = re.compile(rb"\{(?:\d{1,7},)?(\d{2,7})\}")
_MODULE = "webhook.object_process"
_HOME = Path(__file__).parents[1]


class ExceededError(Exception):
    """The judgement took more time or memory than it may, or its process died."""


class QueueFullError(Exception):
    """Too many large objects wait for their judgement."""


@dataclass(slots=True)
class _Job:
    body: bytes
    is_read_only: bool
    done: asyncio.Future[Any]


def is_small(body: bytes) -> bool:
    """Whether a review may be judged on the event loop. A cheap guess: what is slow all the same is found out later."""
    weight = len(body)
    if weight > SMALL:
        return False
    weight += body.count(b",") * VALUE
    for word, work in COSTLY.items():
        weight += body.count(word) * work
    if b'Of"' in body:
        weight += sum(map(body.count, COMPOSITIONS)) * COMPOSITION
    if b'"pattern' in body:
        weight += sum(min(int(count), SMALL) * REPETITION for count in _COUNTED.findall(body))
        weight += (body.count(rb"\\p") + body.count(rb"\\P")) * UNICODE_CLASS
    return weight <= SMALL


class ObjectProcesses:
    """``size`` processes, started by `start`. ``command`` is what one runs; ``exceeded`` is called for each killed.

    By default there are two, but one CPU is left to the event loop: however low the priority of a process is, it may
    keep a CPU for some milliseconds.
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        exceeded: Callable[[], None] = lambda: None,
        command: tuple[str, ...] = (sys.executable, "-m", _MODULE),
        wall_seconds: float = WALL_SECONDS,
    ) -> None:
        self._size = size or max(1, min(MOST, len(os.sched_getaffinity(0)) - 1))
        self._exceeded = exceeded
        self._command = command
        self._wall_seconds = wall_seconds
        self._waiting: OrderedDict[bytes, deque[_Job]] = OrderedDict()
        self._count = self._bytes = 0
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the processes."""
        self._tasks = [asyncio.create_task(self._keep_serving()) for _ in range(self._size)]

    async def stop(self) -> None:
        """End the processes, and whatever they are doing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def judge(self, body: bytes) -> tuple[Review, JudgedObject | None]:
        """The review without its objects, and its object's judgement; None for one that need not be judged.

        Raises ValueError for a body that is unfit, ExceededError, QueueFullError."""
        answer: tuple[Review, JudgedObject | None] = await self._ask(body, is_read_only=False)
        return answer

    async def read(self, body: bytes) -> tuple[Review, list[dict[str, Any]]]:
        """The review and the patch that fills in derived defaults, as `object_process.read`. Raises as `judge`."""
        answer: tuple[Review, list[dict[str, Any]]] = await self._ask(body, is_read_only=True)
        return answer

    async def _ask(self, body: bytes, *, is_read_only: bool) -> Any:
        namespace = namespace_of(body)
        queue = self._waiting.get(namespace, deque())
        own_bytes = sum(len(job.body) for job in queue)
        if (
            self._count >= QUEUE
            or len(queue) >= QUEUE_OF_NAMESPACE
            or self._bytes + len(body) > QUEUE_BYTES
            or own_bytes + len(body) > QUEUE_BYTES_OF_NAMESPACE
        ):
            raise QueueFullError("too many large objects wait for their judgement; try again in a second")
        job = _Job(body, is_read_only, asyncio.get_running_loop().create_future())
        queue.append(job)
        self._waiting[namespace] = queue
        self._count += 1
        self._bytes += len(body)
        self._arrived.set()
        answer = await job.done
        if isinstance(answer, str):
            raise ValueError(answer)  # noqa: TRY004 -- the type says that the body is unfit
        return answer

    async def _next(self) -> _Job:
        """The next job whose sender still waits; the namespaces take turns."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            namespace, queue = self._waiting.popitem(last=False)
            job = queue.popleft()
            self._count -= 1
            self._bytes -= len(job.body)
            if queue:
                self._waiting[namespace] = queue
            if not job.done.done():
                return job

    async def _keep_serving(self) -> None:
        while True:
            try:
                await self._serve()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                logger.warning("a process for large objects did not start: %s", error)
                await asyncio.sleep(1)

    async def _serve(self) -> None:
        """One process, from its start until it has to be replaced."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with theirs:
            process = subprocess.Popen(self._command, stdin=theirs.fileno(), cwd=_HOME)  # noqa: S603, ASYNC220 -- fork and exec
        try:
            async with asyncio.timeout(START_SECONDS):
                await reader.readexactly(ANSWER.size)
            while True:
                job = await self._next()
                try:
                    async with asyncio.timeout(self._wall_seconds):
                        writer.write(QUESTION.pack(job.is_read_only, len(job.body)))
                        for start in range(0, len(job.body), PART):
                            writer.write(job.body[start : start + PART])
                            await writer.drain()
                        (length,) = ANSWER.unpack(await reader.readexactly(ANSWER.size))
                        answer = pickle.loads(await reader.readexactly(length))  # noqa: S301 -- our own process
                except (OSError, asyncio.IncompleteReadError, TimeoutError):
                    self._exceeded()
                    if not job.done.done():
                        job.done.set_exception(ExceededError("the object takes too long to judge; make it smaller"))
                    return
                except asyncio.CancelledError:
                    job.done.cancel()
                    raise
                if not job.done.done():
                    job.done.set_result(answer)
        finally:
            process.kill()
            writer.close()
            await asyncio.to_thread(process.wait)
