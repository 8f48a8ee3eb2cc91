"""Manifests as the verdict sees them: reference, facts, problems."""

from __future__ import annotations

from typing import Any

import pytest

from crd import manifest
from crd.facts import Backend, Claim, MemberFact, ServerFact, ServiceFact, Space
from crd.models.tool import ToolSpec
from crd.ref import Kind, Ref
from crd.selector import Operator, Requirement, Selector

ORDERS = Ref(Kind.SERVICE, "shop", "orders")


def raw(kind: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": "a", "namespace": "shop", **metadata},
        "spec": spec,
    }


def tool(**fields: Any) -> dict[str, Any]:
    return raw("MCPTool", {"service": {"name": "orders", "port": 80}, **fields})


def fact_of(document: dict[str, Any]) -> MemberFact:
    fact = manifest.decode(document).fact
    assert isinstance(fact, MemberFact)
    return fact


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPServer"}, Kind.SERVER),
        ({"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPResource"}, Kind.RESOURCE),
        ({"apiVersion": "v1", "kind": "Service"}, Kind.SERVICE),
        ({"apiVersion": "mcp.example.com/v1alpha1", "kind": "Service"}, None),
        ({"apiVersion": "mcp.example.com/v1", "kind": "MCPTool"}, None),
        ({"apiVersion": "v1", "kind": "MCPTool"}, None),
        ({"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPToolList"}, None),
        ({}, None),
    ],
)
def test_the_kind_of_a_manifest(document: dict[str, Any], kind: Kind | None) -> None:
    assert manifest.kind_of(document) is kind


def test_an_object_carries_what_was_given() -> None:
    document = raw("MCPTool", {"service": {"name": "orders", "port": 80}}, labels={"app": "shop"})
    item = manifest.decode(document)
    assert item.ref == Ref(Kind.TOOL, "shop", "a")
    assert isinstance(item.spec, ToolSpec)
    assert item.problems == ()
    assert item.raw is document
    assert item.labels == {"app": "shop"}
    assert item.metadata == document["metadata"]


def test_without_a_namespace_it_is_default() -> None:
    document = tool()
    del document["metadata"]["namespace"]
    assert manifest.decode(document).ref.namespace == "default"


def test_an_object_that_the_server_will_name_is_known_by_its_prefix() -> None:
    document = tool()
    document["metadata"] = {"generateName": "a-"}
    assert manifest.decode(document).ref.name == "a-"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}, id="a Service"),
        pytest.param({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}, id="another kind"),
        pytest.param({**tool(), "metadata": {}}, id="no name"),
        pytest.param({**tool(), "metadata": {"name": 7}}, id="a number for a name"),
        pytest.param({**tool(), "metadata": None}, id="no metadata"),
    ],
)
def test_what_is_no_named_object_of_ours_is_an_error(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a named object"):
        manifest.decode(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(raw("MCPTool", None), [("spec",)], id="no spec"),
        pytest.param(raw("MCPTool", ["a"]), [("spec",)], id="a list for a spec"),
        pytest.param(raw("MCPTool", {}), [("spec", "service")], id="no service"),
        pytest.param(
            tool(name="a b", method="FETCH"), [("spec", "name"), ("spec", "method")], id="two faults, both told"
        ),
        pytest.param(
            tool(service={"name": "a", "port": 1.5}), [("spec", "service", "port")], id="one fault of a port, told once"
        ),
        pytest.param(raw("MCPResource", {}), [("spec",)], id="a rule about the whole spec"),
        pytest.param(
            raw("MCPPrompt", {"template": "a", "variables": [{"name": "v", "required": True, "default": "d"}]}),
            [("spec", "variables", 0)],
            id="a rule about an entry",
        ),
    ],
)
def test_a_broken_spec_is_data(document: dict[str, Any], expected: list[tuple[str | int, ...]]) -> None:
    item = manifest.decode(document)
    assert item.spec is None
    assert item.fact is None
    assert [problem.path for problem in item.problems] == expected


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(tool(name="a b"), 'not "a b"', id="text is quoted"),
        pytest.param(tool(name=7), "not 7", id="a number is quoted"),
        pytest.param(tool(name="a b" * 100), "a ba…", id="long text is cut"),
        pytest.param(
            tool(service={"name": "a", "port": 70000}), "port 70000 is not between 1 and 65535", id="quoted once only"
        ),
        pytest.param(
            tool(service={"name": "a", "port": "HTTP"}), '"HTTP" is no port name', id="what a port name may hold"
        ),
        pytest.param(tool(service={"name": "a", "port": []}), "a port is a number or a name", id="neither of the two"),
    ],
)
def test_a_problem_quotes_the_value(document: dict[str, Any], message: str) -> None:
    (problem,) = manifest.decode(document).problems
    assert message in problem.message
    assert len(problem.message) < 256


@pytest.mark.parametrize("name", ["1a", "a.b", "a" * 56])
def test_a_server_whose_name_can_name_no_service_is_broken(name: str) -> None:
    item = manifest.decode(raw("MCPServer", {"toolSelector": {}}, name=name))
    assert [problem.path for problem in item.problems] == [("metadata", "name")]
    assert name in item.problems[0].message
    assert item.fact is None


@pytest.mark.parametrize("name", ["a", "a-1", "a" * 55])
def test_a_server_whose_name_is_short_enough(name: str) -> None:
    assert manifest.decode(raw("MCPServer", {"toolSelector": {}}, name=name)).problems == ()


@pytest.mark.parametrize("name", ["1a", "a.b", "a" * 56])
def test_other_kinds_have_any_name_that_kubernetes_takes(name: str) -> None:
    assert manifest.decode(raw("MCPPrompt", {"template": "t"}, name=name)).problems == ()


@pytest.mark.parametrize(
    ("name", "served"), [pytest.param(None, "a", id="metadata.name"), pytest.param("b", "b", id="spec.name")]
)
def test_the_served_name(name: str | None, served: str) -> None:
    document = tool(**({"name": name} if name else {}))
    assert manifest.decode(document).served_name == served
    assert fact_of(document).claims == (Claim(Space.TOOL_NAME, served),)


def test_a_broken_object_is_still_called_by_its_name() -> None:
    assert manifest.decode(raw("MCPTool", {})).served_name == "a"


@pytest.mark.parametrize(
    ("document", "claims"),
    [
        pytest.param(
            tool(ingressPath="/a"), [(Space.TOOL_NAME, "a"), (Space.DOOR, "POST /a")], id="a tool's door takes POST"
        ),
        pytest.param(
            raw("MCPPrompt", {"template": "t", "ingressPath": "/a"}),
            [(Space.PROMPT_NAME, "a"), (Space.DOOR, "GET /a")],
            id="a prompt's door takes GET",
        ),
        pytest.param(raw("MCPPrompt", {"template": "t"}), [(Space.PROMPT_NAME, "a")], id="a prompt without a door"),
        pytest.param(
            raw("MCPResource", {"content": {"uri": "shop://a", "text": ""}}),
            [(Space.URI, "shop://a")],
            id="content claims its URI; the name of a resource may be shared",
        ),
        pytest.param(
            raw(
                "MCPResource",
                {
                    "operations": [
                        {"ingressPath": "/b", "service": {"name": "orders", "port": 80}},
                        {"ingressPath": "/b", "method": "PUT", "service": {"name": "orders", "port": 80}},
                        {"ingressPath": "/b", "service": {"name": "orders", "port": 80}, "uriTemplate": "shop://c"},
                    ]
                },
            ),
            [(Space.URI, "mcp://a/b"), (Space.DOOR, "GET /b"), (Space.DOOR, "PUT /b"), (Space.URI, "shop://c")],
            id="each GET a URI, each operation a door, none twice",
        ),
    ],
)
def test_what_an_object_claims(document: dict[str, Any], claims: list[tuple[Space, str]]) -> None:
    assert fact_of(document).claims == tuple(Claim(space, value) for space, value in claims)


@pytest.mark.parametrize(
    ("document", "backends"),
    [
        pytest.param(tool(), [Backend(ORDERS, 80, ("spec", "service"))], id="a Service of its own namespace"),
        pytest.param(
            tool(service={"name": "orders", "namespace": "other", "port": "http"}),
            [Backend(Ref(Kind.SERVICE, "other", "orders"), "http", ("spec", "service"))],
            id="a Service of another namespace, the port by name",
        ),
        pytest.param(
            raw(
                "MCPResource",
                {
                    "operations": [
                        {"ingressPath": "/a", "service": {"name": "x", "port": 1}},
                        {"ingressPath": "/b", "service": {"name": "orders", "port": 2}},
                    ]
                },
            ),
            [
                Backend(Ref(Kind.SERVICE, "shop", "x"), 1, ("spec", "operations", 0, "service")),
                Backend(ORDERS, 2, ("spec", "operations", 1, "service")),
            ],
            id="one for each operation",
        ),
        pytest.param(raw("MCPResource", {"content": {"uri": "a:b", "text": ""}}), [], id="none for content"),
        pytest.param(raw("MCPPrompt", {"template": "t"}), [], id="none for a prompt"),
    ],
)
def test_what_an_object_calls(document: dict[str, Any], backends: list[Backend]) -> None:
    assert fact_of(document).backends == tuple(backends)


def test_what_is_kept_of_a_member() -> None:
    document = tool()
    document["metadata"] |= {"labels": {"app": "shop"}, "uid": "u-1", "creationTimestamp": "2026-01-02T03:04:05Z"}
    fact = fact_of(document)
    assert (fact.labels, fact.uid, fact.created) == ({"app": "shop"}, "u-1", "2026-01-02T03:04:05Z")


def test_what_is_kept_of_a_server() -> None:
    item = manifest.decode(raw("MCPServer", {"toolSelector": {"matchLabels": {"app": "shop"}}}))
    selector = Selector((Requirement("app", Operator.IN, frozenset({"shop"})),))
    assert item.fact == ServerFact(Ref(Kind.SERVER, "shop", "a"), selector)


@pytest.mark.parametrize(
    ("document", "fact"),
    [
        pytest.param(
            {
                "metadata": {"name": "orders", "namespace": "shop"},
                "spec": {"ports": [{"name": "http", "port": 80}, {"port": 81}, {"name": "broken"}]},
            },
            ServiceFact(ORDERS, "ClusterIP", (("http", 80), ("", 81))),
            id="ports by name and number",
        ),
        pytest.param(
            {"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"type": "ExternalName"}},
            ServiceFact(ORDERS, "ExternalName", ()),
            id="a type, no ports",
        ),
        pytest.param(
            {"metadata": {"name": "orders"}},
            ServiceFact(Ref(Kind.SERVICE, "default", "orders"), "ClusterIP", ()),
            id="a file that says neither namespace nor spec",
        ),
    ],
)
def test_what_is_kept_of_a_service(document: dict[str, Any], fact: ServiceFact) -> None:
    assert manifest.service_fact(document) == fact
