"""Health and metrics from a thread with an event loop of its own, so that no judgement delays a probe.

The main event loop reports at short intervals that it runs, and whether the process is ready. Where it stops reporting,
the probes fail within seconds.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from cluster import probes

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

__all__ = ["HUNG_SECONDS", "INTERVAL", "Health"]

# How often the main loop reports, and without how long a report it counts as hung.
INTERVAL = 0.2
HUNG_SECONDS = 5.0


class Health:
    """``unready`` is called on the main loop; ``monotonic`` gives seconds."""

    def __init__(
        self, registry: CollectorRegistry, unready: Callable[[], str | None], monotonic: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._unready = unready
        self._monotonic = monotonic
        # One reference, replaced as a whole: the other thread sees both of a report or neither.
        self._report: tuple[float, str | None] = (monotonic(), "starting")
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None

    def report(self) -> None:
        """The main loop runs, and this is how ready it is."""
        self._report = (self._monotonic(), self._unready())

    def hung(self) -> str | None:
        """Why the process must be restarted, or None."""
        silent = self._monotonic() - self._report[0]
        return f"the event loop has not run for {silent:.0f} s" if silent > HUNG_SECONDS else None

    def unready(self) -> str | None:
        """Why the process should get no requests, or None."""
        return self.hung() or self._report[1]

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            self.report()
            await asyncio.sleep(INTERVAL)

    def start(self, host: str, port: int) -> None:
        """Listen in a thread. Raises OSError if the port cannot be had."""
        started = threading.Event()
        failure: list[OSError] = []

        async def serve() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            pages = probes.pages(self._registry, self.unready, self.hung)
            try:
                listener = await probes.serve(pages, host, port)
            except OSError as error:
                failure.append(error)
                return
            finally:
                self._stop = lambda: loop.call_soon_threadsafe(stop.set)
                started.set()
            await stop.wait()
            await listener.close()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), name="health", daemon=True)
        self._thread.start()
        started.wait()
        if failure:
            raise failure[0]

    async def stop(self) -> None:
        """Stop listening."""
        if self._thread is not None and self._thread.is_alive():
            self._stop()
            await asyncio.to_thread(self._thread.join)
