"""PURE. What an author may say of the pods and where they go, as the API server wants it written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.workloads.inputs import labels

if TYPE_CHECKING:
    from crd.models.metadata import Model
    from crd.models.scheduling import TopologySpreadConstraint
    from crd.models.workload import PodTemplate

__all__ = ["placement", "plain"]


def plain(model: Model) -> dict[str, Any]:
    """A part of our API as the part of the Kubernetes API that it mirrors, without empty members.

    A selector without conditions stays, empty: there it selects everything.
    """
    return _without_empty(model.model_dump(mode="json", by_alias=True, exclude_none=True))


def _without_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {key: _inner(member) for key, member in value.items() if member not in ({}, [])}


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_empty(value)
    return [_inner(item) for item in value] if isinstance(value, list) else value


def placement(server: str, template: PodTemplate | None) -> dict[str, Any]:
    """The members of a pod spec that say where the pod goes; without constraints, over nodes as far as it goes."""
    if template is None:
        return {"topologySpreadConstraints": [_over_nodes(server)]}
    desired: dict[str, Any] = {
        "topologySpreadConstraints": [_spread(server, each) for each in template.topology_spread_constraints]
        or [_over_nodes(server)],
        "nodeSelector": dict(template.node_selector),
        # An empty key or value is the same as none, and the API server drops it.
        "tolerations": [{k: v for k, v in plain(each).items() if v != ""} for each in template.tolerations],
        "affinity": plain(template.affinity) if template.affinity else {},
        "priorityClassName": template.priority_class_name,
    }
    return {key: value for key, value in desired.items() if value}


def _spread(server: str, constraint: TopologySpreadConstraint) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": labels(server)}, **plain(constraint)}


def _over_nodes(server: str) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels(server)},
    }
