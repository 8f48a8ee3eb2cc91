"""Two operators in one cluster, each for its own namespaces and with the shipped Roles only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli.__main__ import main
from scripts.localcluster import installation
from scripts.localcluster.ports import free_port
from tests.integration import programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests" / "namespaced"
# The operator's namespace, and those that it works for.
ONE, TWO = ("scoped-one", ("scoped-bank", "scoped-shop")), ("scoped-two", ("scoped-other",))
FREE = "scoped-free"
SHOP, OTHER = "scoped-shop", "scoped-other"
KINDS = "validatingwebhookconfigurations,mutatingwebhookconfigurations"


def moved(file: Path, namespace: str, operator: str) -> list[dict[str, Any]]:
    """The documents of a file as an overlay places them."""
    documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
    for document in documents:
        document["metadata"]["namespace"] = namespace
        for subject in document.get("subjects", ()):
            subject["namespace"] = operator
    return documents


def roles(operator: str, namespaces: tuple[str, ...]) -> list[dict[str, Any]]:
    own = moved(MANIFESTS / "operator" / "rbac.yaml", operator, operator)
    return own + [each for name in namespaces for each in moved(MANIFESTS / "tenant" / "rbac.yaml", name, operator)]


def apply(cluster: Cluster, *items: dict[str, Any], user: str = "") -> CompletedProcess[str]:
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
    who = ["--as", user] if user else []
    return cluster.run(*who, "apply", "-f", "-", stdin=whole, check=False)


def ours(kind: str, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "shop"}}
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def server(namespace: str) -> dict[str, Any]:
    return ours("MCPServer", namespace, "main", toolSelector={"matchLabels": {"app": "shop"}})


def bad(namespace: str) -> dict[str, Any]:
    return ours("MCPPrompt", namespace, "bad", template="Hello {{nobody}}.")


def install_registration(
    cluster: Cluster, operator: programs.Operator, namespace: str, namespaces: tuple[str, ...], capsys: Any
) -> str:
    """What an administrator does: print, read, apply."""
    words = ["registration", "--namespace", namespace, "--namespaces", ",".join(namespaces)]
    words += [
        "--kubeconfig",
        str(cluster.kubeconfig),
        "--webhook-url",
        f"https://127.0.0.1:{operator.ports['webhook']}",
    ]
    installation.until("the controller has made the CA", lambda: main(words) == 0, 30)
    printed: str = capsys.readouterr().out
    cluster.run("apply", "-f", "-", stdin=printed)
    return printed


def condition(cluster: Cluster, kind: str, namespace: str, name: str, which: str) -> dict[str, Any]:
    found = json.loads(cluster.run("-n", namespace, "get", kind, name, "-o", "json").stdout)
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == which), {})


@pytest.fixture(scope="module")
def operators(control_plane: Cluster) -> Iterator[dict[str, programs.Operator]]:
    cluster = control_plane
    installation.definitions(cluster)
    made = {}
    for name, namespaces in (ONE, TWO):
        for namespace in (name, *namespaces):
            cluster.run("create", "namespace", namespace, check=False)
        assert apply(cluster, *roles(name, namespaces)).returncode == 0
        made[name] = programs.Operator(
            cluster, name, free_port(), "Enforce", namespace=name, namespaces=namespaces, namespaced_hosts=True
        )
    cluster.run("create", "namespace", FREE, check=False)
    for each in made.values():
        each.start()
    try:
        yield made
    finally:
        for each in made.values():
            each.stop()
        cluster.run("delete", KINDS, "-l", "app.kubernetes.io/part-of=mcp-operator")
        for namespace in (*ONE[1], *TWO[1], FREE):
            cluster.run("delete", "mcp", "--all", "-n", namespace)


def test_each_operator_works_for_its_own_namespaces(
    control_plane: Cluster, operators: dict[str, programs.Operator], capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = control_plane
    for name, namespaces in (ONE, TWO):
        printed = install_registration(cluster, operators[name], name, namespaces, capsys)
        assert f"name: mcp-operator-validating-{name}" in printed
    for name in (ONE[0], TWO[0]):
        installation.until(
            f"the canary of {name} is refused",
            lambda name=name: operators[name].http("controller-health", "/readyz") == (200, b"ok\n"),  # type: ignore[misc]
            60,
        )

    for namespace in (*ONE[1], *TWO[1]):
        refused = apply(cluster, bad(namespace))
        assert "UndeclaredPlaceholder" in refused.stderr, refused.stderr
    assert apply(cluster, bad(FREE), server(FREE)).returncode == 0

    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders", "namespace": SHOP},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }  # fmt: skip
    tool = ours("MCPTool", SHOP, "find", description="Find an order.", service={"name": "orders", "port": "http"})
    assert apply(cluster, service, tool, server(SHOP), server(OTHER)).returncode == 0
    for namespace in (SHOP, OTHER):
        installation.until(
            f"the server of {namespace} has a Deployment",
            lambda namespace=namespace: (  # type: ignore[misc]
                cluster.run("-n", namespace, "get", "deployment", "main-mcp", check=False).returncode == 0
            ),
            30,
        )
    ready = lambda: condition(cluster, "mcptool", SHOP, "find", "Accepted").get("reason")  # noqa: E731
    installation.until("the tool is accepted", lambda: ready() == "Accepted", 30)
    assert cluster.run("-n", FREE, "get", "deployment", "main-mcp", check=False).returncode != 0
    assert condition(cluster, "mcpserver", FREE, "main", "Accepted") == {}

    # The API server refuses the address of this metadata service in no notation.
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "orders-1",
            "namespace": SHOP,
            "labels": {
                "kubernetes.io/service-name": "orders",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv6",
        "endpoints": [{"addresses": ["fd00:ec2::254"]}],
        "ports": [{"name": "http", "port": 80}],
    }
    assert apply(cluster, endpoints).returncode == 0
    installation.until("the tool is not served", lambda: ready() == "EndpointForbidden", 30)
    cluster.run("-n", SHOP, "delete", "endpointslice", "orders-1")
    installation.until("the tool is served again", lambda: ready() == "Accepted", 30)


def test_rights_are_asked_for_with_roles_only(control_plane: Cluster, operators: dict[str, programs.Operator]) -> None:
    author = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "author", "namespace": SHOP},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit-mcp-for-test"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "author"}],
    }
    rules = [{"apiGroups": ["mcp.example.com"], "resources": ["*"], "verbs": ["*"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "edit-mcp-for-test"},
        "rules": rules,
    }
    headers = [{"name": "Authorization", "secretKeyRef": {"name": "keys", "key": "token"}}]
    thief = ours(
        "MCPTool", SHOP, "thief", description="Find an order.", service={"name": "orders", "port": 80},
        headersFrom=headers,
    )  # fmt: skip
    hosted = {**server(SHOP), "metadata": {"name": "hosted", "namespace": SHOP}}
    hosted["spec"] = {**hosted["spec"], "ingress": {"host": "bank.test"}}
    assert apply(control_plane, role, author).returncode == 0

    assert "SecretForbidden" in apply(control_plane, thief, user="author").stderr
    assert "HostForbidden" in apply(control_plane, hosted).stderr


def test_an_operator_that_goes_leaves_the_other_one_as_it_was(
    control_plane: Cluster, operators: dict[str, programs.Operator]
) -> None:
    operators[ONE[0]].stop()

    assert "UndeclaredPlaceholder" in apply(control_plane, bad(OTHER)).stderr
    # Fail closed: nobody answers for the namespaces of the one that is gone.
    assert "failed calling webhook" in apply(control_plane, bad(SHOP)).stderr
    control_plane.run(
        "delete",
        KINDS,
        "-l",
        "app.kubernetes.io/part-of=mcp-operator",
        "--field-selector",
        f"metadata.name=mcp-operator-validating-{ONE[0]}",
        check=False,
    )
    assert "UndeclaredPlaceholder" in apply(control_plane, bad(OTHER)).stderr
