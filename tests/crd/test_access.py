"""What a change demands of its requester."""

from __future__ import annotations

from typing import Any

import pytest

from crd import access
from crd.access import Demand, Right
from crd.integrity import Change
from tests.crd.rules.documents import broken, prompt, read, server, tool

KEYS = {"name": "Authorization", "secretKeyRef": {"name": "keys", "key": "token"}}
REGION = {"name": "X-Region", "configMapKeyRef": {"name": "region", "key": "region"}}


def asked(new: Any, old: Any = None) -> list[str]:
    """The demands of a change: field, verbs and objects, on a line each."""
    change = Change((new or old).ref, old, new)
    return [f"{access.format_path(demand.path)}: {line(demand)}" for demand in access.demands(change)]


def line(demand: Demand) -> str:
    assert {right.namespace for right in demand.rights} == {"shop"}
    return " or ".join(f"{r.verb} {r.resource}.{r.group} {r.name}".replace(". ", " ").rstrip() for r in demand.rights)


def calling(service: str = "orders", header: Any = KEYS, **spec: Any) -> Any:
    return tool(service={"name": service, "port": 80, "scheme": "https"}, headersFrom=[header], **spec)


SECRET = ["spec.headersFrom[0].secretKeyRef.name: get secrets keys or use secrets keys"]


def test_a_new_object_demands_every_secret_and_config_map_that_it_names() -> None:
    new = tool(
        service={"name": "orders", "port": 443, "scheme": "https"},
        headersFrom=[KEYS, REGION],
        tls={"caSecretName": "ca"},
    )

    assert asked(new) == [
        *SECRET,
        "spec.headersFrom[1].configMapKeyRef.name: get configmaps region or use configmaps region",
        "spec.tls.caSecretName: get secrets ca or use secrets ca",
    ]


def test_every_secret_of_a_server_is_demanded() -> None:
    new = server(
        redis={
            "serviceName": "redis", "credentialsSecretName": "r", "tls": {"enabled": True, "caSecretName": "c"},
            "mode": "Sentinel", "sentinel": {"masterName": "m", "credentialsSecretName": "s"},
        },
        auth={"type": "APIKey", "apiKey": {"secretName": "a"}},
        ingress={"host": "a.example.com", "tlsSecretName": "t"},
        imagePullSecrets=[{"name": "p"}],
    )  # fmt: skip

    assert [text for text in asked(new) if "secrets" in text] == [
        "spec.redis.credentialsSecretName: get secrets r or use secrets r",
        "spec.redis.tls.caSecretName: get secrets c or use secrets c",
        "spec.redis.sentinel.credentialsSecretName: get secrets s or use secrets s",
        "spec.auth.apiKey.secretName: get secrets a or use secrets a",
        "spec.ingress.tlsSecretName: get secrets t or use secrets t",
        "spec.imagePullSecrets[0].name: get secrets p or use secrets p",
    ]
    keys = {"type": "JWT", "jwt": {"issuer": "https://i.example.com", "audiences": ["a"], "jwksSecretName": "j"}}
    assert asked(server(auth=keys)) == ["spec.auth.jwt.jwksSecretName: get secrets j or use secrets j"]


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(calling("mine"), id="another Service"),
        pytest.param(calling(http={"path": "/echo"}), id="another path"),
        pytest.param(calling(header={**KEYS, "name": "X-Other"}), id="another header"),
        pytest.param(calling(header={**KEYS, "prefix": "Bearer "}), id="another prefix"),
        pytest.param(calling(tls={"insecureSkipVerify": True}), id="another way to verify"),
        pytest.param(calling(enabled=False), id="whether it is served"),
    ],
)
def test_a_change_of_what_is_sent_or_where_asks_again(new: Any) -> None:
    assert asked(new, calling()) == SECRET


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(calling(), id="nothing"),
        pytest.param(calling(title="Orders"), id="the title"),
        pytest.param(calling(description="Lists orders."), id="the description"),
        pytest.param(calling(annotations={"readOnlyHint": True}), id="hints for clients"),
    ],
)
def test_a_change_of_texts_for_clients_demands_nothing(new: Any) -> None:
    assert asked(new, calling()) == []


def test_labels_decide_which_server_sends_the_secret() -> None:
    spec = {"service": {"name": "orders", "port": 80}, "headersFrom": [KEYS]}
    old, new = (read("MCPTool", spec, labels={"app": app}) for app in ("a", "b"))

    assert asked(new, old) == SECRET
    assert asked(new, new) == []


def test_what_could_not_be_read_before_is_new() -> None:
    assert asked(calling(), broken("MCPTool", {})) == SECRET


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param(None, calling(), id="a deletion"),
        pytest.param(broken("MCPTool", {}), None, id="an object with problems"),
        pytest.param(tool(), None, id="a tool without credentials"),
        pytest.param(prompt(), None, id="a prompt"),
        pytest.param(server(), None, id="a plain server"),
        pytest.param(server(service={"type": "ClusterIP", "port": 81}), None, id="a port"),
        pytest.param(server(networkPolicy={"enabled": False}), None, id="a NetworkPolicy that is not wanted"),
        pytest.param(server(), server(image="x", ingress={"host": "a.example.com"}), id="fields that are removed"),
    ],
)
def test_nothing_is_demanded(new: Any, old: Any) -> None:
    assert asked(new, old) == []


PODS = "create pods or create deployments.apps"
WORKLOADS = [
    ({"image": "registry.example.com/a"}, f"spec.image: {PODS}"),
    ({"podTemplate": {"serviceAccountName": "deployer"}}, f"spec.podTemplate: {PODS}"),
    ({"resources": {"limits": {"cpu": "4"}}}, f"spec.resources: {PODS}"),
    ({"ingress": {"host": "a.example.com"}}, "spec.ingress: create ingresses.networking.k8s.io"),
    ({"networkPolicy": {"enabled": True}}, "spec.networkPolicy: create networkpolicies.networking.k8s.io"),
    (
        {"podDisruptionBudget": {"minAvailable": "100%"}},
        "spec.podDisruptionBudget: create poddisruptionbudgets.policy",
    ),
    ({"service": {"type": "LoadBalancer"}}, "spec.service.type: create services"),
    ({"service": {"annotations": {"a.example.com/b": "c"}}}, "spec.service.annotations: create services"),
]


@pytest.mark.parametrize(("spec", "expected"), WORKLOADS)
def test_what_kubernetes_asks_for_is_demanded(spec: dict[str, Any], expected: str) -> None:
    assert asked(server(**spec)) == [expected]
    assert asked(server(**spec), server()) == [expected]
    assert asked(server(**spec, config={"pageSize": 7}), server(**spec)) == []


def test_a_resource_identifier_changes_the_paths_of_the_ingress() -> None:
    keys = {"issuer": "https://i.example.com", "audiences": ["a"], "jwksURL": "https://i.example.com/keys"}

    def reachable(resource: str) -> Any:
        auth = {"type": "JWT", "jwt": keys, "resource": resource}
        return server(ingress={"host": "a.example.com"}, auth=auth)

    own, foreign = reachable("https://a.example.com/mcp"), reachable("https://a.example.com/other")
    assert asked(foreign, own) == ["spec.ingress: create ingresses.networking.k8s.io"]
    assert asked(own, own) == []


def test_a_server_that_is_scaled_or_renamed_for_clients_demands_nothing() -> None:
    keys = {"type": "APIKey", "apiKey": {"secretName": "a"}}

    assert asked(server(auth=keys, replicas=1, info={"title": "A"}), server(auth=keys, replicas=0)) == []
    assert asked(server(auth=keys, naming={"prefix": "x_"}), server(auth=keys)) != []


@pytest.mark.parametrize(
    ("allowed", "free"),
    [
        ("a.example.com", True),
        (" b.example.com , A.Example.com ", True),
        ("*.example.com", True),
        ("*.com", True),
        ("*", True),
        ("", False),
        ("example.com", False),
        ("*.a.example.com", False),
        ("*example.com", False),
        ("ple.com,*.other.com", False),
    ],
)
def test_a_host_is_free_if_the_list_has_it(allowed: str, free: bool) -> None:
    found = access.forbidden_host(server().ref, "a.example.com", allowed)

    assert (found is None) is free
    assert found is None or (found.reason, found.field_path) == ("HostForbidden", "spec.ingress.host")


def test_a_host_is_new_once() -> None:
    a, b = (server(ingress={"host": f"{name}.example.com", "pathPrefix": "/x"}) for name in "ab")
    plain = server()

    def host_of(new: Any, old: Any) -> str:
        return access.new_host(Change(plain.ref, old, new))

    assert [host_of(b, old) for old in (None, plain, a, b)] == ["b.example.com"] * 3 + [""]
    assert [host_of(new, a) for new in (None, plain, tool(), server(ingress={"host": "a.example.com"}))] == [""] * 4


def test_a_finding_names_user_verb_object_and_field() -> None:
    secret, config = (
        Demand(tuple(Right(verb, "", kind, "shop", "a") for verb in ("get", "use")), ("spec", "x"))
        for kind in ("secrets", "configmaps")
    )
    service = Demand((Right("create", "", "services", "shop"),), ("spec", "service", "type"))

    assert str(access.forbidden(tool().ref, secret, "jane")) == (
        'SecretForbidden: spec.x: user "jane" may neither get nor use Secret shop/a; grant one of these verbs on '
        "secrets or remove the reference"
    )
    assert "the current user may neither get nor use ConfigMap shop/a" in str(access.forbidden(tool().ref, config, ""))
    assert str(access.forbidden(tool().ref, service, "jane")) == (
        'WorkloadForbidden: spec.service.type: user "jane" may not create services in namespace shop, as '
        "spec.service.type requires; grant the verb create or remove the field"
    )
