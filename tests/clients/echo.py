"""A backend for all examples: it knows each tool and resource by the path that it is given, and answers as told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from crd.published.entries import Backend as Address
from tests.laws.bench import Answer
from tests.laws.mcp_backend import McpBackend
from tests.laws.requests import Received

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Backend", "Reply"]


@dataclass(frozen=True)
class Reply:
    """``value`` at the pointer ``select`` of a JSON document, or as text; of an MCP server, as structuredContent."""

    value: Any
    select: str = ""
    status: int = 200
    is_text: bool = False
    is_mcp: bool = False

    def answer(self) -> Answer:
        if self.is_text:
            return Answer(self.status, b"some text", (("Content-Type", "text/plain"),))
        document = self.value
        for step in reversed(self.select.split("/")[1:]):
            document = [document] if step.isdigit() else {step.replace("~1", "/").replace("~0", "~"): document}
        return Answer(self.status, json.dumps(document).encode())


class Backend:
    """``replies`` by the source of the object, and the name of the tool on an MCP server."""

    def __init__(self) -> None:
        self.replies: dict[tuple[str, str], Reply] = {}
        self._sources: list[str] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()

    def move(self, entry: Any) -> Any:
        """An entry of a catalog with an address here; its path begins with the number by which it is known."""
        self._sources.append(entry.source)
        start, port = f"/{len(self._sources) - 1}", self._server.sockets[0].getsockname()[1]
        mcp = getattr(entry, "mcp", None)
        if mcp is not None:
            return replace(entry, backend=Address("127.0.0.1", port, "/"), mcp=replace(mcp, path=start + mcp.path))
        return replace(entry, backend=Address("127.0.0.1", port, start + entry.backend.path))

    def answer(self, source: str, received: Received) -> Answer:
        """The answer to a request for an entry of this source."""
        known = {name: reply for (each, name), reply in self.replies.items() if each == source}
        name, reply = next(iter(known.items()))
        if not reply.is_mcp:
            return reply.answer()
        text = json.dumps({"content": [{"type": "text", "text": "said"}], "structuredContent": reply.value})
        modern = McpBackend("2026-07-28", text)
        legacy = McpBackend("2025-11-25", text)
        backend = modern if "mcp-method" in received.headers else legacy
        answer = backend(received)
        assert all(call["name"] == name for call in backend.calls), (name, backend.calls)
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rest = head.rstrip("\r\n").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                if "transfer-encoding" in headers:
                    raise ValueError("a chunked request")
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = line.split(" ")
                source = self._sources[int(target.split("?")[0].split("/")[1])]
                status, content, given = self.answer(source, Received(method, target, headers, body))
                lines = "".join(f"{name}: {value}\r\n" for name, value in given)
                start = f"HTTP/1.1 {status} Status\r\n{lines}Content-Length: {len(content)}\r\n\r\n"
                writer.write(start.encode("latin-1") + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
