"""From a spec to its entry: every field of the API arrives where the pods read it."""

from __future__ import annotations

from typing import Any

import pytest

from crd import extraction, manifest
from crd.compiler import assembly
from crd.models.prompt import PromptSpec
from crd.models.resource import ResourceSpec
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.published import entries, pins, policy, settings
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

REF = Ref(Kind.TOOL, "shop", "a")
SERVICE = {"name": "orders", "port": 8080, "path": "/v1", "scheme": "https"}
BACKEND = entries.Backend("orders.shop.svc", 8080, "/v1", "https")
HEADERS_FROM = [
    {"name": "Authorization", "prefix": "Bearer ", "secretKeyRef": {"name": "s", "key": "k"}},
    {"name": "X-Region", "configMapKeyRef": {"name": "c", "key": "region"}},
]
MOUNTED = (
    policy.HeaderFrom("Authorization", "Secret", "s", "k", "Bearer "),
    policy.HeaderFrom("X-Region", "ConfigMap", "c", "region"),
)
RESPONSE = {
    "format": "Json",
    "select": "/items",
    "maxBytes": "2Ki",
    "onTooLarge": "Truncate",
    "onSchemaMismatch": "Observe",
    "expectStatus": ["200", "4xx"],
    "headers": ["ETag"],
}
READ = policy.Response("Json", "/items", 2048, "Truncate", "Observe", ("200", "4xx"), ("ETag",))


def spec_of(kind: str, spec: dict[str, Any]) -> Any:
    metadata = {"name": "a", "namespace": "shop"}
    item = manifest.decode({"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    assert item.problems == ()
    return item.spec


def tool(**fields: Any) -> entries.Tool:
    spec: ToolSpec = spec_of("MCPTool", {"service": SERVICE, **fields})
    return assembly.tool(REF, "served", spec, Snapshot(), "/door")


def resource(**fields: Any) -> ResourceSpec:
    spec: ResourceSpec = spec_of("MCPResource", fields)
    return spec


def test_a_tool_that_says_nothing_has_the_defaults_of_an_entry() -> None:
    assert tool() == entries.Tool(
        "served", "shop/a", "POST", BACKEND, {"type": "object", "properties": {}}, ingress_path="/door"
    )


def test_what_clients_see_of_a_tool() -> None:
    seen = tool(
        title="T",
        description="D",
        annotations={"readOnlyHint": False, "idempotentHint": True, "openWorldHint": True},
        outputSchema={"type": "object", "title": "o"},
        method="PATCH",
        rateLimit={"requests": 3, "period": "2m"},
    )
    assert (seen.title, seen.description, seen.method) == ("T", "D", "PATCH")
    assert seen.annotations == {"readOnlyHint": False, "idempotentHint": True, "openWorldHint": True}
    assert seen.output_schema == {"type": "object", "title": "o"}
    assert seen.rate_limit == policy.Bucket(3, 120.0)


def test_the_burst_of_a_limit() -> None:
    assert tool(rateLimit={"requests": 3, "burst": 9}).rate_limit == policy.Bucket(3, 60.0, 9)


def test_the_mapping_of_a_tool() -> None:
    http = {
        "path": "/x/{a}",
        "query": [
            {"name": "q", "argument": "a", "style": "Comma", "omitEmpty": False},
            {"name": "v", "value": ""},
            {"name": "c", "claim": "sub"},
        ],
        "headers": [{"name": "X-A", "argument": "/a/b"}],
        "body": {
            "mode": "Multipart",
            "fields": [
                {"name": "f", "argument": "a", "fileName": "a.txt", "mediaType": "text/plain", "encoding": "Base64"},
                {"name": "g", "value": "x"},
                {"name": "h", "claim": "sub"},
            ],
        },
        "pagination": {
            "cursorArgument": "from",
            "parameter": "page",
            "nextPointer": "/next",
            "sizeArgument": "n",
            "sizeParameter": "limit",
            "maxSize": 50,
        },
    }
    assert tool(http=http).http == entries.Http(
        "/x/{a}",
        (
            entries.ParameterEntry("q", "a", style="Comma", omit_empty=False),
            entries.ParameterEntry("v", value=""),
            entries.ParameterEntry("c", claim="sub"),
        ),
        (entries.ParameterEntry("X-A", "/a/b"),),
        entries.Body(
            "Multipart",
            fields=(
                entries.BodyField("f", "a", file_name="a.txt", media_type="text/plain", encoding="Base64"),
                entries.BodyField("g", value="x"),
                entries.BodyField("h", claim="sub"),
            ),
        ),
        entries.Pagination("from", "page", "/next", False, "n", "limit", 50),
    )


def test_a_body_of_one_argument_and_a_page_by_link() -> None:
    body = {"mode": "Raw", "argument": "a", "contentType": "image/png", "encoding": "Base64"}
    mapped = tool(http={"body": body, "pagination": {"parameter": "p", "nextLink": True}}).http
    assert mapped.body == entries.Body("Raw", "a", (), "image/png", "Base64")
    assert mapped.pagination == entries.Pagination("cursor", "p", next_link=True)


@pytest.mark.parametrize(
    ("fields", "mcp"),
    [
        pytest.param({"mcp": {}}, entries.Mcp("/mcp", "a"), id="its own name is that of the object"),
        pytest.param({"mcp": {}, "name": "find"}, entries.Mcp("/mcp", "find"), id="or that of the spec"),
        pytest.param(
            {"mcp": {"path": "/x", "toolName": "t", "protocol": "Legacy", "session": "Shared"}, "name": "find"},
            entries.Mcp("/x", "t", "Legacy", "Shared"),
            id="or what is said",
        ),
    ],
)
def test_a_tool_of_another_server(fields: dict[str, Any], mcp: entries.Mcp) -> None:
    assert tool(**fields).mcp == mcp


def test_how_a_tool_is_called() -> None:
    called = tool(
        timeout="1m30s",
        method="GET",
        retries={"attempts": 2, "retryOn": ["5xx", "429"]},
        circuitBreaker={"consecutiveFailures": 4, "openFor": "5s"},
        concurrency=7,
        tls={"caSecretName": "ca", "serverName": "orders.example.com", "insecureSkipVerify": True},
        headersFrom=HEADERS_FROM,
        forwardHeaders=[{"name": "X-Trace"}, {"name": "X-Tenant", "backendHeader": "Tenant"}],
        response=RESPONSE,
    )
    assert called.policy == policy.Policy(
        timeout=90.0,
        retries=policy.Retries(2, ("5xx", "429")),
        breaker=policy.Breaker(4, 5.0),
        concurrency=7,
        tls=policy.Tls("ca", "orders.example.com", True),
        headers_from=MOUNTED,
        forward_headers=(policy.ForwardHeader("X-Trace", "X-Trace"), policy.ForwardHeader("X-Tenant", "Tenant")),
        response=READ,
    )


def test_what_is_left_out_of_retries_tls_and_response() -> None:
    called = tool(retries={"attempts": 1}, method="PUT", tls={}, response={"maxBytes": 5})
    assert called.policy.retries == policy.Retries(1, ("connect",))
    assert called.policy.tls == policy.Tls()
    assert called.policy.response == policy.Response(max_bytes=5)


def test_a_prompt() -> None:
    spec: PromptSpec = spec_of("MCPPrompt", {"template": "t"})
    assert assembly.prompt(REF, "p", spec, "") == entries.Prompt("p", "shop/a", (entries.Message("user", "t"),))


@pytest.mark.parametrize(
    ("place", "uri"),
    [({"uri": "urn:a"}, "urn:a"), ({"uriTemplate": "shop://{a}"}, "shop://{a}")],
)
def test_a_resource_that_a_get_answers(place: dict[str, Any], uri: str) -> None:
    spec = resource(
        **place,
        service=SERVICE,
        http={"path": "/x"},
        title="T",
        description="D",
        mimeType="text/csv",
        annotations={"priority": 1},
        timeout="250ms",
        tls={"serverName": "x"},
        headersFrom=HEADERS_FROM,
        response=RESPONSE,
    )
    assert assembly.http_resource(REF, "r", spec, Snapshot()) == entries.HttpResource(
        uri,
        "r",
        "shop/a",
        BACKEND,
        "T",
        "D",
        "text/csv",
        {"priority": 1.0},
        entries.Http("/x"),
        policy.Policy(timeout=0.25, tls=policy.Tls("", "x"), headers_from=MOUNTED, response=READ),
    )


def test_a_resource_that_says_no_more_than_where() -> None:
    spec = resource(uri="urn:a", service=SERVICE, http={})
    assert assembly.http_resource(REF, "r", spec, Snapshot()) == entries.HttpResource("urn:a", "r", "shop/a", BACKEND)


def test_each_form_of_a_resource_is_asked_for_as_what_it_is() -> None:
    content = resource(content={"uri": "urn:a", "text": ""})
    read = resource(uri="urn:a", service=SERVICE, http={})
    with pytest.raises(ValueError, match="MCPTool shop/a has no service"):
        assembly.http_resource(REF, "r", content, Snapshot())
    with pytest.raises(ValueError, match="MCPTool shop/a has no content"):
        assembly.inline_resource(REF, "r", read)


def server(**fields: Any) -> settings.Settings:
    spec: ServerSpec = spec_of("MCPServer", {"toolSelector": {"selectAll": True}, **fields})
    return assembly.server_settings(spec)


def test_a_server_that_says_nothing_has_the_defaults_of_the_settings() -> None:
    assert server() == settings.Settings()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {"config": {"requestTimeout": "1m", "maxConcurrentRequests": 7, "pageSize": 5, "listTTL": "0h2s"}},
            settings.Settings(request_timeout=60.0, max_concurrent_requests=7, page_size=5, list_ttl=2.0),
            id="times and counts",
        ),
        pytest.param(
            {"config": {"maxRequestBytes": "2Ki", "maxResponseBytes": "16Mi", "logLevel": "debug"}},
            settings.Settings(max_request_bytes=2048, max_response_bytes=16 * 1024**2, log_level="debug"),
            id="sizes",
        ),
        pytest.param(
            {"config": {"allowedOrigins": ["https://b.example.com", "https://a.example.com"]}},
            settings.Settings(allowed_origins=("https://a.example.com", "https://b.example.com")),
            id="origins, in order",
        ),
        pytest.param(
            {"ingress": {"host": "a.example.com", "pathPrefix": "/x"}},
            settings.Settings(path_prefix="/x", hosts=("a.example.com",)),
            id="the way in",
        ),
        pytest.param(
            {"sessions": {"mode": "Stateless", "ttl": "1h"}},
            settings.Settings(sessions="Stateless", session_ttl=3600.0),
            id="sessions",
        ),
        pytest.param(
            {"info": {"title": "T", "version": "1", "instructions": "I", "websiteUrl": "https://a"}},
            settings.Settings(info=settings.Info("T", "1", "I", "https://a")),
            id="what clients see",
        ),
        pytest.param({"info": {}}, settings.Settings(info=settings.Info()), id="an empty info"),
        pytest.param(
            {"auth": {"type": "APIKey", "apiKey": {"secretName": "keys"}, "resource": "https://r"}},
            settings.Settings(auth=settings.Auth("APIKey", "keys", None, "https://r")),
            id="API keys",
        ),
        pytest.param(
            {
                "auth": {
                    "type": "JWT",
                    "jwt": {
                        "issuer": "https://i",
                        "audiences": ["a", "b"],
                        "jwksURL": "https://i/keys",
                        "requiredScopes": ["s"],
                        "userClaim": "email",
                    },
                }
            },
            settings.Settings(
                auth=settings.Auth(
                    "JWT", jwt=settings.Jwt("https://i", ("a", "b"), "https://i/keys", "", ("s",), "email")
                )
            ),
            id="tokens, keys by URL",
        ),
        pytest.param(
            {"auth": {"type": "JWT", "jwt": {"issuer": "https://i", "audiences": ["a"], "jwksSecretName": "jwks"}}},
            settings.Settings(auth=settings.Auth("JWT", jwt=settings.Jwt("https://i", ("a",), jwks_secret="jwks"))),
            id="tokens, keys out of a Secret",
        ),
        pytest.param(
            {
                "rateLimits": {
                    "server": {"requests": 1},
                    "perClient": {"requests": 2, "period": "1s", "burst": 5},
                    "tools": {"b": {"requests": 3}, "a": {"requests": 4}},
                    "onStoreFailure": "Closed",
                }
            },
            settings.Settings(
                limits=settings.Limits(
                    policy.Bucket(1, 60.0),
                    policy.Bucket(2, 1.0, 5),
                    (
                        settings.ToolLimit("a", policy.Bucket(4, 60.0)),
                        settings.ToolLimit("b", policy.Bucket(3, 60.0)),
                    ),
                    "Closed",
                )
            ),
            id="limits, tools in order",
        ),
        pytest.param({"rateLimits": {}}, settings.Settings(), id="limits that say nothing"),
        pytest.param(
            {"tolerances": {"trailingSlash": False, "nullMember": True}},
            settings.Settings(tolerances={"trailingSlash": False, "nullMember": True}),
            id="tolerances, by the names of the API",
        ),
    ],
)
def test_the_settings_of_a_server(fields: dict[str, Any], expected: settings.Settings) -> None:
    assert server(**fields) == expected


SCOPES = {"requiredScopes": ["write", "read"]}
SORTED = ("read", "write")


def test_the_scopes_that_a_member_requires_are_sorted() -> None:
    assert tool(**SCOPES).required_scopes == SORTED
    prompt: PromptSpec = spec_of("MCPPrompt", {"template": "t", **SCOPES})
    assert assembly.prompt(REF, "p", prompt, "").required_scopes == SORTED
    content = resource(content={"uri": "urn:a", "text": ""}, **SCOPES)
    assert assembly.inline_resource(REF, "r", content).required_scopes == SORTED
    read = resource(uri="urn:a", service=SERVICE, http={}, **SCOPES)
    assert assembly.http_resource(REF, "r", read, Snapshot()).required_scopes == SORTED
    listed = resource(operations=[{"service": SERVICE, "ingressPath": "/a"}], **SCOPES)
    assert listed.operations is not None
    operation = assembly.operation(REF, "r", listed, listed.operations[0], Snapshot(), uri="", rest_path="/a")
    assert operation.required_scopes == SORTED
    assert (operation.uri_template, operation.ingress_path) == ("", "/a")


DIGEST = "sha256:" + "0" * 63


@pytest.mark.parametrize(
    ("given", "pin"),
    [
        ({"inputSchema": f"{DIGEST}1"}, pins.Pin(input_schema=f"{DIGEST}1")),
        (
            {
                "title": f"{DIGEST}1",
                "description": f"{DIGEST}2",
                "inputSchema": f"{DIGEST}3",
                "outputSchema": f"{DIGEST}4",
                "annotations": f"{DIGEST}5",
            },
            pins.Pin(*(f"{DIGEST}{number}" for number in range(1, 6))),
        ),
    ],
)
def test_a_part_that_is_not_pinned_was_not_listed(given: dict[str, str], pin: pins.Pin) -> None:
    mapped = tool(mcp={"pin": given, "onDrift": "Refuse"}).mcp
    assert mapped is not None
    assert (mapped.pin, mapped.on_drift) == (pin, "Refuse")


@pytest.mark.parametrize(
    ("service", "backend"),
    [
        ({"name": "orders", "port": "http"}, entries.Backend("orders.shop.svc", 8080, "/")),
        ({"name": "orders", "port": "grpc"}, entries.Backend("orders.shop.svc", 0, "/")),
        ({"name": "orders", "port": 81}, entries.Backend("orders.shop.svc", 81, "/")),
        ({"name": "nowhere", "port": "http"}, entries.Backend("nowhere.shop.svc", 0, "/")),
        ({"name": "orders", "namespace": "other", "port": "http"}, entries.Backend("orders.other.svc", 0, "/")),
    ],
)
def test_a_named_port_is_that_of_the_service(service: dict[str, Any], backend: entries.Backend) -> None:
    ports = [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090}]
    manifested = {"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"ports": ports}}
    spec: ToolSpec = spec_of("MCPTool", {"service": service})
    services = Snapshot.of([extraction.service_fact(manifested)])
    assert assembly.tool(REF, "served", spec, services, "").backend == backend
