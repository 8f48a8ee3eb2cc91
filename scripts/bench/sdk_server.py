"""The tool of `scripts.bench.runtime` with the official Python SDK or FastMCP: ``sdk_server.py sdk|fastmcp BACKEND``.

A program of its own, because FastMCP is installed apart from this project. Prints its port.
"""

from __future__ import annotations

import socket
import sys
from typing import Annotated, Any, Literal

import httpx
import uvicorn
from pydantic import Field


def app(framework: str, backend: str) -> Any:
    """The ASGI application: with sessions and JSON answers."""
    server: Any
    if framework == "sdk":
        from mcp.server.mcpserver import MCPServer

        server = MCPServer("bench", log_level="WARNING")
    else:
        from fastmcp import FastMCP

        server = FastMCP("bench")
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{backend}")

    @server.tool(name="get_order_0")
    async def get_order(
        order: Annotated[str, Field(pattern="^[0-9]{1,10}$")],
        expand: Literal["lines", "customer"] | None = None,
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
    ) -> str:
        """One order."""
        query = {"expand": expand, "limit": limit} if expand else {"limit": limit}
        return (await client.get(f"/orders/{order}", params=query)).text

    if framework == "sdk":
        return server.streamable_http_app(json_response=True)
    return server.http_app(path="/mcp", json_response=True)


def main() -> None:
    """Serve until the process is ended."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app(*sys.argv[1:3]), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
