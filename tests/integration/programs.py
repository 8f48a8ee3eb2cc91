"""Webhook and controller as they are, in threads, against a real API server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from controller import program as controller_program
from scripts.localcluster import installation
from webhook import program as webhook_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.localcluster import Cluster


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Operator:
    """Both programs, each in a thread with a loop of its own."""

    def __init__(self, cluster: Cluster, name: str, webhook_port: int) -> None:
        self.cluster = cluster
        self.ports = {"webhook": webhook_port, "webhook-health": free_port(), "controller-health": free_port()}
        self._settings = (
            webhook_program.Settings(
                namespace="mcp-system",
                host="127.0.0.1",
                port=webhook_port,
                health_port=self.ports["webhook-health"],
                hosts=("127.0.0.1",),
                kubeconfig=cluster.kubeconfig,
                drain_seconds=0.1,
            ),
            controller_program.Settings(
                namespace="mcp-system",
                identity=name,
                runtime_image="localhost/none",
                webhook_url=f"https://127.0.0.1:{webhook_port}",
                host="127.0.0.1",
                health_port=self.ports["controller-health"],
                kubeconfig=cluster.kubeconfig,
                pod_access="proxy",
            ),
        )
        self._threads: list[threading.Thread] = []
        self._stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def start(self, *, webhook: bool = True, controller: bool = True) -> None:
        webhook_settings, controller_settings = self._settings
        if webhook:
            self._run(lambda stop: webhook_program.run(webhook_settings, stop))
        if controller:
            self._run(lambda stop: controller_program.run(controller_settings, stop))

    def stop(self) -> None:
        for loop, event in self._stops:
            loop.call_soon_threadsafe(event.set)
        for thread in self._threads:
            thread.join(timeout=30)
        assert not any(thread.is_alive() for thread in self._threads), "a program did not stop"
        self._stops, self._threads = [], []

    def _run(self, program: Any) -> None:
        started = threading.Event()

        async def run_until_stopped() -> None:
            stop = asyncio.Event()
            self._stops.append((asyncio.get_running_loop(), stop))
            started.set()
            await program(stop)

        thread = threading.Thread(target=lambda: asyncio.run(run_until_stopped()), daemon=True)
        thread.start()
        self._threads.append(thread)
        assert started.wait(10)

    def http(self, which: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        scheme = "https" if which == "webhook" else "http"
        context = ssl._create_unverified_context() if scheme == "https" else None
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{self.ports[which]}{path}", data=body)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b"nobody listens"


@contextmanager
def installed(cluster: Cluster, manifests: Path, *namespaces: str) -> Iterator[Operator]:
    """Install the definitions, namespaces and both programs, and wait for the webhook; delete all of it afterwards."""
    cluster.run("apply", "-k", str(manifests / "base" / "crds"))
    cluster.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for namespace in ("mcp-system", *namespaces):
        cluster.run("create", "namespace", namespace, check=False)
    found = Operator(cluster, "one", free_port())
    found.start()
    try:
        installation.until("the hook is in force", lambda: installation.failure_policy(cluster) == "Fail", 60)
        yield found
    finally:
        cluster.run("delete", "validatingwebhookconfiguration/mcp-operator-validating", "--ignore-not-found")
        found.stop()
        for kind in ("validating", "mutating"):
            cluster.run("delete", f"{kind}webhookconfiguration", f"mcp-operator-{kind}", "--ignore-not-found")
        for namespace in namespaces:
            cluster.run("delete", "mcp", "--all", "-n", namespace)
