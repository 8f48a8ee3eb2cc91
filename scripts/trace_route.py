"""The route of one AdmissionReview, one reconcile and one tools/call through our packages.

``python -m scripts.trace_route`` runs the webhook, the controller and an MCP server in this process, against an API
server in memory and a backend on loopback, and prints the functions that one request enters, in order.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import ssl
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from unittest import mock

import aiohttp
from aiohttp import web

from certs import issuance, secret
from certs.authority import Authority
from certs.paths import PathKeys
from cluster import client, resources
from cluster.transport import ApiError
from controller import program as controller
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Tool
from runtime.app import program as runtime
from scripts.localcluster.ports import free_port
from webhook import program as webhook
from webhook import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from types import FrameType

__all__ = ["ROUTES", "Route", "trace"]

ROOT = Path(__file__).parents[1]
PACKAGES = ("crd", "cluster", "certs", "webhook", "controller", "runtime")
SYSTEM = "mcp-system"
TIMEOUT = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route:
    """The functions that a task entered, as ``module:function``, in order."""

    stops: tuple[str, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules of the stops, each once, in the order of their first stop."""
        return tuple(dict.fromkeys(stop.partition(":")[0] for stop in self.stops))

    def within(self, package: str) -> Route:
        """The stops in one package."""
        return Route(tuple(stop for stop in self.stops if stop.startswith(f"{package}.")))

    def __str__(self) -> str:
        return f"{len(self.stops)} stops, {len(set(self.stops))} functions, {len(self.modules)} modules"


async def trace(work: Awaitable[T], task: Callable[[], asyncio.Task[Any] | None] | None = None) -> tuple[T, Route]:
    """Await ``work`` and return its result with the route of ``task()``, or else the longest route of a task.

    A call counts once, however often a coroutine or generator is resumed. A function that is called several times in a
    row counts once. Lambdas and comprehensions do not count.
    """
    names = {str(path): _module(path) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    routes: dict[asyncio.Task[Any] | None, list[str]] = {}
    resumed: set[FrameType] = set()

    def record(frame: FrameType, event: str, _argument: object) -> None:
        module = names.get(frame.f_code.co_filename)
        if event != "call" or module is None or frame.f_code.co_name.startswith("<") or frame in resumed:
            return
        if frame.f_code.co_flags & _SUSPENDABLE:
            resumed.add(frame)
        stop = f"{module}:{frame.f_code.co_qualname}"
        stops = routes.setdefault(asyncio.current_task(), [])
        if stops[-1:] != [stop]:
            stops.append(stop)

    sys.setprofile(record)
    try:
        result = await work
    finally:
        sys.setprofile(None)
    stops = routes[task()] if task is not None else max(routes.values(), key=lambda found: len(found))
    return result, Route(tuple(stops))


# inspect.CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR: frames that are entered again when they are resumed.
_SUSPENDABLE = 0x20 | 0x80 | 0x200


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


class MemoryApi:
    """A `cluster.transport.Transport` that keeps objects in memory. It announces only what `announce` is given."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.written = asyncio.Event()
        self.awaited = ""
        self.writer: asyncio.Task[Any] | None = None
        self._watches: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._version = 1
        for item in objects:
            self._put(self._path(item), item)

    def _path(self, item: Mapping[str, Any]) -> str:
        kind, metadata = resources.of(item), item["metadata"]
        return kind.path(metadata.get("namespace"), metadata["name"])

    def _put(self, path: str, item: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        # A catalog is signed for a UID of 64 characters at most.
        uid = f"uid-{item['kind']}-{item['metadata']['name']}"[:64]
        metadata = {"uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z", **item["metadata"]}
        stored = {**item, "metadata": {**metadata, "resourceVersion": str(self._version)}}
        self.objects[path] = stored
        return stored

    async def request(self, method: str, path: str, *, body: Any = None, **_options: Any) -> dict[str, Any]:
        """Get, list, create, replace, apply and delete; a status is not stored."""
        if path == self.awaited:
            self.writer = asyncio.current_task()
            self.written.set()
        if method == "GET" and path in self.objects:
            return self.objects[path]
        if method == "GET" and path.rpartition("/")[2] in _PLURALS:
            return self._list(path)
        if method == "POST":
            return self._put(f"{path}/{body['metadata'].get('name')}", body)
        if method in ("PUT", "PATCH") and isinstance(body, dict):
            return self._put(path, body) if "metadata" in body and not path.endswith("/status") else body
        if method == "DELETE":
            return self.objects.pop(path, {})
        raise ApiError(404, "NotFound", f"{path} not found")

    async def fetch(self, path: str, **_options: Any) -> bytes:
        """A list, as bytes."""
        return json.dumps(self._list(path)).encode()

    def _list(self, path: str) -> dict[str, Any]:
        plural = path.rpartition("/")[2]
        items = [item for found, item in self.objects.items() if resources.of(item).plural == plural and found]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    @contextlib.asynccontextmanager
    async def watch(self, path: str, **_options: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The events that are announced from now on."""
        yield self._events(path)

    async def stream(self, path: str, **_options: Any) -> AsyncIterator[dict[str, Any]]:
        """The events that are announced from now on."""
        async for event in self._events(path):
            yield event

    async def _events(self, path: str) -> AsyncIterator[dict[str, Any]]:
        queue = self._watches.setdefault(path.rpartition("/")[2], asyncio.Queue())
        while True:
            yield await queue.get()

    def announce(self, item: dict[str, Any]) -> None:
        """Store an object and send its event to the watch of its kind."""
        stored = self._put(self._path(item), item)
        self._watches[resources.of(item).plural].put_nowait({"type": "ADDED", "object": stored})

    async def close(self) -> None:
        """Nothing is open."""


_PLURALS = {kind.plural for kind in vars(resources).values() if isinstance(kind, resources.ResourceType)}


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "shop"}, "generation": 1}
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


SCHEMA = {"type": "object", "properties": {"status": {"type": "string", "maxLength": 20}}, "required": ["status"]}
SERVER = _object("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}})
TOOL = _object("MCPTool", "orders", {"service": {"name": "orders", "port": 80}, "inputSchema": SCHEMA})
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "orders", "namespace": "shop"},
    "spec": {"ports": [{"port": 80}], "selector": {"app": "orders"}},
}


async def trace_review() -> Route:
    """An AdmissionReview that creates an MCPTool, over HTTPS, and is allowed."""
    now = datetime.now(UTC)  # noqa: TID251 -- a script reads the clock
    ca, key = Authority(issuance.authority("trace", now)), issuance.path_key()
    api = MemoryApi(SERVER, SERVICE, secret.manifest(SYSTEM, "mcp-operator-ca", ca, keys=PathKeys(key)))
    port, health = free_port(), free_port()
    settings = webhook.Settings(SYSTEM, host="127.0.0.1", port=port, health_port=health, drain_seconds=0)
    async with _running(api, lambda stop: webhook.run(settings, stop), health), aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{port}/validate/{key}?timeout=5s"
        # The first review loads modules and is slow. It has a namespace of its own: for a while after a slow object,
        # the webhook judges the objects of its namespace in other processes.
        metadata = {**TOOL["metadata"], "namespace": "first"}
        first = {**TOOL, "metadata": metadata, "spec": {"service": {"name": "orders", "port": 80}}}
        await _post(session, url, _review(first, dry_run=True), {})
        # A traced judgement can be slow on a busy machine; the route leaves out that the webhook notes slow ones.
        with mock.patch.object(server, "LONG_SECONDS", math.inf):
            answer, route = await trace(_post(session, url, _review(TOOL, dry_run=False), {}))
    if not answer["response"]["allowed"]:
        raise RuntimeError(f"the webhook denied the example: {answer}")
    return route


def _review(item: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    request = {
        "uid": "1",
        "kind": {"group": "mcp.example.com", "version": "v1alpha1", "kind": item["kind"]},
        "operation": "CREATE",
        "namespace": item["metadata"]["namespace"],
        "name": item["metadata"]["name"],
        "object": item,
        "dryRun": dry_run,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def trace_reconcile() -> Route:
    """The reconcile of an MCPServer with one tool, up to the write of its status."""
    api = MemoryApi(TOOL, SERVICE)
    health = free_port()
    settings = controller.Settings(
        namespace=SYSTEM, identity="trace", runtime_image="mcp-operator:1", host="127.0.0.1", health_port=health
    )

    async def reconcile() -> None:
        api.awaited = f"{api._path(SERVER)}/status"
        api.announce(SERVER)
        await api.written.wait()

    async with _running(api, lambda stop: controller.run(settings, stop), health):
        await asyncio.sleep(0.5)  # the reconciles of the start are over
        _, route = await trace(reconcile(), lambda: api.writer)
    return route


async def trace_call() -> Route:
    """A tools/call that reaches a backend over HTTP."""

    async def orders(_request: web.Request) -> web.Response:
        return web.json_response({"orders": []})

    port, health, backend = free_port(), free_port(), free_port()
    app = web.Application()
    app.router.add_post("/orders", orders)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", backend).start()
    called = Tool("orders", "shop/orders", "POST", Backend("127.0.0.1", backend, "/orders"), SCHEMA)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / catalogs.FILE).write_bytes(catalogs.dump(Catalog("shop/main", tools=(called,))))
        settings = runtime.Settings(
            Path(folder), host="127.0.0.1", port=port, health_port=health, drain_seconds=0, allow_loopback=True
        )
        async with _running(MemoryApi(), lambda stop: runtime.run(settings, stop), health):
            answer, route = await _call_tool(port)
    await runner.cleanup()
    if "structuredContent" not in answer.get("result", {}):
        raise RuntimeError(f"the call failed: {answer}")
    return route


async def _call_tool(port: int) -> tuple[dict[str, Any], Route]:
    version, method = "2026-07-28", "tools/call"
    meta = {"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}}
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {"name": "orders", "arguments": {"status": "open"}, "_meta": meta},
    }
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": method, "Mcp-Name": "orders"}
    async with aiohttp.ClientSession() as session:
        return await trace(_post(session, f"http://127.0.0.1:{port}/mcp", message, headers))


@contextlib.asynccontextmanager
async def _running(
    api: MemoryApi, program: Callable[[asyncio.Event], Awaitable[None]], health: int
) -> AsyncIterator[None]:
    """A program in this process, from the time that it is ready."""

    async def connect(*_arguments: object, **_options: object) -> MemoryApi:
        return api

    stop = asyncio.Event()
    with mock.patch.object(client, "connect", connect):
        task = asyncio.ensure_future(program(stop))
        try:
            async with asyncio.timeout(TIMEOUT), aiohttp.ClientSession() as session:
                while not await _is_ready(session, f"http://127.0.0.1:{health}/readyz"):
                    if task.done():
                        await task
                    await asyncio.sleep(0.02)
            yield
        finally:
            stop.set()
            await task


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(url) as answer:
            return answer.status == 200
    return False


async def _post(session: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str]) -> Any:
    async with session.post(url, json=body, headers=headers, ssl=_UNVERIFIED) as answer:
        return await answer.json()


# The certificate is not what is traced.
_UNVERIFIED = ssl.create_default_context()
_UNVERIFIED.check_hostname = False
_UNVERIFIED.verify_mode = ssl.CERT_NONE


ROUTES = {"review": trace_review, "reconcile": trace_reconcile, "call": trace_call}


def main() -> int:
    """Print the routes."""
    parser = argparse.ArgumentParser(prog="trace_route", description=__doc__)
    parser.add_argument("routes", nargs="*", choices=[*ROUTES, []], help=f"some of {', '.join(ROUTES)} (default: all)")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    for name in arguments.routes or ROUTES:
        route = asyncio.run(ROUTES[name]())
        print(f"{name}: {route}")
        for package in PACKAGES:
            if route.within(package).stops:
                print(f"  {package}: {route.within(package)}")
        for stop in route.stops:
            print(f"    {stop}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
