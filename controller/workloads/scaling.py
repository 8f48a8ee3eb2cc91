"""PURE. How many pods there are, where that is not just a number, and how few there may be for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.planning.state import workload_name
from controller.workloads.blueprint import frame, labels

if TYPE_CHECKING:
    from controller.workloads.blueprint import Blueprint, Manifest
    from crd.models.server import ServerSpec

__all__ = ["autoscaler", "budget", "fewest", "has_autoscaler", "has_budget"]


def fewest(spec: ServerSpec) -> int:
    """How many pods there are to be at least."""
    if spec.autoscaling:
        return spec.autoscaling.min_replicas
    return 1 if spec.replicas is None else spec.replicas


def has_autoscaler(spec: ServerSpec) -> bool:
    """Whether an autoscaler decides."""
    return spec.autoscaling is not None


def autoscaler(blueprint: Blueprint) -> Manifest:
    """A HorizontalPodAutoscaler by CPU. Raises ValueError where none is wished."""
    wanted = blueprint.spec.autoscaling
    if wanted is None:
        raise ValueError(f"{blueprint.server.ref} has no autoscaling")
    target = {"type": "Utilization", "averageUtilization": wanted.target_cpu_utilization}
    body = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": workload_name(blueprint.server.ref.name),
        },
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return frame(blueprint, "autoscaling/v2", "HorizontalPodAutoscaler", spec=body)


def has_budget(spec: ServerSpec) -> bool:
    """Whether a budget is wished, and there may be more than one pod: of a single one it would block every drain."""
    return spec.pod_disruption_budget is not None and spec.max_replicas > 1


def budget(blueprint: Blueprint) -> Manifest:
    """A PodDisruptionBudget. Raises ValueError where none is wished."""
    wanted = blueprint.spec.pod_disruption_budget
    if wanted is None:
        raise ValueError(f"{blueprint.server.ref} has no podDisruptionBudget")
    selector = {"matchLabels": labels(blueprint.server.ref.name)}
    body = {"minAvailable": wanted.min_available, "selector": selector}
    return frame(blueprint, "policy/v1", "PodDisruptionBudget", spec=body)
