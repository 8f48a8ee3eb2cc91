"""tools/call through the MCP server of a pod, beside a bare aiohttp reverse proxy to the same backend.

Every process under test is pinned to one core; the load, the backend and Redis to the other. The call checks its
arguments, maps them to a GET, charges two buckets in Redis, is counted and logged. The proxy does nothing but pass
each request on. Rounds of all processes alternate, so that whatever else the machine does hits all of them. Prints the
CPU time per call, the rate, and the ratios proxy ÷ server (CPU) and server ÷ proxy (rate).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import orjson
import uvloop

from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, ParameterEntry, Tool
from crd.published.policy import Bucket
from crd.published.settings import Limits, Settings

CONNECTIONS = 16
CALLS = 4000
ROUNDS = 9
UNDER_TEST, LOAD = 0, 1
MODERN = "2026-07-28"
_REPLY = orjson.dumps(
    {"id": "4711", "state": "shipped", "total": 129.5, "currency": "EUR", "lines": [{"sku": "A-1", "count": 2}] * 4}
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tool(number: int, port: int) -> Tool:
    """One tool of the catalog: a GET with a path and two query parameters."""
    name = f"get_order_{number}"
    schema = {
        "type": "object",
        "properties": {
            "order": {"type": "string", "pattern": "^[0-9]{1,10}$", "description": "Number of the order"},
            "expand": {"type": "string", "enum": ["lines", "customer"]},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        },
        "required": ["order"],
        "additionalProperties": False,
    }
    http = Http(
        path="/orders/{order}",
        query=(ParameterEntry("expand", argument="expand"), ParameterEntry("limit", argument="limit")),
    )
    return Tool(name, f"shop/{name}", "GET", Backend("127.0.0.1", port, ""), schema, http=http)


def catalog(tools: int, port: int) -> bytes:
    """A published catalog."""
    limits = Limits(server=Bucket(10**6, 1.0, 10**6), per_client=Bucket(10**6, 1.0, 10**6))
    return catalogs.dump(Catalog("shop/main", Settings(limits=limits), tuple(tool(n, port) for n in range(tools))))


def call(number: int) -> bytes:
    """One tools/call, as an HTTP request."""
    name = "get_order_0"
    params = {
        "name": name,
        "arguments": {"order": str(number), "expand": "lines"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }
    body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
    return (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, "
        f"text/event-stream\r\nMCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\n"
        f"User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class BackendProtocol(asyncio.Protocol):
    """Answers every request with the same JSON."""

    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_REPLY) + _REPLY

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.transport.write(self.answer)


async def serve_backend() -> None:
    """Serve until standard input closes."""
    server = await asyncio.get_running_loop().create_server(BackendProtocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def serve_proxy(backend: int) -> None:
    """A reverse proxy as one writes it with aiohttp."""
    import aiohttp
    from aiohttp import web

    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.Response:
            url = f"http://127.0.0.1:{backend}{request.rel_url.raw_path}"
            headers = {n: v for n, v in request.headers.items() if n.lower() not in ("host", "content-length")}
            async with session.request(request.method, url, data=await request.read(), headers=headers) as reply:
                body = await reply.read()
                return web.Response(body=body, status=reply.status, content_type=reply.content_type)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


@dataclass
class Process:
    """A process under test, and what was measured of it."""

    process: subprocess.Popen[bytes]
    port: int
    cpu: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """What all its threads have used."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def peak(self) -> float:
        """Its highest resident memory in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def start(core: int, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, *words]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip


def start_part(core: int, *words: str) -> Process:
    """A process of this module, which prints its port."""
    process = start(core, "-m", "scripts.bench.runtime", *words)
    assert process.stdout is not None
    return Process(process, int(process.stdout.readline()))


def start_server(folder: Path, tools: int, backend: int, redis: int) -> Process:
    """The MCP server as a pod runs it."""
    folder.mkdir()
    (folder / catalogs.FILE).write_bytes(catalog(tools, backend))
    port = free_port()
    words = ("--catalog-dir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--allow-loopback")
    more = ("--health-port", str(free_port()), "--redis-host", "127.0.0.1", "--redis-port", str(redis))
    process = start(UNDER_TEST, "-m", "cli", "serve", *words, *more)
    wait_for(port)
    return Process(process, port)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


class Client(asyncio.Protocol):
    """One connection that sends its calls one after the other. ``done`` has the number of bad answers."""

    def __init__(self, requests: list[bytes], done: asyncio.Future[int]) -> None:
        self._requests = iter(requests)
        self._done = done
        self._bad = 0
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self._done.set_result(self._bad)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200 or b'"isError":true' in self._body or b"shipped" not in self._body:
            self._bad += 1
        self._body = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the connection was closed"))


async def run_round(process: Process, requests: list[bytes]) -> None:
    """Send the requests over all connections. Notes CPU per call and rate."""
    loop = asyncio.get_running_loop()
    started, used = time.perf_counter(), process.cpu_seconds()
    futures = []
    for number in range(CONNECTIONS):
        future = loop.create_future()
        futures.append(future)
        share = requests[number::CONNECTIONS]
        await loop.create_connection(
            lambda share=share, future=future: Client(share, future), "127.0.0.1", process.port
        )  # type: ignore[misc]
    bad = sum(await asyncio.gather(*futures))
    if bad:
        raise RuntimeError(f"{bad} of {len(requests)} answers were wrong")
    process.cpu.append((process.cpu_seconds() - used) / len(requests) * 1e6)
    process.rates.append(len(requests) / (time.perf_counter() - started))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", choices=("backend", "proxy"))
    parser.add_argument("--backend", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve_backend() if options.serve == "backend" else serve_proxy(options.backend))
        return 0
    os.sched_setaffinity(0, {LOAD})
    redis = free_port()
    store = subprocess.Popen(
        [shutil.which("redis-server") or "redis-server", "--port", str(redis), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    started: dict[str, Process] = {}
    backend = start_part(LOAD, "--serve", "backend")
    try:
        wait_for(redis)
        with tempfile.TemporaryDirectory() as folder:
            started["proxy"] = start_part(UNDER_TEST, "--serve", "proxy", "--backend", str(backend.port))
            started["server"] = start_server(Path(folder) / "10", 10, backend.port, redis)
            started["10,000 tools"] = start_server(Path(folder) / "10000", 10_000, backend.port, redis)
            for _ in range(options.rounds):
                for process in started.values():
                    uvloop.run(run_round(process, [call(number) for number in range(CALLS)]))
            peaks = {what: process.peak() for what, process in started.items()}
    finally:
        for process in (*started.values(), backend):
            process.process.kill()
            process.process.wait()
        store.kill()
        store.wait()
    cpu = {what: statistics.median(process.cpu[1:]) for what, process in started.items()}
    rate = {what: statistics.median(process.rates[1:]) for what, process in started.items()}
    for what in started:
        print(f"{what:14}{cpu[what]:6.0f} µs CPU a call,{rate[what]:6.0f} calls/s, peak {peaks[what]:.0f} MiB")
    by_cpu, by_rate = cpu["proxy"] / cpu["server"], rate["server"] / rate["proxy"]
    print(f"server ÷ proxy {by_cpu:.2f} by CPU, {by_rate:.2f} by rate (must be ≥ 1.5)")
    print(f"10,000 tools ÷ 10 {cpu['server'] / cpu['10,000 tools']:.2f} by CPU (must be ≥ 0.97)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
