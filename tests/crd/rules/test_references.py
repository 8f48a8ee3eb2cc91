"""What an object names is there and may be used; what is absent only warns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crd.facts import BackendRef, Fact, GrantFact, MemberFact, Mount, NameFact, ServerFact, ServiceFact
from crd.ref import Kind, Ref
from crd.rules import references
from crd.selector import Selector
from crd.snapshot import Snapshot
from tests.crd.rules.documents import findings_of

AT = ("spec", "service")
ORDERS = Ref(Kind.SERVICE, "shop", "orders")
ABROAD = Ref(Kind.SERVICE, "other", "orders")
HTTP = (("http", 80), ("", 81))


def member(service: Ref = ORDERS, port: int | str = 80, kind: Kind = Kind.TOOL, **fields: Any) -> MemberFact:
    backends = fields.pop("backends", (BackendRef(service, port, AT),))
    return MemberFact(Ref(kind, "shop", "a"), {}, "", "", (), backends, **fields)


def server(**fields: Any) -> ServerFact:
    return ServerFact(Ref(Kind.SERVER, "shop", "main"), Selector(), **fields)


def service(ref: Ref = ORDERS, kind: str = "ClusterIP", ports: tuple[tuple[str, int], ...] = HTTP) -> ServiceFact:
    return ServiceFact(ref, kind, ports)


def grant(*kinds: str, namespace: str = "shop", targets: frozenset[str] | None = None, where: str = "other") -> Fact:
    return GrantFact(Ref(Kind.GRANT, where, "g"), frozenset((kind, namespace) for kind in kinds), targets)


def lines(fact: MemberFact | ServerFact, *there: Fact) -> list[str]:
    return findings_of(references.backends(Snapshot.of(there), fact))


@pytest.mark.parametrize("port", [80, 81, "http"])
@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_a_service_with_the_port(port: int | str, kind: str) -> None:
    assert lines(member(port=port), service(kind=kind)) == []


def test_a_service_that_is_not_there() -> None:
    assert lines(member(), service(Ref(Kind.SERVICE, "shop", "order"))) == [
        (
            "warning ServiceMissing: spec.service: Service shop/orders does not exist, so calls "
            "fail; create it or correct spec.service"
        )
    ]
    collector = BackendRef(Ref(Kind.SERVICE, "shop", "c"), 4318, ("spec", "telemetry", "traces"))
    assert lines(server(backends=(collector,))) == [
        (
            "warning ServiceMissing: spec.telemetry.traces: Service shop/c does not exist, so traces are lost; "
            "create it or correct spec.telemetry.traces"
        )
    ]
    redis = BackendRef(Ref(Kind.SERVICE, "shop", "redis"), 6379, ("spec", "redis"))
    assert lines(server(backends=(redis,))) == [
        (
            "warning ServiceMissing: spec.redis: Service shop/redis does not exist, so sessions and "
            "rate limits fail; create it or correct spec.redis"
        )
    ]


def test_a_service_that_leads_out_of_the_cluster() -> None:
    assert lines(member(port=82), service(kind="ExternalName")) == [
        (
            "error ServiceExternalName: spec.service: Service shop/orders has type ExternalName, "
            "which resolves to a host outside the cluster; use a Service that selects pods"
        )
    ]


def test_a_service_with_an_endpoint_that_must_not_be_called() -> None:
    led_astray = replace(service(), forbidden="fd00:ec2::254 (a metadata address)")

    assert lines(member(port=82), led_astray) == [
        (
            "error EndpointForbidden: spec.service: Service shop/orders has the endpoint fd00:ec2::254 (a metadata "
            "address), which must not be called; remove it from the EndpointSlices of the Service"
        )
    ]


def test_the_endpoints_of_another_namespace_are_not_named_without_a_grant() -> None:
    (line,) = lines(member(service=ABROAD), replace(service(ABROAD), forbidden="::1 (a loopback address)"))
    assert "CrossNamespaceDenied" in line
    assert "::1" not in line


MANY = tuple((f"p{n}", n) for n in range(1, 7))


@pytest.mark.parametrize(
    ("port", "ports", "said"),
    [
        (82, HTTP, "has no port 82; use one of its ports: 80 (http), 81"),
        ("grpc", HTTP, 'has no port "grpc"; use one of its ports: 80 (http), 81'),
        (80, (), "has no port 80; it has no ports; add one"),
        (7, MANY, "has no port 7; use one of its ports: 1 (p1), 2 (p2), 3 (p3), 4 (p4), 5 (p5)"),
    ],
)
def test_a_service_without_the_port(port: int | str, ports: tuple[tuple[str, int], ...], said: str) -> None:
    assert lines(member(port=port), service(ports=ports)) == [
        f"warning ServicePortMissing: spec.service.port: Service shop/orders {said}"
    ]


DENIED = (
    "error CrossNamespaceDenied: spec.service.namespace: Service other/orders is in another "
    "namespace, and no ReferenceGrant there allows {0}s of namespace shop to call it; create "
    "one there or use a Service in shop"
)


@pytest.mark.parametrize(
    ("kind", "there", "allowed"),
    [
        pytest.param(Kind.TOOL, [], False, id="no grant"),
        pytest.param(Kind.TOOL, [grant("MCPTool")], True, id="a grant for all Services"),
        pytest.param(Kind.TOOL, [grant("MCPResource")], False, id="a grant for another kind"),
        pytest.param(Kind.RESOURCE, [grant("MCPTool", "MCPResource")], True, id="a grant for two kinds"),
        pytest.param(Kind.TOOL, [grant("MCPTool", namespace="elsewhere")], False, id="a grant for another namespace"),
        pytest.param(Kind.TOOL, [grant("MCPTool", where="shop")], False, id="a grant in its own namespace"),
        pytest.param(Kind.TOOL, [grant("MCPTool", targets=frozenset({"orders"}))], True, id="a grant for the Service"),
        pytest.param(Kind.TOOL, [grant("MCPTool", targets=frozenset({"x"}))], False, id="a grant for another Service"),
        pytest.param(Kind.TOOL, [grant("MCPTool", targets=frozenset())], False, id="a grant for no Service"),
    ],
)
def test_a_service_of_another_namespace(kind: Kind, there: list[Fact], allowed: bool) -> None:
    found = lines(member(ABROAD, kind=kind), service(ABROAD), *there)
    assert found == ([] if allowed else [DENIED.format(kind)])


@pytest.mark.parametrize(
    "there",
    [
        pytest.param([], id="no Service"),
        pytest.param([service(ABROAD, ports=())], id="a Service without the port"),
        pytest.param([service(ABROAD, kind="ExternalName")], id="a Service that leads out of the cluster"),
    ],
)
def test_a_denial_does_not_reveal_what_exists_in_another_namespace(there: list[Fact]) -> None:
    found = list(references.backends(Snapshot.of(there), member(ABROAD)))
    assert findings_of(found) == [DENIED.format(Kind.TOOL)]
    assert {finding.subject for finding in found} == {("other/orders",)}
    assert {finding.related for finding in found} == {(ABROAD,)}


def test_each_backend_is_told_at_its_field() -> None:
    at = [("spec", "operations", index, "service") for index in range(2)]
    both = member(backends=(BackendRef(ORDERS, 80, at[0]), BackendRef(ORDERS, 99, at[1])), kind=Kind.RESOURCE)
    found = list(references.backends(Snapshot.of([service()]), both))
    assert [(finding.field_path, finding.subject) for finding in found] == [
        ("spec.operations[1].service.port", ("shop/orders", "99"))
    ]


SECRET = Mount(Ref(Kind.SECRET, "shop", "keys"), ("spec", "headersFrom", 0, "secretKeyRef", "name"))
CONFIG = Mount(Ref(Kind.CONFIG_MAP, "shop", "region"), ("spec", "headersFrom", 1, "configMapKeyRef", "name"))


def test_a_secret_and_a_config_map_that_are_not_there() -> None:
    mounting = member(mounts=(SECRET, CONFIG))
    assert findings_of(references.mounts(Snapshot(), mounting)) == [
        (
            "warning SecretMissing: spec.headersFrom[0].secretKeyRef.name: Secret shop/keys does not "
            "exist, so calls fail; create it or correct spec.headersFrom[0].secretKeyRef.name"
        ),
        (
            "warning SecretMissing: spec.headersFrom[1].configMapKeyRef.name: ConfigMap shop/region "
            "does not exist, so calls fail; create it or correct "
            "spec.headersFrom[1].configMapKeyRef.name"
        ),
    ]
    (first, _) = references.mounts(Snapshot(), mounting)
    assert (first.subject, first.related) == (("Secret shop/keys",), (SECRET.ref,))


def test_what_is_there_or_cannot_be_listed_is_not_missing() -> None:
    mounting = server(mounts=(SECRET, CONFIG))
    there = Snapshot.of([NameFact(SECRET.ref), NameFact(CONFIG.ref)])
    assert findings_of(references.mounts(there, mounting)) == []
    blind = Snapshot().mark_unknown(Kind.SECRET)
    assert [f.related for f in references.mounts(blind, mounting)] == [(CONFIG.ref,)]
    assert findings_of(references.mounts(Snapshot().mark_unknown(Kind.SECRET, Kind.CONFIG_MAP), mounting)) == []
    assert findings_of(references.mounts(blind.put(service()).drop(ORDERS), server(mounts=(SECRET,)))) == []
