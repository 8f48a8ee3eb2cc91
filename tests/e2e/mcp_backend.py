"""An MCP server of the stateless era with one tool: `python mcp_backend.py DESCRIPTION [PORT]`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOL = {
    "name": "find_notes",
    "description": sys.argv[1],
    "inputSchema": {"type": "object", "properties": {"words": {"type": "string"}}},
}


class Server(BaseHTTPRequestHandler):
    """One endpoint."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say that it is ready."""
        self.reply({})

    def do_POST(self) -> None:
        """Answer a message."""
        message = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        match message["method"]:
            case "server/discover":
                result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
            case "tools/list":
                result = {"tools": [TOOL]}
            case _:
                result = {"content": [{"type": "text", "text": "three notes"}]}
        self.reply({"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", **result}})

    def reply(self, message: dict[str, object]) -> None:
        """Send a message."""
        payload = json.dumps(message).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


server = ThreadingHTTPServer(("", int(sys.argv[2]) if len(sys.argv) > 2 else 8080), Server)
print("ready", flush=True)
server.serve_forever()
