"""PURE. The objects of a server beside its catalog: when there is one of a kind, and in which order they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.workloads import deployment, network, rbac, scaling, traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.workloads.inputs import Inputs, Manifest
    from crd.models.server import ServerSpec

__all__ = ["CHILDREN", "Child", "desired", "manifests"]


@dataclass(frozen=True, slots=True)
class Child:
    """One kind of object: when a spec needs it, and how it is built."""

    kind: str
    desired: Callable[[ServerSpec], bool]
    build: Callable[[Inputs], Manifest]


def _always(_spec: ServerSpec) -> bool:
    return True


# In the order in which one needs the other: permissions before pods, pods before what routes to them.
CHILDREN = (
    Child("ServiceAccount", rbac.has_account, rbac.account),
    Child("Role", _always, rbac.role),
    Child("RoleBinding", _always, rbac.binding),
    Child("NetworkPolicy", network.has_policy, network.policy),
    Child("Deployment", _always, deployment.deployment),
    Child("HorizontalPodAutoscaler", scaling.has_autoscaler, scaling.autoscaler),
    Child("PodDisruptionBudget", scaling.has_budget, scaling.budget),
    Child("Service", _always, traffic.service),
    Child("Ingress", traffic.has_ingress, traffic.ingress),
)


def desired(spec: ServerSpec) -> frozenset[str]:
    """The kinds of objects that a spec needs."""
    return frozenset(child.kind for child in CHILDREN if child.desired(spec))


def manifests(inputs: Inputs, kinds: frozenset[str]) -> list[Manifest]:
    """The objects of these kinds, in the order in which they are needed."""
    return [child.build(inputs) for child in CHILDREN if child.kind in kinds]
