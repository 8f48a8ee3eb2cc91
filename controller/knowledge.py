"""What the controller knows without asking: our objects, the Services, and what there is of each server.

Fed by reflectors. Every event becomes keys of work and is forgotten; what is to be done is found anew from what is.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cluster import resources
from cluster.store import Store
from controller import workloads
from controller.world import catalog_name, workload_name
from crd import footprint, manifest, published
from crd.catalog import Catalog
from crd.facts import MemberFact
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.resources import ResourceType
    from crd.facts import Fact
    from crd.manifest import Object

__all__ = ["OWNED", "Knowledge"]

Manifest = dict[str, Any]

OWNED = (
    resources.CONFIG_MAPS,
    resources.SERVICE_ACCOUNTS,
    resources.ROLES,
    resources.ROLE_BINDINGS,
    resources.DEPLOYMENTS,
    resources.SERVICES,
    resources.INGRESSES,
    resources.PODS,
)
_MANAGED = ",".join(f"{key}={value}" for key, value in workloads.MANAGED_BY.items())


class Knowledge:
    """``enqueue`` is called with every reference whose world an event has changed."""

    def __init__(self, enqueue: Callable[[Ref], None]) -> None:
        self.catalog = Catalog()
        self.objects: dict[Ref, Object] = {}
        self._enqueue = enqueue
        self._published: dict[Ref, tuple[str, published.Catalog | None]] = {}
        self.stores: dict[str, Store] = {kind.kind: Store(self._owned_changed) for kind in OWNED}
        self._own = [(kind, None, Store(self._object_changed)) for kind in resources.OURS]
        self._services = (resources.SERVICES, None, Store(self._service_changed))

    @property
    def sinks(self) -> list[tuple[ResourceType, str | None, Store]]:
        """What to reflect: resource type, label selector, sink."""
        owned = [(kind, _MANAGED, self.stores[kind.kind]) for kind in OWNED]
        return [*self._own, self._services, *owned]

    def everything(self) -> list[Ref]:
        """All objects of ours, for a leader that begins."""
        return list(self.objects)

    def existing(self, server: Ref, kind: ResourceType) -> Manifest | None:
        """What there is under the name that a server uses for this kind, as far as it carries our label."""
        name = catalog_name(server.name) if kind is resources.CONFIG_MAPS else workload_name(server.name)
        return self.stores[kind.kind].get(server.namespace, name)

    def pods(self, server: Ref) -> list[Manifest]:
        """The pods of a server that are not on their way out."""
        return [
            pod
            for pod in self.stores["Pod"]
            if _server_of(pod) == server and "deletionTimestamp" not in pod["metadata"]
        ]

    def published(self, server: Ref) -> published.Catalog | None:
        """The catalog last published for a server; None if there is none that can be read."""
        stored = self.existing(server, resources.CONFIG_MAPS)
        if stored is None:
            return None
        version = stored["metadata"]["resourceVersion"]
        known = self._published.get(server)
        if known is None or known[0] != version:
            known = self._published[server] = (version, read_catalog(stored))
        return known[1]

    def _object_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        ref = manifest.decode(new or old or {}).ref
        servers = self._selecting(ref)
        if new is None:
            self.objects.pop(ref, None)
            self.catalog = self.catalog.drop(ref)
            self._published.pop(ref, None)
        else:
            item = self.objects[ref] = manifest.decode(new)
            self.catalog = self.catalog.put(item.fact) if item.fact else self.catalog.drop(ref)
            self._enqueue(ref)
        if old is not None and new is not None and _same_wish(old, new):
            return
        for server in servers | self._selecting(ref):
            self._enqueue(server)
        if ref.kind is Kind.SERVER:
            self._enqueue_members(ref)

    def _selecting(self, ref: Ref) -> set[Ref]:
        member = self.catalog.member(ref)
        return set(self.catalog.selecting(ref.namespace, member.labels)) if member else set()

    def _enqueue_members(self, server: Ref) -> None:
        for ref in self.objects:
            if ref.kind is not Kind.SERVER and ref.namespace == server.namespace:
                self._enqueue(ref)

    def _service_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        before = footprint.service_fact(old) if old else None
        after = footprint.service_fact(new) if new else None
        if before == after:
            return
        fact = after or before
        if fact is None:
            return
        self.catalog = self.catalog.put(after) if after else self.catalog.drop(fact.ref)
        for ref in self._users(fact):
            self._enqueue(ref)
            for server in self._selecting(ref):
                self._enqueue(server)

    def _users(self, service: Fact) -> list[Ref]:
        users = []
        for ref, item in self.objects.items():
            if isinstance(item.fact, MemberFact):
                if any(backend.service == service.ref for backend in item.fact.backends):
                    users.append(ref)
            elif ref.namespace == service.ref.namespace:
                users.append(ref)  # its Redis may be this Service
        return users

    def _owned_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        item = new or old or {}
        server = _server_of(item)
        if server is None:
            return
        if (
            old is not None
            and new is not None
            and old["metadata"].get("resourceVersion") == new["metadata"].get("resourceVersion")
        ):
            return
        self._enqueue(server)
        if item.get("kind") == "ConfigMap":
            for ref in self.catalog.view(server).members:
                self._enqueue(ref)


def read_catalog(stored: Manifest) -> published.Catalog | None:
    """The catalog in a ConfigMap, or None if it cannot be read (then it has no incumbents)."""
    binary = {key: base64.b64decode(value) for key, value in (stored.get("binaryData") or {}).items()}
    try:
        return published.load(published.unpack(stored.get("data") or {}, binary))
    except published.InvalidCatalogError:
        return None


def _server_of(item: Manifest) -> Ref | None:
    metadata = item.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(workloads.SERVER_LABEL)
    return Ref(Kind.SERVER, metadata.get("namespace") or "", name) if name else None


def _same_wish(old: Manifest, new: Manifest) -> bool:
    """Whether only the status, or what the API server keeps of an object, has changed."""
    return bool(
        old.get("spec") == new.get("spec")
        and old["metadata"].get("labels") == new["metadata"].get("labels")
        and old["metadata"].get("uid") == new["metadata"].get("uid")
    )
