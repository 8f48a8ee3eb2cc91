"""PURE. Who the pods are, and what they may do at the API server: read their own catalog, and its newest version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.planning.state import catalog_name, workload_name
from controller.workloads.inputs import owned_object
from crd.ref import GROUP, Kind

if TYPE_CHECKING:
    from controller.workloads.inputs import Inputs, Manifest
    from crd.models.server import ServerSpec

__all__ = ["account", "account_name", "binding", "has_account", "role"]

RBAC = "rbac.authorization.k8s.io"


def account_name(server: str, spec: ServerSpec) -> str:
    """The ServiceAccount of the pods: the one that the author names, or the server's own."""
    template = spec.pod_template
    return (template and template.service_account_name) or workload_name(server)


def has_account(spec: ServerSpec) -> bool:
    """Whether the server has a ServiceAccount of its own."""
    return not (spec.pod_template and spec.pod_template.service_account_name)


def account(inputs: Inputs) -> Manifest:
    """The server's own ServiceAccount."""
    return owned_object(inputs, "v1", "ServiceAccount", automountServiceAccountToken=True)


def role(inputs: Inputs) -> Manifest:
    """Read one ConfigMap and one MCPServer, by name; nothing else."""
    name = inputs.server.ref.name
    catalog = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [catalog_name(name)],
        "verbs": ["get", "list", "watch"],
    }
    server = {
        "apiGroups": [GROUP],
        "resources": [Kind.SERVER.plural],
        "resourceNames": [name],
        "verbs": ["get"],
    }
    return owned_object(inputs, f"{RBAC}/v1", "Role", rules=[catalog, server])


def binding(inputs: Inputs) -> Manifest:
    """Bound to whichever ServiceAccount the pods have."""
    ref = inputs.server.ref
    account = account_name(ref.name, inputs.spec)
    return owned_object(
        inputs,
        f"{RBAC}/v1",
        "RoleBinding",
        roleRef={"apiGroup": RBAC, "kind": "Role", "name": workload_name(ref.name)},
        subjects=[{"kind": "ServiceAccount", "name": account, "namespace": ref.namespace}],
    )
