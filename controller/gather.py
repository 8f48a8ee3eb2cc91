"""Every read of a reconcile: what the cache has, and what has to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import objects, resources
from controller import pinned
from controller.cache import WORKLOADS, name_of
from controller.planning.state import MemberState, Pod, ServerState
from controller.workloads import children, network
from crd.facts import ServerFact
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.transport import Transport
    from controller.cache import Cache
    from controller.kept import KeptMember
    from controller.signing.keys import Keys
    from crd.compiler.compilation import Compilation
    from crd.manifest import Object
    from crd.published.pins import Verdict
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["member_state", "server_state"]


async def server_state(
    transport: Transport,
    cache: Cache,
    server: Object,
    snapshot: Snapshot,
    compilation: Compilation | None,
    reported: Mapping[str, str | None],
    *,
    keys: Keys,
    image: str,
    now: str,
    arguments: tuple[str, ...] = (),
    is_behind: bool = False,
) -> ServerState:
    """The state of an MCPServer. ``reported`` has the last answers of its pods, by uid."""
    ref, spec = server.ref, server.spec
    needed = children.desired(spec) if isinstance(spec, ServerSpec) else frozenset()
    existing: dict[str, dict[str, Any]] = {}
    for kind in (resources.CONFIG_MAPS, *WORKLOADS):
        found = cache.existing(ref, kind)
        if found is None and (kind is resources.CONFIG_MAPS or kind.kind in needed):
            # No watch shows an object without our label that has the name we would use.
            found = await objects.get(transport, kind, ref.namespace, name_of(ref, kind))
        if found is not None:
            existing[kind.kind] = found
    published = cache.published(ref)
    # One that is signed with a former key is signed again.
    is_current = published and (published.root, published.stamp.generation) == (keys.argument, keys.generation)
    own = [backend.service for backend in server.fact.backends] if isinstance(server.fact, ServerFact) else []
    called = [service for service, _ in compilation.backends] if compilation else []
    return ServerState(
        server=server,
        snapshot=snapshot,
        compilation=compilation,
        stored_digest=published.digest if published and is_current else None,
        data_is_foreign=cache.data_is_foreign(ref),
        existing=existing,
        pods=tuple(
            Pod(pod.name, pod.ready, reported.get(pod.uid), not pod.ready or pod.uid in reported, pod.trouble)
            for pod in cache.pods(ref)
        ),
        services=cache.services((network.API_SERVER, *own, *called)),
        image=image,
        catalog_root=keys.argument,
        now=now,
        arguments=arguments,
        rollout=cache.rollout(ref),
        is_behind=is_behind,
        edited=cache.edited(ref),
    )


def member_state(
    cache: Cache, ref: Ref, verdicts: Mapping[Ref, Mapping[Ref, Verdict]], *, now: str
) -> MemberState | None:
    """The state of a tool, prompt or resource; None if it is gone, or has a deletionTimestamp.

    ``verdicts`` has what the pods of each server found of its pinned tools.
    """
    member = cache.member(ref)
    if member is None or member.going:
        return None
    fact = member.fact
    servers = tuple(cache.snapshot.selecting(ref.kind, ref.namespace, fact.labels)) if fact else ()
    return MemberState(
        member,
        cache.snapshot,
        {server: found.holders if (found := cache.incumbents(server)) else None for server in servers},
        {server: missing for server in servers if (missing := _unmounted(cache, server, member))},
        {server: known.serving for server in servers if (known := cache.server(server))},
        tuple(sorted(cache.deserted({backend.service for backend in fact.backends}))) if fact else (),
        now,
        pinned.join(verdicts[server][ref] for server in servers if ref in verdicts.get(server, {})),
    )


def _unmounted(cache: Cache, server: Ref, member: KeptMember) -> tuple[Ref, ...]:
    """What a member reads and some pod of a server does not have yet."""
    desired = {mount.ref for mount in member.fact.mounts} if member.fact else set()
    if not desired:
        return ()
    pods = cache.pods(server)
    return tuple(sorted(ref for ref in desired if not all(ref in pod.mounted for pod in pods)))
