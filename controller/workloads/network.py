"""PURE. The NetworkPolicy of the pods: ingress to the MCP port, egress only to what they have to call.

A policy applies to the addresses of pods, not to the address of a Service. So it names the pods that a Service selects
and the port they listen on. The endpoints of a Service without a selector are unknown here, so egress to its ports is
allowed to every address. The same holds for the API server, whose Service has no selector, and for the URL of an
issuer's keys.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from controller.workloads import placement
from controller.workloads.deployment import HEALTH_PORT, PORT
from controller.workloads.inputs import labels, owned_object
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controller.workloads.inputs import Inputs, Manifest
    from crd.models.server import ServerSpec

__all__ = ["API_SERVER", "has_policy", "policy"]

API_SERVER = Ref(Kind.SERVICE, "default", "kubernetes")
API_PORTS = (443, 6443)
DNS_PORT = 53

# A number, or the name of a container port.
Port = int | str
# A NetworkPolicyPeer as canonical JSON; "" stands for every address.
Peer = str


def has_policy(spec: ServerSpec) -> bool:
    """Whether the spec asks for a NetworkPolicy."""
    return spec.network_policy is not None and spec.network_policy.enabled


def policy(inputs: Inputs) -> Manifest:
    """The NetworkPolicy. The operator and the kubelet use the health port, so it is open to all."""
    desired = inputs.spec.network_policy
    clients: Manifest = {"ports": [_tcp(PORT)]}
    if desired and desired.ingress_from:
        clients["from"] = [placement.plain(peer) for peer in desired.ingress_from]
    body = {
        "podSelector": {"matchLabels": labels(inputs.server.ref.name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [clients, {"ports": [_tcp(HEALTH_PORT)]}],
        "egress": [{"ports": [_port("UDP", DNS_PORT), _tcp(DNS_PORT)]}, *_egress(inputs)],
    }
    return owned_object(inputs, "networking.k8s.io/v1", "NetworkPolicy", spec=body)


def _egress(inputs: Inputs) -> list[Manifest]:
    """One rule for each peer, with all its ports. The order does not depend on the order of the backends."""
    ports_of: dict[Peer, set[Port]] = defaultdict(set)
    for peer, port in (*_to_services(inputs), *_to_api_server(inputs), *_to_issuer(inputs.spec)):
        ports_of[peer].add(port)
    return [_rule(peer, sorted(ports, key=str)) for peer, ports in sorted(ports_of.items())]


def _rule(peer: Peer, ports: list[Port]) -> Manifest:
    rule = {"ports": [_tcp(port) for port in ports]}
    return {"to": [orjson.loads(peer)], **rule} if peer else rule


def _to_services(inputs: Inputs) -> Iterator[tuple[Peer, Port]]:
    for ref, called in inputs.backends:
        service = inputs.services.get(ref)
        if service is not None:
            yield from _to_service(ref, called, service)


def _to_service(ref: Ref, called: Port, service: Mapping[str, Any]) -> Iterator[tuple[Peer, Port]]:
    spec = service.get("spec") or {}
    selector = spec.get("selector")
    for port in spec.get("ports") or ():
        if called not in (port.get("port"), port.get("name")):
            continue
        # The name of a headless Service resolves to the addresses of the pods, so nothing maps the port.
        target = port["port"] if spec.get("clusterIP") == "None" else port.get("targetPort") or port["port"]
        if selector:
            yield _pods(ref.namespace, selector), target
        else:
            yield "", port["port"]
            yield "", target


def _to_api_server(inputs: Inputs) -> Iterator[tuple[Peer, Port]]:
    """The pods watch their catalog there."""
    service = inputs.services.get(API_SERVER) or {}
    ports = (service.get("spec") or {}).get("ports") or ()
    found = [number for port in ports for number in (port["port"], port.get("targetPort") or port["port"])]
    yield from (("", number) for number in found or API_PORTS)


def _to_issuer(spec: ServerSpec) -> Iterator[tuple[Peer, Port]]:
    url = spec.auth.jwt.jwks_url if spec.auth and spec.auth.jwt else None
    if url:
        parts = urlsplit(url)
        yield "", parts.port or (443 if parts.scheme == "https" else 80)


def _pods(namespace: str, selector: Mapping[str, str]) -> Peer:
    """A peer as canonical JSON, so that it can be compared and sorted."""
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": dict(selector)},
    }
    return orjson.dumps(peer, option=orjson.OPT_SORT_KEYS).decode()


def _tcp(port: Port) -> Manifest:
    return _port("TCP", port)


def _port(protocol: str, port: Port) -> Manifest:
    return {"protocol": protocol, "port": port}
