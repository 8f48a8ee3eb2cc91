"""Memory of a server after many calls, sessions and credentials.

One process, as a pod without Redis runs it, so everything that it remembers is in its own memory. Clients come through
a trusted proxy, which gives each an address of its own. Prints the resident memory at marks, and how much it grew after
everything that is limited had reached its limit, or lives as long as it lives.

- calls of 1,000 clients: nothing is kept of a call.
- calls of 150,000 clients: 100,000 buckets are kept.
- sessions that stay open: 100,000 are kept, and further ones refused.
- sessions that expire after 10 s: those that have expired are removed.
- calls, each with another token: 4,096 tokens and 10,000 credentials are kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import orjson
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.published.entries import Backend, Http, Tool
from crd.published.policy import Bucket, Policy
from crd.published.settings import Auth, Jwt, Limits, Settings
from scripts.bench import runtime
from scripts.bench.runtime import ISSUER, Process, wait_for
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKS = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)
# MiB that count as no growth.
FLAT = 1.5
BATCH = 2000
SCHEMA = {"type": "object", "properties": {"q": {"type": "string", "maxLength": 64}}}
_INITIALIZE = orjson.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "b", "version": "1"}},
    }
)


def catalog(port: int, *, with_token: bool, ttl: float | None = None) -> bytes:
    """Of a server whose sessions expire after ``ttl``; without it, of one that limits its calls."""
    auth = Auth("JWT", jwt=Jwt(ISSUER, ("shop",), jwks_secret="issuer")) if with_token else Auth()  # noqa: S106
    bucket = Bucket(10**6, 1.0, 10**6)
    settings = Settings(
        sessions="Memory",
        session_ttl=ttl or 3600.0,
        auth=auth,
        limits=Limits(server=bucket, per_client=bucket) if ttl is None else Limits(),
        trusted_proxies=("127.0.0.0/8",),
    )
    backend = Backend("127.0.0.1", port, "")
    tool = Tool("get", "shop/get", "GET", backend, SCHEMA, http=Http("/x"), policy=Policy())
    return catalogs.dump(Catalog("shop/main", settings, (tool,)))


def start_server(folder: Path, backend: int, *, with_token: bool, secrets: Path, ttl: float | None = None) -> Process:
    folder.mkdir()
    (folder / catalogs.FILE).write_bytes(catalog(backend, with_token=with_token, ttl=ttl))
    port = free_port()
    words = ("--catalog-dir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--allow-loopback")
    more = ("--health-port", str(free_port()), "--secrets-dir", str(secrets))
    process = runtime.start(runtime.UNDER_TEST, "-m", "cli", "serve", *words, *more)
    wait_for(port)
    return Process(process, port)


def resident(process: Process) -> float:
    """Resident memory in MiB."""
    lines = Path(f"/proc/{process.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def from_address(request: bytes, number: int) -> bytes:
    """The request, as the proxy passes it on for one of many clients."""
    octets = (10, number >> 16 & 255, number >> 8 & 255, number & 255)
    head = f"\r\nX-Forwarded-For: {'.'.join(map(str, octets))}\r\n".encode()
    return request.replace(b"\r\n", head, 1)


def calls(clients: int) -> Callable[[int], bytes]:
    """Calls of as many clients, each with other arguments."""

    def make(number: int) -> bytes:
        made = runtime.message(number, "tools/call", name="get", arguments={"q": str(number)})
        return from_address(made, number % clients)

    return make


def sessions(number: int) -> bytes:
    """A new session of a client of its own."""
    head = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, "
    head += f"text/event-stream\r\nContent-Length: {len(_INITIALIZE)}\r\n\r\n"
    return from_address(head.encode() + _INITIALIZE, number)


def credentials(secrets: Path) -> Callable[[int], bytes]:
    """Calls, each with a token of its own, of a user of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "k"}
    (secrets / "issuer").mkdir(parents=True)
    (secrets / "issuer" / "jwks.json").write_bytes(orjson.dumps({"keys": [public]}))

    def make(number: int) -> bytes:
        claims = {"iss": ISSUER, "aud": "shop", "sub": f"user-{number}", "exp": 4_000_000_000}
        token = jwt.encode(claims, key, "ES256", headers={"kid": "k"})
        return runtime.message(number, "tools/call", token, name="get", arguments={"q": str(number)})

    return make


def batches(make: Callable[[int], bytes], total: int) -> Iterator[tuple[int, list[bytes]]]:
    for begin in range(0, total, BATCH):
        end = min(begin + BATCH, total)
        yield end, [make(number) for number in range(begin, end)]


@dataclass(frozen=True)
class Load:
    """So many requests; after ``full`` of them the memory must not grow. ``also`` is a status that is
    good, too.
    """

    what: str
    make: Callable[[int], bytes]
    total: int
    full: int
    wanted: bytes = b"shipped"
    also: int = 200
    ttl: float | None = None
    with_token: bool = False


def run(load: Load, process: Process) -> bool:
    """Send them all. Prints the memory at the marks. Whether it was flat."""
    marks = {max(1, int(load.total * mark)) for mark in MARKS}
    shown, when_full, began = [f"{resident(process):.1f} MiB at the start"], 0.0, time.monotonic()
    for sent, requests in batches(load.make, load.total):
        uvloop.run(runtime.run_round(process, requests, load.wanted, load.also))
        if not when_full and sent >= load.full:
            when_full = resident(process)
            shown.append(f"{when_full:.1f} after {sent:,} (full)")
        if due := {mark for mark in marks if mark <= sent}:
            marks -= due
            shown.append(f"{resident(process):.1f} after {sent:,}")
    grew = resident(process) - when_full
    verdict = f"grew {grew:.1f} MiB once full (must be ≤ {FLAT})"
    print(f"{load.what}: {', '.join(shown)}: {verdict}; {time.monotonic() - began:.0f} s", flush=True)
    return grew <= FLAT


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=300_000, help="calls, each of another client")
    parser.add_argument("--sessions", type=int, default=150_000, help="sessions that stay open")
    parser.add_argument("--expiring", type=int, default=200_000, help="sessions that expire after 10 s")
    parser.add_argument("--credentials", type=int, default=100_000)
    options = parser.parse_args()
    os.sched_setaffinity(0, {runtime.LOAD})
    backend = runtime.start_part(runtime.LOAD, "--serve", "backend")
    started, flat = [], True
    try:
        with tempfile.TemporaryDirectory() as name:
            folder, secrets = Path(name), Path(name) / "secrets"
            opened = b"protocolVersion"
            loads = (
                Load("calls of 1,000 clients", calls(1000), options.calls, 10_000),
                Load("calls, each of another client", calls(2**24), options.clients, 180_000),
                Load("sessions that stay open", sessions, options.sessions, 100_000, opened, 503, 3600.0),
                # They live as long as it takes to open so many, at 4,000 a second.
                Load("sessions that expire", sessions, options.expiring, 120_000, opened, 503, 10.0),
                Load("calls, each with another token", credentials(secrets), options.credentials, 20_000, ttl=3600.0,
                     with_token=True),
            )  # fmt: skip
            for load in loads:
                if not load.total:
                    continue
                process = start_server(
                    folder / load.what, backend.port, with_token=load.with_token, secrets=secrets, ttl=load.ttl
                )
                started.append(process)
                flat = run(load, process) and flat
                process.process.kill()
    finally:
        for process in (*started, backend):
            process.process.kill()
            process.process.wait()
    print("flat" if flat else "NOT flat")
    return 0


if __name__ == "__main__":
    sys.exit(main())
