"""A backend, and `mcp-operator dev` over a folder."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cli.commands import dev
from cli.dev import targets
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKEN = "token-of-the-run"
SECRET = "s3cr3t-value-of-crm"
SERVER = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPServer
metadata: {name: main, namespace: shop}
spec:
  toolSelector: {matchLabels: {app: shop}}
  promptSelector: {matchLabels: {app: shop}}
  resourceSelector: {matchLabels: {app: shop}}
"""
TOOL = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPTool
metadata: {name: find-orders, namespace: shop, labels: {app: shop}}
spec:
  name: find_orders
  title: Find orders
  description: Lists the orders of the shop that have a given status.
  service: {name: orders, port: http}
  method: GET
  http: {path: "/orders/{status}"}
  inputSchema:
    type: object
    properties:
      status: {type: string, enum: [open, shipped], description: Status of the orders.}
      limit: {type: integer, minimum: 1, default: 10}
    required: [status]
  headersFrom:
    - {name: Authorization, prefix: "Bearer ", secretKeyRef: {name: crm, key: token}}
"""
PROMPT = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPPrompt
metadata: {name: greet, namespace: shop, labels: {app: shop}}
spec:
  description: Greets a customer by name.
  template: "Hello {{name}}"
  variables: [{name: name, required: true}]
"""
RESOURCE = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPResource
metadata: {name: terms, namespace: shop, labels: {app: shop}}
spec:
  description: The terms of the shop.
  content: {uri: "shop://terms", text: All sales are final.}
"""


class Running:
    """A running `dev`: its folder, base URL and output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = io.StringIO()
        self.err = io.StringIO()
        self.base = ""
        self.token = TOKEN
        self.stop = asyncio.Event()

    async def until(self, text: str) -> None:
        """Wait until the output has a text."""
        async with asyncio.timeout(10.0):
            while text not in self.out.getvalue():
                await asyncio.sleep(0.01)

    @property
    def mcp(self) -> str:
        """The endpoint of the server."""
        return f"{self.base}/shop/main/mcp"


@asynccontextmanager
async def started(folder: Path, **options: Any) -> AsyncIterator[Running]:
    running = Running(folder)
    chosen = dev.Options((str(folder),), port=0, token=TOKEN, **options)
    task = asyncio.create_task(dev.serve(chosen, running.stop, out=running.out, err=running.err))
    try:
        async with asyncio.timeout(10.0):
            while "page: " not in running.out.getvalue():
                if task.done():
                    task.result()
                await asyncio.sleep(0.01)
        running.base = running.out.getvalue().partition("page: ")[2].partition("/#")[0]
        yield running
    finally:
        running.stop.set()
        await task


@pytest.fixture
async def backend() -> AsyncIterator[tuple[str, list[str]]]:
    """A URL, and the heads of the requests that arrived there. It echoes the Authorization header."""
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        sent = next((line for line in head.splitlines() if line.startswith("Authorization")), "")
        body = json.dumps({"orders": [{"id": "o-1"}], "sent": sent}).encode()
        fixed = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(fixed + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "manifests"
    made.mkdir()
    for name, text in (("server", SERVER), ("tool", TOOL), ("prompt", PROMPT), ("terms", RESOURCE)):
        (made / f"{name}.yaml").write_text(text)
    return made


@pytest.fixture
async def running(folder: Path, backend: tuple[str, list[str]]) -> AsyncIterator[Running]:
    services = dict([targets.parse(f"shop/orders={backend[0]}")])
    assert Ref(Kind.SERVICE, "shop", "orders") in services
    async with started(folder, services=services, environment={"MCP_SECRET_SHOP_CRM_TOKEN": SECRET}) as found:
        yield found
