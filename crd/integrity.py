"""PURE. The single decision: which rules a change violates, and which rules stored objects violate.

The webhook, ``check`` and the controller all use it. Rules about one object see the object; rules about several objects
see the snapshot, limited to the servers and claims that the change affects. A fault that existed before is not a
finding of a change, so unrelated updates and repairs are always admitted.

Rules about several objects may look at thousands of them. So they are there in steps too (`crd.steps`), and a decision
about one snapshot need not be made again for the next one: `Moves` are what differs, and only that is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from crd import manifest
from crd.facts import Claim, GrantFact, MemberFact, ServerFact, ServiceFact, Space
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
from crd.steps import finish, skip_pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from crd.facts import Fact
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot
    from crd.steps import Steps

__all__ = [
    "Change",
    "Moves",
    "ObjectFindings",
    "find_own",
    "join",
    "judge",
    "judge_object",
    "judge_relations",
    "judge_relations_in_steps",
    "place",
    "place_in_steps",
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
# A new member that more servers select is not joined at once.
MAX_JOINED = 32
NOTHING = Verdict()
_BY_NAME = attrgetter("name", "kind")

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


@dataclass(frozen=True, slots=True)
class Moves:
    """Other objects that are in one state where a change was judged, and in another one where it is judged next.

    Each is a pair of the earlier and the later state; None means that there is no object. Both are equal where only the
    further states that an object may have are others.
    """

    pairs: tuple[tuple[Fact | None, Fact | None], ...]

    @property
    def facts(self) -> Iterator[Fact]:
        """All these states."""
        return (fact for pair in self.pairs for fact in pair if fact is not None)

    def without(self, ref: Ref) -> Moves:
        """The moves of others than this object."""
        return Moves(tuple(pair for pair in self.pairs if all(fact is None or fact.ref != ref for fact in pair)))

    def concerning(self, change: Change) -> Moves:
        """The moves that can matter to a change. What is not there in either state may have a further one."""
        return Moves(tuple(pair for pair in self.pairs if pair == (None, None) or _any_concerns(pair, change)))

    def place(self, snapshot: Snapshot) -> Steps[Snapshot]:
        """The snapshot with the later states, in steps."""
        for old, new in self.pairs:
            yield
            if new is not None:
                snapshot = yield from snapshot.put_in_steps(new)
            elif old is not None:
                snapshot = yield from snapshot.drop_in_steps(old.ref)
        return snapshot


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the relations of a change are limited to: of the changed server these members and claims.

    A changed member is looked at on those servers that ``servers`` contains.
    """

    refs: frozenset[Ref]
    claims: frozenset[Claim]
    servers: frozenset[Ref]


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
    return finish(place_in_steps(snapshot, change))


def place_in_steps(snapshot: Snapshot, change: Change) -> Steps[tuple[Snapshot, Snapshot]]:
    """The same as `place`, in steps."""
    before = yield from _place(snapshot, change.ref, change.old)
    return before, (yield from _place(before, change.ref, change.new))


def join(
    snapshot: Snapshot,
    fact: MemberFact,
    of_object: ObjectFindings = _FAULTLESS,
    selecting: Collection[Ref] | None = None,
) -> tuple[Snapshot, Verdict] | None:
    """The snapshot with a new member, and the verdict of `judge_relations`.

    ``of_object`` are the results of `judge_object`, ``selecting`` the servers that select it, if known. None where a
    rule about servers or claims may find something, where
    the snapshot has the object already, and where many servers select it. Most new objects are of no such kind, and
    this takes a fraction of the time: it looks only at what those rules would look at first.
    """
    if snapshot.get(fact.ref) is not None:
        return None
    views = {}
    if selecting is None:
        selecting = snapshot.selecting(fact.ref.kind, fact.ref.namespace, fact.labels)
    if len(selecting) > MAX_JOINED:
        return None
    for name in selecting:
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
    return finish(judge_relations_in_steps(placed, change, of_object, dearer))


def judge_relations_in_steps(
    placed: tuple[Snapshot, Snapshot],
    change: Change,
    of_object: ObjectFindings,
    dearer: Callable[[], Collection[MemberFact]] = tuple,
    moves: Moves | None = None,
) -> Steps[Verdict]:
    """The same as `judge_relations`, in steps.

    With ``moves``, the change was allowed where these objects were in their earlier states. In ``placed`` they are in
    the later ones. Then the verdict has every error that it would have without ``moves``, and not each warning.
    """
    before, after = placed
    touched = yield from _find_servers(after, change.new)
    if not _keeps_labels(change):
        touched |= yield from _find_servers(before, change.old)
    claims = _claims(change.old) | _claims(change.new)
    scope = (yield from _limit(placed, moves)) if moves is not None else None
    found: list[Finding] = []
    mentioned: set[Ref] = set()
    for finding in _combine(of_object.own, _relations(after, change.ref, touched, claims, scope)):
        yield
        if finding is not None:
            found.append(finding)
            mentioned.update((finding.ref, *finding.related))
    errors: list[Finding] = []
    warnings: list[Finding] = []
    if found:
        # The old relations are computed only if there is something to compare; most changes have no findings. Each
        # finding about a server names it.
        known: set[Finding] = set()
        for finding in _combine(of_object.former, _relations(before, change.ref, touched & mentioned, claims, scope)):
            yield
            if finding is not None:
                known.add(finding)
        for finding in found:
            yield
            if finding not in known:
                (errors if finding.level is Level.ERROR else warnings).append(finding)
    for finding in _exceeded_budgets(placed, change.ref, touched, dearer):
        yield
        if finding is not None:
            errors.append(finding)
    found = [*errors, *warnings] if change.new is not None else warnings  # no number of warnings displaces an error
    serving = sorted(touched) if of_object.breaks else ()
    step = (*of_object.step, *schemas.breaking_changes(change.ref, of_object.breaks, serving))
    attributed = []
    for finding in found[:MAX_BLAMED]:
        yield
        attributed.append(_attribute(change, finding))
    yield
    return Verdict.of((*attributed, *step)).first(further=max(0, len(found) - MAX_BLAMED) + of_object.further)


def _any_concerns(facts: Iterable[Fact | None], change: Change) -> bool:
    return any(fact is not None and _concerns(fact, change) for fact in facts)


def _concerns(fact: Fact, change: Change) -> bool:
    """Whether a state of another object can matter to a change.

    It is of the same namespace, or it is a Service that the object calls, or a grant beside it, or a server, whose
    Ingress may have the host of the changed one.
    """
    if fact.ref.namespace == change.ref.namespace:
        return True
    new = change.new.fact if change.new is not None else None
    if isinstance(fact, ServiceFact | GrantFact):
        backends = new.backends if isinstance(new, MemberFact | ServerFact) else ()
        return any(backend.service.namespace == fact.ref.namespace for backend in backends)
    if isinstance(fact, ServerFact) and isinstance(new, ServerFact):
        return new.ways_in is not None
    return False


def _limit(placed: tuple[Snapshot, Snapshot], moves: Moves) -> Steps[_Scope]:
    """What the relations with objects that moved are limited to."""
    claims: set[Claim] = set()
    servers: set[Ref] = set()
    for fact in moves.facts:
        yield
        if isinstance(fact, ServerFact):
            servers.add(fact.ref)
        elif isinstance(fact, MemberFact):
            claims.update(fact.claims)
            for snapshot in placed:
                selecting = yield from snapshot.selecting_in_steps(fact.ref.kind, fact.ref.namespace, fact.labels)
                servers.update(selecting)
    return _Scope(frozenset(fact.ref for fact in moves.facts), frozenset(claims), frozenset(servers))


def _exceeded_budgets(
    placed: tuple[Snapshot, Snapshot], ref: Ref, touched: Iterable[Ref], dearer: Callable[[], Collection[MemberFact]]
) -> Iterator[Finding | None]:
    """Budgets that the change exceeds, or exceeds by more than before: what lowers an excess is a repair."""
    before, after = placed
    budgeted = []
    for name in touched:
        yield None
        server = after.server(name)
        if server is not None and server.budget is not None:
            budgeted.append(server)
    if not budgeted:
        return
    others = budgets.Further(fact for fact in dearer() if fact.ref != ref)
    named = 0
    for server in sorted(budgeted, key=lambda server: server.ref.name):
        yield None
        over = yield from budgets.excess_in_steps(after, server, others)
        if over and over > (yield from budgets.excess_in_steps(before, before.server(server.ref), others)):
            yield (yield from budgets.exceeded_in_steps(after, server, ref, over, named=named < MAX_NAMED))
            named += 1


def survey(
    snapshot: Snapshot, objects: Iterable[Object], own: Callable[[Object], Iterable[Finding]] | None = None
) -> Verdict:
    """All faults of these objects if they are applied together. ``own`` may remember what `find_own` returned."""
    items = tuple(objects)
    for item in items:
        snapshot = finish(_place(snapshot, item.ref, item))
    return Verdict.of(finding for item in items for finding in standing(snapshot, item, own))


def standing(snapshot: Snapshot, item: Object, own: Callable[[Object], Iterable[Finding]] | None = None) -> Verdict:
    """All faults of a stored object: its own, and the conflicts that it loses. ``own`` as in `survey`."""
    related = relations(snapshot, item.fact) if item.fact is not None else ()
    return Verdict.of(skip_pauses(_combine((own or find_own)(item), related))).first()


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


def _place(snapshot: Snapshot, ref: Ref, item: Object | None) -> Steps[Snapshot]:
    known = item.fact if item is not None else None
    return snapshot.put_in_steps(known) if known is not None else snapshot.drop_in_steps(ref)


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


def _combine(own: Iterable[Finding], relations: Iterable[Finding | None]) -> Iterator[Finding | None]:
    """The faults of an object and of its relations, with the pauses of these.

    An invalid selector hides that it selects nothing.
    """
    broken_selectors = set()
    for finding in own:
        if _is_of_selector(finding):
            broken_selectors.add((finding.ref, finding.path[:2]))
        yield finding
    for related in relations:
        hides = related is not None and related.reason is Reason.SELECTS_NOTHING
        if related is None or not hides or (related.ref, related.path) not in broken_selectors:
            yield related


def _is_clash(finding: Finding) -> bool:
    """Whether a finding is about two objects on a server; ``related`` is then the other object and the server."""
    return finding.reason in CLASHES and len(finding.related) == 2


def _find_servers(snapshot: Snapshot, item: Object | None) -> Steps[set[Ref]]:
    """The servers that select a member; for a server, the server itself."""
    match item.fact if item is not None else None:
        case MemberFact() as member:
            return set((yield from snapshot.selecting_in_steps(member.ref.kind, member.ref.namespace, member.labels)))
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


def _relations(
    snapshot: Snapshot, ref: Ref, touched: Iterable[Ref], claims: Iterable[Claim], scope: _Scope | None
) -> Iterator[Finding | None]:
    """Faults of an object in relation to others, on the touched servers: of these claims, or of all for a server.

    Pauses after each server, member and claim, and limits itself to ``scope``. A changed server gets the finding about
    an Ingress even if the other server is younger, because only the changed object can be denied.
    """
    fact = snapshot.get(ref)
    if isinstance(fact, MemberFact | ServerFact):
        yield from references.backends(snapshot, fact)
        yield from references.mounts(snapshot, fact)
    claims = tuple(claims)
    for name in touched:
        yield None
        server = snapshot.server(name)
        if server is None or (scope is not None and name != ref and name not in scope.servers):
            continue
        view = snapshot.view(name)
        yield from selectors.selects_nothing_in_steps(snapshot, server)
        if server.limited:
            yield from servers.unmatched_limits_in_steps(snapshot, server)
        yield from servers.catalog_size(snapshot, server)
        if name == ref:
            yield from servers.ingress_taken_in_steps(snapshot, server, blame_always=True)
            yield from _check_members(snapshot, server, scope)
            for claim in view.claimants if scope is None else scope.claims:
                yield None
                if len(view.claimants.get(claim, ())) > 1:
                    yield from names.duplicates_in_steps(snapshot, name, claim)
            continue
        if ref in view.members:
            yield from _check_on_server(server, snapshot.member(ref))
        for claim in claims:
            if len(view.claimants.get(claim, ())) > 1:
                yield from names.duplicates_in_steps(snapshot, name, claim)


def _check_members(snapshot: Snapshot, server: ServerFact, scope: _Scope | None) -> Iterator[Finding | None]:
    """Faults of the members of a server that depend on its settings."""
    members = snapshot.view(server.ref).members
    refs = []
    for ref in members if scope is None else scope.refs:
        yield None
        if scope is None or ref in members:
            refs.append(ref)
    for ref in sorted(refs, key=_BY_NAME):
        yield None
        yield from _check_on_server(server, snapshot.member(ref))


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
        servers = sorted(finish(_find_servers(snapshot, change.new)))
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
