"""Deletions are never refused: with webhook and controller gone, objects, finalizers and namespaces still go away."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from controller.installation import registration
from scripts.localcluster import installation
from tests.integration import programs
from tests.integration.programs import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
NAMESPACE = "going"
FINALIZER = "example.com/held"


@pytest.fixture(scope="module")
def operator(control_plane: Cluster) -> Iterator[Operator]:
    with programs.installed(control_plane, MANIFESTS, NAMESPACE) as found:
        control_plane.run("apply", "-f", "-", stdin=json.dumps(SERVER))
        for name in ("one", "two", "three", "held"):
            control_plane.run("apply", "-f", "-", stdin=tool(name, finalizers=[FINALIZER] if name == "held" else []))
        try:
            yield found
        finally:
            patch(control_plane, {"metadata": {"finalizers": None}})


def document(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": "going"}, **metadata}
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


SERVER = document("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "going"}}, "integrity": "Strict"})


def tool(name: str, served: str = "", **metadata: Any) -> str:
    spec = {"name": served or name, "service": {"name": "orders", "port": 80}}
    return json.dumps(document("MCPTool", name, spec, **metadata))


def patch(cluster: Cluster, change: dict[str, Any]) -> Any:
    words = ("patch", "mcptool", "held", "--type=merge", "-p", json.dumps(change))
    return cluster.run("-n", NAMESPACE, *words, check=False)


def test_the_spec_of_an_object_being_deleted_is_judged_until_it_is_gone(operator: Operator) -> None:
    cluster = operator.cluster
    cluster.run("-n", NAMESPACE, "delete", "mcptool", "held", "--wait=false")

    moved = patch(cluster, {"spec": {"service": {"namespace": "default"}}})
    labelled = patch(cluster, {"metadata": {"labels": {"team": "a"}}})

    assert "denied the request" in moved.stderr
    assert "CrossNamespaceDenied" in moved.stderr
    assert labelled.returncode == 0, labelled.stderr


def test_with_everything_down_what_is_being_deleted_goes_and_nothing_else_changes(operator: Operator) -> None:
    cluster = operator.cluster
    assert installation.failure_policy(cluster) == "Fail"
    operator.stop()

    created = cluster.run("create", "-f", "-", stdin=tool("unjudged"), check=False)
    renamed = patch(cluster, {"spec": {"name": "other"}})
    begun = time.monotonic()
    deleted = cluster.run("-n", NAMESPACE, "delete", "mcptool", "one", "--wait=false", check=False)
    released = patch(cluster, {"metadata": {"finalizers": None}})
    seconds = time.monotonic() - begun

    for refused in (created, renamed):
        assert f'failed calling webhook "{registration.VALIDATOR}"' in refused.stderr
    assert deleted.returncode == 0, deleted.stderr
    assert released.returncode == 0, released.stderr
    assert seconds < 5
    cluster.run("-n", NAMESPACE, "wait", "--for=delete", "mcptool/held", "--timeout=10s")


def test_with_everything_down_a_namespace_goes_with_its_objects(operator: Operator) -> None:
    cluster = operator.cluster
    assert cluster.run("-n", NAMESPACE, "get", "mcp", "-o", "name").stdout

    cluster.run("delete", "namespace", NAMESPACE, "--wait=false")

    cluster.run("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=60s")


def test_the_registration_goes_with_the_namespace_of_the_operator(operator: Operator) -> None:
    cluster = operator.cluster
    names = (f"validatingwebhookconfiguration/{registration.VALIDATING}",
             f"mutatingwebhookconfiguration/{registration.MUTATING}")  # fmt: skip
    for name in names:
        cluster.run("get", name)

    cluster.run("delete", "namespace", "mcp-system", "--wait=false")

    for name in names:
        cluster.run("wait", "--for=delete", name, "--timeout=60s")
    cluster.run("wait", "--for=delete", "namespace/mcp-system", "--timeout=60s")
    freely = json.dumps(document("MCPServer", "free", SERVER["spec"], namespace="default"))
    cluster.run("create", "--dry-run=server", "-f", "-", stdin=freely)
