"""Memory of a server after many calls, sessions and credentials.

One process, as a pod without Redis runs it, so everything that it remembers is in its own memory. Clients come through
a trusted proxy, which gives each an address of its own. Prints the resident memory at marks; it must not grow with the
number of what is gone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
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
from scripts.bench.runtime import ISSUER, Process, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKS = (0.01, 0.1, 0.25, 0.5, 1.0)
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


def catalog(port: int, *, with_token: bool) -> bytes:
    auth = Auth("JWT", jwt=Jwt(ISSUER, ("shop",), jwks_secret="issuer")) if with_token else Auth()  # noqa: S106
    bucket = Bucket(10**6, 1.0, 10**6)
    settings = Settings(
        sessions="Memory",
        session_ttl=3600.0,
        auth=auth,
        limits=Limits(server=bucket, per_client=bucket),
        trusted_proxies=("127.0.0.0/8",),
    )
    backend = Backend("127.0.0.1", port, "")
    tool = Tool("get", "shop/get", "GET", backend, SCHEMA, http=Http("/x"), policy=Policy())
    return catalogs.dump(Catalog("shop/main", settings, (tool,)))


def start_server(folder: Path, backend: int, *, with_token: bool, secrets: Path) -> Process:
    folder.mkdir()
    (folder / catalogs.FILE).write_bytes(catalog(backend, with_token=with_token))
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


def run(what: str, process: Process, make: Callable[[int], bytes], total: int, wanted: bytes) -> None:
    """Send them all. Prints the memory at the marks."""
    marks = {max(1, int(total * mark)) for mark in MARKS}
    shown = [f"{resident(process):.1f} MiB at the start"]
    for sent, requests in batches(make, total):
        uvloop.run(runtime.run_round(process, requests, wanted))
        if due := {mark for mark in marks if mark <= sent}:
            marks -= due
            shown.append(f"{resident(process):.1f} after {sent:,}")
    print(f"{what}: {', '.join(shown)}", flush=True)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--credentials", type=int, default=100_000)
    options = parser.parse_args()
    os.sched_setaffinity(0, {runtime.LOAD})
    backend = runtime.start_part(runtime.LOAD, "--serve", "backend")
    started = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder, secrets = Path(name), Path(name) / "secrets"
            with_token = credentials(secrets)
            for what, make, total, wanted in (
                ("calls of 1,000 clients", calls(1000), options.calls, b"shipped"),
                ("calls of 100,000 clients", calls(100_000), options.calls // 4, b"shipped"),
                ("sessions", sessions, options.sessions, b"protocolVersion"),
                ("credentials", with_token, options.credentials, b"shipped"),
            ):
                if not total:
                    continue
                is_jwt = what == "credentials"
                process = start_server(folder / what, backend.port, with_token=is_jwt, secrets=secrets)
                started.append(process)
                run(what, process, make, total, wanted)
                process.process.kill()
    finally:
        for process in (*started, backend):
            process.process.kill()
            process.process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
