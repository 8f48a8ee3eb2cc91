"""What a catalog keeps: of servers and members by every field that names something, and of foreign objects."""

from __future__ import annotations

from typing import Any

import pytest

from crd import extraction, manifest
from crd.facts import BackendRef, Claim, Fact, GrantFact, MemberFact, Mount, NameFact, ServerFact, ServiceFact, Space
from crd.finding import format_path
from crd.ref import Kind, Ref
from crd.selector import Operator, Requirement, Selector
from crd.ways_in import METADATA_PATH, WaysIn

SERVICE = {"name": "orders", "port": 80}
JWT = {"type": "JWT", "jwt": {"issuer": "https://i", "audiences": ["a"], "jwksURL": "https://i/keys"}}
META = {"name": "a", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z"}


def fact(kind: str, spec: dict[str, Any]) -> Any:
    item = manifest.decode({"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": META, "spec": spec})
    assert item.problems == ()
    return item.fact


def server(**spec: Any) -> ServerFact:
    found = fact("MCPServer", {"toolSelector": {"selectAll": True}, **spec})
    assert isinstance(found, ServerFact)
    return found


def tool(**spec: Any) -> MemberFact:
    found = fact("MCPTool", {"service": SERVICE, **spec})
    assert isinstance(found, MemberFact)
    return found


def resource(**spec: Any) -> MemberFact:
    found = fact("MCPResource", spec)
    assert isinstance(found, MemberFact)
    return found


def test_an_object_that_is_being_deleted_claims_nothing() -> None:
    metadata = {**META, "deletionTimestamp": "2026-01-03T00:00:00Z", "labels": {"app": "shop"}}
    specs: dict[str, dict[str, Any]] = {
        "MCPTool": {"service": SERVICE, "ingressPath": "/a"},
        "MCPPrompt": {"template": "x"},
        "MCPResource": {"content": {"uri": "a:b", "text": ""}},
    }
    for kind, spec in specs.items():
        raw = {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        found = manifest.decode(raw).fact
        assert isinstance(found, MemberFact)
        assert (found.deleting, found.claims, found.places, found.weight) == (True, (), (), 0)
    assert tool().deleting is False
    spec = {"toolSelector": {"selectAll": True}}
    raw = {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPServer", "metadata": metadata, "spec": spec}
    found = manifest.decode(raw).fact
    assert isinstance(found, ServerFact)
    assert (found.deleting, server().deleting) == (True, False)


def mounts(found: MemberFact | ServerFact) -> list[tuple[str, str]]:
    return [(str(mount.ref), format_path(mount.path)) for mount in found.mounts]


def test_a_server_that_says_nothing_more_than_whom_it_selects() -> None:
    assert server() == ServerFact(
        Ref(Kind.SERVER, "shop", "a"), Selector(select_all=True), uid="u", created="2026-01-02T03:04:05Z"
    )


@pytest.mark.parametrize(
    ("spec", "member", "value"),
    [
        ({"integrity": "Strict"}, "strict", True),
        ({"integrity": "Standard"}, "strict", False),
        ({"naming": {"onConflict": "PreferIncumbent"}}, "prefer_incumbent", True),
        ({"naming": {"onConflict": "Reject"}}, "prefer_incumbent", False),
        ({"naming": {"prefix": "x_"}}, "prefix", "x_"),
        ({"naming": {}}, "prefix", ""),
        ({"config": {"requestTimeout": "1m"}}, "request_timeout", 60.0),
        ({"rateLimits": {"tools": {"b": {"requests": 1}, "a": {"requests": 1}}}}, "limited", ("a", "b")),
        ({"rateLimits": {}}, "limited", ()),
        ({"ingress": {"host": "h", "pathPrefix": "/x"}}, "ways_in", WaysIn("h", "/x", f"{METADATA_PATH}/x")),
        ({"ingress": {"host": "h"}}, "ways_in", WaysIn("h", "/mcp", f"{METADATA_PATH}/mcp")),
        (
            {"ingress": {"host": "h"}, "auth": {**JWT, "resource": "https://h/x/"}},
            "ways_in",
            WaysIn("h", "/mcp", f"{METADATA_PATH}/x"),
        ),
        (
            {"ingress": {"host": "h"}, "auth": {"resource": "https://h/x/"}},
            "ways_in",
            WaysIn("h", "/mcp", f"{METADATA_PATH}/mcp"),
        ),
        (
            {"redis": {"serviceName": "r", "port": 7}},
            "backends",
            (BackendRef(Ref(Kind.SERVICE, "shop", "r"), 7, ("spec", "redis")),),
        ),
        (
            {"redis": {"serviceName": "r", "mode": "Sentinel", "sentinel": {"masterName": "m"}}},
            "backends",
            (
                BackendRef(Ref(Kind.SERVICE, "shop", "r"), 6379, ("spec", "redis")),
                BackendRef(Ref(Kind.SERVICE, "shop", "r"), 26379, ("spec", "redis", "sentinel")),
            ),
        ),
        (
            {
                "redis": {
                    "serviceName": "r",
                    "mode": "Sentinel",
                    "sentinel": {"masterName": "m", "serviceName": "s", "port": 5},
                },
            },
            "backends",
            (
                BackendRef(Ref(Kind.SERVICE, "shop", "r"), 6379, ("spec", "redis")),
                BackendRef(Ref(Kind.SERVICE, "shop", "s"), 5, ("spec", "redis", "sentinel")),
            ),
        ),
        (
            {"telemetry": {"traces": {"serviceName": "c"}}},
            "backends",
            (BackendRef(Ref(Kind.SERVICE, "shop", "c"), 4318, ("spec", "telemetry", "traces")),),
        ),
        ({"telemetry": {}}, "backends", ()),
        ({"promptSelector": {"selectAll": True}}, "prompt_selector", Selector(select_all=True)),
        (
            {"resourceSelector": {"matchLabels": {"a": "b"}}},
            "resource_selector",
            Selector((Requirement("a", Operator.IN, frozenset({"b"})),)),
        ),
    ],
)
def test_what_is_kept_of_a_server(spec: dict[str, Any], member: str, value: Any) -> None:
    assert getattr(server(**spec), member) == value


def test_the_selector_in_force_for_each_kind() -> None:
    own = Selector((Requirement("a", Operator.IN, frozenset({"b"})),))
    plain = server()
    assert [plain.selector_of(kind) for kind in (Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)] == [plain.selector] * 3
    prompts = server(promptSelector={"matchLabels": {"a": "b"}})
    assert prompts.selector_of(Kind.PROMPT) == own
    assert prompts.selector_of(Kind.RESOURCE) == prompts.selector_of(Kind.TOOL) == prompts.selector
    resources = server(resourceSelector={"matchLabels": {"a": "b"}})
    assert resources.selector_of(Kind.RESOURCE) == own
    assert resources.selector_of(Kind.PROMPT) == resources.selector_of(Kind.TOOL) == resources.selector


JWT = {"issuer": "https://i", "audiences": ["a"]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"redis": {"serviceName": "r"}, "auth": {}, "ingress": {"host": "h"}}, []),
        ({"redis": {"serviceName": "r", "tls": {"enabled": True}}}, []),
        (
            {
                "redis": {
                    "serviceName": "r",
                    "credentialsSecretName": "c",
                    "tls": {"enabled": True, "caSecretName": "ca"},
                }
            },
            [
                ("Secret shop/c", "spec.redis.credentialsSecretName"),
                ("Secret shop/ca", "spec.redis.tls.caSecretName"),
            ],
        ),
        (
            {
                "redis": {
                    "serviceName": "r",
                    "mode": "Sentinel",
                    "sentinel": {"masterName": "m", "credentialsSecretName": "s"},
                },
            },
            [("Secret shop/s", "spec.redis.sentinel.credentialsSecretName")],
        ),
        (
            {"auth": {"type": "APIKey", "apiKey": {"secretName": "k"}}},
            [("Secret shop/k", "spec.auth.apiKey.secretName")],
        ),
        (
            {"auth": {"type": "JWT", "jwt": {**JWT, "jwksSecretName": "j"}}},
            [("Secret shop/j", "spec.auth.jwt.jwksSecretName")],
        ),
        ({"auth": {"type": "JWT", "jwt": {**JWT, "jwksURL": "https://k"}}}, []),
        ({"ingress": {"host": "h", "tlsSecretName": "t"}}, [("Secret shop/t", "spec.ingress.tlsSecretName")]),
    ],
)
def test_what_a_server_mounts(spec: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert mounts(server(**spec)) == expected


CREDENTIALS = {
    "headersFrom": [
        {"name": "X-A", "configMapKeyRef": {"name": "c", "key": "k"}},
        {"name": "X-B", "secretKeyRef": {"name": "s", "key": "k"}},
    ],
    "service": {**SERVICE, "scheme": "https"},
    "tls": {"caSecretName": "ca"},
}


def test_what_a_member_mounts() -> None:
    expected = [
        ("ConfigMap shop/c", "spec.headersFrom[0].configMapKeyRef.name"),
        ("Secret shop/s", "spec.headersFrom[1].secretKeyRef.name"),
        ("Secret shop/ca", "spec.tls.caSecretName"),
    ]
    assert mounts(tool(**CREDENTIALS)) == expected
    assert mounts(resource(uri="urn:a", http={}, **CREDENTIALS)) == expected
    assert mounts(tool(service={**SERVICE, "scheme": "https"}, tls={})) == []
    assert tool().mounts == fact("MCPPrompt", {"template": "t"}).mounts == ()


def test_a_mount_says_its_kind_and_field() -> None:
    first, *_ = tool(**CREDENTIALS).mounts
    path = ("spec", "headersFrom", 0, "configMapKeyRef", "name")
    assert first == Mount(Ref(Kind.CONFIG_MAP, "shop", "c"), path)


@pytest.mark.parametrize(
    ("place", "claim"),
    [
        ({"uri": "urn:a"}, ("urn:a", "spec.uri")),
        ({"uriTemplate": "shop://{a}"}, ("shop://{a}", "spec.uriTemplate")),
    ],
)
def test_a_resource_that_a_get_answers(place: dict[str, Any], claim: tuple[str, str]) -> None:
    found = resource(http={}, service=SERVICE, timeout="2s", **place)
    assert found.claims == (Claim(Space.URI, claim[0]),)
    assert format_path(found.places[0]) == claim[1]
    assert found.backends == (BackendRef(Ref(Kind.SERVICE, "shop", "orders"), 80, ("spec", "service")),)
    assert found.timeout == 2.0
    assert found.served_name is None


def test_a_disabled_tool_claims_and_weighs_nothing() -> None:
    off = tool(enabled=False, ingressPath="/a", description="d" * 100)
    assert (off.claims, off.places, off.weight, off.served_name) == ((), (), 0, None)
    assert off.backends == tool().backends
    on = tool(ingressPath="/a", description="d" * 100)
    assert on.weight > 0
    assert on.served_name == "a"


def test_the_time_and_the_name_of_a_member() -> None:
    assert (tool(timeout="1m").timeout, tool().timeout) == (60.0, 0.0)
    assert fact("MCPPrompt", {"template": "t", "name": "p"}).served_name == "p"
    assert fact("MCPPrompt", {"template": "t"}).timeout == 0.0


def test_seniority() -> None:
    elder = MemberFact(Ref(Kind.TOOL, "shop", "b"), {}, "2", "2026-01-01T00:00:00Z", (), ())
    unstored = MemberFact(Ref(Kind.TOOL, "shop", "a"), {}, "1", "", (), ())
    assert elder.seniority < unstored.seniority
    assert server().seniority == ("2026-01-02T03:04:05Z", Ref(Kind.SERVER, "shop", "a"), "u")
    assert ServerFact(Ref(Kind.SERVER, "shop", "a"), Selector()).seniority[0] == "9999"


def foreign(version: str, kind: str, spec: Any = None, **metadata: Any) -> dict[str, Any]:
    named = {"name": "x", "namespace": "other", **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": named, "spec": spec}


GATEWAY = "gateway.networking.k8s.io/v1beta1"
OURS = "mcp.example.com"
FROM_SHOP = [{"group": OURS, "kind": "MCPTool", "namespace": "shop"}]


def grant(sources: list[tuple[str, str]], targets: frozenset[str] | None) -> GrantFact:
    return GrantFact(Ref(Kind.GRANT, "other", "x"), frozenset(sources), targets)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(foreign("v1", "Secret"), NameFact(Ref(Kind.SECRET, "other", "x")), id="a Secret"),
        pytest.param(
            foreign("v1", "ConfigMap", namespace=None), NameFact(Ref(Kind.CONFIG_MAP, "default", "x")), id="a ConfigMap"
        ),
        pytest.param(
            foreign("v1", "Service", {"ports": [{"port": 80}]}),
            ServiceFact(Ref(Kind.SERVICE, "other", "x"), "ClusterIP", (("", 80),)),
            id="a Service",
        ),
        pytest.param(
            foreign(GATEWAY, "ReferenceGrant", {"from": FROM_SHOP, "to": [{"group": "", "kind": "Service"}]}),
            grant([("MCPTool", "shop")], None),
            id="a grant for all Services",
        ),
        pytest.param(
            foreign(GATEWAY, "ReferenceGrant", {"from": FROM_SHOP, "to": [{"kind": "Service", "name": "orders"}]}),
            grant([("MCPTool", "shop")], frozenset({"orders"})),
            id="a grant for one Service",
        ),
        pytest.param(
            foreign(
                "gateway.networking.k8s.io/v1",
                "ReferenceGrant",
                {
                    "from": [*FROM_SHOP, {"group": "apps", "kind": "MCPPrompt", "namespace": "shop"}, "x"],
                    "to": [{"group": "", "kind": "Secret"}, {"group": "x", "kind": "Service"}, None],
                },
            ),
            grant([("MCPTool", "shop")], frozenset()),
            id="a grant for other kinds and groups",
        ),
        pytest.param(
            foreign(
                GATEWAY,
                "ReferenceGrant",
                {"from": FROM_SHOP, "to": [{"kind": "Service", "name": "a"}, {"kind": "Service"}]},
            ),
            grant([("MCPTool", "shop")], None),
            id="all beside one is all",
        ),
        pytest.param(foreign(GATEWAY, "ReferenceGrant", "x"), grant([], frozenset()), id="a grant that says nothing"),
        pytest.param(
            foreign(GATEWAY, "ReferenceGrant", {"from": {}, "to": "x"}), grant([], frozenset()), id="no lists"
        ),
        pytest.param(foreign("gateway.networking.k8s.io", "ReferenceGrant", {}), None, id="a grant of no version"),
        pytest.param(foreign("v1", "ReferenceGrant", {}), None, id="a grant of another group"),
        pytest.param(foreign("apps/v1", "Deployment"), None, id="another kind"),
        pytest.param(foreign("v1", "Secret", name=""), None, id="no name"),
        pytest.param(foreign("v1", "Secret", name=7), None, id="a number for a name"),
        pytest.param({"apiVersion": "v1", "kind": "Secret"}, None, id="no metadata"),
    ],
)
def test_a_foreign_object(document: dict[str, Any], expected: Fact | None) -> None:
    assert extraction.facts_of_foreign(document) == expected
