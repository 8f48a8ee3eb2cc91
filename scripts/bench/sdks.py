"""The MCP server of a pod beside servers written with SDKs: ``python -m scripts.bench.sdks --python PYTHON``.

The official Python and TypeScript SDKs and FastMCP serve one tool that checks three arguments and calls the backend, on
uvicorn (uvloop, httptools) and Node.js, with JSON answers, in one session, which is the quickest way to use them. They
have no limits, metrics or log; the pod has them, and counts its limits in Redis. PYTHON is that of a virtual
environment with fastmcp (which brings the SDK), httpx, uvicorn, uvloop and httptools; without it, the servers in Python
are left out. Prints the CPU time per call and the rate on one core.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson
import uvloop

from scripts.bench import runtime
from scripts.bench.runtime import LOAD, UNDER_TEST, Process
from scripts.clients import node

HERE = Path(__file__).parent
CALLS, ROUNDS = 1000, 5
VERSION = "2025-06-18"


def message(port: int, session: str, body: dict[str, Any]) -> bytes:
    """A message as clients of the SDKs' era send it."""
    text = orjson.dumps({"jsonrpc": "2.0", **body})
    header = f"Mcp-Session-Id: {session}\r\n" if session else ""
    return (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nAccept: application/json, "
        f"text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\n{header}Content-Length: {len(text)}\r\n\r\n"
    ).encode() + text


def call(number: int, port: int, session: str) -> bytes:
    """One tools/call."""
    params = {"name": "get_order_0", "arguments": {"order": str(number), "expand": "lines"}}
    return message(port, session, {"id": number, "method": "tools/call", "params": params})


def open_session(port: int) -> str:
    """The ID of a new session."""
    client = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    opened = send(message(port, "", {"id": 0, "method": "initialize", "params": client}), port)
    session = opened.lower().partition(b"mcp-session-id: ")[2].partition(b"\r\n")[0].decode()
    assert session, opened
    send(message(port, session, {"method": "notifications/initialized"}), port)
    return session


def send(request: bytes, port: int) -> bytes:
    """The beginning of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(65536)


def start(*command: str, folder: Path = HERE) -> Process:
    """A process that prints its port."""
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {UNDER_TEST}),
    )  # fmt: skip
    assert process.stdout is not None
    return Process(process, int(process.stdout.readline()))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    packages = node.install()
    os.sched_setaffinity(0, {LOAD})
    started: dict[str, Process] = {}
    with runtime.start_others() as (backend, redis), tempfile.TemporaryDirectory() as name:
        try:
            program = packages / "sdk_server.mjs"
            program.write_bytes((HERE / "sdk_server.mjs").read_bytes())
            server, port = str(HERE / "sdk_server.py"), str(backend.port)
            started["mcp-operator"] = runtime.start_server(Path(name) / "1", 1, backend.port, redis.port)
            started["TypeScript SDK"] = start("node", str(program), port, folder=packages)
            if options.python:
                started["Python SDK"] = start(options.python, server, "sdk", port)
                started["FastMCP"] = start(options.python, server, "fastmcp", port)
            sessions = {what: open_session(each.port) for what, each in started.items() if what != "mcp-operator"}
            for _ in range(options.rounds):
                for what, process in started.items():
                    calls = [
                        call(each, process.port, sessions[what]) if what in sessions else runtime.call(each)
                        for each in range(CALLS)
                    ]
                    uvloop.run(runtime.run_round(process, calls))
            least = statistics.median(started["mcp-operator"].cpu[1:])
            for what, process in started.items():
                cpu, rate = statistics.median(process.cpu[1:]), statistics.median(process.rates[1:])
                print(f"{what}: {cpu:.0f} µs of CPU a call, {rate:.0f} calls/s, {cpu / least:.1f} times the first")
        finally:
            for process in started.values():
                process.process.kill()
                process.process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
