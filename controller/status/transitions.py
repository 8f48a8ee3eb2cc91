"""PURE. Which Event a new status deserves: at most one, whatever has changed in it.

Members have one only where the object itself turned out to be faulty. What happens to all members of a server at once
is one Event about the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Event", "event_of"]

_Conditions = "Sequence[Mapping[str, Any]]"


@dataclass(frozen=True, slots=True)
class Event:
    """An Event about one object."""

    reason: str
    note: str
    is_warning: bool


def event_of(kind: Kind, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Event | None:
    """The Event for the change from the conditions ``before`` to those ``after``, or None."""
    old = {condition["type"]: condition["status"] for condition in before}
    new = {condition["type"]: condition for condition in after}

    def became(which: str, truth: str) -> bool:
        return which in new and new[which]["status"] == truth != old.get(which)

    bad = [which for which in ("Accepted", "ResolvedRefs") if became(which, "False")]
    if kind is not Kind.SERVER:
        bad = bad[:1] if bad[:1] == ["Accepted"] else []
    else:
        bad += ["Stalled"] if became("Stalled", "True") else []
        if old.get("Ready") == "True" and became("Ready", "False") and "Reconciling" not in new:
            bad.append("Ready")
    if bad:
        notes = dict.fromkeys(str(new[which]["message"]) for which in bad)
        return Event(str(new[bad[0]]["reason"]), "; ".join(notes), is_warning=True)
    if kind is Kind.SERVER and became("Ready", "True"):
        return Event(str(new["Ready"]["reason"]), str(new["Ready"]["message"]), is_warning=False)
    return None
