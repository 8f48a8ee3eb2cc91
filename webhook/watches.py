"""What the webhook watches, and how it gets into the live snapshot: as facts, one informer for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import resources
from cluster.informers.scope import make_informer
from cluster.informers.turns import Turns
from crd import extraction, manifest
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.clock import Clock
    from cluster.informers.informer import Manifest
    from cluster.informers.scope import ScopedInformer
    from cluster.informers.store import Key
    from cluster.transport import Transport
    from crd.facts import Fact, MemberFact, ServerFact
    from webhook.live_snapshot import LiveSnapshot

__all__ = ["WATCHED", "informers"]

WATCHED = {
    Kind.SERVICE: resources.SERVICES,
    Kind.SERVER: resources.SERVERS,
    Kind.TOOL: resources.TOOLS,
    Kind.PROMPT: resources.PROMPTS,
    Kind.RESOURCE: resources.RESOURCES,
    Kind.GRANT: resources.REFERENCE_GRANTS,
}


def informers(
    transport: Transport,
    live: LiveSnapshot,
    clock: Clock,
    count: Callable[[str, str], None],
    namespaces: tuple[str, ...] = (),
    fact_of: Callable[[Manifest], MemberFact | ServerFact | None] = manifest.fact_of,
) -> dict[Kind, ScopedInformer[Fact]]:
    """An informer for each kind, to be run by the caller. ``count`` as for an `Informer`.

    With ``namespaces``, only these are watched. ``fact_of`` gives the facts of an object of our kinds.
    """

    def keep_of(kind: Kind) -> Callable[[Manifest], Fact | None]:
        # An object whose spec cannot be read, because it was stored under an older schema, has no facts.
        return fact_of if kind in manifest.OURS else extraction.facts_of_foreign

    turns = Turns(clock.monotonic)
    return {kind: _informer(transport, kind, keep_of(kind), live, clock, count, namespaces, turns) for kind in WATCHED}


def _informer(
    transport: Transport,
    kind: Kind,
    keep: Callable[[Manifest], Fact | None],
    live: LiveSnapshot,
    clock: Clock,
    count: Callable[[str, str], None],
    namespaces: tuple[str, ...],
    turns: Turns,
) -> ScopedInformer[Fact]:
    informer: ScopedInformer[Fact] = make_informer(
        transport,
        WATCHED[kind],
        keep,
        clock=clock,
        optional=kind is Kind.GRANT,
        count=count,
        namespaces=namespaces,
        turns=turns,
    )

    def feed(key: Key, old: Fact | None, new: Fact | None) -> None:
        ref, version = Ref(kind, *key), informer.changed_at(*key)
        if new is None:
            # What a list lacks was deleted before it: its version is that of the list, and no other watch may reach it
            # for a while.
            live.observe_deletion(ref, None if informer.is_listing(ref.namespace) else version, getattr(old, "uid", ""))
        else:
            live.observe(ref, new, version, getattr(new, "uid", ""))

    informer.on_change(feed)
    return informer
