"""What no author may decide about pods and Ingresses."""

from __future__ import annotations

from typing import Any

import pytest

from crd.finding import Reason
from crd.integrity import Change
from crd.rules import workloads
from tests.crd.rules.documents import broken, findings_of, server, tool


def ingress(**annotations: str) -> Any:
    return server(ingress={"host": "a.example.com", "annotations": annotations})


@pytest.mark.parametrize("name", ["system-cluster-critical", "system-node-critical", "system-x"])
def test_priority_classes_of_the_system_are_refused(name: str) -> None:
    assert findings_of(workloads.unsafe_workload(server(podTemplate={"priorityClassName": name}))) == [
        (
            f'error UnsafeWorkload: spec.podTemplate.priorityClassName: "{name}" is reserved for pods of the system; '
            'use a PriorityClass of the cluster whose name does not start with "system-"'
        )
    ]


@pytest.mark.parametrize(
    "key",
    [
        "app",
        "pod-template-hash",
        "app.kubernetes.io/name",
        "statefulset.kubernetes.io/pod-name",
        "kubernetes.io/a",
        "node.k8s.io/a",
        "mcp.example.com/server",
    ],
)
def test_labels_by_which_other_services_select_pods_are_refused(key: str) -> None:
    (found,) = workloads.unsafe_workload(server(podTemplate={"labels": {key: "x"}}))
    assert (found.reason, found.path) == ("UnsafeWorkload", ("spec", "podTemplate", "labels", key))


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("ingress", "nginx.ingress.kubernetes.io/configuration-snippet"),
        ("ingress", "nginx.ingress.kubernetes.io/Server-Snippet"),
        ("ingress", "nginx.org/location-snippets"),
        ("ingress", "haproxy.org/backend-config-snippet"),
        ("ingress", "haproxy-ingress.github.io/config-backend"),
        ("service", "haproxy-ingress.github.io/config-backend"),
    ],
)
def test_snippets_are_refused(where: str, key: str) -> None:
    host = {"host": "a.example.com"} if where == "ingress" else {}
    item = server(**{where: {**host, "annotations": {key: "x"}}})
    (found,) = workloads.unsafe_workload(item)
    assert (found.reason, found.path) == ("UnsafeWorkload", ("spec", where, "annotations", key))
    assert workloads.unlisted_annotations(Change(item.ref, None, item)) == ()


@pytest.mark.parametrize(
    ("value", "character"),
    [
        ("on; } location /other { proxy_pass http://192.0.2.1;", '";"'),
        ("1m\n  deny all", "U+000A"),
        ("1m # x", '"#"'),
        ("$http_authorization", '"$"'),
        ('a"b', '"""'),
        ("a\\b", '"\\"'),
        ("1m\u2028", "U+2028"),
    ],
)
def test_a_listed_annotation_cannot_hold_a_snippet(value: str, character: str) -> None:
    key = "nginx.ingress.kubernetes.io/proxy-buffering"
    (found,) = workloads.unsafe_workload(ingress(**{key: value}))
    assert (found.reason, found.path) == ("UnsafeWorkload", ("spec", "ingress", "annotations", key))
    assert f"contains {character}, which could end a directive" in found.message


def test_an_annotation_that_names_another_host_is_not_listed() -> None:
    item = ingress(**{"cert-manager.io/common-name": "b.example.com"})
    assert len(workloads.unlisted_annotations(Change(item.ref, None, item))) == 1


@pytest.mark.parametrize(
    "item",
    [
        server(),
        tool(),
        ingress(**{"nginx.ingress.kubernetes.io/cors-allow-origin": "https://a.example.com, https://*.b.example.com"}),
        server(podTemplate={"priorityClassName": "business", "labels": {"example.com/app": "a", "x-k8s.io/a": "b"}}),
        ingress(**{"nginx.ingress.kubernetes.io/proxy-body-size": "1m"}),
        server(service={"annotations": {"example.com/config-a": "b"}}),
        broken("MCPServer", {}, "main"),
    ],
)
def test_everything_else_is_left_to_the_author(item: Any) -> None:
    assert list(workloads.unsafe_workload(item)) == []
    assert workloads.unlisted_annotations(Change(item.ref, None, item)) == ()


def test_an_annotation_that_is_not_listed_is_refused_when_it_is_set() -> None:
    alias = "nginx.ingress.kubernetes.io/server-alias"
    new, old = ingress(**{alias: "b.example.com"}), ingress(**{alias: "c.example.com"})
    expected = [
        (
            f'error UnsafeWorkload: spec.ingress.annotations.{alias}: "{alias}" is not in the list of allowed Ingress '
            "annotations; remove it, or have an administrator of the operator add it with --ingress-annotation"
        )
    ]

    for before in (None, server(), old, broken("MCPServer", {}, "main")):
        assert findings_of(workloads.unlisted_annotations(Change(new.ref, before, new))) == expected
    assert workloads.unlisted_annotations(Change(new.ref, new, new)) == ()
    assert workloads.unlisted_annotations(Change(new.ref, new, None)) == ()


@pytest.mark.parametrize(
    ("key", "listed"), [("a.example.com/b", True), ("c.example.com/d", True), ("c.example", False)]
)
def test_a_list_holds_keys_and_prefixes(key: str, listed: bool) -> None:
    assert workloads.is_listed(key, ("a.example.com/b", "c.example.com/*")) is listed


JWT = {"type": "JWT", "jwt": {"issuer": "https://i", "audiences": ["a"], "jwksURL": "https://i/keys"}}


@pytest.mark.parametrize(
    "resource", ["https://h/x;}", 'http://h/x"y', "https://h/a{b}", "https://h/%0a", "https://h//a"]
)
def test_the_path_of_a_resource_that_becomes_one_of_the_ingress_is_plain(resource: str) -> None:
    (found,) = workloads.unsafe_workload(server(ingress={"host": "h"}, auth={**JWT, "resource": resource}))

    assert (found.reason, found.path) == (Reason.UNSAFE_WORKLOAD, ("spec", "auth", "resource"))
    assert list(workloads.unsafe_workload(server(auth={**JWT, "resource": resource}))) == []


@pytest.mark.parametrize("resource", ["https://h", "https://h/", "https://h/a/b.c/", "https://h:8/a?q={}"])
def test_a_plain_path_of_a_resource_is_allowed(resource: str) -> None:
    assert list(workloads.unsafe_workload(server(ingress={"host": "h"}, auth={**JWT, "resource": resource}))) == []
