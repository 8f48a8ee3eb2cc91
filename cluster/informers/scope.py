"""Where a program watches: the whole cluster, or some namespaces, each with an informer of its own.

A ServiceAccount with Roles in some namespaces may not list the whole cluster. `NamespaceInformers` has the interface of
one `cluster.informers.informer.Informer`, so what uses an informer does not depend on the scope.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from cluster.informers import informer as informers
from cluster.informers import versions
from cluster.informers.informer import Informer
from cluster.informers.store import Ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from cluster.informers.informer import Manifest
    from cluster.informers.store import Handler, Key
    from cluster.informers.versions import Version
    from cluster.resources import ResourceType
    from cluster.transport import Transport

__all__ = ["NamespaceInformers", "ScopedInformer", "make_informer"]

T = TypeVar("T")


class NamespaceInformers(Generic[T]):
    """One resource type in several namespaces. Objects of other namespaces do not exist for it."""

    def __init__(self, resource: ResourceType, by_namespace: Mapping[str, Informer[T]], ticks: Ticks) -> None:
        self.resource = resource
        self.synced = _AllSynced([each.synced for each in by_namespace.values()])
        self._by_namespace = by_namespace
        self._ticks = ticks

    def on_change(self, handler: Handler[T]) -> None:
        """See `Informer.on_change`."""
        for each in self._by_namespace.values():
            each.on_change(handler)

    def get(self, namespace: str, name: str) -> T | None:
        """See `Informer.get`."""
        found = self._by_namespace.get(namespace)
        return None if found is None else found.get(namespace, name)

    def changed_at(self, namespace: str, name: str) -> Version | None:
        """See `Informer.changed_at`."""
        found = self._by_namespace.get(namespace)
        return None if found is None else found.changed_at(namespace, name)

    @property
    def reached(self) -> Version | None:
        """The version up to which every change in all namespaces has been seen; None while one has to be listed."""
        oldest: Version | None = None
        for each in self._by_namespace.values():
            if each.reached is None:
                return None
            if oldest is None or versions.is_older(each.reached, oldest):
                oldest = each.reached
        return oldest

    def covers(self, namespace: str) -> bool:
        """See `Informer.covers`."""
        return namespace in self._by_namespace

    def is_listing(self, namespace: str) -> bool:
        """See `Informer.is_listing`, for one namespace."""
        found = self._by_namespace.get(namespace)
        return found is None or found.is_listing(namespace)

    def by(self, index: str, value: Hashable) -> list[T]:
        """See `Informer.by`."""
        return [item for each in self._by_namespace.values() for item in each.by(index, value)]

    def has(self, index: str, value: Hashable) -> bool:
        """See `Informer.has`."""
        return any(each.has(index, value) for each in self._by_namespace.values())

    def items(self) -> Iterator[tuple[Key, T]]:
        """See `Informer.items`."""
        return chain.from_iterable([each.items() for each in self._by_namespace.values()])

    def __len__(self) -> int:
        return sum(map(len, self._by_namespace.values()))

    def sequence(self) -> int:
        """See `Informer.sequence`."""
        return self._ticks.last

    def offer_read(self, key: Key, manifest: Manifest | None, token: int) -> bool:
        """See `Informer.offer_read`."""
        found = self._by_namespace.get(key[0])
        return found is not None and found.offer_read(key, manifest, token)

    def silent_for(self) -> float:
        """The longest of `Informer.silent_for`."""
        return max(each.silent_for() for each in self._by_namespace.values())

    def unready(self) -> str | None:
        """See `Informer.unready`."""
        return informers.unready([*self._by_namespace.values()])

    async def run(self) -> None:
        """List and watch every namespace until cancelled."""
        await asyncio.gather(*(each.run() for each in self._by_namespace.values()))


class _AllSynced:
    """Like an event that is set once all others are."""

    def __init__(self, events: list[asyncio.Event]) -> None:
        self._events = events

    def is_set(self) -> bool:
        return all(each.is_set() for each in self._events)

    async def wait(self) -> None:
        for each in self._events:
            await each.wait()


ScopedInformer: TypeAlias = "Informer[T] | NamespaceInformers[T]"


def make_informer(
    transport: Transport,
    resource: ResourceType,
    keep: Callable[[Manifest], T | None],
    *,
    namespaces: tuple[str, ...] = (),
    **options: Any,
) -> ScopedInformer[T]:
    """An informer of these namespaces, or of the whole cluster if there are none; ``options`` as for `Informer`."""
    if not namespaces:
        return Informer(transport, resource, keep, **options)
    ticks = Ticks()
    made = {
        namespace: Informer(transport, resource, keep, namespace=namespace, ticks=ticks, **options)
        for namespace in namespaces
    }
    return NamespaceInformers(resource, made, ticks)
