"""The pods may be reached by whom the author names, and reach what they have to call, nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from controller.workloads import network
from crd.ref import Kind, Ref
from tests.controller.states import built, server, service

DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def tcp(*ports: int | str) -> dict[str, Any]:
    return {"ports": [{"protocol": "TCP", "port": port} for port in ports]}


def pods(namespace: str, **labels: str) -> dict[str, Any]:
    names = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return {"to": [{"namespaceSelector": names, "podSelector": {"matchLabels": labels}}]}


def policy(*calls: tuple[str, int | str], services: tuple[Any, ...] = (), spec: Any = None, **desired: Any) -> Any:
    backends = tuple((Ref(Kind.SERVICE, *key.split("/")), port) for key, port in calls)
    known = {Ref(Kind.SERVICE, s["metadata"]["namespace"], s["metadata"]["name"]): s for s in services}
    item = server(networkPolicy={"enabled": True, **desired}, **(spec or {}))
    return built(item, backends=backends, services=known)["NetworkPolicy"]["spec"]


def test_nothing_is_closed_unless_it_is_wished() -> None:
    assert "NetworkPolicy" not in built(server(networkPolicy={"enabled": False}))
    assert "NetworkPolicy" not in built(server())


def test_it_is_about_the_servers_own_pods_in_both_directions() -> None:
    found = policy()

    assert found["podSelector"] == {"matchLabels": built(server())["Deployment"]["spec"]["selector"]["matchLabels"]}
    assert found["policyTypes"] == ["Ingress", "Egress"]


def test_without_peers_everybody_may_come_in_at_the_mcp_port_and_the_health_port() -> None:
    assert policy()["ingress"] == [tcp(8080), tcp(9090)]


def test_with_peers_they_alone_may_come_in_at_the_mcp_port() -> None:
    peers = [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "agent"}}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
    ]

    assert policy(ingressFrom=peers)["ingress"] == [{**tcp(8080), "from": peers}, tcp(9090)]


def test_without_backends_they_reach_dns_and_the_api_server() -> None:
    assert policy()["egress"] == [DNS, tcp(443, 6443)]


def test_the_api_server_is_reached_where_its_service_says() -> None:
    api = service("kubernetes", "default", selector=None, ports=[{"port": 443, "targetPort": 16443}, {"port": 8132}])

    assert policy(services=(api,))["egress"] == [DNS, tcp(16443, 443, 8132)]


@pytest.mark.parametrize(
    ("changes", "port", "expected"),
    [
        ({}, 8080, {**pods("shop", app="orders"), **tcp("web")}),
        ({}, "http", {**pods("shop", app="orders"), **tcp("web")}),
        ({"ports": [{"port": 80, "targetPort": 8000}]}, 80, {**pods("shop", app="orders"), **tcp(8000)}),
        ({"ports": [{"port": 80}]}, 80, {**pods("shop", app="orders"), **tcp(80)}),
        ({"clusterIP": "None"}, 8080, {**pods("shop", app="orders"), **tcp(8080)}),
    ],
    ids=["by number", "by name", "another target", "no target", "headless"],
)
def test_a_backend_is_reached_at_its_pods(changes: dict[str, Any], port: int | str, expected: dict[str, Any]) -> None:
    found = policy(("shop/orders", port), services=(service("orders", **changes),))

    assert found["egress"][2:] == [expected]


def test_a_service_without_a_selector_leads_anywhere_by_its_ports() -> None:
    outside = service("legacy", selector=None, ports=[{"port": 80, "targetPort": 9000}])

    assert policy(("shop/legacy", 80), services=(outside,))["egress"] == [DNS, tcp(443, 6443, 80, 9000)]


@pytest.mark.parametrize(
    ("port", "services"), [(80, ()), (81, (service("orders"),))], ids=["no Service", "no such port"]
)
def test_what_does_not_exist_opens_nothing(port: int, services: Any) -> None:
    assert policy(("shop/orders", port), services=services)["egress"] == [DNS, tcp(443, 6443)]


def test_backends_in_other_namespaces_are_told_apart_and_the_order_of_calls_means_nothing() -> None:
    services = (service("orders"), service("orders", "other"))
    calls = (("shop/orders", 8080), ("other/orders", 8080), ("shop/orders", "http"))

    forward, back = (policy(*order, services=services)["egress"] for order in (calls, calls[::-1]))

    assert forward == back
    assert forward[2:] == [{**pods("other", app="orders"), **tcp("web")}, {**pods("shop", app="orders"), **tcp("web")}]


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://i.example.com/k", 443), ("http://i.shop.svc/k", 80), ("https://i.example.com:8443/k", 8443)],
)
def test_the_keys_of_an_issuer_may_be_fetched(url: str, port: int) -> None:
    jwt = {"issuer": "https://i.example.com", "audiences": ["a"], "jwksURL": url}
    api = service("kubernetes", "default", selector=None, ports=[{"port": 1, "targetPort": 1}])

    found = policy(services=(api,), spec={"auth": {"type": "JWT", "jwt": jwt}})

    assert found["egress"] == [DNS, tcp(*sorted((1, port)))]


def test_keys_in_a_secret_need_no_way_out() -> None:
    jwt = {"issuer": "https://i.example.com", "audiences": ["a"], "jwksSecretName": "keys"}

    assert policy(spec={"auth": {"type": "JWT", "jwt": jwt}})["egress"] == policy()["egress"]


def test_the_api_server_is_known_by_its_service() -> None:
    assert str(network.API_SERVER) == "Service default/kubernetes"
