"""For the controller's tests: manifests, states of a server, and what exists once a plan was carried out."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from controller import kept
from controller.planning import plan
from controller.planning.state import Pod, Rollout, ServerState
from controller.signing import keys
from controller.workloads import children
from controller.workloads.inputs import Inputs
from crd import extraction, manifest
from crd.compiler import compilation as compiler
from crd.models.server import ServerSpec
from crd.published import catalogs, signature
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

KEYS = keys.generate(datetime(2026, 1, 1, tzinfo=UTC))
ROOT = KEYS.argument
NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"


def raw(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "generation": 3,
            "labels": {"app": "shop"},
            "resourceVersion": "1",
            **metadata,
        },
        "spec": spec,
    }


def server(name: str = "main", /, **spec: Any) -> manifest.Object:
    return manifest.decode(raw("MCPServer", name, {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec}))


def tool(ref: str, **spec: Any) -> manifest.Object:
    return manifest.decode(raw("MCPTool", ref, {"service": {"name": "orders", "port": "http"}, **spec}))


def prompt(ref: str, **spec: Any) -> manifest.Object:
    return manifest.decode(raw("MCPPrompt", ref, {"template": "Say hello.", **spec}))


def resource(ref: str, **spec: Any) -> manifest.Object:
    return manifest.decode(raw("MCPResource", ref, spec))


def service(name: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 8080, "targetPort": "web"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
        "spec": {"ports": ports, "selector": {"app": name}, **spec},
    }


def controlled_by(kind: str, uid: str) -> list[dict[str, Any]]:
    return [{"apiVersion": "apps/v1", "kind": kind, "name": "any", "uid": uid, "controller": True}]


def replica_set(server: str = "main", *, deployment: str = "", uid: str = "") -> dict[str, Any]:
    """The ReplicaSet of a server, as its Deployment makes it; see `FakeApi` for UIDs."""
    labels = {"mcp.example.com/server": server, "app.kubernetes.io/managed-by": "mcp-operator"}
    owner = deployment or f"uid-Deployment-{server}-mcp"
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "namespace": "shop",
            "name": uid or f"{server}-mcp-1",
            "uid": uid or f"uid-ReplicaSet-{server}",
            "labels": labels,
            "resourceVersion": "1",
            "ownerReferences": controlled_by("Deployment", owner),
        },
    }


def endpoint_slice(name: str = "orders", *, ready: bool | None = True) -> dict[str, Any]:
    """The EndpointSlice of a Service with one endpoint, as Kubernetes makes it."""
    labels = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": f"{name}-abcde", "labels": labels, "resourceVersion": "1"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
    }


def grant(namespace: str, kind: str = "MCPTool", source: str = "shop") -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "let-in", "namespace": namespace, "resourceVersion": "1"},
        "spec": {
            "from": [{"group": "mcp.example.com", "kind": kind, "namespace": source}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }


def state(
    item: manifest.Object,
    *members: manifest.Object,
    existing: dict[str, Any] | None = None,
    pods: tuple[Pod, ...] = (),
    services: tuple[dict[str, Any], ...] = (service("orders"),),
    others: tuple[manifest.Object, ...] = (),
    incumbents: catalogs.Catalog | None = None,
    foreign_data: bool = False,
    **further: Any,
) -> ServerState:
    """``further`` are more fields of the state. Unless one says otherwise, the Deployment has replaced all its pods."""
    facts = [found.fact for found in (item, *members, *others) if found.fact]
    known = {fact.ref: raw for raw in services for fact in [extraction.service_fact(raw)]}
    snapshot = Snapshot.of([*facts, *map(extraction.service_fact, services)]).mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
    readable = isinstance(item.spec, ServerSpec)
    compilation = compiler.compile_server(item, members, snapshot, incumbents) if readable else None
    stored = dict(existing or {})
    digest = None
    if "ConfigMap" in stored:
        found = kept.keep_catalog(stored["ConfigMap"], (), "", KEYS.public, None)
        digest = found.published.digest if found and found.published else None
        stored["ConfigMap"] = {k: v for k, v in stored["ConfigMap"].items() if k not in ("data", "binaryData")}
    further = {"rollout": Rollout(True, len(pods), len(pods), len(pods), is_late=False), **further}
    return ServerState(
        item, snapshot, compilation, digest, foreign_data, stored, pods, known, "operator:1", ROOT, NOW, **further
    )


def planned(given: ServerState) -> plan.Plan:
    return plan.plan_server(given)


def carried_out(made: plan.Plan, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the API server would hold afterwards, by kind."""
    stored = copy.deepcopy(before or {})
    for action in made.actions:
        kind = action.manifest["kind"]
        if isinstance(action, plan.Remove):
            del stored[kind]
        elif isinstance(action, plan.Scale):
            stored[kind]["spec"]["replicas"] = action.manifest["spec"]["replicas"]
        else:
            replicas = {"replicas": stored[kind]["spec"]["replicas"]} if kind == "Deployment" and kind in stored else {}
            manifest = signed(action) if isinstance(action, plan.Publish) else action.manifest
            metadata = {**manifest["metadata"], "resourceVersion": "1", "uid": "x"}
            stored[kind] = copy.deepcopy({**manifest, "metadata": metadata, "status": {}})
            if "spec" in stored[kind]:
                stored[kind]["spec"] = {**replicas, **stored[kind]["spec"]}
    return stored


def signed(action: plan.Publish, version: int = 1) -> dict[str, Any]:
    """The ConfigMap of a catalog as the controller writes it."""
    manifest = dict(action.manifest)
    uid = manifest["metadata"]["ownerReferences"][0]["uid"]
    envelope = KEYS.sign(server_uid=uid, version=version, name=action.name, content=action.content)
    manifest["data"] = {**manifest.get("data", {}), signature.FILE: envelope}
    fields = {
        f"f:{section}": {f"f:{key}": {} for key in manifest.get(section, ())} for section in ("data", "binaryData")
    }
    entry = {"manager": "mcp-operator", "operation": "Update", "fieldsV1": fields}
    return {**manifest, "metadata": {**manifest["metadata"], "managedFields": [entry]}}


def built(item: manifest.Object, **more: Any) -> dict[str, dict[str, Any]]:
    """The workloads of a server, by kind."""
    assert isinstance(item.spec, ServerSpec), item.problems
    made = Inputs(item, item.spec, "operator:1", ROOT, **more)
    return {found["kind"]: found for found in children.manifests(made, children.desired(item.spec))}


def pod_of(workloads: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return dict(workloads["Deployment"]["spec"]["template"]["spec"])


def secret(name: str) -> Ref:
    return Ref(Kind.SECRET, "shop", name)
