"""What the process of a pod loads: each of these libraries is several MiB, in every pod of every server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from certs import issuance
from certs.tls import HotContext
from crd.published import catalogs, signature
from crd.published.settings import CATALOG_SUFFIX
from scripts.bench import start
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

LARGE = {
    "aiohttp", "jwt", "kubernetes_asyncio", "opentelemetry", "pydantic", "requests", "yaml", "yarl",
}  # fmt: skip
# As `scripts.bench.start` runs it. At its end it prints what it has loaded.
PROGRAM = start.AS_POD.replace(
    "sys.exit(__main__.main())", "code = __main__.main()\nprint(' '.join(sys.modules))\nsys.exit(code)"
)


class Api:
    """The API server of a catalog: it knows the server, lists the ConfigMap, and holds the watch."""

    def __init__(self, catalog: Path) -> None:
        self.data = {name: (catalog / name).read_text() for name in (catalogs.FILE, signature.FILE)}
        self.paths: list[str] = []
        self.watched = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        if "mcpservers" in request.path:
            return web.json_response({"metadata": {"name": "main", "uid": start.UID}, "status": {}})
        if "watch" not in request.query:
            metadata = {"name": f"main{CATALOG_SUFFIX}", "namespace": "shop", "resourceVersion": "1"}
            items = [{"metadata": metadata, "data": self.data}]
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
        response = web.StreamResponse()
        await response.prepare(request)
        self.watched.set()
        await asyncio.Event().wait()
        return response


def write_account(account: Path) -> HotContext:
    """The files of a ServiceAccount. Returns what an API server serves with."""
    now = datetime.now(UTC)  # noqa: TID251 -- certificates of this very moment
    ca = issuance.authority("test", now)
    account.mkdir()
    (account / "ca.crt").write_bytes(ca.certificate)
    (account / "token").write_text("token")
    return HotContext(issuance.leaf(ca, ["127.0.0.1"], now))


async def serve(api: Api, account: Path) -> tuple[web.AppRunner, int]:
    app = web.Application()
    app.router.add_get("/{path:.*}", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=write_account(account).outer).start()
    return runner, int(runner.addresses[0][1])


async def run_pod(folder: Path) -> tuple[Api, set[str]]:
    """Run the program with Redis, a signed catalog and the watch of the API server. The packages that it has loaded."""
    catalog, account = folder / "catalog", folder / "account"
    catalog.mkdir()
    root = start.write_catalog(catalog)
    api = Api(catalog)
    runner, port = await serve(api, account)
    words: list[Any] = [
        "--catalog-dir", catalog, "--namespace", "shop", "--config-map", f"main{CATALOG_SUFFIX}",
        "--catalog-root", root, "--server-uid", start.UID, "--redis-host", "127.0.0.1", "--redis-port", free_port(),
        "--host", "127.0.0.1", "--port", free_port(), "--health-port", free_port(), "--drain-seconds", 0,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(account), "serve", *map(str, words)),
        env=os.environ | {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)},  # noqa: TID251
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            await api.watched.wait()
            process.send_signal(signal.SIGTERM)
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
        await runner.cleanup()
    return api, {name.partition(".")[0] for name in out.decode().split()}


async def test_a_pod_watches_its_catalog_without_large_libraries(tmp_path: Path) -> None:
    api, loaded = await run_pod(tmp_path)

    maps = "/api/v1/namespaces/shop/configmaps"
    assert {path.rpartition("/")[2] for path in api.paths} == {"main", "configmaps"}
    assert api.paths[-2:] == [maps, maps]
    assert {"cluster", "cryptography", "redis", "runtime"} <= loaded
    assert loaded & LARGE == set()
