"""The runtime's HTTP client, with Services at addresses of this machine; each exchange is recorded for the page."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from cli.dev import targets
from cli.explain.explanation import split_url
from runtime.backends.faults import CallError
from runtime.http.client import MAX_REPLY, HttpClient, fixed_lines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from crd.published.policy import Tls
    from crd.ref import Ref
    from runtime.backends.secret_files import SecretFiles
    from runtime.http.exchange import Header, Reply, Request

__all__ = ["LocalClient", "recording"]

# Bytes of a body that are shown.
MAX_SHOWN = 16 * 1024
MAX_EXCHANGES = 20
_recorded: ContextVar[list[dict[str, Any]] | None] = ContextVar("recorded", default=None)


@contextmanager
def recording() -> Iterator[list[dict[str, Any]]]:
    """The exchanges of this task with backends, from here on."""
    exchanges: list[dict[str, Any]] = []
    token = _recorded.set(exchanges)
    try:
        yield exchanges
    finally:
        _recorded.reset(token)


class LocalClient(HttpClient):
    """``locate`` gives the URL for a Service and port, or raises CallError."""

    def __init__(self, files: SecretFiles, locate: Callable[[Ref, int], Awaitable[str]]) -> None:
        super().__init__(files, allow_loopback=True)
        self._locate = locate

    async def send(
        self,
        request: Request,
        timeout: float,
        *,
        tls: Tls | None = None,
        max_bytes: int = MAX_REPLY,
        cut: bool = False,
        more: tuple[Header, ...] = (),
        ends: Callable[[bytes], bool] | None = None,
    ) -> Reply:
        """As the runtime sends it, to the address for the Service."""
        start = time.monotonic()
        base, _, _ = split_url(request.url)
        shown: dict[str, Any] = {"method": request.method, "url": request.url, "body": _show(request.body or b"")}
        exchanges = _recorded.get()
        if exchanges is not None and len(exchanges) < MAX_EXCHANGES:
            exchanges.append(shown)
        try:
            port = int(base.rpartition(":")[2])
            target = await self._locate(targets.service_of(base), port)
            sent = request._replace(url=target + request.url.removeprefix(base))
            lines = fixed_lines(target.partition("://")[2].partition("/")[0], request.headers).splitlines()
            shown["sentTo"] = target
            shown["headers"] = [
                *([*line.partition(": ")[::2]] for line in lines),
                *map(list, request.headers),
                *map(list, more),
            ]
            if request.body is not None:
                shown["headers"].append(["Content-Length", str(len(request.body))])
            secured = tls if target.startswith("https:") else None
            reply = await super().send(sent, timeout, tls=secured, max_bytes=max_bytes, cut=cut, more=more, ends=ends)
        except CallError as fault:
            shown["error"] = str(fault)
            raise
        finally:
            shown["ms"] = round((time.monotonic() - start) * 1000, 1)
        shown |= {"status": reply.status, "replyHeaders": dict(reply.headers), "reply": _show(reply.body)}
        return reply


def _show(body: bytes) -> str:
    """The beginning of a body as text."""
    text = body[:MAX_SHOWN].decode("utf-8", "replace")
    return text if len(body) <= MAX_SHOWN else f"{text}… ({len(body)} bytes)"
