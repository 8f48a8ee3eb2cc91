"""tools/call and tools/list through the MCP server of a pod, beside a bare aiohttp reverse proxy to the same backend.

Every process under test is pinned to one core; the load, the backend and Redis to the other. The call checks its
arguments, maps them to a GET, charges two buckets in Redis, is counted and logged. The proxy does nothing but pass
each request on. Rounds of all processes alternate, so that whatever else the machine does hits all of them. Prints the
CPU time per call, the rate, and the ratios proxy ÷ server (CPU) and server ÷ proxy (rate): the median of those of the
rounds, and the interval in which the median of many rounds lies with 95 % probability. How much of both cores was used
is printed, too: a rate says something only where the core under test is used up and the other one is not. ``token``:
the same with a JWT and a Secret header. The open loop sends at half the rate of the slower of the two, at fixed times
whatever the answers do, and measures from those times. A list of 1,000 tools is compared with a handler of the same
HTTP server that has the same bytes ready.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools
import jwt
import orjson
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from cluster.bodies import Bodies
from cluster.connections import Connections, Deadlines
from cluster.listener import Listener
from cluster.message import Request, Response
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, ParameterEntry, Tool
from crd.published.policy import Bucket, HeaderFrom, Policy
from crd.published.settings import Auth, Jwt, Limits, Settings
from scripts.bench import ratios
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECTIONS = 16
CALLS = 4000
ROUNDS = 15
# Shares of a core: that of the process under test is used up, and that of the load is not.
USED_UP, NOT_USED_UP = 0.9, 0.95
UNDER_TEST, LOAD = 0, 1
LISTED = 1000
MODERN = "2026-07-28"
ISSUER = "https://issuer.example.com"
_REPLY = orjson.dumps(
    {"id": "4711", "state": "shipped", "total": 129.5, "currency": "EUR", "lines": [{"sku": "A-1", "count": 2}] * 4}
)

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "pattern": "^[0-9]{1,10}$", "description": "Number of the order"},
        "expand": {"type": "string", "enum": ["lines", "customer"]},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    },
    "required": ["order"],
    "additionalProperties": False,
}


def tool(number: int, port: int, policy: Policy) -> Tool:
    """One tool of the catalog: a GET with a path and two query parameters."""
    name = f"get_order_{number}"
    http = Http(
        path="/orders/{order}",
        query=(ParameterEntry("expand", argument="expand"), ParameterEntry("limit", argument="limit")),
    )
    return Tool(name, f"shop/{name}", "GET", Backend("127.0.0.1", port, ""), SCHEMA, http=http, policy=policy)


def catalog(tools: int, port: int, *, with_token: bool = False) -> bytes:
    """A published catalog; the one of 1,000 tools, whose lists are measured, has no limits."""
    bucket = Bucket(10**6, 1.0, 10**6) if tools != LISTED else None
    auth, policy = Auth(), Policy()
    if with_token:
        auth = Auth("JWT", jwt=Jwt(ISSUER, ("shop",), jwks_secret="issuer"))  # noqa: S106 -- a name, not a secret
        policy = Policy(headers_from=(HeaderFrom("X-Key", "Secret", "crm", "token"),))
    settings = Settings(limits=Limits(server=bucket, per_client=bucket), auth=auth, page_size=1000)
    return catalogs.dump(Catalog("shop/main", settings, tuple(tool(n, port, policy) for n in range(tools))))


def write_secrets(folder: Path) -> str:
    """Write the Secrets of an issuer and of a backend as they are mounted. Returns a token of that issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "k"}
    for name, file, value in (("issuer", "jwks.json", orjson.dumps({"keys": [public]})), ("crm", "token", b"secret")):
        # As the kubelet mounts it: links to a folder of the present revision.
        (folder / name / "..1").mkdir(parents=True)
        (folder / name / "..1" / file).write_bytes(value)
        (folder / name / "..data").symlink_to("..1")
        (folder / name / file).symlink_to(f"..data/{file}")
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)  # noqa: TID251 -- a benchmark's own clock
    claims = {"iss": ISSUER, "aud": "shop", "sub": "ada", "exp": expires}
    return jwt.encode(claims, key, "ES256", headers={"kid": "k"})


def message(number: int, method: str, token: str = "", **params: Any) -> bytes:
    """One message, as an HTTP request."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}})
    more = f"Mcp-Name: {params['name']}\r\n" if "name" in params else ""
    more += f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, "
        f"text/event-stream\r\nMCP-Protocol-Version: {MODERN}\r\nMcp-Method: {method}\r\n{more}"
        f"User-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def call(number: int, token: str = "", tool: int = 0) -> bytes:
    """One tools/call."""
    arguments = {"order": str(number), "expand": "lines"}
    return message(number, "tools/call", token, name=f"get_order_{tool}", arguments=arguments)


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
    # The shares of the two cores that were used in each round: of its own, and of that of the load.
    used: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """What all its threads have used."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def peak(self) -> float:
        """Its highest resident memory in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def start(core: int, *words: str, under: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """A process of this interpreter on a core, under another program if one is given."""
    command = [*under, sys.executable, *words]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip


def start_part(core: int, *words: str, under: Sequence[str] = ()) -> Process:
    """A process of this module, which prints its port."""
    process = start(core, "-m", "scripts.bench.runtime", *words, under=under)
    assert process.stdout is not None
    return Process(process, int(process.stdout.readline()))


@contextmanager
def start_others() -> Iterator[tuple[Process, Process]]:
    """A backend and a Redis on the core of the load, until the end of the block."""
    port = free_port()
    redis = shutil.which("redis-server") or "redis-server"
    store = subprocess.Popen(
        [redis, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    backend = start_part(LOAD, "--serve", "backend")
    try:
        wait_for(port)
        yield backend, Process(store, port)
    finally:
        for process in (backend.process, store):
            process.kill()
            process.wait()


def start_server(
    folder: Path, tools: int, backend: int, redis: int, secrets: Path | None = None, under: Sequence[str] = ()
) -> Process:
    """The MCP server as a pod runs it; with ``secrets`` clients need a token."""
    folder.mkdir()
    (folder / catalogs.FILE).write_bytes(catalog(tools, backend, with_token=secrets is not None))
    port = free_port()
    words = ("--catalog-dir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--allow-loopback")
    more = ["--health-port", str(free_port()), "--redis-host", "127.0.0.1", "--redis-port", str(redis)]
    more += ["--secrets-dir", str(secrets)] if secrets is not None else []
    process = start(UNDER_TEST, "-m", "cli", "serve", *words, *more, under=under)
    wait_for(port)
    return Process(process, port)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


async def serve_bytes(answer: bytes) -> None:
    """A handler of the product's HTTP server that has its answer ready."""
    bodies = Bodies(30.0)

    async def handle(request: Request) -> Response:
        await bodies.read(request, 2**20)
        return Response(200, answer, "application/json")

    listener = Listener(Connections(handle, Deadlines(), now=time.time, added={}))  # noqa: TID251 -- for Date
    await listener.start("127.0.0.1", 0)
    print(listener.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


def is_whole(data: bytes) -> bool:
    """Whether this is an answer with status 200, and nothing else."""
    end = data.find(b"\r\n\r\n")
    start = data.find(b"\r\nContent-Length: ", 0, end) + 18
    if start < 18 or not data.startswith(b"HTTP/1.1 200 "):
        return False
    return len(data) == end + 4 + int(data[start : data.find(b"\r", start)])


class Client(asyncio.Protocol):
    """One connection that sends its calls one after the other. ``done`` has the number of bad answers.

    A good answer is one with ``wanted``, or of the status ``also`` if that is not 200.
    """

    def __init__(
        self, requests: list[bytes], done: asyncio.Future[int], wanted: bytes = b"shipped", also: int = 200
    ) -> None:
        self._wanted = wanted
        self._also = also
        self._requests = iter(requests)
        self._done = done
        self._bad = 0
        self._is_partial = False
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
        # The parser costs several times as much.
        if not self._is_partial and is_whole(data):
            self._judge(data)
        else:
            self._is_partial = True
            self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status, body = self._parser.get_status_code(), self._body
        self._body, self._is_partial = b"", False
        if status == 200 or status != self._also:
            self._judge(body if status == 200 else b"")
        else:
            self._send()

    def _judge(self, body: bytes) -> None:
        if b'"isError":true' in body or self._wanted not in body:
            self._bad += 1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the connection was closed"))


class OpenClient(asyncio.Protocol):
    """One connection of the open loop. ``took`` collects the seconds from when each request was due."""

    def __init__(self, took: list[float]) -> None:
        self._took = took
        self._parser = httptools.HttpResponseParser(self)
        self._due: float | None = None

    @property
    def is_free(self) -> bool:
        return self._due is None and not self._transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        return self._due is not None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            # It is never answered.
            self._took.append(math.inf)
            self._due = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._due is not None:
            self._took.append(time.perf_counter() - self._due)
        self._due = None


async def run_open_loop(process: Process, rate: float, seconds: float) -> list[float]:
    """Send at a rate. A request that finds every connection in use takes a new one."""
    took: list[float] = []
    loop = asyncio.get_running_loop()
    clients: list[OpenClient] = []
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = started + number / rate
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        client = next((each for each in clients if each.is_free), None)
        if client is None:
            _, client = await loop.create_connection(lambda: OpenClient(took), "127.0.0.1", process.port)
            clients.append(client)
        client.send(call(number), due)
    await asyncio.sleep(1.0)
    return sorted(took)


async def run_round(
    process: Process,
    requests: list[bytes],
    wanted: bytes = b"shipped",
    also: int = 200,
    others: Sequence[Process] = (),
) -> None:
    """Send the requests over all connections. Notes CPU per call and rate. ``others`` share the core of the load."""
    loop = asyncio.get_running_loop()

    def load() -> float:
        return time.process_time() + sum(other.cpu_seconds() for other in others)

    started, used, loaded = time.perf_counter(), process.cpu_seconds(), load()
    futures = []
    for number in range(CONNECTIONS):
        future = loop.create_future()
        futures.append(future)
        share = requests[number::CONNECTIONS]
        await loop.create_connection(
            lambda share=share, future=future: Client(share, future, wanted, also), "127.0.0.1", process.port
        )  # type: ignore[misc]
    bad = sum(await asyncio.gather(*futures))
    if bad:
        raise RuntimeError(f"{bad} of {len(requests)} answers were wrong")
    seconds, used, loaded = time.perf_counter() - started, process.cpu_seconds() - used, load() - loaded
    process.cpu.append(used / len(requests) * 1e6)
    process.rates.append(len(requests) / seconds)
    process.used.append(used / seconds)
    process.load.append(loaded / seconds)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", choices=("backend", "proxy", "bytes"))
    parser.add_argument("--answer", type=Path)
    parser.add_argument("--backend", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.serve == "bytes":
        uvloop.run(serve_bytes(options.answer.read_bytes()))
        return 0
    if options.serve:
        uvloop.run(serve_backend() if options.serve == "backend" else serve_proxy(options.backend))
        return 0
    os.sched_setaffinity(0, {LOAD})
    started: dict[str, Process] = {}
    with start_others() as others, tempfile.TemporaryDirectory() as name:
        try:
            measure(Path(name), options.rounds, started, others)
        finally:
            for process in started.values():
                process.process.kill()
                process.process.wait()
    return 0


def measure(folder: Path, rounds: int, started: dict[str, Process], others: tuple[Process, Process]) -> None:
    """Start what is compared, run the rounds, and report. What is started is in ``started`` whatever happens."""
    backend, redis = others
    token = write_secrets(folder / "secrets")
    started["proxy"] = start_part(UNDER_TEST, "--serve", "proxy", "--backend", str(backend.port))
    started["server"] = start_server(folder / "10", 10, backend.port, redis.port)
    started["token"] = start_server(folder / "token", 10, backend.port, redis.port, folder / "secrets")
    for _ in range(rounds):
        for what, process in started.items():
            sent = token if what == "token" else ""
            requests = [call(number, sent) for number in range(CALLS)]
            uvloop.run(run_round(process, requests, others=others))
    report_calls(started)
    report_open_loop(started)
    started["list"] = start_server(folder / "list-server", LISTED, backend.port, redis.port)
    lists = [message(number, "tools/list") for number in range(CALLS // 20)]
    (folder / "list").write_bytes(asyncio.run(fetch(started["list"].port, lists[0])))
    started["bytes"] = start_part(UNDER_TEST, "--serve", "bytes", "--answer", str(folder / "list"))
    for _ in range(rounds):
        for what in ("list", "bytes"):
            uvloop.run(run_round(started[what], lists, b"get_order_999"))
    cpu = {what: statistics.median(started[what].cpu[1:]) for what in ("list", "bytes")}
    shown = f"{cpu['list']:.0f} µs, the same bytes from a bare handler {cpu['bytes']:.0f} µs"
    ratio = show_ratios(started["bytes"].cpu, started["list"].cpu)
    print(f"a list of 1,000 tools {shown}: {ratio} by CPU (must be ≥ 0.9)")


async def fetch(port: int, request: bytes) -> bytes:
    """The body of one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    return body


def show_ratios(upper: list[float], lower: list[float]) -> str:
    """Of the rounds without the first, in which some things are done once."""
    return ratios.show([above / below for above, below in zip(upper[1:], lower[1:], strict=True)])


def report_calls(started: dict[str, Process]) -> None:
    """Print the figures of tools/call."""
    for what, process in started.items():
        cpu, rate, used, load = (
            statistics.median(values[1:]) for values in (process.cpu, process.rates, process.used, process.load)
        )
        cores = f"{used:.0%} of its core and {load:.0%} of that of the load"
        print(f"{what:14}{cpu:6.0f} µs CPU a call,{rate:6.0f} calls/s, {cores}, peak {process.peak():.0f} MiB")
    proxy = started["proxy"]
    for what, bound in (("server", 1.5), ("token", 1.3)):
        process = started[what]
        says_something = all(
            statistics.median(each.used[1:]) >= USED_UP and statistics.median(each.load[1:]) <= NOT_USED_UP
            for each in (proxy, process)
        )
        by_cpu, by_rate = show_ratios(proxy.cpu, process.cpu), show_ratios(process.rates, proxy.rates)
        hint = "" if says_something else "; the rate says nothing: see the cores"
        print(f"{what} ÷ proxy {by_cpu} by CPU, {by_rate} by rate (must be ≥ {bound}){hint}")


def report_open_loop(started: dict[str, Process]) -> None:
    """Print latencies at half the rate that both can serve."""
    rate = min(statistics.median(started[what].rates[1:]) for what in ("proxy", "server")) / 2
    p99 = {}
    for what in ("proxy", "server"):
        took = uvloop.run(run_open_loop(started[what], rate, 5.0))
        p99[what] = took[int(len(took) * 0.99)] * 1000
        print(f"{what:14}open loop at {rate:.0f}/s: p50 {took[len(took) // 2] * 1000:.1f} ms, p99 {p99[what]:.1f} ms")
    print(f"p99 server ÷ proxy {p99['server'] / p99['proxy']:.2f} (must be ≤ 3)")


if __name__ == "__main__":
    sys.exit(main())
