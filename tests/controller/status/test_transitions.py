"""At most one Event for a change of a status."""

from __future__ import annotations

from typing import Any

import pytest

from controller.status.transitions import Event, event_of
from crd.ref import Kind


def listed(*truths: str) -> list[dict[str, Any]]:
    """Conditions such as ``Ready`` (True) and ``!Ready`` (False)."""
    found = []
    for truth in truths:
        which, status = truth.strip("!?"), {"!": "False", "?": "Unknown"}.get(truth[0], "True")
        found.append({"type": which, "status": status, "reason": f"{which}Reason", "message": f"{which} message"})
    return found


@pytest.mark.parametrize(
    ("kind", "before", "after", "expected"),
    [
        (Kind.SERVER, (), ("Accepted", "!Ready", "Reconciling"), None),
        (Kind.SERVER, ("!Ready",), ("Ready",), Event("ReadyReason", "Ready message", is_warning=False)),
        (Kind.SERVER, (), ("Ready",), Event("ReadyReason", "Ready message", is_warning=False)),
        (Kind.SERVER, ("Ready",), ("Ready",), None),
        (Kind.SERVER, ("Ready",), ("!Ready", "Reconciling"), None),
        (Kind.SERVER, ("Ready",), ("!Ready",), Event("ReadyReason", "Ready message", is_warning=True)),
        (Kind.SERVER, ("!Ready",), ("!Ready",), None),
        (
            Kind.SERVER,
            ("Ready", "Accepted"),
            ("!Ready", "!Accepted", "Stalled"),
            Event("AcceptedReason", "Accepted message; Stalled message; Ready message", is_warning=True),
        ),
        (Kind.SERVER, ("Stalled",), ("Stalled",), None),
        (
            Kind.SERVER,
            ("ResolvedRefs",),
            ("!ResolvedRefs",),
            Event("ResolvedRefsReason", "ResolvedRefs message", is_warning=True),
        ),
        (Kind.TOOL, ("!Ready",), ("Ready",), None),
        (Kind.TOOL, ("Ready",), ("!Ready",), None),
        (Kind.TOOL, (), ("?Accepted",), None),
        (Kind.TOOL, ("ResolvedRefs",), ("!ResolvedRefs",), None),
        (
            Kind.TOOL,
            ("Accepted",),
            ("!Accepted", "!ResolvedRefs", "Stalled"),
            Event("AcceptedReason", "Accepted message", is_warning=True),
        ),
    ],
)
def test_the_event_of_a_change(
    kind: Kind, before: tuple[str, ...], after: tuple[str, ...], expected: Event | None
) -> None:
    assert event_of(kind, listed(*before), listed(*after)) == expected
