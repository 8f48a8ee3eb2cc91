"""Finds conflicts between objects by comparing every pair: slow and simple."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from crd.facts import Claim, GrantFact, MemberFact, NameFact, ServerFact, ServiceFact, Space
from crd.finding import Level, Reason
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.finding import Finding
    from crd.ways_in import WaysIn
    from tests.laws.states import State

REASONS = frozenset(
    {
        Reason.CROSS_NAMESPACE_DENIED,
        Reason.DUPLICATE_INGRESS_PATH,
        Reason.DUPLICATE_NAME,
        Reason.DUPLICATE_URI,
        Reason.INGRESS_TAKEN,
        Reason.LONG_TIMEOUT,
        Reason.UNREACHABLE_SCOPES,
        Reason.POLICY_MATCHES_NOTHING,
        Reason.SECRET_MISSING,
        Reason.SELECTS_NOTHING,
        Reason.SERVICE_EXTERNAL_NAME,
        Reason.SERVICE_MISSING,
        Reason.SERVICE_PORT_MISSING,
    }
)
_OF_SPACE = {
    Space.TOOL_NAME: Reason.DUPLICATE_NAME,
    Space.PROMPT_NAME: Reason.DUPLICATE_NAME,
    Space.URI: Reason.DUPLICATE_URI,
    Space.REST_PATH: Reason.DUPLICATE_INGRESS_PATH,
}


class Breach(NamedTuple):
    """One finding about a relation: reason, object, subject and level."""

    reason: Reason
    ref: Ref
    about: str
    level: Level


def seen(finding: Finding) -> Breach:
    """A finding in the form of the oracle."""
    about = {
        Reason.SELECTS_NOTHING: finding.field_path,
        Reason.POLICY_MATCHES_NOTHING: str(finding.path[-1:]),
        Reason.SERVICE_PORT_MISSING: finding.subject[0] if finding.subject else "",
    }.get(finding.reason, " ".join(finding.subject))
    return Breach(finding.reason, finding.ref, about, finding.level)


def breaches(state: State) -> set[Breach]:
    """Every finding of the reasons above, among valid and invalid objects."""
    facts = [item.fact for item in state.items if item.fact is not None]
    members = [fact for fact in facts if isinstance(fact, MemberFact)]
    servers = [fact for fact in facts if isinstance(fact, ServerFact)]
    found = {breach for server in servers for breach in _on(server, members)}
    found |= {breach for server in servers for breach in _ways_in(server, servers)}
    return found | {breach for fact in facts for breach in _named(fact, state)}


def _on(server: ServerFact, members: list[MemberFact]) -> Iterator[Breach]:
    there = [m for m in members if m.ref.namespace == server.ref.namespace]
    mine = [m for m in there if server.selector_of(m.ref.kind).matches(m.labels)]
    pairs = sorted(((claim, m) for m in mine for claim in m.claims), key=lambda pair: (pair[0], pair[1].seniority))
    level = Level.WARNING if server.prefer_incumbent else Level.ERROR
    for claim, holders in groupby(pairs, key=lambda pair: pair[0]):
        for _, loser in list(holders)[1:]:
            about = f"{server.ref.key} {claim.space} {claim.value}"
            yield Breach(_OF_SPACE[claim.space], loser.ref, about, level)
    for member in mine:
        if member.timeout > server.request_timeout:
            yield Breach(Reason.LONG_TIMEOUT, member.ref, server.ref.key, Level.WARNING)
        for wanted, given, reason in (
            (member.scopes, server.scopes, Reason.UNREACHABLE_SCOPES),
            (member.token_claims, server.token_claims, Reason.UNAVAILABLE_CLAIM),
        ):
            if wanted and (not server.has_tokens or (given is not None and not given.issuperset(wanted))):
                yield Breach(reason, member.ref, server.ref.key, Level.WARNING)
    names = {f"{server.prefix}{c.value}" for m in mine for c in m.claims if c.space is Space.TOOL_NAME}
    for name in server.limited:
        if name not in names:
            yield Breach(Reason.POLICY_MATCHES_NOTHING, server.ref, str((name,)), Level.WARNING)
    yield from _nothing(server, {m.ref.kind for m in mine})


def _nothing(server: ServerFact, kinds: set[Kind]) -> Iterator[Breach]:
    own = {"promptSelector": (Kind.PROMPT, server.prompt_selector)}
    own |= {"resourceSelector": (Kind.RESOURCE, server.resource_selector)}
    shared = {Kind.TOOL, *(kind for kind, selector in own.values() if selector is None)}
    if not shared & kinds:
        yield Breach(Reason.SELECTS_NOTHING, server.ref, "spec.toolSelector", Level.WARNING)
    for field, (kind, selector) in own.items():
        if selector is not None and kind not in kinds:
            yield Breach(Reason.SELECTS_NOTHING, server.ref, f"spec.{field}", Level.WARNING)


def _ways_in(server: ServerFact, servers: list[ServerFact]) -> Iterator[Breach]:
    for other in servers:
        if other.seniority < server.seniority and _meet(server, other):
            both = {f"{each.ways_in.host}{each.ways_in.prefix}" for each in (server, other) if each.ways_in}
            yield Breach(Reason.INGRESS_TAKEN, server.ref, " ".join(sorted(both)), Level.ERROR)


def _meet(one: ServerFact, other: ServerFact) -> bool:
    """Whether some request could go to either: tried with every path that one of them has."""
    mine, theirs = one.ways_in, other.ways_in
    if mine is None or theirs is None:
        return False
    if one.ref.namespace == other.ref.namespace:
        return (mine.host, mine.prefix) == (theirs.host, theirs.prefix)
    wide, narrow = sorted((mine.host, theirs.host), key=lambda host: not host.startswith("*."))
    if wide != narrow and not (wide.startswith("*.") and narrow.split(".")[1:] == wide.split(".")[1:]):
        return False
    paths = [mine.prefix, theirs.prefix, *filter(None, (mine.exact, theirs.exact))]
    return any(_leads(mine, path) and _leads(theirs, path) for path in paths)


def _leads(ways: WaysIn, path: str) -> bool:
    wanted = ways.prefix.split("/")
    return path == ways.exact or path.split("/")[: len(wanted)] == wanted


def _named(fact: MemberFact | ServerFact, state: State) -> Iterator[Breach]:
    services = {each.ref: each for each in state.around if isinstance(each, ServiceFact)}
    grants = [each for each in state.around if isinstance(each, GrantFact)]
    mountable = {each.ref for each in state.around if isinstance(each, NameFact)}
    for backend in fact.backends:
        target = backend.service
        lets = (g for g in grants if g.ref.namespace == target.namespace)
        source = (fact.ref.kind.value, fact.ref.namespace)
        granted = any(source in g.sources and (g.targets is None or target.name in g.targets) for g in lets)
        if target.namespace != fact.ref.namespace and not granted:
            yield Breach(Reason.CROSS_NAMESPACE_DENIED, fact.ref, target.key, Level.ERROR)
            # Nothing else may be said about another namespace.
            continue
        service = services.get(target)
        if service is None:
            yield Breach(Reason.SERVICE_MISSING, fact.ref, target.key, Level.WARNING)
        elif service.type == "ExternalName":
            yield Breach(Reason.SERVICE_EXTERNAL_NAME, fact.ref, target.key, Level.ERROR)
        elif backend.port not in {port for pair in service.ports for port in pair}:
            yield Breach(Reason.SERVICE_PORT_MISSING, fact.ref, target.key, Level.WARNING)
    for mount in fact.mounts:
        if mount.ref not in mountable:
            yield Breach(Reason.SECRET_MISSING, fact.ref, str(mount.ref), Level.WARNING)


def claims(state: State) -> set[Claim]:
    """Every value that any object claims."""
    facts = (item.fact for item in state.items)
    return {claim for fact in facts if isinstance(fact, MemberFact) for claim in fact.claims}
