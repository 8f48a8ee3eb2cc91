"""PURE. From a review and a snapshot to a decision: what `crd.integrity` finds, worded for the person who applied.

Also the patch of the mutating webhook. A review is judged in two steps: `judge_object` reads the object alone and may
run in another process; `decide` compares what it made with the other objects, in steps. Reads nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import jsonpatch

from crd import access, defaults, fields, impact, integrity, manifest
from crd.facts import MemberFact, ServerFact
from crd.finding import Finding, Level, Reason, Verdict
from crd.integrity import Change, Moves, ObjectFindings
from crd.manifest import Object
from crd.ref import Kind, Ref
from crd.rules import workloads
from crd.snapshot import Snapshot
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from crd.access import Demand
    from crd.steps import Steps
    from webhook.object_cache import ObjectCache
    from webhook.review import Review

__all__ = [
    "Decision",
    "JudgedObject",
    "decide",
    "decide_again",
    "decide_in_steps",
    "defaulting_patch",
    "is_being_deleted",
    "judge_object",
    "preview_deletion",
    "ref_of",
    "refusal_of_unsound",
    "with_findings",
    "without_manifests",
    "worded_as_pending",
]

# The API server passes 4 KiB of warnings on; more lines would only take time.
MAX_WARNINGS = 100
# kubectl and the API server cut longer warnings.
WARNING_LENGTH = 256
_NO_FINDINGS: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedObject:
    """What a review's object shows by itself: the change, the findings, and warnings about fields that were dropped.

    ``demands`` are the rights that the requester must have; ``annotations`` are findings about Ingress annotations that
    an administrator can allow. ``host`` is a new host of an Ingress, or empty.
    """

    change: Change
    findings: ObjectFindings
    warnings: tuple[str, ...]
    demands: tuple[Demand, ...] = ()
    annotations: tuple[Finding, ...] = ()
    host: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to answer about a change.

    ``before`` and ``after`` are the snapshot that it was judged by, with the object as it was, and as it will be.
    """

    change: Change
    verdict: Verdict
    warnings: tuple[str, ...]
    before: Snapshot = field(repr=False)
    after: Snapshot = field(repr=False)

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
    def blamed(self) -> frozenset[Ref]:
        """The other objects that the errors name."""
        return frozenset(ref for finding in self.verdict.errors for ref in finding.related) - {self.change.ref}

    @property
    def audit(self) -> dict[str, str]:
        """Audit annotations: the verdict, why, and who else is involved."""
        notes = {"verdict": "allowed" if self.verdict.allowed else "denied"}
        if self.verdict.findings:
            notes["reasons"] = ",".join(dict.fromkeys(f.reason for f in self.verdict))
        others = dict.fromkeys(str(ref) for f in self.verdict.errors for ref in f.related)
        return {**notes, "related": ", ".join(others)} if others else notes


def judge_object(
    review: Review, cache: ObjectCache, may_take_long: Callable[[], bool] = lambda: True
) -> JudgedObject | None:
    """Judge the object without any other; None if the cache does not know it and ``may_take_long`` denies it.

    Raises ValueError if the review is not about a named object of our kinds.
    """
    new, own = None, _NO_FINDINGS
    if review.new is not None:
        found = cache.judge(review.new, may_take_long, is_compared=review.old is not None)
        if found is None:
            return None
        new, own = found
    old = cache.decode(review.old) if review.old is not None else None
    known = new or old
    if known is None:
        raise ValueError("the review holds neither object nor oldObject")
    change = Change(known.ref, old, new)
    findings = integrity.judge_object(change, own)
    if isinstance(known.fact, MemberFact) and not known.fact.mounts and not known.metadata.get("annotations"):
        return JudgedObject(change, findings, ())  # what else there is to ask concerns mounts, servers and annotations
    return JudgedObject(
        change,
        findings,
        (*_lost_fields(new),),
        access.demands(change),
        workloads.unlisted_annotations(change),
        access.new_host(change),
    )


def without_manifests(judged: JudgedObject) -> JudgedObject:
    """The same with no more of each manifest than `decide` and the ledger read: metadata of a few bytes."""
    change = judged.change
    return replace(judged, change=Change(change.ref, _reduced(change.old), _reduced(change.new)))


def decide(
    snapshot: Snapshot,
    alternatives: Collection[MemberFact | ServerFact],
    judged: JudgedObject,
    dearer: Callable[[], Collection[MemberFact]] = tuple,
) -> Decision:
    """Judge the change beside the other objects: as the snapshot has them, and in each state they may also have.

    ``dearer`` gives states that count more against budgets.
    """
    return finish(decide_in_steps(snapshot, alternatives, judged, dearer))


def decide_in_steps(
    snapshot: Snapshot,
    alternatives: Collection[MemberFact | ServerFact],
    judged: JudgedObject,
    dearer: Callable[[], Collection[MemberFact]] = tuple,
) -> Steps[Decision]:
    """The same as `decide`, in steps. Afterwards the snapshot knows the Strict servers of the namespace."""
    change = judged.change
    yield from snapshot.strict_servers_in_steps(change.ref.namespace)
    new = change.new.fact if change.new is not None and change.old is None else None
    if isinstance(new, MemberFact) and not alternatives and not judged.findings.step:
        selecting = yield from snapshot.selecting_in_steps(new.ref.kind, new.ref.namespace, new.labels)
        joined = integrity.join(snapshot, new, judged.findings, selecting)
        if joined is not None:
            after, verdict = joined
            if not verdict.findings and not judged.warnings:
                return Decision(change, verdict, (), snapshot, after)
            lines = (*map(str, verdict.warnings), *judged.warnings)
            return Decision(change, verdict, tuple(map(_cut, dict.fromkeys(lines))), snapshot, after)
    placed = yield from integrity.place_in_steps(snapshot, change)
    verdict = yield from integrity.judge_relations_in_steps(placed, change, judged.findings, dearer)
    verdict = yield from _judge_alternatives(placed, verdict, alternatives, judged, dearer)
    yield
    extra = (*judged.warnings, *(impact.preview(placed[1], change) if verdict.allowed else ()))
    return Decision(change, verdict, _cut_all((*map(str, verdict.warnings), *extra)), *placed)


def decide_again(
    known: Decision,
    moves: Moves,
    alternatives: Collection[MemberFact | ServerFact],
    judged: JudgedObject,
    dearer: Callable[[], Collection[MemberFact]] = tuple,
) -> Steps[Decision]:
    """Judge a change by the snapshot to which these moves lead, in steps; ``known`` allowed it by a former one.

    Of the other objects it looks only at those that moved, or may have further states, so the cost does not depend on
    the number of the others. The warnings that were found before stay.
    """
    change = judged.change
    moves = moves.without(change.ref)
    placed = (yield from moves.place(known.before)), (yield from moves.place(known.after))
    concerning = moves.concerning(change)
    if not concerning.pairs:
        return replace(known, before=placed[0], after=placed[1])
    verdict = yield from integrity.judge_relations_in_steps(placed, change, judged.findings, dearer, concerning)
    verdict = Verdict.of((*verdict, *known.verdict)).first()
    verdict = yield from _judge_alternatives(placed, verdict, alternatives, judged, dearer)
    return Decision(change, verdict, _cut_all((*known.warnings, *map(str, verdict.warnings))), *placed)


def _judge_alternatives(
    placed: tuple[Snapshot, Snapshot],
    verdict: Verdict,
    alternatives: Collection[MemberFact | ServerFact],
    judged: JudgedObject,
    dearer: Callable[[], Collection[MemberFact]],
) -> Steps[Verdict]:
    """The verdict, or the one that denies beside a state that another object may have."""
    change = judged.change
    for fact in alternatives:
        yield
        if not verdict.allowed:
            break
        if fact.ref == change.ref or not _may_clash(fact, change):
            continue
        moves = Moves(((placed[1].get(fact.ref), fact),))
        before = yield from moves.place(placed[0])
        new = change.new.fact if change.new is not None else None
        if before.extent(change.ref, new) < placed[1].extent(fact.ref, fact):
            # What a server selects is found once for both, and there is less to free.
            beside = yield from integrity.place_in_steps(before, change)
        else:
            beside = before, (yield from moves.place(placed[1]))
        other = yield from integrity.judge_relations_in_steps(beside, change, judged.findings, dearer, moves)
        if not other.allowed:
            verdict = Verdict.of((*other, *verdict)).first()
    return verdict


def with_findings(decision: Decision, further: Iterable[Finding]) -> Decision:
    """The decision with further findings that speak against the change."""
    return replace(decision, verdict=Verdict.of((*decision.verdict, *further)))


def worded_as_pending(decision: Decision, admitted: Callable[[Ref], float | None], seconds: float) -> Decision:
    """The decision, with what it says of objects that nobody has seen stored.

    ``admitted`` gives the seconds since such an object was admitted; it can be stored for so many ``seconds``.
    """
    return replace(decision, verdict=Verdict.of(_pending(finding, admitted, seconds) for finding in decision.verdict))


def is_being_deleted(review: Review) -> bool:
    """Whether it changes no more than the metadata of an object that is being deleted, as removing a finalizer does."""
    old, new = review.old, review.new
    if old is None or new is None or "deletionTimestamp" not in (old.get("metadata") or {}):
        return False
    return all(old.get(member) == new.get(member) for member in {*old, *new} - {"metadata", "status"})


def ref_of(review: Review) -> Ref | None:
    """The object that a review is about, by the review's own words; None if it is of no kind of ours."""
    if not review.name or review.kind not in manifest.OURS:
        return None
    return Ref(Kind(review.kind), review.namespace, review.name)


def preview_deletion(snapshot: Snapshot, ref: Ref) -> tuple[str, ...]:
    """Warnings about the servers that lose an object by its deletion, as far as the snapshot has it."""
    fact: Any = snapshot.get(ref)
    if fact is None:
        return ()
    return tuple(map(_cut, impact.preview(snapshot, Change(ref, Object(ref, {}, None, fact), None))))


def defaulting_patch(review: Review) -> list[dict[str, Any]]:
    """The JSON Patch that fills in derived defaults; empty for a deletion and for what is structurally broken."""
    found = defaults.missing(review.new) if review.new is not None else ()
    added = [
        {"op": "add", "path": jsonpatch.JsonPointer.from_parts(path).path, "value": value} for path, value in found
    ]
    patch: list[dict[str, Any]] = jsonpatch.JsonPatch(added).patch if added else []
    return patch


def refusal_of_unsound(review: Review, cache: ObjectCache) -> Decision | None:
    """The refusal of an object that its schema refuses; None for every other one.

    The API server asks the mutating webhook before it looks at the schema, and the validating one only if the schema
    has nothing against the object. So whoever applies it learns here of all its faults at once.
    """
    if review.new is None or is_being_deleted(review):
        return None
    try:
        if cache.is_sound(review.new):
            return None
        new = manifest.decode(review.new)
        change = Change(new.ref, manifest.decode(review.old) if review.old is not None else None, new)
    except ValueError:
        return None  # without a name; the API server says so itself
    decision = decide(Snapshot(), (), JudgedObject(change, integrity.judge_object(change), ()))
    return None if decision.allowed else decision


def _reduced(item: Object | None) -> Object | None:
    if item is None:
        return None
    metadata: Mapping[str, Any] = item.metadata
    kept = {key: metadata[key] for key in ("uid", "resourceVersion") if key in metadata}
    return Object(item.ref, {"metadata": kept}, None, item.fact)


def _may_clash(fact: MemberFact | ServerFact, change: Change) -> bool:
    """Whether an object may have to do with a change: two members share a claim, or a server selects the member."""
    new = change.new.fact if change.new is not None else None
    if isinstance(fact, ServerFact) and isinstance(new, MemberFact):
        return fact.selector_of(new.ref.kind).matches(new.labels)
    claims = getattr(fact, "claims", None)
    wanted = getattr(new, "claims", None)
    return claims is None or wanted is None or not set(claims).isdisjoint(wanted)


def _pending(finding: Finding, admitted: Callable[[Ref], float | None], seconds: float) -> Finding:
    if finding.level is not Level.ERROR:
        return finding
    for ref in finding.related:
        since = admitted(ref)
        if since is not None:
            rest = max(1.0, seconds - since)
            other = ref if ref.namespace == finding.ref.namespace else "the other object"
            note = f"; {other} was admitted {since:.0f} s ago and is not stored yet; try again in {rest:.0f} s"
            return replace(finding, message=finding.message + note)
    return finding


def _lost_fields(item: Object | None) -> Iterator[str]:
    """Fields that were applied and that the API server dropped silently, as it does unless asked to be strict."""
    for found in islice(fields.lost(item.raw), MAX_WARNINGS) if item is not None else ():
        message = f'unknown field "{found.name}" was dropped; {found.repair}'
        yield str(Finding(Reason.UNKNOWN_FIELD, item.ref, (), message, found.path, (), Level.WARNING))  # type: ignore[union-attr]


def _cut_all(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(_cut, dict.fromkeys(lines)))


def _cut(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= WARNING_LENGTH else f"{line[: WARNING_LENGTH - 1]}…"
