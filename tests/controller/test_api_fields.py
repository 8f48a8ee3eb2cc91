"""Every manifest that the controller writes is one that Kubernetes understands: its fields, their types, its names.

The models are those of the Kubernetes library, which are generated from the OpenAPI description of Kubernetes. What a
pod refers to, it also has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_asyncio.client import models

from controller.installation import registration
from controller.installation.registration import ServiceTarget, UrlTarget
from crd import manifest
from crd.models.server import ServerSpec
from tests.controller.states import built, server

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples" / "valid"
MODELS = {
    "ServiceAccount": models.V1ServiceAccount,
    "Role": models.V1Role,
    "RoleBinding": models.V1RoleBinding,
    "NetworkPolicy": models.V1NetworkPolicy,
    "Deployment": models.V1Deployment,
    "HorizontalPodAutoscaler": models.V2HorizontalPodAutoscaler,
    "PodDisruptionBudget": models.V1PodDisruptionBudget,
    "Service": models.V1Service,
    "Ingress": models.V1Ingress,
    "ValidatingWebhookConfiguration": models.V1ValidatingWebhookConfiguration,
    "MutatingWebhookConfiguration": models.V1MutatingWebhookConfiguration,
}
# The values that the API server accepts, by the model and the field.
VALUES = {
    ("V1ContainerPort", "protocol"): {"TCP", "UDP", "SCTP"},
    ("V1ServicePort", "protocol"): {"TCP", "UDP", "SCTP"},
    ("V1NetworkPolicyPort", "protocol"): {"TCP", "UDP", "SCTP"},
    ("V1HTTPGetAction", "scheme"): {"HTTP", "HTTPS"},
    ("V1DeploymentStrategy", "type"): {"RollingUpdate", "Recreate"},
    ("V1ServiceSpec", "type"): {"ClusterIP", "NodePort", "LoadBalancer"},
    ("V1SeccompProfile", "type"): {"RuntimeDefault"},
    ("V1HTTPIngressPath", "pathType"): {"Exact", "Prefix", "ImplementationSpecific"},
    ("V2MetricSpec", "type"): {"Resource"},
    ("V2MetricTarget", "type"): {"Utilization", "AverageValue", "Value"},
    ("V1ValidatingWebhook", "sideEffects"): {"None", "NoneOnDryRun"},
    ("V1MutatingWebhook", "sideEffects"): {"None", "NoneOnDryRun"},
    ("V1ValidatingWebhook", "failurePolicy"): {"Ignore", "Fail"},
    ("V1MutatingWebhook", "failurePolicy"): {"Ignore", "Fail"},
    ("V1ValidatingWebhook", "matchPolicy"): {"Exact", "Equivalent"},
    ("V1MutatingWebhook", "matchPolicy"): {"Exact", "Equivalent"},
    ("V1MutatingWebhook", "reinvocationPolicy"): {"Never", "IfNeeded"},
    ("V1LabelSelectorRequirement", "operator"): {"In", "NotIn", "Exists", "DoesNotExist"},
    ("V1RuleWithOperations", "scope"): {"*", "Cluster", "Namespaced"},
}
LISTED = {
    ("V1NetworkPolicySpec", "policyTypes"): {"Ingress", "Egress"},
    ("V1RuleWithOperations", "operations"): {"CREATE", "UPDATE", "DELETE"},
    ("V1RuleWithOperations", "apiVersions"): {"v1alpha1"},
    ("V1RuleWithOperations", "apiGroups"): {"mcp.example.com"},
    ("V1ValidatingWebhook", "admissionReviewVersions"): {"v1"},
    ("V1MutatingWebhook", "admissionReviewVersions"): {"v1"},
    ("V1PolicyRule", "verbs"): {"get", "list", "watch"},
    ("V1Capabilities", "drop"): {"ALL"},
}
NAMES = {"V1Volume", "V1VolumeMount", "V1ContainerPort", "V1ServicePort", "V1Container"}
PLAIN = {"str": str, "int": int, "bool": bool, "float": float}


def faults(value: Any, kind: str, path: str = "") -> Iterator[str]:
    """What Kubernetes would not understand of a value that should be of this type."""
    if kind.startswith("list["):
        if not isinstance(value, list):
            yield f"{path} is not a list"
            return
        for index, each in enumerate(value):
            yield from faults(each, kind[5:-1], f"{path}[{index}]")
    elif kind.startswith("dict("):
        if not isinstance(value, dict):
            yield f"{path} is not an object"
            return
        for key, each in value.items():
            yield from faults(each, kind.partition(", ")[2][:-1], f"{path}.{key}")
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]):
            yield f"{path} is not a {kind}: {value!r}"
    elif hasattr(models, kind):
        yield from faults_of_object(value, getattr(models, kind), path)


def faults_of_object(value: Any, model: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is not an object"
        return
    members = {model.attribute_map[name]: name for name in model.openapi_types}
    yield from (f"{path}.{key} is not a field of {model.__name__}" for key in value if key not in members)
    known = {key: each for key, each in value.items() if key in members}
    try:
        model(**{members[key]: each for key, each in known.items()})
    except ValueError as error:
        yield f"{path}: {error}"
    for key, each in known.items():
        name = (model.__name__, key)
        if each not in VALUES.get(name, {each} if isinstance(each, str) else [each]):
            yield f"{path}.{key} cannot be {each!r}"
        if name in LISTED and not set(each) <= LISTED[name]:
            yield f"{path}.{key} cannot have {each!r}"
        if key == "name" and model.__name__ in NAMES and not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", each):
            yield f"{path}.{key} is not a label: {each!r}"
        yield from faults(each, model.openapi_types[members[key]], f"{path}.{key}")


def servers() -> list[manifest.Object]:
    documents = [
        document for path in sorted(EXAMPLES.rglob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
    ]
    found = [manifest.decode(each) for each in documents if each and each.get("kind") == "MCPServer"]
    return [server(), *(each for each in found if isinstance(each.spec, ServerSpec))]


def test_every_field_of_a_workload_is_one_of_kubernetes() -> None:
    everything = [each for item in servers() for each in built(item).values()]

    assert {each["kind"] for each in everything} == set(MODELS) - {
        "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
    }  # fmt: skip
    assert [fault for each in everything for fault in faults_of_object(each, MODELS[each["kind"]], each["kind"])] == []


def test_what_refers_to_another_part_finds_it() -> None:
    for item in servers():
        workloads = built(item)
        pod = workloads["Deployment"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        ports = {port["name"] for port in container["ports"]}
        volumes = [volume["name"] for volume in pod.get("volumes", [])]

        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        assert len(volumes) == len(set(volumes))
        assert all(len(volume) == 2 for volume in pod["volumes"])
        assert all(mount["mountPath"].startswith("/") for mount in container["volumeMounts"])
        probes = [
            container[f"{name}Probe"] for name in ("startup", "liveness", "readiness") if f"{name}Probe" in container
        ]
        assert probes
        assert {probe["httpGet"]["port"] for probe in probes} <= ports
        assert {port["targetPort"] for port in workloads["Service"]["spec"]["ports"]} <= ports
        labels = workloads["Deployment"]["spec"]["template"]["metadata"]["labels"]
        for selector in (
            workloads["Deployment"]["spec"]["selector"]["matchLabels"],
            workloads["Service"]["spec"]["selector"],
        ):
            assert selector.items() <= labels.items()
        if "Ingress" in workloads:
            paths = [path for rule in workloads["Ingress"]["spec"]["rules"] for path in rule["http"]["paths"]]
            served = {port["name"] for port in workloads["Service"]["spec"]["ports"]}
            assert {path["backend"]["service"]["port"]["name"] for path in paths} <= served


@pytest.mark.parametrize(
    "target", [ServiceTarget("ops", "hook"), UrlTarget("https://10.0.0.1:8443/", "https://10.0.0.1/")]
)
@pytest.mark.parametrize("namespaces", [(), ("shop",)])
def test_every_field_of_a_registration_is_one_of_kubernetes(target: Any, namespaces: tuple[str, ...]) -> None:
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "ops", "uid": "u"}
    made = registration.configurations(
        target, b"ca", failure_policy="Fail", namespace="ops", owner=owner, namespaces=namespaces, key="a" * 32
    )
    probe = registration.ca_probe(target, b"ca", fingerprint="f", namespace="ops", owner=owner)

    found = [fault for each in (*made, probe) for fault in faults_of_object(each, MODELS[each["kind"]], each["kind"])]
    assert found == []
    webhooks = [webhook for each in (*made, probe) for webhook in each["webhooks"]]
    assert all(
        webhook.keys() >= {"sideEffects", "admissionReviewVersions", "clientConfig", "rules"} for webhook in webhooks
    )
    assert [webhook["sideEffects"] for webhook in webhooks] == ["NoneOnDryRun", "NoneOnDryRun", "None", "NoneOnDryRun"]
