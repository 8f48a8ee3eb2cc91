"""What conditions say with real pods, and what happens to objects that somebody changes by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.localcluster import Cluster, installation

pytestmark = pytest.mark.e2e

NAMESPACE = "conditions"
LABELS = {"app": "echo"}
SECONDS = 90


def manifest(kind: str, name: str, version: str = "mcp.example.com/v1alpha1", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": LABELS}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def server(name: str, **spec: Any) -> dict[str, Any]:
    return manifest("MCPServer", name, spec={"toolSelector": {"matchLabels": LABELS}, **spec})


def backend() -> list[dict[str, Any]]:
    container = {
        "name": "echo", "image": "localhost/mcp-operator:dev", "imagePullPolicy": "IfNotPresent",
        "command": ["python3.14", "/program/echo.py"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "program", "mountPath": "/program"}],
    }  # fmt: skip
    pod = {
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": "echo"}}],
        "terminationGracePeriodSeconds": 1,
    }
    template = {"metadata": {"labels": {"run": "echo"}}, "spec": pod}
    deployment = {"selector": {"matchLabels": {"run": "echo"}}, "template": template}
    service = {"selector": {"run": "echo"}, "ports": [{"port": 80, "targetPort": 8080}]}
    program = (Path(__file__).parent / "echo.py").read_text()
    return [
        manifest("ConfigMap", "echo", "v1", data={"echo.py": program}),
        manifest("Deployment", "echo", "apps/v1", spec=deployment),
        manifest("Service", "echo", "v1", spec=service),
    ]


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    cluster.run("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("-n", NAMESPACE, "get", *words, "-o", "json").stdout))


def conditions(cluster: Cluster, kind: str, name: str) -> dict[str, tuple[str, str]]:
    """Status and reason of the conditions of the present generation."""
    found = get(cluster, kind, name)
    generation = found["metadata"]["generation"]
    listed = found.get("status", {}).get("conditions", [])
    return {c["type"]: (c["status"], c["reason"]) for c in listed if c["observedGeneration"] == generation}


def becomes(cluster: Cluster, kind: str, name: str, which: str, expected: tuple[str, str] | None) -> None:
    installation.until(
        f"{kind} {name} has {which} {expected}",
        lambda: (found := conditions(cluster, kind, name)) != {} and found.get(which) == expected,
        SECONDS,
    )


def events(cluster: Cluster, name: str) -> list[str]:
    found = get(cluster, "events", "--field-selector", f"involvedObject.name={name}")["items"]
    return [each["reason"] for each in found]


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Cluster]:
    cluster.run("create", "namespace", NAMESPACE)
    service = {"name": "echo", "port": 80, "path": "/"}
    spec = {"description": "Echoes what it is sent, as a test of conditions.", "service": service}
    apply(cluster, *backend(), manifest("MCPTool", "echo", spec=spec), server("main"))
    becomes(cluster, "mcpserver", "main", "Ready", ("True", "Ready"))
    yield cluster
    cluster.run("delete", "namespace", NAMESPACE, "--wait=false")


def test_a_tool_is_ready_while_its_backend_has_an_endpoint(shop: Cluster) -> None:
    becomes(shop, "mcptool", "echo", "Ready", ("True", "Ready"))
    shop.run("-n", NAMESPACE, "scale", "deployment/echo", "--replicas=0")
    becomes(shop, "mcptool", "echo", "Ready", ("False", "NoEndpoints"))
    shop.run("-n", NAMESPACE, "scale", "deployment/echo", "--replicas=1")
    becomes(shop, "mcptool", "echo", "Ready", ("True", "Ready"))
    assert events(shop, "echo").count("Ready") == 0


def test_a_catalog_swap_changes_no_condition_and_writes_no_event(shop: Cluster) -> None:
    def since() -> set[str]:
        found = (get(shop, "mcpserver", "main"), get(shop, "mcptool", "echo"))
        return {c["lastTransitionTime"] for each in found for c in each["status"]["conditions"]}

    def served() -> bool:
        status = get(shop, "mcpserver", "main")["status"]
        return status["catalogDigest"] != digest and status["syncedReplicas"] == 1

    before, told = since(), len(events(shop, "main"))
    for number in range(5):
        digest = get(shop, "mcpserver", "main")["status"]["catalogDigest"]
        patch = {"spec": {"description": f"Echoes what it is sent, in edition {number}."}}
        shop.run("-n", NAMESPACE, "patch", "mcptool", "echo", "--type=merge", "-p", json.dumps(patch))
        installation.until("the edit is served", served, SECONDS)
    assert since() == before
    assert len(events(shop, "main")) == told


def test_a_server_whose_image_cannot_be_pulled_is_not_ready(shop: Cluster) -> None:
    apply(shop, server("main", image="localhost/there-is-none:dev"))
    becomes(shop, "mcpserver", "main", "Stalled", ("True", "ImagePullBackOff"))
    assert conditions(shop, "mcpserver", "main")["Ready"] == ("False", "ImagePullBackOff")
    assert get(shop, "mcpserver", "main")["status"]["readyReplicas"] == 1, "the pod of the former spec serves on"
    apply(shop, server("main"))
    becomes(shop, "mcpserver", "main", "Ready", ("True", "Ready"))
    assert "Stalled" not in conditions(shop, "mcpserver", "main")


def test_changes_by_hand_are_taken_back(shop: Cluster) -> None:
    port = [{"op": "replace", "path": "/spec/ports/0/port", "value": 8088}]
    shop.run("-n", NAMESPACE, "patch", "service", "main-mcp", "--type=json", "-p", json.dumps(port))
    pod = {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "containers": [
            {"name": "server", "env": [{"name": "ADDED", "value": "by hand"}], "ports": [{"containerPort": 8081}]},
            {"name": "sidecar", "image": "localhost/mcp-operator:dev"},
        ],
    }
    patch = {"spec": {"template": {"spec": pod}}}
    shop.run("-n", NAMESPACE, "patch", "deployment", "main-mcp", "-p", json.dumps(patch))

    def repaired() -> bool:
        service, spec = (
            get(shop, "service", "main-mcp"),
            get(shop, "deployment", "main-mcp")["spec"]["template"]["spec"],
        )
        (container, *others) = spec["containers"]
        ports = [each["containerPort"] for each in container["ports"]]
        return (
            [each["port"] for each in service["spec"]["ports"]] == [80]
            and not others
            and "env" not in container
            and "nodeSelector" not in spec
            and ports == [8080, 9090]
        )

    installation.until("all of it is gone", repaired, SECONDS)
    assert "Repaired" in events(shop, "main")
    becomes(shop, "mcpserver", "main", "Ready", ("True", "Ready"))


def test_a_binding_to_another_role_is_created_anew(shop: Cluster) -> None:
    binding = get(shop, "rolebinding", "main-mcp")
    shop.run("-n", NAMESPACE, "delete", "rolebinding", "main-mcp", "--wait=false")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    metadata = {each: binding["metadata"][each] for each in ("name", "namespace", "labels", "ownerReferences")}
    forged = {**binding, "metadata": metadata, "roleRef": role}
    # The controller may have been quicker.
    shop.run("create", "-f", "-", stdin=json.dumps(forged), check=False)

    def repaired() -> bool:
        found = shop.run("-n", NAMESPACE, "get", "rolebinding", "main-mcp", "-o", "json", check=False)
        return found.returncode == 0 and json.loads(found.stdout)["roleRef"]["kind"] == "Role"

    installation.until("the binding is ours again", repaired, SECONDS)


def test_a_server_is_scaled_by_its_subresource(shop: Cluster) -> None:
    shop.run("-n", NAMESPACE, "scale", "mcpserver/main", "--replicas=0")
    becomes(shop, "mcpserver", "main", "Ready", ("True", "ScaledToZero"))
    becomes(shop, "mcptool", "echo", "Ready", None)
    assert not {"Stalled", "Reconciling"} & conditions(shop, "mcpserver", "main").keys()
    shop.run("-n", NAMESPACE, "scale", "mcpserver/main", "--replicas=1")
    becomes(shop, "mcpserver", "main", "Ready", ("True", "Ready"))
    becomes(shop, "mcptool", "echo", "Ready", ("True", "Ready"))


def test_a_taken_name_stops_only_what_relies_on_it(shop: Cluster) -> None:
    apply(shop, manifest("Service", "late-mcp", "v1", spec={"ports": [{"port": 80}]}))
    apply(shop, server("late"))
    becomes(shop, "mcpserver", "late", "Ready", ("False", "NameTaken"))
    shop.run("-n", NAMESPACE, "rollout", "status", "deployment/late-mcp", "--timeout=90s")
    shop.run("-n", NAMESPACE, "delete", "service", "late-mcp")
    becomes(shop, "mcpserver", "late", "Ready", ("True", "Ready"))
    shop.run("-n", NAMESPACE, "delete", "mcpserver", "late")
