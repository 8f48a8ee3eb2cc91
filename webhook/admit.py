"""PURE. From a review and a snapshot to a decision: what `crd.integrity` finds, told to the person who applied.

Also the patch of the mutating webhook. Called by `webhook.server`; reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jsonpatch

from crd import defaults, fields, impact, integrity, manifest
from crd.finding import Finding, Level, Reason, Verdict
from crd.integrity import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crd.manifest import Object
    from crd.snapshot import Snapshot
    from webhook.review import Review

__all__ = ["Decision", "change_of", "decide", "defaulting_patch", "refused"]

# kubectl and the API server cut longer warnings.
WARNING_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Decision:
    """What to answer about a change."""

    change: Change
    verdict: Verdict
    warnings: tuple[str, ...]

    @property
    def new(self) -> Object | None:
        """What the snapshot will hold if the answer is yes and the change is stored."""
        return self.change.new

    @property
    def allowed(self) -> bool:
        """Whether nothing denies."""
        return self.verdict.allowed

    @property
    def message(self) -> str:
        """All errors together, a line each."""
        return "\n".join(("", *(f"- {finding}" for finding in self.verdict.errors))) if not self.allowed else ""

    @property
    def causes(self) -> tuple[dict[str, str], ...]:
        """The errors as causes of a Status: reason, message, field."""
        return tuple({"reason": f.reason, "message": f.message, "field": f.field_path} for f in self.verdict.errors)

    @property
    def audit(self) -> dict[str, str]:
        """Audit annotations: the verdict, why, and who else is involved."""
        notes = {"verdict": "allowed" if self.allowed else "denied"}
        if self.verdict.findings:
            notes["reasons"] = ",".join(dict.fromkeys(f.reason for f in self.verdict))
        others = dict.fromkeys(str(ref) for f in self.verdict.errors for ref in f.related)
        return {**notes, "related": ", ".join(others)} if others else notes


def refused(decision: Decision, further: Iterable[Finding]) -> Decision:
    """The decision with further findings that speak against the change."""
    return replace(decision, verdict=Verdict.of((*decision.verdict, *further)))


def change_of(review: Review) -> Change:
    """The change a review is about. Raises ValueError if it is not about a named object of our kinds."""
    new = manifest.decode(review.new) if review.new is not None else None
    old = manifest.decode(review.old) if review.old is not None else None
    known = new or old
    if known is None:
        raise ValueError("the review holds neither object nor oldObject")
    return Change(known.ref, old, new)


def decide(snapshot: Snapshot, review: Review) -> Decision:
    """Judge the change. Raises ValueError as `change_of`."""
    change = change_of(review)
    verdict = integrity.judge(snapshot, change)
    extra = (*_lost_fields(change), *(impact.preview(snapshot, change) if verdict.allowed else ()))
    lines = (str(finding) for finding in (*verdict.warnings, *extra))
    return Decision(change, verdict, tuple(_cut(line) for line in dict.fromkeys(lines)))


def defaulting_patch(review: Review) -> list[dict[str, Any]]:
    """The JSON Patch that fills in derived defaults; empty for a deletion and for what is structurally broken."""
    if review.new is None:
        return []
    patch: list[dict[str, Any]] = jsonpatch.make_patch(dict(review.new), defaults.defaulted(review.new)).patch
    return patch


def _lost_fields(change: Change) -> Iterator[Finding]:
    """Fields that were applied and that the API server dropped without a word, as it does unless asked to be strict."""
    if change.new is None:
        return
    for found in fields.lost(change.new.raw):
        repair = f'did you mean "{found.nearest}"?' if found.nearest else "remove it"
        message = f'unknown field "{found.name}" was dropped; {repair}'
        yield Finding(Reason.UNKNOWN_FIELD, change.ref, (), message, found.path, (), Level.WARNING)


def _cut(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= WARNING_LENGTH else f"{line[: WARNING_LENGTH - 1]}…"
