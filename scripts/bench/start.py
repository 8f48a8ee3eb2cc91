"""An idle MCP server: its memory, and the CPU time until its first answer.

Without Redis, with it, and as a pod runs it: with Redis, a signed catalog, and a watch of the API server, which here
cannot be reached. All have the same ten tools. As in the image, byte code is compiled before. Prints the median of
several starts.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certs import issuance
from crd.published import catalogs, signature
from scripts.bench import runtime
from scripts.bench.memory import resident
from scripts.bench.runtime import Process, message, wait_for
from scripts.localcluster.ports import free_port

STARTS = 5
# Seconds after the first answer at which the process is idle.
IDLE = 3.0
# The files of the ServiceAccount are elsewhere.
AS_POD = """
import pathlib, sys
from cli import __main__
from cli.options import pod
pod.SERVICE_ACCOUNT = pathlib.Path(sys.argv.pop(1))
sys.exit(__main__.main())
"""
UID = "00000000-0000-0000-0000-000000000001"


def write_catalog(folder: Path) -> str:
    """A catalog and its signature. Returns the root key."""
    root, working = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    content = runtime.catalog(10, 1)
    certificate = signature.certify(root, working.public_key(), 1)
    signed = signature.sign(working, certificate, server_uid=UID, version=1, name=catalogs.FILE, content=content)
    (folder / catalogs.FILE).write_bytes(content)
    (folder / signature.FILE).write_text(signed)
    return signature.encode_public(root.public_key())


def write_account(folder: Path) -> Path:
    """The files of a ServiceAccount, as they are mounted."""
    account = folder / "account"
    account.mkdir()
    (account / "token").write_text(base64.b64encode(b"token").decode())
    # A cluster has one CA. A bundle of all authorities would be 1.3 MiB more.
    (account / "ca.crt").write_bytes(issuance.authority("kubernetes", datetime.now(UTC)).certificate)  # noqa: TID251
    return account


def measure(words: list[str], environment: dict[str, str], account: str = "") -> tuple[float, float]:
    """CPU seconds until the first answer, and MiB of the idle process."""
    port = free_port()
    start = ["-c", AS_POD, account] if account else ["-m", "cli"]
    command = [sys.executable, *start, "serve", *words]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--health-port", str(free_port()), "--allow-loopback"],
        env=os.environ | environment,  # noqa: TID251
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        started = Process(process, port)
        uvloop.run(runtime.run_round(started, [message(1, "tools/list")] * runtime.CONNECTIONS, b"get_order_9"))
        used = started.cpu_seconds()
        time.sleep(IDLE)
        return used, resident(started)
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=STARTS)
    options = parser.parse_args()
    redis = free_port()
    store = subprocess.Popen(
        [shutil.which("redis-server") or "redis-server", "--port", str(redis), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(redis)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            catalog = folder / "catalog"
            catalog.mkdir()
            root = write_catalog(catalog)
            plain = ["--catalog-dir", str(catalog)]
            stored = [*plain, "--redis-host", "127.0.0.1", "--redis-port", str(redis)]
            whole = [*stored, "--namespace", "shop", "--config-map", "main-mcp", "--catalog-root", root]
            compiled = {"PYTHONPYCACHEPREFIX": str(folder / "byte-code"), "PYTHONDONTWRITEBYTECODE": ""}
            api = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(free_port())}
            account = str(write_account(folder))
            for what, words, environment, own in (
                ("without Redis", plain, compiled, ""),
                ("with Redis", stored, compiled, ""),
                ("as in a pod", [*whole, "--server-uid", UID], compiled | api, account),
            ):
                found = [measure(words, environment, own) for _ in range(options.starts + 1)][1:]
                used, memory = (statistics.median(values) for values in zip(*found, strict=True))
                shown = f"idle {memory:.1f} MiB (must be ≤ 60), first answer after {used:.2f} s of CPU (must be ≤ 0.6)"
                print(f"{what:14}{shown}", flush=True)
    finally:
        store.kill()
        store.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
