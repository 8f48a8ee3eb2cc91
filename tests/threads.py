"""What goes on in threads while a test does something else. An exception that ends it fails the test."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

__all__ = ["Program", "meanwhile"]


@contextmanager
def meanwhile(*works: Callable[[threading.Event], object], seconds: float = 120.0) -> Iterator[None]:
    """Each work runs in a thread while the block does, and has ``seconds`` to end when its event is set."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(work, stop) for work in works]
        try:
            yield
        finally:
            stop.set()
        for each in running:
            each.result(seconds)


class Program:
    """A coroutine in a thread with an event loop of its own. It has to end when the event is set that it is given."""

    def __init__(self, run: Callable[[asyncio.Event], Coroutine[Any, Any, object]]) -> None:
        self._ended = Future[None]()
        started = threading.Event()

        async def begin() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            started.set()
            await run(self._stop)

        def work() -> None:
            try:
                asyncio.run(begin())
            except BaseException as error:  # noqa: BLE001 -- `stop` raises it
                self._ended.set_exception(error)
            else:
                self._ended.set_result(None)

        threading.Thread(target=work, daemon=True).start()
        assert started.wait(10), "the thread did not start"

    def ask_to_stop(self) -> None:
        """Set the event. `stop` waits for the end."""
        # The loop is closed if the coroutine has ended by itself.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)

    def stop(self, seconds: float = 30.0) -> None:
        """Wait so long for the end. Raises what the coroutine raised, and TimeoutError."""
        self.ask_to_stop()
        self._ended.result(seconds)
