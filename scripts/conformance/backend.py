"""The Service behind the tools of the conformance suite, and the changes of manifests that two of them make."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["started"]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA=="
_REPLIES = {
    "/text": ("text/plain", b"This is a simple text response for testing."),
    "/image": ("image/png", base64.b64decode(PNG)),
    "/audio": ("audio/wav", base64.b64decode(WAV)),
    "/binary": ("application/octet-stream", b"\x00This is an embedded resource."),
}
_SEVERAL = [
    {"type": "text", "text": "Multiple content types test:"},
    {"type": "image", "data": PNG, "mimeType": "image/png"},
    {
        "type": "resource",
        "resource": {"uri": "test://mixed", "mimeType": "application/json", "text": '{"test":"data","value":123}'},
    },
]
_CHANGED: dict[str, dict[str, Any]] = {
    "tool": {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": "changed", "namespace": "conformance"},
        "spec": {
            "name": "test_changed",
            "description": "Is there after every second change.",
            "method": "GET",
            "service": {"name": "backend", "port": 80, "path": "/text"},
        },
    },
    "prompt": {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPPrompt",
        "metadata": {"name": "changed", "namespace": "conformance"},
        "spec": {"name": "test_changed", "description": "Is there after every second change.", "template": "Changed."},
    },
}


@contextlib.asynccontextmanager
async def started(manifests: Path) -> AsyncIterator[str]:
    """The URL of the backend, which changes files of the folder ``manifests``."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        path, body = request.path, await request.read()
        if path in _REPLIES:
            media_type, content = _REPLIES[path]
            return web.Response(body=content, headers={"Content-Type": media_type})
        if path == "/echo":
            return web.json_response(json.loads(body or b"{}"))
        if path.startswith("/records/"):
            return web.json_response({"id": path.removeprefix("/records/"), "data": "Data of a template."})
        if path == "/mcp":
            return await _answer_mcp(request, json.loads(body))
        if path.removeprefix("/change/") in _CHANGED:
            return web.json_response({"listed": _change(manifests, path.removeprefix("/change/"))})
        return web.json_response({"error": "This tool intentionally returns an error for testing"}, status=422)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _change(manifests: Path, what: str) -> bool:
    """Add an object to the manifests, or remove it; whether it is there now."""
    path = manifests / f"changed-{what}.json"
    if path.exists():
        path.unlink()
        return False
    path.write_text(json.dumps(_CHANGED[what]))
    return True


async def _answer_mcp(request: web.BaseRequest, message: dict[str, Any]) -> web.StreamResponse:
    """Answer tools/call of MCP 2026-07-28 with a stream: with progress, where it is asked for, and the result."""
    params = message["params"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    token = params.get("_meta", {}).get("progressToken")
    for progress in (0, 50, 100) if token is not None else ():
        said = {"progressToken": token, "progress": progress, "total": 100}
        await _send(response, {"jsonrpc": "2.0", "method": "notifications/progress", "params": said})
    content = _SEVERAL if params["name"] == "test_multiple_content_types" else [{"type": "text", "text": "Done."}]
    result = {"resultType": "complete", "content": content}
    await _send(response, {"jsonrpc": "2.0", "id": message["id"], "result": result})
    return response


async def _send(response: web.StreamResponse, message: dict[str, Any]) -> None:
    await response.write(f"event: message\ndata: {json.dumps(message)}\n\n".encode())
