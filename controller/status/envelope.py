"""PURE. A status as a manifest to apply, whether it says anything new, and findings as the text of a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.status.conditions import Condition, merged
from crd.finding import Reason
from crd.ref import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crd.finding import Finding
    from crd.manifest import Object

__all__ = ["REFERENCES", "Status", "differs", "resolved", "settled", "told", "written"]

Status = dict[str, Any]

# What is wrong with what an object points at, not with the object.
REFERENCES = frozenset(
    {
        Reason.CROSS_NAMESPACE_DENIED,
        Reason.SECRET_MISSING,
        Reason.SERVICE_EXTERNAL_NAME,
        Reason.SERVICE_MISSING,
        Reason.SERVICE_PORT_MISSING,
    }
)


def written(item: Object, status: Status, conditions: Iterable[Condition], now: str) -> Status:
    """The manifest; conditions that stay as they were keep their time."""
    stored = item.raw.get("status") or {}
    generation = int(item.metadata.get("generation") or 0)
    listed = merged(conditions, stored.get("conditions") or (), generation, now)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": item.ref.kind.value,
        "metadata": {"namespace": item.ref.namespace, "name": item.ref.name},
        "status": {**status, "observedGeneration": generation, "conditions": listed},
    }


def differs(stored: Mapping[str, Any] | None, wanted: Status) -> bool:
    """Whether writing the status would change it."""
    return bool(stored != wanted["status"])


def settled(status: Status) -> bool:
    """Whether no pod is awaited that has yet to say that it serves the published catalog."""
    found = [c for c in status["status"]["conditions"] if c["type"] == "Programmed"]
    return all(condition["reason"] != "Pending" for condition in found)


def resolved(findings: Iterable[Finding]) -> Condition:
    """Whether everything that is pointed at is there and may be used."""
    missing = [finding for finding in findings if finding.reason in REFERENCES]
    if missing:
        return Condition("ResolvedRefs", "False", missing[0].reason, told(missing))
    return Condition("ResolvedRefs", "True", "ResolvedRefs", "every Service it names exists and may be called")


def told(findings: Sequence[Finding]) -> str:
    """The first three findings in words."""
    lines = list(dict.fromkeys(str(finding) for finding in findings))
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
