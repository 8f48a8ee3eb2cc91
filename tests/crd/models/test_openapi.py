"""The CRDs: what the API server asks of a structural schema, and what people ask of ``kubectl explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml

from crd import manifest
from crd.models import cel, openapi, patterns, problem
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


NODES = [entry for kind in openapi.KINDS for entry in nodes(openapi.schema(kind), kind)]
BOUNDS = {
    "array": {"maxItems"},
    "string": {"maxLength"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
}


def rows(entries: Iterable[tuple[str, dict[str, Any]]]) -> list[Any]:
    return [pytest.param(path, node, id=path) for path, node in entries]


def described() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node but metadata, values of a map and plain entries of a list: those have no name to explain."""
    for path, node in NODES:
        nameless = path.endswith((".metadata", "{}")) or (path.endswith("[]") and "properties" not in node)
        if not nameless:
            yield path, node


@pytest.mark.parametrize(("path", "node"), rows(NODES))
def test_a_node_is_structural(path: str, node: dict[str, Any]) -> None:
    assert not {"$ref", "$defs", "allOf", "oneOf", "not", "title", "const", "propertyNames"} & set(node), path
    assert not ("properties" in node and "additionalProperties" in node)
    if node.get("x-kubernetes-int-or-string"):
        assert node["anyOf"] == [{"type": "integer"}, {"type": "string"}]
        assert "type" not in node
    else:
        assert "anyOf" not in node
        assert node["type"] in ("object", "array", "string", "integer", "number", "boolean")


@pytest.mark.parametrize(("path", "node"), rows(described()))
def test_every_field_is_described_in_whole_sentences(path: str, node: dict[str, Any]) -> None:
    assert node["description"].endswith("."), path


def test_every_size_is_bounded_so_that_the_cost_of_cel_is() -> None:
    for path, node in NODES:
        if ".spec" in path and "enum" not in node:
            assert BOUNDS.get(node.get("type", ""), set()) <= set(node), path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


@pytest.mark.parametrize(("path", "node"), rows(entry for entry in NODES if "items" in entry[1]))
def test_every_list_says_how_it_merges(path: str, node: dict[str, Any]) -> None:
    assert node["x-kubernetes-list-type"] in ("map", "set", "atomic"), path
    assert set(node.get("x-kubernetes-list-map-keys", ())) <= set(node["items"].get("required", ()))
    assert ("x-kubernetes-list-map-keys" in node) == (node["x-kubernetes-list-type"] == "map")


@pytest.mark.parametrize(("path", "node"), rows(entry for entry in NODES if "default" in entry[1]))
def test_a_default_fits_its_own_schema(path: str, node: dict[str, Any]) -> None:
    assert jsonschema_rs.Draft202012Validator(node).is_valid(node["default"]), path


def test_nothing_is_filled_in_inside_of_a_list() -> None:
    """``kubectl apply`` sends a list whole: it would take the value out, and call an unchanged object configured."""
    stored = [openapi.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in openapi.KINDS]
    found = [entry for schema in stored for entry in nodes(schema, "")]
    assert [path for path, node in found if "[]" in path and "default" in node] == []
    variables = dict(nodes(stored[openapi.KINDS.index(Kind.PROMPT)], ""))[".spec.variables[]"]
    assert variables["properties"]["default"]["type"] == "string"


@pytest.mark.parametrize(("path", "node"), rows(entry for entry in NODES if entry[1].get("type") == "object"))
def test_an_object_has_members_or_is_a_map_or_keeps_everything(path: str, node: dict[str, Any]) -> None:
    """The API server drops whatever an object's schema does not mention."""
    free = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"} & set(node)
    assert len(free) == 1 or path.endswith(".metadata"), path
    assert set(node.get("required", ())) <= set(node.get("properties", ()))


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_a_definition(kind: Kind) -> None:
    definition = openapi.definition(kind)
    assert definition["metadata"]["name"] == f"{kind.value.lower()}s.mcp.example.com"
    spec = definition["spec"]
    assert (spec["group"], spec["scope"]) == ("mcp.example.com", "Namespaced")
    assert spec["names"]["categories"] == ["mcp"]
    (version,) = spec["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    scaled = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert version["subresources"] == {"status": {}, **({"scale": scaled} if kind is Kind.SERVER else {})}
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"
    assert set(version["schema"]["openAPIV3Schema"]["properties"]) == {
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "status",
    }


def test_the_short_names() -> None:
    names = [openapi.definition(kind)["spec"]["names"]["shortNames"] for kind in openapi.KINDS]
    assert names == [["mcps"], ["mcpt"], ["mcpp"], ["mcpr"]]


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_every_column_shows_a_field_that_there_is(kind: Kind) -> None:
    paths = {path for path, _ in nodes(openapi.schema(kind), "")}
    (version,) = openapi.definition(kind)["spec"]["versions"]
    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"]
        if path == ".metadata.creationTimestamp":
            assert column["type"] == "date"
        else:
            assert path.replace('[?(@.type=="Ready")]', "[]") in paths


@pytest.mark.parametrize(
    ("kind", "path", "default"),
    [
        (Kind.SERVER, ".spec.redis.port", 6379),
        (Kind.SERVER, ".spec.redis.db", 0),
        (Kind.SERVER, ".spec.redis.mode", "Standalone"),
        (Kind.SERVER, ".spec.telemetry.traces.port", 4318),
        (Kind.SERVER, ".spec.telemetry.traces.sampleRatio", "0.1"),
        (Kind.SERVER, ".spec.redis.sentinel.port", 26379),
        (Kind.SERVER, ".spec.autoscaling.minReplicas", 1),
        (Kind.SERVER, ".spec.podDisruptionBudget.minAvailable", 1),
        (Kind.SERVER, ".spec.config.maxRequestBytes", "1Mi"),
        (Kind.SERVER, ".spec.auth.type", "None"),
        (Kind.SERVER, ".spec.ingress.pathPrefix", "/mcp"),
        (Kind.SERVER, ".spec.config", {}),
        (Kind.SERVER, ".spec.config.requestTimeout", "30s"),
        (Kind.SERVER, ".spec.config.maxConcurrentRequests", 100),
        (Kind.SERVER, ".spec.sessions.ttl", "30m"),
        (Kind.TOOL, ".spec.method", "POST"),
        (Kind.TOOL, ".spec.inputSchema", {"type": "object"}),
        (Kind.TOOL, ".spec.service.path", "/"),
        (Kind.TOOL, ".spec.service.scheme", "http"),
        (Kind.TOOL, ".spec.enabled", True),
        (Kind.TOOL, ".spec.retries.attempts", 0),
        (Kind.TOOL, ".spec.retries.retryOn", ["connect"]),
        (Kind.TOOL, ".spec.response.expectStatus", ["2xx"]),
        (Kind.RESOURCE, ".spec.content.mimeType", "text/plain"),
    ],
)
def test_a_static_default_is_in_the_schema(kind: Kind, path: str, default: Any) -> None:
    assert dict(nodes(openapi.schema(kind), ""))[path]["default"] == default


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.SERVER, ".spec.sessions"),
        (Kind.SERVER, ".spec.sessions.mode"),
        (Kind.SERVER, ".spec.redis"),
        (Kind.SERVER, ".spec.replicas"),
        (Kind.SERVER, ".spec.podDisruptionBudget"),
        (Kind.TOOL, ".spec.name"),
        (Kind.TOOL, ".spec.retries"),
        (Kind.TOOL, ".spec.response.maxBytes"),
        (Kind.TOOL, ".spec.annotations.readOnlyHint"),
        (Kind.TOOL, ".spec.service.namespace"),
    ],
)
def test_what_another_field_decides_has_no_static_default(kind: Kind, path: str) -> None:
    assert "default" not in dict(nodes(openapi.schema(kind), ""))[path]


def test_the_arguments_of_a_tool_are_kept_as_they_are() -> None:
    node = dict(nodes(openapi.schema(Kind.TOOL), ""))[".spec.inputSchema"]
    assert node["x-kubernetes-preserve-unknown-fields"] is True
    assert "properties" not in node


@pytest.mark.parametrize(
    ("kind", "path", "needle"),
    [
        (Kind.SERVER, ".spec", "'Redis'"),
        (Kind.SERVER, ".spec", "'Memory'"),
        (Kind.PROMPT, ".spec.variables[]", "self.default"),
        (Kind.RESOURCE, ".spec", "self.operations"),
        (Kind.RESOURCE, ".spec.content", "self.blob"),
        (Kind.TOOL, ".spec.service.port", "65535"),
    ],
)
def test_a_rule_about_several_fields_is_there_as_cel(kind: Kind, path: str, needle: str) -> None:
    rules = dict(nodes(openapi.schema(kind), ""))[path]["x-kubernetes-validations"]
    assert any(needle in rule["rule"] for rule in rules)
    assert all(rule["message"] for rule in rules)


def documents(folder: str) -> list[Any]:
    return [
        pytest.param(file.stem.partition("--")[2], document, id=f"{file.stem}-{document['kind']}")
        for file in sorted((EXAMPLES / folder).glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if manifest.kind_of(document) in openapi.KINDS
    ]


@pytest.mark.parametrize(("_what", "document"), documents("valid"))
def test_the_schema_and_the_model_accept_what_is_valid(_what: str, document: dict[str, Any]) -> None:
    jsonschema_rs.Draft202012Validator(openapi.schema(Kind(document["kind"]))).validate(document)
    assert manifest.decode(document).problems == ()


@pytest.mark.parametrize(
    ("kind", "path", "values"),
    [
        (Kind.TOOL, ".spec.http.pagination.nextLink", [True]),
        (Kind.TOOL, ".spec.http.body.encoding", ["Base64"]),
        (Kind.TOOL, ".spec.http.body.fields[].encoding", ["Base64"]),
        (Kind.TOOL, ".spec.mcp.session", ["PerCall", "Shared"]),
    ],
)
def test_a_field_of_few_values_lists_them(kind: Kind, path: str, values: list[Any]) -> None:
    assert dict(nodes(openapi.schema(kind), ""))[path]["enum"] == values


BROKEN = [row for row in documents("invalid") if manifest.decode(row.values[1]).problems]


def validated(schema: dict[str, Any], path: tuple[str | int, ...]) -> bool:
    """Whether a CEL rule stands at a field, or at an object around it."""
    found = "x-kubernetes-validations" in schema
    for step in path:
        if found:
            return True
        schema = schema["items"] if isinstance(step, int) else schema["properties"][step]
        found = "x-kubernetes-validations" in schema
    return found


@pytest.mark.parametrize(("_what", "document"), BROKEN)
def test_what_the_model_refuses_the_schema_refuses_too_or_a_rule_in_it(_what: str, document: dict[str, Any]) -> None:
    """The integration tests send the same documents to a real API server, which reads the rules."""
    schema = openapi.schema(Kind(document["kind"]))
    if jsonschema_rs.Draft202012Validator(schema).is_valid(document):
        for problem in manifest.decode(document).problems:
            assert validated(schema, problem.path), problem.path


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_the_stored_definition_says_in_words_what_the_schema_says_by_a_pattern(kind: Kind) -> None:
    (version,) = openapi.definition(kind)["spec"]["versions"]
    stored = dict(nodes(version["schema"]["openAPIV3Schema"], kind))
    for path, node in nodes(openapi.schema(kind), kind):
        pattern = node.get("pattern")
        if pattern in (None, patterns.LABEL_KEY, patterns.LABEL_VALUE):
            continue
        meaning = patterns.MEANINGS[pattern]
        rule, *_ = stored[path]["x-kubernetes-validations"]
        assert "pattern" not in stored[path], path
        assert rule["message"] == f"must be {meaning}"
        assert cel.string(f"must be {meaning}, got ") in rule["messageExpression"]
        assert cel.string(pattern) in rule["rule"]


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_a_rule_about_an_object_prints_no_value(kind: Kind) -> None:
    for path, node in nodes(openapi.schema(kind), kind):
        if node.get("type") == "object":
            reasons = {rule.get("reason") for rule in node.get("x-kubernetes-validations", ())}
            assert reasons <= {"FieldValueForbidden"}, path


def test_the_fields_that_are_durations_are_known() -> None:
    def names(node: Any) -> Iterator[str]:
        if isinstance(node, list):
            for each in node:
                yield from names(each)
        elif isinstance(node, dict):
            for name, each in node.items():
                if isinstance(each, dict) and each.get("pattern") == patterns.DURATION:
                    yield name
                yield from names(each)

    assert {name for kind in openapi.KINDS for name in names(openapi.schema(kind))} == problem.DURATIONS
