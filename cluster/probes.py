"""What the kubelet and Prometheus ask of a process of ours: ``/healthz``, ``/readyz`` and ``/metrics`` on one port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.openmetrics import exposition

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

__all__ = ["application", "serve"]


def application(
    registry: CollectorRegistry,
    unready: Callable[[], str | None],
    hung: Callable[[], str | None] = lambda: None,
    note: Callable[[], str | None] = lambda: None,
) -> web.Application:
    """``unready`` says in a few words why the process should get no requests, or None; ``hung`` why it must restart.

    ``note`` is what a person should know of a process that is ready.
    """

    async def healthz(_request: web.Request) -> web.Response:
        why = hung()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def readyz(_request: web.Request) -> web.Response:
        why = unready()
        remark = note()
        text = why or (f"ok, but {remark}" if remark else "ok")
        return web.Response(text=f"{text}\n", status=503 if why else 200)

    async def metrics(_request: web.Request) -> web.Response:
        body = exposition.generate_latest(registry)  # type: ignore[no-untyped-call]
        return web.Response(body=body, headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


async def serve(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Listen; the caller cleans the runner up."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
