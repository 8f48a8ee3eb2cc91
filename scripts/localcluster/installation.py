"""Installs the operator in a local cluster and waits until it is ready."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from scripts.localcluster import images, paths, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.localcluster.cluster import Cluster

__all__ = ["definitions", "examples", "failure_policy", "install", "until"]

MANIFESTS = paths.ROOT / "manifests"
SECONDS = 180


def install(cluster: Cluster) -> None:
    """Deploy the operator with ``overlays/dev``, and a Redis, and wait until admission is in force."""
    for name, archive in (("operator", images.operator()), ("Redis", images.redis())):
        with progress.step(f"loading the image of the {name}"):
            cluster.load_image(archive)
    with progress.step("deploying the operator (manifests/base/crds, manifests/overlays/dev)"):
        definitions(cluster)
        cluster.run("apply", "-k", str(MANIFESTS / "overlays" / "dev"))
        cluster.run("apply", "-f", str(MANIFESTS / "examples" / "valid" / "00-namespace.yaml"))
        cluster.run("apply", "-k", str(MANIFESTS / "overlays" / "dev" / "shop"))
        for deployment in ("mcp-operator-webhook", "mcp-operator-controller"):
            cluster.run("-n", "mcp-system", "rollout", "status", f"deployment/{deployment}", f"--timeout={SECONDS}s")
        until("admission is in force", lambda: failure_policy(cluster) == "Fail")


def definitions(cluster: Cluster) -> None:
    """Apply the CustomResourceDefinitions and wait until the API server serves them."""
    applied = cluster.run("apply", "-k", str(MANIFESTS / "base" / "crds"), "-o", "name").stdout.split()
    cluster.run("wait", "--for=condition=Established", *applied, "--timeout=30s")


def examples(cluster: Cluster) -> None:
    """Apply the backend and ``examples/valid``, and wait until MCPServer shop/main is ready."""
    with progress.step("applying manifests/examples: a backend, tools, prompts, resources, servers"):
        cluster.run("apply", "-k", str(MANIFESTS / "examples" / "backend"))
        cluster.run("-n", "shop", "rollout", "status", "deployment/orders", f"--timeout={SECONDS}s")
        cluster.run("apply", "-f", str(MANIFESTS / "examples" / "valid"))
    with progress.step("waiting until MCPServer shop/main is Ready"):
        cluster.run("-n", "shop", "wait", "mcpserver/main", "--for=condition=Ready", f"--timeout={SECONDS}s")


def failure_policy(cluster: Cluster) -> str:
    """``Fail`` or ``Ignore``; empty before the validating webhook is registered."""
    found = cluster.run("get", "validatingwebhookconfiguration", "mcp-operator-validating", "-o", "json", check=False)
    return str(json.loads(found.stdout)["webhooks"][0]["failurePolicy"]) if found.returncode == 0 else ""


def until(what: str, there: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until the condition holds. Raises RuntimeError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            raise RuntimeError(f"timed out after {seconds:.0f} s waiting until {what}")
        time.sleep(0.2)
