"""PURE. What is served: the catalogs of the MCPServers in files, with the last good version of every object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from cli.manifests import compilations
from crd.compiler.members import compile_member, context_of
from crd.finding import Level
from crd.published import catalogs
from crd.published.settings import Auth
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.dev.memo import Memo
    from cli.manifests.entries import Entry
    from cli.manifests.transaction import Transaction
    from crd.manifest import Object
    from crd.published.catalogs import Catalog
    from crd.ref import Ref

__all__ = ["NOTHING", "Plan", "PlannedServer", "accept", "endpoint_path", "plan"]


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """A server with its catalog, and what a model reads of its tools: bytes and estimated tokens."""

    ref: Ref
    catalog: Catalog
    context: tuple[int, int]

    @property
    def payload(self) -> bytes:
        """The catalog as it is published."""
        return catalogs.dump(self.catalog)


@dataclass(frozen=True, slots=True)
class Plan:
    """``objects`` are in force, ``files`` are where they come from; ``contexts`` is the context of each tool by key."""

    servers: tuple[PlannedServer, ...] = ()
    objects: Mapping[Ref, Object] = field(default_factory=dict)
    files: Mapping[Ref, str] = field(default_factory=dict)
    contexts: Mapping[str, tuple[int, int]] = field(default_factory=dict)


NOTHING = Plan()


def endpoint_path(server: Ref) -> str:
    """Where a server answers: ``/namespace/server/mcp``."""
    return f"/{server.namespace}/{server.name}/mcp"


def accept(
    before: Plan, transaction: Transaction, entries: Iterable[Entry]
) -> tuple[dict[Ref, Object], dict[Ref, str]]:
    """The objects in force after a change, and their files.

    An object with an error is not admitted: the version before it stays in force, as in a cluster. So do the objects of
    a file that cannot be read.
    """
    errors = [entry for entry in entries if entry.level is Level.ERROR]
    refused = {(entry.subject.kind, entry.subject.namespace, entry.subject.name) for entry in errors}
    broken = {entry.place.file for entry in errors if entry.place is not None and not entry.subject.name}
    objects: dict[Ref, Object] = {}
    files: dict[Ref, str] = {}
    for item in transaction.objects:
        ref = item.ref
        good = before.objects.get(ref) if (ref.kind.value, ref.namespace, ref.name) in refused else item
        if good is not None:
            objects[ref] = good
            files[ref] = transaction.origins[ref].source.name
    for ref, item in before.objects.items():
        if ref not in transaction.origins and before.files[ref] in broken:
            objects[ref], files[ref] = item, before.files[ref]
    return objects, files


def plan(
    before: Plan,
    transaction: Transaction,
    entries: Iterable[Entry],
    *,
    origins: tuple[str, ...],
    open_to_all: bool,
    memo: Memo,
) -> Plan:
    """The plan that follows ``before``. ``entries`` are the findings of `check`.

    The settings of a server are those of its spec, except that its endpoint is `endpoint_path`, that it has no host
    name, and that pages of ``origins`` may call it, too. ``open_to_all``: no client is authenticated.
    """
    objects, files = accept(before, transaction, entries)
    snapshot = compilations.snapshot_of(objects.values(), transaction.facts)
    members = compilations.compile_members(
        objects.values(), lambda item: memo.get(("member", id(item)), item, lambda: compile_member(item))
    )
    servers = []
    for ref, compilation in sorted(compilations.compile_servers(objects.values(), members, snapshot).items()):
        catalog = compilation.catalog
        settings = replace(
            catalog.settings,
            path_prefix=endpoint_path(ref),
            hosts=(),
            allowed_origins=(*catalog.settings.allowed_origins, *origins),
            auth=Auth() if open_to_all else catalog.settings.auth,
        )
        context = (compilation.context, compilation.tokens)
        servers.append(PlannedServer(ref, replace(catalog, settings=settings), context))
    contexts = {
        ref.key: memo.get(("context", id(member)), member, partial(context_of, member))
        for ref, member in members.items()
        if ref.kind is Kind.TOOL
    }
    return Plan(tuple(servers), objects, files, contexts)
