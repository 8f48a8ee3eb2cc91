"""The webhook alone beside an aiohttp echo of the same bodies, over TLS with keep-alive.

Each is a process of its own with the same TLS context. Rounds of the two alternate, so that whatever else the machine
does hits both. Every review creates another object. ``known``: the tools have 200 different schemas, which the webhook
has seen, as where objects are applied again or edited. ``new``: every schema is another one and has to be compiled.
``defaults``: the tools of ``known``, posted to /mutate.
Prints the CPU time of the server per request, the rate over four connections, and the ratio echo ÷ webhook of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiohttp import web

from certs import issuance
from certs.tls import HotContext
from cluster.access import AccessReviews
from cluster.clock import Clock
from cluster.listener import Listener
from cluster.transport import ApiError
from scripts import benchmark
from webhook import program, watches
from webhook.ledger import Ledgers
from webhook.live_snapshot import LiveSnapshot
from webhook.metrics import Metrics
from webhook.object_processes import ObjectProcesses
from webhook.reader import Reader
from webhook.reviewer import Reviewer
from webhook.rights import RequesterRights
from webhook.server import Hook
from webhook.slices import Slices

BODIES = 200
CONNECTIONS = 4
WORLD = 1000


def body(number: int, schema_number: int) -> bytes:
    """A review of the creation of one tool, as an API server sends it."""
    field = f"order_{schema_number}"
    schema = {
        "type": "object",
        "required": [field],
        "properties": {field: {"type": "string", "pattern": "^[0-9]+$"}, "verbose": {"type": "boolean"}},
    }
    http = {"path": f"/orders/{{{field}}}", "query": [{"name": "verbose", "argument": "verbose"}]}
    tool = benchmark.tool(WORLD + number, inputSchema=schema, http=http)
    metadata = tool["metadata"]
    metadata["namespace"], metadata["labels"]["app.kubernetes.io/part-of"] = "team-3", "team-3"
    kind = {"group": "mcp.example.com", "version": "v1alpha1", "kind": "MCPTool"}
    resource = {"group": "mcp.example.com", "version": "v1alpha1", "resource": "mcptools"}
    request = {
        "uid": f"00000000-0000-4000-8000-{number:012}",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": metadata["name"],
        "namespace": "team-3",
        "operation": "CREATE",
        "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
        "object": tool,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"},
    }
    return orjson.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})


async def serve(what: str) -> None:
    """Serve until standard input closes; prints the port."""
    processes = ObjectProcesses()
    if what == "webhook":
        program.spare_collector()
        processes.start()
    ca = issuance.authority("bench", datetime.now(UTC))  # noqa: TID251 -- a benchmark's own clock
    pair = issuance.leaf(ca, ("127.0.0.1",), datetime.now(UTC))  # noqa: TID251 -- as above
    tls = HotContext(pair).outer
    if what == "webhook":
        listener = Listener(webhook(processes).connections())
        await listener.start("127.0.0.1", 0, tls)
        print(listener.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await listener.close()
    else:
        runner = echo()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()
    await processes.stop()


class Empty:
    """An API server that has no objects. No review of the benchmark waits for it, but those of a flood may."""

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        """See `cluster.transport.Transport`."""
        raise ApiError(404, "NotFound", path)


def webhook(processes: ObjectProcesses) -> Hook:
    """The webhook, in whose snapshot stand a thousand tools of twenty servers."""
    live = LiveSnapshot(time.monotonic)
    for fact in benchmark.build_snapshot(WORLD):
        live.observe(fact.ref, fact)
    clock = Clock(time.monotonic, asyncio.sleep, lambda: 0.5)
    empty: Any = Empty()
    watched = watches.informers(empty, live, clock, lambda *_: None)
    reader, slices = Reader(empty, live, watched), Slices()
    ledgers = Ledgers(empty, live, reader, slices, "mcp-system", now=time.monotonic, jitter=lambda: 0.5)
    rights = RequesterRights(AccessReviews(empty, now=time.monotonic))
    reviewer = Reviewer(live, reader, ledgers, rights, slices)
    return Hook(reviewer, processes, Metrics(), unready=lambda: None, draining=lambda: False)


def echo() -> web.AppRunner:
    """An aiohttp application that gives back what it gets."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path}", answer)
    return web.AppRunner(app, access_log=None)


class Server:
    """One of the two processes, and connections to it."""

    def __init__(self, what: str) -> None:
        command = (sys.executable, "-m", "scripts.bench.webhook", "--serve", what)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        context = ssl._create_unverified_context()  # noqa: S323 -- a certificate of this very run
        self.connections = [
            context.wrap_socket(socket.create_connection(("127.0.0.1", self.port))) for _ in range(CONNECTIONS)
        ]
        self.cpu: list[float] = []
        self.rates: list[float] = []

    def cpu_seconds(self) -> float:
        """What all threads have used."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def round(self, requests: list[bytes], pool: ThreadPoolExecutor) -> None:
        """Send the requests, by turns over the connections; notes CPU per request and rate."""
        started, used = time.perf_counter(), self.cpu_seconds()
        shares = [requests[number::CONNECTIONS] for number in range(CONNECTIONS)]
        for done in pool.map(_exchange, self.connections, shares):
            assert done
        self.cpu.append((self.cpu_seconds() - used) / len(requests) * 1e6)
        self.rates.append(len(requests) / (time.perf_counter() - started))

    def stop(self) -> None:
        """End the process."""
        for connection in self.connections:
            connection.close()
        self.process.communicate(timeout=20)


def _exchange(connection: ssl.SSLSocket, requests: list[bytes]) -> bool:
    for request in requests:
        connection.sendall(request)
        answer = connection.recv(65536)
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(rest) < length:
            rest += connection.recv(65536)
        response = json.loads(rest)
        assert response.get("response", {"allowed": True})["allowed"], rest
    return True


def head(length: int, path: str = "/validate") -> bytes:
    """The head of a request with a body of this length, as an API server sends it."""
    return (
        f"POST {path}?timeout=5s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: kube-apiserver-admission\r\n"
        f"Content-Length: {length}\r\nAccept: application/json, */*\r\n"
        "Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
    ).encode()


def request(number: int, schema_number: int, path: str = "/validate") -> bytes:
    """One HTTP request."""
    content = body(number, schema_number)
    return head(len(content), path) + content


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", choices=("webhook", "echo"))
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
        return 0
    for schemas in ("known", "new", "defaults"):
        servers = {what: Server(what) for what in ("echo", "webhook")}
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for round_ in range(options.rounds):
                numbers = range(round_ * BODIES, (round_ + 1) * BODIES)
                path = "/mutate" if schemas == "defaults" else "/validate"
                requests = [request(each, each if schemas == "new" else each % BODIES, path) for each in numbers]
                for server in servers.values():
                    server.round(requests, pool)
        for server in servers.values():
            server.stop()
        # The first rounds warm the caches of the interpreter, and make the schemas known.
        cpu = {what: statistics.median(server.cpu[2:]) for what, server in servers.items()}
        rate = {what: statistics.median(server.rates[2:]) for what, server in servers.items()}
        print(f"schemas {schemas}" if schemas != "defaults" else "/mutate, schemas known")
        for what in servers:
            print(f"  {what:8}{cpu[what]:6.0f} µs CPU a request,{rate[what]:6.0f}/s over {CONNECTIONS} connections")
        by_cpu, by_rate = cpu["echo"] / cpu["webhook"], rate["webhook"] / rate["echo"]
        print(f"  ratio {by_cpu:.2f} by CPU (must be ≥ 0.50), {by_rate:.2f} by rate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
