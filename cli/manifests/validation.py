"""PURE. Validates a transaction, alone or together with the objects of a cluster.

The rules are those of `crd.integrity`; this module builds the snapshots that they see. Called by
`cli.commands.check` and `cli.commands.graph`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cli.manifests import transaction as transactions
from crd import integrity
from crd.finding import Finding, Level, Reason, Verdict
from crd.integrity import Change
from crd.rules import advice
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cli.manifests.transaction import Transaction
    from crd.facts import Fact
    from crd.manifest import Object
    from crd.ref import Kind, Ref

__all__ = [
    "SHARED",
    "STRICT",
    "ClusterState",
    "Rejection",
    "add_rejections",
    "apply_to_cluster",
    "find_advice",
    "make_references_strict",
    "validate_alone",
    "validate_objects",
    "validate_with_cluster",
]

# Warnings about missing objects that --strict-refs turns into errors.
STRICT = frozenset({Reason.SERVICE_MISSING, Reason.SERVICE_PORT_MISSING, Reason.SECRET_MISSING})
# Reasons of which several objects may have one cause.
SHARED = STRICT | {Reason.NOT_SELECTED}


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The objects of our kinds in a cluster, decoded, and the facts of the other objects that rules look up.

    ``hidden`` are kinds that the caller may not list: no object of these kinds is reported as missing.
    """

    objects: Mapping[Ref, Object]
    facts: tuple[Fact, ...]
    hidden: frozenset[Kind] = frozenset()


@dataclass(frozen=True, slots=True)
class Rejection:
    """The API server, or a webhook that it called, rejected the dry-run of one object."""

    ref: Ref
    reason: str
    message: str


def validate_alone(
    transaction: Transaction, own: Callable[[Object], Iterable[Finding]] = integrity.find_own
) -> Verdict:
    """The findings of the files as one transaction on an empty cluster. ``own`` as in `integrity.survey`."""
    return integrity.survey(Snapshot.of(transaction.facts), transaction.objects, own)


def find_advice(transaction: Transaction, cluster: ClusterState | None = None) -> tuple[Finding, ...]:
    """What would make the tools of the files easier to use for a model, and which objects no server selects."""
    snapshot = _put(Snapshot.of(transaction.facts), transaction.objects)
    if cluster is not None:
        snapshot, _ = apply_to_cluster(transaction, cluster)
    return (*advice.advise(snapshot, transaction.objects),)


def validate_with_cluster(transaction: Transaction, cluster: ClusterState) -> Verdict:
    """The findings of the files as one transaction on a cluster: their own, and those they cause in other objects."""
    before = _put(_hide(Snapshot.of(cluster.facts), cluster), cluster.objects.values())
    after, objects = apply_to_cluster(transaction, cluster)
    mine = {item.ref for item in transaction.objects}
    found: list[Finding] = []
    for item in objects:
        known = set() if item.ref in mine else set(integrity.standing(before, item))
        found += (finding for finding in integrity.standing(after, item) if finding not in known)
        stored = cluster.objects.get(item.ref)
        if stored is not None and item.ref in mine:
            found += integrity.transition(after, Change(item.ref, stored, item))
    return Verdict.of(found)


def apply_to_cluster(transaction: Transaction, cluster: ClusterState) -> tuple[Snapshot, tuple[Object, ...]]:
    """The snapshot and the objects of the cluster after the files were applied.

    An object of a file replaces the stored one of the same name and keeps its uid and creation time: of two objects
    with the same name or URI the older one is right.
    """
    objects = {**cluster.objects}
    for item in transaction.objects:
        stored = cluster.objects.get(item.ref)
        if item.fact is not None and stored is not None and stored.fact is not None:
            fact = replace(item.fact, uid=stored.fact.uid, created=stored.fact.created)
            objects[item.ref] = replace(item, fact=fact)
        else:
            objects[item.ref] = item
    facts = (*transactions.forbid(cluster.facts, transaction.forbidden), *transaction.facts)
    background = _hide(Snapshot.of(facts), cluster)
    return _put(background, objects.values()), tuple(objects.values())


def validate_objects(snapshot: Snapshot, objects: Iterable[Object]) -> Verdict:
    """The findings of objects that are in the snapshot."""
    return Verdict.of(finding for item in objects for finding in integrity.standing(snapshot, item))


def make_references_strict(verdict: Verdict) -> Verdict:
    """The verdict with missing Services, ports and Secrets as errors."""
    return Verdict.of(replace(f, level=Level.ERROR) if f.reason in STRICT else f for f in verdict)


def add_rejections(verdict: Verdict, rejections: Iterable[Rejection]) -> Verdict:
    """The verdict and the rejections of the API server, under their own reason if it is one of ours, else InvalidField.

    A rejection is dropped if the object already has an error, unless the rejection has another reason of ours.
    """
    errors: dict[Ref, set[str]] = {}
    for finding in verdict.errors:
        errors.setdefault(finding.ref, set()).add(finding.reason)
    found = list(verdict)
    for rejection in rejections:
        ours = rejection.reason in set(Reason)
        known = errors.get(rejection.ref, set())
        if rejection.reason in known or (known and not ours):
            continue
        reason = Reason(rejection.reason) if ours else Reason.INVALID_FIELD
        message = f"rejected by the API server: {' '.join(rejection.message.split())}"
        found.append(Finding.of(reason, rejection.ref, message, subject=("api server",)))
    return Verdict.of(found)


def _hide(snapshot: Snapshot, cluster: ClusterState) -> Snapshot:
    return snapshot.mark_unknown(*cluster.hidden) if cluster.hidden else snapshot


def _put(snapshot: Snapshot, objects: Iterable[Object]) -> Snapshot:
    for item in objects:
        if item.fact is not None:
            snapshot = snapshot.put(item.fact)
    return snapshot
