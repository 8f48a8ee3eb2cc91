"""10,000 open streams on which nothing happens: the memory of each, and the CPU time of all of them.

The server is that of a pod. Each client sends one request; the response to it begins and does not end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from cluster.connections import Bodies, Connections, Deadlines, Listener
from cluster.message import Request, Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

STREAMS = 10_000
SECONDS = 10.0
MOST_KIB = 40.0
BODY = b'{"jsonrpc":"2.0","id":1,"method":"x"}'
REQUEST = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, "
    b"text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nUser-Agent: bench\r\nContent-Length: %d\r\n\r\n%s"
) % (len(BODY), BODY)
EVENT = b": open\n\n"


async def serve() -> None:
    """Answer every request with a stream that does not end, until standard input closes."""
    bodies = Bodies(30.0)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield EVENT
        await asyncio.get_running_loop().create_future()

    async def handle(request: Request) -> Response:
        await bodies.read(request, 2**20)
        return Response(200, b"", "text/event-stream", stream=stream())

    deadlines = Deadlines(connections=2 * STREAMS)
    listener = Listener(Connections(handle, deadlines, now=time.time, added={}))  # noqa: TID251 -- for Date
    await listener.start("127.0.0.1", 0)
    print(listener.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


class Client(asyncio.Protocol):
    """One connection. ``begun`` is called when the stream begins."""

    def __init__(self, begun: asyncio.Semaphore) -> None:
        self._begun = begun
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if EVENT in self._received:
            self._begun.release()
            self._received = b""


def resident(process: int) -> float:
    """Resident memory in KiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def used(process: int) -> float:
    """Seconds of CPU."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


async def measure(process: int, port: int) -> None:
    loop, begun = asyncio.get_running_loop(), asyncio.Semaphore(0)
    transports = []

    async def open_streams(number: int) -> None:
        for _ in range(number):
            transport, _ = await loop.create_connection(lambda: Client(begun), "127.0.0.1", port)
            transports.append(transport)
        for _ in range(number):
            await begun.acquire()

    # What the first ones need once.
    await open_streams(100)
    before = resident(process)
    await open_streams(STREAMS)
    await asyncio.sleep(1.0)
    each = (resident(process) - before) / STREAMS
    print(f"{STREAMS} streams: {each:.1f} KiB each (must be ≤ {MOST_KIB:g})")
    # The deadlines of their requests, which no longer count, pass once.
    await asyncio.sleep(Deadlines().headers + 1.0)
    cpu = used(process)
    await asyncio.sleep(SECONDS)
    cpu = used(process) - cpu
    print(f"at rest: {cpu * 1000:.1f} ms of CPU in {SECONDS:g} s (must be none)")
    for transport in transports:
        transport.abort()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if parser.parse_args().serve:
        uvloop.run(serve())
        return 0
    command = [sys.executable, "-m", "scripts.bench.streams", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            uvloop.run(measure(server.pid, int(server.stdout.readline())))
        finally:
            server.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
