"""A backend that speaks MCP, in the stateless era or in that of sessions, as the specification says it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.laws.bench import Answer
from tests.laws.requests import Received

__all__ = ["McpBackend"]

MODERN = "2026-07-28"


@dataclass
class McpBackend:
    """Records the params of each tools/call, and the messages before it.

    ``result`` is the JSON of the result of tools/call. ``version`` is the only one that it speaks. With ``streams`` it
    answers as an event stream.
    """

    version: str
    result: str
    streams: bool = False
    has_sessions: bool = True
    calls: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __call__(self, received: Received) -> Answer:
        if received.method == "DELETE":
            return Answer(204, b"")
        message = json.loads(received.body)
        method, identifier = message["method"], message.get("id")
        if identifier is None:
            return Answer(202, b"")
        if self.version == MODERN:
            return self._answer_modern(method, message, received)
        if method == "initialize":
            found = {"protocolVersion": self.version, "capabilities": {}, "serverInfo": {"name": "b", "version": "1"}}
            session = (("Mcp-Session-Id", "session-1"),) if self.has_sessions else ()
            return self._say(identifier, json.dumps(found), session)
        if method != "tools/call":
            error = {"code": -32601, "message": "Method not found"}
            return Answer(200, json.dumps({"jsonrpc": "2.0", "id": identifier, "error": error}).encode())
        if self.has_sessions and received.headers.get("mcp-session-id") != "session-1":
            return Answer(404, b"")
        self.calls.append(message["params"])
        return self._say(identifier, self.result)

    def _answer_modern(self, method: str, message: dict[str, Any], received: Received) -> Answer:
        identifier = message["id"]
        wanted = {"mcp-protocol-version": MODERN, "mcp-method": method}
        self.faults += [name for name, value in wanted.items() if received.headers.get(name) != value]
        if method == "server/discover":
            found = {
                "supportedVersions": [MODERN],
                "capabilities": {},
                "resultType": "complete",
                "ttlMs": 0,
                "cacheScope": "private",
            }
            return self._say(identifier, json.dumps(found))
        if method != "tools/call":
            error = {"code": -32601, "message": "Method not found"}
            return Answer(404, json.dumps({"jsonrpc": "2.0", "id": identifier, "error": error}).encode())
        self.calls.append({name: value for name, value in message["params"].items() if name != "_meta"})
        return self._say(identifier, f'{{"resultType":"complete",{self.result[1:]}')

    def _say(self, identifier: Any, result: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
        text = f'{{"jsonrpc":"2.0","id":{json.dumps(identifier)},"result":{result}}}'
        if self.streams:
            body = f": first a comment\n\nevent: message\ndata: {text}\n\n"
            return Answer(200, body.encode(), (("Content-Type", "text/event-stream"), *headers))
        return Answer(200, text.encode(), (("Content-Type", "application/json"), *headers))
