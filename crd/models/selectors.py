"""PURE. Label selectors in a manifest."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import patterns
from crd.models.metadata import ATOMIC, Model, Rule
from crd.selector import Operator, Requirement, Selector

__all__ = ["LabelSelector", "SelectorRequirement"]

Key = Annotated[str, Field(min_length=1, max_length=317)]
Value = Annotated[str, Field(max_length=63)]


class SelectorRequirement(Model):
    """A condition on one label key."""

    rules: ClassVar = (
        Rule(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : "
            "!has(self.values) || size(self.values) == 0",
            "operators In and NotIn require at least one value; Exists and DoesNotExist take none",
            reason=Reason.INVALID_SELECTOR,
        ),
        Rule(
            f"self.key.matches('{patterns.LABEL_KEY}')",
            "not a valid label key; use name or domain/name",
            reason=Reason.INVALID_SELECTOR,
            at=("key",),
        ),
        Rule(
            f"!has(self.values) || self.values.all(v, v.matches('{patterns.LABEL_VALUE}'))",
            "not a valid label value; use letters, digits, '-', '_' and '.'",
            reason=Reason.INVALID_SELECTOR,
        ),
    )

    key: Key = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="Relation of the label to the values: In, NotIn, Exists or DoesNotExist."
    )
    values: Annotated[tuple[Value, ...], Field(max_length=64)] = Field(
        (),
        description="Values for In and NotIn (at least one); empty for Exists and DoesNotExist.",
        json_schema_extra=ATOMIC,
    )


class LabelSelector(Model):
    """Selects objects of the same namespace by their labels. All conditions must hold."""

    rules: ClassVar = (
        Rule(
            "(has(self.matchLabels) && size(self.matchLabels) > 0) || "
            "(has(self.matchExpressions) && size(self.matchExpressions) > 0) || "
            "(has(self.selectAll) && self.selectAll)",
            "an empty selector would select every object in the namespace; add conditions or set selectAll: true",
            reason=Reason.EMPTY_SELECTOR,
        ),
        Rule(
            "!(has(self.selectAll) && self.selectAll) || ((!has(self.matchLabels) || size(self.matchLabels) == 0) && "
            "(!has(self.matchExpressions) || size(self.matchExpressions) == 0))",
            "selectAll: true and conditions are mutually exclusive; remove one of the two",
            reason=Reason.INVALID_SELECTOR,
        ),
        Rule(
            f"!has(self.matchLabels) || self.matchLabels.all(k, k.matches('{patterns.LABEL_KEY}') && "
            f"self.matchLabels[k].matches('{patterns.LABEL_VALUE}'))",
            "not a valid label key or value; write keys as name or domain/name, "
            "values with letters, digits, '-', '_' and '.'",
            reason=Reason.INVALID_SELECTOR,
        ),
    )

    match_labels: Annotated[dict[Key, Value], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels that the object must have."
    )
    match_expressions: Annotated[tuple[SelectorRequirement, ...], Field(max_length=32)] = Field(
        (), description="Further conditions on labels.", json_schema_extra=ATOMIC
    )
    select_all: bool = Field(
        False,
        description="Selects every object in the namespace. Required for a selector without conditions; an "
        "empty selector is refused.",
    )

    def selector(self) -> Selector:
        """The selector to match labels with."""
        equal = (Requirement(key, Operator.IN, frozenset({value})) for key, value in sorted(self.match_labels.items()))
        further = (Requirement(e.key, Operator(e.operator), frozenset(e.values)) for e in self.match_expressions)
        return Selector((*equal, *further), self.select_all)
