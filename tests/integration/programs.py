"""Webhook and controller as they are, in threads, against a real API server."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cluster import client
from controller import program as controller_program
from controller.installation import registration
from scripts.localcluster import installation
from scripts.localcluster.ports import free_port
from tests.threads import Program
from webhook import program as webhook_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.localcluster import Cluster
    from webhook.rights import Mode


# How long the proof of a new CA has to hold here.
SETTLING_SECONDS = 2.0


def read_kubeconfigs(*files: Path | None) -> None:
    """Let the client library write the certificates of kubeconfigs into files; two threads must not do it at once."""

    async def connect_to_each() -> None:
        for file in files:
            await (await client.connect(kubeconfig=file)).close()

    asyncio.run(connect_to_each())


def account(cluster: Cluster, name: str, namespace: str = "mcp-system") -> Path:
    """A kubeconfig of a ServiceAccount, by default one of the operator's."""
    config = json.loads(cluster.run("config", "view", "--raw", "-o", "json").stdout)
    token = cluster.run("-n", namespace, "create", "token", name, "--duration=2h").stdout.strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = cluster.directory / f"{namespace}-{name}.kubeconfig"
    file.write_text(json.dumps(config))
    return file


class Operator:
    """Both programs, each in a thread with a loop of its own, and with no more rights than its ServiceAccount has."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        webhook_port: int,
        rights: Mode = "Warn",
        *,
        namespace: str = "mcp-system",
        namespaces: tuple[str, ...] = (),
        next_port: int | None = None,
        inject_ca_from: str | None = None,
        **settings: Any,
    ) -> None:
        self.cluster = cluster
        self.ports = {
            "webhook": webhook_port,
            "webhook-next": next_port or free_port(),
            "webhook-health": free_port(),
            "controller-health": free_port(),
        }
        webhook_account, controller_account = (
            account(cluster, name, namespace) for name in ("mcp-operator-webhook", "mcp-operator-controller")
        )
        self._settings = (
            webhook_program.Settings(
                namespace=namespace,
                namespaces=namespaces,
                host="127.0.0.1",
                port=webhook_port,
                next_port=self.ports["webhook-next"],
                health_port=self.ports["webhook-health"],
                hosts=("127.0.0.1",),
                kubeconfig=webhook_account,
                drain_seconds=0.1,
                requester_rights=rights,
                **settings,
            ),
            controller_program.Settings(
                namespace=namespace,
                namespaces=namespaces,
                identity=name,
                pod=name if (namespace, namespaces) == ("mcp-system", ()) else None,
                runtime_image="localhost/none",
                webhook_url=f"https://127.0.0.1:{webhook_port}",
                webhook_next_url=f"https://127.0.0.1:{self.ports['webhook-next']}",
                host="127.0.0.1",
                health_port=self.ports["controller-health"],
                kubeconfig=controller_account,
                pod_access="proxy",
                ca_settling_seconds=SETTLING_SECONDS,
                inject_ca_from=inject_ca_from,
            ),
        )
        self._webhook: Program | None = None
        self._controller: Program | None = None

    def start(self, *, webhook: bool = True, controller: bool = True) -> None:
        read_kubeconfigs(*(settings.kubeconfig for settings in self._settings))
        if webhook:
            self.start_webhook()
        if controller:
            self._controller = Program(lambda stop: controller_program.run(self._settings[1], stop))

    def stop(self) -> None:
        running = [each for each in (self._webhook, self._controller) if each is not None]
        self._webhook = self._controller = None
        for each in running:
            each.ask_to_stop()
        for each in running:
            each.stop()

    def stop_webhook(self) -> None:
        """An outage: the webhook ends, the controller goes on."""
        assert self._webhook is not None
        self._webhook.stop()
        self._webhook = None

    def start_webhook(self) -> None:
        self._webhook = Program(lambda stop: webhook_program.run(self._settings[0], stop))

    def key(self) -> str:
        """The key in the paths that are registered."""
        found = self.cluster.run("get", "validatingwebhookconfiguration", "mcp-operator-validating", "-o", "json")
        return registration.registered_key(json.loads(found.stdout)) or ""

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
def installed(
    cluster: Cluster,
    manifests: Path,
    *namespaces: str,
    rights: Mode = "Warn",
    webhook_port: int | None = None,
    roles: Path | None = None,
    **settings: Any,
) -> Iterator[Operator]:
    """Install the definitions, namespaces and both programs, and wait for the webhook; delete all of it afterwards.

    ``rights`` and ``settings`` are those of the webhook. ``roles`` is a folder to apply instead of the base's.
    """
    installation.definitions(cluster)
    for namespace in ("mcp-system", *namespaces):
        cluster.run("create", "namespace", namespace, check=False)
    cluster.run("apply", "-k", str(roles or manifests / "base" / "rbac"))
    found = Operator(cluster, "one", webhook_port or free_port(), rights, **settings)
    found.start()
    try:
        installation.until("admission is in force", lambda: installation.failure_policy(cluster) == "Fail", 60)
        yield found
    finally:
        found.stop()
        # The command of docs/operations/webhook-down.md.
        kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
        cluster.run("delete", kinds, "-l", "app.kubernetes.io/part-of=mcp-operator")
        assert "mcp-operator" not in cluster.run("get", kinds, "-o", "name").stdout
        for namespace in namespaces:
            cluster.run("delete", "mcp", "--all", "-n", namespace)
