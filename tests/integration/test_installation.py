"""What the controller installs, on a real API server and with the product's own rights: it stays as it is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from controller.installation import condition, registration
from scripts.localcluster import installation
from tests.integration import programs
from tests.integration.applies import Applies, ca_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.localcluster import Cluster
    from tests.integration.programs import Operator

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
NAMESPACE = "kept"
VALIDATING = f"validatingwebhookconfiguration/{registration.VALIDATING}"
MUTATING = f"mutatingwebhookconfiguration/{registration.MUTATING}"


@pytest.fixture(scope="module")
def operator(control_plane: Cluster) -> Iterator[Operator]:
    with programs.installed(control_plane, MANIFESTS, NAMESPACE, "backends") as found:
        yield found


@pytest.fixture
def cluster(operator: Operator) -> Cluster:
    return operator.cluster


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("get", *words, "-o", "json").stdout))


PATCHES = {
    "matchConditions": [
        {
            "op": "add",
            "path": "/webhooks/0/matchConditions/-",
            "value": {"name": "never", "expression": "false"},
        }
    ],
    "objectSelector": [{"op": "add", "path": "/webhooks/0/objectSelector/matchLabels", "value": {"judge": "me"}}],
    "failurePolicy": [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}],
    "rules": [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}],
    "caBundle": [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}],
}


@pytest.mark.parametrize("edit", sorted(PATCHES))
def test_an_edit_of_the_registration_is_undone_at_once_and_reported(cluster: Cluster, edit: str) -> None:
    before = get(cluster, VALIDATING)["webhooks"]

    cluster.run("patch", VALIDATING, "--type=json", "-p", json.dumps(PATCHES[edit]))

    installation.until("the edit is undone", lambda: get(cluster, VALIDATING)["webhooks"] == before, 3)
    installation.until("an Event says so", lambda: edit in "".join(notes(cluster)) or edit == "caBundle", 5)


def notes(cluster: Cluster) -> list[str]:
    events = get(cluster, "-n", "default", "events.v1.events.k8s.io")["items"]
    return [event["note"] for event in events if event["reason"] == "ForeignEditUndone"]


@pytest.mark.parametrize("name", [VALIDATING, MUTATING])
def test_a_deleted_registration_comes_back(cluster: Cluster, name: str) -> None:
    before = get(cluster, name)["webhooks"]

    cluster.run("delete", name, "--wait=false")

    installation.until("it is back", lambda: cluster.run("get", name, check=False).returncode == 0, 3)
    installation.until("it is as it was", lambda: get(cluster, name)["webhooks"] == before, 10)


def test_a_settled_registration_is_not_written_again(cluster: Cluster) -> None:
    versions = [get(cluster, name)["metadata"]["resourceVersion"] for name in (VALIDATING, MUTATING)]
    # Its own label is not ours to undo; that it has come and gone shows that the controller has seen the change.
    cluster.run("annotate", VALIDATING, "example.com/seen=yes")
    seen = get(cluster, VALIDATING)["metadata"]["resourceVersion"]
    cluster.run("patch", MUTATING, "--type=json", "-p", json.dumps(PATCHES["objectSelector"]))

    def restored() -> bool:
        return not get(cluster, MUTATING)["webhooks"][0]["objectSelector"]

    installation.until("the edit of the other one is undone", restored, 3)
    assert get(cluster, VALIDATING)["metadata"]["resourceVersion"] == seen != versions[0]


def test_a_granted_tool_is_admitted_with_the_rights_of_the_webhook(cluster: Cluster) -> None:
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "tools", "namespace": "backends"},
        "spec": {
            "from": [{"group": "mcp.example.com", "kind": "MCPTool", "namespace": NAMESPACE}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }
    tool = {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": "granted", "namespace": NAMESPACE},
        "spec": {"service": {"name": "orders", "namespace": "backends", "port": 80}},
    }
    refused = cluster.run("create", "-f", "-", stdin=json.dumps(tool), check=False)
    cluster.run("apply", "-f", "-", stdin=json.dumps(grant))

    admitted = cluster.run("create", "-f", "-", stdin=json.dumps(tool), check=False)

    assert "CrossNamespaceDenied" in refused.stderr
    assert admitted.returncode == 0, admitted.stderr
    cluster.run("-n", NAMESPACE, "delete", "mcptool", "granted")


def test_whoever_does_not_know_the_path_gets_nothing(operator: Operator) -> None:
    """With a pod's access to the port and the words of the source code."""
    body = json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u"}}
    ).encode()

    for path in ("/validate", "/mutate", "/note-deletion", f"/note-deletion/{'0' * 32}"):
        assert operator.http("webhook", path, body) == (404, b"there is nothing here\n")
    assert operator.http("webhook", f"/validate/{operator.key()}", body)[0] == 400


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one"},
    "spec": {
        "containers": [{"name": "controller", "image": "localhost/none"}],
        "readinessGates": [{"conditionType": condition.TYPE}],
    },
}


def test_a_pod_of_the_controller_says_whether_admission_is_in_force(operator: Operator) -> None:
    """With the rights of the controller; nobody runs the pod."""
    cluster = operator.cluster
    cluster.run("-n", "mcp-system", "create", "-f", "-", stdin=json.dumps(POD))
    wait = ("-n", "mcp-system", "wait", "pod/one", "--timeout=60s")
    try:
        cluster.run(*wait, f"--for=condition={condition.TYPE}")
        operator.stop_webhook()
        try:
            cluster.run(*wait, f"--for=condition={condition.TYPE}=False")
            said = get(cluster, "pod", "one", "-n", "mcp-system")["status"]["conditions"]
            (found,) = [each for each in said if each["type"] == condition.TYPE]
            assert found["reason"] == "CanaryNotRefused"
            assert "connection refused" in found["message"]
        finally:
            operator.start_webhook()
        cluster.run(*wait, f"--for=condition={condition.TYPE}")
    finally:
        cluster.run("-n", "mcp-system", "delete", "pod", "one", "--now")


def test_an_author_sees_the_path_in_an_outage_and_it_is_of_no_use_afterwards(operator: Operator) -> None:
    cluster = operator.cluster
    shown = operator.key()
    operator.stop_webhook()

    prompt = {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPPrompt", "spec": {"template": "Hello."}}
    prompt["metadata"] = {"name": "author", "namespace": NAMESPACE}
    seen = cluster.run("create", "-f", "-", stdin=json.dumps(prompt), check=False).stderr
    assert f'failed calling webhook "{registration.VALIDATOR}"' in seen
    assert f"https://127.0.0.1:{operator.ports['webhook']}/validate/{shown}?timeout=5s" in seen
    try:
        installation.until("the canary has failed", lambda: "CanaryNotRefused" in events(cluster), 90)
        assert shown not in events(cluster)
        assert shown not in operator.http("controller-health", "/readyz")[1].decode()
    finally:
        operator.start_webhook()
    installation.until("the webhook answers", lambda: operator.http("webhook-health", "/readyz")[0] == 200, 30)

    def is_refused() -> bool:
        return operator.http("webhook", f"/validate/{shown}", b"{}")[0] == 404

    with Applies(cluster, NAMESPACE) as applies:
        installation.until("another path is registered", lambda: operator.key() != shown, 60)
        installation.until("the old one is not accepted", is_refused, 90)
    assert applies.failures == []
    assert applies.done > 20


def events(cluster: Cluster) -> str:
    return cluster.run("-n", "default", "get", "events.v1.events.k8s.io", "-o", "json").stdout


def lose_key(cluster: Cluster) -> None:
    patch = json.dumps({"data": {"tls.key": ""}})
    cluster.run("-n", "mcp-system", "patch", "secret", "mcp-operator-ca", "--type=merge", "-p", patch)


def delete(cluster: Cluster) -> None:
    cluster.run("-n", "mcp-system", "delete", "secret", "mcp-operator-ca", "--wait=false")


@pytest.mark.parametrize("damage", [lose_key, delete])
def test_a_damaged_ca_is_replaced_without_a_refusal(cluster: Cluster, damage: Callable[[Cluster], None]) -> None:
    before = ca_now(cluster).current

    def replaced() -> bool:
        held = ca_now(cluster)
        # A lost key leaves the certificate, and makes another pair of it.
        return bool(held and held.current and held.current.certificate != before.certificate and held.following is None)

    with Applies(cluster, NAMESPACE) as applies:
        damage(cluster)
        installation.until("a new CA signs", replaced, 60)
        # The certificates of the webhook move within its interval.
        deadline = time.monotonic() + 12
        while time.monotonic() < deadline:
            time.sleep(0.5)

    assert applies.failures == []
    assert applies.done > 20
    assert cluster.run("get", "validatingwebhookconfiguration", registration.CA_PROBE, check=False).returncode != 0
    assert before.certificate in ca_now(cluster).previous
