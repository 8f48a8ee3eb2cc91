"""What the kubelet and Prometheus ask of a process of ours: ``/healthz``, ``/readyz`` and ``/metrics`` on one port.

The port is open to every pod of the cluster, and its answers are made by the event loop that does the work. So its
connections have the deadlines and limits of the serving port, requests have no body, and metrics are made no more often
than costs a tenth of the time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.openmetrics import exposition

from cluster.connections import Connections, Deadlines, Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware
    from prometheus_client import CollectorRegistry

__all__ = ["DEADLINES", "application", "serve"]

DEADLINES = Deadlines(headers=5.0, body=5.0, idle=75.0, write=5.0, connections=64)
# Requests at once; the kubelet and a few scrapers need no more.
IN_PROGRESS = 16
# Of the time, for making metrics.
METRICS_SHARE = 0.1


def application(
    registry: CollectorRegistry,
    unready: Callable[[], str | None],
    hung: Callable[[], str | None] = lambda: None,
    note: Callable[[], str | None] = lambda: None,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> web.Application:
    """``unready`` says in a few words why the process should get no requests, or None; ``hung`` why it must restart.

    ``note`` is what a person should know of a process that is ready.
    """
    made = _Metrics(registry, monotonic)

    async def healthz(_request: web.Request) -> web.Response:
        why = hung()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def readyz(_request: web.Request) -> web.Response:
        why = unready()
        remark = note()
        text = why or (f"ok, but {remark}" if remark else "ok")
        return web.Response(text=f"{text}\n", status=503 if why else 200)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=made.text(), headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


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


async def serve(app: web.Application, host: str, port: int, *, deadlines: Deadlines = DEADLINES) -> Listener:
    """Listen; the caller closes the listener."""
    connections = Connections(deadlines)
    app.middlewares.append(_limit(connections))
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=deadlines.idle,
        lingering_time=deadlines.linger,
        shutdown_timeout=1.0,
        auto_decompress=False,
    )
    await runner.setup()
    listener = Listener(runner, connections)
    await listener.start(host, port)
    return listener


def _limit(connections: Connections) -> Middleware:
    in_progress = 0

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_progress
        transport = request.transport
        connections.headers_received(transport)
        connections.request_received(transport)
        in_progress += 1
        try:
            if request.body_exists:
                refused = web.Response(status=413, text="a request to this port has no body\n")
            elif in_progress > IN_PROGRESS:
                refused = web.Response(status=503, text="too many requests are in progress\n")
            else:
                return await handler(request)
            refused.force_close()
            return refused
        finally:
            in_progress -= 1
            connections.answered(transport)

    return limit
