"""PURE. Label selectors in a manifest."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import cel, patterns
from crd.models.metadata import ATOMIC, Model, Rule
from crd.selector import Operator, Requirement, Selector

__all__ = ["LabelSelector", "SelectorRequirement"]

_IS_KEY, _IS_VALUE = (f".matches({cel.string(each)})" for each in (patterns.LABEL_KEY, patterns.LABEL_VALUE))
_NO_KEY = "is not a valid label key; use name or domain/name"
_NO_VALUE = 'is not a valid label value; use letters, digits, "-", "_" and "."'
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
            at=("values",),
            quoting="'operator ' + self.operator + (self.operator in ['In', 'NotIn'] ? "
            "' requires at least one value; add one' : ' takes no values; remove them')",
        ),
        Rule(
            f"self.key{_IS_KEY}",
            f"the key {_NO_KEY}",
            reason=Reason.INVALID_SELECTOR,
            at=("key",),
            quoting=f"""'"' + self.key + '" {_NO_KEY}'""",
        ),
        Rule(
            f"!has(self.values) || self.values.all(v, v{_IS_VALUE})",
            f"a value {_NO_VALUE}",
            reason=Reason.INVALID_SELECTOR,
            at=("values",),
            quoting=f"""'"' + self.values.filter(v, !v{_IS_VALUE})[0] + '" {_NO_VALUE}'""",
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
            f"!has(self.matchLabels) || self.matchLabels.all(k, k{_IS_KEY})",
            f"a key {_NO_KEY}",
            reason=Reason.INVALID_SELECTOR,
            at=("matchLabels",),
            quoting=f"""'"' + self.matchLabels.filter(k, !k{_IS_KEY})[0] + '" {_NO_KEY}'""",
        ),
        Rule(
            f"!has(self.matchLabels) || self.matchLabels.all(k, self.matchLabels[k]{_IS_VALUE})",
            f"a value {_NO_VALUE}",
            reason=Reason.INVALID_SELECTOR,
            at=("matchLabels",),
            quoting=f"""'"' + self.matchLabels[self.matchLabels.filter(k, !self.matchLabels[k]{_IS_VALUE})[0]] """
            f"""+ '" {_NO_VALUE}'""",
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
