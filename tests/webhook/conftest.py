"""A client of the webhook's own HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from cluster.listener import Listener
from webhook.server import Hook


@pytest.fixture
async def hook_client() -> AsyncIterator[Any]:
    clients: list[ClientSession] = []
    listeners: list[Listener] = []

    async def connect(hook: Hook) -> ClientSession:
        listeners.append(Listener(hook.connections()))
        await listeners[-1].start("127.0.0.1", 0)
        clients.append(ClientSession(f"http://127.0.0.1:{listeners[-1].port}"))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()
    for listener in listeners:
        await listener.close()
