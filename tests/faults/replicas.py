"""The operator as processes against a real API server, each under the rights of its own ServiceAccount.

A balancer stands in for the Service of the webhook: connections go to the replicas that report to be ready, in turn.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

import yaml

from scripts.localcluster import installation
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.localcluster import Cluster

ROOT = Path(__file__).parents[2]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

NAMESPACE = "mcp-system"
LEASE = "mcp-operator-controller"
CA_SECRET = "mcp-operator-ca"


def account_directory(cluster: Cluster, folder: Path, account: str) -> Path:
    """What is mounted into a pod of one of the product's ServiceAccounts: its token and the CA of the API server."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.run("create", "token", account, "-n", NAMESPACE, "--duration=4h").stdout.strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{NAMESPACE}:{account}"
    directory = folder / account
    directory.mkdir()
    (directory / "token").write_text(token)
    (directory / "ca.crt").write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
    return directory


class Ports(NamedTuple):
    """Where one process listens."""

    serving: int
    proving: int
    health: int


@dataclass
class Replica:
    """One process of the product. ``account`` is its own copy of what is mounted into its pod.

    Each start takes new ports, as a new pod has a new address: what knew the process before does not reach the next.
    """

    words: list[str]
    account: Path
    shorter: str
    server: SplitResult
    log: Path
    ports: Ports = field(default_factory=lambda: Ports(0, 0, 0))
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}  # noqa: TID251
        api = {"KUBERNETES_SERVICE_HOST": str(self.server.hostname), "KUBERNETES_SERVICE_PORT": str(self.server.port)}
        command = [sys.executable, "-m", "tests.faults.program", str(self.account), self.shorter, *self.words]
        # Replaced as a whole: the thread of the balancer reads it.
        self.ports = Ports(free_port(), free_port(), free_port())
        command += ["--health-port", str(self.ports.health)]
        if self.words[0] == "webhook":
            command += ["--port", str(self.ports.serving), "--next-port", str(self.ports.proving)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=inherited | api, stdout=log, stderr=subprocess.STDOUT
            )

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        return self.ready_ports() is not None

    def ready_ports(self) -> Ports | None:
        """The ports of the process that reports to be ready, or None."""
        ports = self.ports
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports.health}/readyz", timeout=2) as answer:
                return ports if answer.status == 200 else None
        except (urllib.error.URLError, OSError):
            return None

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=60)


class Balancer:
    """Connections to two ports go to the same port of the replicas that are ready, in turn.

    Readiness is asked for twice a second. Like the endpoints of a Service, what is known between is the address of a
    process: one that has ended meanwhile refuses connections, and its successor gets none before it was ready itself.

    ``faults`` has what may cost a client a request: a connection that found no replica, and one that a replica closed
    when the last bytes were the client's.
    """

    def __init__(self, replicas: list[Replica]) -> None:
        self.ports = (free_port(), free_port())
        self.faults: list[str] = []
        self._replicas = replicas
        self._ready: list[Ports] = []
        self._turn = count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._probe, self._serve)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def knows(self, replica: Replica) -> bool:
        """Whether connections go to this process of the replica."""
        return replica.ports in self._ready

    def _probe(self) -> None:
        while not self._stop.is_set():
            self._ready = [ports for replica in self._replicas if (ports := replica.ready_ports())]
            self._stop.wait(0.5)

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        servers = [
            await asyncio.start_server(partial(self._connected, which), "127.0.0.1", port)
            for which, port in enumerate(self.ports)
        ]
        while not self._stop.is_set():
            await asyncio.sleep(0.2)
        for server in servers:
            server.close()

    async def _connected(self, which: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried = []
        for _ in range(len(self._replicas)):
            ready = self._ready
            if not ready:
                break
            ports = ready[next(self._turn) % len(ready)]
            tried.append(ports[which])
            try:
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", ports[which])
            except OSError:
                continue
            await self._pass_on((reader, writer), (other_reader, other_writer), ports[which])
            return
        self.faults.append(f"no replica answered for port {which}; tried {tried}")
        writer.close()

    async def _pass_on(self, client: Streams, replica: Streams, port: int) -> None:
        """Copy both ways until both sides have closed."""
        sent: list[tuple[str, int, float]] = []
        ended: list[str] = []

        async def copy(side: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(65536):
                    sent.append((side, len(data), time.monotonic()))
                    del sent[:-4]
                    if ended:
                        self.faults.append(f"{len(data)} bytes of the {side} after the {ended[0]} had closed {port}")
                    writer.write(data)
                    await writer.drain()
            except OSError as error:
                if not ended:
                    self.faults.append(f"{side} of {port}: {error}, after {_ages(sent)}")
            finally:
                if not ended and side == "replica" and sent and sent[-1][0] == "client":
                    self.faults.append(f"the replica closed {port} after {_ages(sent)}")
                ended.append(side)
                writer.close()

        await asyncio.gather(copy("client", client[0], replica[1]), copy("replica", replica[0], client[1]))


def _ages(sent: list[tuple[str, int, float]]) -> str:
    now = time.monotonic()
    return ", ".join(f"{length} bytes of the {side} {now - at:.3f} s before" for side, length, at in sent) or "nothing"


def install_rights(cluster: Cluster, folder: Path) -> dict[str, Path]:
    """Apply definitions, ServiceAccounts and rights of `manifests/base`; what pods of each program have mounted."""
    cluster.run("apply", "-k", str(ROOT / "manifests" / "base" / "crds"))
    cluster.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    cluster.run("create", "namespace", NAMESPACE, check=False)
    documents = list(yaml.safe_load_all(cluster.run("kustomize", str(ROOT / "manifests" / "base" / "rbac")).stdout))
    for document in map(_place, documents):
        if document["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            document["metadata"].setdefault("namespace", NAMESPACE)
    cluster.run("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    return {name: account_directory(cluster, folder, f"mcp-operator-{name}") for name in ("webhook", "controller")}


class Installation:
    """Webhook replicas, and controllers of which one leads; installed as `manifests/base` says, without its pods.

    ``shorter`` has the names of `tests.faults.program.SHORTER` for the webhooks and for the controllers.
    """

    def __init__(
        self,
        cluster: Cluster,
        accounts: dict[str, Path],
        folder: Path,
        *,
        webhooks: int = 2,
        controllers: int = 1,
        shorter: tuple[str, str] = ("", "lease"),
    ) -> None:
        self.cluster = cluster
        self._accounts = accounts
        self._folder = folder
        self._server = urlsplit(yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
        served = ["--name", "127.0.0.1", "--drain-seconds", "3"]
        self.webhooks = [self._replica("webhook", number, shorter[0], served) for number in range(webhooks)]
        self.balancer = Balancer(self.webhooks)
        port, next_port = self.balancer.ports
        further = ["--webhook-url", f"https://127.0.0.1:{port}", "--webhook-next-url", f"https://127.0.0.1:{next_port}"]
        further += ["--runtime-image", "localhost/none", "--pod-access", "proxy"]
        self.controllers = [self._replica("controller", number, shorter[1], further) for number in range(controllers)]

    def start(self) -> None:
        """Start what does not run, and wait until admission is in force."""
        for replica in (*self.webhooks, *self.controllers):
            if not replica.running():
                replica.start()
        installation.until("the webhooks are ready", lambda: all(map(Replica.ready, self.webhooks)), 90)
        installation.until("admission is in force", lambda: installation.failure_policy(self.cluster) == "Fail", 90)

    def stop(self) -> None:
        """End every process, and take away the registration, the lease and the CA."""
        # A controller that is killed would leave its lease behind, and the next installation would wait for its end.
        for replica in (*self.controllers, *self.webhooks):
            if replica.running():
                replica.end(signal.SIGTERM if replica in self.controllers else signal.SIGKILL)
        self.cluster.run("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "--all")
        for kind, name in (("lease", LEASE), ("secret", CA_SECRET)):
            self.cluster.run("delete", kind, name, "-n", NAMESPACE, "--ignore-not-found")
        self.balancer.close()

    def leader(self) -> tuple[Replica, str]:
        """The controller that leads, and its name in the lease."""
        found = self.cluster.run("get", "lease", LEASE, "-n", NAMESPACE, "-o", "json").stdout
        holder = json.loads(found)["spec"]["holderIdentity"]
        return next(each for each in self.controllers if f"leading as {holder}" in each.log.read_text()), holder

    def _replica(self, program: str, number: int, shorter: str, further: Iterable[str]) -> Replica:
        account = self._folder / f"account-{program}-{number}"
        shutil.copytree(self._accounts[program], account)
        words = [program, "--namespace", NAMESPACE, "--host", "127.0.0.1", *further]
        log = self._folder / f"{program}-{number}.log"
        return Replica(words, account, shorter, self._server, log)


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
