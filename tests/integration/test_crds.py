"""The CRDs on a real API server without any webhook: what the schema alone holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd import manifest, openapi

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
VALID = MANIFESTS / "examples" / "valid"
SERVICE = {"name": "orders", "port": 80}
OPERATION = {"ingressPath": "/a", "service": SERVICE}
SELECTOR = {"matchLabels": {"app": "shop"}}


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Iterator[Cluster]:
    """The control plane with our CRDs and the examples' namespaces; the examples are taken away again."""
    control_plane.run("apply", "-k", str(MANIFESTS / "base" / "crds"))
    control_plane.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for namespace in ("shop", "shop-preview"):
        control_plane.run("create", "namespace", namespace, check=False)
    yield control_plane
    for namespace in ("shop", "shop-preview"):
        control_plane.run("delete", "mcp", "--all", "-n", namespace)


def dry_run(cluster: Cluster, document: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    return cluster.run("create", "--dry-run=server", *flags, "-f", "-", stdin=json.dumps(document), check=False)


def raw(kind: str, spec: Any, name: str = "twin") -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def tool(**fields: Any) -> dict[str, Any]:
    return raw("MCPTool", {"service": SERVICE, **fields})


def port(value: Any) -> dict[str, Any]:
    return tool(service={"name": "orders", "port": value})


def prompt(**fields: Any) -> dict[str, Any]:
    return raw("MCPPrompt", {"template": "t", **fields})


def server(name: str = "twin", **fields: Any) -> dict[str, Any]:
    return raw("MCPServer", {"toolSelector": SELECTOR, **fields}, name)


def test_every_definition_is_structural(cluster: Cluster) -> None:
    listed = json.loads(cluster.run("get", "crd", "-o", "json").stdout)["items"]
    ours = {item["spec"]["names"]["kind"]: item for item in listed if item["spec"]["group"] == "mcp.example.com"}
    assert set(ours) == {kind.value for kind in openapi.KINDS}
    for item in ours.values():
        conditions = {condition["type"]: condition["status"] for condition in item["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_valid_examples_are_accepted_and_the_second_time_unchanged(cluster: Cluster) -> None:
    cluster.run("apply", "-f", str(VALID))
    second = cluster.run("apply", "-f", str(VALID))
    assert [line for line in second.stdout.splitlines() if not line.endswith(" unchanged")] == []


def test_what_is_stored_reads_as_what_was_written(cluster: Cluster) -> None:
    """The static defaults that the API server fills in are those of the models, so a stored object means the same."""
    cluster.run("apply", "-f", str(VALID))
    for file in sorted(VALID.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if manifest.kind_of(document) in openapi.KINDS:
                metadata = document["metadata"]
                got = cluster.run("get", document["kind"], metadata["name"], "-n", metadata["namespace"], "-o=json")
                assert manifest.decode(json.loads(got.stdout)).spec == manifest.decode(document).spec


def test_all_kinds_are_listed_by_category_and_short_name(cluster: Cluster) -> None:
    cluster.run("apply", "-f", str(VALID))
    names = cluster.run("get", "mcp", "-n", "shop", "-o", "name").stdout.split()
    assert {name.partition(".")[0] for name in names} == {"mcpserver", "mcptool", "mcpprompt", "mcpresource"}
    for short in ("mcps", "mcpt", "mcpp", "mcpr"):
        assert cluster.run("get", short, "-n", "shop", "-o", "name").stdout


def test_a_field_is_explained(cluster: Cluster) -> None:
    explained = cluster.run("explain", "mcpserver.spec.sessions.mode").stdout
    assert "any pod serves any session" in " ".join(explained.split())


@pytest.mark.parametrize(
    "file", sorted((MANIFESTS / "examples" / "invalid").glob("InvalidField--*.yaml")), ids=lambda file: file.stem
)
def test_a_breach_of_the_schema_is_refused_without_a_webhook(cluster: Cluster, file: Path) -> None:
    refused = cluster.run("apply", "--dry-run=server", "-f", str(file), check=False)
    assert refused.returncode != 0
    (document,) = yaml.safe_load_all(file.read_text())
    for problem in manifest.decode(document).problems:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.path)[1:]
        assert place in refused.stderr


@pytest.mark.parametrize(
    "file", sorted((MANIFESTS / "examples" / "invalid").glob("UnknownField--*.yaml")), ids=lambda file: file.stem
)
@pytest.mark.parametrize("how", ["client-side", "server-side"])
def test_an_unknown_field_is_refused_by_kubectl(cluster: Cluster, file: Path, how: str) -> None:
    flags = ["--server-side"] if how == "server-side" else []
    refused = cluster.run("apply", "--dry-run=server", *flags, "-f", str(file), check=False)
    assert refused.returncode != 0
    assert "spec." in refused.stderr


def test_an_unknown_field_that_nobody_validates_is_dropped(cluster: Cluster) -> None:
    kept = dry_run(cluster, tool(inputschema={"type": "object"}), "--validate=false", "-o", "json")
    assert kept.returncode == 0, kept.stderr
    assert "inputschema" not in json.loads(kept.stdout)["spec"]


def test_members_of_an_input_schema_are_never_dropped(cluster: Cluster) -> None:
    schema = {"type": "object", "x-mine": {"any": [1, None, {"thing": True}]}, "$defs": {"a": {"type": "string"}}}
    kept = dry_run(cluster, tool(inputSchema=schema), "-o", "json")
    assert kept.returncode == 0, kept.stderr
    assert json.loads(kept.stdout)["spec"]["inputSchema"] == schema


TWINS = [
    pytest.param(port(1), True, id="the lowest port"),
    pytest.param(port(65535), True, id="the highest port"),
    pytest.param(port(0), False, id="port 0"),
    pytest.param(port(65536), False, id="port 65536"),
    pytest.param(port("http-2"), True, id="a port by name"),
    pytest.param(port("-http"), False, id="a port name that starts with a dash"),
    pytest.param(port("h" * 63), True, id="a port name of 63 characters"),
    pytest.param(port("h" * 64), False, id="a port name of 64 characters"),
    pytest.param(port("80"), False, id="a port name without a letter"),
    pytest.param(port("8a"), True, id="a port name with one letter"),
    pytest.param(port(1.5), False, id="a port with a fraction"),
    pytest.param(port(True), False, id="a port that is a truth value"),
    pytest.param(tool(name="n" * 128), True, id="a name of 128 characters"),
    pytest.param(tool(name="n" * 129), False, id="a name of 129 characters"),
    pytest.param(tool(name="a\n"), False, id="a name with a line break at its end"),
    pytest.param(tool(description="ü" * 2048), True, id="2048 characters, not bytes"),
    pytest.param(tool(description="ü" * 2049), False, id="2049 characters"),
    pytest.param(tool(description=7), False, id="a number for a description"),
    pytest.param(tool(inputSchema=[]), False, id="a list for inputSchema"),
    pytest.param(tool(ingressPath="/a/{b}"), True, id="a door with a parameter"),
    pytest.param(tool(ingressPath="/a?b"), False, id="a door with a query"),
    pytest.param(prompt(template="t" * 32768), True, id="a template of 32768 characters"),
    pytest.param(prompt(template="t" * 32769), False, id="a template of 32769 characters"),
    pytest.param(prompt(template=""), False, id="an empty template"),
    pytest.param(prompt(variables=[{"name": f"v{n}"} for n in range(64)]), True, id="64 variables"),
    pytest.param(prompt(variables=[{"name": f"v{n}"} for n in range(65)]), False, id="65 variables"),
    pytest.param(
        prompt(variables=[{"name": "a", "required": False, "default": ""}]), True, id="optional, with default"
    ),
    pytest.param(
        prompt(variables=[{"name": "a", "required": True, "default": ""}]), False, id="required, with default"
    ),
    pytest.param(raw("MCPResource", {"content": {"uri": "urn:a", "text": ""}}), True, id="an empty text"),
    pytest.param(raw("MCPResource", {"content": {"uri": "urn:a", "blob": ""}}), False, id="an empty blob"),
    pytest.param(
        raw("MCPResource", {"content": {"uri": "urn:a", "blob": "YQ"}}),
        False,
        id="a blob without its padding",
    ),
    pytest.param(prompt(variables=[{"name": "a"}, {"name": "a"}]), False, id="a variable twice"),
    pytest.param(raw("MCPResource", {"content": {"uri": "urn:a", "blob": "YQ=="}}), True, id="a blob"),
    pytest.param(raw("MCPResource", {"content": {"uri": "urn:a", "text": "", "blob": ""}}), False, id="text and blob"),
    pytest.param(raw("MCPResource", {"operations": []}), False, id="operations that are none"),
    pytest.param(raw("MCPResource", {"operations": [OPERATION] * 32}), True, id="32 operations"),
    pytest.param(raw("MCPResource", {"operations": [OPERATION] * 33}), False, id="33 operations"),
    pytest.param(raw("MCPResource", {}), False, id="neither content nor operations"),
    pytest.param(server(replicas=0), True, id="no replicas"),
    pytest.param(server(replicas=100), True, id="100 replicas"),
    pytest.param(server(replicas=101), False, id="101 replicas"),
    pytest.param(server(replicas=2, sessions={"mode": "Memory"}), False, id="Memory at two replicas"),
    pytest.param(server(sessions={"mode": "Memory"}), True, id="Memory at the default of one replica"),
    pytest.param(server(sessions={"mode": "Redis"}), False, id="Redis without a Redis"),
    pytest.param(server(sessions={"mode": "Redis"}, redis={"serviceName": "r"}), True, id="Redis with a Redis"),
    pytest.param(server(sessions={}), True, id="sessions that say nothing"),
    pytest.param(server(sessions={"ttl": "1h30m"}), True, id="a duration of two units"),
    pytest.param(server(sessions={"ttl": "1d"}), False, id="a duration in days"),
    pytest.param(server(sessions={"ttl": "0s"}), False, id="a duration of nothing"),
    pytest.param(server(sessions={"ttl": "999999999999h"}), True, id="the longest duration"),
    pytest.param(server(sessions={"ttl": "9999999999999h"}), False, id="a duration that is too long"),
    pytest.param(server(sessions={"ttl": "30m1h"}), True, id="a duration in any order"),
    pytest.param(server(sessions={"ttl": "1h0m"}), True, id="a duration with a part of nothing"),
    pytest.param(server(sessions={"ttl": "0h0m"}), False, id="a duration of nothing, twice"),
    pytest.param(tool(service={**SERVICE, "path": "/a\u00a0b"}), False, id="a path with a no-break space"),
    pytest.param(tool(service={**SERVICE, "path": "/a\u000bb"}), False, id="a path with a vertical tab"),
    pytest.param(tool(service={**SERVICE, "path": '/!"$%&>@[]^~'}), True, id="a path of every other sign"),
    pytest.param(raw("MCPResource", {"content": {"uri": "urn:\u00fc", "text": ""}}), False, id="a URI beyond ASCII"),
    pytest.param(raw("MCPResource", {"content": {"uri": "urn:!~#?", "text": ""}}), True, id="a URI of printable ASCII"),
    pytest.param(server(imagePullSecrets=[{"name": "a"}] * 2), False, id="an image pull secret twice"),
    pytest.param(
        raw("MCPResource", {"operations": [{**OPERATION, "parameters": [{"name": "a", "in": "query"}] * 2}]}),
        False,
        id="a parameter twice in one place",
    ),
    pytest.param(
        raw(
            "MCPResource",
            {"operations": [{**OPERATION, "parameters": [{"name": "a", "in": p} for p in ("query", "header")]}]},
        ),
        True,
        id="a parameter in two places",
    ),
    pytest.param(server(toolSelector={}), True, id="an empty selector, which only a webhook refuses"),
    pytest.param(server(toolSelector={"matchLabels": {"a": "v" * 64}}), False, id="a label value of 64 characters"),
    pytest.param(server("a" * 55), True, id="a server's name of 55 characters"),
    pytest.param(server("a" * 56), False, id="a server's name of 56 characters"),
    pytest.param(server("1a"), False, id="a server's name that starts with a digit"),
]


@pytest.mark.parametrize(("document", "accepted"), TWINS)
def test_the_api_server_and_the_models_say_the_same(cluster: Cluster, document: dict[str, Any], accepted: bool) -> None:
    answer = dry_run(cluster, document)
    assert (answer.returncode == 0) == accepted, answer.stderr
    assert (manifest.decode(document).problems == ()) == accepted
