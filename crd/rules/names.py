"""PURE. What one server serves, it serves under distinct names, URIs and paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.facts import Claim, Space
from crd.finding import Finding, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.catalog import Catalog
    from crd.ref import Ref

__all__ = ["REASONS", "clash", "duplicates", "path_of"]

REASONS = {
    Space.TOOL_NAME: Reason.DUPLICATE_NAME,
    Space.PROMPT_NAME: Reason.DUPLICATE_NAME,
    Space.URI: Reason.DUPLICATE_URI,
    Space.DOOR: Reason.DUPLICATE_INGRESS_PATH,
}

_PATHS: dict[Space, tuple[str, ...]] = {
    Space.TOOL_NAME: ("spec", "name"),
    Space.PROMPT_NAME: ("spec", "name"),
    Space.URI: ("spec", "content", "uri"),
    Space.DOOR: ("spec", "ingressPath"),
}


def path_of(claim: Claim) -> tuple[str, ...]:
    """The field that makes a claim, for a member that is not an operation."""
    return _PATHS[claim.space]


def duplicates(catalog: Catalog, server: Ref, claim: Claim) -> Iterator[Finding]:
    """Every holder of a claim on one server but the rightful one: the eldest, then by name."""
    refs = catalog.view(server).holders.get(claim, ())
    if len(refs) < 2:
        return
    members = sorted((m for m in map(catalog.member, refs) if m is not None), key=lambda member: member.seniority)
    for loser in members[1:]:
        yield clash(loser.ref, members[0].ref, server, claim)


def clash(blamed: Ref, other: Ref, server: Ref, claim: Claim, path: tuple[str | int, ...] = ()) -> Finding:
    """The finding that one object cannot be served because another one already is."""
    field = path or path_of(claim)
    dotted = ".".join(map(str, field)) if field[0] == "spec" else ".".join(path_of(claim))
    message = f'{other} already serves "{claim.value}" on {server}; change {dotted} or the labels of one of them'
    return Finding.of(
        REASONS[claim.space],
        blamed,
        message,
        subject=(server.key, claim.space.value, claim.value),
        path=field,
        related=(other, server),
    )
