"""A Transport that answers from a script: what the API server would say, request by request."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


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

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float) -> bytes:
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
