"""PURE. The one decision: what a change breaks, and what stands broken.

The webhook, ``check`` and the controller all ask here. Rules about one object see the object; rules about several see
the snapshot, and only the servers and claims that a change touches. A fault that was there before and that a change
does not touch is not a finding of that change, so an unrelated edit or a repair always passes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.finding import Finding, Level, Reason, Verdict
from crd.ref import Kind
from crd.rules import (
    changes,
    fields,
    mapping,
    names,
    prompts,
    references,
    resources,
    schemas,
    selectors,
    servers,
    texts,
    transport,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crd.facts import Fact
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = [
    "Change",
    "ObjectFindings",
    "judge",
    "judge_object",
    "judge_relations",
    "relations",
    "standing",
    "survey",
    "transition",
]

CLASHES = frozenset(names.REASONS.values())

OBJECT_RULES = (
    fields.invalid_fields,
    fields.unknown_fields,
    schemas.invalid_schema,
    mapping.invalid_mapping,
    transport.unsafe_headers,
    transport.unsafe_retries,
    transport.insecure_tls,
    transport.invalid_response,
    resources.invalid_uris,
    resources.invalid_operations,
    prompts.undeclared_placeholders,
    prompts.unused_variables,
    texts.unsafe_texts,
    texts.weak_description,
    texts.contradictory_hints,
    selectors.empty_selector,
    selectors.invalid_selector,
    servers.public_without_auth,
    servers.long_names,
    names.repeated,
)


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after; None where it is absent. Create, update and delete alike."""

    ref: Ref
    old: Object | None
    new: Object | None


@dataclass(frozen=True, slots=True)
class ObjectFindings:
    """What the changed object shows without any other: the dear part of a judgement, and it can be computed elsewhere.

    ``own`` are the faults of the new state, ``former`` those of the old one as far as they are compared, ``step`` what
    the change itself breaks, ``breaks`` the places where it breaks callers: `breaking_changes` of `crd.rules.schemas`.
    """

    own: tuple[Finding, ...]
    former: tuple[Finding, ...]
    step: tuple[Finding, ...]
    breaks: tuple[schemas.Break, ...]


def judge(snapshot: Snapshot, change: Change) -> Verdict:
    """What this change breaks that was whole before. A deletion never yields errors.

    ``snapshot`` holds the other objects; whatever it says of the changed object itself, ``change.old`` is believed.
    """
    return judge_relations(snapshot, change, judge_object(change))


def judge_object(change: Change) -> ObjectFindings:
    """The part of `judge` that depends on the object alone."""
    own = (*_own(change.new),)
    # The former faults matter where there is something to compare; those of a server decide which relations are told.
    former = (*_own(change.old),) if own or change.ref.kind is Kind.SERVER else ()
    if change.old is None or change.new is None:
        return ObjectFindings(own, former, (), ())
    step = (*changes.immutable_fields(change.old, change.new),)
    return ObjectFindings(own, former, step, schemas.breaks(change.old, change.new))


def judge_relations(snapshot: Snapshot, change: Change, of_object: ObjectFindings) -> Verdict:
    """The part of `judge` that depends on other objects. Of the changed object itself it reads no more than facts."""
    before = _placed(snapshot, change.ref, change.old)
    after = _placed(before, change.ref, change.new)
    touched = _touched(after, change.new)
    if not _labelled_alike(change):
        touched |= _touched(before, change.old)
    claims = _claims(change.old) | _claims(change.new)
    found = [*_together(of_object.own, _relations(after, change.ref, touched, claims, judging=True))]
    if found:
        # What stood before is looked up only where there is something to compare: most changes break nothing.
        known = set(_together(of_object.former, _relations(before, change.ref, touched, claims, judging=True)))
        found = [finding for finding in found if finding not in known]
    if change.new is None:
        found = [finding for finding in found if finding.level is Level.WARNING]
    step = (*of_object.step, *schemas.breaking_changes(change.ref, of_object.breaks, sorted(touched)))
    return Verdict.of((*(_seen_from(change, finding) for finding in found), *step))


def survey(snapshot: Snapshot, objects: Iterable[Object]) -> Verdict:
    """Everything that stands broken once these objects are in the snapshot, all together."""
    items = tuple(objects)
    for item in items:
        snapshot = _placed(snapshot, item.ref, item)
    return Verdict.of(finding for item in items for finding in standing(snapshot, item))


def standing(snapshot: Snapshot, item: Object) -> Verdict:
    """What is broken about one object that stands in the snapshot: its own faults, and the clashes it loses."""
    related = relations(snapshot, item.fact) if item.fact is not None else ()
    return Verdict.of(_together(_own(item), related))


def relations(snapshot: Snapshot, fact: MemberFact | ServerFact) -> Iterator[Finding]:
    """What is broken between an object that stands in the snapshot and others, as far as it is this object's fault.

    A server is not blamed for its members, so their number does not matter here.
    """
    yield from references.backends(snapshot, fact)
    yield from references.mounts(snapshot, fact)
    if isinstance(fact, ServerFact):
        yield from selectors.selects_nothing(snapshot, fact)
        yield from servers.unmatched_limits(snapshot, fact)
        yield from servers.catalog_size(snapshot, fact)
        yield from servers.ingress_taken(snapshot, fact, blame_always=False)
        return
    for name in snapshot.selecting(fact.ref.kind, fact.ref.namespace, fact.labels):
        server = snapshot.server(name)
        if server is not None and fact.ref in snapshot.view(name).members:
            yield from _on(server, fact)
            for claim in fact.claims:
                yield from (clash for clash in names.duplicates(snapshot, name, claim) if clash.ref == fact.ref)


def _placed(snapshot: Snapshot, ref: Ref, item: Object | None) -> Snapshot:
    return snapshot.put(item.fact) if item is not None and item.fact is not None else snapshot.drop(ref)


def _own(item: Object | None) -> Iterator[Finding]:
    if item is not None:
        for rule in OBJECT_RULES:
            yield from rule(item)


def _together(own: Iterable[Finding], relations: Iterable[Finding]) -> Iterator[Finding]:
    """An object's own faults and its relations; a broken selector is why nothing is selected, and is told alone."""
    broken_selectors = set()
    for finding in own:
        if finding.reason in (Reason.EMPTY_SELECTOR, Reason.INVALID_SELECTOR):
            broken_selectors.add((finding.ref, finding.path[:2]))
        yield finding
    for finding in relations:
        if finding.reason is not Reason.SELECTS_NOTHING or (finding.ref, finding.path) not in broken_selectors:
            yield finding


def _is_clash(finding: Finding) -> bool:
    """Whether it is about two objects on one server: its other object, and the server."""
    return finding.reason in CLASHES and len(finding.related) == 2


def _touched(snapshot: Snapshot, item: Object | None) -> set[Ref]:
    """The servers on which an object is, or, for a server, itself."""
    match item.fact if item is not None else None:
        case MemberFact() as member:
            return set(snapshot.selecting(member.ref.kind, member.ref.namespace, member.labels))
        case ServerFact() as server:
            return {server.ref}
    return set()


def _labelled_alike(change: Change) -> bool:
    """Whether the object was selected by whatever selects it now."""
    old, new = (item.fact if item is not None else None for item in (change.old, change.new))
    return isinstance(old, MemberFact) and isinstance(new, MemberFact) and old.labels == new.labels


def _claims(item: Object | None) -> set[Claim]:
    fact = item.fact if item is not None else None
    return set(fact.claims) if isinstance(fact, MemberFact) else set()


def _relations(
    snapshot: Snapshot, ref: Ref, touched: Iterable[Ref], claims: Iterable[Claim], *, judging: bool = False
) -> Iterator[Finding]:
    """An object's relations to others: on the touched servers, about its claims; for a server, about all of them.

    ``judging`` blames a changed server for an Ingress that a younger one has too: it is the one that can be refused.
    """
    fact = snapshot.get(ref)
    if isinstance(fact, MemberFact | ServerFact):
        yield from references.backends(snapshot, fact)
        yield from references.mounts(snapshot, fact)
    claims = tuple(claims)
    for name in touched:
        server = snapshot.server(name)
        if server is None:
            continue
        yield from selectors.selects_nothing(snapshot, server)
        yield from servers.unmatched_limits(snapshot, server)
        yield from servers.catalog_size(snapshot, server)
        if name == ref:
            yield from servers.ingress_taken(snapshot, server, blame_always=judging)
            for member in map(snapshot.member, sorted(snapshot.view(name).members)):
                yield from _on(server, member)
        elif ref in snapshot.view(name).members:
            yield from _on(server, snapshot.member(ref))
        for claim in claims if name != ref else snapshot.view(name).claimants:
            yield from names.duplicates(snapshot, name, claim)


def _on(server: ServerFact, member: MemberFact | None) -> Iterator[Finding]:
    """What a server's own fields say against one member."""
    if member is not None:
        yield from servers.prefixed_names(server, member)
        yield from servers.long_timeouts(server, member)


def transition(snapshot: Snapshot, change: Change) -> Iterator[Finding]:
    """What the step itself breaks, though both states are whole. ``snapshot`` holds the new state."""
    if change.old is not None and change.new is not None:
        yield from changes.immutable_fields(change.old, change.new)
        servers = sorted(_touched(snapshot, change.new))
        yield from schemas.breaking_changes(change.ref, schemas.breaks(change.old, change.new), servers)


def _seen_from(change: Change, finding: Finding) -> Finding:
    """A fault that the changed object wins by seniority, or shares, told as this object's: it can be refused.

    A server's own change is blamed on the server, which names both.
    """
    if not _is_clash(finding):
        if finding.level is Level.WARNING or finding.ref == change.ref:
            return finding
        # What a member cannot be blamed for: its name became too long by the server's prefix.
        path = ("spec", "naming", "prefix") if change.ref.kind is Kind.SERVER else finding.path
        return replace(finding, ref=change.ref, path=path)
    blamed = change.new.fact if change.new is not None else None
    winner, server = finding.related
    claim = Claim(Space(finding.subject[1]), finding.subject[2])
    if isinstance(blamed, MemberFact):
        other = winner if finding.ref == change.ref else finding.ref
        moved = change.old is not None and claim in _claims(change.old)
        cause = ("metadata", "labels") if moved else None
        return names.clash(blamed, other, server, claim, cause, finding.level)
    selector = _selector_of(blamed, finding.ref.kind)
    message = (
        f'{winner} and {finding.ref} would both serve "{claim.value}" on {server}; '
        f"narrow spec.{selector} or rename one of them"
    )
    return replace(finding, ref=change.ref, message=message, path=("spec", selector), related=(winner, finding.ref))


def _selector_of(server: Fact | None, kind: Kind) -> str:
    """The field that brings members of a kind to a server."""
    if isinstance(server, ServerFact) and server.selector_of(kind) is not server.selector:
        return "promptSelector" if kind is Kind.PROMPT else "resourceSelector"
    return "toolSelector"
