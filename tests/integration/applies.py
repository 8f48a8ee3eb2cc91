"""Dry runs that go on while something is done to the installation, and the CA as it is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from certs import secret
from tests.threads import meanwhile

if TYPE_CHECKING:
    import threading

    from scripts.localcluster import Cluster


class Applies:
    """Dry runs, one after another, while something else happens. Good ones must pass, bad ones must be denied."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.failures: list[str] = []
        self.done = 0
        self._cluster = cluster
        self._namespace = namespace
        self._meanwhile = meanwhile(self._run)

    def __enter__(self) -> Self:
        self._meanwhile.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._meanwhile.__exit__(*error)

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            good = self._apply("good", "Say {{word}}.")
            bad = self._apply("bad", "Say {{nothing}}.")
            if good.returncode != 0:
                self.failures.append(good.stderr)
            if "denied the request" not in bad.stderr:
                self.failures.append(bad.stderr or "admitted")
            self.done += 2

    def _apply(self, name: str, template: str) -> Any:
        manifest = {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPPrompt",
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": {"template": template, "variables": [{"name": "word"}]},
        }
        text = json.dumps(manifest)
        return self._cluster.run("create", "--dry-run=server", "-f", "-", stdin=text, check=False)


def ca_now(cluster: Cluster) -> Any:
    found = cluster.run("-n", "mcp-system", "get", "secret", "mcp-operator-ca", "-o", "json", check=False)
    return secret.parse(json.loads(found.stdout)) if found.returncode == 0 else None
