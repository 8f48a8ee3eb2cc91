"""The webhook as a process: it judges nothing, and says so, until it has listed what it judges by."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession

from certs import issuance, secret
from certs.authority import Authority
from cluster.transport import JSON, ApiError
from webhook import program
from webhook.metrics import Metrics

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
            return secret.manifest("mcp-system", "mcp-operator-ca", Authority(CA))
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


async def test_nothing_is_judged_before_everything_is_listed() -> None:
    api, stop = Api(), asyncio.Event()
    port, health = free_ports()
    settings = program.Settings("mcp-system", host="127.0.0.1", port=port, health_port=health, drain_seconds=0.0)
    serving = asyncio.create_task(program._serve(settings, api, Metrics(), stop))

    async def answers(session: ClientSession) -> tuple[int, int]:
        """The status of the readiness, and of a review, as soon as both are answered."""
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{health}/readyz") as ready:
                    readiness = ready.status
                url = f"https://127.0.0.1:{port}/validate?timeout=5s"
                async with session.post(url, json=REVIEW, ssl=False) as judged:
                    return readiness, judged.status
            except ClientError:
                await asyncio.sleep(0.02)

    async with asyncio.timeout(30), ClientSession() as session:
        assert await answers(session) == (503, 503)
        api.up = True
        while await answers(session) != (200, 200):
            await asyncio.sleep(0.02)
        stop.set()
        await serving
