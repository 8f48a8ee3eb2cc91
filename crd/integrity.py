"""PURE. The one decision: what a change breaks, and what stands broken.

The webhook, ``check`` and the controller all ask here. Rules about one object see the object; rules about several see
the catalog, and only the servers and claims that a change touches. A fault that stood before and that a change does not
touch is no finding of that change, so an unrelated edit or a repair always passes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.finding import Finding, Level, Reason, Verdict
from crd.rules import fields, names, prompts, schemas, selectors, services

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crd.catalog import Catalog
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["Change", "judge", "standing", "survey"]

OBJECT_RULES = (
    fields.invalid_fields,
    fields.unknown_fields,
    schemas.invalid_schema,
    prompts.undeclared_placeholders,
    selectors.empty_selector,
    selectors.invalid_selector,
    names.repeated,
)


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after; None where it is absent. Create, update and delete alike."""

    ref: Ref
    old: Object | None
    new: Object | None


def judge(catalog: Catalog, change: Change) -> Verdict:
    """What this change breaks that was whole before. A deletion never yields errors.

    ``catalog`` holds the other objects; whatever it says of the changed object itself, ``change.old`` is believed.
    """
    before = _placed(catalog, change.ref, change.old)
    after = _placed(before, change.ref, change.new)
    touched = _touched(before, change.old) | _touched(after, change.new)
    claims = _claims(change.old) | _claims(change.new)
    known = set(_together(_own(change.old), _relations(before, change.ref, touched, claims)))
    found = _together(_own(change.new), _relations(after, change.ref, touched, claims))
    broken = (finding for finding in found if finding not in known)
    if change.new is None:
        broken = (finding for finding in broken if finding.level is Level.WARNING)
    return Verdict.of(_seen_from(change, finding) for finding in broken)


def survey(catalog: Catalog, objects: Iterable[Object]) -> Verdict:
    """Everything that stands broken once these objects are in the catalog, all together."""
    items = tuple(objects)
    for item in items:
        catalog = _placed(catalog, item.ref, item)
    return Verdict.of(finding for item in items for finding in standing(catalog, item))


def standing(catalog: Catalog, item: Object) -> Verdict:
    """What is broken about one object that stands in the catalog: its own faults, and the clashes it loses."""
    touched = _touched(catalog, item)
    relations = _relations(catalog, item.ref, touched, _claims(item))
    return Verdict.of(_together(_own(item), (finding for finding in relations if finding.ref == item.ref)))


def _placed(catalog: Catalog, ref: Ref, item: Object | None) -> Catalog:
    return catalog.put(item.fact) if item is not None and item.fact is not None else catalog.drop(ref)


def _own(item: Object | None) -> Iterator[Finding]:
    if item is not None:
        for rule in OBJECT_RULES:
            yield from rule(item)


def _together(own: Iterable[Finding], relations: Iterable[Finding]) -> Iterator[Finding]:
    """An object's own faults and its relations; a broken selector is why nothing is selected, and is told alone."""
    broken_selectors = set()
    for finding in own:
        if finding.reason in (Reason.EMPTY_SELECTOR, Reason.INVALID_SELECTOR):
            broken_selectors.add(finding.ref)
        yield finding
    for finding in relations:
        if finding.reason is not Reason.SELECTS_NOTHING or finding.ref not in broken_selectors:
            yield finding


def _touched(catalog: Catalog, item: Object | None) -> set[Ref]:
    """The servers on which an object is, or, for a server, itself."""
    match item.fact if item is not None else None:
        case MemberFact() as member:
            return set(catalog.selecting(member.ref.kind, member.ref.namespace, member.labels))
        case ServerFact() as server:
            return {server.ref}
    return set()


def _claims(item: Object | None) -> set[Claim]:
    fact = item.fact if item is not None else None
    return set(fact.claims) if isinstance(fact, MemberFact) else set()


def _relations(catalog: Catalog, ref: Ref, touched: Iterable[Ref], claims: Iterable[Claim]) -> Iterator[Finding]:
    """An object's relations to others: on the touched servers, about its claims; for a server, about all of them."""
    member = catalog.member(ref)
    if member is not None:
        yield from services.missing_services(catalog, member)
    claims = tuple(claims)
    for server in touched:
        yield from selectors.selects_nothing(catalog, server)
        for claim in claims if server != ref else catalog.view(server).holders:
            yield from names.duplicates(catalog, server, claim)


def _seen_from(change: Change, finding: Finding) -> Finding:
    """A clash that the changed object wins by seniority, told as this object's: it is the one that can be refused.

    A server's own change is blamed on the server, which names both.
    """
    if finding.level is not Level.ERROR or len(finding.related) != 2:
        return finding
    blamed = change.new.fact if change.new is not None else None
    winner, server = finding.related
    claim = Claim(Space(finding.subject[1]), finding.subject[2])
    if isinstance(blamed, MemberFact):
        other = winner if finding.ref == change.ref else finding.ref
        moved = change.old is not None and claim in _claims(change.old)
        return names.clash(blamed, other, server, claim, ("metadata", "labels") if moved else None)
    message = (
        f'{winner} and {finding.ref} would both serve "{claim.value}" on {server}; '
        "narrow spec.toolSelector or rename one of them"
    )
    return replace(
        finding, ref=change.ref, message=message, path=("spec", "toolSelector"), related=(winner, finding.ref)
    )
