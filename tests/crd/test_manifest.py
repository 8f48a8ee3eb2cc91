"""Manifests as the verdict sees them: reference, facts, problems."""

from __future__ import annotations

from typing import Any

import pytest

from crd import extraction, manifest
from crd.facts import BackendRef, Claim, MemberFact, ServerFact, ServiceFact, Space
from crd.finding import format_path
from crd.models import problem
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
        ({"apiVersion": "v1", "kind": "Secret"}, Kind.SECRET),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, Kind.CONFIG_MAP),
        ({"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant"}, Kind.GRANT),
        ({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}, None),
        ({"apiVersion": "v1", "kind": "ReferenceGrant"}, None),
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
    assert [found.path for found in item.problems] == expected


def server(**fields: Any) -> dict[str, Any]:
    return raw("MCPServer", {"toolSelector": {}, **fields})


def prompt(*variables: Any) -> dict[str, Any]:
    return raw("MCPPrompt", {"template": "t", "variables": list(variables)})


def port(value: Any) -> dict[str, Any]:
    return tool(service={"name": "a", "port": value})


def content(**fields: Any) -> dict[str, Any]:
    return raw("MCPResource", {"content": {"uri": "urn:a", **fields}})


def operation(**fields: Any) -> dict[str, Any]:
    return raw("MCPResource", {"operations": [{"ingressPath": "/a", "service": {"name": "a", "port": 1}, **fields}]})


NAME = 'a name of letters, digits, "_", "." and "-"'
WORDED = [
    (tool(name="a b"), f'spec.name: must be {NAME}, got "a b"'),
    (tool(name="a b" * 100), f'spec.name: must have at most 128 characters, got 300: "{"a b" * 100}'[:120]),
    (tool(name=7), "spec.name: must be a string, got 7; quote it"),
    (tool(name=[7]), "spec.name: must be a string, got [7]"),
    (tool(name=""), "spec.name: must not be empty; set a value or remove the field"),
    (tool(description="d" * 2049), "must have at most 2048 characters, got 2049: "),
    (tool(method="get"), 'spec.method: must be GET, POST, PUT, PATCH or DELETE, got "get"'),
    (tool(inputSchema=[]), "spec.inputSchema: must be an object, got []; write its members as key: value"),
    (tool(service="orders"), 'spec.service: must be an object, got "orders"; write its members as key: value'),
    (tool(service={"port": 1}), 'spec.service.name: required field "name" is missing; add it'),
    (port(70000), "spec.service.port: must be a port number from 1 to 65535, got 70000"),
    (port("80"), 'spec.service.port: must be a number or a port name with a letter, got "80"; remove the quotes'),
    (
        port("HTTP"),
        'spec.service.port: must be a port name of lower-case letters, digits and "-", with at least one letter',
    ),
    (port("1-2"), 'most 63 characters, got "1-2"'),
    (port(1.5), "spec.service.port: must be a number from 1 to 65535 or the name of a port of the Service, got 1.5"),
    (port([]), "of the Service, got []"),
    (
        tool(service={"name": "a", "port": 1, "path": "/a b"}),
        'and non-ASCII characters as %XX, got "/a b"',
    ),
    (server(replicas=-1), "spec.replicas: must be ≥ 0, got -1"),
    (server(replicas=101), "spec.replicas: must be ≤ 100, got 101"),
    (server(replicas="2"), 'spec.replicas: must be an integer, got "2"; remove the quotes'),
    (server(replicas=1.5), "spec.replicas: must be an integer, got 1.5"),
    (server(sessions={"ttl": "0s"}), "spec.sessions.ttl: must be a duration greater than 0 in h, m, s or ms"),
    (server(sessions={"ttl": "s"}), "spec.sessions.ttl: must be a duration greater than 0 in h, m, s or ms"),
    (
        tool(http={"body": {"mode": "Raw", "argument": "b", "contentType": "a"}}),
        'spec.http.body.contentType: must have at least 3 characters, got "a"',
    ),
    (server(toolSelector={"selectAll": "true"}), 'must be true or false, got "true"; remove the quotes'),
    (
        prompt(*({"name": f"v{n}"} for n in range(65))),
        "spec.variables: must have at most 64 entries, got 65; remove some",
    ),
    (
        raw("MCPPrompt", {"template": "t", "variables": {"a": 1}}),
        'must be a list, got {"a": 1}; start each entry with "- "',
    ),
    (
        prompt({"name": "a"}, {"name": "b"}, {"name": "a"}),
        'spec.variables[2]: an earlier entry also has name "a"; remove or change one of the two',
    ),
    (
        operation(parameters=[{"name": "a", "in": "query"}, {"name": "a", "in": "query"}]),
        'spec.operations[0].parameters[1]: an earlier entry also has name "a" and in "query"',
    ),
    (
        operation(parameters=[{"in": "query"}]),
        'spec.operations[0].parameters[0].name: required field "name" is missing; add it',
    ),
    (raw("MCPResource", {"operations": []}), "spec.operations: must not be empty; add an entry"),
    (server(imagePullSecrets=[{"name": "a"}] * 2), 'spec.imagePullSecrets[1]: an earlier entry also has name "a"'),
    (content(blob=""), 'spec.content.blob: must have at least 4 characters, got ""'),
    (content(blob="YQ=a"), 'spec.content.blob: must be base64 with padding, on one line, got "YQ=a"'),
    (
        server(toolSelector={"matchLabels": {"str": 5}}),
        "spec.toolSelector.matchLabels.str: must be a string, got 5; quote it",
    ),
    (
        server(resources={"limits": {"int": "x"}}),
        "spec.resources.limits.int: must be a quantity such as 250m, 1.5 or 256Mi",
    ),
    (raw("MCPTool", None), 'spec: required field "spec" is missing; add it'),
    (raw("MCPTool", "x"), 'spec: must be an object, got "x"; write its members as key: value'),
    (raw("MCPTool", {"x"}), "spec: must be an object, got a value of type set; write its members as key: value"),
    (content(text="", blob="YQ=="), "spec.content: set exactly one of text and blob"),
]


@pytest.mark.parametrize(("document", "line"), WORDED, ids=[line for _, line in WORDED])
def test_a_problem_states_the_fact_the_value_and_the_repair(document: dict[str, Any], line: str) -> None:
    (problem,) = manifest.decode(document).problems
    assert line in f"{format_path(problem.path)}: {problem.message}"
    assert len(problem.message) < 256


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"items": value}
    return value


UNSTORABLE = [
    pytest.param(tool(inputSchema=nested(200)), "spec.inputSchema", "must be at most 200 levels deep", id="200 levels"),
    pytest.param(tool(inputSchema=nested(300)), "spec.inputSchema", "must be at most 200 levels deep", id="300 levels"),
    pytest.param(
        tool(inputSchema={"enum": [1, 2**64]}),
        "spec.inputSchema.enum[1]",
        f"must fit in 64 bits, got {2**64};",
        id="65 bits",
    ),
    pytest.param(tool(inputSchema={"minimum": -(2**63) - 1}), "spec.inputSchema.minimum", "64 bits", id="so low"),
    pytest.param(
        tool(inputSchema={"enum": {"a"}}), "spec.inputSchema.enum", "must be a JSON value, got type set", id="a set"
    ),
    pytest.param(tool(description=b"a"), "spec.description", "must be a JSON value, got type bytes", id="bytes"),
    pytest.param(
        tool(description="\ud800"), "spec.description", 'got an unpaired surrogate in "\\ud800"', id="a surrogate"
    ),
    pytest.param(
        tool(inputSchema={"\udfff": 1}), "spec.inputSchema", "every key must be valid Unicode", id="a surrogate key"
    ),
    pytest.param(
        tool(inputSchema={b"a": 1}), "spec.inputSchema", "every key must be a JSON value", id="a key of bytes"
    ),
    pytest.param(
        {**tool(), "metadata": {"name": "\ud800"}}, "metadata.name", "surrogate", id="a surrogate in the name"
    ),
    pytest.param(
        {**tool(), "metadata": {"name": "a", "namespace": ["b"]}},
        "metadata.namespace",
        'must be a string, got ["b"]',
        id="a list for a namespace",
    ),
    pytest.param(
        raw("MCPTool", {}, labels=["a"]), "metadata.labels", 'must be an object, got ["a"]', id="a list for labels"
    ),
    pytest.param(
        raw("MCPTool", {}, labels={f"l{number}": "" for number in range(257)}),
        "metadata.labels",
        "257 labels, at most 256 are supported; move what selects nothing to annotations",
        id="too many labels",
    ),
    pytest.param(
        raw("MCPTool", {}, labels={"a": True}),
        "metadata.labels.a",
        "must be a string, got true; quote it",
        id="a boolean",
    ),
    pytest.param(raw("MCPTool", {}, labels={"a": {"b"}}), "metadata.labels.a", "type set", id="a set for a label"),
    pytest.param(
        raw("MCPTool", {}, labels={1: "a"}),
        "metadata.labels",
        "must be a string, got 1; quote it",
        id="a number for a label key",
    ),
]


@pytest.mark.parametrize(("document", "path", "message"), UNSTORABLE)
def test_what_only_yaml_can_say_is_a_problem(document: dict[str, Any], path: str, message: str) -> None:
    item = manifest.decode(document)
    problem = item.problems[0]
    assert format_path(problem.path) == path
    assert message in problem.message
    assert item.fact is None
    assert all(isinstance(value, str) for value in item.labels.values())
    problem.message.encode()


@pytest.mark.parametrize(
    "schema", [nested(199), *({"default": value} for value in (2**64 - 1, -(2**63), "\U0001f600", None, 1.5, [True]))]
)
def test_what_json_can_hold_is_no_problem(schema: dict[str, Any]) -> None:
    assert manifest.decode(tool(inputSchema=schema)).problems == ()


def test_a_spec_that_no_encoder_takes_says_why() -> None:
    class Odd(float):
        """Looks like a number, and is none that JSON encoders know."""

    (problem,) = manifest.decode(tool(inputSchema={"default": Odd(1)})).problems
    assert "cannot be encoded as JSON" in problem.message


@pytest.mark.parametrize("member", ["kind", "apiVersion"])
@pytest.mark.parametrize("value", [[], {}, 7, None])
def test_a_kind_of_another_type_is_no_kind(member: str, value: Any) -> None:
    assert manifest.kind_of({**tool(), member: value}) is None


@pytest.mark.parametrize("name", ["1a", "a.b", "a" * 56])
def test_a_server_whose_name_can_name_no_service_is_broken(name: str) -> None:
    item = manifest.decode(raw("MCPServer", {"toolSelector": {}}, name=name))
    assert [found.path for found in item.problems] == [("metadata", "name")]
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
            tool(ingressPath="/a"),
            [(Space.TOOL_NAME, "a"), (Space.REST_PATH, "POST /a")],
            id="a tool takes POST",
        ),
        pytest.param(
            raw("MCPPrompt", {"template": "t", "ingressPath": "/a"}),
            [(Space.PROMPT_NAME, "a"), (Space.REST_PATH, "GET /a")],
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
            [
                (Space.URI, "mcp://a/b"),
                (Space.REST_PATH, "GET /b"),
                (Space.REST_PATH, "PUT /b"),
                (Space.URI, "shop://c"),
            ],
            id="each GET a URI, each operation a door, none twice",
        ),
    ],
)
def test_what_an_object_claims(document: dict[str, Any], claims: list[tuple[Space, str]]) -> None:
    assert fact_of(document).claims == tuple(Claim(space, value) for space, value in claims)


def test_each_claim_names_the_field_that_makes_it() -> None:
    service = {"name": "orders", "port": 80}
    operations = [
        {"ingressPath": "/b", "method": "PUT", "service": service},
        {"ingressPath": "/c", "service": service, "uriTemplate": "shop://c"},
        {"ingressPath": "/c", "service": service, "uriTemplate": "shop://d"},
    ]
    fact = fact_of(raw("MCPResource", {"operations": operations}))
    assert {claim.value: format_path(fact.place(claim)) for claim in fact.claims} == {
        "PUT /b": "spec.operations[0].ingressPath",
        "shop://c": "spec.operations[1].uriTemplate",
        "GET /c": "spec.operations[1].ingressPath",
        "shop://d": "spec.operations[2].uriTemplate",
    }
    assert fact.place(Claim(Space.TOOL_NAME, "not claimed")) == ("spec",)


def test_a_server_claims_nothing() -> None:
    assert list(manifest.claims(manifest.decode(server()))) == []


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (tool(ingressPath="/a"), "spec.ingressPath"),
        (raw("MCPPrompt", {"template": "t", "ingressPath": "/a"}), "spec.ingressPath"),
        (content(text=""), "spec.content.uri"),
    ],
)
def test_the_place_of_the_last_claim(document: dict[str, Any], place: str) -> None:
    assert format_path(fact_of(document).places[-1]) == place


@pytest.mark.parametrize(
    ("document", "backends"),
    [
        pytest.param(tool(), [BackendRef(ORDERS, 80, ("spec", "service"))], id="a Service of its own namespace"),
        pytest.param(
            tool(service={"name": "orders", "namespace": "other", "port": "http"}),
            [BackendRef(Ref(Kind.SERVICE, "other", "orders"), "http", ("spec", "service"))],
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
                BackendRef(Ref(Kind.SERVICE, "shop", "x"), 1, ("spec", "operations", 0, "service")),
                BackendRef(ORDERS, 2, ("spec", "operations", 1, "service")),
            ],
            id="one for each operation",
        ),
        pytest.param(raw("MCPResource", {"content": {"uri": "a:b", "text": ""}}), [], id="none for content"),
        pytest.param(raw("MCPPrompt", {"template": "t"}), [], id="none for a prompt"),
    ],
)
def test_what_an_object_calls(document: dict[str, Any], backends: list[BackendRef]) -> None:
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
    assert extraction.service_fact(document) == fact


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        (
            raw("MCPPrompt", {"template": "x", "variables": [0] * 40_000}),
            "spec.variables",
            "must have at most 64 entries, got 40000; remove some",
        ),
        (
            raw("MCPServer", {"toolSelector": {"matchLabels": {f"key-{n}": 0 for n in range(9000)}}}),
            "spec.toolSelector.matchLabels",
            "must have at most 64 entries, got 9000; remove some",
        ),
        (
            raw("MCPResource", {"operations": [{"parameters": [{}] * 40_000}]}),
            "spec.operations[0].parameters",
            "must have at most 32 entries, got 40000; remove some",
        ),
    ],
)
def test_the_entries_of_a_long_list_are_not_read(document: dict[str, Any], path: str, message: str) -> None:
    item = manifest.decode(document)

    assert [(format_path(found.path), found.message) for found in item.problems] == [(path, message)]


def test_a_large_object_with_lists_of_allowed_lengths_is_read() -> None:
    item = manifest.decode(raw("MCPPrompt", {"messages": [{"text": "x" * 30_000} for _ in range(32)]}))

    assert item.problems == ()
    assert item.spec is not None


def test_of_very_many_invalid_values_the_number_is_reported() -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": "In", "values": [0] * 64}] * 32}
    item = manifest.decode(raw("MCPServer", {"toolSelector": selector}))

    assert [(format_path(found.path), found.message) for found in item.problems] == [
        ("spec", "2048 values are invalid, which is too many to list; correct them")
    ]


def test_a_value_that_cannot_be_stored_is_looked_for_only_so_far() -> None:
    filler = [[0] * 1000 for _ in range(100)]

    assert problem.find_unstorable([2**65, *filler], ("spec",)) is not None
    assert problem.find_unstorable([*filler, 2**65], ("spec",)) is None
