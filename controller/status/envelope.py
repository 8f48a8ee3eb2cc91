"""PURE. A status as a manifest to apply, and findings as the text of a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.status.conditions import Condition, merged
from crd.finding import Reason
from crd.ref import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crd.finding import Finding
    from crd.ref import Ref

__all__ = ["REFERENCES", "Status", "manifest_of", "resolved", "text_of"]

Status = dict[str, Any]

# Faults of what an object refers to, not of the object.
REFERENCES = frozenset(
    {
        Reason.CROSS_NAMESPACE_DENIED,
        Reason.ENDPOINT_FORBIDDEN,
        Reason.SECRET_MISSING,
        Reason.SERVICE_EXTERNAL_NAME,
        Reason.SERVICE_MISSING,
        Reason.SERVICE_PORT_MISSING,
    }
)


def manifest_of(
    ref: Ref, generation: int, stored: Mapping[str, Any], status: Status, conditions: Iterable[Condition], now: str
) -> Status:
    """The manifest to apply. A condition keeps its time if ``stored``, the present status, has it with that status."""
    listed = merged(conditions, stored.get("conditions") or (), generation, now)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": ref.kind.value,
        "metadata": {"namespace": ref.namespace, "name": ref.name},
        "status": {**status, "observedGeneration": generation, "conditions": listed},
    }


def resolved(findings: Iterable[Finding]) -> Condition:
    """Whether all that is referenced exists and may be used."""
    missing = [finding for finding in findings if finding.reason in REFERENCES]
    if missing:
        return Condition("ResolvedRefs", "False", missing[0].reason, text_of(missing))
    return Condition("ResolvedRefs", "True", "ResolvedRefs", "all referenced Services exist and may be called")


def text_of(findings: Sequence[Finding]) -> str:
    """The first three findings as text."""
    lines = list(dict.fromkeys(str(finding) for finding in findings))
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
