"""From what stands to what is served: each name, URI and door once, whatever was admitted."""

from __future__ import annotations

from typing import Any

import pytest

from crd import compiler, footprint, manifest, published
from crd.catalog import Catalog
from crd.finding import Reason
from crd.published import Backend

SERVICE = {"name": "orders", "port": "http", "path": "/a"}
BACKEND = Backend("orders.shop.svc", 8080, "/a")
OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
SERVICES = Catalog.of(
    [
        footprint.service_fact(
            {
                "metadata": {"name": "orders", "namespace": "shop"},
                "spec": {"ports": [{"name": "http", "port": 8080}]},
            }
        )
    ]
)


def item(kind: str, name: str, spec: dict[str, Any], created: str = OLD) -> manifest.Object:
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "shop"}, "creationTimestamp": created}
    return manifest.decode({"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})


def server(**spec: Any) -> manifest.Object:
    return item("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec})


def tool(ref: str, created: str = OLD, **spec: Any) -> manifest.Object:
    return item("MCPTool", ref, {"service": SERVICE, **spec}, created)


def prompt(ref: str, created: str = OLD, **spec: Any) -> manifest.Object:
    return item("MCPPrompt", ref, {"template": "t", **spec}, created)


def content(ref: str, uri: str, created: str = OLD, **member: str) -> manifest.Object:
    return item("MCPResource", ref, {"content": {"uri": uri, **(member or {"text": ""})}}, created)


def operations(ref: str, *entries: dict[str, Any], created: str = OLD, **spec: Any) -> manifest.Object:
    listed = [{"service": SERVICE, **entry} for entry in entries]
    return item("MCPResource", ref, {"operations": listed, **spec}, created)


def compiled(
    *members: manifest.Object, incumbents: published.Catalog | None = None, services: Catalog = SERVICES, **spec: Any
) -> compiler.Compilation:
    return compiler.compile_server(server(**spec), members, services, incumbents)


def test_a_tool() -> None:
    schema = {"type": "object", "properties": {"a": {}}}
    made = compiled(tool("a", name="search", method="GET", description="d", inputSchema=schema, ingressPath="/s"))
    assert made.catalog.server == "shop/main"
    assert made.catalog.tools == (published.Tool("search", "shop/a", "GET", BACKEND, schema, "d", "/s"),)
    assert (made.rejected, made.unresolved) == ((), ())


def test_a_prompt() -> None:
    variables = [{"name": "v", "description": "d", "default": "x"}, {"name": "w", "required": True}]
    made = compiled(prompt("a", template="{{v}}", description="d", variables=variables, ingressPath="/p"))
    listed = (published.Variable("v", "d", False, "x"), published.Variable("w", "", True, None))
    assert made.catalog.prompts == (published.Prompt("a", "shop/a", "{{v}}", "d", listed, "/p"),)


def test_content() -> None:
    made = compiled(content("a", "urn:a", text="t"), content("b", "urn:b", blob="YQ==", mimeType="image/png"))
    assert made.catalog.resources == (
        published.InlineResource("urn:a", "a", "shop/a", text="t"),
        published.InlineResource("urn:b", "b", "shop/b", mime_type="image/png", blob="YQ=="),
    )


def test_operations() -> None:
    parameters = [{"name": "sku", "in": "path", "required": True, "description": "d"}, {"name": "q", "in": "query"}]
    made = compiled(
        operations(
            "stock",
            {"ingressPath": "/stock/{sku}", "parameters": parameters},
            {"ingressPath": "/stock", "method": "PUT"},
            description="d",
        )
    )
    put, get = made.catalog.operations
    assert (put.method, put.uri_template, put.ingress_path) == ("PUT", "", "/stock")
    assert get == published.Operation(
        "stock",
        "shop/stock",
        "GET",
        "/stock/{sku}",
        BACKEND,
        "mcp://stock/stock/{sku}{?q}",
        "d",
        parameters=(published.Parameter("sku", "path", True, "d"), published.Parameter("q", "query")),
    )


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        pytest.param({}, published.Settings(), id="nothing said"),
        pytest.param(
            {
                "replicas": 3,
                "ingress": {"host": "a.example.com", "pathPrefix": "/x"},
                "sessions": {"ttl": "1h"},
                "redis": {"serviceName": "redis"},
                "config": {"requestTimeout": "1m", "maxConcurrentRequests": 7},
            },
            published.Settings("/x", 60.0, 7, "Redis", 3600.0, ("a.example.com",)),
            id="all said",
        ),
    ],
)
def test_the_settings(spec: dict[str, Any], settings: published.Settings) -> None:
    assert compiled(**spec).catalog.settings == settings


def test_a_server_that_cannot_be_read_cannot_be_compiled() -> None:
    with pytest.raises(ValueError, match=r"MCPServer shop/main cannot be compiled.*spec.*replicas"):
        compiler.compile_server(server(replicas=-1), [], Catalog(), None)


@pytest.mark.parametrize(
    ("service", "services", "port"),
    [
        pytest.param({"name": "orders", "port": "http"}, SERVICES, 8080, id="a named port that there is"),
        pytest.param({"name": "orders", "port": "grpc"}, SERVICES, 0, id="a named port that there is not"),
        pytest.param({"name": "orders", "port": "http"}, Catalog(), 0, id="a named port of a missing Service"),
        pytest.param({"name": "orders", "port": 81}, SERVICES, 81, id="a number, whatever the Service lists"),
    ],
)
def test_the_port_of_a_backend(service: dict[str, Any], services: Catalog, port: int) -> None:
    (entry,) = compiled(tool("a", service=service), services=services).catalog.tools
    assert entry.backend == Backend("orders.shop.svc", port, "/")


def test_a_missing_service_is_told_and_served_all_the_same() -> None:
    made = compiled(tool("a", service={"name": "x", "namespace": "other", "port": 80}))
    assert [finding.reason for finding in made.unresolved] == [Reason.SERVICE_MISSING]
    assert made.catalog.tools[0].backend.host == "x.other.svc"


def test_a_broken_member_is_left_out_and_told() -> None:
    made = compiled(tool("a"), tool("b", method="FETCH"), prompt("c", template="{{x}}"), tool("d", zzz=1))
    assert [entry.source for entry in made.catalog.tools] == ["shop/a", "shop/d"]
    assert made.catalog.prompts == ()
    assert {finding.reason for finding in made.rejected} == {Reason.INVALID_FIELD, Reason.UNDECLARED_PLACEHOLDER}


def test_an_object_that_repeats_itself_is_left_out() -> None:
    made = compiled(operations("a", {"ingressPath": "/a"}, {"ingressPath": "/a"}))
    assert made.catalog.operations == ()
    assert {finding.reason for finding in made.rejected} == {Reason.DUPLICATE_URI, Reason.DUPLICATE_INGRESS_PATH}


def test_the_eldest_holds_a_name_and_the_loser_is_told() -> None:
    made = compiled(tool("b", OLD, name="x"), tool("a", NEW, name="x"))
    assert [entry.source for entry in made.catalog.tools] == ["shop/b"]
    (finding,) = made.rejected
    assert (finding.reason, finding.ref.name) == (Reason.NAME_CONFLICT, "a")
    assert finding.message == ('MCPTool shop/b serves the tool name "x" on MCPServer shop/main; rename one of them')


@pytest.mark.parametrize(
    ("held", "claims"),
    [
        pytest.param(tool("z", NEW, name="x"), tool("a", OLD, name="x"), id="a tool's name"),
        pytest.param(prompt("z", NEW, name="x"), prompt("a", OLD, name="x"), id="a prompt's name"),
        pytest.param(content("z", "urn:x", NEW), content("a", "urn:x", OLD), id="a URI"),
        pytest.param(
            content("z", "shop://x", NEW),
            operations("a", {"ingressPath": "/a", "method": "GET", "uriTemplate": "shop://x"}, created=OLD),
            id="a URI, against an operation",
        ),
        pytest.param(
            operations("z", {"ingressPath": "/x", "uriTemplate": "shop://x"}, created=NEW),
            content("a", "shop://x", OLD),
            id="an operation's URI",
        ),
        pytest.param(tool("z", NEW, ingressPath="/x"), tool("a", OLD, ingressPath="/x"), id="a tool's door"),
        pytest.param(
            prompt("z", NEW, ingressPath="/x"),
            operations("a", {"ingressPath": "/x"}, created=OLD),
            id="a prompt's door",
        ),
        pytest.param(
            operations("z", {"ingressPath": "/x", "method": "POST"}, created=NEW),
            tool("a", OLD, ingressPath="/x"),
            id="an operation's door",
        ),
    ],
)
def test_what_was_published_keeps_its_place(held: manifest.Object, claims: manifest.Object) -> None:
    before = compiled(held).catalog
    made = compiled(held, claims, incumbents=before)
    assert {finding.ref.name for finding in made.rejected} == {"a"}
    without = compiled(held, claims)
    assert {finding.ref.name for finding in without.rejected} == {"z"}


def test_an_incumbent_that_gave_its_name_up_keeps_nothing() -> None:
    before = compiled(tool("z", NEW, name="x")).catalog
    made = compiled(tool("z", NEW, name="y"), tool("a", OLD, name="x"), incumbents=before)
    assert [(entry.name, entry.source) for entry in made.catalog.tools] == [("x", "shop/a"), ("y", "shop/z")]
    assert made.rejected == ()


def test_whoever_loses_only_a_door_is_served_without_it() -> None:
    made = compiled(
        tool("a", OLD, ingressPath="/x"),
        tool("b", NEW, ingressPath="/x"),
        prompt("p", OLD, ingressPath="/y"),
        prompt("q", NEW, ingressPath="/y"),
    )
    assert {entry.source: entry.ingress_path for entry in made.catalog.tools} == {"shop/a": "/x", "shop/b": ""}
    assert {entry.source: entry.ingress_path for entry in made.catalog.prompts} == {"shop/p": "/y", "shop/q": ""}


def test_whoever_loses_the_name_holds_no_door() -> None:
    before = compiled(tool("z", NEW, name="x", ingressPath="/x")).catalog
    made = compiled(
        tool("a", OLD, name="x"),
        tool("b", OLD, ingressPath="/x"),
        tool("y", OLD, name="x", ingressPath="/x"),
        tool("z", NEW, name="x", ingressPath="/x"),
    )
    assert {entry.source: entry.ingress_path for entry in made.catalog.tools} == {"shop/a": "", "shop/b": "/x"}
    assert {finding.ref.name for finding in made.rejected} == {"y", "z"}
    assert compiled(tool("b", OLD, ingressPath="/x"), tool("z", NEW, name="x"), incumbents=before).rejected == ()


def test_an_operation_that_loses_both_is_not_served() -> None:
    made = compiled(
        operations("a", {"ingressPath": "/x", "uriTemplate": "shop://x"}),
        operations("b", {"ingressPath": "/x", "uriTemplate": "shop://x"}, {"ingressPath": "/y"}, created=NEW),
    )
    assert [(entry.source, entry.ingress_path) for entry in made.catalog.operations] == [
        ("shop/a", "/x"),
        ("shop/b", "/y"),
    ]
    assert len(made.rejected) == 2
