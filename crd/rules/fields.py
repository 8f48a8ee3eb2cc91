"""PURE. Violations of the structural schema, and fields that it does not define."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd import fields
from crd.finding import Finding, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object

__all__ = ["invalid_fields", "unknown_fields"]


def invalid_fields(item: Object) -> Iterator[Finding]:
    """Structural problems: wrong types, values, patterns or bounds, missing fields, and violated CEL rules."""
    for problem in item.problems:
        yield Finding.of(problem.reason, item.ref, problem.message, path=problem.path)


def unknown_fields(item: Object) -> Iterator[Finding]:
    """Fields that the schema does not define. The API server drops them or, with strict validation, rejects them."""
    for found in fields.unknown(item.raw):
        message = f'unknown field "{found.name}"; {found.repair}'
        yield Finding.of(Reason.UNKNOWN_FIELD, item.ref, message, path=found.path)
