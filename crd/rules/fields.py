"""PURE. Breaches of the structural schema, and fields it does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd import fields
from crd.finding import Finding, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object

__all__ = ["invalid_fields", "unknown_fields"]


def invalid_fields(item: Object) -> Iterator[Finding]:
    """What keeps the spec from being read: type, enum, pattern, bounds, a required field, a CEL rule's twin."""
    for problem in item.problems:
        yield Finding.of(problem.reason, item.ref, problem.message, path=problem.path)


def unknown_fields(item: Object) -> Iterator[Finding]:
    """Fields that the schema does not have; the API server would drop them or, asked to be strict, refuse them."""
    for found in fields.unknown(item.raw):
        repair = f'did you mean "{found.nearest}"?' if found.nearest else "remove it"
        message = f'unknown field "{found.name}"; {repair}'
        yield Finding.of(Reason.UNKNOWN_FIELD, item.ref, message, path=found.path)
