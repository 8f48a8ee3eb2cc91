"""The webhook as a process: it takes reviews from when it has listed what it judges by until it has drained."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import ClientConnectorError, ClientSession

from certs import issuance, secret
from certs.authority import Authority
from certs.paths import PathKeys
from cluster.transport import JSON, ApiError
from webhook import program
from webhook.metrics import Metrics

KEY = issuance.path_key()
CA = issuance.authority("test", datetime.now(UTC))  # noqa: TID251
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u",
        "operation": "CREATE",
        "kind": {"group": "mcp.example.com", "version": "v1alpha1", "kind": "MCPTool"},
        "namespace": "shop",
        "name": "a",
        "object": {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"namespace": "shop", "name": "a"},
            "spec": {"name": "a", "description": "Find an order by its number.", "service": {"name": "s", "port": 80}},
        },
    },
}


class Api:
    """Gives the CA at once, and lists, which are empty, once it is ``up``."""

    def __init__(self) -> None:
        self.up = False

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        if "/secrets/" in path:
            return secret.manifest("mcp-system", "mcp-operator-ca", Authority(CA), keys=PathKeys(KEY))
        raise ApiError(404, "NotFound", "no")

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = JSON) -> bytes:
        if not self.up:
            raise ConnectionRefusedError("the API server is down")
        return orjson.dumps({"items": [], "metadata": {"resourceVersion": "1"}})

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        yield self._nothing()

    async def _nothing(self) -> AsyncIterator[dict[str, Any]]:
        await asyncio.get_running_loop().create_future()
        yield {}

    async def close(self) -> None:
        """Nothing is open."""


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


async def test_the_port_is_open_when_reviews_can_be_judged_and_not_before() -> None:
    api, stop = Api(), asyncio.Event()
    port, health = free_ports()
    settings = program.Settings("mcp-system", host="127.0.0.1", port=port, health_port=health, drain_seconds=60.0)
    serving = asyncio.create_task(program._serve(settings, api, Metrics(), stop))

    async def readiness(session: ClientSession) -> tuple[int, str]:
        try:
            async with session.get(f"http://127.0.0.1:{health}/readyz") as ready:
                return ready.status, await ready.text()
        except ClientConnectorError:
            return 0, "no answer yet"

    async def judged(session: ClientSession) -> int | None:
        """The status of a review, or None if the port is closed."""
        try:
            async with session.post(
                f"https://127.0.0.1:{port}/validate/{KEY}?timeout=5s", json=REVIEW, ssl=False
            ) as answer:
                return answer.status
        except ClientConnectorError:
            return None

    async with asyncio.timeout(30), ClientSession() as session:
        while "not listed yet" not in (await readiness(session))[1]:
            await asyncio.sleep(0.02)
        # The certificate is there, and the port would be open within these rounds if nothing else was waited for.
        for _ in range(50):
            assert await judged(session) is None
        api.up = True
        while (await readiness(session))[0] != 200:
            assert await judged(session) in (None, 200)
            await asyncio.sleep(0.02)
        assert await judged(session) == 200
        stop.set()
        while "draining" not in (await readiness(session))[1]:
            await asyncio.sleep(0.02)
        assert await judged(session) == 200
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert await judged(session) is None


async def test_a_webhook_that_is_stopped_before_it_is_ready_ends_at_once() -> None:
    api, stop = Api(), asyncio.Event()
    port, health = free_ports()
    settings = program.Settings("mcp-system", host="127.0.0.1", port=port, health_port=health, drain_seconds=60.0)
    serving = asyncio.create_task(program._serve(settings, api, Metrics(), stop))
    stop.set()
    async with asyncio.timeout(30):
        await serving
