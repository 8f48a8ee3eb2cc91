"""PURE. A server as a whole: its Ingress, served names, limits, timeouts and the size of its catalog."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from crd import ways_in
from crd.facts import Claim, MemberFact, Space
from crd.finding import Finding, Level, Reason
from crd.models.access import ALWAYS_GIVEN
from crd.models.server import ServerSpec
from crd.published import catalogs
from crd.steps import skip_pauses
from crd.suggestions import MAX_NAMES, Suggestions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from crd.facts import ServerFact
    from crd.manifest import Object
    from crd.snapshot import Snapshot

__all__ = [
    "NOTED_WEIGHT",
    "catalog_size",
    "ingress_taken",
    "ingress_taken_in_steps",
    "long_names",
    "long_timeouts",
    "prefixed_names",
    "public_without_auth",
    "trusted_proxies",
    "unavailable_claims",
    "unmatched_limits",
    "unmatched_limits_in_steps",
    "unreachable_scopes",
    "unusable_tokens",
]

LONG, LONGEST = 64, 128
# So many servers are named whose paths are in the way.
MAX_TAKEN = 20
# A catalog of more bytes has a finding.
NOTED_WEIGHT = catalogs.LIMIT * 0.8
_NAMES = (Space.TOOL_NAME, Space.PROMPT_NAME)


def public_without_auth(item: Object) -> Iterator[Finding]:
    """A server with an Ingress but without authentication."""
    spec = item.spec
    if isinstance(spec, ServerSpec) and spec.ingress and (spec.auth is None or spec.auth.type == "None"):
        message = f"anyone who can reach {spec.ingress.host} can use the server; set spec.auth or remove spec.ingress"
        yield Finding.of(Reason.PUBLIC_WITHOUT_AUTH, item.ref, message, path=("spec", "auth"))


def trusted_proxies(item: Object) -> Iterator[Finding]:
    """Networks of proxies that are not CIDR blocks although they look like them."""
    spec = item.spec
    for index, cidr in enumerate(spec.config.trusted_proxies if isinstance(spec, ServerSpec) else ()):
        try:
            ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            message = f'must be a CIDR block such as 10.0.0.0/8, got "{cidr}"; correct it'
            path = ("spec", "config", "trustedProxies", index)
            yield Finding.of(Reason.INVALID_FIELD, item.ref, message, subject=(cidr,), path=path)


def long_names(item: Object) -> Iterator[Finding]:
    """Served names that some clients truncate or reject (several model providers allow 64 characters)."""
    for claim in item.fact.claims if isinstance(item.fact, MemberFact) else ():
        if claim.space in _NAMES and len(claim.value) > LONG:
            message = (
                f'"{claim.value}" has {len(claim.value)} characters; many clients reject names over {LONG}; shorten it'
            )
            yield Finding.of(Reason.LONG_NAME, item.ref, message, path=("spec", "name"))


def prefixed_names(server: ServerFact, member: MemberFact) -> Iterator[Finding]:
    """Names that are too long with the prefix of the server."""
    name = member.served_name
    if name is None or not server.prefix:
        return
    whole = f"{server.prefix}{name}"
    repair = f'shorten it or the prefix "{server.prefix}" of {server.ref}'
    if len(whole) > LONGEST:
        message = f'"{whole}" must have at most {LONGEST} characters, got {len(whole)}; {repair}'
        yield _of_member(Reason.INVALID_NAME, server, member, message, ("spec", "name"))
    elif len(whole) > LONG >= len(name):
        message = f'"{whole}" has {len(whole)} characters; many clients reject names over {LONG}; {repair}'
        yield _of_member(Reason.LONG_NAME, server, member, message, ("spec", "name"))


def long_timeouts(server: ServerFact, member: MemberFact) -> Iterator[Finding]:
    """A timeout of a member that exceeds the timeout of the server."""
    if member.timeout > server.request_timeout:
        message = (
            f"{member.timeout:g} s exceeds spec.config.requestTimeout of {server.ref} ({server.request_timeout:g} s), "
            "which ends the call first; shorten it or raise requestTimeout"
        )
        yield _of_member(Reason.LONG_TIMEOUT, server, member, message, ("spec", "timeout"))


def unreachable_scopes(server: ServerFact, member: MemberFact) -> Iterator[Finding]:
    """A member that requires scopes that no client of a server has."""
    if member.scopes and not server.has_tokens:
        message = (
            f"the clients of {server.ref} have no tokens and so no scopes, so it shows them nothing of this object; "
            "set spec.auth.type of the server to JWT or remove requiredScopes"
        )
        yield _of_member(Reason.UNREACHABLE_SCOPES, server, member, message, ("spec", "requiredScopes"))
    elif server.scopes is not None:
        lacking = [scope for scope in member.scopes if scope not in server.scopes]
        if lacking:
            message = (
                f"the tokens of {server.ref} never have the scope {_listed(lacking)}, so it shows nobody this object; "
                "add the scope to spec.auth.jwt.scopesSupported of the server or remove it"
            )
            yield _of_member(Reason.UNREACHABLE_SCOPES, server, member, message, ("spec", "requiredScopes"))


def unavailable_claims(server: ServerFact, member: MemberFact) -> Iterator[Finding]:
    """A member that sends claims of a token that no client of a server has."""
    if not member.token_claims:
        return
    if not server.has_tokens:
        message = (
            f"the clients of {server.ref} have no tokens, so calls that send the claim {_listed(member.token_claims)} "
            "fail; set spec.auth.type of the server to JWT or remove the claim"
        )
        yield _of_member(Reason.UNAVAILABLE_CLAIM, server, member, message, ("spec", "http"))
    elif server.token_claims is not None:
        lacking = [claim for claim in member.token_claims if claim not in server.token_claims]
        if lacking:
            message = (
                f"the tokens of {server.ref} never have the claim {_listed(lacking)}, so calls that send it fail; add "
                "the claim to spec.auth.jwt.claimsSupported of the server or remove it"
            )
            yield _of_member(Reason.UNAVAILABLE_CLAIM, server, member, message, ("spec", "http"))


def unusable_tokens(item: Object) -> Iterator[Finding]:
    """Scopes and claims that a server requires of every token and that its issuer does not give."""
    spec = item.spec
    jwt = spec.auth.jwt if isinstance(spec, ServerSpec) and spec.auth else None
    if jwt is None:
        return
    lacking = [scope for scope in jwt.required_scopes if scope not in jwt.scopes_supported]
    if jwt.scopes_supported and lacking:
        message = (
            f"no token has the scope {_listed(lacking)}, so every client is refused; add it to scopesSupported or "
            "remove it"
        )
        yield Finding.of(Reason.UNREACHABLE_SCOPES, item.ref, message, path=("spec", "auth", "jwt", "requiredScopes"))
    if jwt.claims_supported and jwt.user_claim not in ALWAYS_GIVEN.union(jwt.claims_supported):
        message = (
            f'no token has the claim "{jwt.user_claim}", so every client is refused; add it to claimsSupported or name '
            "another claim"
        )
        yield Finding.of(Reason.UNAVAILABLE_CLAIM, item.ref, message, path=("spec", "auth", "jwt", "userClaim"))


def _listed(names: Collection[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return ", ".join(quoted[:5]) + (f" and {len(quoted) - 5} more" if len(quoted) > 5 else "")


def _of_member(
    reason: Reason, server: ServerFact, member: MemberFact, message: str, path: tuple[str | int, ...]
) -> Finding:
    return Finding.of(reason, member.ref, message, subject=(server.ref.key,), path=path, related=(server.ref,))


def unmatched_limits(snapshot: Snapshot, server: ServerFact) -> Iterator[Finding]:
    """Rate limits for tools that the server does not serve."""
    return skip_pauses(unmatched_limits_in_steps(snapshot, server))


def unmatched_limits_in_steps(snapshot: Snapshot, server: ServerFact) -> Iterator[Finding | None]:
    """The same as `unmatched_limits`, with a pause before each limit: a suggestion is expensive."""
    claimants = snapshot.view(server.ref).claimants
    suggestions = Suggestions(_tool_names(server, claimants))
    for name in server.limited:
        yield None
        bare = name.removeprefix(server.prefix)
        if name.startswith(server.prefix) and Claim(Space.TOOL_NAME, bare) in claimants:
            continue
        near = yield from suggestions.nearest_in_steps(name)
        repair = f'did you mean "{near}"?' if near else "correct the name or remove the limit"
        message = f'{server.ref} serves no tool "{name}", so the limit has no effect; {repair}'
        path = ("spec", "rateLimits", "tools", name)
        yield Finding.of(Reason.POLICY_MATCHES_NOTHING, server.ref, message, path=path)


def _tool_names(server: ServerFact, claims: Collection[Claim]) -> Iterator[str]:
    """The sorted names of the tools that a server serves; none if there are too many to suggest from."""
    if len(claims) <= MAX_NAMES:
        yield from sorted(f"{server.prefix}{claim.value}" for claim in claims if claim.space is Space.TOOL_NAME)


def ingress_taken(snapshot: Snapshot, server: ServerFact, *, blame_always: bool) -> Iterator[Finding]:
    """Another server uses the host and path of this server's Ingress, or one of another namespace a path around it.

    Servers of one namespace may have paths within one another. Of two servers the older one keeps its paths and gets no
    finding, unless ``blame_always``.
    """
    return skip_pauses(ingress_taken_in_steps(snapshot, server, blame_always=blame_always))


def ingress_taken_in_steps(snapshot: Snapshot, server: ServerFact, *, blame_always: bool) -> Iterator[Finding | None]:
    """The same as `ingress_taken`, with a pause for each server whose Ingress has the host."""
    mine = server.ways_in
    if mine is None:
        return
    met: list[tuple[ServerFact, str]] = []
    for ref in snapshot.servers_met(mine):
        yield None
        fact = snapshot.server(ref) if ref != server.ref else None
        path = _met_at(server, fact) if fact is not None else ""
        if fact is not None and path:
            met.append((fact, path))
    said: set[tuple[str, ...]] = set()
    for other, path in sorted(met, key=lambda each: each[0].seniority):
        theirs = other.ways_in
        subject = tuple(sorted({f"{each.host}{each.prefix}" for each in (mine, theirs) if each}))
        if subject in said or len(said) == MAX_TAKEN or not (blame_always or other.seniority < server.seniority):
            continue
        said.add(subject)
        at = f"{mine.host}{path}"
        if other.ref.namespace == server.ref.namespace:
            what = f"{other.ref} already serves {at}"
        else:
            # Who uses the host in another namespace, and how, is not for everybody to know; audit annotations name it.
            what = f"an MCPServer of another namespace already serves {at}, or a path above or below it"
        repair = "spec.auth.resource" if path == mine.exact else "spec.ingress.pathPrefix"
        message = f"{what}; change spec.ingress.host or {repair}"
        yield Finding.of(
            Reason.INGRESS_TAKEN,
            server.ref,
            message,
            subject=subject,
            path=("spec", "ingress", "host"),
            related=(other.ref,),
        )


def _met_at(server: ServerFact, other: ServerFact) -> str:
    """The path at which another server is in the way of a server; empty if it is not."""
    mine, theirs = server.ways_in, other.ways_in
    if mine is None or theirs is None:
        return ""
    if server.ref.namespace == other.ref.namespace:
        return mine.prefix if (mine.host, mine.prefix) == (theirs.host, theirs.prefix) else ""
    return ways_in.overlap(mine, theirs)


def catalog_size(snapshot: Snapshot, server: ServerFact) -> Iterator[Finding]:
    """A catalog that exceeds the size of a ConfigMap, or 80 % of it."""
    weight = snapshot.view(server.ref).weight
    if weight <= NOTED_WEIGHT:
        return
    level = Level.ERROR if weight > catalogs.LIMIT else Level.WARNING
    message = (
        f"the catalog of {server.ref} is {weight // 1024} KiB (limit {catalogs.LIMIT // 1024} KiB); "
        "select fewer objects or shorten schemas and texts"
    )
    subject = (server.ref.key,)
    yield Finding.of(Reason.CATALOG_TOO_LARGE, server.ref, message, subject=subject, related=(server.ref,), level=level)
