"""With the component of cert-manager, the webhook serves what that issues, and nobody fights over the bundle."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controller.installation import registration
from scripts.localcluster import installation
from tests.integration import programs
from tests.integration.applies import Applies
from tests.integration.cert_manager import CertManager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.localcluster import Cluster
    from tests.integration.programs import Operator

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
COMPONENT = MANIFESTS / "components" / "cert-manager"
NAMESPACE = "issued"
SECRETS = ("mcp-operator-ca", "mcp-operator-path", "mcp-operator-webhook-tls", "mcp-operator-webhook-ca")


def overlay(folder: Path) -> Path:
    """The rights of the operator and the component; the webhook listens on an address of this machine."""
    patch = [{"op": "add", "path": "/spec/ipAddresses", "value": ["127.0.0.1"]}]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["rbac"],
        "components": ["component"],
        "patches": [
            {"target": {"kind": "Certificate", "name": "mcp-operator-webhook"}, "patch": yaml.safe_dump(patch)}
        ],
    }
    for name, source in (("rbac", MANIFESTS / "base" / "rbac"), ("component", COMPONENT)):
        (folder / name).mkdir()
        for file in source.iterdir():
            (folder / name / file.name).write_text(file.read_text())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


@pytest.fixture(scope="module")
def manager(control_plane: Cluster) -> Iterator[CertManager]:
    cluster = control_plane
    definitions = str(Path(__file__).parent / "certmanager.yaml")
    applied = cluster.run("apply", "-f", definitions, "-o", "name").stdout.split()
    cluster.run("wait", "--for=condition=Established", *applied, "--timeout=30s")
    cluster.run("create", "namespace", "mcp-system", check=False)
    # An operator with a CA of its own may have been here before.
    cluster.run("-n", "mcp-system", "delete", "secret", *SECRETS, "--ignore-not-found")
    with CertManager(cluster, "mcp-system") as found:
        yield found
    cluster.run("-n", "mcp-system", "delete", "secret", *SECRETS, "--ignore-not-found")
    cluster.run("delete", "-f", definitions)


@pytest.fixture(scope="module")
def operator(
    control_plane: Cluster, manager: CertManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    with programs.installed(
        control_plane,
        MANIFESTS,
        NAMESPACE,
        roles=overlay(tmp_path_factory.mktemp("overlay")),
        certificate_secret="mcp-operator-webhook-tls",
        inject_ca_from="mcp-operator-webhook",
    ) as found:
        yield found


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("get", *words, "-o", "json").stdout))


def served(operator: Operator) -> bytes:
    """The certificate of the webhook, as PEM."""
    return ssl.get_server_certificate(("127.0.0.1", operator.ports["webhook"])).encode()


def bundles(cluster: Cluster) -> set[str]:
    found = [
        get(cluster, "validatingwebhookconfiguration", registration.VALIDATING),
        get(cluster, "mutatingwebhookconfiguration", registration.MUTATING),
    ]
    return {webhook["clientConfig"].get("caBundle", "") for each in found for webhook in each["webhooks"]}


def edits(cluster: Cluster) -> list[str]:
    """What the controller says that others have edited."""
    events = get(cluster, "-n", "default", "events.v1.events.k8s.io")["items"]
    return [event["note"] for event in events if event["reason"] == "ForeignEditUndone"]


def issued_ca(cluster: Cluster) -> str:
    return str(get(cluster, "-n", "mcp-system", "secret", "mcp-operator-webhook-ca")["data"]["tls.crt"])


def test_the_operator_has_no_ca_and_its_secret_holds_the_keys_of_the_paths_alone(operator: Operator) -> None:
    cluster = operator.cluster

    assert cluster.run("-n", "mcp-system", "get", "secret", "mcp-operator-ca", check=False).returncode != 0
    assert bundles(cluster) == {issued_ca(cluster)}
    data = get(cluster, "-n", "mcp-system", "secret", "mcp-operator-path")["data"]
    assert all(name.startswith("path.") for name in data)
    assert base64.b64decode(data["path.key"]).decode() == operator.key()
    assert operator.http("webhook", f"/validate/{operator.key()}", b"{}")[0] == 400
    assert operator.http("webhook", "/validate", b"{}")[0] == 404


def test_a_renewed_certificate_is_served_and_no_review_fails(operator: Operator, manager: CertManager) -> None:
    with Applies(operator.cluster, NAMESPACE) as applies:
        renewed = manager.renew("mcp-operator-webhook")
        installation.until("it is served", lambda: served(operator).split() == renewed.split(), 30)

    assert applies.failures == []
    assert applies.done > 5


def test_a_new_ca_is_injected_and_the_controller_leaves_it_and_repairs_the_rest(
    operator: Operator, manager: CertManager
) -> None:
    cluster, before = operator.cluster, len(edits(operator.cluster))
    old = issued_ca(cluster)
    manager.renew("mcp-operator-webhook-ca")
    renewed = manager.renew("mcp-operator-webhook")
    assert issued_ca(cluster) != old
    installation.until("the new CA is injected", lambda: bundles(cluster) == {issued_ca(cluster)}, 30)
    installation.until("its certificate is served", lambda: served(operator).split() == renewed.split(), 30)

    patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    cluster.run(
        "patch", "validatingwebhookconfiguration", registration.VALIDATING, "--type=json", "-p", json.dumps(patch)
    )
    installation.until("the edit is undone", lambda: installation.failure_policy(cluster) == "Fail", 10)
    installation.until("an Event says so", lambda: len(edits(cluster)) > before, 10)

    assert bundles(cluster) == {issued_ca(cluster)}
    assert all("clientConfig" not in note for note in edits(cluster)[before:])


def test_whoever_redirects_the_injection_is_undone(operator: Operator) -> None:
    cluster = operator.cluster
    kind, name = "mutatingwebhookconfiguration", registration.MUTATING

    cluster.run("annotate", kind, name, "--overwrite", f"{registration.INJECT_FROM}=default/mine")

    def source() -> str:
        return str(get(cluster, kind, name)["metadata"]["annotations"][registration.INJECT_FROM])

    installation.until("it is undone", lambda: source() == "mcp-system/mcp-operator-webhook", 10)
    assert bundles(cluster) == {issued_ca(cluster)}


def test_the_key_of_the_paths_changes_and_no_review_fails(operator: Operator) -> None:
    cluster, before = operator.cluster, operator.key()
    with Applies(cluster, NAMESPACE) as applies:
        patch = [{"op": "remove", "path": "/data/path.created"}]
        cluster.run("-n", "mcp-system", "patch", "secret", "mcp-operator-path", "--type=json", "-p", json.dumps(patch))
        installation.until("another key is registered", lambda: operator.key() != before, 60)

        def is_refused() -> bool:
            return operator.http("webhook", f"/validate/{before}", b"{}")[0] == 404

        installation.until("the old one is not accepted", is_refused, 90)

    assert applies.failures == []
    assert bundles(cluster) == {issued_ca(cluster)}
