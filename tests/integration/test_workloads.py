"""For any spec of an MCPServer, the API server accepts every workload and stores it unchanged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cluster import client, objects, resources
from controller.planning.drift import covers
from controller.planning.plan import Apply
from tests.controller.states import planned, server, service, state, tool

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

JWT = {"issuer": "https://i.example.com", "audiences": ["a"], "jwksURL": "https://i.example.com:8443/keys"}
WISHES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "scaled": {"replicas": 3, "podDisruptionBudget": {"minAvailable": "50%"}},
    "scaled by itself": {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilization": 60}, "podDisruptionBudget": {},
        "resources": {"limits": {"memory": "1.5Gi"}},
    },
    "images": {"image": "x:1", "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "a"}, {"name": "b"}]},
    "amounts": {"resources": {"requests": {"cpu": "1000m", "memory": "0.5Gi"}, "limits": {"cpu": 2, "memory": "1G"}}},
    "redis": {
        "redis": {
            "serviceName": "redis", "port": 6380, "db": 2, "tls": {"enabled": True, "caSecretName": "ca.pem"},
            "credentialsSecretName": "login", "keyPrefix": "x:",
            "mode": "Sentinel", "sentinel": {"masterName": "m", "credentialsSecretName": "login"},
        },
    },
    "seen": {"telemetry": {"traces": {"serviceName": "collector", "sampleRatio": "1"}}},
    "exposed": {
        "service": {"type": "LoadBalancer", "port": 8443, "annotations": {"a": "b"}},
        "ingress": {"host": "a.example.com", "className": "nginx", "tlsSecretName": "t", "annotations": {"c": "d"}},
        "auth": {"type": "JWT", "jwt": JWT},
    },
    "fenced": {
        "networkPolicy": {
            "enabled": True,
            "ingressFrom": [
                {"namespaceSelector": {}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
            ],
        },
        "redis": {"serviceName": "redis"},
        "auth": {"type": "JWT", "jwt": JWT},
    },
    "placed": {
        "podTemplate": {
            "labels": {"team": "x"},
            "annotations": {"note": "y"},
            "nodeSelector": {"disk": "ssd", "node-role.kubernetes.io/worker": ""},
            "tolerations": [
                {"operator": "Exists"},
                {"key": "gpu", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 0},
            ],
            "priorityClassName": "system-cluster-critical",
            "serviceAccountName": "robot",
            "topologySpreadConstraints": [
                {"topologyKey": "zone"},
                {"topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2},
            ],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["3"]}]}],
                    },
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 5, "preference": {"matchExpressions": [{"key": "n", "operator": "Exists"}]}},
                    ],
                },
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}},
                    ],
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {}}},
                    ],
                },
            },
        },
    },
}  # fmt: skip
HEADERS = [
    {"name": "Authorization", "secretKeyRef": {"name": "a.key", "key": "k"}},
    {"name": "X-Tenant", "configMapKeyRef": {"name": "tenants", "key": "k"}},
]
SERVICES = (
    service("orders"),
    service("redis", ports=[{"port": 6379}, {"port": 6380}]),
    service("kubernetes", "default", selector=None, ports=[{"port": 443, "targetPort": 6443}]),
)


@pytest.fixture(scope="module")
def namespace(control_plane: Cluster) -> Cluster:
    control_plane.run("create", "namespace", "shop", check=False)
    return control_plane


async def apply_dry_run(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the API server would store, from a server-side apply as a dry-run."""
    transport = await client.connect(kubeconfig=cluster.kubeconfig)
    try:
        path = resources.of(manifest).path(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        query = {"fieldManager": "mcp-operator", "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
        return await transport.request("PATCH", path, query=query, body=manifest, content_type=objects.APPLY)
    finally:
        await transport.close()


@pytest.mark.parametrize("specs", WISHES.values(), ids=WISHES)
def test_every_workload_is_accepted_and_stored_unchanged(namespace: Cluster, specs: dict[str, Any]) -> None:
    made = planned(state(server("tried", **specs), tool("a", headersFrom=HEADERS), services=SERVICES))

    assert made.blocked_by is None
    applied = [dict(action.manifest) for action in made.actions if isinstance(action, Apply)]
    assert {"Deployment", "Service", "Role"} <= {wanted["kind"] for wanted in applied}
    for wanted in applied:
        stored = asyncio.run(apply_dry_run(namespace, wanted))
        assert covers(stored, wanted), (stored, wanted)
