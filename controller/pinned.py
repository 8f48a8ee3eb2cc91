"""PURE. Whether pinned tools have drifted, by what the pods of their servers report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.published import pins
from crd.published.pins import AS_PINNED, VANISHED, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crd.ref import Ref

__all__ = ["join", "note_of", "verdicts_of"]

# Tools that an Event names.
NAMED = 5


def verdicts_of(reports: Iterable[str], pinned: Sequence[Ref]) -> dict[Ref, Verdict]:
    """The verdicts on the pinned tools of a server. A tool that no pod has a verdict on is not there.

    ``reports`` are those of the pods that serve the catalog with these tools, in this order. A report says nothing but
    verdicts by position: no text of a pod is used.
    """
    found: dict[Ref, list[Verdict]] = {}
    for report in reports:
        for ref, verdict in zip(pinned, pins.decode(report, len(pinned)) or (), strict=False):
            if verdict is not None:
                found.setdefault(ref, []).append(verdict)
    return {ref: joined for ref, verdicts in found.items() if (joined := join(verdicts)) is not None}


def join(verdicts: Iterable[Verdict]) -> Verdict | None:
    """One verdict out of those of several pods or servers: drift where one of them has seen it; None of none."""
    known = [*verdicts]
    if any(verdict.vanished for verdict in known):
        return VANISHED
    changed = {part for verdict in known for part in verdict.changed}
    if changed:
        return Verdict(tuple(part for part in pins.PARTS if part in changed))
    return AS_PINNED if known else None


def note_of(verdicts: Mapping[Ref, Verdict]) -> str:
    """The text of an Event about tools that have drifted."""
    named = [f"{ref.name} ({verdict})" for ref, verdict in sorted(verdicts.items())]
    more = f"; and {len(named) - NAMED} more" if len(named) > NAMED else ""
    what = "1 pinned tool is" if len(named) == 1 else f"{len(named)} pinned tools are"
    return (
        f"{what} no longer listed as reviewed: {'; '.join(named[:NAMED])}{more}; "
        "run mcp-operator import mcp again and review the difference"
    )
