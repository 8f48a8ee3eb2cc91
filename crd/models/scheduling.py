"""PURE. Scheduling of pods: the part of core/v1 PodSpec that an author may set.

Host networks, volumes and security contexts are not part of it, so that an author cannot weaken the pods.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crd.models import patterns
from crd.models.metadata import ATOMIC, Model

__all__ = ["Affinity", "PlainSelector", "Toleration", "TopologySpreadConstraint"]

Key = Annotated[str, Field(min_length=1, max_length=317, pattern=patterns.LABEL_KEY)]
Value = Annotated[str, Field(max_length=63, pattern=patterns.LABEL_VALUE)]
Weight = Annotated[int, Field(ge=1, le=100)]


class PlainRequirement(Model):
    """A condition on a label (metav1.LabelSelectorRequirement)."""

    key: Key = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="Relation of the label to the values."
    )
    values: Annotated[tuple[Value, ...], Field(max_length=64)] = Field(
        (), description="Values for In and NotIn.", json_schema_extra=ATOMIC
    )


class PlainSelector(Model):
    """A selector of pods or namespaces as in Kubernetes: an empty one selects all."""

    match_labels: Annotated[dict[Key, Value], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels that must match."
    )
    match_expressions: Annotated[tuple[PlainRequirement, ...], Field(max_length=32)] = Field(
        (), description="Further conditions on labels.", json_schema_extra=ATOMIC
    )


class Toleration(Model):
    """A taint that the pods tolerate."""

    key: Annotated[str, Field(max_length=317)] = Field(
        "", description="Key of the taint; empty with operator Exists matches every taint."
    )
    operator: Literal["Exists", "Equal"] = Field("Equal", description="Relation of the key to the value.")
    value: Annotated[str, Field(max_length=63)] = Field("", description="Value of the taint, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint. Without it, every effect matches."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=31536000)] | None = Field(
        None, description="How long a NoExecute taint is tolerated."
    )


class NodeRequirement(Model):
    """A condition on a label of a node."""

    key: Key = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        description="Relation of the label to the values."
    )
    values: Annotated[tuple[Value, ...], Field(max_length=64)] = Field(
        (), description="Values; one integer for Gt and Lt.", json_schema_extra=ATOMIC
    )


class NodeTerm(Model):
    """Selects nodes by their labels; all conditions must hold."""

    match_expressions: Annotated[tuple[NodeRequirement, ...], Field(max_length=32)] = Field(
        (), description="Conditions on labels.", json_schema_extra=ATOMIC
    )


class PreferredNodes(Model):
    """Preferred nodes."""

    weight: Weight = Field(description="Weight of the preference, from 1 to 100.")
    preference: NodeTerm = Field(description="Nodes to select.")


class NodeSelector(Model):
    """Required nodes: at least one term must match."""

    node_selector_terms: Annotated[tuple[NodeTerm, ...], Field(min_length=1, max_length=16)] = Field(
        description="Terms, of which at least one must match.", json_schema_extra=ATOMIC
    )


class NodeAffinity(Model):
    """Required and preferred nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        None, description="Required nodes."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=16)
    ] = Field((), description="Preferred nodes.", json_schema_extra=ATOMIC)


class PodTerm(Model):
    """Other pods, and the domain that counts as near."""

    label_selector: PlainSelector | None = Field(None, description="Pods to select.")
    namespace_selector: PlainSelector | None = Field(
        None, description="Namespaces of the pods. Defaults to the namespace of the server."
    )
    topology_key: Key = Field(description="Node label; nodes with the same value are one domain.")


class PreferredPods(Model):
    """Preferred pods."""

    weight: Weight = Field(description="Weight of the preference, from 1 to 100.")
    pod_affinity_term: PodTerm = Field(description="Pods to select.")


class PodAffinity(Model):
    """Other pods to co-locate with, or to avoid."""

    required_during_scheduling_ignored_during_execution: Annotated[tuple[PodTerm, ...], Field(max_length=16)] = Field(
        (), description="Required terms.", json_schema_extra=ATOMIC
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[tuple[PreferredPods, ...], Field(max_length=16)] = (
        Field((), description="Preferred terms.", json_schema_extra=ATOMIC)
    )


class Affinity(Model):
    """Node and pod affinity (core/v1 Affinity)."""

    node_affinity: NodeAffinity | None = Field(None, description="Node affinity.")
    pod_affinity: PodAffinity | None = Field(None, description="Pods to co-locate with.")
    pod_anti_affinity: PodAffinity | None = Field(None, description="Pods to avoid.")


class TopologySpreadConstraint(Model):
    """How pods are spread (core/v1 TopologySpreadConstraint). Without labelSelector, the server's pods are counted."""

    max_skew: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="Maximum difference in the number of pods between domains."
    )
    topology_key: Key = Field(description="Node label; nodes with the same value are one domain.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        "ScheduleAnyway", description="What happens to a pod that would exceed maxSkew."
    )
    min_domains: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Minimum number of domains.")
    label_selector: PlainSelector | None = Field(
        None, description="Pods that are counted. Defaults to the pods of the server."
    )
