"""PURE. Tools that real clients and model APIs can use: what each refuses is data in `crd.clients.profiles`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from crd.clients import portability, profiles
from crd.facts import Space
from crd.finding import Finding, Level, Reason
from crd.models.tool import ToolSpec
from crd.ref import Kind
from crd.rules import schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.facts import MemberFact, ServerFact
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["blame_server", "portability_of_tool", "portability_on_server"]


def portability_of_tool(item: Object) -> Iterator[Finding]:
    """An error where an official SDK would lose the tool or the list, and a warning for the other common limits.

    A tool with an invalid schema has that fault only.
    """
    spec = item.spec
    if not isinstance(spec, ToolSpec):
        return
    found = portability.excesses(spec.input_schema, spec.output_schema)
    if found and any(fault.level is Level.ERROR for fault in schemas.invalid_schema(item)):
        found = ()
    for excess in (*portability.name_excesses(item.served_name, ("spec", "name")), *found):
        if not excess.refused and not excess.announced:
            continue
        titles = [client.title for client in excess.clients]
        named = " and ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))
        message = f"{excess.message} (lost in {named}: {excess.loss})"
        level = Level.ERROR if excess.refused else Level.WARNING
        yield Finding.of(Reason.CLIENT_PORTABILITY, item.ref, message, path=excess.path, level=level)


def portability_on_server(server: ServerFact, member: MemberFact) -> Iterator[Finding]:
    """Tools that exceed a limit of a client in the ``spec.clients`` of a server, by their schemas or served names.

    Of an `crd.ledger.intent.essence` no more is known than which clients do not support the schemas.
    """
    if not server.clients or member.ref.kind is not Kind.TOOL:
        return
    found = {client: (path, message) for client, path, message in member.unsupported}
    for claim in member.claims:
        if claim.space is Space.TOOL_NAME:
            for excess in portability.name_excesses(f"{server.prefix}{claim.value}", member.place(claim)):
                for client in excess.names:
                    found.setdefault(client, (excess.path, excess.message))
    for name in server.clients:
        if name in found:
            path, message = found[name]
            told = message or f"its schemas exceed a limit of {profiles.NAMED[name].title}"
            yield Finding.of(
                Reason.CLIENT_PORTABILITY,
                member.ref,
                f"{told} ({server.ref} names {name} in spec.clients)",
                subject=(server.ref.key, name),
                path=path,
                related=(server.ref,),
                level=Level.ERROR,
            )


def blame_server(finding: Finding, server: Ref) -> Finding:
    """The finding about a tool on a server as one about the server, where that is what changes."""
    where = f" {finding.field_path}" if finding.path else ""
    message = f"{finding.ref}{where}: {finding.message}"
    return replace(finding, ref=server, path=("spec", "clients"), message=message, related=(finding.ref,))
