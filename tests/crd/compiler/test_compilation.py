"""From what stands to what is served: each name, URI and door once, whatever was admitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crd import extraction, manifest
from crd.clients import tokens
from crd.compiler import compilation, members
from crd.facts import GrantFact, MemberFact
from crd.finding import Reason
from crd.published import catalogs, entries, settings
from crd.published.entries import Backend
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from crd.steps import finish

SERVICE = {"name": "orders", "port": "http", "path": "/a"}
BACKEND = Backend("orders.shop.svc", 8080, "/a")
OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
SERVICES = Snapshot.of(
    [
        extraction.service_fact(
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


def read(ref: str, uri: str, created: str = OLD, **spec: Any) -> manifest.Object:
    return item("MCPResource", ref, {"uri": uri, "service": SERVICE, "http": {}, **spec}, created)


def operations(ref: str, *listed: dict[str, Any], created: str = OLD, **spec: Any) -> manifest.Object:
    wanted = [{"service": SERVICE, **entry} for entry in listed]
    return item("MCPResource", ref, {"operations": wanted, **spec}, created)


def compiled(
    *members: manifest.Object, incumbents: catalogs.Catalog | None = None, services: Snapshot = SERVICES, **spec: Any
) -> compilation.Compilation:
    return compilation.compile_server(server(**spec), members, services, incumbents)


def test_a_tool() -> None:
    schema = {"type": "object", "properties": {"a": {}}}
    made = compiled(tool("a", name="search", method="GET", description="d", inputSchema=schema, ingressPath="/s"))
    assert made.catalog.server == "shop/main"
    assert made.catalog.tools == (
        entries.Tool(
            "search",
            "shop/a",
            "GET",
            BACKEND,
            schema,
            description="d",
            ingress_path="/s",
        ),
    )
    assert (made.rejected, made.unresolved) == ((), ())


def test_a_prompt() -> None:
    variables = [
        {"name": "v", "title": "V", "description": "d", "default": "x", "enum": ["x", "y"]},
        {"name": "w", "required": True},
    ]
    made = compiled(
        prompt("a", template="{{v}} {{w}}", title="A", description="d", variables=variables, ingressPath="/p")
    )
    listed = (entries.Variable("v", "V", "d", False, "x", ("x", "y")), entries.Variable("w", required=True))
    said = (entries.Message("user", "{{v}} {{w}}"),)
    assert made.catalog.prompts == (entries.Prompt("a", "shop/a", said, "A", "d", listed, "/p"),)


def test_a_prompt_of_several_messages() -> None:
    messages = [{"text": "t"}, {"role": "assistant", "resource": {"uri": "urn:a"}}]
    (made,) = compiled(item("MCPPrompt", "a", {"messages": messages})).catalog.prompts
    assert made.messages == (entries.Message("user", "t"), entries.Message("assistant", None, "urn:a"))


def test_content() -> None:
    made = compiled(content("a", "urn:a", text="t"), content("b", "urn:b", blob="YQ==", mimeType="image/png"))
    assert made.catalog.resources == (
        entries.InlineResource("urn:a", "a", "shop/a", text="t"),
        entries.InlineResource("urn:b", "b", "shop/b", mime_type="image/png", blob="YQ=="),
    )


@pytest.mark.parametrize(
    ("given", "hints"),
    [
        ({}, {}),
        ({"priority": 0}, {"priority": 0.0}),
        ({"audience": ["user"], "priority": 1}, {"audience": ["user"], "priority": 1.0}),
    ],
)
def test_the_hints_of_a_resource(given: dict[str, Any], hints: dict[str, Any]) -> None:
    spec = {"content": {"uri": "urn:a", "text": ""}, "annotations": given, "title": "A", "description": "d"}
    (made,) = compiled(item("MCPResource", "a", spec)).catalog.resources
    assert (made.annotations, made.title, made.description) == (hints, "A", "d")


def test_operations() -> None:
    parameters = [{"name": "sku", "in": "path", "required": True, "description": "d"}, {"name": "q", "in": "query"}]
    made = compiled(
        operations(
            "stock",
            {
                "ingressPath": "/stock/{sku}",
                "parameters": parameters,
                "service": {**SERVICE, "path": "/a/{sku}"},
            },
            {"ingressPath": "/stock", "method": "PUT"},
            title="S",
            description="d",
            mimeType="text/csv",
            annotations={"priority": 0.5},
        )
    )
    put, get = made.catalog.operations
    assert (put.method, put.uri_template, put.ingress_path) == ("PUT", "", "/stock")
    assert get == entries.Operation(
        "stock",
        "shop/stock",
        "GET",
        "/stock/{sku}",
        Backend("orders.shop.svc", 8080, "/a/{sku}"),
        "mcp://stock/stock/{sku}{?q}",
        "S",
        "d",
        "text/csv",
        {"priority": 0.5},
        parameters=(entries.Parameter("sku", "path", True, "d"), entries.Parameter("q", "query")),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, settings.Settings(), id="nothing said"),
        pytest.param(
            {
                "replicas": 3,
                "ingress": {"host": "a.example.com", "pathPrefix": "/x"},
                "sessions": {"ttl": "1h"},
                "redis": {"serviceName": "redis"},
                "config": {"requestTimeout": "1m", "maxConcurrentRequests": 7},
            },
            settings.Settings(
                path_prefix="/x",
                request_timeout=60.0,
                max_concurrent_requests=7,
                sessions="Redis",
                session_ttl=3600.0,
                hosts=("a.example.com",),
            ),
            id="all said",
        ),
    ],
)
def test_the_settings(spec: dict[str, Any], expected: settings.Settings) -> None:
    assert compiled(**spec).catalog.settings == expected


def test_a_server_that_cannot_be_read_cannot_be_compiled() -> None:
    with pytest.raises(ValueError, match=r"MCPServer shop/main cannot be compiled.*spec.*replicas"):
        compilation.compile_server(server(replicas=-1), [], Snapshot(), None)


@pytest.mark.parametrize(
    ("service", "services", "port"),
    [
        pytest.param({"name": "orders", "port": "http"}, SERVICES, 8080, id="a named port that there is"),
        pytest.param({"name": "orders", "port": "grpc"}, SERVICES, 0, id="a named port that there is not"),
        pytest.param({"name": "orders", "port": "http"}, Snapshot(), 0, id="a named port of a missing Service"),
        pytest.param({"name": "orders", "port": 81}, SERVICES, 81, id="a number, whatever the Service lists"),
    ],
)
def test_the_port_of_a_backend(service: dict[str, Any], services: Snapshot, port: int) -> None:
    (entry,) = compiled(tool("a", service=service), services=services).catalog.tools
    assert entry.backend == Backend("orders.shop.svc", port, "/")


def test_a_missing_service_is_told_and_served_all_the_same() -> None:
    made = compiled(tool("a", service={"name": "x", "port": 80}))
    assert [finding.reason for finding in made.unresolved] == [Reason.SERVICE_MISSING]
    assert made.catalog.tools[0].backend.host == "x.shop.svc"
    assert made.rejected == ()


def test_a_service_of_another_namespace_is_called_only_where_a_grant_lets_it() -> None:
    abroad = tool("a", service={"name": "x", "namespace": "other", "port": 80})
    grant = GrantFact(Ref(Kind.GRANT, "other", "g"), frozenset({("MCPTool", "shop")}), None)
    (denied,) = compiled(abroad).rejected
    assert denied.reason is Reason.CROSS_NAMESPACE_DENIED
    assert compiled(abroad).catalog.tools == ()
    (entry,) = compiled(abroad, services=SERVICES.put(grant)).catalog.tools
    assert entry.backend.host == "x.other.svc"
    (elsewhere,) = compiled(
        item(
            "MCPResource", "r", {"uri": "urn:a", "http": {}, "service": {"name": "x", "namespace": "other", "port": 1}}
        )
    ).rejected
    assert elsewhere.reason is Reason.CROSS_NAMESPACE_DENIED


def test_a_disabled_tool_is_not_served_and_holds_nothing() -> None:
    made = compiled(tool("a", OLD, name="x", enabled=False, ingressPath="/x"), tool("b", NEW, name="x"))
    assert [entry.source for entry in made.catalog.tools] == ["shop/b"]
    assert made.rejected == ()


def test_a_prefix_stands_before_the_names_of_tools_and_prompts_alone() -> None:
    made = compiled(
        tool("a"), prompt("b"), content("c", "urn:c"), operations("d", {"ingressPath": "/d"}), naming={"prefix": "x_"}
    ).catalog
    assert [entry.name for entry in (*made.tools, *made.prompts, *made.resources, *made.operations)] == [
        "x_a",
        "x_b",
        "c",
        "d",
    ]


def test_a_name_that_is_too_long_with_its_prefix_is_not_served() -> None:
    fits, too_long = tool("a", name="n" * 126), tool("b", name="m" * 127)
    made = compiled(fits, too_long, naming={"prefix": "x_"})
    assert [entry.source for entry in made.catalog.tools] == ["shop/a"]
    assert [(finding.reason, finding.ref.name) for finding in made.rejected] == [(Reason.INVALID_NAME, "b")]


def test_an_incumbent_keeps_its_name_under_a_prefix() -> None:
    prefix = {"naming": {"prefix": "x_"}}
    held, claims = tool("z", NEW, name="x"), tool("a", OLD, name="x")
    before = compiled(held, **prefix).catalog
    assert [e.source for e in compiled(held, claims, incumbents=before, **prefix).catalog.tools] == ["shop/z"]


@pytest.mark.parametrize("kind", [tool, prompt])
def test_another_prefix_moves_no_name_to_another_object(kind: Any) -> None:
    held, claims = kind("z", NEW, name="x"), kind("a", OLD, name="x")
    catalog = None
    for prefix, given in (("a_", (held,)), ("a_", (held, claims)), ("b_", (held, claims)), ("", (held, claims))):
        catalog = compiled(*given, incumbents=catalog, naming={"prefix": prefix}).catalog
        assert [(e.name, e.source) for e in (*catalog.tools, *catalog.prompts)] == [(f"{prefix}x", "shop/z")]


def test_a_catalog_that_records_no_prefix_was_published_with_the_present_one() -> None:
    prefix = {"naming": {"prefix": "x_"}}
    held, claims = tool("z", NEW, name="x"), tool("a", OLD, name="x")
    before = replace(compiled(held, **prefix).catalog, prefix=None)
    assert [e.source for e in compiled(held, claims, incumbents=before, **prefix).catalog.tools] == ["shop/z"]


def test_a_broken_member_is_left_out_and_told() -> None:
    made = compiled(tool("a"), tool("b", method="FETCH"), prompt("c", template="{{x}}"), tool("d", zzz=1))
    assert [entry.source for entry in made.catalog.tools] == ["shop/a", "shop/d"]
    assert made.catalog.prompts == ()
    assert {finding.reason for finding in made.rejected} == {Reason.INVALID_FIELD, Reason.UNDECLARED_PLACEHOLDER}


def test_an_object_that_repeats_itself_is_left_out() -> None:
    made = compiled(operations("a", {"ingressPath": "/a"}, {"ingressPath": "/a"}))
    assert made.catalog.operations == ()
    assert {finding.reason for finding in made.rejected} == {Reason.DUPLICATE_URI, Reason.DUPLICATE_INGRESS_PATH}


def test_the_eldest_holds_a_name_and_the_loser_is_reported() -> None:
    made = compiled(tool("b", OLD, name="x"), tool("a", NEW, name="x"))
    assert [entry.source for entry in made.catalog.tools] == ["shop/b"]
    (finding,) = made.rejected
    assert (finding.reason, finding.ref.name) == (Reason.NAME_CONFLICT, "a")
    assert finding.message == (
        'MCPTool shop/b already serves the tool name "x" on MCPServer shop/main; rename one of the two'
    )


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
        pytest.param(
            read("z", "urn:x", NEW), content("a", "urn:x", OLD), id="the URI of a resource that a GET answers"
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


def tokens_of(*tools: manifest.Object) -> int:
    return sum(each.fact.tokens for each in tools if isinstance(each.fact, MemberFact))


LONG = "What this tool does, and when a model should use it. " * 4


def test_newcomers_are_served_by_age_as_far_as_the_budget_allows() -> None:
    large, small = tool("large", NEW, description=LONG), tool("small", "2026-03-01T00:00:00Z")
    old = tool("old", OLD, description=LONG)
    budget = tokens_of(old, small)

    found = compilation.compile_server(server(contextBudget=budget), [large, small, old], SERVICES, None)

    assert found.keys("tools") == ["old", "small"]
    assert found.tokens == budget
    assert [(finding.reason, finding.ref) for finding in found.rejected] == [
        (Reason.CONTEXT_BUDGET_EXCEEDED, large.ref)
    ]
    assert found.rejected[0].message.startswith(
        f"MCPServer shop/main does not serve it: its {tokens_of(large)} tokens do not fit into the contextBudget of "
    )


def test_what_was_published_is_served_whatever_the_budget() -> None:
    young, old = tool("young", NEW, description=LONG), tool("old", OLD, description=LONG)
    before = compilation.compile_server(server(), [young], SERVICES, None)

    found = compilation.compile_server(server(contextBudget=100), [young, old], SERVICES, before.catalog)

    assert found.keys("tools") == ["young"]
    assert {finding.ref for finding in found.rejected} == {old.ref}


def test_the_prefix_counts_for_each_tool() -> None:
    one, two = tool("one"), tool("two", NEW)
    prefix = {"prefix": "a_long_prefix_of_this_server_"}

    without = compilation.compile_server(server(contextBudget=100), [one, two], SERVICES, None)
    found = compilation.compile_server(server(naming=prefix), [one, two], SERVICES, None)

    assert found.tokens == without.tokens + 2 * tokens.estimate(prefix["prefix"].encode())


def test_room_in_the_budget_goes_to_whoever_waits_for_it() -> None:
    """Each step is the same as a compilation of everything."""
    items = {each.ref: each for each in (tool(f"t{number}", description=LONG) for number in range(4))}
    missing = tool("missing", NEW, service={"name": "nowhere", "port": 80}, description=LONG)
    items[missing.ref] = missing
    compiled = {ref: members.compile_member(item) for ref, item in items.items()}
    two, three = tokens_of(*items.values()) * 2 // 5 + 2, tokens_of(*items.values()) * 3 // 5 + 2

    def step(before: compilation.Compilation | None, budget: int | None, there: list[Ref]) -> compilation.Compilation:
        given = server(**({"contextBudget": budget} if budget else {}))
        selected = {ref: compiled[ref] for ref in there}.get
        changed = there if before is None else set(before.members) ^ set(there)
        held = before.published() if before else compilation.Incumbents()
        found = finish(compilation.advance(before, given, changed, selected, SERVICES, held))
        whole = finish(compilation.advance(None, given, there, selected, SERVICES, held))
        assert found.text() == whole.text()
        assert (found.rejected, found.unresolved, found.tokens) == (whole.rejected, whole.unresolved, whole.tokens)
        assert (found.holders, found.moved) == (whole.holders, whole.moved)
        return found

    refs = list(items)
    first = step(None, two, refs)
    assert first.keys("tools") == ["t0", "t1"]
    less = step(first, two, [ref for ref in refs if ref.name != "t0"])
    assert less.keys("tools") == ["t1", "t2"]
    more = step(less, three, [ref for ref in refs if ref.name != "t0"])
    assert more.keys("tools") == ["t1", "t2", "t3"]
    back = step(more, three, refs)
    assert back.keys("tools") == ["t1", "t2", "t3"]
    lowered = step(back, two, refs)
    assert lowered.keys("tools") == ["t1", "t2", "t3"]
    free = step(lowered, None, refs)
    assert free.keys("tools") == ["missing", "t0", "t1", "t2", "t3"]
    assert [finding.ref for finding in free.unresolved] == [missing.ref]
    assert step(free, two, refs).rejected == ()
