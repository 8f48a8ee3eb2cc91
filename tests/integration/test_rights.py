"""What users may have done for them, on a real API server: each user is impersonated and has the shipped roles only."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli.commands import check
from tests.integration import programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
FORBIDDEN = sorted((MANIFESTS / "examples" / "forbidden").glob("*.yaml"))
NAMESPACE, OTHER = "rights-shop", "rights-other"


def role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "rules": list(rules),
    }


def bound(kind: str, name: str, to: str, *, group: bool = False) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{name}-{to}", "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group" if group else "User", "name": to}],
    }


USES_KEYS = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["keys"], "verbs": ["use"]}
USERS = [
    bound("ClusterRole", "mcp-tool-author", "author"),
    bound("ClusterRole", "mcp-tool-author", "member"),
    bound("ClusterRole", "mcp-server-admin", "admin"),
    bound("ClusterRole", "edit", "editor"),
    role("keys", USES_KEYS),
    bound("Role", "keys", "key-users", group=True),
    # May write servers, and nothing of what servers are made of.
    role("servers", {"apiGroups": ["mcp.example.com"], "resources": ["mcpservers"], "verbs": ["*"]}),
    bound("Role", "servers", "clerk"),
    bound("Role", "servers", "warden"),
    role("walls", {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["create"]}),
    bound("Role", "walls", "warden"),
]
# A Service of the other namespace that exists, and nothing that allows calls to it.
ABROAD = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "payments", "namespace": OTHER},
    "spec": {"ports": [{"name": "internal", "port": 4711}]},
}


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Iterator[Cluster]:
    with programs.installed(control_plane, MANIFESTS, NAMESPACE, OTHER, rights="Enforce", namespaced_hosts=True):
        control_plane.run("annotate", "namespace", NAMESPACE, "mcp.example.com/allowed-hosts=*.example.com")
        control_plane.run("apply", "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": USERS}))
        control_plane.run("apply", "-f", "-", stdin=json.dumps(ABROAD))
        yield control_plane


def apply(
    cluster: Cluster, manifest: dict[str, Any], user: str, *groups: str, dry_run: bool = False
) -> CompletedProcess[str]:
    who = ["--as", user, *(word for group in groups for word in ("--as-group", group))]
    how = ["--dry-run=server"] if dry_run else []
    return cluster.run(*who, "apply", *how, "-f", "-", stdin=json.dumps(manifest), check=False)


def tool(name: str, service: str = "orders", namespace: str = NAMESPACE, **spec: Any) -> dict[str, Any]:
    headers = [{"name": "Authorization", "secretKeyRef": {"name": "keys", "key": "token"}}]
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "shop"}},
        "spec": {
            "service": {"name": service, "namespace": namespace, "port": 80},
            "headersFrom": headers,
            "description": "List the returned goods of a customer.",
            **spec,
        },
    }


def server(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": 0, "toolSelector": {"matchLabels": {"app": name}}, **spec},
    }


def refused(done: CompletedProcess[str], reason: str) -> str:
    """The message of the webhook's denial for this reason."""
    assert done.returncode != 0, done.stdout
    assert f"- {reason}: " in done.stderr, done.stderr
    return done.stderr


def admitted(done: CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_author_cannot_have_a_secret_sent_that_the_author_may_not_read(cluster: Cluster, dry_run: bool) -> None:
    said = refused(apply(cluster, tool("thief", "mine"), "author", dry_run=dry_run), "SecretForbidden")

    assert f'user "author" may neither get nor use Secret {NAMESPACE}/keys' in said
    assert "spec.headersFrom[0].secretKeyRef.name" in said


def test_a_right_of_a_group_counts(cluster: Cluster) -> None:
    refused(apply(cluster, tool("grouped"), "member"), "SecretForbidden")
    admitted(apply(cluster, tool("grouped"), "member", "key-users"))


def test_an_author_cannot_send_the_secret_of_an_existing_tool_elsewhere(cluster: Cluster) -> None:
    admitted(apply(cluster, tool("standing"), "editor"))

    refused(apply(cluster, tool("standing", "mine"), "author"), "SecretForbidden")
    refused(apply(cluster, tool("standing", http={"path": "/echo"}), "author"), "SecretForbidden")
    # kubectl label is an update as well, and decides which server sends the Secret.
    done = cluster.run(
        "--as", "author", "-n", NAMESPACE, "label", "--overwrite", "mcptool", "standing", "app=mine", check=False
    )
    refused(done, "SecretForbidden")
    admitted(apply(cluster, tool("standing", description="List what a customer sent back."), "author"))


def test_an_author_may_write_tools_without_secrets_and_no_servers(cluster: Cluster) -> None:
    admitted(apply(cluster, tool("plain", headersFrom=[]), "author"))

    done = apply(cluster, server("own"), "author")
    assert "cannot create resource" in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.image", {"image": "registry.example.com/tool"}),
        ("spec.podTemplate", {"podTemplate": {"serviceAccountName": "deployer"}}),
        ("spec.resources", {"resources": {"requests": {"cpu": "64"}}}),
        ("spec.ingress", {"ingress": {"host": "bank.example.com"}}),
        ("spec.service.type", {"service": {"type": "LoadBalancer"}}),
        ("spec.networkPolicy", {"networkPolicy": {"enabled": True}}),
        ("spec.podDisruptionBudget", {"podDisruptionBudget": {"minAvailable": 1}}),
    ],
)
def test_a_server_is_no_way_around_the_rights_for_workloads(cluster: Cluster, field: str, spec: Any) -> None:
    said = refused(apply(cluster, server("deputy", **spec), "clerk", dry_run=True), "WorkloadForbidden")
    assert f"WorkloadForbidden: {field}: " in said

    for user in ("admin", "editor"):
        admitted(apply(cluster, server("deputy", **spec), user, dry_run=True))


def test_each_right_is_asked_for_by_itself(cluster: Cluster) -> None:
    """Whoever may create NetworkPolicies, and nothing else that a server is made of."""
    both = {"networkPolicy": {"enabled": True}, "podDisruptionBudget": {"minAvailable": 1}}
    said = refused(apply(cluster, server("walled", **both), "warden", dry_run=True), "WorkloadForbidden")
    assert "spec.podDisruptionBudget" in said
    assert "spec.networkPolicy" not in said
    del both["podDisruptionBudget"]
    admitted(apply(cluster, server("walled", **both), "warden"))

    # A change of the policy asks again, and another change does not.
    wider = {"networkPolicy": {"enabled": True, "ingressFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}}
    refused(apply(cluster, server("walled", **wider), "clerk", dry_run=True), "WorkloadForbidden")
    admitted(apply(cluster, server("walled", **both, config={"pageSize": 10}), "clerk", dry_run=True))
    # What closes nothing opens nothing.
    admitted(apply(cluster, server("open", networkPolicy={"enabled": False}), "clerk", dry_run=True))


def test_whoever_may_write_servers_may_write_plain_ones(cluster: Cluster) -> None:
    admitted(apply(cluster, server("clerical"), "clerk"))
    refused(apply(cluster, server("clerical", imagePullSecrets=[{"name": "keys"}]), "clerk"), "SecretForbidden")
    admitted(apply(cluster, server("clerical", imagePullSecrets=[{"name": "keys"}]), "admin"))


def test_an_outsider_is_stopped_by_the_api_server(cluster: Cluster) -> None:
    done = apply(cluster, tool("outside"), "outsider", "key-users")

    assert done.returncode != 0
    assert 'User "outsider" cannot' in done.stderr


@pytest.mark.parametrize(
    "spec",
    [
        {"podTemplate": {"priorityClassName": "system-node-critical"}},
        {"podTemplate": {"labels": {"app": "payments"}}},
        {"ingress": {"host": "a.example.com", "annotations": {"nginx.ingress.kubernetes.io/server-snippet": "x"}}},
        {"ingress": {"host": "a.example.com", "annotations": {"nginx.ingress.kubernetes.io/server-alias": "x"}}},
    ],
)
def test_a_cluster_admin_is_refused_as_well(cluster: Cluster, spec: Any) -> None:
    done = cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(server("unsafe", **spec)), check=False)

    refused(done, "UnsafeWorkload")


def test_the_namespace_says_what_hosts_it_may_use(cluster: Cluster) -> None:
    hosted = server("hosted", ingress={"host": "bank.test"})

    for user in ("admin", "editor"):
        refused(apply(cluster, hosted, user, dry_run=True), "HostForbidden")
    done = cluster.run(
        "--as", "admin", "annotate", "namespace", NAMESPACE, "mcp.example.com/allowed-hosts=*", check=False
    )
    assert 'User "admin" cannot' in done.stderr

    hosts = "mcp.example.com/allowed-hosts=*.example.com,bank.test"
    cluster.run("annotate", "--overwrite", "namespace", NAMESPACE, hosts)
    admitted(apply(cluster, hosted, "admin", dry_run=True))


def test_a_denial_tells_nothing_about_another_namespace(cluster: Cluster) -> None:
    said = [
        refused(
            apply(cluster, tool("abroad", name, OTHER, headersFrom=[]), "author", dry_run=True), "CrossNamespaceDenied"
        )
        for name in ("payments", "phantoms")
    ]

    assert said[0].replace("payments", "phantoms") == said[1]
    assert "4711" not in said[0]


def test_check_live_reports_what_its_user_may_not_do(cluster: Cluster, tmp_path: Path) -> None:
    """As a ServiceAccount that may read everything but Secrets, and write tools."""
    cluster.run("-n", NAMESPACE, "create", "serviceaccount", "checker")
    checker = f"{NAMESPACE}:checker"
    cluster.run("create", "clusterrolebinding", "rights-checker", "--clusterrole=view", f"--serviceaccount={checker}")
    cluster.run(
        "-n", NAMESPACE, "create", "rolebinding", "checker", "--clusterrole=mcp-tool-author",
        f"--serviceaccount={checker}",
    )  # fmt: skip
    file = tmp_path / "tool.yaml"
    file.write_text(json.dumps(tool("checked")))
    options = check.Options(
        (str(file),), format="json", live=True, kubeconfig=programs.account(cluster, "checker", NAMESPACE)
    )
    out, err = io.StringIO(), io.StringIO()
    try:
        code = check.run(options, stdin=io.BytesIO(), out=out, err=err)
    finally:
        cluster.run("delete", "clusterrolebinding", "rights-checker")

    found = [f for f in json.loads(out.getvalue())["findings"] if f["reason"] == "SecretForbidden"]
    assert code == 1, err.getvalue()
    assert {f["level"] for f in found} == {"warning", "error"}
    assert any("the current user may neither get nor use Secret" in f["message"] for f in found)
    assert any("rejected by the API server" in f["message"] for f in found)


@pytest.mark.parametrize("file", FORBIDDEN, ids=lambda file: file.stem)
def test_every_forbidden_example_is_refused_to_a_user_without_the_right(cluster: Cluster, file: Path) -> None:
    manifest = yaml.safe_load(file.read_text())
    manifest["metadata"]["namespace"] = NAMESPACE
    if file.stem.startswith("HostForbidden"):
        manifest["spec"]["ingress"]["host"] = "shop.test"

    user = "clerk" if manifest["kind"] == "MCPServer" else "author"
    refused(apply(cluster, manifest, user, dry_run=True), file.stem.partition("--")[0])
