"""PURE. Which kinds of objects a server has beside its catalog, when it has them, and in which order they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.workloads import deployment, network, rights, scaling, traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.workloads.blueprint import Blueprint, Manifest
    from crd.models.server import ServerSpec

__all__ = ["CHILDREN", "Child", "manifests", "wished"]


@dataclass(frozen=True, slots=True)
class Child:
    """One kind of object: when a spec wishes for it, and how it is built."""

    kind: str
    wished: Callable[[ServerSpec], bool]
    build: Callable[[Blueprint], Manifest]


def _always(_spec: ServerSpec) -> bool:
    return True


# In the order in which one needs the other: rights before pods, pods before what leads to them.
CHILDREN = (
    Child("ServiceAccount", rights.has_account, rights.account),
    Child("Role", _always, rights.role),
    Child("RoleBinding", _always, rights.binding),
    Child("NetworkPolicy", network.has_policy, network.policy),
    Child("Deployment", _always, deployment.deployment),
    Child("HorizontalPodAutoscaler", scaling.has_autoscaler, scaling.autoscaler),
    Child("PodDisruptionBudget", scaling.has_budget, scaling.budget),
    Child("Service", _always, traffic.service),
    Child("Ingress", traffic.has_ingress, traffic.ingress),
)


def wished(spec: ServerSpec) -> frozenset[str]:
    """The kinds that a spec wishes for."""
    return frozenset(child.kind for child in CHILDREN if child.wished(spec))


def manifests(blueprint: Blueprint, kinds: frozenset[str]) -> list[Manifest]:
    """The objects of these kinds, in the order in which they are needed."""
    return [child.build(blueprint) for child in CHILDREN if child.kind in kinds]
