"""PURE. The single decision: which rules a change violates, and which rules stored objects violate.

The webhook, ``check`` and the controller all use it. Rules about one object see the object; rules about several objects
see the snapshot, limited to the servers and claims that the change affects. A fault that existed before is not a
finding of a change, so unrelated updates and repairs are always admitted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from crd import manifest
from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.finding import MAX_FINDINGS, Finding, Level, Reason, Verdict
from crd.models.metadata import UnsoundError
from crd.ref import Kind
from crd.rules import (
    budgets,
    changes,
    clients,
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
    workloads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from crd.facts import Fact
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = [
    "Change",
    "ObjectFindings",
    "find_own",
    "join",
    "judge",
    "judge_object",
    "judge_relations",
    "place",
    "relations",
    "standing",
    "survey",
    "transition",
]

CLASHES = frozenset(names.REASONS.values())
# The maximum number of errors of each state of an object that are compared, and of warnings. They are counted apart, so
# that no number of warnings hides an error.
MAX_FAULTS, MAX_WARNINGS = 500, MAX_FINDINGS
# The maximum number of findings that are attributed to the changed object before the verdict is sorted and truncated.
MAX_BLAMED = 1000
# Of so many servers over their budgets the dearest tools are named.
MAX_NAMED = 8
NOTHING = Verdict()
_BY_NAME = attrgetter("name", "kind")
_BY_REF = attrgetter("ref")

_SERVERS, _TOOLS, _PROMPTS, _RESOURCES = (Kind.SERVER,), (Kind.TOOL,), (Kind.PROMPT,), (Kind.RESOURCE,)
_CALLS = (*_TOOLS, *_RESOURCES)
_MEMBERS = (*_TOOLS, *_PROMPTS, *_RESOURCES)
_ALL = (*_SERVERS, *_MEMBERS)
# Each rule about one object, with the kinds that it concerns. It finds nothing in objects of other kinds.
_RULES: tuple[tuple[Callable[[Object], Iterator[Finding]], tuple[Kind, ...]], ...] = (
    (fields.invalid_fields, _ALL),
    (fields.unknown_fields, _ALL),
    (schemas.invalid_schema, _TOOLS),
    (clients.portability_of_tool, _TOOLS),
    (mapping.invalid_mapping, _CALLS),
    (transport.unsafe_headers, _CALLS),
    (transport.unsafe_retries, _TOOLS),
    (transport.insecure_tls, _CALLS),
    (transport.invalid_response, _CALLS),
    (resources.invalid_uris, _RESOURCES),
    (resources.invalid_operations, _RESOURCES),
    (prompts.undeclared_placeholders, _PROMPTS),
    (prompts.unused_variables, _PROMPTS),
    (texts.unsafe_texts, _ALL),
    (texts.weak_description, _MEMBERS),
    (texts.contradictory_hints, _TOOLS),
    (selectors.empty_selector, _SERVERS),
    (selectors.invalid_selector, _SERVERS),
    (servers.public_without_auth, _SERVERS),
    (servers.unusable_tokens, _SERVERS),
    (servers.trusted_proxies, _SERVERS),
    (servers.long_names, _MEMBERS),
    (workloads.unsafe_workload, _SERVERS),
    (names.repeated, _RESOURCES),
)
OBJECT_RULES = {kind: tuple(rule for rule, kinds in _RULES if kind in kinds) for kind in _ALL}


@dataclass(frozen=True, slots=True)
class Change:
    """An object before and after a change; None if it does not exist."""

    ref: Ref
    old: Object | None
    new: Object | None


@dataclass(frozen=True, slots=True)
class ObjectFindings:
    """Findings about the changed object alone: the expensive part of a decision, which can run in another process.

    ``own`` are the faults of the new state that the old one did not have, as many as a verdict lists, and ``further``
    is the number of the others. ``step`` are the faults of the change itself, ``breaks`` the breaking changes of
    `crd.rules.schemas`. ``former`` are the faulty selectors of the old state; those that did not change are in ``own``
    too.
    """

    own: tuple[Finding, ...]
    former: tuple[Finding, ...]
    step: tuple[Finding, ...]
    breaks: tuple[schemas.Break, ...]
    further: int = 0


_FAULTLESS = ObjectFindings((), (), (), ())


def judge(snapshot: Snapshot, change: Change) -> Verdict:
    """The faults that a change introduces: the first hundred findings, and the number of further ones.

    A deletion never yields errors. ``snapshot`` contains the other objects; the state of the changed object in it is
    ignored in favour of ``change.old``.
    """
    return judge_relations(place(snapshot, change), change, judge_object(change))


def judge_object(change: Change, own: tuple[Finding, ...] | None = None) -> ObjectFindings:
    """The part of `judge` that depends only on the object. ``own`` are the results of `find_own`, if known."""
    own = (*find_own(change.new),) if own is None else own
    if not own and change.old is None:
        return _FAULTLESS
    # The old faults are needed for comparison only; for a server they also determine which relations are reported.
    former = (*find_own(change.old),) if own or change.ref.kind is Kind.SERVER else ()
    new = Verdict.of(_find_new(own, former)).findings if own else ()
    told, further = new[: MAX_FINDINGS + 1], max(0, len(new) - MAX_FINDINGS - 1)
    selectors = (*filter(_is_of_selector, former),)
    if change.old is None or change.new is None:
        return ObjectFindings(told, selectors, (), (), further)
    step = (*changes.immutable_fields(change.old, change.new),)
    return ObjectFindings(told, selectors, step, schemas.breaks(change.old, change.new), further)


def _find_new(own: Iterable[Finding], former: Collection[Finding]) -> Iterator[Finding]:
    """The faults that an object did not have before, and the faulty selectors, which `judge_relations` compares."""
    known = frozenset(former)
    # Where not all old faults are known, new ones with the same reason cannot be distinguished from them.
    hidden: set[tuple[Reason, Level]] = set()
    for level, most in ((Level.ERROR, MAX_FAULTS), (Level.WARNING, MAX_WARNINGS)):
        alike = [finding for finding in former if finding.level is level]
        if len(alike) == most:
            hidden.update((finding.reason, level) for finding in alike)
    for finding in own:
        if _is_of_selector(finding) or (finding not in known and (finding.reason, finding.level) not in hidden):
            yield finding


def _is_of_selector(finding: Finding) -> bool:
    return finding.reason in (Reason.EMPTY_SELECTOR, Reason.INVALID_SELECTOR)


def place(snapshot: Snapshot, change: Change) -> tuple[Snapshot, Snapshot]:
    """The snapshot with the changed object as it was, and as it will be."""
    before = _place(snapshot, change.ref, change.old)
    return before, _place(before, change.ref, change.new)


def join(
    snapshot: Snapshot, fact: MemberFact, of_object: ObjectFindings = _FAULTLESS
) -> tuple[Snapshot, Verdict] | None:
    """The snapshot with a new member, and the verdict of `judge_relations`.

    ``of_object`` are the results of `judge_object`. None where a rule about servers or claims may find something, and
    where the snapshot has the object already. Most new objects are of neither kind, and this takes a fraction of the
    time: it looks only at what those rules would look at first.
    """
    if snapshot.get(fact.ref) is not None:
        return None
    views = {}
    for name in snapshot.selecting(fact.ref.kind, fact.ref.namespace, fact.labels):
        server, view = snapshot.server(name), snapshot.view(name)
        if (
            server is None
            or server.prefix
            or server.limited
            or server.clients
            or server.budget is not None
            or server.prompt_selector is not None
            or server.resource_selector is not None
            or fact.scopes
            or fact.token_claims
            or fact.timeout > server.request_timeout
            or view.weight + fact.weight > servers.NOTED_WEIGHT
        ):
            return None
        for claim in fact.claims:
            if claim in view.claimants:
                return None
        views[name] = view.with_member(fact)
    found = [*of_object.own, *references.backends(snapshot, fact), *references.mounts(snapshot, fact)]
    if not found:
        return snapshot.put_new(fact, views), NOTHING
    found.sort(key=lambda finding: finding.level)
    further = max(0, len(found) - MAX_BLAMED) + of_object.further
    return snapshot.put_new(fact, views), Verdict.of(found[:MAX_BLAMED]).first(further=further)


def judge_relations(
    placed: tuple[Snapshot, Snapshot],
    change: Change,
    of_object: ObjectFindings,
    dearer: Callable[[], Collection[MemberFact]] = tuple,
) -> Verdict:
    """The part of `judge` that depends on other objects, by a snapshot as `place` gives it.

    Of the changed object itself it reads no more than facts. ``dearer`` gives further states that tools may have, which
    count against the budgets of servers.
    """
    before, after = placed
    touched = _find_servers(after, change.new)
    if not _keeps_labels(change):
        touched |= _find_servers(before, change.old)
    claims = _claims(change.old) | _claims(change.new)
    found = [*_combine(of_object.own, _relations(after, change.ref, touched, claims))]
    if found:
        # The old relations are computed only if there is something to compare; most changes have no findings. Each
        # finding about a server names it.
        named = touched & {ref for finding in found for ref in (finding.ref, *finding.related)}
        known = set(_combine(of_object.former, _relations(before, change.ref, named, claims)))
        found = [finding for finding in found if finding not in known]
    found += _exceeded_budgets(placed, change.ref, touched, dearer)
    if change.new is None:
        found = [finding for finding in found if finding.level is Level.WARNING]
    step = (*of_object.step, *schemas.breaking_changes(change.ref, of_object.breaks, sorted(touched)))
    found.sort(key=lambda finding: finding.level)  # errors first, so that warnings never displace them
    attributed = (_attribute(change, finding) for finding in found[:MAX_BLAMED])
    return Verdict.of((*attributed, *step)).first(further=max(0, len(found) - MAX_BLAMED) + of_object.further)


def _exceeded_budgets(
    placed: tuple[Snapshot, Snapshot], ref: Ref, touched: Iterable[Ref], dearer: Callable[[], Collection[MemberFact]]
) -> Iterator[Finding]:
    """Budgets that the change exceeds, or exceeds by more than before: what lowers an excess is a repair."""
    before, after = placed
    budgeted = [server for server in map(after.server, touched) if server is not None and server.budget is not None]
    if not budgeted:
        return
    others = [fact for fact in dearer() if fact.ref != ref]
    named = 0
    for server in sorted(budgeted, key=_BY_REF):
        over = budgets.excess(after, server, others)
        if over and over > budgets.excess(before, before.server(server.ref), others):
            yield budgets.exceeded(after, server, ref, over, named=named < MAX_NAMED)
            named += 1


def survey(
    snapshot: Snapshot, objects: Iterable[Object], own: Callable[[Object], Iterable[Finding]] | None = None
) -> Verdict:
    """All faults of these objects if they are applied together. ``own`` may remember what `find_own` returned."""
    items = tuple(objects)
    for item in items:
        snapshot = _place(snapshot, item.ref, item)
    return Verdict.of(finding for item in items for finding in standing(snapshot, item, own))


def standing(snapshot: Snapshot, item: Object, own: Callable[[Object], Iterable[Finding]] | None = None) -> Verdict:
    """All faults of a stored object: its own, and the conflicts that it loses. ``own`` as in `survey`."""
    related = relations(snapshot, item.fact) if item.fact is not None else ()
    return Verdict.of(_combine((own or find_own)(item), related)).first()


def relations(snapshot: Snapshot, fact: MemberFact | ServerFact) -> Iterator[Finding]:
    """Faults of a stored object in relation to others, as far as they are attributed to this object.

    Faults of members are not attributed to the server, so the cost for a server does not depend on their number.
    """
    yield from references.backends(snapshot, fact)
    yield from references.mounts(snapshot, fact)
    if isinstance(fact, ServerFact):
        yield from selectors.selects_nothing(snapshot, fact)
        yield from servers.unmatched_limits(snapshot, fact)
        yield from servers.catalog_size(snapshot, fact)
        yield from budgets.context_budget(snapshot, fact)
        yield from servers.ingress_taken(snapshot, fact, blame_always=False)
        return
    for name in snapshot.selecting(fact.ref.kind, fact.ref.namespace, fact.labels):
        server = snapshot.server(name)
        if server is not None and fact.ref in snapshot.view(name).members:
            yield from _check_on_server(server, fact)
            for claim in fact.claims:
                yield from (clash for clash in names.duplicates(snapshot, name, claim) if clash.ref == fact.ref)


def _place(snapshot: Snapshot, ref: Ref, item: Object | None) -> Snapshot:
    return snapshot.put(item.fact) if item is not None and item.fact is not None else snapshot.drop(ref)


def find_own(item: Object | None) -> Iterator[Finding]:
    """The faults of an object by itself, up to the limits."""
    if item is None:
        return iter(())
    if item.problems:
        return _first(_find_in_sound_part(item))
    return _first(chain.from_iterable(rule(item) for rule in OBJECT_RULES[item.ref.kind]))


def _first(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The first errors and the first warnings, up to the limits. Warnings beyond theirs are passed over."""
    errors = warnings = 0
    for finding in findings:
        if finding.level is Level.ERROR:
            errors += 1
            yield finding
            if errors == MAX_FAULTS:
                return
        elif warnings < MAX_WARNINGS:
            warnings += 1
            yield finding


def _find_in_sound_part(item: Object) -> Iterator[Finding]:
    """The structural faults, and those of the parts that are sound. A rule ends where it reads another part."""
    yield from fields.invalid_fields(item)
    part = manifest.sound_part(item)
    for rule in OBJECT_RULES[item.ref.kind]:
        try:
            yield from rule(part)
        except UnsoundError:
            continue


def _combine(own: Iterable[Finding], relations: Iterable[Finding]) -> Iterator[Finding]:
    """The faults of an object and of its relations. An invalid selector hides that it selects nothing."""
    broken_selectors = set()
    for finding in own:
        if _is_of_selector(finding):
            broken_selectors.add((finding.ref, finding.path[:2]))
        yield finding
    for finding in relations:
        if finding.reason is not Reason.SELECTS_NOTHING or (finding.ref, finding.path) not in broken_selectors:
            yield finding


def _is_clash(finding: Finding) -> bool:
    """Whether a finding is about two objects on a server; ``related`` is then the other object and the server."""
    return finding.reason in CLASHES and len(finding.related) == 2


def _find_servers(snapshot: Snapshot, item: Object | None) -> set[Ref]:
    """The servers that select a member; for a server, the server itself."""
    match item.fact if item is not None else None:
        case MemberFact() as member:
            return set(snapshot.selecting(member.ref.kind, member.ref.namespace, member.labels))
        case ServerFact() as server:
            return {server.ref}
    return set()


def _keeps_labels(change: Change) -> bool:
    """Whether the labels of a member did not change, so that the same servers select it."""
    old, new = (item.fact if item is not None else None for item in (change.old, change.new))
    return isinstance(old, MemberFact) and isinstance(new, MemberFact) and old.labels == new.labels


def _claims(item: Object | None) -> set[Claim]:
    fact = item.fact if item is not None else None
    return set(fact.claims) if isinstance(fact, MemberFact) else set()


def _relations(snapshot: Snapshot, ref: Ref, touched: Iterable[Ref], claims: Iterable[Claim]) -> Iterator[Finding]:
    """Faults of an object in relation to others, on the touched servers: of these claims, or of all for a server.

    A changed server gets the finding about an Ingress even if the other server is younger, because only the changed
    object can be denied.
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
        view = snapshot.view(name)
        yield from selectors.selects_nothing(snapshot, server)
        if server.limited:
            yield from servers.unmatched_limits(snapshot, server)
        yield from servers.catalog_size(snapshot, server)
        if name == ref:
            yield from servers.ingress_taken(snapshot, server, blame_always=True)
            for member in map(snapshot.member, sorted(view.members, key=_BY_NAME)):
                yield from _check_on_server(server, member)
        elif ref in view.members:
            yield from _check_on_server(server, snapshot.member(ref))
        for claim in claims if name != ref else view.claimants:
            if len(view.claimants.get(claim, ())) > 1:
                yield from names.duplicates(snapshot, name, claim)


def _check_on_server(server: ServerFact, member: MemberFact | None) -> Iterator[Finding]:
    """Faults of a member that depend on settings of a server.

    A server may have thousands of members, and most rules concern few of them, so each is asked only where it applies.
    """
    if member is None:
        return
    if server.prefix:
        yield from servers.prefixed_names(server, member)
    if member.timeout > server.request_timeout:
        yield from servers.long_timeouts(server, member)
    if member.scopes:
        yield from servers.unreachable_scopes(server, member)
    if member.token_claims:
        yield from servers.unavailable_claims(server, member)
    if server.clients:
        yield from clients.portability_on_server(server, member)


def transition(snapshot: Snapshot, change: Change) -> Iterator[Finding]:
    """Faults of the change itself, even if both states are valid. ``snapshot`` contains the new state."""
    if change.old is not None and change.new is not None:
        yield from changes.immutable_fields(change.old, change.new)
        servers = sorted(_find_servers(snapshot, change.new))
        yield from schemas.breaking_changes(change.ref, schemas.breaks(change.old, change.new), servers)


def _attribute(change: Change, finding: Finding) -> Finding:
    """The finding attributed to the changed object, because only that object can be denied.

    A conflict that the changed object would win by seniority becomes a finding about it. A conflict that a changed
    server causes becomes a finding about the server that names both members.
    """
    if not _is_clash(finding):
        if finding.level is Level.WARNING or finding.ref == change.ref:
            return finding
        if change.ref.kind is not Kind.SERVER:
            return replace(finding, ref=change.ref)
        if finding.reason is Reason.CLIENT_PORTABILITY:
            return clients.blame_server(finding, change.ref)
        # The name of a member became too long because of the prefix of the server.
        return replace(finding, ref=change.ref, path=("spec", "naming", "prefix"))
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
    """The selector field that applies to members of a kind."""
    if isinstance(server, ServerFact) and server.selector_of(kind) is not server.selector:
        return "promptSelector" if kind is Kind.PROMPT else "resourceSelector"
    return "toolSelector"
