"""What admission costs an apply: creates through a real API server with our webhooks, and with two that only echo.

``python -m scripts.bench.apply [--objects 100 50000] [--pairs 400]``

Two namespaces of one API server take turns: creates in the one call the product's webhooks, creates in the other call a
mutating and a validating webhook that answer ``allowed`` at once (aiohttp, one process). Both are registered with the
rules, conditions and time-outs of the product; only the namespaces differ. The figure is the ratio of the medians, with
a bootstrap interval, at each number of stored objects. Must: 1.10 at most, and no growth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random  # noqa: TID251 -- resampling, with a fixed seed
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from certs import issuance, secret
from certs.authority import Authority
from cluster import client, objects, resources
from controller.installation.registration import UrlTarget, configurations
from scripts import localcluster
from scripts.localcluster.ports import free_port

OURS, ECHO = "bench-ours", "bench-echo"
MANIFESTS = Path(__file__).parents[2] / "manifests"
CONCURRENCY = 16


def tool(namespace: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A tool of ordinary size, with nothing left to default."""
    properties = {f"field_{n}": {"type": "string", "description": f"What field {n} of {name} means."} for n in range(8)}
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "name": name.replace("-", "_"),
            "description": f"Find the orders of {name} by their state, newest first.",
            "service": {"name": "orders", "namespace": namespace, "port": "http", "path": "/api/orders/search"},
            "inputSchema": {"type": "object", "properties": properties},
        },
    }


def service(namespace: str) -> dict[str, Any]:
    """The Service that the tools of a namespace call. Without it, each create would cause a warning."""
    metadata = {"namespace": namespace, "name": "orders"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": [{"name": "http", "port": 8080}]},
    }


def server(namespace: str, name: str) -> dict[str, Any]:
    """A server that selects its share of the tools."""
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"toolSelector": {"matchLabels": {"server": name}}},
    }


def echo(port: int, context: ssl.SSLContext) -> None:
    """Serve webhooks that answer ``allowed`` to every review, until the process ends."""

    async def allow(request: web.Request) -> web.Response:
        uid = (await request.json(loads=json.loads))["request"]["uid"]
        answer = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": uid, "allowed": True},
        }
        return web.json_response(answer)

    app = web.Application(client_max_size=7 * 2**20)
    app.router.add_post("/{path:.*}", allow)
    web.run_app(app, host="127.0.0.1", port=port, ssl_context=context, print=None, access_log=None)


def main() -> None:
    """Run the benchmark and print a row for each number of objects."""
    parser = argparse.ArgumentParser(prog="scripts.bench.apply", description=__doc__)
    parser.add_argument(
        "--objects", type=int, nargs="+", default=[100, 50_000], help="stored tools at each measurement"
    )
    parser.add_argument("--pairs", type=int, default=400, help="creates with each kind of webhooks at each measurement")
    parser.add_argument("--echo", nargs=3, metavar=("PORT", "CERTIFICATE", "KEY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        port, certificate, key = arguments.echo
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        echo(int(port), context)
        return
    with localcluster.running("bench-apply") as cluster, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        asyncio.run(_measure(cluster, folder, stack, sorted(arguments.objects), arguments.pairs))


async def _measure(
    cluster: localcluster.Cluster, folder: Path, stack: ExitStack, counts: list[int], pairs: int
) -> None:
    cluster.run("apply", "-k", str(MANIFESTS / "base" / "crds"))
    cluster.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for namespace in ("mcp-system", OURS, ECHO):
        cluster.run("create", "namespace", namespace)
    now = datetime.now(UTC)  # noqa: TID251 -- a program of its own
    ca = issuance.authority("benchmark CA", now)
    transport = await client.connect(None, cluster.kubeconfig)
    try:
        await objects.create(transport, secret.manifest("mcp-system", "mcp-operator-ca", Authority(ca)))
        for namespace in (OURS, ECHO):
            await objects.create(transport, service(namespace))
        ports = [free_port() for _ in range(3)]
        leaf = issuance.leaf(ca, ("127.0.0.1",), now)
        certificate, key = folder / "tls.crt", folder / "tls.key"
        certificate.write_bytes(leaf.certificate)
        key.write_bytes(leaf.key)
        webhook = [sys.executable, "-m", "cli", "webhook", "--host", "127.0.0.1", "--port", str(ports[0])]
        webhook += ["--health-port", str(ports[1]), "--name", "127.0.0.1", "--kubeconfig", str(cluster.kubeconfig)]
        webhook += ["--namespace", "mcp-system"]
        echoing = [sys.executable, "-m", "scripts.bench.apply", "--echo", str(ports[2]), str(certificate), str(key)]
        for words in (webhook, echoing):
            process = subprocess.Popen(words, cwd=MANIFESTS.parent)  # noqa: ASYNC220 -- starting takes no time
            stack.callback(process.wait)
            stack.callback(process.terminate)
        await _listening(ports)
        stored = 0
        for count in counts:
            await _fill(transport, stored, count)
            stored = count
            await _register(transport, ca.certificate, ports)
            await _settle(transport)
            ours, theirs = await _pairs(transport, count, pairs)
            _report(count, ours, theirs)
            await _unregister(transport)
    finally:
        await transport.close()


async def _fill(transport: Any, stored: int, count: int) -> None:
    """Create tools until there are ``count``, fifty to a server, with no webhook registered."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def create(manifest: dict[str, Any]) -> None:
        async with gate:
            await objects.create(transport, manifest)

    wanted = []
    for number in range(stored, count):
        if number % 50 == 0:
            wanted.append(server(OURS, f"s{number // 50}"))
        wanted.append(tool(OURS, f"tool-{number}", {"server": f"s{number // 50}"}))
    for start in range(0, len(wanted), 1000):
        await asyncio.gather(*map(create, wanted[start : start + 1000]))


async def _register(transport: Any, bundle: bytes, ports: list[int]) -> None:
    for namespace, port in ((OURS, ports[0]), (ECHO, ports[2])):
        only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        target = UrlTarget(f"https://127.0.0.1:{port}", f"https://127.0.0.1:{port}")
        for manifest in configurations(target, bundle, failure_policy="Fail", namespace="mcp-system", owner=None):
            manifest["metadata"]["name"] += f"-{namespace}"
            for webhook in manifest["webhooks"]:
                webhook["namespaceSelector"] = only
                if namespace == ECHO:  # both of the two that only echo are called
                    webhook.pop("matchConditions", None)
            await objects.apply(transport, manifest, manager="benchmark")


async def _unregister(transport: Any) -> None:
    for kind in (resources.VALIDATING_WEBHOOKS, resources.MUTATING_WEBHOOKS):
        for item in await objects.list_all(transport, kind):
            await objects.delete(transport, kind, None, item["metadata"]["name"])
    await asyncio.sleep(2)


async def _settle(transport: Any) -> None:
    """Wait until our webhook refuses an invalid tool; the other one has been registered for as long."""
    bad = tool(OURS, "refused", {})
    bad["spec"]["inputSchema"]["type"] = "nothing"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            await objects.create(transport, bad)
            await objects.delete(transport, resources.TOOLS, OURS, "refused")
        except Exception as error:  # noqa: BLE001 -- any refusal is looked at
            if "InvalidSchema" in str(error):
                break
        await asyncio.sleep(0.5)
    else:
        raise RuntimeError("the webhook did not come into force within 60 s")
    await asyncio.sleep(3)


async def _pairs(transport: Any, count: int, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of each create, ours and the other in turn; the first of a pair changes."""
    found: dict[str, list[float]] = {OURS: [], ECHO: []}
    warm = pairs // 10
    for number in range(pairs + warm):
        order = (OURS, ECHO) if number % 2 else (ECHO, OURS)
        for namespace in order:
            manifest = tool(namespace, f"new-{count}-{number}", {"server": "s0"})
            began = time.perf_counter()
            await objects.create(transport, manifest)
            if number >= warm:
                found[namespace].append(time.perf_counter() - began)
    for namespace in (OURS, ECHO):
        gate = asyncio.Semaphore(CONCURRENCY)

        async def remove(name: str, namespace: str = namespace, gate: asyncio.Semaphore = gate) -> None:
            async with gate:
                await objects.delete(transport, resources.TOOLS, namespace, name)

        await asyncio.gather(*(remove(f"new-{count}-{number}") for number in range(pairs + warm)))
    return found[OURS], found[ECHO]


def _report(count: int, ours: list[float], theirs: list[float]) -> None:
    source = random.Random(1)  # noqa: S311 -- resampling, no secret
    ratios = sorted(
        statistics.median(source.choices(ours, k=len(ours))) / statistics.median(source.choices(theirs, k=len(theirs)))
        for _ in range(1000)
    )
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"{count:>6} objects: p50 {statistics.median(ours) * 1e3:.2f} / {statistics.median(theirs) * 1e3:.2f} ms, "
        f"ratio {ratio:.3f} (95 %: {ratios[25]:.3f} to {ratios[974]:.3f}); "
        f"p99 {_p99(ours) * 1e3:.2f} / {_p99(theirs) * 1e3:.2f} ms",
        flush=True,
    )


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99) - 1]


async def _listening(ports: list[int]) -> None:
    deadline = time.monotonic() + 60
    for port in ports:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)


if __name__ == "__main__":
    main()
