"""PURE. How clients reach the pods: the Service, and the Ingress with what its controller needs to pass streams on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from controller.planning.state import workload_name
from controller.workloads.blueprint import frame, labels
from crd.models import amounts

if TYPE_CHECKING:
    from controller.workloads.blueprint import Blueprint, Manifest
    from crd.models.server import ServerSpec
    from crd.models.workload import Ingress

__all__ = ["has_ingress", "ingress", "service", "url"]

# A stream is silent between events for longer than the minute that proxies bear by default.
IDLE_SECONDS = 3600
# RFC 9728, section 3.1: the metadata of a protected resource stands at the root of the host, followed by its path.
METADATA_PATH = "/.well-known/oauth-protected-resource"


def service(blueprint: Blueprint) -> Manifest:
    """The Service in front of the pods."""
    wanted = blueprint.spec.service
    port = {
        "name": "http",
        "port": _port(blueprint.spec),
        "targetPort": "http",
        "protocol": "TCP",
        "appProtocol": "http",
    }
    body = {
        "type": wanted.type if wanted else "ClusterIP",
        "selector": labels(blueprint.server.ref.name),
        "ports": [port],
    }
    return frame(blueprint, "v1", "Service", wanted.annotations if wanted else None, spec=body)


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


def ingress(blueprint: Blueprint) -> Manifest:
    """The Ingress; the doors of its members lie below the prefix. Raises ValueError where none is wished."""
    wanted = blueprint.spec.ingress
    if wanted is None:
        raise ValueError(f"{blueprint.server.ref} has no ingress")
    backend = {"service": {"name": workload_name(blueprint.server.ref.name), "port": {"name": "http"}}}
    paths = [{"path": wanted.path_prefix, "pathType": "Prefix", "backend": backend}]
    auth = blueprint.spec.auth
    if auth and auth.type == "JWT":
        # The author's identifier may name another path than the endpoint has here, behind a proxy that rewrites it.
        about = urlsplit(auth.resource).path.rstrip("/") if auth.resource else wanted.path_prefix
        paths.append({"path": f"{METADATA_PATH}{about}", "pathType": "Exact", "backend": backend})
    body: Manifest = {"rules": [{"host": wanted.host, "http": {"paths": paths}}]}
    if wanted.class_name:
        body["ingressClassName"] = wanted.class_name
    if wanted.tls_secret_name:
        body["tls"] = [{"hosts": [wanted.host], "secretName": wanted.tls_secret_name}]
    annotations = {**_streaming(wanted, blueprint.spec), **wanted.annotations}
    return frame(blueprint, "networking.k8s.io/v1", "Ingress", annotations, spec=body)


def _port(spec: ServerSpec) -> int:
    return spec.service.port if spec.service else 80


def _streaming(wanted: Ingress, spec: ServerSpec) -> dict[str, str]:
    """Nothing buffered, silence borne, and requests as large as the server takes them, family by family.

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
    name = wanted.class_name
    chosen = [each for family, each in families.items() if name is None or family in name]
    return {key: value for each in chosen for key, value in each.items()}
