"""What the kubelet and Prometheus ask of a process of ours: ``/healthz``, ``/readyz`` and ``/metrics`` on one port.

The port is open to every pod of the cluster, and its answers are made by the event loop that does the work. So its
connections have the deadlines and limits of the serving port, requests have no body, and metrics are made no more often
than costs a tenth of the time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client.openmetrics import exposition

from cluster.connections import Connections, Deadlines
from cluster.listener import Listener
from cluster.message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from prometheus_client import CollectorRegistry

    Page = Callable[[], Awaitable[Response]]

__all__ = ["DEADLINES", "Page", "pages", "serve"]

DEADLINES = Deadlines(headers=5.0, body=5.0, idle=75.0, write=5.0, connections=64)
# Requests at once; the kubelet and a few scrapers need no more.
IN_PROGRESS = 16
# Of the time, for making metrics.
METRICS_SHARE = 0.1


def pages(
    registry: CollectorRegistry,
    unready: Callable[[], str | None],
    hung: Callable[[], str | None] = lambda: None,
    note: Callable[[], str | None] = lambda: None,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, Page]:
    """The pages by path.

    ``unready`` says in a few words why the process should get no requests, or None; ``hung`` why it must restart.
    ``note`` is what a person should know of a process that is ready.
    """
    made = _Metrics(registry, monotonic)

    async def healthz() -> Response:
        why = hung()
        return Response(503 if why else 200, f"{why or 'ok'}\n".encode())

    async def readyz() -> Response:
        why = unready()
        remark = note()
        text = why or (f"ok, but {remark}" if remark else "ok")
        return Response(503 if why else 200, f"{text}\n".encode())

    async def metrics() -> Response:
        return Response(200, made.text(), exposition.CONTENT_TYPE_LATEST)

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


class _Metrics:
    """The metrics as text. A text is repeated for ten times as long as it took to make."""

    def __init__(self, registry: CollectorRegistry, monotonic: Callable[[], float]) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._text = b""
        self._valid_until: float | None = None

    def text(self) -> bytes:
        begun = self._monotonic()
        if self._valid_until is None or begun >= self._valid_until:
            self._text = exposition.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            ended = self._monotonic()
            self._valid_until = ended + (ended - begun) * (1 / METRICS_SHARE - 1)
        return self._text


async def serve(
    pages: Mapping[str, Page],
    host: str,
    port: int,
    *,
    deadlines: Deadlines = DEADLINES,
    now: Callable[[], float] = time.time,  # noqa: TID251 -- only a default, for the Date header
) -> Listener:
    """Listen; the caller closes the listener."""
    in_progress = 0

    async def handle(request: Request) -> Response:
        nonlocal in_progress
        if not request.complete or await request.receive():
            return Response(413, b"a request to this port has no body\n", close=True)
        if in_progress >= IN_PROGRESS:
            return Response(503, b"too many requests are in progress\n", close=True)
        page = pages.get(request.path)
        if page is None:
            return Response(404, f"there is no such page; there are {', '.join(pages)}\n".encode())
        if request.method not in ("GET", "HEAD"):
            return Response(405, b"send a GET\n", headers={"Allow": "GET, HEAD"})
        in_progress += 1
        try:
            return await page()
        finally:
            in_progress -= 1

    listener = Listener(Connections(handle, deadlines, now=now, added={}))
    await listener.start(host, port)
    return listener
