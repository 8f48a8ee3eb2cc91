"""PURE. From what is to what is to be done: the whole of the controller's decisions.

A plan is a list of actions in order. What already stands as wished is no action, so a second reconcile writes nothing.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from controller.planning import incumbents
from controller.planning.drift import covers
from controller.planning.state import catalog_name
from controller.workloads import blueprint, deployment, inventory, mounts, scaling
from controller.workloads.blueprint import Blueprint
from crd.compiler import compilation
from crd.facts import MemberFact, ServerFact
from crd.models.server import ServerSpec
from crd.published import catalogs
from crd.rules import servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from controller.planning.state import ServerWorld
    from crd.compiler.compilation import Compilation
    from crd.facts import BackendRef
    from crd.ref import Ref

__all__ = ["Action", "Apply", "Plan", "Publish", "Remove", "Scale", "compiled", "plan_server", "taken", "wished"]

COMPRESS_ABOVE = 256 * 1024
APPLIED = "mcp.example.com/applied"


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the catalog; with a resourceVersion it replaces only that state, without one it must not exist yet."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of one object."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scale:
    """Server-side apply of the number of pods, by a manager of its own.

    A field goes back to its default when the last manager that applied it leaves it out. So the number is not the one's
    who applies the rest: when an autoscaler takes over, it starts from as many pods as there are, not from one.
    """

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete this incarnation of an object."""

    manifest: Mapping[str, Any]


Action = Publish | Apply | Scale | Remove


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, the digest that pods are to serve, and why nothing can be published, if so."""

    actions: tuple[Action, ...] = ()
    digest: str = ""
    obstacle: tuple[str, str] | None = None


def compiled(world: ServerWorld) -> Compilation | None:
    """The server's catalog out of its members; None if its own spec cannot be read."""
    if not isinstance(world.server.spec, ServerSpec):
        return None
    return compilation.compile_server(world.server, world.members, world.catalog, world.incumbents)


def plan_server(world: ServerWorld, compilation: Compilation | None) -> Plan:
    """What to do for one MCPServer. With a name that somebody else uses, or a catalog too large, nothing is touched."""
    spec = world.server.spec
    if compilation is None or not isinstance(spec, ServerSpec):
        return Plan()
    kinds = wished(world, spec)
    strangers = taken(world, kinds)
    if strangers:
        names = ", ".join(f"{m['kind']} {m['metadata']['name']}" for m in strangers)
        return Plan(
            obstacle=("NameTaken", f"{names} is not of this MCPServer; rename or remove it, or rename the server")
        )
    payload = catalogs.dump(compilation.catalog)
    data, size = _packed(payload)
    if size > catalogs.LIMIT:
        limit = catalogs.LIMIT // 1024
        message = f"the catalog has {size // 1024} KiB of {limit}; select fewer objects or shorten them"
        return Plan(obstacle=("CatalogTooLarge", message))
    digest = catalogs.digest(payload)
    drawn = _drawn(world, spec, compilation)
    return Plan((*_publish(world, data, digest), *_apply(world, drawn, kinds), *_remove(world, kinds)), digest)


def wished(world: ServerWorld, spec: ServerSpec) -> frozenset[str]:
    """The kinds of objects there are to be. A host and path that an elder server has stays with that server."""
    kinds = inventory.wished(spec)
    fact = world.server.fact
    if isinstance(fact, ServerFact) and any(servers.ingress_taken(world.catalog, fact, blame_always=False)):
        return kinds - {"Ingress"}
    return kinds


def taken(world: ServerWorld, kinds: frozenset[str]) -> list[Mapping[str, Any]]:
    """Objects under the names we would use that are not this server's."""
    return [found for kind, found in world.existing.items() if kind in {*kinds, "ConfigMap"} and not _own(world, found)]


def _own(world: ServerWorld, found: Mapping[str, Any]) -> bool:
    owners = found["metadata"].get("ownerReferences") or ()
    return world.server.metadata.get("uid") in [reference.get("uid") for reference in owners]


def _packed(payload: bytes) -> tuple[dict[str, dict[str, str]], int]:
    """The data of the ConfigMap, and how many bytes the API server counts: those before base64."""
    if len(payload) <= COMPRESS_ABOVE:
        return {"data": {catalogs.FILE: payload.decode()}}, len(payload)
    # Without a time in the header, equal catalogs give equal bytes.
    packed = gzip.compress(payload, mtime=0)
    return {"binaryData": {catalogs.GZIP_FILE: base64.b64encode(packed).decode()}}, len(packed)


def _publish(world: ServerWorld, data: Mapping[str, Any], digest: str) -> Sequence[Action]:
    stored = world.existing.get("ConfigMap")
    server = world.server
    metadata: dict[str, Any] = {
        "namespace": server.ref.namespace,
        "name": catalog_name(server.ref.name),
        "labels": blueprint.labels(server.ref.name),
        "annotations": {catalogs.DIGEST_ANNOTATION: digest},
        "ownerReferences": [blueprint.owner(server)],
    }
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **data}
    if stored is not None:
        if covers(stored, manifest):
            return ()
        metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
    return (Publish(manifest),)


def _drawn(world: ServerWorld, spec: ServerSpec, compilation: Compilation) -> Blueprint:
    """What the workloads are built from: what is served decides what the pods mount and whom they call."""
    members = [world.catalog.member(ref) for ref in incumbents.served(compilation.catalog)]
    facts = [fact for fact in (world.server.fact, *members) if isinstance(fact, MemberFact | ServerFact)]
    backends: list[BackendRef] = [backend for fact in facts for backend in fact.backends]
    # The certificate of the Ingress is for whoever stands before the pods.
    names = {mount.ref for fact in facts for mount in fact.mounts if mount.path[:2] != ("spec", "ingress")}
    drawn = Blueprint(world.server, spec, world.image, tuple(sorted(names)), tuple(backends), world.services)
    return _unhurried(world, drawn, names)


def _unhurried(world: ServerWorld, drawn: Blueprint, names: set[Ref]) -> Blueprint:
    """With what the pods mount already and need no longer: it goes when they roll for another reason, not before."""
    stored = world.existing.get("Deployment")
    if stored is None:
        return drawn
    template = stored["spec"]["template"]
    standing = mounts.standing(world.server.ref.namespace, template["spec"])
    kept = replace(drawn, mounts=tuple(sorted(names | standing)))
    return kept if covers(template, deployment.deployment(kept)["spec"]["template"]) else drawn


def _apply(world: ServerWorld, drawn: Blueprint, kinds: frozenset[str]) -> Iterator[Action]:
    for manifest in map(_stamped, inventory.manifests(drawn, kinds)):
        stored = world.existing.get(manifest["kind"])
        changed = not covers(stored, manifest)
        if manifest["kind"] == "Deployment":
            yield from _scaled(manifest, stored, drawn.spec, changed=changed)
        elif changed:
            yield Apply(manifest)


def _scaled(
    manifest: dict[str, Any], stored: Mapping[str, Any] | None, spec: ServerSpec, *, changed: bool
) -> Iterator[Action]:
    """The Deployment, and how many pods it has; with an autoscaler nothing is said about that."""
    number = {"replicas": scaling.fewest(spec)}
    metadata = {name: manifest["metadata"][name] for name in ("namespace", "name")}
    scale = Scale({**manifest, "metadata": metadata, "spec": number})
    if spec.autoscaling:
        if changed:
            yield Apply(manifest)
    elif stored is None:
        yield Apply({**manifest, "spec": {**number, **manifest["spec"]}})
        yield scale
    else:
        if changed or stored["spec"].get("replicas") != number["replicas"]:
            yield scale
        if changed:
            yield Apply(manifest)


def _stamped(manifest: dict[str, Any]) -> dict[str, Any]:
    """With a mark of what was applied: a field that is no longer wished shows as a changed mark."""
    mark = hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), APPLIED: mark}}}


def _remove(world: ServerWorld, kinds: frozenset[str]) -> list[Action]:
    """What this server made and no longer wishes."""
    optional = [child.kind for child in inventory.CHILDREN if child.kind not in kinds]
    found = [world.existing[kind] for kind in optional if kind in world.existing]
    return [Remove(each) for each in found if _own(world, each)]
