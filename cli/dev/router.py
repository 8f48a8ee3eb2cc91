"""The one port: who may use it, the page and its calls, and the servers below their paths.

The process holds real Secrets. So a request must name this machine in Host (a web page that points a name of its own at
it cannot), a web page must be of this port or an allowed origin, and the calls of the page carry a token of the run.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from cli.dev.backends import recording
from cluster.bodies import Bodies, BodyEvictedError
from cluster.message import Response
from runtime.auth.oauth_metadata import WELL_KNOWN
from runtime.backends.faults import CallError
from runtime.http import responses
from runtime.mcp import numbers
from runtime.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.dev.call_log import CallLog
    from cli.dev.secret_values import Redaction
    from cli.dev.servers import Servers
    from cluster.message import Request

__all__ = ["HEADERS", "Access", "Router", "State"]

MAX_BODY = 1024 * 1024
# Seconds for which the page waits for news.
PATIENCE = 25.0
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_SANDBOX = "default-src 'none'; sandbox"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_METHODS = {"tool": "tools/call", "prompt": "prompts/get", "resource": "resources/read"}


@dataclass(frozen=True, slots=True)
class Access:
    """``token`` is that of the run. ``names`` are host names by which clients may call, besides those of this machine.

    ``is_local``: only loopback addresses are served. ``origins`` are those of web pages that may call servers.
    """

    token: str
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    is_local: bool = True

    def allows_host(self, host: str | None) -> bool:
        """Whether a Host header names this machine. An IP address is enough if others may connect: it was not
        resolved, so no DNS record of a web page led here."""
        name = (host or "").lower()
        if name.rpartition(":")[2].isdigit():
            name = name.rpartition(":")[0]
        if name == "localhost" or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return address.is_loopback or not self.is_local

    def allows_token(self, authorization: str | None) -> bool:
        """Whether a call is one of the page."""
        # What a client sent need not be UTF-8.
        sent = (authorization or "").encode(errors="surrogateescape")
        return hmac.compare_digest(sent, f"Bearer {self.token}".encode())


class State(Protocol):
    """What the page shows, and explains."""

    redaction: Redaction

    def describe(self) -> dict[str, Any]:
        """Servers, findings, Services and Secrets."""
        ...

    async def explain(self, server: str, tool: str, arguments: Mapping[str, Any], claims: Mapping[str, Any]) -> Any:
        """The request of a call. Raises CallError, and LookupError for an unknown tool."""
        ...


class Router:
    """Answers every request. ``log`` gets every call of a server."""

    def __init__(self, access: Access, servers: Servers, state: State, log: CallLog) -> None:
        self._access = access
        self._servers = servers
        self._state = state
        self._log = log
        self._bodies = Bodies(30.0)
        folder = resources.files("cli.dev") / "page"
        self._files = {path: ((folder / name).read_bytes(), media) for path, (name, media) in _FILES.items()}

    async def handle(self, request: Request) -> Response:
        """The response, with the policies of a browser."""
        response = await self._route(request)
        response.headers.setdefault("Content-Security-Policy", _SANDBOX)
        return response

    async def _route(self, request: Request) -> Response:
        host = request.header("host")
        if len(request.values("host")) != 1 or not self._access.allows_host(host):
            return responses.text_response(403, f'Host "{host}" is not this machine; see --allow-host\n', close=True)
        origin, own = request.header("origin"), f"http://{host}"
        if request.path in self._files and request.method in ("GET", "HEAD"):
            content, media = self._files[request.path]
            return Response(200, content, media, {"Content-Security-Policy": _PAGE_POLICY})
        if request.path.startswith("/api/"):
            if origin not in (None, own):
                return responses.text_response(403, f'Origin "{origin}" is not allowed\n', close=True)
            if not self._access.allows_token(request.header("authorization")):
                return responses.text_response(401, "the token of the run is missing; open the URL that was printed\n")
            return await self._answer_page(request)
        path = request.path.removeprefix(WELL_KNOWN)
        key = "/".join(path.split("/")[1:3])
        server = self._servers.get(key)
        if server is None or server.store.compiled is None:
            return responses.text_response(404, "no MCPServer has this path; GET / lists them\n")
        allowed = (None, own, *server.store.compiled.catalog.settings.allowed_origins)
        if origin not in allowed:
            return responses.text_response(403, f'Origin "{origin}" is not allowed; see --allow-origin\n', close=True)
        started = time.monotonic()
        with recording() as exchanges:
            response = await server.app.handle(request)
        self._record(key, request.operation, response.status, started, response.body, exchanges)
        return response

    def _record(
        self, server: str, operation: str, status: int, started: float, body: bytes, exchanges: list[dict[str, Any]]
    ) -> None:
        self._log.add(
            self._state.redaction.any(
                {
                    "server": server,
                    "operation": operation,
                    "status": status,
                    "ms": round((time.monotonic() - started) * 1000, 1),
                    "at": time.time(),  # noqa: TID251 -- shown to a person
                    "response": body[: 16 * 1024].decode("utf-8", "replace"),
                    "exchanges": exchanges,
                }
            )
        )

    async def _answer_page(self, request: Request) -> Response:
        if (request.method, request.path) == ("GET", "/api/state"):
            return self._json({"revision": self._log.revision, **self._state.describe()})
        if request.method != "POST" or request.media_type != "application/json":
            return responses.text_response(404, "not found\n")
        try:
            body = await self._bodies.read(request, MAX_BODY)
        except (TimeoutError, BodyEvictedError):
            return responses.text_response(408, "the body of the request did not arrive in time\n", close=True)
        if body is None:
            return responses.text_response(413, f"the body must have at most {MAX_BODY} bytes\n", close=True)
        try:
            asked = numbers.loads(body)
        except orjson.JSONDecodeError:
            asked = None
        if not isinstance(asked, dict):
            return responses.text_response(400, "the body must be a JSON object\n")
        match request.path:
            case "/api/changes":
                after, revision = asked.get("after"), asked.get("revision")
                known = (after, revision) if isinstance(after, int) and isinstance(revision, int) else (0, -1)
                return self._json(await self._log.wait(*known, PATIENCE))
            case "/api/explain":
                return self._json(await self._explain(asked))
            case "/api/call":
                return self._json(await self._call(asked))
        return responses.text_response(404, "not found\n")

    async def _explain(self, asked: dict[str, Any]) -> Any:
        try:
            name = str(asked.get("name"))
            return await self._state.explain(
                str(asked.get("server")), name, _mapping(asked, "arguments"), _mapping(asked, "claims")
            )
        except (CallError, LookupError) as error:
            return {"error": error.message if isinstance(error, CallError) else str(error)}

    async def _call(self, asked: dict[str, Any]) -> Any:
        key, method = str(asked.get("server")), _METHODS.get(str(asked.get("kind")))
        server = self._servers.get(key)
        if server is None or method is None:
            return {"error": "the server is not served any more"}
        name = str(asked.get("name"))
        params = (
            {"uri": name} if method == "resources/read" else {"name": name, "arguments": _mapping(asked, "arguments")}
        )
        started = time.monotonic()
        answer: dict[str, Any] = {}
        with recording() as exchanges:
            try:
                answer["result"] = await server.call(method, params, _mapping(asked, "claims"))
            except RpcError as error:
                answer["error"] = error.message
        answer |= {"ms": round((time.monotonic() - started) * 1000, 1), "exchanges": exchanges}
        shown = orjson.dumps(answer.get("result", answer.get("error")))
        self._record(key, f"{method} {name} (from the page)", 200, started, shown, exchanges)
        return answer

    def _json(self, value: Any) -> Response:
        return Response(200, orjson.dumps(self._state.redaction.any(value)), responses.JSON)


def _mapping(asked: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = asked.get(name)
    return value if isinstance(value, dict) else {}
