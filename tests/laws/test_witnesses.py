"""The converse of the law of calls: what is refused would not work.

Each reason that denies has a witness: an object that admission refuses for this reason is put into effect all the same,
and what its page promises goes wrong. A reason without a witness is advice, and advice is a warning.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import zlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from mcp.shared.tool_name_validation import validate_tool_name
from pydantic import AnyUrl, TypeAdapter, ValidationError

from crd import access, addresses, fields, integrity, manifest
from crd.compiler import assembly, compilation
from crd.facts import ServiceFact
from crd.finding import Level, Reason
from crd.integrity import Change
from crd.models.resource import ResourceSpec
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.rules import references
from crd.schema.validation import compile_schema
from crd.snapshot import Snapshot
from runtime.app.compiled import CompiledCatalog
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import mapping
from runtime.mcp import uri_templates
from runtime.state.sessions import MemorySessions, Session
from tests.controller import states
from tests.examples import corpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from crd.manifest import Object
    from crd.published.entries import Tool
    from runtime.http.exchange import Request

Spec = dict[str, Any]
DESCRIPTION = "Returns one order by its number, with its lines."


def refused(reason: Reason, item: Object, *others: Object, old: Object | None = None) -> Object:
    """The object, after a check that admission refuses it for this reason; ``others`` are stored."""
    state = corpus.background()
    for each in others:
        assert each.fact is not None, each.problems
        state = state.put(each.fact)
    errors = {finding.reason for finding in integrity.judge(state, Change(item.ref, old, item)).errors}
    assert errors == {reason}, errors
    return item


def tool(name: str = "a", /, **spec: Any) -> Object:
    service = {"name": "orders", "port": 8080, "path": "/api"}
    return states.tool(name, **{"service": service, "description": DESCRIPTION, **spec})


def forced(item: Object) -> Tool:
    """The entry of a tool as the controller would publish it if nobody had refused it."""
    assert isinstance(item.spec, ToolSpec)
    return assembly.tool(item.ref, item.served_name, item.spec, Snapshot(), item.spec.ingress_path or "")


def load(*tools: Tool) -> CompiledCatalog:
    return CompiledCatalog.load(catalogs.dump(Catalog("shop/main", tools=tools)))


def send(entry: Tool, arguments: Spec) -> Request:
    """The request of a call. Raises CallError."""
    compiled = load(entry)
    return mapping.map_tool(entry, compiled.check_arguments(compiled.tools[entry.name], arguments))


def uncallable(reason: Reason, schema: Spec) -> None:
    """No call of a tool whose schema does not compile can succeed; the other tools go on."""
    entry = forced(refused(reason, tool(inputSchema={"type": "object", "properties": {"a": schema}})))
    compiled = load(entry, forced(tool("innocent")))
    with pytest.raises(CallError, match="the inputSchema of this tool cannot be compiled"):
        compiled.check_arguments(compiled.tools[entry.name], {})
    assert compiled.check_arguments(compiled.tools["innocent"], {}) == {}


TEXT = {"type": "string"}
WITNESSES: dict[Reason, Callable[[], None]] = {}


def witness(reason: Reason) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def add(function: Callable[[], None]) -> Callable[[], None]:
        assert reason not in WITNESSES
        WITNESSES[reason] = function
        return function

    return add


@witness(Reason.CATALOG_TOO_LARGE)
def a_catalog_that_no_config_map_holds() -> None:
    server, *members = corpus.objects(corpus.EXAMPLES / "files" / "CatalogTooLarge--scans.yaml")
    survey = integrity.survey(Snapshot(), [server, *members])
    assert Reason.CATALOG_TOO_LARGE in {finding.reason for finding in survey.errors}
    scans = tuple(
        assembly.inline_resource(each.ref, each.served_name, each.spec)
        for each in members
        if isinstance(each.spec, ResourceSpec)
    )
    whole = catalogs.dump(Catalog("archive/archive", resources=scans))
    # What a ConfigMap may hold (Kubernetes, ConfigMaps, "Motivation"), as base64 of what gzip makes of it.
    compressed = [zlib.compress(catalogs.dump(Catalog("archive/archive", resources=(each,)))) for each in scans]
    assert len(whole) > sum(map(len, compressed)) > 1024 * 1024 * 3 // 4


@witness(Reason.CONTEXT_BUDGET_EXCEEDED)
def a_tool_over_the_budget_is_not_served() -> None:
    server, first = states.server(contextBudget=100), tool("a")
    second = tool("b", description=f"{DESCRIPTION} " * 20)
    refused(Reason.CONTEXT_BUDGET_EXCEEDED, second, server, first)
    served = compilation.compile_server(server, [second, first], corpus.background(), None)
    assert served.keys("tools") == ["a"]
    assert {finding.ref: finding.reason for finding in served.rejected} == {second.ref: Reason.CONTEXT_BUDGET_EXCEEDED}


@witness(Reason.CROSS_NAMESPACE_DENIED)
def a_call_goes_to_a_service_whose_namespace_did_not_consent() -> None:
    service = {"name": "payments", "namespace": "finance", "port": 80}
    entry = forced(refused(Reason.CROSS_NAMESPACE_DENIED, tool(service=service)))
    assert send(entry, {}).url.startswith("http://payments.finance.svc")


@witness(Reason.DUPLICATE_ENTRY)
def two_headers_of_one_name_are_sent() -> None:
    headers = [{"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"}]
    item = tool(http={"headers": headers})
    assert Reason.DUPLICATE_ENTRY in {problem.reason for problem in item.problems}
    one = forced(tool(http={"headers": headers[:1]}))
    both = dataclasses.replace(one, http=dataclasses.replace(one.http, headers=(one.http.headers[0],) * 2))
    assert [name for name, _ in send(both, {}).headers].count("X-A") == 2


def lost(reason: Reason, first: Object, second: Object) -> tuple[CompiledCatalog, Catalog]:
    """A catalog with both objects, of which one is lost."""
    server = states.server()
    refused(reason, second, server, first)
    catalog = Catalog("shop/main", tools=(forced(first), forced(second)))
    return CompiledCatalog.load(catalogs.dump(catalog)), catalog


@witness(Reason.DUPLICATE_INGRESS_PATH)
def one_of_two_tools_on_a_path_is_never_called() -> None:
    compiled, catalog = lost(
        Reason.DUPLICATE_INGRESS_PATH, tool("a", ingressPath="/x"), tool("b", ingressPath="/x", method="GET")
    )
    assert (len(compiled.rest_tools), len(catalog.tools)) == (1, 2)


@witness(Reason.DUPLICATE_NAME)
def one_of_two_tools_with_a_name_is_never_called() -> None:
    compiled, catalog = lost(Reason.DUPLICATE_NAME, tool("a", name="same"), tool("b", name="same", method="GET"))
    assert (len(compiled.tools), len(catalog.tools)) == (1, 2)


@witness(Reason.DUPLICATE_OBJECT)
def the_last_of_two_documents_replaces_the_first() -> None:
    first, second = tool("a", method="GET"), tool("a", method="PUT", name="other")
    assert first.fact is not None
    assert second.fact is not None
    assert Snapshot.of([]).put(first.fact).put(second.fact).get(first.ref) == second.fact


@witness(Reason.DUPLICATE_URI)
def one_of_two_resources_with_a_uri_is_never_read() -> None:
    first, second = (
        states.resource(name, description=DESCRIPTION, content={"uri": "urn:x", "text": name}) for name in "ab"
    )
    refused(Reason.DUPLICATE_URI, second, states.server(), first)
    entries = tuple(
        assembly.inline_resource(each.ref, each.served_name, each.spec)
        for each in (first, second)
        if isinstance(each.spec, ResourceSpec)
    )
    compiled = CompiledCatalog.load(catalogs.dump(Catalog("shop/main", resources=entries)))
    assert (len(compiled.resources), len(entries)) == (1, 2)


@witness(Reason.EMPTY_SELECTOR)
def an_empty_selector_serves_nothing() -> None:
    server = refused(Reason.EMPTY_SELECTOR, manifest.decode(states.raw("MCPServer", "main", {"toolSelector": {}})))
    assert server.fact is not None
    assert not server.fact.selector.matches({"app": "shop"})


@witness(Reason.ENDPOINT_FORBIDDEN)
def a_call_reaches_the_metadata_service_of_the_cloud() -> None:
    item = tool()
    (backend,) = item.fact.backends if item.fact else ()
    service = ServiceFact(
        backend.service, "ClusterIP", (("http", 8080),), forbidden="fd00:ec2::254 (a metadata address)"
    )
    assert item.fact is not None
    found = references.backends(Snapshot.of([item.fact, service]), item.fact)
    assert [finding.reason for finding in found] == [Reason.ENDPOINT_FORBIDDEN]
    assert addresses.find_fault("fd00:ec2::254")


@witness(Reason.HOST_FORBIDDEN)
def an_ingress_receives_the_requests_to_a_host_of_others() -> None:
    server = states.server(ingress={"host": "bank.example.com"})
    assert access.forbidden_host(server.ref, access.new_host(Change(server.ref, None, server)), "*.shop.example.com")
    (rule,) = states.built(server)["Ingress"]["spec"]["rules"]
    assert rule["host"] == "bank.example.com"


def redis(prefix: str) -> Spec:
    return {"serviceName": "redis", "keyPrefix": prefix}


@witness(Reason.IMMUTABLE_FIELD)
def new_pods_look_for_sessions_under_other_keys() -> None:
    old, new = (states.server(redis=redis(prefix)) for prefix in ("a:", "b:"))
    refused(Reason.IMMUTABLE_FIELD, new, old=old)
    arguments = [str(states.pod_of(states.built(each))["containers"][0]["args"]) for each in (old, new)]
    assert "a:" in arguments[0]
    assert "a:" not in arguments[1]


@witness(Reason.INGRESS_TAKEN)
def two_ingresses_have_one_path_of_one_host() -> None:
    first, second = (states.server(name, ingress={"host": "a.example.com"}) for name in ("one", "two"))
    refused(Reason.INGRESS_TAKEN, second, first)
    paths = [
        (rule["host"], path["path"])
        for each in (first, second)
        for rule in states.built(each)["Ingress"]["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    assert len(set(paths)) < len(paths)


@witness(Reason.INVALID_CONTENT)
def a_client_cannot_decode_the_content() -> None:
    content = {"uri": "urn:a", "mimeType": "image/png", "blob": "iVBORw0KGgo"}
    refused(Reason.INVALID_CONTENT, states.resource("a", description=DESCRIPTION, content=content))
    with pytest.raises(binascii.Error):
        base64.b64decode(content["blob"], validate=True)


@witness(Reason.INVALID_DOCUMENT)
def nobody_can_read_the_document() -> None:
    text = (corpus.EXAMPLES / "files" / "InvalidDocument--not-yaml.yaml").read_text()
    with pytest.raises(yaml.YAMLError):
        list(yaml.safe_load_all(text))


@witness(Reason.INVALID_FIELD)
def there_is_nothing_to_serve() -> None:
    item = tool(method="FETCH")
    assert {problem.reason for problem in item.problems} == {Reason.INVALID_FIELD}
    server = states.server()
    assert compilation.compile_server(server, [item], Snapshot(), None).catalog.tools == ()


@witness(Reason.INVALID_MAPPING)
def a_valid_call_lacks_what_the_path_needs() -> None:
    schema = {"type": "object", "properties": {"id": TEXT}}
    item = refused(Reason.INVALID_MAPPING, tool(method="GET", inputSchema=schema, http={"path": "/{id}"}))
    with pytest.raises(CallError, match='missing required argument "id"'):
        send(forced(item), {})


@witness(Reason.INVALID_NAME)
def the_official_client_finds_the_name_invalid() -> None:
    refused(Reason.INVALID_NAME, tool(name="find orders"))
    assert not validate_tool_name("find orders").is_valid


@witness(Reason.INVALID_SCHEMA)
def a_schema_that_does_not_compile_costs_the_whole_catalog() -> None:
    uncallable(Reason.INVALID_SCHEMA, {"type": "text"})


@witness(Reason.INVALID_SELECTOR)
def a_malformed_condition_selects_nothing() -> None:
    condition = {"key": "app", "operator": "In", "values": []}
    server = manifest.decode(states.raw("MCPServer", "main", {"toolSelector": {"matchExpressions": [condition]}}))
    verdict = integrity.judge(Snapshot(), Change(server.ref, None, server))
    assert {finding.reason for finding in verdict.errors} == {Reason.INVALID_SELECTOR}
    assert server.fact is None or not server.fact.selector.matches({"app": "shop"})


@witness(Reason.INVALID_URI)
def a_client_cannot_parse_the_uri() -> None:
    item = states.resource("a", description=DESCRIPTION, content={"uri": "no scheme", "text": "x"})
    refused(Reason.INVALID_URI, item)
    with pytest.raises(ValidationError):
        TypeAdapter(AnyUrl).validate_python("no scheme")


@witness(Reason.INVALID_URI_TEMPLATE)
def a_uri_of_the_template_is_not_found() -> None:
    template = "shop://orders{?q}/lines"
    service = {"name": "orders", "port": 8080}
    query = [{"name": "q", "argument": "q"}]
    item = states.resource("a", description=DESCRIPTION, uriTemplate=template, service=service, http={"query": query})
    refused(Reason.INVALID_URI_TEMPLATE, item)
    assert uri_templates.match(template, "shop://orders?q=x/lines") is None


@witness(Reason.NAME_CONFLICT)
def the_loser_of_a_name_is_not_served() -> None:
    first, second = tool("a", name="same"), tool("b", name="same")
    server = states.server()
    snapshot = Snapshot.of([each.fact for each in (server, first, second) if each.fact])
    found = compilation.compile_server(server, [first, second], snapshot, None)
    assert len(found.catalog.tools) == 1


@witness(Reason.PATTERN_TOO_LARGE)
def a_pattern_that_is_too_large_costs_the_whole_catalog() -> None:
    uncallable(Reason.PATTERN_TOO_LARGE, {"type": "string", "pattern": "^(a{1000}){1000}$"})


@witness(Reason.REDIS_REQUIRED)
def another_replica_does_not_know_the_session() -> None:
    item = states.server(replicas=2, sessions={"mode": "Memory"})
    assert Reason.REDIS_REQUIRED in {problem.reason for problem in item.problems}

    async def use_elsewhere() -> Session | None:
        one, other = (MemorySessions(lambda: 0.0) for _ in range(2))
        await one.create("id", Session("2025-11-25", ""), 60.0, client="c")
        assert await one.use("id", "", 60.0) is not None
        return await other.use("id", "", 60.0)

    assert asyncio.run(use_elsewhere()) is None


@witness(Reason.REMOTE_REFERENCE)
def a_remote_reference_costs_the_whole_catalog() -> None:
    uncallable(Reason.REMOTE_REFERENCE, {"$ref": "https://example.com/schema.json"})


@witness(Reason.SCHEMA_TOO_LARGE)
def one_value_is_validated_against_exponentially_many_schemas() -> None:
    def ladder(levels: int) -> Spec:
        links = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
        last = {f"d{levels}": {"type": "string"}}
        return {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**links, **last}}

    refused(Reason.SCHEMA_TOO_LARGE, tool(inputSchema=ladder(14)))
    # Each level that the schema has more doubles the errors of one wrong value.
    counts = [sum(1 for _ in compile_schema(ladder(levels)).iter_errors({"a": 1})) for levels in (4, 8)]
    assert counts == [2**4, 2**8]


@witness(Reason.SECRET_FORBIDDEN)
def a_tool_sends_a_secret_that_its_author_may_not_read() -> None:
    header = {"name": "X-Key", "secretKeyRef": {"name": "bank", "key": "token"}}
    item = tool(headersFrom=[header])
    (demand,) = access.demands(Change(item.ref, None, item))
    assert access.forbidden(item.ref, demand, "jane").reason is Reason.SECRET_FORBIDDEN
    assert "bank" in repr(forced(item).policy.headers_from)


@witness(Reason.SERVICE_EXTERNAL_NAME)
def a_call_goes_wherever_a_dns_name_points() -> None:
    item = refused(Reason.SERVICE_EXTERNAL_NAME, tool(service={"name": "payments", "port": 443}))
    assert send(forced(item), {}).url.startswith("http://payments.shop.svc")


@witness(Reason.UNDECLARED_PLACEHOLDER)
def no_argument_can_fill_the_path() -> None:
    item = refused(Reason.UNDECLARED_PLACEHOLDER, tool(method="GET", http={"path": "/{order}"}))
    with pytest.raises(CallError, match='missing required argument "order"'):
        send(forced(item), {})


@witness(Reason.UNKNOWN_FIELD)
def an_unknown_field_has_no_effect() -> None:
    item = tool(timeOut="1s")
    assert [found.name for found in fields.unknown(item.raw)] == ["timeOut"]
    assert forced(item) == forced(tool())


@witness(Reason.UNMAPPED_ARGUMENT)
def an_argument_never_reaches_the_backend() -> None:
    schema = {"type": "object", "properties": {"id": TEXT, "note": TEXT}}
    http = {"body": {"mode": "Argument", "argument": "id"}}
    item = refused(Reason.UNMAPPED_ARGUMENT, tool(inputSchema=schema, http=http))
    request = send(forced(item), {"id": "7", "note": "urgent"})
    assert "urgent" not in f"{request.url} {request.headers} {request.body!r}"


@witness(Reason.UNSAFE_HEADER)
def a_model_chooses_the_credentials() -> None:
    item = tool(http={"headers": [{"name": "Authorization", "argument": "as"}]})
    verdict = integrity.judge(Snapshot(), Change(item.ref, None, item))
    assert Reason.UNSAFE_HEADER in {finding.reason for finding in verdict.errors}
    entry = forced(tool(inputSchema={"type": "object", "properties": {"as": TEXT}}))
    header = dataclasses.replace(_header(), name="Authorization", argument="as")
    entry = dataclasses.replace(entry, http=dataclasses.replace(entry.http, headers=(header,)))
    assert ("Authorization", "Bearer x") in send(entry, {"as": "Bearer x"}).headers


def _header() -> Any:
    return forced(tool(http={"headers": [{"name": "X-A", "value": "1"}]})).http.headers[0]


@witness(Reason.UNSAFE_PATH)
def the_path_leaves_the_base_path() -> None:
    item = refused(Reason.UNSAFE_PATH, tool(method="GET", http={"path": "/../admin"}))
    with pytest.raises(CallError, match="dot segment"):
        send(forced(item), {})


@witness(Reason.UNSAFE_RETRY)
def a_retry_that_the_author_asks_for_is_not_made() -> None:
    entry = forced(refused(Reason.UNSAFE_RETRY, tool(method="POST", retries={"attempts": 3})))
    assert entry.policy.retries.attempts == 3
    assert not send(entry, {}).idempotent


@witness(Reason.UNSAFE_TEXT)
def a_model_reads_what_no_reviewer_sees() -> None:
    hidden = "\U000e0069\U000e0067"
    item = refused(Reason.UNSAFE_TEXT, tool(description=f"{DESCRIPTION}{hidden}"))
    compiled = load(forced(item))
    (listed,) = orjson.loads(compiled.pages["tools/list", True, None])["tools"]
    assert hidden in listed["description"]
    assert not any(character.isprintable() for character in hidden)


@witness(Reason.UNSAFE_WORKLOAD)
def pods_receive_the_requests_of_another_application() -> None:
    item = states.server(podTemplate={"labels": {"app": "bank"}})
    refused(Reason.UNSAFE_WORKLOAD, item)
    labels = states.built(item)["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels["app"] == "bank"


@witness(Reason.UNSUPPORTED_PATTERN)
def a_pattern_that_is_not_supported_costs_the_whole_catalog() -> None:
    uncallable(Reason.UNSUPPORTED_PATTERN, {"type": "string", "pattern": "(?=a)b"})


@witness(Reason.WORKLOAD_FORBIDDEN)
def any_program_runs_as_any_account() -> None:
    item = states.server(image="registry.example.com/any:1", podTemplate={"serviceAccountName": "admin"})
    found = {access.forbidden(item.ref, each, "jane").reason for each in access.demands(Change(item.ref, None, item))}
    assert found == {Reason.WORKLOAD_FORBIDDEN}
    assert isinstance(item.spec, ServerSpec)
    pod = states.pod_of(states.built(item))
    assert (pod["serviceAccountName"], pod["containers"][0]["image"]) == ("admin", "registry.example.com/any:1")


def test_every_reason_that_denies_has_a_witness_and_every_other_one_is_advice() -> None:
    advice = {reason for reason in Reason if reason.level is Level.WARNING}

    assert set(WITNESSES) | advice == set(Reason)
    assert not set(WITNESSES) & advice


@pytest.mark.parametrize("reason", WITNESSES, ids=str)
def test_what_is_refused_would_not_work(reason: Reason) -> None:
    WITNESSES[reason]()
