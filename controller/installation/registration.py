"""PURE. The webhook configurations: which requests go to which webhook, and what happens when it does not answer.

The controller writes them and owns them. They are in no Kustomization, so that no GitOps tool reverts the CA bundle or
the failure policy. Every field that the API server would default is set, so that any difference is somebody's edit.
With certificates of cert-manager, the CA bundle is cert-manager's to write, and everything else is ours.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from certs import paths
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CA_PROBE",
    "CA_PROBE_LABEL",
    "CA_PROVER",
    "DELETION_NOTER",
    "MUTATING",
    "VALIDATING",
    "VALIDATOR",
    "Injected",
    "ServiceTarget",
    "UrlTarget",
    "ca_probe",
    "configurations",
    "corrected",
    "differences",
    "name_in",
    "probe_label",
    "registered_key",
]

VALIDATING = "mcp-operator-validating"
MUTATING = "mcp-operator-mutating"
# Exists only while a new CA is being proved; also the name of the one object that it matches.
CA_PROBE = "mcp-operator-ca-probe"
CA_PROBE_LABEL = f"{GROUP}/ca-probe"
VALIDATOR = f"validate.{GROUP}"
DELETION_NOTER = f"note-deletion.{GROUP}"
MUTATOR = f"mutate.{GROUP}"
CA_PROVER = f"ca-probe.{GROUP}"
# By these, the cainjector of cert-manager writes the bundle; only one of them is ever set by us.
INJECT_FROM = "cert-manager.io/inject-ca-from"
_INJECTIONS = (INJECT_FROM, "cert-manager.io/inject-ca-from-secret", "cert-manager.io/inject-apiserver-ca")
TIMEOUT_SECONDS = 5
# A deletion waits no longer than this for a webhook that does not answer, and goes on without it.
DELETION_TIMEOUT_SECONDS = 1

_MEMBERS = [Kind.TOOL.plural, Kind.PROMPT.plural, Kind.RESOURCE.plural]
_ALL = [Kind.SERVER.plural, *_MEMBERS]

_SPEC_CHANGED = "(has(object.spec) != has(oldObject.spec) || (has(object.spec) && object.spec != oldObject.spec))"
# An object that a finalizer holds must be able to lose it while no webhook answers. Its spec stays under judgement.
_NOT_BEING_DELETED = {
    "name": "not-being-deleted",
    "expression": f"request.operation != 'UPDATE' || !has(object.metadata.deletionTimestamp) || {_SPEC_CHANGED}",
}
_CHANGED = {
    "name": "changed",
    "expression": f"request.operation != 'UPDATE' || {_SPEC_CHANGED} "
    "|| object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({}) "
    "|| object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({})",
}
# What may lack a default, or be what the schema refuses. A webhook that is not called costs nothing.
_SPEC_TO_READ = {
    "name": "spec-to-read",
    "expression": f"has(object.spec) && (request.operation != 'UPDATE' || {_SPEC_CHANGED} || !has(object.spec.name) "
    "|| (has(object.spec.service) && !has(object.spec.service.namespace)))",
}


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """The webhook runs in the cluster, behind this Service. ``next_port`` serves a certificate of the next CA."""

    namespace: str
    name: str
    port: int = 443
    next_port: int = 444

    def client(self, path: str) -> dict[str, Any]:
        """The clientConfig for reviews, without the bundle."""
        return {"service": {"namespace": self.namespace, "name": self.name, "port": self.port, "path": path}}

    def next_client(self, path: str) -> dict[str, Any]:
        """The clientConfig for the proof of the next CA, without the bundle."""
        return {"service": {"namespace": self.namespace, "name": self.name, "port": self.next_port, "path": path}}


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """The webhook runs elsewhere, as a process: ``https://host:port``. ``next_base`` is its port for the next CA."""

    base: str
    next_base: str

    def client(self, path: str) -> dict[str, Any]:
        """The clientConfig for reviews, without the bundle."""
        return {"url": self.base.rstrip("/") + path}

    def next_client(self, path: str) -> dict[str, Any]:
        """The clientConfig for the proof of the next CA, without the bundle."""
        return {"url": self.next_base.rstrip("/") + path}


@dataclass(frozen=True, slots=True)
class Injected:
    """The CA bundle is written by cert-manager, from this Certificate."""

    namespace: str
    certificate: str


def name_in(installation: str, name: str) -> str:
    """The name of a configuration of an installation for some namespaces; several of them may be in one cluster.

    ``installation`` is the operator's own namespace.
    """
    return f"{name}-{installation}"


def configurations(
    target: ServiceTarget | UrlTarget,
    trust: bytes | Injected,
    *,
    failure_policy: Literal["Ignore", "Fail"],
    namespace: str,
    owner: Mapping[str, Any] | None,
    namespaces: tuple[str, ...] = (),
    key: str = "",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The validating and the mutating configuration. ``namespace`` is the operator's own, which is never asked about.

    ``trust`` is the CA bundle, or says who writes it. With ``namespaces`` only these are asked about, and the names of
    the configurations end in that of ``namespace``. ``failure_policy`` is that of the validating webhook alone.
    Deletions have a webhook of their own that is always ignored when it fails: nothing may refuse a deletion.
    ``owner`` is the cluster-scoped object whose deletion collects both configurations. ``key`` is that of the paths.
    """
    validating = _webhook(
        VALIDATOR, target.client(paths.with_key(paths.VALIDATE_PATH, key)), trust, failure_policy, namespace
    )
    validating["rules"] = [_rule(_ALL, "CREATE", "UPDATE")]
    validating["matchConditions"] = [_NOT_BEING_DELETED, _CHANGED]
    # Changes in a namespace with a Strict server are recorded in a ledger; dry runs are not.
    validating["sideEffects"] = "NoneOnDryRun"
    deletions = _webhook(
        DELETION_NOTER, target.client(paths.with_key(paths.NOTE_DELETION_PATH, key)), trust, "Ignore", namespace
    )
    deletions["rules"] = [_rule(_ALL, "DELETE")]
    deletions["sideEffects"] = "NoneOnDryRun"
    deletions["timeoutSeconds"] = DELETION_TIMEOUT_SECONDS
    mutating = _webhook(MUTATOR, target.client(paths.with_key(paths.MUTATE_PATH, key)), trust, "Ignore", namespace)
    mutating["rules"] = [_rule(_ALL, "CREATE", "UPDATE")]
    mutating["matchConditions"] = [_NOT_BEING_DELETED, _SPEC_TO_READ]
    mutating["reinvocationPolicy"] = "IfNeeded"
    names = [VALIDATING, MUTATING]
    if namespaces:
        names = [name_in(namespace, name) for name in names]
        for webhook in (validating, deletions, mutating):
            selected = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(namespaces)}
            webhook["namespaceSelector"] = {"matchExpressions": [selected]}
    return (
        _configuration("ValidatingWebhookConfiguration", names[0], [validating, deletions], owner, trust),
        _configuration("MutatingWebhookConfiguration", names[1], [mutating], owner, trust),
    )


def ca_probe(
    target: ServiceTarget | UrlTarget,
    trust: bytes | Injected,
    *,
    fingerprint: str,
    namespace: str,
    owner: Mapping[str, Any] | None,
    name: str = CA_PROBE,
    key: str = "",
) -> dict[str, Any]:
    """The configuration that proves a CA and a key: it matches one object in the operator's namespace, trusts that CA
    alone, and calls under that key.

    The other configurations leave that namespace out, so only a webhook that the API server reached through a
    certificate of this very CA can refuse the object. With an injected bundle, the key alone is proved. ``fingerprint``
    is the `probe_label` of both.
    """
    client = target.next_client(paths.with_key(paths.VALIDATE_PATH, key))
    webhook = _webhook(CA_PROVER, client, trust, "Ignore", namespace)
    webhook["rules"] = [_rule([Kind.PROMPT.plural], "CREATE")]
    webhook["sideEffects"] = "NoneOnDryRun"
    webhook["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    webhook["objectSelector"] = {"matchLabels": {CA_PROBE_LABEL: fingerprint}}
    webhook["matchConditions"] = [{"name": "ca-probe", "expression": f"object.metadata.name == '{CA_PROBE}'"}]
    return _configuration("ValidatingWebhookConfiguration", name, [webhook], owner, trust)


def probe_label(certificate: bytes, key: str = "") -> str:
    """What tells the proofs of different CAs and keys apart; a label holds 63 characters."""
    return hashlib.sha256(certificate + key.encode()).hexdigest()[:32]


def registered_key(configuration: Mapping[str, Any] | None) -> str | None:
    """The key under which the API servers call the validating webhook; None if it is not registered."""
    webhooks = (configuration or {}).get("webhooks") or ()
    return next((paths.key_in(each["clientConfig"]) for each in webhooks if each["name"] == VALIDATOR), None)


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of the fields that differ from what they should be; additional labels and annotations are allowed.

    Not those that have the bundle injected; and where we have set that, the bundle may be any.
    """
    differing = [
        f"metadata.annotations[{key}]"
        for key in _INJECTIONS
        if _annotations(found).get(key) != _annotations(expected).get(key)
    ]
    injected = INJECT_FROM in _annotations(expected)
    if found["metadata"].get("ownerReferences") != expected["metadata"].get("ownerReferences"):
        differing.append("metadata.ownerReferences")
    labels = found["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in expected["metadata"]["labels"].items()):
        differing.append("metadata.labels")
    there = {webhook["name"]: _compared(webhook, injected=injected) for webhook in found.get("webhooks") or ()}
    wanted = {webhook["name"]: _compared(webhook, injected=injected) for webhook in expected["webhooks"]}
    for name in sorted({*there, *wanted}):
        if name not in there or name not in wanted:
            differing.append(f"webhooks[{name}]")
            continue
        fields = sorted({*there[name], *wanted[name]})
        changed = (field for field in fields if there[name].get(field) != wanted[name].get(field))
        differing += [f"webhooks[{name}].{field}" for field in changed]
    return tuple(differing)


def _compared(webhook: Mapping[str, Any], *, injected: bool) -> Mapping[str, Any]:
    if not injected:
        return webhook
    client = {key: value for key, value in (webhook.get("clientConfig") or {}).items() if key != "caBundle"}
    return {**webhook, "clientConfig": client}


def corrected(found: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """What to write in place of a configuration: as desired, with the labels and annotations that others have added.

    Whoever decides the bundle is not among these. A bundle that is injected stays as it is.
    """
    labels = {**(found["metadata"].get("labels") or {}), **desired["metadata"]["labels"]}
    added = {key: value for key, value in _annotations(found).items() if key not in _INJECTIONS}
    metadata = {**found["metadata"], "labels": labels, "annotations": {**added, **_annotations(desired)}}
    metadata.pop("managedFields", None)
    metadata["ownerReferences"] = desired["metadata"].get("ownerReferences", [])
    there = {webhook["name"]: webhook.get("clientConfig", {}) for webhook in found.get("webhooks") or ()}
    webhooks = []
    for webhook in desired["webhooks"]:
        client = webhook["clientConfig"]
        injected = there.get(webhook["name"], {}).get("caBundle")
        if INJECT_FROM in _annotations(desired) and injected:
            client = {**client, "caBundle": injected}
        webhooks.append({**webhook, "clientConfig": client})
    return {**desired, "metadata": metadata, "webhooks": webhooks}


def _annotations(configuration: Mapping[str, Any]) -> Mapping[str, str]:
    return configuration["metadata"].get("annotations") or {}


def _webhook(name: str, client: dict[str, Any], trust: bytes | Injected, policy: str, namespace: str) -> dict[str, Any]:
    excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", namespace]}
    return {
        "name": name,
        "clientConfig": client
        if isinstance(trust, Injected)
        else {**client, "caBundle": base64.b64encode(trust).decode()},
        "admissionReviewVersions": ["v1"],
        "failurePolicy": policy,
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": [excluded]},
        "objectSelector": {},
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
    }


def _rule(plurals: list[str], *operations: str) -> dict[str, Any]:
    return {
        "apiGroups": [GROUP],
        "apiVersions": [VERSION],
        "resources": plurals,
        "operations": list(operations),
        "scope": "Namespaced",
    }


def _configuration(
    kind: str,
    name: str,
    webhooks: list[dict[str, Any]],
    owner: Mapping[str, Any] | None,
    trust: bytes | Injected,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/part-of": "mcp-operator"}}
    if isinstance(trust, Injected):
        metadata["annotations"] = {INJECT_FROM: f"{trust.namespace}/{trust.certificate}"}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "webhooks": webhooks,
    }
