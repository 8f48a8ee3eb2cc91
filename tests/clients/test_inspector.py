"""The command line of the MCP Inspector, as it is, shows what a server has, what it returns, and why it refuses."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crd.ref import Kind, Ref
from scripts.clients import node
from scripts.dev_server import serving
from tests.runtime.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
ORDERS = Ref(Kind.SERVICE, "shop", "orders")
ERAS = ("legacy", "modern")
LONGEST = 120.0
_SERVERS = """
apiVersion: mcp.example.com/v1alpha1
kind: MCPServer
metadata: {name: open, namespace: shop}
spec:
  toolSelector: {matchLabels: {app: shop}}
  rateLimits: {tools: {find_products: {requests: 1, period: 1h}}}
---
apiVersion: mcp.example.com/v1alpha1
kind: MCPServer
metadata: {name: closed, namespace: shop}
spec:
  toolSelector: {matchLabels: {app: shop}}
  auth: {type: APIKey, apiKey: {secretName: clients}}
"""


@asynccontextmanager
async def served(folder: Path, server: str) -> AsyncIterator[str]:
    """The URL of a server with the tools, prompts and resources of the examples."""
    (folder / "servers.yaml").write_text(_SERVERS)
    for pattern in ("tool-*.yaml", "prompt-*.yaml", "resource-*.yaml"):
        for path in (EXAMPLES / "valid").glob(pattern):
            (folder / path.name).write_bytes(path.read_bytes())
    port = free_port()
    backend = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / "backend" / "backend.py"), str(port), stdout=asyncio.subprocess.PIPE
    )
    assert backend.stdout is not None
    try:
        await backend.stdout.readline()
        keys = {"MCP_SECRET_SHOP_CLIENTS_INSPECTOR": "the-key-of-the-inspector"}
        async with serving(str(folder), {ORDERS: f"http://127.0.0.1:{port}"}, keys, f"shop/{server}") as url:
            yield url
    finally:
        backend.terminate()
        await backend.wait()


async def inspect(home: Path, url: str, *words: str) -> tuple[int, Any, str]:
    """Exit code, the result, and standard error."""
    installed = (await asyncio.to_thread(node.install)) / "node_modules"
    process = await asyncio.create_subprocess_exec(
        str(installed / ".bin" / "node"), str(installed / ".bin" / "mcp-inspector"), "--cli", url, "--format", "json",
        *words, env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, json.loads(out)["result"] if out else None, err.decode()


@pytest.mark.parametrize("era", ERAS)
async def test_it_lists_and_uses_what_a_server_has(era: str, tmp_path: Path) -> None:
    async with served(tmp_path, "open") as url:

        async def asked(method: str, *words: str) -> Any:
            code, result, err = await inspect(tmp_path, url, "--protocol-era", era, "--method", method, *words)
            assert code == 0, err
            return result

        found = await asked("initialize")
        tools = await asked("tools/list", "--strict")
        called = await asked("tools/call", "--tool-name", "count-orders", "--tool-arg", "status=open")
        filled = ("--prompt-args", "customer=A", "order_id=o-1")
        prompt = await asked("prompts/get", "--prompt-name", "order_status", *filled)
        text = await asked("resources/read", "--uri", "shop://policies/returns")
        stock = await asked("resources/read", "--uri", "mcp://stock/stock/mug-blue")
        listed = {
            member: {each[name] for each in (await asked(method))[member]}
            for method, member, name in (
                ("prompts/list", "prompts", "name"),
                ("resources/list", "resources", "uri"),
                ("resources/templates/list", "resourceTemplates", "uriTemplate"),
            )
        }

    assert found["serverInfo"]["name"] == "shop/open"
    assert found["protocolVersion"] == {"legacy": "2025-11-25", "modern": "2026-07-28"}[era]
    assert {tool["name"] for tool in tools["tools"]} == {
        "check_stock", "count-orders", "find_products", "search_orders"
    }  # fmt: skip
    assert called["structuredContent"] == {"count": 2}
    assert prompt["messages"][0]["content"]["text"].startswith("Write a friendly message to A about order o-1.")
    assert text["contents"][0]["mimeType"] == "text/markdown"
    assert json.loads(stock["contents"][0]["text"])["available"] == 17
    assert listed == {
        "prompts": {"daily-report", "order_status"},
        "resources": {"shop://brand/logo.png", "shop://policies/returns"},
        "resourceTemplates": {"mcp://stock/stock/{sku}{?warehouse}", "shop://products{?q}"},
    }


@pytest.mark.parametrize("era", ERAS)
async def test_it_shows_why_a_request_is_refused(era: str, tmp_path: Path) -> None:
    async with served(tmp_path, "open") as url:

        async def called(tool: str, argument: str) -> tuple[int, Any, str]:
            words = ("--method", "tools/call", "--tool-name", tool, "--tool-arg", argument)
            return await inspect(tmp_path, url, "--protocol-era", era, *words)

        wrong = await called("search_orders", "status=lost")
        first = await called("find_products", "q=mug")
        limited = await called("find_products", "q=mug")
        prompt = await inspect(
            tmp_path, url, "--protocol-era", era, "--method", "prompts/get", "--prompt-name", "order_status"
        )  # fmt: skip

    assert (wrong[0], wrong[1]["isError"]) == (5, True)
    error = json.loads(wrong[1]["content"][0]["text"])["error"]
    assert (error["code"], error["message"]) == (
        "invalid_arguments",
        '/status: must be one of "open", "shipped", "cancelled"',
    )
    assert first[0] == 0
    assert limited[0] == 5
    assert json.loads(limited[1]["content"][0]["text"])["error"]["code"] == "rate_limited"
    assert prompt[0] == 1
    assert 'missing required argument \\"customer\\" of prompt \\"order_status\\"' in prompt[2]


async def test_it_shows_what_a_server_asks_of_who_sends_no_credential(tmp_path: Path) -> None:
    async with served(tmp_path, "closed") as url:
        without = await inspect(tmp_path, url, "--method", "tools/list", "--stored-auth-only")
        header = "Authorization: Bearer the-key-of-the-inspector"
        admitted = await inspect(tmp_path, url, "--method", "tools/list", "--header", header)

    assert without[0] == 3
    assert "send the header Authorization: Bearer, with a token or an API key for this server" in without[2]
    assert (admitted[0], len(admitted[1]["tools"])) == (0, 4)
