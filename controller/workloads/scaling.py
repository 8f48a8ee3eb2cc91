"""PURE. How many pods there are, where that is not just a number, and how few there may be for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.planning.state import workload_name
from controller.workloads.inputs import labels, owned_object

if TYPE_CHECKING:
    from controller.workloads.inputs import Inputs, Manifest
    from crd.models.server import ServerSpec

__all__ = ["autoscaler", "budget", "fewest", "has_autoscaler", "has_budget"]


def fewest(spec: ServerSpec) -> int:
    """The lowest number of pods that the spec allows."""
    if spec.autoscaling:
        return spec.autoscaling.min_replicas
    return 1 if spec.replicas is None else spec.replicas


def has_autoscaler(spec: ServerSpec) -> bool:
    """Whether an autoscaler sets the number of pods."""
    return spec.autoscaling is not None


def autoscaler(inputs: Inputs) -> Manifest:
    """A HorizontalPodAutoscaler by CPU. Raises ValueError for a spec without one."""
    desired = inputs.spec.autoscaling
    if desired is None:
        raise ValueError(f"{inputs.server.ref} has no autoscaling")
    target = {"type": "Utilization", "averageUtilization": desired.target_cpu_utilization}
    body = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": workload_name(inputs.server.ref.name),
        },
        "minReplicas": desired.min_replicas,
        "maxReplicas": desired.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return owned_object(inputs, "autoscaling/v2", "HorizontalPodAutoscaler", spec=body)


def has_budget(spec: ServerSpec) -> bool:
    """Whether the spec has a budget, and there may be more than one pod: of a single one it would block every drain."""
    return spec.pod_disruption_budget is not None and spec.max_replicas > 1


def budget(inputs: Inputs) -> Manifest:
    """A PodDisruptionBudget. Raises ValueError for a spec without one."""
    desired = inputs.spec.pod_disruption_budget
    if desired is None:
        raise ValueError(f"{inputs.server.ref} has no podDisruptionBudget")
    selector = {"matchLabels": labels(inputs.server.ref.name)}
    body = {"minAvailable": desired.min_available, "selector": selector}
    return owned_object(inputs, "policy/v1", "PodDisruptionBudget", spec=body)
