"""A Transport that answers from a script, and an event loop whose time passes as fast as it can."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

T = TypeVar("T")


class _Skipping(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    """Waits for nothing: what would be waited is added to the time."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing will ever happen")
        self.skipped += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its time is simulated: a day of waiting passes at once."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped


def simulated(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in simulated time. Nothing that the event loop calls may fail."""
    failures: list[BaseException] = []
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context.get("exception") or _failure(context)))
        found = runner.run(main)
    # What a callback raises ends nothing.
    if failures:
        raise failures[0]
    return found


def _failure(context: dict[str, Any]) -> RuntimeError:
    return RuntimeError(str(context.get("message")))


class Script:
    """``answers`` and ``streams`` are used up in order; an exception among them is raised. An empty script waits."""

    def __init__(self, answers: list[Any] | None = None, streams: list[list[Any]] | None = None) -> None:
        self.answers = answers or []
        self.streams = streams or []
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 10.0,
    ) -> dict[str, Any]:
        self.asked.append((method, path, dict(query or {}), body))
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = "") -> bytes:
        return orjson.dumps(await self.request("GET", path, query=query, timeout=timeout))

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        self.asked.append(("WATCH", path, dict(query), None))
        if not self.streams:
            await asyncio.Event().wait()
        yield self._played(self.streams.pop(0))

    async def _played(self, events: list[Any]) -> AsyncIterator[dict[str, Any]]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def script() -> type[Script]:
    return Script


@pytest.fixture
def simulate() -> Any:
    """Runs a coroutine in simulated time."""
    return simulated
