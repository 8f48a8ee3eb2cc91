"""PURE. The two webhook configurations: who is asked about what, and what happens when nobody answers.

The controller applies them and owns them; they are in no kustomization, so that no GitOps tool reverts the CA bundle or
the failure policy.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from certs import paths
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DELETION_NOTER",
    "MUTATING",
    "VALIDATING",
    "VALIDATOR",
    "ServiceTarget",
    "UrlTarget",
    "configurations",
]

VALIDATING = "mcp-operator-validating"
MUTATING = "mcp-operator-mutating"
VALIDATOR = f"validate.{GROUP}"
DELETION_NOTER = f"note-deletion.{GROUP}"
MUTATOR = f"mutate.{GROUP}"
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
# A webhook that is not called costs nothing.
_SOMETHING_TO_DEFAULT = {
    "name": "something-to-default",
    "expression": "has(object.spec) && (!has(object.spec.name) "
    "|| (has(object.spec.service) && !has(object.spec.service.namespace)))",
}


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """The webhook runs in the cluster, behind this Service."""

    namespace: str
    name: str
    port: int = 443

    def client(self, path: str) -> dict[str, Any]:
        """The clientConfig, without the bundle."""
        return {"service": {"namespace": self.namespace, "name": self.name, "port": self.port, "path": path}}


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """The webhook runs elsewhere, as a process: ``https://host:port``."""

    base: str

    def client(self, path: str) -> dict[str, Any]:
        """The clientConfig, without the bundle."""
        return {"url": self.base.rstrip("/") + path}


def configurations(
    target: ServiceTarget | UrlTarget,
    ca_bundle: bytes,
    *,
    failure_policy: Literal["Ignore", "Fail"],
    namespace: str,
    owner: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The validating and the mutating configuration. ``namespace`` is the operator's own, which is never asked about.

    ``failure_policy`` is that of the validating webhook alone. Deletions have a webhook of their own that is always
    ignored when it fails: nothing may refuse a deletion. ``owner`` is the cluster-scoped object whose deletion collects
    both configurations.
    """
    validating = _webhook(VALIDATOR, target.client(paths.VALIDATE_PATH), ca_bundle, failure_policy, namespace)
    validating["rules"] = [_rule(_ALL, "CREATE", "UPDATE")]
    validating["matchConditions"] = [_NOT_BEING_DELETED, _CHANGED]
    # What is admitted where a server is Strict is noted in a ledger; of a dry run nothing is.
    validating["sideEffects"] = "NoneOnDryRun"
    deletions = _webhook(DELETION_NOTER, target.client(paths.NOTE_DELETION_PATH), ca_bundle, "Ignore", namespace)
    deletions["rules"] = [_rule(_ALL, "DELETE")]
    deletions["sideEffects"] = "NoneOnDryRun"
    deletions["timeoutSeconds"] = DELETION_TIMEOUT_SECONDS
    mutating = _webhook(MUTATOR, target.client(paths.MUTATE_PATH), ca_bundle, "Ignore", namespace)
    mutating["rules"] = [_rule(_MEMBERS, "CREATE", "UPDATE")]
    mutating["matchConditions"] = [_NOT_BEING_DELETED, _SOMETHING_TO_DEFAULT]
    mutating["reinvocationPolicy"] = "IfNeeded"
    return (
        _configuration("ValidatingWebhookConfiguration", VALIDATING, [validating, deletions], owner),
        _configuration("MutatingWebhookConfiguration", MUTATING, [mutating], owner),
    )


def _webhook(name: str, client: dict[str, Any], ca_bundle: bytes, policy: str, namespace: str) -> dict[str, Any]:
    excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", namespace]}
    return {
        "name": name,
        "clientConfig": {**client, "caBundle": base64.b64encode(ca_bundle).decode()},
        "admissionReviewVersions": ["v1"],
        "failurePolicy": policy,
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": [excluded]},
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
    kind: str, name: str, webhooks: list[dict[str, Any]], owner: Mapping[str, Any] | None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/part-of": "mcp-operator"}}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "webhooks": webhooks,
    }
