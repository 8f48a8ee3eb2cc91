"""A server in this process, a backend and an official client, on loopback, for as many calls as a law makes."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from mcp import Client

from crd.compiler import compilation
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.snapshot import Snapshot
from runtime.app import program
from runtime.app.catalog_store import CatalogStore
from tests.laws.requests import Received
from tests.runtime.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from crd.manifest import Object

__all__ = ["Bench", "published"]


def published(server: Object, members: Sequence[Object], port: int) -> Catalog:
    """The catalog that the controller would publish, with a backend on loopback."""
    facts = [item.fact for item in (server, *members) if item.fact is not None]
    found = compilation.compile_server(server, members, Snapshot.of(facts), None).catalog
    tools = (
        dataclasses.replace(tool, backend=dataclasses.replace(tool.backend, host="127.0.0.1", port=port))
        for tool in found.tools
    )
    return dataclasses.replace(found, tools=tuple(tools))


class Bench:
    """Runs in a thread of its own, because hypothesis is synchronous. The backend answers with ``reply`` as JSON."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.received: list[Received] = []
        self.reply: Any = {}
        self.port = 0
        self._stop = asyncio.Event()
        self._store: CatalogStore
        self.client: Client
        self._ready = threading.Event()
        self._ended = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        if not self._ready.wait(30):
            self._ended.result(0)

    def do(self, action: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(30)

    def serve(self, wanted: Catalog) -> None:
        async def put() -> None:
            self._store.put({"data": {catalogs.FILE: catalogs.dump(wanted).decode()}})
            assert self._store.error is None, self._store.error

        self.do(put())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._ended.result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        bench = self

        class Store(CatalogStore):
            def __init__(self, *given: Any, **more: Any) -> None:
                super().__init__(*given, **more)
                bench._store = self

        backend = await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=2**22)
        self.port = backend.sockets[0].getsockname()[1]
        port, health = free_port(), free_port()
        settings = program.Settings(
            self._directory, host="127.0.0.1", port=port, health_port=health, drain_seconds=0.0, allow_loopback=True
        )
        kept, program.CatalogStore = program.CatalogStore, Store  # type: ignore[misc]
        try:
            serving = asyncio.create_task(program.run(settings, self._stop))
            async with aiohttp.ClientSession() as session:
                while True:
                    try:
                        async with session.get(f"http://127.0.0.1:{health}/healthz"):
                            break
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.01)
        finally:
            program.CatalogStore = kept  # type: ignore[misc]
        self._store.put({"data": {catalogs.FILE: catalogs.dump(Catalog("shop/main")).decode()}})
        async with Client(f"http://127.0.0.1:{port}/mcp", cache=None) as client:
            self.client = client
            self._ready.set()
            await self._stop.wait()
        await serving
        backend.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rest = head.rstrip("\r\n").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = line.split(" ")
                self.received.append(Received(method, target, headers, body))
                text = orjson.dumps(self.reply)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
                    + text
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
