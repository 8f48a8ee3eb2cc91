"""PURE. Label selectors with the semantics of Kubernetes: which labels match.

A selector here is valid by construction or matches nothing; whether it is well formed is a rule's question
(`crd.rules.selectors`).
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
    """One condition on one label key. As in Kubernetes, ``NotIn`` holds where the key is absent."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil the condition."""
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
    """All requirements must hold. Without any it matches everything if ``select_all`` says so, else nothing.

    Kubernetes reads an empty selector as "everything"; a server that exposes every tool of its namespace by an
    oversight is the mistake we guard against, so the wish has to be spelled out.
    """

    requirements: tuple[Requirement, ...] = ()
    select_all: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        if not self.requirements:
            return self.select_all
        return all(requirement.holds(labels) for requirement in self.requirements)

    @property
    def anchors(self) -> tuple[tuple[str, str | None], ...]:
        """Label pairs, or keys with value None, one of which every matching object carries; empty if none is certain.

        An index files a selector under these, so that a lookup by labels meets only selectors that may match.
        """
        best: tuple[tuple[str, str | None], ...] = ()
        for requirement in self.requirements:
            if requirement.operator is Operator.IN:
                pairs = tuple((requirement.key, value) for value in sorted(requirement.values))
                if not best or best[0][1] is None or len(pairs) < len(best):
                    best = pairs
            elif requirement.operator is Operator.EXISTS and not best:
                best = ((requirement.key, None),)
        return best
