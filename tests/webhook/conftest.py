"""A client of the webhook's own HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import BaseTestServer, TestClient
from aiohttp.web import ServerRunner

from webhook.server import Hook


class HookServer(BaseTestServer):  # type: ignore[type-arg, unused-ignore]
    def __init__(self, hook: Hook) -> None:
        super().__init__()
        self._hook = hook

    async def _make_runner(self, **_: Any) -> ServerRunner:
        return ServerRunner(self._hook.server())


@pytest.fixture
async def hook_client() -> AsyncIterator[Any]:
    clients: list[Any] = []

    async def connect(hook: Hook) -> Any:
        clients.append(TestClient(HookServer(hook)))
        await clients[-1].start_server()
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()
