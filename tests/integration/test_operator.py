"""Webhook and controller, as they are, against a real API server: what a user sees at ``kubectl apply``."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crd.published import catalogs, signature
from scripts.localcluster import installation
from tests.integration import programs
from tests.integration.programs import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
KINDS = "deployments,services,serviceaccounts,roles,rolebindings,ingresses,configmaps,mcp"


@pytest.fixture(scope="module")
def operator(control_plane: Cluster) -> Iterator[Operator]:
    with programs.installed(control_plane, EXAMPLES.parent, "shop", "shop-preview") as found:
        control_plane.run("apply", "-f", str(EXAMPLES / "valid"))
        yield found


@pytest.fixture
def cluster(operator: Operator) -> Cluster:
    return operator.cluster


def tool(name: str, served: str | None = None, *, labels: dict[str, str] | None = None, **spec: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"name": name, "namespace": "shop", "labels": labels or {"app": "shop"}},
            "spec": {"service": {"name": "orders", "port": 80}, **({"name": served} if served else {}), **spec},
        }
    )


def server(name: str, **spec: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPServer",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"toolSelector": {"matchLabels": {"app": name}}, **spec},
        }
    )


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("-n", "shop", "get", *words, "-o", "json").stdout))


def exists(cluster: Cluster, *words: str) -> bool:
    return cluster.run("-n", "shop", "get", *words, check=False).returncode == 0


def condition(cluster: Cluster, kind: str, name: str, which: str) -> dict[str, Any]:
    found = get(cluster, kind, name).get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == which), {})


def test_the_valid_examples_applied_again_are_unchanged(cluster: Cluster) -> None:
    lines = cluster.run("apply", "-f", str(EXAMPLES / "valid")).stdout.splitlines()

    assert [line for line in lines if not line.endswith("unchanged")] == []


def test_a_good_object_is_created_and_changed_without_a_warning(cluster: Cluster) -> None:
    cluster.run("-n", "shop", "create", "service", "clusterip", "goods", "--tcp=80:8080")
    words = "Lists the goods that the shop has in stock."
    good = tool("good", description=words, service={"name": "goods", "port": 80, "path": "/goods"})

    def apply(manifest: str, *more: str) -> str:
        return cluster.run("apply", "-f", "-", *more, stdin=manifest).stderr

    try:
        installation.until("the Service is known", lambda: "ServiceMissing" not in apply(good, "--dry-run=server"), 20)
        assert apply(good) == ""
        assert apply(good.replace("goods that", "articles that")) == ""
    finally:
        cluster.run("-n", "shop", "delete", "mcptool/good", "service/goods", "--ignore-not-found")


def test_the_name_is_filled_in(cluster: Cluster) -> None:
    cluster.run("apply", "-f", "-", stdin=tool("nameless"))
    try:
        assert get(cluster, "mcptool", "nameless")["spec"]["name"] == "nameless"
        assert get(cluster, "mcptool", "nameless")["spec"]["service"]["namespace"] == "shop"
    finally:
        cluster.run("-n", "shop", "delete", "mcptool", "nameless")


def test_a_deletion_names_the_servers_that_lose_the_object(cluster: Cluster) -> None:
    cluster.run("apply", "-f", "-", stdin=tool("leaving"))

    done = cluster.run("-n", "shop", "delete", "mcptool", "leaving")

    assert "Warning: MCPTool shop/leaving is no longer served by shop/main" in done.stderr


def test_a_dry_run_is_validated_and_not_remembered(cluster: Cluster) -> None:
    cluster.run("create", "--dry-run=server", "-f", "-", stdin=tool("tried", "taken-once"))

    done = cluster.run("create", "--dry-run=server", "-f", "-", stdin=tool("tried-too", "taken-once"))

    assert done.returncode == 0


def test_one_of_several_concurrent_creations_wins(cluster: Cluster) -> None:
    def create(number: int) -> int:
        return cluster.run("create", "-f", "-", stdin=tool(f"racer-{number}", "the-prize"), check=False).returncode

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(create, range(6)))

    cluster.run("-n", "shop", "delete", "mcptools", *(f"racer-{n}" for n in range(6)), "--ignore-not-found")
    assert codes.count(0) == 1


def test_a_name_is_free_once_its_object_is_deleted(cluster: Cluster) -> None:
    for name in ("first-holder", "second-holder", "third-holder"):
        cluster.run("create", "-f", "-", stdin=tool(name, "passed-on"))
        cluster.run("-n", "shop", "delete", "mcptool", name)


def test_a_field_that_the_api_server_dropped_is_warned_about(cluster: Cluster) -> None:
    text = tool("typo", inputschema={"type": "object"})

    done = cluster.run("apply", "--validate=false", "-f", "-", stdin=text)
    cluster.run("-n", "shop", "delete", "mcptool", "typo")

    assert 'UnknownField: spec.inputschema: unknown field "inputschema" was dropped' in done.stderr
    assert 'did you mean "inputSchema"?' in done.stderr


def test_a_repair_is_admitted_while_another_fault_remains(cluster: Cluster) -> None:
    cluster.run("apply", "-f", "-", stdin=tool("repaired", service={"name": "nowhere", "port": 80}))

    done = cluster.run("apply", "-f", "-", stdin=tool("repaired", description="Now it says what it is for."))
    cluster.run("-n", "shop", "delete", "mcptool", "repaired")

    assert done.returncode == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
     b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{},"operation":"CREATE"}}',
     (b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"MCPTool"},'
      b'"operation":"CREATE","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}}}'),
     b"0" * 100_000],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/validate", "/mutate"])
def test_invalid_requests_get_a_client_error(operator: Operator, path: str, body: bytes) -> None:
    status, _ = operator.http("webhook", f"{path}/{operator.key()}", body)

    assert status == 200 or (400 <= status < 500 and status != 404)


def test_ready_and_measured(operator: Operator) -> None:
    for which in ("webhook-health", "controller-health"):
        assert operator.http(which, "/healthz")[0] == 200
        assert operator.http(which, "/readyz")[0] == 200
    assert b"mcp_operator_admission_reviews_total" in operator.http("webhook-health", "/metrics")[1]
    assert b"mcp_operator_leader 1.0" in operator.http("controller-health", "/metrics")[1]


def test_an_accepted_server_becomes_workloads_that_it_owns(cluster: Cluster) -> None:
    installation.until("the Deployment is there", lambda: exists(cluster, "deployment", "main-mcp"), 20)
    uid = get(cluster, "mcpserver", "main")["metadata"]["uid"]

    found = get(cluster, KINDS.removesuffix(",mcp"), "-l", "mcp.example.com/server=main")["items"]

    kinds = {item["kind"] for item in found}
    assert {"ConfigMap", "Deployment", "Role", "RoleBinding", "Service", "ServiceAccount"} <= kinds
    assert all(item["metadata"]["ownerReferences"][0]["uid"] == uid for item in found)
    status = get(cluster, "mcpserver", "main")["status"]
    assert (status["toolCount"], status["promptCount"], status["resourceCount"]) == (4, 2, 4)
    assert condition(cluster, "mcpserver", "main", "Accepted")["status"] == "True"
    assert condition(cluster, "mcpserver", "main", "Programmed")["reason"] == "NoReadyPods"


def test_the_status_of_members_names_their_servers(cluster: Cluster) -> None:
    def served() -> bool:
        return condition(cluster, "mcptool", "search-orders", "Accepted").get("message") == "served by main"

    installation.until("the tool says so", served, 20)
    assert get(cluster, "mcptool", "search-orders")["status"]["servers"] == [
        {"name": "main", "servedName": "search_orders", "accepted": True}
    ]
    assert condition(cluster, "mcptool", "search-orders", "ResolvedRefs")["reason"] == "ServiceMissing"


def test_an_ingress_follows_the_spec(cluster: Cluster) -> None:
    cluster.run("apply", "-f", "-", stdin=server("open", ingress={"host": "open.example.com", "tlsSecretName": "tls"}))
    installation.until("the Ingress is there", lambda: exists(cluster, "ingress", "open-mcp"), 20)
    assert get(cluster, "mcpserver", "open")["status"]["url"] == "https://open.example.com/mcp"

    cluster.run("apply", "-f", "-", stdin=server("open"))

    installation.until("the Ingress is gone", lambda: not exists(cluster, "ingress", "open-mcp"), 20)
    cluster.run("-n", "shop", "delete", "mcpserver", "open")
    installation.until("the Deployment is gone", lambda: not exists(cluster, "deployment", "open-mcp"), 60)


def test_a_workload_of_somebody_else_is_never_taken_over(cluster: Cluster) -> None:
    cluster.run("-n", "shop", "create", "service", "clusterip", "mine-mcp", "--tcp=80:80")
    cluster.run("apply", "-f", "-", stdin=server("mine"))

    installation.until(
        "the condition says so",
        lambda: condition(cluster, "mcpserver", "mine", "Programmed").get("reason") == "NameTaken",
        20,
    )

    assert (
        "Service mine-mcp exists and does not belong to this MCPServer"
        in condition(cluster, "mcpserver", "mine", "Programmed")["message"]
    )
    assert "ownerReferences" not in get(cluster, "service", "mine-mcp")["metadata"]
    # What does not rely on the Service is there.
    installation.until("the Deployment is there", lambda: exists(cluster, "deployment", "mine-mcp"), 20)
    cluster.run("-n", "shop", "delete", "mcpserver/mine", "service/mine-mcp")


def test_of_conflicting_stored_objects_one_is_served(operator: Operator) -> None:
    cluster = operator.cluster
    installation.until(
        "the name has its holder",
        lambda: condition(cluster, "mcptool", "search-orders", "Accepted").get("status") == "True",
        30,
    )
    operator.stop()
    cluster.run("delete", "validatingwebhookconfiguration/mcp-operator-validating")
    cluster.run("create", "-f", "-", stdin=tool("a-late-comer", "search_orders"))
    operator.start()

    installation.until(
        "the losing object has a condition",
        lambda: condition(cluster, "mcptool", "a-late-comer", "Accepted").get("reason") == "NameConflict",
        40,
    )

    message = condition(cluster, "mcptool", "a-late-comer", "Accepted")["message"]
    assert "MCPTool shop/search-orders" in message
    assert condition(cluster, "mcptool", "search-orders", "Accepted")["status"] == "True"
    cluster.run("-n", "shop", "delete", "mcptool", "a-late-comer")
    installation.until("admission is in force again", lambda: installation.failure_policy(cluster) == "Fail", 60)


def test_a_second_controller_waits_and_a_new_one_changes_nothing(operator: Operator) -> None:
    def versions() -> dict[str, str]:
        found = get(operator.cluster, KINDS)["items"]
        return {f"{i['kind']}/{i['metadata']['name']}": i["metadata"]["resourceVersion"] for i in found}

    second = Operator(operator.cluster, "two", operator.ports["webhook"])
    before = versions()
    second.start(webhook=False)
    installation.until("it is ready", lambda: second.http("controller-health", "/readyz")[0] == 200, 20)
    assert b"mcp_operator_leader 0.0" in second.http("controller-health", "/metrics")[1]
    time.sleep(1)
    assert versions() == before
    second.stop()


def catalog_stamp(cluster: Cluster) -> signature.Stamp | signature.Refusal:
    """What a pod of the server ``main`` finds when it verifies the stored catalog by its own arguments."""
    words = get(cluster, "deployment", "main-mcp")["spec"]["template"]["spec"]["containers"][0]["args"][1:]
    arguments = dict(zip(words[::2], words[1::2], strict=True))
    data = get(cluster, "configmap", "main-catalog")["data"]
    return signature.verify(
        data.get(signature.FILE),
        root=signature.decode_root(arguments["--catalog-root"]),
        server_uid=arguments["--server-uid"],
        name=catalogs.FILE,
        content=data[catalogs.FILE].encode(),
    )


@pytest.mark.parametrize("manager", ["somebody", "mcp-operator"])
def test_a_rewritten_catalog_is_signed_again_with_a_higher_version(cluster: Cluster, manager: str) -> None:
    installation.until("the catalog is signed", lambda: isinstance(catalog_stamp(cluster), signature.Stamp), 30)
    before, stored = catalog_stamp(cluster), get(cluster, "configmap", "main-catalog")
    assert isinstance(before, signature.Stamp)
    holders = json.loads(stored["data"][catalogs.FILE])["tools"]
    rewritten = stored["data"][catalogs.FILE].replace(holders[0]["source"], "shop/somebody-else")
    patch = json.dumps({"data": {catalogs.FILE: rewritten}})

    cluster.run(
        "-n", "shop", "patch", "configmap", "main-catalog", "--type=merge", "-p", patch, f"--field-manager={manager}"
    )

    def repaired() -> bool:
        found = catalog_stamp(cluster)
        return isinstance(found, signature.Stamp) and found > before

    installation.until("the catalog is repaired", repaired, 30)
    tools = json.loads(get(cluster, "configmap", "main-catalog")["data"][catalogs.FILE])["tools"]
    assert [each["source"] for each in tools] == [each["source"] for each in holders]
    fields = get(cluster, "configmap", "main-catalog", "--show-managed-fields")["metadata"]["managedFields"]
    owners = {each["manager"] for each in fields if "f:data" in each["fieldsV1"]}
    assert "somebody" not in owners
    # Nothing of it lasts: the next look finds everything in order.
    version = get(cluster, "configmap", "main-catalog")["metadata"]["resourceVersion"]
    cluster.run("-n", "shop", "annotate", "mcpserver", "main", f"looked-at-by={manager}", "--overwrite")
    installation.until(
        "the server is in order", lambda: condition(cluster, "mcpserver", "main", "Accepted")["status"] == "True", 30
    )
    assert get(cluster, "configmap", "main-catalog")["metadata"]["resourceVersion"] == version


CONTROLLER = "--as=system:serviceaccount:mcp-system:mcp-operator-controller"
LABELS = {"app.kubernetes.io/managed-by": "mcp-operator", "mcp.example.com/server": "held"}


@pytest.fixture(scope="module")
def policy(operator: Operator) -> Iterator[Cluster]:
    """The component that holds the controller to its own objects, in force."""
    cluster, file = operator.cluster, str(EXAMPLES.parent / "components" / "controller-policy" / "policy.yaml")
    cluster.run("apply", "-f", file)
    refused = {
        "objects": child("ConfigMap", "probe"),
        "pods": child("Deployment", "held-mcp", spec=pod_template(hostPID=True)),
        "roles": role({"verbs": ["delete"]}),
        "secrets": SECRET,
        "prompts": PROMPT,
    }
    try:
        for name, manifest in refused.items():
            installation.until(f"the policy for {name} is in force", lambda: is_refused(cluster, name, manifest), 30)  # noqa: B023
        yield cluster
    finally:
        cluster.run("delete", "-f", file)


def is_refused(cluster: Cluster, name: str, manifest: dict[str, Any]) -> bool:
    """Whether a policy refuses an object; one that is created is deleted again."""
    said = attempt(cluster, json.dumps(manifest))
    if not said:
        cluster.run("delete", "--ignore-not-found", "-f", "-", stdin=json.dumps(manifest))
    return f"mcp-operator-controller-{name}'" in said


def attempt(cluster: Cluster, manifest: str, *words: str) -> str:
    """What the API server says when the controller's ServiceAccount creates an object; empty if it may."""
    done = cluster.run("create", CONTROLLER, "-f", "-", *words, stdin=manifest, check=False)
    return done.stderr if done.returncode else ""


def child(kind: str, name: str, *, namespace: str = "shop", owner: str = "held", **more: Any) -> dict[str, Any]:
    """An object as the controller makes one for the MCPServer ``held``."""
    versions = {"Deployment": "apps/v1", "Role": "rbac.authorization.k8s.io/v1"}
    reference = {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "name": owner,
        "uid": "0",
        "controller": True,
    }
    metadata = {"namespace": namespace, "name": name, "labels": LABELS, "ownerReferences": [reference]}
    return {"apiVersion": versions.get(kind, "v1"), "kind": kind, "metadata": metadata, **more}


def without(manifest: dict[str, Any], member: str) -> dict[str, Any]:
    return {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k != member}}


def pod_template(**pod: Any) -> dict[str, Any]:
    security = {"allowPrivilegeEscalation": False}
    container = {
        "name": "server",
        "image": "i",
        "args": ["serve"],
        "securityContext": security,
        **pod.pop("container", {}),
    }
    spec = {"containers": [container], **pod}
    return {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": spec}}


def role(*rules: dict[str, Any]) -> dict[str, Any]:
    read = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["held-catalog"], "verbs": ["get"]}
    return child("Role", "held-mcp", rules=[{**read, **rule} for rule in rules])


HOST_PATH = [{"name": "v", "hostPath": {"path": "/"}}]
PRIVILEGED = {"securityContext": {"privileged": True}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "mcp-system", "name": "another"}}
PROMPT = {
    "apiVersion": "mcp.example.com/v1alpha1",
    "kind": "MCPPrompt",
    "metadata": {"namespace": "shop", "name": "made"},
    "spec": {"template": "Hello."},
}


@pytest.mark.parametrize(
    ("manifest", "policy_name"),
    [
        (child("ConfigMap", "held-catalog"), None),
        (child("ConfigMap", "another"), "objects"),
        (child("ConfigMap", "held-catalog", owner="other"), "objects"),
        (without(child("ConfigMap", "held-catalog"), "ownerReferences"), "objects"),
        (without(child("ConfigMap", "held-catalog"), "labels"), "objects"),
        (child("ServiceAccount", "held-mcp"), None),
        (child("ServiceAccount", "admin"), "objects"),
        (child("Deployment", "held-mcp", spec=pod_template()), None),
        (child("Deployment", "held-mcp", spec=pod_template(hostNetwork=True)), "pods"),
        (child("Deployment", "held-mcp", spec=pod_template(hostPID=True)), "pods"),
        (child("Deployment", "held-mcp", spec=pod_template(volumes=HOST_PATH)), "pods"),
        (child("Deployment", "held-mcp", spec=pod_template(container={"command": ["sh"]})), "pods"),
        (child("Deployment", "held-mcp", spec=pod_template(container=PRIVILEGED)), "pods"),
        (role({}), None),
        (role({"verbs": ["delete"]}), "roles"),
        (role({"resourceNames": ["other-catalog"]}), "roles"),
        (SECRET, "secrets"),
        (PROMPT, "prompts"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_the_account_of_the_controller_makes_what_the_controller_makes(
    policy: Cluster, manifest: dict[str, Any], policy_name: str | None
) -> None:
    said = attempt(policy, json.dumps(manifest), *(["--dry-run=server"] if policy_name is None else []))

    assert (f"mcp-operator-controller-{policy_name}'" in said) if policy_name else said == ""


def test_the_account_of_the_controller_leaves_the_objects_of_others_alone(policy: Cluster) -> None:
    policy.run("-n", "shop", "create", "configmap", "of-the-shop", "--from-literal=a=b")
    try:
        for words in (
            ("delete", "configmap", "of-the-shop"),
            ("patch", "configmap", "of-the-shop", "-p", json.dumps({"data": {"a": "c"}})),
        ):
            done = policy.run("-n", "shop", *words, CONTROLLER, check=False)
            assert "mcp-operator-controller-objects'" in done.stderr
        assert get(policy, "configmap", "of-the-shop")["data"] == {"a": "b"}
    finally:
        policy.run("-n", "shop", "delete", "configmap", "of-the-shop")


def test_the_controller_works_under_its_policy(policy: Cluster) -> None:
    policy.run("apply", "-f", "-", stdin=server("held"))
    try:
        installation.until("the Deployment is there", lambda: exists(policy, "deployment", "held-mcp"), 30)
        installation.until("the Service is there", lambda: exists(policy, "service", "held-mcp"), 30)
        assert exists(policy, "configmap", "held-catalog")
        policy.run("-n", "shop", "patch", "mcpserver", "held", "--type=merge", "-p", '{"spec":{"replicas":2}}')
        installation.until(
            "the Deployment has another scale",
            lambda: get(policy, "deployment", "held-mcp")["spec"]["replicas"] == 2,
            30,
        )
    finally:
        policy.run("-n", "shop", "delete", "mcpserver", "held")
