"""The operator as processes against a real API server, each under the rights of its own ServiceAccount.

A balancer stands in for the Service of the webhook: connections go to the replicas that report to be ready, in turn.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scripts.localcluster import installation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.localcluster import Cluster

ROOT = Path(__file__).parents[2]
NAMESPACE = "mcp-system"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def account_kubeconfig(cluster: Cluster, folder: Path, account: str) -> Path:
    """A kubeconfig that holds a token of one of the product's ServiceAccounts and nothing else."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.run("create", "token", account, "-n", NAMESPACE, "--duration=2h").stdout.strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{NAMESPACE}:{account}"
    for user in config["users"]:
        user["user"] = {"token": token}
    file = folder / f"{account}.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


@dataclass
class Replica:
    """One process of the product."""

    words: list[str]
    log: Path
    health_port: int
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", *self.words], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=60)


class Balancer:
    """Connections to one port go to the replicas that are ready, in turn. Readiness is asked for twice a second."""

    def __init__(self, port: int, replicas: list[Replica]) -> None:
        self.port = port
        self.served = {replica.port: 0 for replica in replicas}
        self._replicas = replicas
        self._ready: list[Replica] = []
        self._turn = count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._probe, self._serve)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _probe(self) -> None:
        while not self._stop.is_set():
            self._ready = [replica for replica in self._replicas if replica.ready()]
            self._stop.wait(0.5)

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        while not self._stop.is_set():
            await asyncio.sleep(0.2)
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self._replicas)):
            ready = self._ready
            if not ready:
                break
            replica = ready[next(self._turn) % len(ready)]
            try:
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", replica.port)
            except OSError:
                continue
            self.served[replica.port] += 1
            await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer), return_exceptions=True)
            return
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def install_rights(cluster: Cluster, folder: Path) -> dict[str, Path]:
    """Apply definitions, ServiceAccounts and rights of `manifests/base`; a kubeconfig of each program's account."""
    cluster.run("apply", "-k", str(ROOT / "manifests" / "base" / "crds"))
    cluster.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    cluster.run("create", "namespace", NAMESPACE, check=False)
    documents = list(yaml.safe_load_all(cluster.run("kustomize", str(ROOT / "manifests" / "base" / "rbac")).stdout))
    for document in map(_place, documents):
        if document["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            document["metadata"].setdefault("namespace", NAMESPACE)
    cluster.run("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    return {name: account_kubeconfig(cluster, folder, f"mcp-operator-{name}") for name in ("webhook", "controller")}


class Installation:
    """Webhook replicas, and controllers of which one leads; installed as `manifests/base` says, without its pods."""

    def __init__(
        self, cluster: Cluster, accounts: dict[str, Path], folder: Path, *, webhooks: int = 2, controllers: int = 1
    ) -> None:
        self.cluster = cluster
        webhook, controller = accounts["webhook"], accounts["controller"]
        entry = free_port()
        served = ["--name", "127.0.0.1", "--drain-seconds", "3"]
        self.webhooks = [self._replica(folder, webhook, "webhook", number, served) for number in range(webhooks)]
        further = ["--webhook-url", f"https://127.0.0.1:{entry}", "--runtime-image", "localhost/none"]
        further += ["--pod-access", "proxy"]
        self.controllers = [
            self._replica(folder, controller, "controller", number, further) for number in range(controllers)
        ]
        self.balancer = Balancer(entry, self.webhooks)

    def start(self) -> None:
        """Start everything, and wait until admission is in force."""
        for replica in (*self.webhooks, *self.controllers):
            replica.start()
        installation.until("the webhooks are ready", lambda: all(map(Replica.ready, self.webhooks)), 90)
        installation.until("admission is in force", lambda: installation.failure_policy(self.cluster) == "Fail", 90)

    def stop(self) -> None:
        """End every process and take the registration away."""
        for replica in (*self.controllers, *self.webhooks):
            if replica.process is not None and replica.process.poll() is None:
                replica.end(signal.SIGKILL)
        self.cluster.run("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "--all")
        self.balancer.close()

    def _replica(self, folder: Path, kubeconfig: Path, program: str, number: int, further: Iterable[str]) -> Replica:
        port, health = free_port(), free_port()
        words = [program, "--kubeconfig", str(kubeconfig), "--namespace", NAMESPACE, "--host", "127.0.0.1"]
        words += ["--health-port", str(health), *further]
        if program == "webhook":
            words += ["--port", str(port)]
        return Replica(words, folder / f"{program}-{number}.log", health, port)


def _place(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the operator's namespace in the subjects of its bindings, as the kustomization sets it."""
    for subject in document.get("subjects") or ():
        if subject["kind"] == "ServiceAccount":
            subject["namespace"] = NAMESPACE
    return document


def tool(namespace: str, name: str, served: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": "shop"}},
        "spec": {
            "name": served,
            "description": f"Find what {served} stands for in the orders of the shop.",
            "service": {"name": "orders", "port": 80},
        },
    }


def server(namespace: str, name: str, app: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"toolSelector": {"matchLabels": {"app": app}}, **spec},
    }


def wait_idle(seconds: float, still: Any) -> None:
    """Wait until ``still`` returns the same value for two seconds. Raises RuntimeError when that takes too long."""
    deadline, last, since = time.monotonic() + seconds, still(), time.monotonic()
    while time.monotonic() - since < 2:
        time.sleep(0.2)
        if (found := still()) != last:
            last, since = found, time.monotonic()
        if time.monotonic() > deadline:
            raise RuntimeError(f"not idle after {seconds:.0f} s")
