"""The controller's cache: facts of our objects, of Services and grants, and what exists of each server.

Fed by informers. An event becomes keys of work, found by indexes, and is forgotten; what to do is decided anew from the
cache. What Secrets and ConfigMaps of others hold, and whether they exist, is not known: the controller may not list
them.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from rpds import HashTrieMap

from cluster import resources
from cluster.informers.scope import make_informer
from cluster.informers.turns import Turns
from controller import endpoints, kept
from controller.endpoints import Endpoints
from controller.planning.state import catalog_name, workload_name
from controller.workloads import inputs
from crd import extraction, fields
from crd.compiler.known_tools import KnownTools
from crd.facts import GrantFact, ServerFact
from crd.published import signature
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cluster.clock import Clock
    from cluster.informers.scope import ScopedInformer
    from cluster.informers.store import Key
    from cluster.resources import ResourceType
    from cluster.transport import Transport
    from controller.kept import (
        KeptCatalog,
        KeptMember,
        KeptObject,
        KeptPod,
        KeptReadiness,
        KeptReplicaSet,
        KeptServer,
        KeptService,
        KeptSlice,
        Manifest,
        PublishedCatalog,
    )
    from controller.planning.state import Rollout
    from controller.signing.keys import Keys
    from crd.compiler.compilation import Incumbents
    from crd.compiler.members import CompiledMember
    from crd.published.signature import Order

logger = logging.getLogger(__name__)

__all__ = ["WORKLOADS", "Cache", "name_of"]

WORKLOADS = (
    resources.SERVICE_ACCOUNTS,
    resources.ROLES,
    resources.ROLE_BINDINGS,
    resources.NETWORK_POLICIES,
    resources.DEPLOYMENTS,
    resources.AUTOSCALERS,
    resources.DISRUPTION_BUDGETS,
    resources.SERVICES,
    resources.INGRESSES,
)
_MEMBERS = (resources.TOOLS, resources.PROMPTS, resources.RESOURCES)
_MANAGED = ",".join(f"{key}={value}" for key, value in inputs.MANAGED_BY.items())

MemberMap: TypeAlias = "HashTrieMap[Ref, KeptMember]"


class Cache:
    """``enqueue`` is called with every reference whose desired state, or whose existing one, an event has changed.

    ``later`` is called instead where one event may affect many references. ``keys`` gives the keys under which catalogs
    are signed; the informers must not run before there are any. ``seconds`` is Unix time.
    ``foreign`` is called with the plural of every object seen that carries our labels and is not ours; it is ignored.
    With ``namespaces``, objects of other namespaces are not watched, and so do not exist.
    """

    def __init__(
        self,
        transport: Transport,
        enqueue: Callable[[Ref], None],
        *,
        keys: Callable[[], Keys],
        clock: Clock,
        seconds: Callable[[], float],
        later: Callable[[Ref], None] | None = None,
        count: Callable[[str, str], None] = lambda _plural, _end: None,
        foreign: Callable[[str], None] = lambda _plural: None,
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self.snapshot = Snapshot().mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
        # Immutable, so that a compilation that pauses goes on with the members it began with.
        self.members: MemberMap = HashTrieMap()
        self._enqueue = enqueue
        self._enqueue_later = later or enqueue
        self._keys = keys
        self._tools = KnownTools()
        self._seconds = seconds
        self._changed: defaultdict[Ref, set[Ref]] = defaultdict(set)
        self._expected: dict[Ref, PublishedCatalog] = {}
        # The newest catalog of each server that counted, whatever was done to its ConfigMap afterwards.
        self._newest: dict[Ref, PublishedCatalog] = {}

        fields.prepare()
        # Of informers, and of whoever else works through many objects.
        self.turns = Turns(clock.monotonic)

        def informer(resource: ResourceType, keep: Callable[[Manifest], Any], **options: Any) -> ScopedInformer[Any]:
            options = {"namespaces": namespaces, "turns": self.turns, **options}
            return make_informer(transport, resource, keep, clock=clock, count=count, **options)

        def managed(
            resource: ResourceType, keep: Callable[[Manifest], Any], owner: str, **options: Any
        ) -> ScopedInformer[Any]:
            """Of objects that carry our label, and should be controlled by an object of the kind ``owner``."""

            def keep_own(raw: Manifest) -> Any:
                found = keep(raw)
                if found is None or not kept.owner_uid(raw, owner):
                    foreign(resource.plural)
                return found

            return informer(resource, keep_own, label_selector=_MANAGED, **options)

        self._servers: ScopedInformer[KeptServer] = informer(
            resources.SERVERS, kept.keep_server, indexers={"service": lambda server: _services_of(server.fact)}
        )
        self._by_kind: dict[Kind, ScopedInformer[KeptMember]] = {
            Kind(resource.kind): informer(
                resource,
                self._keep_member,
                indexers={
                    "service": lambda member: _services_of(member.fact),
                    "called namespace": lambda member: {ref.namespace for ref in _services_of(member.fact)},
                    "mount": lambda member: {mount.ref for mount in member.fact.mounts} if member.fact else (),
                    "mounts in namespace": lambda member: (
                        (member.ref.namespace,) if member.fact and member.fact.mounts else ()
                    ),
                },
            )
            for resource in _MEMBERS
        }
        self._services: ScopedInformer[KeptService] = informer(resources.SERVICES, kept.keep_service)

        def slices(selector: str, where: tuple[str, ...] = namespaces) -> ScopedInformer[KeptSlice]:
            return informer(
                resources.ENDPOINT_SLICES,
                kept.keep_slice,
                namespaces=where,
                label_selector=selector,
                indexers={"service": lambda each: (each.service,)},
            )

        slices_of_others = slices(endpoints.OF_OTHERS)
        self.endpoints = Endpoints(
            slices_of_others, lambda namespace: slices(endpoints.OF_KUBERNETES, (namespace,)), self._endpoints_changed
        )
        self._ready_slices: ScopedInformer[KeptReadiness] = informer(
            resources.ENDPOINT_SLICES,
            kept.keep_readiness,
            label_selector=endpoints.OF_SERVICES,
            indexers={"service": lambda each: (each.service,)},
        )
        grants: ScopedInformer[GrantFact] = informer(resources.REFERENCE_GRANTS, _keep_grant, optional=True)
        self._workloads: dict[str, ScopedInformer[KeptObject]] = {
            resource.kind: managed(resource, kept.keep_object, Kind.SERVER.value, managed_fields=True)
            for resource in WORKLOADS
        }
        self._catalogs: ScopedInformer[KeptCatalog] = managed(
            resources.CONFIG_MAPS, self._keep_catalog, Kind.SERVER.value, managed_fields=True
        )
        self._pods: ScopedInformer[KeptPod] = managed(
            resources.PODS, kept.keep_pod, "ReplicaSet", indexers={"server": lambda pod: (pod.server,)}
        )
        self._replica_sets: ScopedInformer[KeptReplicaSet] = managed(
            resources.REPLICA_SETS,
            kept.keep_replica_set,
            "Deployment",
            indexers={"server": lambda replica_set: (replica_set.server,)},
        )
        self._servers.on_change(self._server_changed)
        for each in self._by_kind.values():
            each.on_change(self._member_changed)
        self._services.on_change(self._service_changed)
        self._ready_slices.on_change(self._readiness_changed)
        grants.on_change(self._grant_changed)
        for workload in self._workloads.values():
            workload.on_change(self._workload_changed)
        self._catalogs.on_change(self._catalog_changed)
        self._pods.on_change(self._pod_changed)
        self._replica_sets.on_change(self._replica_set_changed)
        self.informers: tuple[ScopedInformer[Any], ...] = (
            self._servers,
            *self._by_kind.values(),
            self._services,
            slices_of_others,
            self._ready_slices,
            grants,
            *self._workloads.values(),
            self._replica_sets,
            self._catalogs,
            self._pods,
        )

    def servers(self) -> Iterator[Ref]:
        """All MCPServers, as of this call."""
        return (server.ref for _, server in self._servers.items())

    def everything(self) -> Iterator[Ref]:
        """All our objects, as of this call, servers first: what a new leader works on."""
        members = [informer.items() for informer in self._by_kind.values()]
        return chain(self.servers(), (member.ref for _, member in chain.from_iterable(members)))

    def server(self, ref: Ref) -> KeptServer | None:
        """The MCPServer, or None."""
        return self._servers.get(ref.namespace, ref.name)

    def member(self, ref: Ref) -> KeptMember | None:
        """The tool, prompt or resource, or None."""
        return self._by_kind[ref.kind].get(ref.namespace, ref.name)

    def take_changed(self, server: Ref) -> set[Ref]:
        """The members of a server that came, went or changed, or whose Services did, since this was last called."""
        return self._changed.pop(server, set())

    def selected(self, server: Ref) -> Callable[[Ref], CompiledMember | None]:
        """The members of a server as of this call, by reference."""
        view, members = self.snapshot.view(server).members, self.members

        def get(ref: Ref) -> CompiledMember | None:
            member = members.get(ref) if ref in view else None
            return member.compiled if member else None

        return get

    def existing(self, server: Ref, kind: ResourceType) -> Manifest | None:
        """What exists under the name that a server uses for this kind, if it carries our label.

        The ConfigMap of the catalog comes without data; of other objects status and resourceVersion are not kept.
        """
        name = name_of(server, kind)
        found = (
            self._catalogs.get(server.namespace, name)
            if kind is resources.CONFIG_MAPS
            else self._workloads[kind.kind].get(server.namespace, name)
        )
        return found.manifest() if found else None

    def rollout(self, server: Ref) -> Rollout | None:
        """How far the Deployment of a server is; None if there is none."""
        found = self._workloads["Deployment"].get(*_workload_key(server))
        return found.rollout if found else None

    def edited(self, server: Ref) -> dict[str, str]:
        """By kind, who else has set fields of the spec of an object that carries the label of a server."""
        found = {kind: each.get(*_workload_key(server)) for kind, each in self._workloads.items()}
        return {kind: each.editor for kind, each in found.items() if each and each.editor}

    def published(self, server: Ref) -> PublishedCatalog | None:
        """The published catalog of a server; None if there is none, or if what its ConfigMap holds does not count."""
        found = self._catalogs.get(server.namespace, catalog_name(server.name))
        return self._of_present(server, found.published if found else None)

    def data_is_foreign(self, server: Ref) -> bool:
        """Whether another field manager than ours wrote the data of the catalog's ConfigMap."""
        found = self._catalogs.get(server.namespace, catalog_name(server.name))
        return found is not None and not found.is_managed

    def incumbents(self, server: Ref) -> Incumbents | None:
        """Who serves what by the newest catalog of ours; None if none is known."""
        newest = self._of_present(server, self._newest.get(server))
        return newest.incumbents if newest else None

    def highest_order(self, server: Ref) -> Order | None:
        """The order that a new catalog of a server has to exceed, None for any."""
        found, newest = self._catalogs.get(server.namespace, catalog_name(server.name)), self._newest.get(server)
        orders = [each.stamp.order for each in (found, newest) if each and each.stamp]
        return max((*orders, *self._reported(server)), default=None)

    def published_order(self, server: Ref) -> Order | None:
        """The order of the newest catalog that is, or was, stored."""
        published = self.published(server)
        stored = [published.stamp.order] if published else []
        return max((*stored, *self._reported(server)), default=None)

    def _reported(self, server: Ref) -> list[Order]:
        """The order of the newest catalog by the status of the server, which only grows."""
        present = self.server(server)
        order = signature.read_order(present.version, self._seconds()) if present else None
        return [] if order is None else [order]

    def _of_present(self, server: Ref, published: PublishedCatalog | None) -> PublishedCatalog | None:
        """A catalog, unless it belongs to a former MCPServer of the name, or is older than the status says."""
        present = self.server(server)
        if published is None or present is None or present.uid != published.uid:
            return None
        return published if all(order <= published.stamp.order for order in self._reported(server)) else None

    def expect(self, server: Ref, published: PublishedCatalog) -> None:
        """This catalog is about to be written; when the watch shows it, it need not be decoded."""
        self._expected[server] = published

    def offer_catalog(self, stored: Manifest, token: int) -> None:
        """The answer to a write of a catalog. ``token`` is from `sequence` before the write."""
        metadata = stored["metadata"]
        self._catalogs.offer_read((metadata["namespace"], metadata["name"]), stored, token)

    def sequence(self) -> int:
        """A token for `offer_catalog`."""
        return self._catalogs.sequence()

    def services(self, refs: Iterable[Ref]) -> dict[Ref, Manifest]:
        """These Services, as far as they exist: the members of their specs that a NetworkPolicy depends on."""
        found = {ref: self._services.get(ref.namespace, ref.name) for ref in set(refs)}
        return {ref: service.manifest() for ref, service in found.items() if service is not None}

    def deserted(self, services: Iterable[Ref]) -> set[Ref]:
        """Those of the Services that exist and have no ready endpoint."""
        return {
            ref
            for ref in services
            if self._services.get(ref.namespace, ref.name) and not self._ready_slices.has("service", ref)
        }

    def pods(self, server: Ref) -> list[KeptPod]:
        """The pods of a server's Deployment without a deletionTimestamp. Others that carry its label are not ours."""
        deployment, present = self._workloads["Deployment"].get(*_workload_key(server)), self.server(server)
        if deployment is None or present is None or deployment.owner != present.uid:
            return []
        replica_sets = {each.uid for each in self._replica_sets.by("server", server) if each.owner == deployment.uid}
        return [pod for pod in self._pods.by("server", server) if pod.owner in replica_sets and not pod.going]

    def _keep_member(self, raw: Manifest) -> KeptMember:
        metadata = raw["metadata"]
        known = self._by_kind[raw["kind"]].get(metadata["namespace"], metadata["name"])
        return kept.keep_member(raw, known, self._tools)

    def _keep_catalog(self, raw: Manifest) -> KeptCatalog | None:
        metadata = raw["metadata"]
        before = self._catalogs.get(metadata["namespace"], metadata["name"])
        server = Ref(Kind.SERVER, metadata["namespace"], (metadata.get("labels") or {}).get(inputs.SERVER_LABEL) or "")
        known = [before.published] if before and before.published else []
        known += [each[server] for each in (self._expected, self._newest) if server in each]
        fact, keys = self.snapshot.server(server), self._keys()
        newest = self._newest.get(server)
        floor = newest.stamp if newest and newest.root == keys.argument else None
        return kept.keep_catalog(raw, known, fact.prefix if fact else "", keys.public, floor)

    def _member_changed(self, _key: Key, old: KeptMember | None, new: KeptMember | None) -> None:
        ref = _one_of(old, new).ref
        before = self._servers_of(ref)
        fact = new.fact if new else None
        self.snapshot = self.snapshot.put(fact) if fact else self.snapshot.drop(ref)
        if new is None or new.going:
            self.members = self.members.discard(ref) if ref in self.members else self.members
        else:
            self.members = self.members.insert(ref, new)
            self._enqueue(ref)
        if old and new and old.compiled is new.compiled and old.going == new.going:
            return
        for service in _services_of(old.fact if old else None) ^ _services_of(fact):
            self._watch_endpoints(service)
        self._mark(ref, before | self._servers_of(ref))

    def _server_changed(self, _key: Key, old: KeptServer | None, new: KeptServer | None) -> None:
        ref = _one_of(old, new).ref
        before, members_before = self.snapshot.server(ref), set(self.snapshot.view(ref).members)
        fact = new.fact if new else None
        self.snapshot = self.snapshot.put(fact) if fact else self.snapshot.drop(ref)
        self._enqueue(ref)
        if new is None:
            self._changed.pop(ref, None)
            self._expected.pop(ref, None)
            self._newest.pop(ref, None)
        if new and old and new.serving is not old.serving:
            for member in self.snapshot.view(ref).members:
                self._enqueue_later(member)
        if before == fact:
            return
        for service in _services_of(before) ^ _services_of(fact):
            self._watch_endpoints(service)
        members = set(self.snapshot.view(ref).members)
        for member in members_before ^ members:
            self._enqueue(member)
            if new is not None:
                self._changed[ref].add(member)
        for each in (before, fact):
            if isinstance(each, ServerFact) and each.ways_in:
                for neighbour in self.snapshot.servers_met(each.ways_in):
                    self._enqueue(neighbour)

    def _service_changed(self, _key: Key, old: KeptService | None, new: KeptService | None) -> None:
        if old == new:
            return
        ref = _one_of(old, new).fact.ref
        self._watch_endpoints(ref)
        self._judge_service(ref)

    def _endpoints_changed(self, service: Ref) -> None:
        known, found = self.snapshot.service(service), self.endpoints.forbidden(service)
        if known is not None and known.forbidden != found:
            self._judge_service(service)

    def _readiness_changed(self, _key: Key, old: KeptReadiness | None, new: KeptReadiness | None) -> None:
        """A Service has got its first ready endpoint, or lost the last one, perhaps."""
        for service in {each.service for each in (old, new) if each} if old != new else ():
            for informer in self._by_kind.values():
                for member in informer.by("service", service):
                    self._enqueue_later(member.ref)

    def _judge_service(self, ref: Ref) -> None:
        """Put the facts of a Service and its endpoints into the snapshot, and queue who calls it."""
        found = self._services.get(ref.namespace, ref.name)
        fact = replace(found.fact, forbidden=self.endpoints.forbidden(ref)) if found else None
        self.snapshot = self.snapshot.put(fact) if fact else self.snapshot.drop(ref)
        for server in self._servers.by("service", ref):
            self._enqueue(server.ref)
        for informer in self._by_kind.values():
            for member in informer.by("service", ref):
                self._enqueue(member.ref)
                self._mark(member.ref, self._servers_of(member.ref))

    def _watch_endpoints(self, service: Ref) -> None:
        """Only the endpoints of Services that are called and have no selector need a watch of their own."""
        found = self._services.get(service.namespace, service.name)
        informers: tuple[ScopedInformer[Any], ...] = (self._servers, *self._by_kind.values())
        is_called = found is not None and not found.selects and any(each.has("service", service) for each in informers)
        self.endpoints.need(service, needed=is_called)

    def _grant_changed(self, _key: Key, old: GrantFact | None, new: GrantFact | None) -> None:
        """Members in the namespaces that are let in, or were, which call into the grant's namespace."""
        if old == new:
            return
        ref = _one_of(old, new).ref
        self.snapshot = self.snapshot.put(new) if new else self.snapshot.drop(ref)
        sources = {source for grant in (old, new) if grant for source in grant.sources}
        for kind, informer in self._by_kind.items():
            for member in informer.by("called namespace", ref.namespace):
                if (kind, member.ref.namespace) in sources:
                    self._enqueue(member.ref)
                    self._mark(member.ref, self._servers_of(member.ref))

    def _workload_changed(self, _key: Key, old: KeptObject | None, new: KeptObject | None) -> None:
        if old != new:
            for each in {item.server for item in (old, new) if item}:
                self._enqueue(each)

    def _catalog_changed(self, _key: Key, old: KeptCatalog | None, new: KeptCatalog | None) -> None:
        server = _one_of(old, new).server
        before = self._newest.get(server)
        if new and new.published:
            self._newest[server] = new.published
        elif new:
            logger.warning("ConfigMap %s/%s does not count: %s", server.namespace, catalog_name(server.name), new.fault)
        if old and new and (old.stored, old.fault) == (new.stored, new.fault):
            if old.packed != new.packed:
                self._enqueue(server)
            return
        expected = self._expected.get(server)
        if expected and new and new.published and expected.stored == new.stored:
            return
        self._enqueue(server)
        if new is None or new.published is None:
            return
        # Somebody else, another leader perhaps, has changed what is served; the members' statuses say it.
        held, holds = before.incumbents if before else None, new.published.incumbents
        for member in _moved(held, holds) if held else self.snapshot.view(server).members:
            self._enqueue(member)

    def _pod_changed(self, _key: Key, old: KeptPod | None, new: KeptPod | None) -> None:
        if old == new:
            return
        server = _one_of(old, new).server
        self._enqueue(server)
        if old and new and (old.mounted, old.going) == (new.mounted, new.going):
            return
        self._enqueue_mounting(server)

    def _replica_set_changed(self, _key: Key, old: KeptReplicaSet | None, new: KeptReplicaSet | None) -> None:
        """Which pods are the server's may depend on it."""
        if old != new:
            server = _one_of(old, new).server
            self._enqueue(server)
            self._enqueue_mounting(server)

    def _enqueue_mounting(self, server: Ref) -> None:
        """The members whose statuses depend on what the pods of a server mount."""
        for informer in self._by_kind.values():
            for member in informer.by("mounts in namespace", server.namespace):
                if server in self._servers_of(member.ref):
                    self._enqueue(member.ref)

    def _mark(self, member: Ref, servers: Iterable[Ref]) -> None:
        for server in servers:
            self._changed[server].add(member)
            self._enqueue(server)

    def _servers_of(self, ref: Ref) -> set[Ref]:
        """The servers that select a member."""
        fact = self.snapshot.member(ref)
        return set(self.snapshot.selecting(ref.kind, ref.namespace, fact.labels)) if fact else set()


def name_of(server: Ref, kind: ResourceType) -> str:
    """The name that a server uses for its object of this kind."""
    return catalog_name(server.name) if kind is resources.CONFIG_MAPS else workload_name(server.name)


def _workload_key(server: Ref) -> Key:
    return server.namespace, workload_name(server.name)


def _keep_grant(raw: Manifest) -> GrantFact | None:
    fact = extraction.facts_of_foreign(raw)
    return fact if isinstance(fact, GrantFact) else None


def _services_of(fact: Any) -> set[Ref]:
    return {backend.service for backend in fact.backends} if fact is not None else set()


def _moved(old: Incumbents, new: Incumbents) -> Iterator[Ref]:
    """Who holds a claim by one of two catalogs, and not by the other."""
    for one, other in ((old.holders, new.holders), (new.holders, old.holders)):
        for claim, ref in one.items():
            if other.get(claim) != ref or old.prefix != new.prefix:
                yield ref


def _one_of(old: Any, new: Any) -> Any:
    """The newer of two states of which one may be None."""
    return new if new is not None else old
