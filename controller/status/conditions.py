"""PURE. Conditions in the shape of metav1.Condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Condition", "merged"]

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it is now; `merged` adds since when."""

    type: str
    status: Truth
    reason: str
    message: str


def merged(
    desired: Iterable[Condition], stored: Sequence[dict[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """The conditions to store: ``lastTransitionTime`` stays for as long as the status of the type does."""
    since = {old.get("type"): (old.get("status"), old.get("lastTransitionTime")) for old in stored}
    result = []
    for condition in desired:
        status, time = since.get(condition.type, (None, None))
        result.append(
            {
                "type": condition.type,
                "status": condition.status,
                "observedGeneration": generation,
                "lastTransitionTime": time if status == condition.status and time else now,
                "reason": condition.reason,
                "message": condition.message[:32768],
            }
        )
    return result
