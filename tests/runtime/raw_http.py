"""Requests without an MCP client: plain HTTP, and the messages of both eras."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from runtime.mcp.eras import MODERN

__all__ = ["INITIALIZE", "modern", "rpc", "send"]


async def send(url: str, method: str = "POST", body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Status, headers and body of the response. A JSON body is decoded."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    async with aiohttp.ClientSession() as session, session.request(method, url, data=data, headers=headers) as answer:
        text = await answer.read()
        is_json = text[:1] in (b"{", b"[")
        return answer.status, answer.headers, json.loads(text) if is_json else text.decode()


def rpc(method: str, identifier: int | None = 1, **params: Any) -> dict[str, Any]:
    """A message of the era of sessions."""
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return message if identifier is None else {**message, "id": identifier}


INITIALIZE = rpc("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t", "version": "1"})


async def modern(url: str, method: str, *, sent: dict[str, str] | None = None, **params: Any) -> tuple[int, Any, Any]:
    """The response to a request of the stateless era. ``sent`` are further headers."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    named = params.get("uri") if method == "resources/read" else params.get("name")
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, **({"Mcp-Name": named} if named else {})}
    return await send(url, body=rpc(method, _meta=meta, **params), **headers, **(sent or {}))
