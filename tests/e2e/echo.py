"""An HTTP service that answers with what it was asked; ``/fail/N`` answers with status N."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """Every method, every path."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Say what came in."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
        payload = json.dumps(said).encode()
        self.send_response(int(self.path.rpartition("/")[2]) if self.path.startswith("/fail/") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 -- names that the library looks for


ThreadingHTTPServer(("", 8080), Echo).serve_forever()
