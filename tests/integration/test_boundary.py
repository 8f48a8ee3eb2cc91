"""Who may call the webhook: an API server that shows a certificate, and the pods and addresses of a NetworkPolicy."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts import localcluster
from scripts.localcluster import installation
from scripts.localcluster.certificates import Authority
from scripts.localcluster.ports import free_port
from tests.integration import programs
from tests.integration.applies import Applies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.programs import Operator

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
NAME = "kube-apiserver-webhooks"
REVIEW = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u"}}).encode()


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA for the client certificates of API servers, and nothing else."""
    return Authority(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def operator(
    clients: Authority, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """An API server that shows a certificate to webhooks, by the files that docs/security.md shows."""
    folder = tmp_path_factory.mktemp("admission")
    port, next_port = free_port(), free_port()
    certificate, key = clients.issue("apiserver", NAME)
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    users = [{"name": f"127.0.0.1:{each}", "user": user} for each in (port, next_port)]
    (folder / "webhooks.kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": users}))
    plugin = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "WebhookAdmissionConfiguration",
        "kubeConfigFile": str(folder / "webhooks.kubeconfig"),
    }
    plugins = [
        {"name": name, "configuration": plugin} for name in ("ValidatingAdmissionWebhook", "MutatingAdmissionWebhook")
    ]
    configuration = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    (folder / "admission.yaml").write_text(yaml.safe_dump(configuration))
    flags = (f"--admission-control-config-file={folder / 'admission.yaml'}",)
    version = request.config.getoption("--kubernetes")
    settings: dict[str, Any] = {"client_ca": clients.ca_file, "client_names": (NAME,)}
    with (
        localcluster.running("boundary", kubernetes=version, api_flags=flags) as cluster,
        programs.installed(cluster, MANIFESTS, "guarded", webhook_port=port, next_port=next_port, **settings) as found,
    ):
        yield found


def call(operator: Operator, which: str, client: tuple[Path, Path] | None) -> int:
    """The status of a review that is sent by the path that is registered; 0 if there is no answer."""
    context = ssl._create_unverified_context()
    if client is not None:
        context.load_cert_chain(*client)
    url = f"https://127.0.0.1:{operator.ports[which]}/validate/{operator.key()}"
    request = urllib.request.Request(url, data=REVIEW, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_api_server_is_answered_because_it_shows_its_certificate(operator: Operator) -> None:
    with Applies(operator.cluster, "guarded") as applies:
        installation.until("some reviews are done", lambda: applies.done > 10, 60)

    assert applies.failures == []


@pytest.mark.parametrize("which", ["webhook", "webhook-next"])
def test_who_has_no_certificate_gets_nothing_even_with_the_path(
    operator: Operator, clients: Authority, which: str, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")

    assert call(operator, which, None) == 0
    assert call(operator, which, other.issue("forged", NAME)) == 0
    assert call(operator, which, clients.issue("somebody", "somebody-else")) == 0
    # Not a review, but it is read.
    assert call(operator, which, clients.issue("again", NAME)) == 400


def test_the_ca_of_clients_is_replaced_without_a_refusal(
    operator: Operator, clients: Authority, tmp_path: Path
) -> None:
    following = Authority(tmp_path / "following")
    before = clients.ca_file.read_bytes()
    with Applies(operator.cluster, "guarded") as applies:
        clients.ca_file.write_bytes(before + following.ca_file.read_bytes())
        pair = following.issue("next", NAME)
        installation.until("the next CA is trusted", lambda: call(operator, "webhook", pair) == 400, 30)
        clients.ca_file.write_bytes(before)
        installation.until("it is not trusted any more", lambda: call(operator, "webhook", pair) == 0, 30)

    assert applies.failures == []


def test_the_api_server_takes_the_network_policies_of_an_overlay(operator: Operator, tmp_path: Path) -> None:
    patch = [{"op": "replace", "path": "/spec/ingress/0/from", "value": [{"ipBlock": {"cidr": "10.0.0.10/32"}}]}]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "components": ["component"],
        "patches": [
            {"target": {"kind": "NetworkPolicy", "name": "mcp-operator-webhook"}, "patch": yaml.safe_dump(patch)}
        ],
    }
    component = MANIFESTS / "components" / "network-policy"
    (tmp_path / "component").mkdir()
    for file in component.iterdir():
        (tmp_path / "component" / file.name).write_text(file.read_text())
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))

    built = operator.cluster.run("kustomize", str(tmp_path)).stdout
    applied = operator.cluster.run("apply", "--dry-run=server", "-f", "-", "-o", "name", stdin=built).stdout

    assert "10.0.0.10/32" in built
    assert sorted(applied.split()) == [
        "networkpolicy.networking.k8s.io/mcp-operator-controller",
        "networkpolicy.networking.k8s.io/mcp-operator-webhook",
    ]
