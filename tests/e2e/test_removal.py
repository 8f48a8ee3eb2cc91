"""The operator is deleted with its namespace, on a real node where its pods take time to stop, and comes back."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client

from scripts.localcluster import installation

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e

NAMESPACE = "removal"
# kubectl itself takes a part of it, on a machine that is busy.
LONGEST_DELETION = 5.0
SECONDS = 60.0


def prompt(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPPrompt",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"template": "Say {{word}}.", "variables": [{"name": "word"}]},
    }


def created(cluster: Cluster) -> str:
    """Empty if an object may be created; otherwise why not."""
    done = cluster.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(prompt("new")), check=False)
    return "" if done.returncode == 0 else done.stderr


def registered(cluster: Cluster) -> list[str]:
    kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
    return cluster.run("get", kinds, "-l", "app.kubernetes.io/part-of=mcp-operator", "-o", "name").stdout.split()


def test_a_lost_operator_blocks_nothing_and_can_be_installed_again(cluster: Cluster) -> None:
    cluster.run("create", "namespace", NAMESPACE)
    names = [f"spare-{number}" for number in range(60)]
    items = [prompt(name) for name in names]
    cluster.run("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    address = cluster.run("-n", "shop", "get", "service", "main-mcp", "-o", "jsonpath={.spec.clusterIP}").stdout

    async def call() -> bool:
        async with Client(f"http://{address}/mcp") as client:
            return not (await client.call_tool("search_orders", {"status": "open"})).is_error

    cluster.run("delete", "namespace", "mcp-system", "--wait=false")
    begun = time.monotonic()
    deletions: list[float] = []
    while registered(cluster):
        assert time.monotonic() - begun < SECONDS, "the webhook configurations are still there"
        before = time.monotonic()
        cluster.run("-n", NAMESPACE, "delete", "mcpprompt", names[len(deletions)], "--wait=false")
        deletions.append(time.monotonic() - before)
        refused = created(cluster)
        assert not refused or "failed calling webhook" in refused
        assert asyncio.run(call())
        time.sleep(0.5)
    print(
        f"gone after {time.monotonic() - begun:.0f} s; {len(deletions)} deletions, at most {max(deletions):.1f} s each"
    )

    assert created(cluster) == ""
    assert max(deletions) < LONGEST_DELETION
    cluster.run("delete", "namespace", NAMESPACE, "--timeout=60s")
    cluster.run("wait", "--for=delete", "namespace/mcp-system", "--timeout=90s")

    installation.install(cluster)
    cluster.run("-n", "shop", "wait", "mcpserver/main", "--for=condition=Ready", "--timeout=120s")
    installation.until("its pods are the new ones", lambda: _settled(cluster), 120)
    assert asyncio.run(call())


def uids(cluster: Cluster, *words: str) -> set[str]:
    found = json.loads(cluster.run("get", *words, "-o", "json").stdout)["items"]
    return {each["metadata"]["uid"] for each in found}


def test_who_uninstalls_the_operator_keeps_definitions_objects_namespaces_and_what_serves(cluster: Cluster) -> None:
    """The command of docs/operations/README.md."""
    kept = (
        ("crd",),
        ("mcp", "-A"),
        ("deployments,services,configmaps", "-n", "shop"),
        ("namespaces", "--field-selector=metadata.name=shop"),
    )
    before = [uids(cluster, *words) for words in kept]
    address = cluster.run("-n", "shop", "get", "service", "main-mcp", "-o", "jsonpath={.spec.clusterIP}").stdout

    async def call() -> bool:
        async with Client(f"http://{address}/mcp") as client:
            return not (await client.call_tool("search_orders", {"status": "open"})).is_error

    cluster.run("delete", "-k", str(installation.MANIFESTS / "overlays" / "dev"), "--timeout=120s")

    installation.until("the webhook configurations are gone", lambda: not registered(cluster), SECONDS)
    assert [uids(cluster, *words) for words in kept] == before
    assert all(before)
    left = cluster.run("get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=mcp-operator")
    assert left.stdout == ""
    assert asyncio.run(call())
    further = {**prompt("further"), "metadata": {"name": "further", "namespace": "shop"}}
    cluster.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(further))

    installation.install(cluster)
    installation.until("its pods are the new ones", lambda: _settled(cluster), 120)
    assert asyncio.run(call())


def _settled(cluster: Cluster) -> bool:
    server = json.loads(cluster.run("-n", "shop", "get", "mcpserver", "main", "-o", "json").stdout)
    conditions = {each["type"]: each["status"] for each in server["status"]["conditions"]}
    return conditions["Programmed"] == conditions["Ready"] == "True" and "Reconciling" not in conditions
