"""The manifests fit the programs: ports, rights, and what a deletion of the operator takes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import resources
from cluster.resources import ResourceType
from controller import program
from controller.cache import WORKLOADS
from controller.installation import registration
from controller.installation.registration import ServiceTarget
from crd.manifest import OURS
from webhook import watches

MANIFESTS = Path(__file__).parents[3] / "manifests"
BASE = MANIFESTS / "base"


def documents(path: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((BASE / path).read_text()) if document]


def allows(path: str, kind: ResourceType, verb: str, *, name: str = "", role: str = "ClusterRole") -> bool:
    rules = [rule for document in documents(path) if document["kind"] == role for rule in document["rules"]]
    return any(
        kind.group in rule["apiGroups"]
        and kind.plural in rule["resources"]
        and verb in rule["verbs"]
        and name in rule.get("resourceNames", [name])
        for rule in rules
    )


def test_the_service_leads_to_the_ports_that_are_registered() -> None:
    (service,) = documents("webhook/service.yaml")
    (deployment,) = documents("webhook/deployment.yaml")
    target = ServiceTarget("mcp-system", "mcp-operator-webhook")

    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    reached = {port["port"]: numbers[port["targetPort"]] for port in service["spec"]["ports"]}
    assert reached == {target.port: 8443, target.next_port: 8444}


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize("kind", watches.WATCHED.values(), ids=lambda kind: kind.plural)
def test_the_webhook_may_list_and_watch_what_it_judges_by(kind: ResourceType, verb: str) -> None:
    assert allows("rbac/webhook.yaml", kind, verb)


@pytest.mark.parametrize("verb", ["get", "list", "watch", "update"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (resources.VALIDATING_WEBHOOKS, registration.VALIDATING),
        (resources.MUTATING_WEBHOOKS, registration.MUTATING),
    ],
)
def test_the_controller_may_keep_the_registration_and_no_other_one(kind: ResourceType, name: str, verb: str) -> None:
    assert allows("rbac/controller.yaml", kind, verb, name=name)
    assert not allows("rbac/controller.yaml", kind, verb, name="of-somebody-else")


def test_nobody_may_read_a_secret_but_that_of_the_ca() -> None:
    for path in ("rbac/controller.yaml", "rbac/webhook.yaml"):
        for role in ("ClusterRole", "Role"):
            for verb in ("get", "list", "watch"):
                assert not allows(path, resources.SECRETS, verb, name="of-somebody-else", role=role)
        assert allows(path, resources.SECRETS, "get", name="mcp-operator-ca", role="Role")


def built(folder: Path) -> list[dict[str, Any]]:
    """The documents that a kustomization and those below it contain; names as in their files."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[dict[str, Any]] = []
    for name in (*kustomization.get("resources", ()), *kustomization.get("components", ())):
        path = (folder / name).resolve()
        found += built(path) if path.is_dir() else [each for each in yaml.safe_load_all(path.read_text()) if each]
    return found


OVERLAYS = sorted(file.parent for file in (MANIFESTS / "overlays").rglob("kustomization.yaml"))


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda folder: folder.relative_to(MANIFESTS).as_posix())
def test_who_deletes_an_overlay_keeps_definitions_objects_and_namespaces_of_their_own(folder: Path) -> None:
    documents = built(folder)

    assert documents
    assert {each["kind"] for each in documents}.isdisjoint({"CustomResourceDefinition", *OURS})
    assert {each["metadata"]["name"] for each in documents if each["kind"] == "Namespace"} <= {"mcp-system"}


@pytest.mark.parametrize("verb", ["get", "update", "delete"])
def test_the_controller_keeps_its_signing_keys(verb: str) -> None:
    name = program.Settings("mcp-system", "one").keys_secret

    assert allows("rbac/controller.yaml", resources.SECRETS, verb, name=name, role="Role")
    assert not allows("rbac/controller.yaml", resources.SECRETS, verb, name="another", role="Role")


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize(
    "kind",
    [*WORKLOADS, resources.REPLICA_SETS, resources.PODS, resources.ENDPOINT_SLICES],
    ids=lambda kind: kind.plural,
)
def test_the_controller_may_list_and_watch_what_it_looks_at(kind: ResourceType, verb: str) -> None:
    assert allows("rbac/controller.yaml", kind, verb)


NAMESPACED = ("../namespaced/operator/rbac.yaml", "../namespaced/tenant/rbac.yaml")


def test_an_operator_of_some_namespaces_has_roles_only() -> None:
    kinds = {document["kind"] for path in NAMESPACED for document in documents(path)}

    assert kinds == {"ServiceAccount", "Role", "RoleBinding"}


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize(
    "kind",
    [*WORKLOADS, *watches.WATCHED.values(), resources.REPLICA_SETS, resources.PODS, resources.ENDPOINT_SLICES],
    ids=lambda kind: kind.plural,
)
def test_its_roles_allow_what_is_watched(kind: ResourceType, verb: str) -> None:
    assert allows(NAMESPACED[1], kind, verb, role="Role")


def test_its_roles_are_no_more_than_the_cluster_roles() -> None:
    """Rule by rule, but for what is asked in another way or for oneself."""

    def rights(path: str) -> set[tuple[str, str, str, str]]:
        return {
            (group, plural, name, verb)
            for document in documents(path)
            for rule in document.get("rules", ())
            for group in rule["apiGroups"]
            for plural in rule["resources"]
            for name in rule.get("resourceNames", ["*"])
            for verb in rule["verbs"]
        }

    wide = rights("rbac/controller.yaml") | rights("rbac/webhook.yaml")
    local = {("authorization.k8s.io", "localsubjectaccessreviews", "*", "create")}
    assert rights(NAMESPACED[0]) | rights(NAMESPACED[1]) <= wide | local


def test_nobody_of_it_may_read_a_secret_but_its_own() -> None:
    for verb in ("get", "list", "watch", "update"):
        assert not allows(NAMESPACED[1], resources.SECRETS, verb, role="Role")
        assert not allows(NAMESPACED[0], resources.SECRETS, verb, name="of-somebody-else", role="Role")


def test_the_network_policies_select_the_pods_of_the_operator_and_name_their_ports() -> None:
    text = (MANIFESTS / "components" / "network-policy" / "policy.yaml").read_text()
    policies = {each["metadata"]["name"]: each for each in yaml.safe_load_all(text)}
    allowed: dict[str, list[set[int]]] = {}
    for name in ("webhook", "controller"):
        (deployment,) = documents(f"{name}/deployment.yaml")
        policy = policies[deployment["metadata"]["name"]]
        template = deployment["spec"]["template"]
        (container,) = template["spec"]["containers"]
        numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
        allowed[name] = [{numbers[port["port"]] for port in rule["ports"]} for rule in policy["spec"]["ingress"]]

        assert policy["metadata"]["namespace"] == documents("namespace.yaml")[0]["metadata"]["name"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert all(rule["from"] for rule in policy["spec"]["ingress"])

    assert len(policies) == 2
    assert allowed == {"webhook": [{8443, 8444}, {9090}], "controller": [{9090}]}


def test_until_somebody_names_the_api_servers_no_address_may_call_the_webhook() -> None:
    text = (MANIFESTS / "components" / "network-policy" / "policy.yaml").read_text()
    webhook = next(yaml.safe_load_all(text))

    assert webhook["spec"]["ingress"][0]["from"] == [{"ipBlock": {"cidr": "192.0.2.1/32"}}]


def test_with_cert_manager_the_arguments_name_what_it_makes_and_the_roles_allow_it() -> None:
    folder = MANIFESTS / "components" / "cert-manager"
    made = [each for each in yaml.safe_load_all((folder / "certificates.yaml").read_text()) if each]
    certificates = {each["metadata"]["name"]: each["spec"] for each in made if each["kind"] == "Certificate"}
    issuers = {each["metadata"]["name"] for each in made if each["kind"] == "Issuer"}
    patches = yaml.safe_load((folder / "kustomization.yaml").read_text())["patches"]
    patched = {(each["target"]["kind"], each["target"]["name"]): yaml.safe_load(each["patch"]) for each in patches}
    (webhook,) = patched["Deployment", "mcp-operator-webhook"]
    (controller,) = patched["Deployment", "mcp-operator-controller"]

    name = controller["value"].removeprefix("--inject-ca-from=")
    assert webhook["value"] == f"--certificate-secret={certificates[name]['secretName']}"
    assert {each["issuerRef"]["name"] for each in certificates.values()} == issuers
    (service,) = documents("webhook/service.yaml")
    (namespace,) = documents("namespace.yaml")
    assert f"{service['metadata']['name']}.{namespace['metadata']['name']}.svc" in certificates[name]["dnsNames"]

    path = program.Settings("mcp-system", "one").path_secret
    for account, read in (("webhook", {certificates[name]["secretName"], path}), ("controller", {path})):
        guard, replaced = patched["Role", f"mcp-operator-{account}"]
        for roles in (BASE / "rbac" / f"{account}.yaml", MANIFESTS / "namespaced" / "operator" / "rbac.yaml"):
            found = [each for each in yaml.safe_load_all(roles.read_text()) if each]
            (role,) = [e for e in found if (e["kind"], e["metadata"]["name"]) == ("Role", f"mcp-operator-{account}")]
            rule = role["rules"][int(guard["path"].split("/")[2])]
            assert rule["resources"] == ["secrets"]
            assert rule["resourceNames"] == guard["value"] == ["mcp-operator-ca"]
        assert guard["path"] == replaced["path"]
        assert set(replaced["value"]) == read
