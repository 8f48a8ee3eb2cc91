"""PURE. Label selectors with the semantics of Kubernetes.

A malformed selector matches nothing; `crd.rules.selectors` reports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Operator", "Requirement", "Selector"]


class Operator(StrEnum):
    """The operators of ``matchExpressions``."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A condition on a label key. As in Kubernetes, ``NotIn`` holds if the key is absent."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the condition holds for these labels."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold. Without requirements it matches everything if ``select_all`` is set, else nothing.

    In Kubernetes an empty selector matches everything. Here ``select_all`` is required for that, so that a server does
    not expose every tool of its namespace by mistake.
    """

    requirements: tuple[Requirement, ...] = ()
    select_all: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        if not self.requirements:
            return self.select_all
        return all(requirement.holds(labels) for requirement in self.requirements)

    @property
    def is_exact(self) -> bool:
        """Whether an object matches if and only if it has one of the `anchors`."""
        only = self.requirements[0] if len(self.requirements) == 1 else None
        return only is not None and only.operator is Operator.IN and bool(only.values)

    @property
    def anchors(self) -> tuple[tuple[str, str | None], ...]:
        """Labels of which every matching object has at least one; a value of None stands for any value of the key.

        Empty if no such labels are known. An index stores the selector under them, so that a lookup by labels visits
        only selectors that can match.
        """
        listed = (each for each in self.requirements if each.operator is Operator.IN and each.values)
        fewest = min(listed, key=lambda each: len(each.values), default=None)
        if fewest is not None:
            return tuple((fewest.key, value) for value in sorted(fewest.values))
        return next((((each.key, None),) for each in self.requirements if each.operator is Operator.EXISTS), ())
