"""PURE. What is wrong with a transaction: alone, or in a cluster.

The rules are those of `crd.integrity`; this module decides only what they are asked about. Called by
`cli.commands.check` and `cli.commands.graph`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crd import integrity
from crd.finding import Finding, Level, Reason, Verdict
from crd.integrity import Change
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.manifests.transaction import Transaction
    from crd.facts import Fact
    from crd.manifest import Object
    from crd.ref import Kind, Ref

__all__ = ["STRICT", "Cluster", "Refusal", "alone", "beside", "refused", "standing", "strict", "together"]

# Absences that become errors when the files are all that there will be.
STRICT = frozenset({Reason.SERVICE_MISSING, Reason.SERVICE_PORT_MISSING, Reason.SECRET_MISSING})


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster holds: our objects, decoded, and the facts of all that the rules look up.

    ``hidden`` are the kinds that the caller may not list: of them nothing can be said to be missing.
    """

    objects: Mapping[Ref, Object]
    facts: tuple[Fact, ...]
    hidden: frozenset[Kind] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API server, or a webhook behind it, said to a dry-run of one object."""

    ref: Ref
    reason: str
    message: str


def alone(transaction: Transaction) -> Verdict:
    """The files as one transaction on an empty cluster."""
    return integrity.survey(Snapshot.of(transaction.facts), transaction.objects)


def beside(transaction: Transaction, cluster: Cluster) -> Verdict:
    """The files as one transaction on what a cluster holds: their own findings, and what they break in others."""
    before = _filled(_seeing(Snapshot.of(cluster.facts), cluster), cluster.objects.values())
    after, objects = together(transaction, cluster)
    mine = {item.ref for item in transaction.objects}
    found: list[Finding] = []
    for item in objects:
        known = set() if item.ref in mine else set(integrity.standing(before, item))
        found += (finding for finding in integrity.standing(after, item) if finding not in known)
        stored = cluster.objects.get(item.ref)
        if stored is not None and item.ref in mine:
            found += integrity.transition(after, Change(item.ref, stored, item))
    return Verdict.of(found)


def together(transaction: Transaction, cluster: Cluster) -> tuple[Snapshot, tuple[Object, ...]]:
    """The snapshot and the objects of a cluster to which the files were applied.

    The files win over the cluster's object of the same name, and keep its age: of two holders of a name the elder one
    is right.
    """
    objects = {**cluster.objects}
    for item in transaction.objects:
        objects[item.ref] = _aged(item, cluster.objects.get(item.ref))
    background = _seeing(Snapshot.of((*cluster.facts, *transaction.facts)), cluster)
    return _filled(background, objects.values()), tuple(objects.values())


def _seeing(snapshot: Snapshot, cluster: Cluster) -> Snapshot:
    return snapshot.blind_to(*cluster.hidden) if cluster.hidden else snapshot


def standing(snapshot: Snapshot, objects: Iterable[Object]) -> Verdict:
    """What is wrong with objects that are in a catalog."""
    return Verdict.of(finding for item in objects for finding in integrity.standing(snapshot, item))


def _aged(item: Object, stored: Object | None) -> Object:
    """An object of a file, as old as the cluster's of that name."""
    mine, theirs = item.fact, stored.fact if stored is not None else None
    if mine is None or theirs is None:
        return item
    return replace(item, fact=replace(mine, uid=theirs.uid, created=theirs.created))


def _filled(snapshot: Snapshot, objects: Iterable[Object]) -> Snapshot:
    for item in objects:
        if item.fact is not None:
            snapshot = snapshot.put(item.fact)
    return snapshot


def strict(verdict: Verdict) -> Verdict:
    """The verdict with every absence an error."""
    return Verdict.of(replace(f, level=Level.ERROR) if f.reason in STRICT else f for f in verdict)


def refused(refusals: Iterable[Refusal], verdict: Verdict) -> Verdict:
    """The verdict and what the API server refuses besides: under its reason if that is one of ours, else InvalidField.

    An object that we found an error on already is refused for that, unless the reason says otherwise.
    """
    errors: dict[Ref, set[str]] = {}
    for finding in verdict.errors:
        errors.setdefault(finding.ref, set()).add(finding.reason)
    found = list(verdict)
    for refusal in refusals:
        ours = refusal.reason in set(Reason)
        known = errors.get(refusal.ref, set())
        if refusal.reason in known or (known and not ours):
            continue
        reason = Reason(refusal.reason) if ours else Reason.INVALID_FIELD
        message = f"the API server refuses it: {' '.join(refusal.message.split())}"
        found.append(Finding.of(reason, refusal.ref, message, subject=("api server",)))
    return Verdict.of(found)
