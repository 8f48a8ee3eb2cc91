"""PURE. The resource types we meet, and their paths on the API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AUTOSCALERS",
    "CLUSTER_ROLES",
    "CONFIG_MAPS",
    "DEPLOYMENTS",
    "DISRUPTION_BUDGETS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "INGRESSES",
    "LEASES",
    "MUTATING_WEBHOOKS",
    "NAMESPACES",
    "NETWORK_POLICIES",
    "OURS",
    "PODS",
    "PROMPTS",
    "REFERENCE_GRANTS",
    "REPLICA_SETS",
    "RESOURCES",
    "ROLES",
    "ROLE_BINDINGS",
    "SECRETS",
    "SERVERS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "TOOLS",
    "VALIDATING_WEBHOOKS",
    "ResourceType",
    "of",
]


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One resource of the API; ``group`` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As it stands in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of a collection (all namespaces without one), an object, or a subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        return "/".join(parts + [part for part in (name, subresource) if part])


SERVERS = ResourceType(GROUP, VERSION, Kind.SERVER.plural, Kind.SERVER)
TOOLS = ResourceType(GROUP, VERSION, Kind.TOOL.plural, Kind.TOOL)
PROMPTS = ResourceType(GROUP, VERSION, Kind.PROMPT.plural, Kind.PROMPT)
RESOURCES = ResourceType(GROUP, VERSION, Kind.RESOURCE.plural, Kind.RESOURCE)
OURS = (SERVERS, TOOLS, PROMPTS, RESOURCES)

CONFIG_MAPS = ResourceType("", "v1", "configmaps", "ConfigMap")
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
PODS = ResourceType("", "v1", "pods", "Pod")
SECRETS = ResourceType("", "v1", "secrets", "Secret")
SERVICES = ResourceType("", "v1", "services", "Service")
SERVICE_ACCOUNTS = ResourceType("", "v1", "serviceaccounts", "ServiceAccount")
AUTOSCALERS = ResourceType("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
DEPLOYMENTS = ResourceType("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = ResourceType("apps", "v1", "replicasets", "ReplicaSet")
DISRUPTION_BUDGETS = ResourceType("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
ENDPOINT_SLICES = ResourceType("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
EVENTS = ResourceType("events.k8s.io", "v1", "events", "Event")
INGRESSES = ResourceType("networking.k8s.io", "v1", "ingresses", "Ingress")
LEASES = ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
NETWORK_POLICIES = ResourceType("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
REFERENCE_GRANTS = ResourceType("gateway.networking.k8s.io", "v1beta1", "referencegrants", "ReferenceGrant")
ROLES = ResourceType("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = ResourceType("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = ResourceType("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
VALIDATING_WEBHOOKS = ResourceType(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
MUTATING_WEBHOOKS = ResourceType(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)

_BY_NAME = {
    (known.api_version, known.kind): known
    for known in (
        *OURS,
        CONFIG_MAPS,
        NAMESPACES,
        PODS,
        SECRETS,
        SERVICES,
        SERVICE_ACCOUNTS,
        AUTOSCALERS,
        DEPLOYMENTS,
        REPLICA_SETS,
        DISRUPTION_BUDGETS,
        ENDPOINT_SLICES,
        EVENTS,
        INGRESSES,
        LEASES,
        NETWORK_POLICIES,
        REFERENCE_GRANTS,
        ROLES,
        ROLE_BINDINGS,
        CLUSTER_ROLES,
        VALIDATING_WEBHOOKS,
        MUTATING_WEBHOOKS,
    )
}


def of(manifest: Mapping[str, Any]) -> ResourceType:
    """The resource type of a manifest. Raises KeyError for one that is not in this module."""
    return _BY_NAME[str(manifest["apiVersion"]), str(manifest["kind"])]
