"""PURE. The steps from one state of the files to another, and the verdict of the webhook on each.

The order is that of an apply with pruning: the objects of the new state in the order of the files, then the deletions.
Services and other objects of other kinds that are new are there before the first step, and those that are gone are
there until the last one. Called by `cli.commands.check`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crd import impact, integrity
from crd.finding import Level, Reason
from crd.integrity import Change
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cli.manifests.transaction import Transaction
    from crd.finding import Finding, Verdict

__all__ = ["Step", "findings", "steps"]

# Warnings about a change itself: the state after it does not show them.
_OF_CHANGES = frozenset({Reason.BREAKING_SCHEMA_CHANGE})


@dataclass(frozen=True, slots=True)
class Step:
    """A change of one object, its verdict, and lines about what servers lose by it."""

    change: Change
    verdict: Verdict
    lost: tuple[str, ...]


def steps(before: Transaction, after: Transaction) -> Iterator[Step]:
    """The steps from one state to the other; an object that did not change is none.

    Each is judged as if all steps before it had been taken, whatever their verdict.
    """
    snapshot = Snapshot.of((*before.facts, *after.facts))
    for item in before.objects:
        if item.fact is not None:
            snapshot = snapshot.put(item.fact)
    former = {item.ref: item for item in before.objects}
    current = {item.ref: item for item in after.objects}
    changes = [Change(ref, former.get(ref), item) for ref, item in current.items()]
    changes += [Change(ref, item, None) for ref, item in former.items() if ref not in current]
    for change in changes:
        if change.old is not None and change.new is not None and change.old.raw == change.new.raw:
            continue
        verdict = integrity.judge(snapshot, change)
        _, snapshot = integrity.place(snapshot, change)
        yield Step(change, verdict, (*impact.preview(snapshot, change),) if verdict.allowed else ())


def findings(taken: Iterable[Step], standing: Verdict) -> Iterator[Finding]:
    """What the steps add to the findings of the new state: what would be refused on the way, and what breaks callers.

    Other warnings of a step, such as that of a server that is applied before its tools, are about a state that passes.
    """
    known = {(finding.reason, ref) for finding in standing.errors for ref in (finding.ref, *finding.related)}
    for step in taken:
        for finding in step.verdict:
            if finding.reason in _OF_CHANGES or (
                finding.level is Level.ERROR and (finding.reason, finding.ref) not in known
            ):
                yield finding
