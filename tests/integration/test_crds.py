"""The CRDs on a real API server without any webhook: what the schema alone enforces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd import manifest
from crd.finding import format_path
from crd.models import openapi
from tests.integration import answers, twins, wholes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
VALID = MANIFESTS / "examples" / "valid"
NAMESPACES = tuple(
    sorted(
        {
            document["metadata"]["namespace"]
            for folder in (VALID, MANIFESTS / "examples" / "invalid")
            for file in folder.rglob("*.yaml")
            for document in yaml.safe_load_all(file.read_text())
            if document and "namespace" in document.get("metadata", {})
        }
        | {"shop"}
    )
)


def documents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Our objects in the files of a folder."""
    for file in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document and manifest.kind_of(document) in openapi.KINDS:
                yield file, document


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Iterator[Cluster]:
    """The control plane with our CRDs and the examples' namespaces; the examples are deleted afterwards."""
    control_plane.run("apply", "-k", str(MANIFESTS / "base" / "crds"))
    control_plane.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for namespace in NAMESPACES:
        control_plane.run("create", "namespace", namespace, check=False)
    yield control_plane
    for namespace in NAMESPACES:
        control_plane.run("delete", "mcp", "--all", "-n", namespace)


def dry_run(cluster: Cluster, document: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    return cluster.run("create", "--dry-run=server", *flags, "-f", "-", stdin=json.dumps(document), check=False)


def test_every_definition_is_structural(cluster: Cluster) -> None:
    listed = json.loads(cluster.run("get", "crd", "-o", "json").stdout)["items"]
    ours = {item["spec"]["names"]["kind"]: item for item in listed if item["spec"]["group"] == "mcp.example.com"}
    assert set(ours) == {kind.value for kind in openapi.KINDS}
    for item in ours.values():
        conditions = {condition["type"]: condition["status"] for condition in item["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.fixture(scope="module")
def applied(cluster: Cluster) -> Cluster:
    """The cluster with the valid examples."""
    cluster.run("apply", "-R", "-f", str(VALID))
    return cluster


def test_valid_examples_are_accepted_and_the_second_time_unchanged(applied: Cluster) -> None:
    second = applied.run("apply", "-R", "-f", str(VALID))
    ours = [line for line in second.stdout.splitlines() if line.startswith("mcp")]
    assert len(ours) > 90
    assert [line for line in ours if not line.endswith(" unchanged")] == []


def test_a_stored_object_decodes_as_the_written_one(applied: Cluster) -> None:
    """The API server fills in the same static defaults as the models."""
    items = [manifest.decode(item) for item in json.loads(applied.run("get", "mcp", "-A", "-o=json").stdout)["items"]]
    stored = {item.ref: item.spec for item in items}
    for _, document in documents(VALID):
        written = manifest.decode(document)
        assert stored[written.ref] == written.spec


@pytest.mark.parametrize(
    ("kind", "spec"), wholes.WHOLES, ids=[f"{number}-{kind}" for number, (kind, _) in enumerate(wholes.WHOLES)]
)
def test_every_field_is_stored_as_it_was_written(cluster: Cluster, kind: str, spec: dict[str, Any]) -> None:
    kept = dry_run(cluster, wholes.raw(kind, spec), "-o", "json")
    assert kept.returncode == 0, kept.stderr
    stored = json.loads(kept.stdout)
    assert manifest.decode(stored).spec == manifest.decode(wholes.raw(kind, spec)).spec
    assert lost(spec, stored["spec"]) == []


def lost(written: Any, stored: Any, path: str = "spec") -> list[str]:
    """The fields that were stored differently than written; additional fields are defaults."""
    if isinstance(written, dict) and isinstance(stored, dict):
        return [each for name in written for each in lost(written[name], stored.get(name), f"{path}.{name}")]
    return [] if written == stored else [path]


def test_all_kinds_are_listed_by_category_and_short_name(applied: Cluster) -> None:
    names = applied.run("get", "mcp", "-n", "shop", "-o", "name").stdout.split()
    assert {name.partition(".")[0] for name in names} == {"mcpserver", "mcptool", "mcpprompt", "mcpresource"}
    for short in ("mcps", "mcpt", "mcpp", "mcpr"):
        assert applied.run("get", short, "-n", "shop", "-o", "name").stdout


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("mcpserver.spec.sessions.mode", "every pod can serve every session"),
        ("mcpserver.spec.podTemplate.affinity.podAntiAffinity", "Pods to avoid."),
        ("mcptool.spec.http.pagination.nextPointer", "to the next cursor in the complete reply"),
        ("mcptool.spec.headersFrom.secretKeyRef.key", "Key in the Secret or ConfigMap."),
        ("mcpprompt.spec.messages.resource.uri", "URI of a resource that the same server serves."),
        ("mcpresource.spec.uriTemplate", "its variables are the arguments of the mapping"),
    ],
)
def test_a_field_is_explained(cluster: Cluster, field: str, words: str) -> None:
    explained = cluster.run("explain", field).stdout
    assert words in " ".join(explained.split())


def test_every_field_has_a_description_to_explain_it_with(cluster: Cluster) -> None:
    """As ``kubectl explain`` reads it: out of the OpenAPI document of the API server."""
    raw = cluster.run("get", "--raw", "/openapi/v3/apis/mcp.example.com/v1alpha1").stdout
    schemas = json.loads(raw)["components"]["schemas"]
    seen = 0
    for kind in openapi.KINDS:
        (schema,) = (s for name, s in schemas.items() if name.endswith(f".{kind}"))
        for path, node in fields({name: schema["properties"][name] for name in ("spec", "status")}, kind.value):
            assert node.get("description"), path
            seen += 1
    assert seen > 400


def fields(properties: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that has a name."""
    for name, node in properties.items():
        yield f"{path}.{name}", node
        inner = node
        while "items" in inner or isinstance(inner.get("additionalProperties"), dict):
            inner = inner.get("items") or inner["additionalProperties"]
        yield from fields(inner.get("properties", {}), f"{path}.{name}")


STRUCTURAL = [
    pytest.param(file, document, id=file.stem)
    for file, document in documents(MANIFESTS / "examples" / "invalid")
    # No schema can bound the size of a schema in bytes.
    if manifest.decode(document).problems and file.stem != "SchemaTooLarge--bytes"
]


@pytest.mark.parametrize(("file", "document"), STRUCTURAL)
def test_the_schema_rejects_invalid_objects_without_a_webhook(
    cluster: Cluster, file: Path, document: dict[str, Any]
) -> None:
    refused = cluster.run("apply", "--dry-run=server", "-f", str(file), check=False)
    assert refused.returncode != 0
    for problem in manifest.decode(document).problems:
        # The API server writes keys of a map in brackets.
        assert format_path(problem.path) in answers.plain(refused.stderr)


@pytest.mark.parametrize(
    "file", sorted((MANIFESTS / "examples" / "invalid").glob("UnknownField--*.yaml")), ids=lambda file: file.stem
)
@pytest.mark.parametrize("how", ["client-side", "server-side"])
def test_an_unknown_field_is_refused_by_kubectl(cluster: Cluster, file: Path, how: str) -> None:
    flags = ["--server-side"] if how == "server-side" else []
    refused = cluster.run("apply", "--dry-run=server", *flags, "-f", str(file), check=False)
    assert refused.returncode != 0
    assert "spec." in refused.stderr


def test_an_unknown_field_is_dropped_without_validation(cluster: Cluster) -> None:
    kept = dry_run(cluster, twins.tool(inputschema={"type": "object"}), "--validate=false", "-o", "json")
    assert kept.returncode == 0, kept.stderr
    assert "inputschema" not in json.loads(kept.stdout)["spec"]


@pytest.mark.parametrize("member", ["inputSchema", "outputSchema"])
def test_members_of_a_schema_are_never_dropped(cluster: Cluster, member: str) -> None:
    schema = {"type": "object", "x-mine": {"any": [1, None, {"thing": True}]}, "$defs": {"a": {"type": "string"}}}
    kept = dry_run(cluster, twins.tool(**{member: schema}), "-o", "json")
    assert kept.returncode == 0, kept.stderr
    assert json.loads(kept.stdout)["spec"][member] == schema


@pytest.mark.parametrize("row", twins.REFUSED, ids=lambda row: row.what)
def test_the_schema_rejects_what_the_models_reject(cluster: Cluster, row: twins.Refused) -> None:
    refused = answers.of_the_api_server(cluster, [row.document])
    ((places, words),) = refused.values()
    assert row.field in places, words
    # Of bounds and types the API server has words of its own; of everything else it has ours.
    assert not row.message or any(message in words for message in answers.words(row.document)), words


def test_the_schema_accepts_what_the_models_accept(cluster: Cluster) -> None:
    named = {f"a-{number}": what for number, what in enumerate(twins.ACCEPTED)}
    sent = (_renamed(twins.ACCEPTED[what], name) for name, what in named.items())
    assert {named[name]: words for name, (_, words) in answers.of_the_api_server(cluster, sent).items()} == {}


@pytest.mark.parametrize("name", ["a" * 55, "a-1"])
def test_a_name_of_a_server_that_names_its_workloads(cluster: Cluster, name: str) -> None:
    assert answers.of_the_api_server(cluster, [twins.server(name)]) == {}


def _renamed(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "name": name}}


@pytest.mark.parametrize(("what", "before", "after", "words"), twins.CHANGES, ids=[row[0] for row in twins.CHANGES])
def test_an_immutable_field_cannot_change(
    cluster: Cluster, what: str, before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    name = f"kept-{what.replace(' ', '-').lower()}"
    cluster.run("apply", "-f", "-", stdin=json.dumps(_renamed(before, name)))
    changed = cluster.run(
        "replace", "--dry-run=server", "-f", "-", stdin=json.dumps(_renamed(after, name)), check=False
    )
    assert (changed.returncode != 0) == bool(words), changed.stderr
    assert words in changed.stderr


def test_every_bound_is_the_same_on_both_sides(cluster: Cluster) -> None:
    """Schema and models agree on each value at and beyond a bound, and name the same field."""
    probes = list(wholes.probes())
    differing = []
    for start in range(0, len(probes), 500):
        some = probes[start : start + 500]
        refused = answers.of_the_api_server(cluster, (probe.document for probe in some))
        for probe in some:
            places, words = refused.get(probe.name, (set(), ""))
            ours = answers.of_the_models(probe.document)
            if places and not ours:
                ours = answers.of_the_rules(probe.document)
            alike = any(answers.contains(ours, place) for place in places) if places else not ours
            if not alike:
                differing.append((probe.path, probe.value, places, ours, words))
    assert differing == []
    assert len(probes) > 2000


# Why the definitions alone do not refuse an example: CEL sees one object, and no JSON Schema, template or base64.
OTHERS = "it takes other objects to tell"
UNSAID = {
    "CatalogTooLarge": OTHERS,
    "ClientPortability": OTHERS,
    "ContextBudgetExceeded": OTHERS,
    "CrossNamespaceDenied": OTHERS,
    "DuplicateIngressPath": OTHERS,
    "DuplicateName": OTHERS,
    "DuplicateURI": OTHERS,
    "IngressTaken": OTHERS,
    "ServiceExternalName": OTHERS,
    "InvalidSchema": "CEL cannot see into inputSchema, which keeps whatever is in it",
    "RemoteReference": "CEL cannot see into inputSchema, which keeps whatever is in it",
    "SchemaTooLarge": "CEL cannot see into inputSchema, which keeps whatever is in it",
    "UnmappedArgument": "CEL cannot see into inputSchema, which keeps whatever is in it",
    "PatternTooLarge": "CEL cannot see into inputSchema, which keeps whatever is in it",
    "UnsupportedPattern": "CEL cannot see into inputSchema, which keeps whatever is in it",
    "InvalidMapping": "it takes the arguments of inputSchema, which CEL cannot see",
    "InvalidURITemplate": "CEL parses no template",
    "UndeclaredPlaceholder": "CEL parses no template",
    "UnsafePath": "CEL decodes no %XX",
    "UnsafeText": "its patterns cannot name the characters that are meant, and its cost would be too high",
    "InvalidURI": "the schema's pattern is coarser than RFC 3986",
    "InvalidContent": "CEL decodes no base64",
    "InvalidName": "it takes the prefix of a server to tell",
    "UnsafeHeader": "headers of an operation are checked by their place",
    "DuplicateEntry": "header names are the same in upper and lower case, list keys are not",
    "ImmutableField": "a removed parent has no oldSelf to compare with",
    "InvalidField": "the pattern of a CIDR block accepts prefixes that are too long, such as 10.0.0.0/33",
    "UnknownField": "kubectl refuses it, the API server drops it",
    "InvalidSelector": "a selector of another object's shape",
    "UnsafeWorkload": "its keys and names would cost CEL too much",
    "UnsafeRetry": "the hint stands in another part of the spec",
}


def test_the_definitions_alone_reject_their_part_of_the_examples(applied: Cluster) -> None:
    """Every reason that the definitions let pass is in the table, and every one that they can state is refused."""
    by_definition: set[str] = set()
    let_pass: set[str] = set()
    for path in sorted((MANIFESTS / "examples" / "invalid").glob("*.yaml")):
        done = applied.run("apply", "--dry-run=server", "-f", str(path), check=False)
        (by_definition if done.returncode else let_pass).add(path.stem)
    reasons = {stem.partition("--")[0] for stem in let_pass}
    assert reasons - set(UNSAID) == set()
    assert {"EmptySelector", "InvalidSelector", "RedisRequired", "UnsafeRetry", "InvalidField", "InvalidContent"} <= {
        stem.partition("--")[0] for stem in by_definition
    }
    assert len(by_definition) >= 75
