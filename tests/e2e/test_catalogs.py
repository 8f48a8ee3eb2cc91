"""Catalogs that somebody else puts into a ConfigMap, on a real node: pods that start while no controller runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from scripts.localcluster import installation

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e

SERVER = "storefront"


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("-n", "shop", "get", *words, "-o", "json").stdout))


def pod(cluster: Cluster) -> dict[str, Any]:
    """The pod of the server; empty while there is none, or one that goes."""
    found = get(cluster, "pods", "-l", f"mcp.example.com/server={SERVER}")["items"]
    return found[0] if len(found) == 1 and "deletionTimestamp" not in found[0]["metadata"] else {}


def is_ready(found: dict[str, Any]) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def scale_controller(cluster: Cluster, replicas: int) -> None:
    cluster.run("-n", "mcp-system", "scale", "deployment/mcp-operator-controller", f"--replicas={replicas}")
    selector = "app.kubernetes.io/name=mcp-operator-controller"
    installation.until(
        f"{replicas} controllers run",
        lambda: (
            len(cluster.run("-n", "mcp-system", "get", "pods", "-l", selector, "-o", "name").stdout.split()) == replicas
        ),
        60,
    )


def restart(cluster: Cluster) -> str:
    """Delete the pod; the name of the one that takes its place."""
    before = pod(cluster)["metadata"]["name"]
    cluster.run("-n", "shop", "delete", "pod", before, "--wait=false")
    installation.until(
        "another pod takes its place", lambda: pod(cluster).get("metadata", {}).get("name", before) != before, 60
    )
    return str(pod(cluster)["metadata"]["name"])


def probe(cluster: Cluster, name: str) -> str:
    path = f"/api/v1/namespaces/shop/pods/{name}:9090/proxy/statusz"
    return cluster.run("get", "--raw", path, check=False).stdout


def test_an_old_catalog_is_not_loaded_by_a_pod_that_starts_while_no_controller_runs(shop: Cluster) -> None:
    cluster, config_map = shop, f"{SERVER}-catalog"
    old = get(cluster, "configmap", config_map)
    version = get(cluster, "mcpserver", SERVER)["status"]["catalogVersion"]
    info = {"spec": {"info": {"instructions": "A newer text."}}}
    cluster.run("-n", "shop", "patch", "mcpserver", SERVER, "--type=merge", "-p", json.dumps(info))
    installation.until(
        "the status names the newer catalog",
        lambda: get(cluster, "mcpserver", SERVER)["status"]["catalogVersion"] != version,
        30,
    )
    newest = get(cluster, "configmap", config_map)
    assert newest["data"] != old["data"]

    scale_controller(cluster, 0)
    try:
        # The newest catalog stays valid, although nobody signs it again.
        restart(cluster)
        installation.until("a pod that starts serves the newest catalog", lambda: is_ready(pod(cluster)), 60)

        # By a user who may write ConfigMaps, under the name of our field manager.
        replayed = {**newest, "data": old["data"], "binaryData": old.get("binaryData") or {}}
        replayed["metadata"] = {
            k: v for k, v in newest["metadata"].items() if k not in ("managedFields", "resourceVersion")
        }
        cluster.run("replace", "--field-manager=mcp-operator", "-f", "-", stdin=json.dumps(replayed))
        # The one that runs knows better.
        assert is_ready(pod(cluster))
        name = restart(cluster)
        installation.until(
            "the new pod says what it refused", lambda: "is older than version" in probe(cluster, name), 60
        )
        assert not is_ready(pod(cluster))
        assert json.loads(probe(cluster, name))["digest"] is None
    finally:
        scale_controller(cluster, 2)
    installation.until("the newest catalog is back, and the pod serves it", lambda: is_ready(pod(cluster)), 90)
    assert get(cluster, "configmap", config_map)["data"] != old["data"]
