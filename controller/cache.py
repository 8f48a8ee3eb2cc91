"""What the controller knows without asking: our objects, the Services, the grants, and what there is of each server.

Fed by reflectors. Every event becomes keys of work and is forgotten; what is to be done is found anew from what is.
What Secrets and ConfigMaps of others hold, and whether they are there, is not its business: it may not list them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import resources
from cluster.store import Store
from controller.planning import incumbents
from controller.planning.state import catalog_name, workload_name
from controller.workloads import blueprint
from crd import extraction, manifest
from crd.facts import GrantFact, MemberFact, ServerFact
from crd.published import catalogs
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cluster.resources import ResourceType
    from crd.facts import Claim
    from crd.manifest import Object

__all__ = ["OWNED", "Knowledge", "Source", "name_of", "read_catalog"]

Manifest = dict[str, Any]

OWNED = (
    resources.CONFIG_MAPS,
    resources.SERVICE_ACCOUNTS,
    resources.ROLES,
    resources.ROLE_BINDINGS,
    resources.NETWORK_POLICIES,
    resources.DEPLOYMENTS,
    resources.AUTOSCALERS,
    resources.DISRUPTION_BUDGETS,
    resources.SERVICES,
    resources.INGRESSES,
    resources.PODS,
)
_MANAGED = ",".join(f"{key}={value}" for key, value in blueprint.MANAGED_BY.items())


@dataclass(frozen=True, slots=True)
class Source:
    """What to reflect, and where to. An optional type may be one that the API server does not have."""

    kind: ResourceType
    sink: Store
    selector: str | None = None
    optional: bool = False


class Knowledge:
    """``enqueue`` is called with every reference whose world an event has changed."""

    def __init__(self, enqueue: Callable[[Ref], None]) -> None:
        self.snapshot = Snapshot().blind_to(Kind.SECRET, Kind.CONFIG_MAP)
        self.objects: dict[Ref, Object] = {}
        self._enqueue = enqueue
        self._holders: dict[Ref, tuple[str, Mapping[Claim, Ref] | None]] = {}
        self._owned = {kind.kind: Store(self._owned_changed) for kind in OWNED}
        self._services = Store(self._service_changed)
        self.sources = (
            *(Source(kind, Store(self._object_changed)) for kind in resources.OURS),
            Source(resources.SERVICES, self._services),
            Source(resources.REFERENCE_GRANTS, Store(self._grant_changed), optional=True),
            *(Source(kind, self._owned[kind.kind], _MANAGED) for kind in OWNED),
        )

    def everything(self) -> list[Ref]:
        """All objects of ours, for a leader that begins."""
        return list(self.objects)

    def existing(self, server: Ref, kind: ResourceType) -> Manifest | None:
        """What there is under the name that a server uses for this kind, as far as it carries our label."""
        return self._owned[kind.kind].get(server.namespace, name_of(server, kind))

    def services(self, *refs: Ref) -> dict[Ref, Manifest]:
        """The manifests of these Services, as far as they exist."""
        found = {ref: self._services.get(ref.namespace, ref.name) for ref in refs}
        return {ref: service for ref, service in found.items() if service is not None}

    def pods(self, server: Ref) -> list[Manifest]:
        """The pods of a server that are not on their way out."""
        return [
            pod
            for pod in self._owned["Pod"]
            if _server_of(pod) == server and "deletionTimestamp" not in pod["metadata"]
        ]

    def holders(self, server: Ref) -> Mapping[Claim, Ref] | None:
        """Who serves what by the catalog last published for a server; None if there is none that can be read."""
        stored = self.existing(server, resources.CONFIG_MAPS)
        if stored is None:
            return None
        version = stored["metadata"]["resourceVersion"]
        known = self._holders.get(server)
        if known is None or known[0] != version:
            catalog = read_catalog(stored)
            known = self._holders[server] = (version, incumbents.holders(catalog) if catalog else None)
        return known[1]

    def _object_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        ref = manifest.decode(new or old or {}).ref
        touched = self._touched(ref)
        if new is None:
            self.objects.pop(ref, None)
            self.snapshot = self.snapshot.drop(ref)
            self._holders.pop(ref, None)
        else:
            item = self.objects[ref] = manifest.decode(new)
            self.snapshot = self.snapshot.put(item.fact) if item.fact else self.snapshot.drop(ref)
            self._enqueue(ref)
        if old is not None and new is not None and _same_wish(old, new):
            return
        for server in touched | self._touched(ref):
            self._enqueue(server)
        if ref.kind is Kind.SERVER:
            self._enqueue_members(ref)

    def _touched(self, ref: Ref) -> set[Ref]:
        """The servers whose world an object is part of: those that select it, or want the same host and path."""
        match self.snapshot.get(ref):
            case MemberFact() as member:
                return set(self.snapshot.selecting(ref.kind, ref.namespace, member.labels))
            case ServerFact(ingress_key=tuple(key)):
                return set(self.snapshot.servers_at(key))
        return set()

    def _enqueue_members(self, server: Ref) -> None:
        for ref in self.objects:
            if ref.kind is not Kind.SERVER and ref.namespace == server.namespace:
                self._enqueue(ref)

    def _enqueue_with_servers(self, refs: Iterable[Ref]) -> None:
        for ref in refs:
            self._enqueue(ref)
            for server in self._touched(ref):
                self._enqueue(server)

    def _service_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        if old is not None and new is not None and old.get("spec") == new.get("spec"):
            return
        fact = extraction.service_fact(new or old or {})
        self.snapshot = self.snapshot.put(fact) if new else self.snapshot.drop(fact.ref)
        self._enqueue_with_servers(
            ref
            for ref, item in list(self.objects.items())
            if item.fact and any(backend.service == fact.ref for backend in item.fact.backends)
        )

    def _grant_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        """Whoever of the namespaces that are let in, or were, calls into the grant's namespace."""
        before, after = (extraction.facts_of_foreign(grant) if grant else None for grant in (old, new))
        grants = [grant for grant in (before, after) if isinstance(grant, GrantFact)]
        for grant in grants:
            self.snapshot = self.snapshot.put(grant) if grant == after else self.snapshot.drop(grant.ref)
        if before == after:
            return
        sources = {source for grant in grants for source in grant.sources}
        targets = {grant.ref.namespace for grant in grants}
        self._enqueue_with_servers(
            ref
            for ref, item in list(self.objects.items())
            if (ref.kind, ref.namespace) in sources
            and item.fact
            and any(backend.service.namespace in targets for backend in item.fact.backends)
        )

    def _owned_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        item = new or old or {}
        server = _server_of(item)
        if server is None or (old is not None and new is not None and _said_the_same(old, new)):
            return
        self._enqueue(server)
        kind = item.get("kind")
        if kind == "ConfigMap" or (kind == "Pod" and (old is None or new is None)):
            for ref in self.snapshot.view(server).members:
                member = self.snapshot.member(ref)
                if kind == "ConfigMap" or (member and member.mounts):
                    self._enqueue(ref)


def name_of(server: Ref, kind: ResourceType) -> str:
    """The name that a server uses for its object of this kind."""
    return catalog_name(server.name) if kind is resources.CONFIG_MAPS else workload_name(server.name)


def read_catalog(stored: Manifest) -> catalogs.Catalog | None:
    """The catalog in a ConfigMap, or None if it cannot be read (then it has no incumbents)."""
    binary = {key: base64.b64decode(value) for key, value in (stored.get("binaryData") or {}).items()}
    try:
        return catalogs.load(catalogs.unpack(stored.get("data") or {}, binary))
    except catalogs.InvalidCatalogError:
        return None


def _server_of(item: Manifest) -> Ref | None:
    metadata = item.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(blueprint.SERVER_LABEL)
    return Ref(Kind.SERVER, metadata.get("namespace") or "", name) if name else None


def _same_wish(old: Manifest, new: Manifest) -> bool:
    """Whether only the status, or what the API server keeps of an object, has changed."""
    return bool(
        old.get("spec") == new.get("spec")
        and old["metadata"].get("labels") == new["metadata"].get("labels")
        and old["metadata"].get("uid") == new["metadata"].get("uid")
    )


def _said_the_same(old: Manifest, new: Manifest) -> bool:
    """Whether nothing has changed that is read here: of anything but a pod, its status is for others."""
    if old.get("kind") == "Pod":
        return bool(old["metadata"].get("resourceVersion") == new["metadata"].get("resourceVersion"))
    return _read(old) == _read(new)


def _read(item: Manifest) -> Manifest:
    metadata = {k: v for k, v in item["metadata"].items() if k not in ("resourceVersion", "generation")}
    return {**{k: v for k, v in item.items() if k != "status"}, "metadata": metadata}
