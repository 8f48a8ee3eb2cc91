"""An operator with Roles only runs the pods of a namespace it works for, and leaves another namespace alone.

On a cluster of its own: the other tests of this folder have an operator that works for every namespace.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mcp import Client

from cli.__main__ import main
from scripts import localcluster
from scripts.localcluster import images, installation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.localcluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.long]

OVERLAY = Path(__file__).parents[2] / "manifests" / "overlays" / "namespaced"
OPERATOR, NAMESPACES, FREE = "mcp-shops", ("bank", "shop"), "market"
KINDS = "validatingwebhookconfigurations,mutatingwebhookconfigurations"


@pytest.fixture(scope="module")
def namespaced() -> Iterator[Cluster]:
    with localcluster.running("e2e-namespaced", node=True) as cluster:
        assert cluster.node, "these tests need root on Linux"
        cluster.load_image(images.operator())
        installation.definitions(cluster)
        for namespace in (OPERATOR, *NAMESPACES, FREE):
            cluster.run("create", "namespace", namespace)
        manifests = [each for each in yaml.safe_load_all(cluster.run("kustomize", str(OVERLAY)).stdout) if each]
        for each in manifests:
            if each["kind"] == "Deployment":
                each["spec"]["template"]["spec"]["containers"][0]["image"] = "localhost/mcp-operator:dev"
        apply(cluster, *manifests)
        rolled_out(cluster, "webhook")
        yield cluster


def rolled_out(cluster: Cluster, name: str) -> None:
    deployment, timeout = f"deployment/mcp-operator-{name}", f"--timeout={installation.SECONDS}s"
    cluster.run("-n", OPERATOR, "rollout", "status", deployment, timeout)


def apply(cluster: Cluster, *items: dict[str, Any]) -> None:
    cluster.run("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)}))


def ours(kind: str, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "shop"}}
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def greeting(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A server of one pod, and the prompt that it serves."""
    selector = {"matchLabels": {"app": "shop"}}
    server = ours(
        "MCPServer",
        namespace,
        "main",
        replicas=1,
        toolSelector=selector,
        imagePullPolicy="Never",
        sessions={"mode": "Stateless"},
    )
    variables = [{"name": "name", "required": True}]
    return server, ours("MCPPrompt", namespace, "greeting", template="Greet {{name}}.", variables=variables)


def refusal(cluster: Cluster, namespace: str) -> str:
    """Empty if an invalid prompt is admitted there."""
    bad = ours("MCPPrompt", namespace, "bad", template="Hello {{nobody}}.")
    return cluster.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(bad), check=False).stderr


def get(cluster: Cluster, namespace: str, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("-n", namespace, "get", *words, "-o", "json").stdout))


def test_the_shipped_roles_are_enough_to_run_a_server_and_reach_no_other_namespace(
    namespaced: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = namespaced
    words = ["registration", "--namespace", OPERATOR, "--namespaces", ",".join(NAMESPACES)]
    assert main([*words, "--kubeconfig", str(cluster.kubeconfig)]) == 0
    cluster.run("apply", "-f", "-", stdin=capsys.readouterr().out)
    installation.until("reviews of shop are answered", lambda: "UndeclaredPlaceholder" in refusal(cluster, "shop"), 60)
    # The controller that leads is ready when its canary is refused.
    rolled_out(cluster, "controller")

    apply(cluster, *greeting(FREE), *greeting("shop"))
    cluster.run("-n", "shop", "wait", "mcpserver/main", "--for=condition=Ready", "--timeout=120s")

    address = get(cluster, "shop", "service", "main-mcp")["spec"]["clusterIP"]

    async def text() -> str:
        async with Client(f"http://{address}/mcp") as client:
            found = await client.get_prompt("greeting", {"name": "Ada"})
            return str(found.messages[0].content.text)

    assert asyncio.run(text()) == "Greet Ada."
    # A change reaches the running pod.
    _, prompt = greeting("shop")
    prompt["spec"]["template"] = "Welcome {{name}}."
    apply(cluster, prompt)
    installation.until("the pod serves the change", lambda: asyncio.run(text()) == "Welcome Ada.", 30)

    assert (
        get(cluster, FREE, "deployments,services,configmaps,roles", "-l", "mcp.example.com/server=main")["items"] == []
    )
    assert "status" not in get(cluster, FREE, "mcpserver", "main")
    assert refusal(cluster, FREE) == ""
    for account in ("mcp-operator-controller", "mcp-operator-webhook"):
        who = f"--as=system:serviceaccount:{OPERATOR}:{account}"
        for namespace, expected in (("shop", "yes"), (FREE, "no")):
            answer = cluster.run(
                "auth", "can-i", "list", "mcpservers.mcp.example.com", who, "-n", namespace, check=False
            )
            assert answer.stdout.strip() == expected
        assert cluster.run("auth", "can-i", "get", "secrets", who, "-n", "shop", check=False).stdout.strip() == "no"
    logs = cluster.run(
        "-n", OPERATOR, "logs", "deployment/mcp-operator-controller", "--all-pods=true", check=False
    ).stdout
    assert "forbidden" not in logs.lower()
