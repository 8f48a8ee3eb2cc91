"""Requests without an MCP client: plain HTTP, and the messages of both eras."""

from __future__ import annotations

import json
from typing import Any, Self

import aiohttp

from runtime.mcp.eras import MODERN

__all__ = ["INITIALIZE", "Listening", "listen", "modern", "rpc", "send"]


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


class Listening:
    """A stream of server-sent events. ``status``, ``headers`` and the messages, one after the other."""

    def __init__(self, url: str, method: str, body: Any, headers: dict[str, str]) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self._asked = self._session.request(method, url, json=body, headers={"Accept": "text/event-stream", **headers})
        self.comments = 0

    async def __aenter__(self) -> Self:
        self.answer = await self._asked
        self.status, self.headers = self.answer.status, self.answer.headers
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.answer.close()
        await self._session.close()

    async def next(self) -> Any:
        """The next message; None at the end."""
        async for line in self.answer.content:
            if line.startswith(b":"):
                self.comments += 1
            elif line.startswith(b"data: "):
                return json.loads(line[6:])
        return None


def listen(url: str, *kinds: str, identifier: str | int = 1, **headers: str) -> Listening:
    """Listen for changes of these lists in the stateless era."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    wanted = {f"{kind}ListChanged": True for kind in kinds}
    params = {"_meta": meta, "notifications": wanted}
    body = {"jsonrpc": "2.0", "id": identifier, "method": "subscriptions/listen", "params": params}
    sent = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen", **headers}
    return Listening(url, "POST", body, sent)
