"""A server in this process, a backend and official clients, on loopback, for as many calls as a law makes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from crd.compiler import compilation
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.snapshot import Snapshot
from runtime.app import program
from runtime.app.catalog_store import CatalogStore
from scripts.localcluster.ports import free_port
from tests.laws.requests import Received

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from crd.manifest import Object

__all__ = ["API_KEY", "CLAIMS", "CREDENTIALS", "ISSUER", "Answer", "Bench", "published"]

ISSUER, API_KEY = "https://issuer.example.com", "a-key-of-the-law"
# The claims of the client's token; its scopes are among them.
CLAIMS = {"sub": "ada", "tenant": "süd 7", "level": 7, "scope": "read write"}
# What is mounted: the values of Secrets (``law``) and of a ConfigMap (``settings``), by key.
CREDENTIALS = {("law", "key"): "s3cr=t", ("law", "other"): "0123456789", ("settings", "region"): "eu-1"}
# A header that the client sends with every request.
TENANT = "tenant-of-the-client"
_KEY = ec.generate_private_key(ec.SECP256R1())


class Answer(NamedTuple):
    """What the backend answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


def published(server: Object, members: Sequence[Object], port: int) -> Catalog:
    """The catalog that the controller would publish, with a backend on loopback."""
    facts = [item.fact for item in (server, *members) if item.fact is not None]
    found = compilation.compile_server(server, members, Snapshot.of(facts), None).catalog

    def moved(entry: Any) -> Any:
        return dataclasses.replace(entry, backend=dataclasses.replace(entry.backend, host="127.0.0.1", port=port))

    return dataclasses.replace(
        found,
        tools=tuple(map(moved, found.tools)),
        http_resources=tuple(map(moved, found.http_resources)),
        operations=tuple(map(moved, found.operations)),
    )


class Bench:
    """Runs in a thread of its own, because hypothesis is synchronous.

    The backend records what it ``received`` and answers as ``answer`` says. ``client`` is of the stateless era,
    ``legacy`` of the era of sessions.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.received: list[Received] = []
        self.answer: Callable[[Received], Answer] = lambda received: Answer()
        self.port = 0
        self.url = ""
        self._stop = asyncio.Event()
        self._store: CatalogStore
        self._http: httpx2.AsyncClient
        self.client: Client
        self.legacy: Client
        self._ready = threading.Event()
        self._ended = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        if not self._ready.wait(30):
            self._ended.result(0)

    def do(self, action: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(30)

    def serve(self, wanted: Catalog, auth: str = "None") -> None:
        """Serve a catalog; the client of the stateless era authenticates as its server wants it."""
        credentials = {"APIKey": API_KEY, "JWT": self._token}.get(auth, "")
        self._http.headers.pop("Authorization", None)
        if credentials:
            self._http.headers["Authorization"] = f"Bearer {credentials}"

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

    def _mount(self) -> program.Settings:
        """The settings, with everything that a pod has mounted."""
        key = jwt.algorithms.ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
        secrets, config_maps = self._directory / "secrets", self._directory / "configmaps"
        files = {
            secrets / "keys" / "law": API_KEY,
            secrets / "issuer" / "jwks.json": json.dumps({"keys": [{**key, "kid": "law", "alg": "ES256"}]}),
        }
        for (name, entry), value in CREDENTIALS.items():
            files[(secrets if name == "law" else config_maps) / name / entry] = f"{value}\n"
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        claims = {"iss": ISSUER, "aud": "shop", "exp": 4_102_444_800, **CLAIMS}
        self._token = jwt.encode(claims, _KEY, "ES256", headers={"kid": "law"})
        return program.Settings(
            self._directory,
            host="127.0.0.1",
            port=free_port(),
            health_port=free_port(),
            drain_seconds=0.0,
            allow_loopback=True,
            secrets_dir=secrets,
            config_maps_dir=config_maps,
        )

    async def _run(self) -> None:
        bench = self

        class Store(CatalogStore):
            def __init__(self, *given: Any, **more: Any) -> None:
                super().__init__(*given, **more)
                bench._store = self

        backend = await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=2**22)
        self.port = backend.sockets[0].getsockname()[1]
        settings = self._mount()
        kept, program.CatalogStore = program.CatalogStore, Store  # type: ignore[misc]
        try:
            serving = asyncio.create_task(program.run(settings, self._stop))
            async with aiohttp.ClientSession() as session:
                while True:
                    try:
                        async with session.get(f"http://127.0.0.1:{settings.health_port}/healthz"):
                            break
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.01)
        finally:
            program.CatalogStore = kept  # type: ignore[misc]
        self._store.put({"data": {catalogs.FILE: catalogs.dump(Catalog("shop/main")).decode()}})
        self.url = url = f"http://127.0.0.1:{settings.port}/mcp"
        async with AsyncExitStack() as stack:
            for member, mode in (("client", "auto"), ("legacy", "legacy")):
                http = await stack.enter_async_context(httpx2.AsyncClient(headers={"X-Tenant": TENANT}, timeout=30))
                if mode == "auto":
                    self._http = http
                opened = Client(streamable_http_client(url, http_client=http), cache=None, mode=mode)
                setattr(self, member, await stack.enter_async_context(opened))
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
                received = Received(method, target, headers, body)
                if method != "DELETE" or not target.endswith("/mcp"):
                    # A session is ended after the call, when nobody waits for it.
                    self.received.append(received)
                status, content, given = self.answer(received)
                lines = "".join(f"{name}: {value}\r\n" for name, value in given)
                start = f"HTTP/1.1 {status} Status\r\n{lines}Content-Length: {len(content)}\r\n\r\n"
                writer.write(start.encode("latin-1") + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
