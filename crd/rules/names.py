"""PURE. The names, URIs and REST paths of one server are distinct."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd import manifest
from crd.facts import Space
from crd.finding import Finding, Level, Reason, format_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.facts import Claim, MemberFact
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["REASONS", "clash", "duplicates", "repeated"]

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
    refs = snapshot.view(server).claimants.get(claim, ())
    if len(refs) < 2:
        return
    members = sorted((m for m in map(snapshot.member, refs) if m is not None), key=lambda member: member.seniority)
    fact = snapshot.server(server)
    level = Level.WARNING if fact is not None and fact.prefer_incumbent else Level.ERROR
    for loser in members[1:]:
        yield clash(loser, members[0].ref, server, claim, level=level)


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
