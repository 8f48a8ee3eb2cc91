"""PURE. The Deployment of a server. `controller.planning.plan` or an autoscaler sets the number of replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.planning.state import catalog_name
from controller.workloads import mounts, placement
from controller.workloads.inputs import labels, owned_object
from controller.workloads.rbac import account_name

if TYPE_CHECKING:
    from controller.workloads.inputs import Inputs, Manifest
    from crd.models.server import ServerSpec
    from crd.models.state import Redis
    from crd.models.telemetry import Traces

__all__ = ["HEALTH_PORT", "PORT", "deployment"]

GRACE_SECONDS = 30
DRAIN_MARGIN = 3
PORT, HEALTH_PORT = 8080, 9090
CPU_REQUEST = "50m"
# A pod with 400 tools has 90 MiB when it is ready; calls need more.
MEMORY_REQUEST = "128Mi"


def deployment(inputs: Inputs) -> Manifest:
    """The Deployment, without a number of replicas."""
    selector = labels(inputs.server.ref.name)
    body = {
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": _metadata(inputs), "spec": _pod(inputs)},
    }
    return owned_object(inputs, "apps/v1", "Deployment", spec=body)


def _metadata(inputs: Inputs) -> Manifest:
    """An author's labels beside ours; ours win, since a Deployment has to select its own pods."""
    template, own = inputs.spec.pod_template, labels(inputs.server.ref.name)
    if template is None:
        return {"labels": own}
    annotations = {"annotations": dict(template.annotations)} if template.annotations else {}
    return {"labels": {**template.labels, **own}, **annotations}


def _pod(inputs: Inputs) -> Manifest:
    server, spec = inputs.server.ref.name, inputs.spec
    pod: Manifest = {
        "serviceAccountName": account_name(server, spec),
        # The catalog is watched with the token, also where the ServiceAccount disables mounting it.
        "automountServiceAccountToken": True,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **placement.placement(server, spec.pod_template),
        "containers": [_container(inputs)],
        "volumes": [
            {"name": "catalog", "configMap": {"name": catalog_name(server)}},
            {"name": "tmp", "emptyDir": {}},
            *mounts.volumes(inputs.mounts),
        ],
    }
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in spec.image_pull_secrets]
    return pod


def _container(inputs: Inputs) -> Manifest:
    spec = inputs.spec
    container: Manifest = {
        "name": "server",
        "image": spec.image or inputs.image,
        "args": ["serve", *_arguments(inputs)],
        "ports": [
            {"name": "http", "containerPort": PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/healthz", periodSeconds=1, failureThreshold=60),
        "livenessProbe": _probe("/healthz", periodSeconds=10, timeoutSeconds=5),
        "readinessProbe": _probe("/readyz", periodSeconds=2, timeoutSeconds=2),
        "resources": _resources(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "catalog", "mountPath": "/etc/mcp/catalog", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 -- an emptyDir of the pod's own
            *mounts.volume_mounts(inputs.mounts),
        ],
    }
    if spec.telemetry and spec.telemetry.traces:
        container["env"] = _trace_environment(inputs, spec.telemetry.traces)
    if spec.image_pull_policy:
        container["imagePullPolicy"] = spec.image_pull_policy
    return container


def _trace_environment(inputs: Inputs, traces: Traces) -> list[Manifest]:
    """The variables by which the SDKs of OpenTelemetry are configured."""
    ref = inputs.server.ref
    values = {
        "OTEL_SERVICE_NAME": ref.name,
        "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={ref.namespace},k8s.namespace.name={ref.namespace},"
        "service.instance.id=$(POD_NAME),k8s.pod.name=$(POD_NAME)",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{traces.service_name}.{ref.namespace}.svc:{traces.port}/v1/traces",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": traces.sample_ratio,
    }
    pod = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}
    return [pod, *({"name": name, "value": value} for name, value in values.items())]


def _resources(spec: ServerSpec) -> Manifest:
    """An author's amounts, as they are; an autoscaler has nothing to measure by unless CPU is requested."""
    if spec.resources is None:
        return {"requests": {"cpu": CPU_REQUEST, "memory": MEMORY_REQUEST}, "limits": {"memory": "256Mi"}}
    requests, limits = dict(spec.resources.requests), dict(spec.resources.limits)
    if spec.autoscaling and "cpu" not in requests and "cpu" not in limits:
        requests["cpu"] = CPU_REQUEST
    return {name: amounts for name, amounts in (("requests", requests), ("limits", limits)) if amounts}


def _arguments(inputs: Inputs) -> list[str]:
    ref, redis = inputs.server.ref, inputs.spec.redis
    own: dict[str, Any] = {
        "--catalog-dir": "/etc/mcp/catalog",
        "--namespace": ref.namespace,
        "--config-map": catalog_name(ref.name),
        "--catalog-root": inputs.catalog_root,
        "--server-uid": inputs.server.metadata.get("uid", ""),
        "--port": PORT,
        "--health-port": HEALTH_PORT,
        "--drain-seconds": GRACE_SECONDS - DRAIN_MARGIN,
    }
    words = [str(word) for pair in own.items() for word in pair]
    words += _redis(redis, ref.namespace, f"mcp:{ref.namespace}:{ref.name}:") if redis else []
    return [*words, *inputs.arguments]


def _redis(redis: Redis, namespace: str, key_prefix: str) -> list[str]:
    """The address of Redis. Credentials are in files, which the pods read for each connection."""
    words = ["--redis-host", f"{redis.service_name}.{namespace}.svc", "--redis-port", str(redis.port)]
    if redis.db:
        words += ["--redis-db", str(redis.db)]
    if redis.mode == "Cluster":
        words.append("--redis-cluster")
    if sentinel := redis.sentinel:
        host = f"{sentinel.service_name or redis.service_name}.{namespace}.svc"
        words += ["--redis-sentinel-host", host, "--redis-sentinel-port", str(sentinel.port)]
        words += ["--redis-sentinel-master", sentinel.master_name]
        if sentinel.credentials_secret_name:
            words += ["--redis-sentinel-credentials-dir", mounts.secret_path(sentinel.credentials_secret_name)]
    if redis.tls and redis.tls.enabled:
        words.append("--redis-tls")
        if redis.tls.ca_secret_name:
            words += ["--redis-ca-file", mounts.secret_path(redis.tls.ca_secret_name, "ca.crt")]
    if redis.credentials_secret_name:
        words += ["--redis-credentials-dir", mounts.secret_path(redis.credentials_secret_name)]
    return [*words, "--key-prefix", redis.key_prefix or key_prefix]


def _probe(path: str, **more: int) -> Manifest:
    return {"httpGet": {"path": path, "port": "metrics", "scheme": "HTTP"}, **more}
