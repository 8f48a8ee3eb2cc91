"""The servers of a plan: the runtime's own application for each, with sessions and rate limits in memory."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- jitter of retries, as in the program of a pod
import secrets
import time
from typing import TYPE_CHECKING, Any

import orjson

from cli.dev.backends import LocalClient
from crd.published import catalogs
from runtime.app.catalog_store import CatalogStore
from runtime.auth.authenticator import Authenticator
from runtime.auth.jwks import Fetcher, KeySets
from runtime.backends.dispatch import Dispatcher
from runtime.backends.mcp.client import McpClient
from runtime.backends.secret_files import SecretFiles
from runtime.http import rest
from runtime.http.endpoint import Endpoint
from runtime.http.server import App
from runtime.http.streams import Streams
from runtime.mcp.context import Context
from runtime.mcp.eras import MODERN, Call
from runtime.mcp.methods import Methods
from runtime.state.limits import Limiter, MemoryBuckets
from runtime.state.sessions import MemorySessions
from runtime.telemetry.access_log import AccessLog
from runtime.telemetry.call_record import CallRecord
from runtime.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from cli.dev.plan import Plan, PlannedServer
    from cluster.message import Request, Response
    from crd.ref import Ref
    from runtime.app.compiled import CompiledCatalog

__all__ = ["Servers"]


class _Server:
    """One MCPServer. ``folder`` has the Secrets and ConfigMaps of its namespace."""

    def __init__(self, folder: Path, locate: Callable[[Ref, int], Awaitable[str]]) -> None:
        unix_time = time.time  # noqa: TID251 -- tokens expire by wall-clock time
        metrics = Metrics()
        fetcher = Fetcher(cluster_domain="cluster.local", allow_http=True, allow_loopback=True)
        files = SecretFiles(folder / "Secret", folder / "ConfigMap")
        client = LocalClient(files, locate)
        mcp = McpClient(client, new_id=_new_id)
        self._dispatcher = Dispatcher(
            files, client, mcp, monotonic=time.monotonic, jitter=random.random, new_id=_new_id
        )
        authenticator = Authenticator(folder / "Secret", KeySets(fetcher.fetch, time.monotonic), unix_time)
        sessions = MemorySessions(time.monotonic)
        stores = {"Memory": sessions, "Redis": sessions}
        self._streams = Streams(authenticator, stores, now=unix_time, monotonic=time.monotonic)
        self._tasks = [asyncio.create_task(work()) for work in (self._streams.follow, self._streams.keep_alive)]
        self.store = CatalogStore(self._streams.apply)
        self._methods = Methods(self._dispatcher)
        limiter = Limiter(MemoryBuckets(time.monotonic), metrics.uncounted.inc)

        async def answer_rest(
            compiled: CompiledCatalog, request: Request, path: str, body: bytes, context: Context
        ) -> Response:
            return await rest.answer(compiled, self._dispatcher, request, path, body, context)

        self.app = App(
            self.store,
            authenticator,
            Endpoint(self._methods, stores, limiter, metrics, self._streams, _new_id),
            answer_rest,
            limiter,
            metrics,
            AccessLog(lambda _: None, unix_time),
            new_id=_new_id,
            monotonic=time.monotonic,
            now=unix_time,
            draining=lambda: False,
        )

    async def call(self, method: str, params: Mapping[str, Any], claims: Mapping[str, Any]) -> Any:
        """The result of an MCP method for a client with these claims, whatever its scopes. Raises RpcError."""
        compiled = self.store.compiled
        if compiled is None:
            raise ValueError("no catalog is loaded")
        identifier, settings = _new_id(), compiled.catalog.settings
        context = Context(identifier, claims=claims, settings=settings, record=CallRecord(identifier))
        return orjson.loads(await self._methods.answer(compiled, Call(method, params, 1, modern=True), MODERN, context))

    async def drain(self) -> None:
        """End the streams of clients, each with its result."""
        await self._streams.drain()

    async def close(self) -> None:
        """Close the connections to backends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._dispatcher.close()


class Servers:
    """The servers in force by ``namespace/name``. ``folder`` has the Secrets and ConfigMaps of each namespace."""

    def __init__(self, folder: Path, locate: Callable[[Ref, int], Awaitable[str]]) -> None:
        self._folder = folder
        self._locate = locate
        self._servers: dict[str, _Server] = {}

    def get(self, key: str) -> _Server | None:
        """A server by its namespace and name."""
        return self._servers.get(key)

    async def apply(self, plan: Plan) -> None:
        """Serve what is planned. A catalog that cannot be loaded leaves the one before it in force."""
        planned = {server.ref.key: server for server in plan.servers}
        for key in self._servers.keys() - planned.keys():
            server = self._servers.pop(key)
            await server.drain()
            await server.close()
        for key, wanted in planned.items():
            self._load(key, wanted)

    def _load(self, key: str, wanted: PlannedServer) -> None:
        server = self._servers.get(key)
        if server is None:
            server = self._servers[key] = _Server(self._folder / wanted.ref.namespace, self._locate)
        server.store.put({"data": {catalogs.FILE: wanted.payload.decode()}})

    async def drain(self) -> None:
        """End the streams of all clients, each with its result."""
        for server in self._servers.values():
            await server.drain()

    async def close(self) -> None:
        """Close all connections to backends."""
        for server in self._servers.values():
            await server.close()


def _new_id() -> str:
    return secrets.token_urlsafe(24)
