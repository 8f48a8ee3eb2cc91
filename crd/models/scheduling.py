"""PURE. Where pods go: the part of core/v1 PodSpec that an author may set, field by field.

What is not here (host networks, volumes, security contexts) cannot be asked for: the pods stay as they were hardened.
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
    """One condition on a label (core, metav1.LabelSelectorRequirement)."""

    key: Key = Field(description="The label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How it relates to the values.")
    values: Annotated[tuple[Value, ...], Field(max_length=64)] = Field(
        (), description="Values for In and NotIn.", json_schema_extra=ATOMIC
    )


class PlainSelector(Model):
    """A selector of pods or namespaces, with the semantics of Kubernetes: an empty one selects all."""

    match_labels: Annotated[dict[Key, Value], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels, key by key."
    )
    match_expressions: Annotated[tuple[PlainRequirement, ...], Field(max_length=32)] = Field(
        (), description="Further conditions.", json_schema_extra=ATOMIC
    )


class Toleration(Model):
    """A taint that the pods accept."""

    key: Annotated[str, Field(max_length=317)] = Field("", description="Key of the taint; empty with Exists: any.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How it relates to the value.")
    value: Annotated[str, Field(max_length=63)] = Field("", description="Value of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint. Without it, every effect."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=31536000)] | None = Field(
        None, description="How long a NoExecute taint is borne."
    )


class NodeRequirement(Model):
    """One condition on a label of a node."""

    key: Key = Field(description="The label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        description="How it relates to the values."
    )
    values: Annotated[tuple[Value, ...], Field(max_length=64)] = Field(
        (), description="Values; one whole number for Gt and Lt.", json_schema_extra=ATOMIC
    )


class NodeTerm(Model):
    """Nodes, by their labels; all conditions hold."""

    match_expressions: Annotated[tuple[NodeRequirement, ...], Field(max_length=32)] = Field(
        (), description="Conditions on labels.", json_schema_extra=ATOMIC
    )


class PreferredNodes(Model):
    """Nodes that are preferred."""

    weight: Weight = Field(description="How much, from 1 to 100.")
    preference: NodeTerm = Field(description="Which nodes.")


class NodeSelector(Model):
    """Nodes that are required: one of the terms."""

    node_selector_terms: Annotated[tuple[NodeTerm, ...], Field(min_length=1, max_length=16)] = Field(
        description="Terms, of which one has to hold.", json_schema_extra=ATOMIC
    )


class NodeAffinity(Model):
    """Which nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        None, description="Nodes that are required."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=16)
    ] = Field((), description="Nodes that are preferred.", json_schema_extra=ATOMIC)


class PodTerm(Model):
    """Other pods, and what counts as near."""

    label_selector: PlainSelector | None = Field(None, description="Which pods.")
    namespace_selector: PlainSelector | None = Field(None, description="In which namespaces. Without it, the same.")
    topology_key: Key = Field(description="Label of nodes whose equal value means near.")


class PreferredPods(Model):
    """Other pods that are preferred."""

    weight: Weight = Field(description="How much, from 1 to 100.")
    pod_affinity_term: PodTerm = Field(description="Which pods.")


class PodAffinity(Model):
    """Near to, or far from, which other pods."""

    required_during_scheduling_ignored_during_execution: Annotated[tuple[PodTerm, ...], Field(max_length=16)] = Field(
        (), description="Terms that are required.", json_schema_extra=ATOMIC
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[tuple[PreferredPods, ...], Field(max_length=16)] = (
        Field((), description="Terms that are preferred.", json_schema_extra=ATOMIC)
    )


class Affinity(Model):
    """Where pods are drawn to, and what they keep away from (core/v1 Affinity)."""

    node_affinity: NodeAffinity | None = Field(None, description="Which nodes.")
    pod_affinity: PodAffinity | None = Field(None, description="Near to which pods.")
    pod_anti_affinity: PodAffinity | None = Field(None, description="Far from which pods.")


class TopologySpreadConstraint(Model):
    """How evenly pods are spread (core/v1 TopologySpreadConstraint). Without labelSelector, over the server's pods."""

    max_skew: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Largest difference in number of pods.")
    topology_key: Key = Field(description="Label of nodes whose values are the places.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        "ScheduleAnyway", description="What happens to a pod that would make it worse."
    )
    min_domains: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Least number of places.")
    label_selector: PlainSelector | None = Field(None, description="Which pods are counted.")
