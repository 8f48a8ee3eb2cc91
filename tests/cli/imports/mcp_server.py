"""An MCP server on standard input and output, for the tests of the import: `python mcp_server.py SCENE [LIST]`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def answer(identifier: Any, **members: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": identifier, **members}), flush=True)


def main(scene: str, tools: list[dict[str, Any]]) -> None:
    print("starting \x1b[31m with a log on the wrong stream", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        method, identifier = message.get("method"), message.get("id")
        modern = scene == "modern"
        if scene == "silent":
            time.sleep(60)
        if scene == "endless line":
            while True:
                sys.stdout.write("x" * 65536)
        if scene == "dies":
            print("no licence \x1b]0;owned\x07", file=sys.stderr)
            sys.exit(3)
        if method == "server/discover" and modern:
            answer(
                identifier, result={"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}, "prompts": {}}}
            )
        elif method == "initialize" and not modern:
            print(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "roots/list"}), flush=True)
            answer(identifier, result={"protocolVersion": "2025-06-18", "capabilities": {"resources": {}}})
        elif method == "tools/list":
            if scene == "error":
                answer(identifier, error={"code": -32603, "message": "broken \x1b[2J"})
            elif scene == "endless pages":
                answer(identifier, result={"tools": [], "nextCursor": str(time.monotonic_ns())})
            elif scene == "same page":
                answer(identifier, result={"tools": [], "nextCursor": "1"})
            elif scene == "no list":
                answer(identifier, result={"tools": {"a": 1}})
            elif message["params"].get("cursor") is None and len(tools) > 1:
                answer(identifier, result={"tools": tools[:1], "nextCursor": "1"})
            else:
                answer(identifier, result={"tools": tools[1:] if len(tools) > 1 else tools})
        elif identifier is not None and method is not None:
            answer(identifier, error={"code": -32601, "message": "Method not found"})


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else [])
