"""What the models accept and refuse, field by field, and what they derive."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from crd.models import metadata, resource
from crd.models.prompt import PromptSpec
from crd.models.resource import Operation, ResourceSpec
from crd.models.selectors import LabelSelector
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.selector import Operator, Requirement, Selector

SERVICE = {"name": "orders", "port": 80}
OPERATION = {"ingressPath": "/stock", "service": SERVICE}
SELECTOR = {"matchLabels": {"app": "shop"}}
CONTENT = {"uri": "shop://a", "text": "a"}


def tool(**fields: Any) -> ToolSpec:
    return ToolSpec.model_validate_json(_json({"service": SERVICE, **fields}))


def prompt(**fields: Any) -> PromptSpec:
    return PromptSpec.model_validate_json(_json({"template": "Hello", **fields}))


def server(**fields: Any) -> ServerSpec:
    return ServerSpec.model_validate_json(_json({"toolSelector": SELECTOR, **fields}))


def holder(**fields: Any) -> ResourceSpec:
    return ResourceSpec.model_validate_json(_json(fields))


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


ACCEPTED = [
    pytest.param(tool, {"name": "a" * 128}, id="a name of 128 characters"),
    pytest.param(tool, {"name": "A.b_c-9"}, id="a name of every kind of character"),
    pytest.param(tool, {"description": "d" * 2048}, id="a description of 2048 characters"),
    pytest.param(tool, {"service": {"name": "a", "port": 1}}, id="the lowest port"),
    pytest.param(tool, {"service": {"name": "a", "port": 65535}}, id="the highest port"),
    pytest.param(tool, {"service": {"name": "a", "port": "http-2"}}, id="a port by name"),
    pytest.param(tool, {"service": {"name": "a", "port": 80, "path": "/"}}, id="the root path"),
    pytest.param(tool, {"ingressPath": "/"}, id="the root door"),
    pytest.param(tool, {"ingressPath": "/a/{b}/c.json"}, id="a door with a parameter"),
    pytest.param(tool, {"inputSchema": {"type": "object", "x-mine": {"any": [1]}}}, id="any member in inputSchema"),
    pytest.param(tool, {"unheard": 1}, id="a field nobody knows"),
    pytest.param(prompt, {"variables": [{"name": "_a-1", "required": True}]}, id="a required variable"),
    pytest.param(prompt, {"variables": [{"name": "a", "default": ""}]}, id="a default that is empty"),
    pytest.param(prompt, {"variables": [{"name": "a", "required": False, "default": "b"}]}, id="a default, optional"),
    pytest.param(holder, {"content": CONTENT}, id="text"),
    pytest.param(holder, {"content": {"uri": "urn:a", "text": ""}}, id="text that is empty"),
    pytest.param(holder, {"content": {"uri": "shop://a", "blob": "YQ=="}}, id="a blob"),
    pytest.param(holder, {"operations": [OPERATION]}, id="an operation"),
    pytest.param(server, {"replicas": 0}, id="no replicas"),
    pytest.param(server, {"replicas": 100}, id="a hundred replicas"),
    pytest.param(server, {"replicas": 2}, id="two replicas without sessions"),
    pytest.param(server, {"replicas": 1, "sessions": {"mode": "Memory"}}, id="Memory at one replica"),
    pytest.param(server, {"replicas": 0, "sessions": {"mode": "Memory"}}, id="Memory at no replica"),
    pytest.param(server, {"replicas": 2, "sessions": {"mode": "Stateless"}}, id="Stateless at two replicas"),
    pytest.param(server, {"replicas": 2, "sessions": {"ttl": "1h30m"}}, id="sessions that say no mode"),
    pytest.param(
        server, {"replicas": 2, "redis": {"serviceName": "r"}, "sessions": {"mode": "Redis"}}, id="Redis with a Redis"
    ),
    pytest.param(server, {"ingress": {"host": "*.example.com", "pathPrefix": "/a/b"}}, id="a wildcard host"),
    pytest.param(server, {"toolSelector": {}}, id="an empty selector: a rule refuses it, not the schema"),
]

REFUSED = [
    pytest.param(tool, {"name": ""}, ("name",), id="an empty name"),
    pytest.param(tool, {"name": "a" * 129}, ("name",), id="a name of 129 characters"),
    pytest.param(tool, {"name": "a b"}, ("name",), id="a name with a space"),
    pytest.param(tool, {"name": "a\n"}, ("name",), id="a name with a line break at its end"),
    pytest.param(tool, {"name": 7}, ("name",), id="a name that is a number"),
    pytest.param(tool, {"description": "d" * 2049}, ("description",), id="a description of 2049 characters"),
    pytest.param(tool, {"method": "get"}, ("method",), id="a method in lower case"),
    pytest.param(tool, {"service": {"port": 80}}, ("service", "name"), id="a service without name"),
    pytest.param(tool, {"service": {"name": "a"}}, ("service", "port"), id="a service without port"),
    pytest.param(tool, {"service": {"name": "A", "port": 80}}, ("service", "name"), id="a service in upper case"),
    pytest.param(tool, {"service": {**SERVICE, "namespace": "a.b"}}, ("service", "namespace"), id="a dotted namespace"),
    pytest.param(tool, {"service": {**SERVICE, "path": "a"}}, ("service", "path"), id="a path without slash"),
    pytest.param(tool, {"service": {**SERVICE, "path": "/a?b"}}, ("service", "path"), id="a path with a query"),
    pytest.param(tool, {"ingressPath": "/a b"}, ("ingressPath",), id="a door with a space"),
    pytest.param(tool, {"inputSchema": []}, ("inputSchema",), id="an inputSchema that is a list"),
    pytest.param(prompt, {"template": ""}, ("template",), id="an empty template"),
    pytest.param(prompt, {"template": "t" * 32769}, ("template",), id="a template of 32769 characters"),
    pytest.param(prompt, {"variables": [{"name": "1a"}]}, ("variables", 0, "name"), id="a variable that starts so: 1"),
    pytest.param(prompt, {"variables": [{"name": f"v{n}"} for n in range(65)]}, ("variables",), id="65 variables"),
    pytest.param(
        prompt,
        {"variables": [{"name": "a", "required": True, "default": ""}]},
        ("variables", 0),
        id="both, though empty",
    ),
    pytest.param(holder, {}, (), id="neither content nor operations"),
    pytest.param(holder, {"content": CONTENT, "operations": [OPERATION]}, (), id="content and operations"),
    pytest.param(holder, {"operations": []}, ("operations",), id="operations that are none"),
    pytest.param(holder, {"content": {"uri": "shop://a"}}, ("content",), id="neither text nor blob"),
    pytest.param(holder, {"content": {**CONTENT, "blob": ""}}, ("content",), id="text and blob, though empty"),
    pytest.param(holder, {"content": {"uri": "a/b", "text": "a"}}, ("content", "uri"), id="a URI without scheme"),
    pytest.param(holder, {"content": {"uri": "a: b", "text": "a"}}, ("content", "uri"), id="a URI with a space"),
    pytest.param(server, {"toolSelector": None}, ("toolSelector",), id="no selector"),
    pytest.param(server, {"replicas": -1}, ("replicas",), id="minus one replica"),
    pytest.param(server, {"replicas": 101}, ("replicas",), id="101 replicas"),
    pytest.param(server, {"replicas": "2"}, ("replicas",), id="replicas as text"),
    pytest.param(server, {"redis": {"serviceName": "r", "port": 0}}, ("redis", "port"), id="Redis on port 0"),
    pytest.param(server, {"sessions": {"ttl": "30"}}, ("sessions", "ttl"), id="a duration without unit"),
    pytest.param(server, {"sessions": {"mode": "Redis"}}, (), id="Redis without a Redis"),
    pytest.param(server, {"replicas": 2, "sessions": {"mode": "Memory"}}, (), id="Memory at two replicas"),
    pytest.param(server, {"ingress": {"pathPrefix": "/a"}}, ("ingress", "host"), id="an ingress without host"),
    pytest.param(
        server, {"ingress": {"host": "a", "pathPrefix": "/"}}, ("ingress", "pathPrefix"), id="the root prefix"
    ),
    pytest.param(
        server, {"config": {"maxConcurrentRequests": 0}}, ("config", "maxConcurrentRequests"), id="no request at a time"
    ),
    pytest.param(
        server,
        {"toolSelector": {"matchExpressions": [{"key": "a", "operator": "in"}]}},
        ("toolSelector", "matchExpressions", 0, "operator"),
        id="an operator in lower case",
    ),
]


@pytest.mark.parametrize(("make", "fields"), ACCEPTED)
def test_accepted(make: Any, fields: dict[str, Any]) -> None:
    make(**fields)


@pytest.mark.parametrize(("make", "fields", "path"), REFUSED)
def test_refused_at_its_path(make: Any, fields: dict[str, Any], path: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as refusal:
        make(**fields)
    places = [error["loc"][: len(path)] for error in refusal.value.errors()]
    assert path in places


@pytest.mark.parametrize(("value", "accepted"), [(True, True), (False, False), (1, False), ("true", False)])
def test_next_link_is_true_or_absent(value: Any, accepted: bool) -> None:
    http = {"pagination": {"parameter": "p", "nextLink": value}}
    if accepted:
        tool(http=http)
    else:
        with pytest.raises(ValidationError) as refusal:
            tool(http=http)
        assert [error["loc"] for error in refusal.value.errors()] == [("http", "pagination", "nextLink")]


SETS = [
    (server, ("config", "allowedOrigins"), "https://a"),
    (server, ("auth", "jwt", "audiences"), "a"),
    (server, ("auth", "jwt", "requiredScopes"), "a"),
    (tool, ("retries", "retryOn"), "5xx"),
    (tool, ("response", "expectStatus"), "404"),
    (tool, ("response", "headers"), "ETag"),
    (holder, ("annotations", "audience"), "user"),
]
AROUND: dict[str, dict[str, Any]] = {
    "auth": {"type": "JWT", "jwt": {"issuer": "https://i", "audiences": ["x"], "jwksURL": "https://k"}},
    "annotations": {},
}


@pytest.mark.parametrize(("make", "path", "value"), SETS, ids=[".".join(path) for _, path, _ in SETS])
def test_a_set_holds_nothing_twice(make: Any, path: tuple[str, ...], value: str) -> None:
    fields: dict[str, Any] = {path[0]: copy.deepcopy(AROUND.get(path[0], {}))}
    if make is holder:
        fields["content"] = CONTENT
    place = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = [value]
    make(**fields)
    place[path[-1]] = [value, value]
    with pytest.raises(ValidationError) as refusal:
        make(**fields)
    (error,) = refusal.value.errors()
    assert (error["loc"], error["ctx"]["index"]) == (path, 1)
    assert error["msg"] == f'an earlier entry also is "{value}"; remove or change one of the two'


def test_the_values_of_a_variable_are_distinct() -> None:
    prompt(variables=[{"name": "a", "enum": ["x", "y"], "default": "y"}])
    prompt(variables=[{"name": "a", "enum": [], "default": "y"}])
    with pytest.raises(ValidationError, match='an earlier entry also is "x"'):
        prompt(variables=[{"name": "a", "enum": ["x", "x"]}])


def test_two_broken_rules_are_told_together() -> None:
    rules = (
        metadata.Rule("a", "first", lambda _: False),
        metadata.Rule("b", "second", lambda _: False),
        metadata.Rule("c", "third", lambda _: True),
    )

    class Twice(metadata.Model):
        pass

    Twice.rules = rules
    with pytest.raises(ValidationError) as refusal:
        Twice()
    (error,) = refusal.value.errors()
    assert [rule.message for rule in error["ctx"]["rules"]] == ["first", "second"]


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        tool().name = "b"  # type: ignore[misc]


def test_the_defaults_of_a_tool() -> None:
    spec = tool()
    assert (spec.name, spec.method, spec.input_schema, spec.service.path) == (None, "POST", {"type": "object"}, "/")


def test_the_defaults_of_a_server() -> None:
    spec = server(redis={"serviceName": "r"}, ingress={"host": "a.example.com"}, sessions={})
    assert (spec.replicas, spec.max_replicas) == (None, 1)
    assert spec.redis is not None
    assert spec.redis.port == 6379
    assert spec.ingress is not None
    assert spec.ingress.path_prefix == "/mcp"
    assert spec.sessions is not None
    assert spec.sessions.ttl == "30m"
    assert (spec.config.request_timeout, spec.config.max_concurrent_requests) == ("30s", 100)


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        pytest.param({}, "Memory", id="one pod keeps sessions itself"),
        pytest.param({"replicas": 2}, "Stateless", id="two pods without Redis keep none"),
        pytest.param({"autoscaling": {"maxReplicas": 2}}, "Stateless", id="nor do as many as are needed"),
        pytest.param({"autoscaling": {"maxReplicas": 1}}, "Memory", id="one at most is one"),
        pytest.param({"redis": {"serviceName": "r"}}, "Redis", id="with Redis, there"),
        pytest.param({"redis": {"serviceName": "r"}, "sessions": {}}, "Redis", id="an empty block says nothing"),
        pytest.param({"redis": {"serviceName": "r"}, "sessions": {"mode": "Stateless"}}, "Stateless", id="as is said"),
    ],
)
def test_the_session_mode_in_force(fields: dict[str, Any], mode: str) -> None:
    assert server(**fields).session_mode == mode


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("30s", 30.0), ("250ms", 0.25), ("1m30s", 90.0), ("1h", 3600.0), ("1h1m1s1ms", 3661.001), ("0s", 0.0)],
)
def test_a_duration_in_seconds(duration: str, expected: float) -> None:
    assert metadata.seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fields", "template"),
    [
        pytest.param({}, "mcp://stock/stock/{sku}", id="name and door"),
        pytest.param(
            {"parameters": [{"name": "sku", "in": "path"}, {"name": "a", "in": "query"}, {"name": "b", "in": "query"}]},
            "mcp://stock/stock/{sku}{?a,b}",
            id="query parameters as variables, path parameters not twice",
        ),
        pytest.param(
            {"parameters": [{"name": "X-A", "in": "header"}]},
            "mcp://stock/stock/{sku}",
            id="headers cannot be variables",
        ),
        pytest.param({"uriTemplate": "shop://stock/{sku}"}, "shop://stock/{sku}", id="as is said"),
    ],
)
def test_the_uri_template_of_an_operation(fields: dict[str, Any], template: str) -> None:
    operation = Operation.model_validate_json(_json({**OPERATION, "ingressPath": "/stock/{sku}", **fields}))
    assert resource.template_of("stock", operation) == template


def test_a_selector_as_a_decision_procedure() -> None:
    spec = LabelSelector.model_validate_json(
        _json(
            {
                "matchLabels": {"b": "2", "a": "1"},
                "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["3", "4"]}],
            }
        )
    )
    assert spec.selector() == Selector(
        (
            Requirement("a", Operator.IN, frozenset({"1"})),
            Requirement("b", Operator.IN, frozenset({"2"})),
            Requirement("c", Operator.NOT_IN, frozenset({"3", "4"})),
        )
    )


def test_a_selector_for_everything() -> None:
    assert LabelSelector(select_all=True).selector() == Selector(select_all=True)


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://a", True),
        ("http://keys.shop.svc:8080/a?b=c", True),
        ("https://a:65535/", True),
        # The controller and the pods parse it, and urllib refuses these.
        ("https://[/a", False),
        ("https://[::::1]/a", False),
        ("https://a:65536/", False),
        ("https://a:0/", False),
        ("https:///a", False),
        ("https://a b/", False),
    ],
)
@pytest.mark.parametrize("field", ["jwksURL", "issuer", "resource"])
def test_a_url_has_a_host_and_a_port_that_exist(field: str, url: str, accepted: bool) -> None:
    auth = copy.deepcopy(AROUND["auth"])
    (auth if field == "resource" else auth["jwt"])[field] = url
    if accepted:
        server(auth=auth)
    else:
        with pytest.raises(ValidationError, match="string_pattern_mismatch"):
            server(auth=auth)
