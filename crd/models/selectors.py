"""PURE. Label selectors as they stand in a manifest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crd.models.metadata import Model
from crd.selector import Operator, Requirement, Selector

__all__ = ["LabelSelector", "SelectorRequirement"]

Key = Annotated[str, Field(min_length=1, max_length=317)]
Value = Annotated[str, Field(max_length=63)]


class SelectorRequirement(Model):
    """One condition of a selector on one label key."""

    key: Key = Field(description="The label key that the condition is about.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label has to relate to the values: In, NotIn, Exists or DoesNotExist."
    )
    values: Annotated[tuple[Value, ...], Field(max_length=64)] = Field(
        (),
        description="Values for In and NotIn, at least one; none for Exists and DoesNotExist.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class LabelSelector(Model):
    """Which objects of the same namespace are selected, by their labels. All conditions must hold."""

    match_labels: Annotated[dict[Key, Value], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels that the object must carry, key by key."
    )
    match_expressions: Annotated[tuple[SelectorRequirement, ...], Field(max_length=32)] = Field(
        (), description="Further conditions on labels.", json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    select_all: bool = Field(
        False,
        description="Says that a selector without conditions is meant to select every object of the namespace. "
        "Without it an empty selector is refused.",
    )

    def selector(self) -> Selector:
        """The selector as a decision procedure."""
        equal = (Requirement(key, Operator.IN, frozenset({value})) for key, value in sorted(self.match_labels.items()))
        further = (Requirement(e.key, Operator(e.operator), frozenset(e.values)) for e in self.match_expressions)
        return Selector((*equal, *further), self.select_all)
