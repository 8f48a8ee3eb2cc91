"""PURE. The Kubernetes objects that one MCPServer is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.world import catalog_name, workload_name
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.manifest import Object
    from crd.models.server import ServerSpec

__all__ = ["MANAGED_BY", "SERVER_LABEL", "labels", "manifests", "owner"]

SERVER_LABEL = f"{GROUP}/server"
MANAGED_BY = {"app.kubernetes.io/managed-by": "mcp-operator"}
GRACE_SECONDS = 30
DRAIN_MARGIN = 3
PORT, HEALTH_PORT = 8080, 9090


def labels(server: str) -> dict[str, str]:
    """The labels of everything that belongs to a server."""
    return {
        "app.kubernetes.io/name": "mcp-server",
        "app.kubernetes.io/instance": server,
        **MANAGED_BY,
        SERVER_LABEL: server,
    }


def owner(server: Object) -> dict[str, Any]:
    """The owner reference that makes the garbage collector remove what belongs to the server."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": Kind.SERVER.value,
        "name": server.ref.name,
        "uid": server.metadata.get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def manifests(server: Object, spec: ServerSpec, image: str) -> list[dict[str, Any]]:
    """Everything but the catalog, in the order in which it is needed."""
    result = [
        _account(server),
        _role(server),
        _binding(server),
        _deployment(server, spec, spec.image or image),
        _service(server),
    ]
    return [*result, _ingress(server, spec)] if spec.ingress else result


def _manifest(server: Object, api_version: str, kind: str, **members: Any) -> dict[str, Any]:
    metadata = {
        "namespace": server.ref.namespace,
        "name": workload_name(server.ref.name),
        "labels": labels(server.ref.name),
        "ownerReferences": [owner(server)],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **members}


def _account(server: Object) -> dict[str, Any]:
    return _manifest(server, "v1", "ServiceAccount", automountServiceAccountToken=True)


def _role(server: Object) -> dict[str, Any]:
    """Read one ConfigMap, by name; nothing else."""
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [catalog_name(server.ref.name)],
        "verbs": ["get", "list", "watch"],
    }
    return _manifest(server, "rbac.authorization.k8s.io/v1", "Role", rules=[rule])


def _binding(server: Object) -> dict[str, Any]:
    name = workload_name(server.ref.name)
    return _manifest(
        server,
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": server.ref.namespace}],
    )


def _service(server: Object) -> dict[str, Any]:
    port = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
    return _manifest(server, "v1", "Service", spec={"selector": labels(server.ref.name), "ports": [port]})


def _ingress(server: Object, spec: ServerSpec) -> dict[str, Any]:
    wanted = spec.ingress
    if wanted is None:
        raise ValueError(f"{server.ref} has no ingress")
    backend = {"service": {"name": workload_name(server.ref.name), "port": {"name": "http"}}}
    paths = [{"path": wanted.path_prefix, "pathType": "Prefix", "backend": backend}]
    body: dict[str, Any] = {"rules": [{"host": wanted.host, "http": {"paths": paths}}]}
    if wanted.tls_secret_name:
        body["tls"] = [{"hosts": [wanted.host], "secretName": wanted.tls_secret_name}]
    return _manifest(server, "networking.k8s.io/v1", "Ingress", spec=body)


def _deployment(server: Object, spec: ServerSpec, image: str) -> dict[str, Any]:
    selector = labels(server.ref.name)
    body = {
        "replicas": spec.replicas,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": selector}, "spec": _pod(server, spec, image)},
    }
    return _manifest(server, "apps/v1", "Deployment", spec=body)


def _pod(server: Object, spec: ServerSpec, image: str) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "serviceAccountName": workload_name(server.ref.name),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels(server.ref.name)},
            }
        ],
        "containers": [_container(server, spec, image)],
        "volumes": [
            {"name": "catalog", "configMap": {"name": catalog_name(server.ref.name)}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in spec.image_pull_secrets]
    return pod


def _container(server: Object, spec: ServerSpec, image: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "server",
        "image": image,
        "args": _arguments(server, spec),
        "ports": [
            {"name": "http", "containerPort": PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/healthz", periodSeconds=1, failureThreshold=60),
        "livenessProbe": _probe("/healthz", periodSeconds=10, timeoutSeconds=5),
        "readinessProbe": _probe("/readyz", periodSeconds=2, timeoutSeconds=2),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "catalog", "mountPath": "/etc/mcp/catalog", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 -- an emptyDir of the pod's own
        ],
    }
    if spec.image_pull_policy:
        container["imagePullPolicy"] = spec.image_pull_policy
    return container


def _arguments(server: Object, spec: ServerSpec) -> list[str]:
    arguments: Mapping[str, object] = {
        "--catalog-dir": "/etc/mcp/catalog",
        "--namespace": server.ref.namespace,
        "--config-map": catalog_name(server.ref.name),
        "--port": PORT,
        "--health-port": HEALTH_PORT,
        "--drain-seconds": GRACE_SECONDS - DRAIN_MARGIN,
    }
    if spec.redis:
        arguments = {
            **arguments,
            "--redis-host": f"{spec.redis.service_name}.{server.ref.namespace}.svc",
            "--redis-port": spec.redis.port,
            "--key-prefix": f"mcp:{server.ref.namespace}:{server.ref.name}:",
        }
    return ["serve", *(str(word) for pair in arguments.items() for word in pair)]


def _probe(path: str, **more: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "metrics", "scheme": "HTTP"}, **more}
