"""PURE. The names, URIs and REST paths of one server are distinct."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd import manifest
from crd.facts import Space
from crd.finding import Finding, Level, Reason, format_path
from crd.steps import skip_pauses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.facts import Claim, MemberFact
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["REASONS", "clash", "duplicates", "duplicates_in_steps", "repeated"]

REASONS = {
    Space.TOOL_NAME: Reason.DUPLICATE_NAME,
    Space.PROMPT_NAME: Reason.DUPLICATE_NAME,
    Space.URI: Reason.DUPLICATE_URI,
    Space.REST_PATH: Reason.DUPLICATE_INGRESS_PATH,
}


def repeated(item: Object) -> Iterator[Finding]:
    """Operations with a URI or REST path that an earlier operation of the same object already has."""
    first: dict[Claim, tuple[str | int, ...]] = {}
    for claim, place in manifest.claims(item):
        other = first.setdefault(claim, place)
        if other != place:
            repair = f"change {format_path(place)} or remove the operation"
            message = f'{format_path(other)} already serves "{claim.value}"; {repair}'
            yield Finding.of(
                REASONS[claim.space], item.ref, message, subject=(claim.space.value, claim.value), path=place
            )


def duplicates(snapshot: Snapshot, server: Ref, claim: Claim) -> Iterator[Finding]:
    """A finding for each claimant of a claim on a server, except for the one to be served (see `seniority`)."""
    return skip_pauses(duplicates_in_steps(snapshot, server, claim))


def duplicates_in_steps(snapshot: Snapshot, server: Ref, claim: Claim) -> Iterator[Finding | None]:
    """The same as `duplicates`, with pauses: thousands of members may have one claim."""
    refs = snapshot.view(server).claimants.get(claim, ())
    if len(refs) < 2:
        return
    members: list[MemberFact] = []
    winner: MemberFact | None = None
    for ref in refs:
        yield None
        member = snapshot.member(ref)
        if member is not None:
            members.append(member)
            winner = member if winner is None or member.seniority < winner.seniority else winner
    fact = snapshot.server(server)
    level = Level.WARNING if fact is not None and fact.prefer_incumbent else Level.ERROR
    for loser in members:
        if winner is not None and loser is not winner:
            yield clash(loser, winner.ref, server, claim, level=level)


def clash(
    blamed: MemberFact,
    other: Ref,
    server: Ref,
    claim: Claim,
    path: tuple[str | int, ...] | None = None,
    level: Level = Level.ERROR,
) -> Finding:
    """The finding that an object conflicts with another one that the server already serves.

    ``path`` is the field at fault, if it is not the one that makes the claim. The level is a warning for servers that
    prefer the incumbent: the object is admitted but not served there.
    """
    place = blamed.place(claim)
    message = (
        f'{other} already serves "{claim.value}" on {server}; change {format_path(place)} or the labels of one of them'
    )
    return Finding.of(
        REASONS[claim.space],
        blamed.ref,
        message,
        subject=(server.key, claim.space.value, claim.value),
        path=path or place,
        related=(other, server),
        level=level,
    )
