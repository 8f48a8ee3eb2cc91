"""PURE. Level 0 of integrity: what one server serves, whatever was admitted.

The result cannot hold two entries of one name, URI or REST path. The incumbents of the published catalog come first,
then the eldest object, then the order of names; a loser is named in a finding and not served under that name. An
object that is invalid although it is stored (the webhook was away) is left out and does not harm the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crd import integrity
from crd.compiler import assembly
from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.finding import Finding, Level, Reason
from crd.models.prompt import PromptSpec
from crd.models.resource import ResourceSpec, template_of
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.published import catalogs
from crd.ref import Kind, Ref
from crd.rules import references, servers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from crd.manifest import Object
    from crd.published import entries
    from crd.snapshot import Snapshot

__all__ = ["Compilation", "compile_server"]


_NAMES = (Space.TOOL_NAME, Space.PROMPT_NAME)


@dataclass(frozen=True, slots=True)
class Compilation:
    """The catalog to publish, and the findings about members: conflicts lost, faults, backends that are missing."""

    catalog: catalogs.Catalog
    rejected: tuple[Finding, ...]
    unresolved: tuple[Finding, ...]


def compile_server(
    server: Object, members: Iterable[Object], snapshot: Snapshot, incumbents: catalogs.Catalog | None
) -> Compilation:
    """Compile the members that ``server`` selects.

    ``snapshot`` gives the Services; ``incumbents`` is the catalog published last, whose entries keep their names.
    Raises ValueError if the server's own spec cannot be read.
    """
    if not isinstance(server.spec, ServerSpec):
        raise ValueError(  # noqa: TRY004 -- the value of a field, not a type, is at fault
            f"{server.ref} cannot be compiled: {[str(p) for p in server.problems]}"
        )
    prefix = server.spec.name_prefix
    sound, rejected = _sorted_out(server.fact, snapshot, members)
    holders = _holders(server.ref, sound, _incumbents(incumbents, prefix), rejected)
    served = [_Served(item, item.fact, holders, prefix) for item in sound if isinstance(item.fact, MemberFact)]
    unresolved = tuple(finding for member in served for finding in references.backends(snapshot, member.fact))
    return Compilation(
        catalogs.Catalog(
            server=server.ref.key,
            settings=assembly.server_settings(server.spec),
            tools=tuple(sorted((t for s in served for t in s.tools(snapshot)), key=lambda tool: tool.name)),
            prompts=tuple(sorted((p for s in served for p in s.prompts()), key=lambda prompt: prompt.name)),
            resources=tuple(sorted((r for s in served for r in s.resources()), key=lambda resource: resource.uri)),
            http_resources=tuple(
                sorted((r for s in served for r in s.http_resources(snapshot)), key=lambda resource: resource.uri)
            ),
            operations=tuple(
                sorted(
                    (o for s in served for o in s.operations(snapshot)),
                    key=lambda o: (o.ingress_path, o.method, o.name),
                )
            ),
            prefix=prefix,
        ),
        tuple(rejected),
        unresolved,
    )


def _sorted_out(server: object, snapshot: Snapshot, members: Iterable[Object]) -> tuple[list[Object], list[Finding]]:
    """The members that can be served, by seniority, and what is wrong with the others."""
    sound: list[tuple[tuple[str, Ref, str], Object]] = []
    rejected: list[Finding] = []
    for item in members:
        faults = [f for rule in integrity.OBJECT_RULES for f in rule(item) if f.reason is not Reason.UNKNOWN_FIELD]
        if isinstance(item.fact, MemberFact):
            faults += references.backends(snapshot, item.fact)
            faults += servers.prefixed_names(server, item.fact) if isinstance(server, ServerFact) else ()
        errors = [fault for fault in faults if fault.level is Level.ERROR]
        if isinstance(item.fact, MemberFact) and not errors:
            sound.append((item.fact.seniority, item))
        rejected += errors
    return [item for _, item in sorted(sound, key=lambda pair: pair[0])], rejected


def _incumbents(catalog: catalogs.Catalog | None, prefix: str) -> Mapping[Claim, str]:
    """Who holds each claim in a published catalog, as ``kind namespace/name``. Claims hold no prefix.

    Names are read with the prefix that they were published with, so that another prefix moves no name to another
    object. ``prefix`` is the server's present one, for a catalog that does not record its own.
    """
    if catalog is None:
        return {}
    prefix = prefix if catalog.prefix is None else catalog.prefix
    held: dict[Claim, str] = {}
    for tool in catalog.tools:
        held[Claim(Space.TOOL_NAME, tool.name.removeprefix(prefix))] = f"{Kind.TOOL} {tool.source}"
    for prompt in catalog.prompts:
        held[Claim(Space.PROMPT_NAME, prompt.name.removeprefix(prefix))] = f"{Kind.PROMPT} {prompt.source}"
    held |= {Claim(Space.URI, entry.uri): f"{Kind.RESOURCE} {entry.source}" for entry in catalog.resources}
    held |= {Claim(Space.URI, entry.uri): f"{Kind.RESOURCE} {entry.source}" for entry in catalog.http_resources}
    for tool in catalog.tools:
        held[Claim(Space.REST_PATH, f"POST {tool.ingress_path}")] = f"{Kind.TOOL} {tool.source}"
    for prompt in catalog.prompts:
        held[Claim(Space.REST_PATH, f"GET {prompt.ingress_path}")] = f"{Kind.PROMPT} {prompt.source}"
    for operation in catalog.operations:
        held[Claim(Space.URI, operation.uri_template)] = f"{Kind.RESOURCE} {operation.source}"
        held[Claim(Space.REST_PATH, f"{operation.method} {operation.ingress_path}")] = (
            f"{Kind.RESOURCE} {operation.source}"
        )
    return held


def _holders(
    server: Ref, sound: list[Object], incumbents: Mapping[Claim, str], rejected: list[Finding]
) -> dict[Claim, Ref]:
    """The holder of each claim; losers are added to ``rejected``. An object without a name holds no REST path."""
    members = [item.fact for item in sound if isinstance(item.fact, MemberFact)]
    holders: dict[Claim, Ref] = {}
    for spaces in (_NAMES, (Space.URI,), (Space.REST_PATH,)):
        named = [member for member in members if all(holders.get(c, member.ref) == member.ref for c in _names(member))]
        for loser, claim in _allot(named, spaces, incumbents, holders):
            rejected.append(_conflict(loser, holders[claim], server, claim))
    return holders


def _names(member: MemberFact) -> Iterator[Claim]:
    return (claim for claim in member.claims if claim.space in _NAMES)


def _allot(
    members: list[MemberFact], spaces: Collection[Space], incumbents: Mapping[Claim, str], holders: dict[Claim, Ref]
) -> Iterator[tuple[Ref, Claim]]:
    """Fill in the holder of every claim of these spaces; gives who loses what."""
    present = {str(member.ref): member for member in members}
    for member in members:
        for claim in member.claims:
            if claim.space not in spaces:
                continue
            incumbent = present.get(incumbents.get(claim, ""))
            if incumbent is not None and claim in incumbent.claims:
                holders.setdefault(claim, incumbent.ref)
            if holders.setdefault(claim, member.ref) != member.ref:
                yield member.ref, claim


def _conflict(loser: Ref, winner: Ref, server: Ref, claim: Claim) -> Finding:
    message = f'{winner} already serves the {claim.space.value} "{claim.value}" on {server}; rename one of the two'
    subject = (server.key, claim.space.value, claim.value)
    return Finding.of(Reason.NAME_CONFLICT, loser, message, subject=subject, related=(winner, server))


@dataclass(frozen=True, slots=True)
class _Served:
    """One member as far as it holds its claims."""

    item: Object
    fact: MemberFact
    holders: Mapping[Claim, Ref]
    prefix: str

    def _holds(self, space: Space, value: str) -> bool:
        return self.holders.get(Claim(space, value)) == self.item.ref

    def _rest_path(self, method: str, path: str | None) -> str:
        return path if path and self._holds(Space.REST_PATH, f"{method} {path}") else ""

    @property
    def _served_name(self) -> str:
        return f"{self.prefix}{self.item.served_name}"

    def tools(self, snapshot: Snapshot) -> Iterator[entries.Tool]:
        spec = self.item.spec
        if isinstance(spec, ToolSpec) and self._holds(Space.TOOL_NAME, self.item.served_name):
            rest_path = self._rest_path("POST", spec.ingress_path)
            yield assembly.tool(self.item.ref, self._served_name, spec, snapshot, rest_path)

    def prompts(self) -> Iterator[entries.Prompt]:
        spec = self.item.spec
        if isinstance(spec, PromptSpec) and self._holds(Space.PROMPT_NAME, self.item.served_name):
            yield assembly.prompt(self.item.ref, self._served_name, spec, self._rest_path("GET", spec.ingress_path))

    def resources(self) -> Iterator[entries.InlineResource]:
        spec = self.item.spec
        if isinstance(spec, ResourceSpec) and spec.content and self._holds(Space.URI, spec.content.uri):
            yield assembly.inline_resource(self.item.ref, self.item.served_name, spec)

    def http_resources(self, snapshot: Snapshot) -> Iterator[entries.HttpResource]:
        spec = self.item.spec
        if isinstance(spec, ResourceSpec) and spec.http is not None:
            uri = spec.uri or spec.uri_template or ""
            if self._holds(Space.URI, uri):
                yield assembly.http_resource(self.item.ref, self.item.served_name, spec, snapshot)

    def operations(self, snapshot: Snapshot) -> Iterator[entries.Operation]:
        spec, ref, name = self.item.spec, self.item.ref, self.item.served_name
        if not isinstance(spec, ResourceSpec):
            return
        for wanted in spec.operations or ():
            template = template_of(name, wanted) if wanted.method == "GET" else ""
            uri = template if template and self._holds(Space.URI, template) else ""
            rest_path = self._rest_path(wanted.method, wanted.ingress_path)
            if uri or rest_path:
                yield assembly.operation(ref, name, spec, wanted, snapshot, uri=uri, rest_path=rest_path)
