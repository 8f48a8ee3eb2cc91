"""PURE. How clients reach the pods: the Service, and the Ingress with what its controller needs to pass streams on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.planning.state import workload_name
from controller.workloads.inputs import labels, owned_object
from crd import ways_in
from crd.models import amounts

if TYPE_CHECKING:
    from controller.workloads.inputs import Inputs, Manifest
    from crd.models.server import ServerSpec
    from crd.models.workload import Ingress

__all__ = ["has_ingress", "ingress", "service", "url"]

# A stream may be idle for longer than the minute that proxies allow by default.
IDLE_SECONDS = 3600


def service(inputs: Inputs) -> Manifest:
    """The Service in front of the pods."""
    desired = inputs.spec.service
    port = {
        "name": "http",
        "port": _port(inputs.spec),
        "targetPort": "http",
        "protocol": "TCP",
        "appProtocol": "http",
    }
    body = {
        "type": desired.type if desired else "ClusterIP",
        "selector": labels(inputs.server.ref.name),
        "ports": [port],
    }
    return owned_object(inputs, "v1", "Service", desired.annotations if desired else None, spec=body)


def url(name: str, namespace: str, spec: ServerSpec) -> str:
    """Where clients reach the MCP endpoint: from outside if there is an Ingress, else within the cluster."""
    if spec.ingress:
        scheme = "https" if spec.ingress.tls_secret_name else "http"
        return f"{scheme}://{spec.ingress.host}{spec.ingress.path_prefix}"
    port = _port(spec)
    return f"http://{workload_name(name)}.{namespace}.svc{'' if port == 80 else f':{port}'}/mcp"


def has_ingress(spec: ServerSpec) -> bool:
    """Whether the server is reachable from outside the cluster."""
    return spec.ingress is not None


def ingress(inputs: Inputs) -> Manifest:
    """The Ingress; REST paths of members are below its prefix. Raises ValueError for a spec without one."""
    desired = inputs.spec.ingress
    if desired is None:
        raise ValueError(f"{inputs.server.ref} has no ingress")
    backend = {"service": {"name": workload_name(inputs.server.ref.name), "port": {"name": "http"}}}
    paths = [{"path": desired.path_prefix, "pathType": "Prefix", "backend": backend}]
    auth = inputs.spec.auth
    if auth and auth.type == "JWT":
        about = ways_in.metadata_path(auth.resource, desired.path_prefix)
        paths.append({"path": about, "pathType": "Exact", "backend": backend})
    body: Manifest = {"rules": [{"host": desired.host, "http": {"paths": paths}}]}
    if desired.class_name:
        body["ingressClassName"] = desired.class_name
    if desired.tls_secret_name:
        body["tls"] = [{"hosts": [desired.host], "secretName": desired.tls_secret_name}]
    annotations = {**_streaming(desired, inputs.spec), **desired.annotations}
    return owned_object(inputs, "networking.k8s.io/v1", "Ingress", annotations, spec=body)


def _port(spec: ServerSpec) -> int:
    return spec.service.port if spec.service else 80


def _streaming(desired: Ingress, spec: ServerSpec) -> dict[str, str]:
    """No buffering, long idle time-outs, and requests as large as the server accepts, for each family of controllers.

    A class is of the family whose name it holds, as nginx-internal is. The cluster's default class is not known here,
    so it gets all of them: a controller leaves the annotations of the others alone.
    """
    size = str(amounts.to_bytes(spec.config.max_request_bytes))
    families = {
        # ingress-nginx, then the controller of NGINX's own makers.
        "nginx": {
            "nginx.ingress.kubernetes.io/proxy-buffering": "off",
            "nginx.ingress.kubernetes.io/proxy-read-timeout": str(IDLE_SECONDS),
            "nginx.ingress.kubernetes.io/proxy-send-timeout": str(IDLE_SECONDS),
            "nginx.ingress.kubernetes.io/proxy-body-size": size,
            "nginx.org/proxy-buffering": "False",
            "nginx.org/proxy-read-timeout": f"{IDLE_SECONDS}s",
            "nginx.org/proxy-send-timeout": f"{IDLE_SECONDS}s",
            "nginx.org/client-max-body-size": size,
        },
        # HAProxy Technologies' controller, then haproxy-ingress; neither buffers replies.
        "haproxy": {
            "haproxy.org/timeout-server": f"{IDLE_SECONDS}s",
            "haproxy-ingress.github.io/timeout-server": f"{IDLE_SECONDS}s",
        },
        # Traefik passes streams on as they come; its time-outs are set for an entry point, never by an annotation.
        "traefik": {},
    }
    name = desired.class_name
    chosen = [each for family, each in families.items() if name is None or family in name]
    return {key: value for each in chosen for key, value in each.items()}
