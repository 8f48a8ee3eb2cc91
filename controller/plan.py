"""PURE. From what is to what is to be done: the whole of the controller's decisions.

A plan is a list of actions in order. What already stands as wished is no action, so a second reconcile writes nothing.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from controller import workloads
from controller.world import catalog_name
from crd import compiler, published
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.world import ServerWorld
    from crd.compiler import Compilation

__all__ = ["Action", "Apply", "Plan", "Publish", "Remove", "compiled", "covers", "plan_server", "taken"]

COMPRESS_ABOVE = 256 * 1024
CATALOG_LIMIT = 900 * 1024
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
class Remove:
    """Delete this incarnation of an object."""

    manifest: Mapping[str, Any]


Action = Publish | Apply | Remove


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
    return compiler.compile_server(world.server, world.members, world.catalog, world.incumbents)


def plan_server(world: ServerWorld, compilation: Compilation | None) -> Plan:
    """What to do for one MCPServer. With a name that somebody else uses, or a catalog too large, nothing is touched."""
    spec = world.server.spec
    if compilation is None or not isinstance(spec, ServerSpec):
        return Plan()
    strangers = taken(world)
    if strangers:
        names = ", ".join(f"{m['kind']} {m['metadata']['name']}" for m in strangers)
        return Plan(
            obstacle=("NameTaken", f"{names} is not of this MCPServer; rename or remove it, or rename the server")
        )
    payload = published.dump(compilation.catalog)
    digest = published.digest(payload)
    data = _packed(payload)
    size = sum(len(value) for part in data.values() for value in part.values())
    if size > CATALOG_LIMIT:
        message = f"the catalog is {size // 1024} KiB of {CATALOG_LIMIT // 1024}; select fewer objects or shorten them"
        return Plan(obstacle=("CatalogTooLarge", message))
    return Plan((*_publish(world, data, digest), *_apply(world, spec), *_remove(world, spec)), digest)


def taken(world: ServerWorld) -> list[Mapping[str, Any]]:
    """Objects under the names we would use that are not this server's."""
    uid = world.server.metadata.get("uid")
    return [found for found in world.existing.values() if uid not in _owners(found)]


def covers(stored: Any, wanted: Any) -> bool:
    """Whether all of ``wanted`` stands in ``stored``, which may hold more members (the API server's defaults)."""
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(
            key in stored and covers(stored[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(stored, list)
            and len(stored) == len(wanted)
            and all(covers(old, new) for old, new in zip(stored, wanted, strict=True))
        )
    return bool(stored == wanted)


def _owners(found: Mapping[str, Any]) -> list[str]:
    return [reference.get("uid", "") for reference in found["metadata"].get("ownerReferences") or ()]


def _packed(payload: bytes) -> dict[str, dict[str, str]]:
    if len(payload) <= COMPRESS_ABOVE:
        return {"data": {published.FILE: payload.decode()}}
    # Without a time in the header, equal catalogs give equal bytes.
    return {"binaryData": {published.GZIP_FILE: base64.b64encode(gzip.compress(payload, mtime=0)).decode()}}


def _publish(world: ServerWorld, data: Mapping[str, Any], digest: str) -> Sequence[Action]:
    stored = world.existing.get("ConfigMap")
    server = world.server
    metadata: dict[str, Any] = {
        "namespace": server.ref.namespace,
        "name": catalog_name(server.ref.name),
        "labels": workloads.labels(server.ref.name),
        "annotations": {published.DIGEST_ANNOTATION: digest},
        "ownerReferences": [workloads.owner(server)],
    }
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **data}
    if stored is not None:
        if covers(stored, manifest):
            return ()
        metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
    return (Publish(manifest),)


def _apply(world: ServerWorld, spec: ServerSpec) -> list[Action]:
    return [
        Apply(manifest)
        for manifest in map(_stamped, workloads.manifests(world.server, spec, world.image))
        if not covers(world.existing.get(manifest["kind"]), manifest)
    ]


def _stamped(manifest: dict[str, Any]) -> dict[str, Any]:
    """With a mark of what was applied: a field that is no longer wished shows as a changed mark."""
    mark = hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": {APPLIED: mark}}}


def _remove(world: ServerWorld, spec: ServerSpec) -> list[Action]:
    """An Ingress that is no longer wished."""
    found = world.existing.get("Ingress")
    return [Remove(found)] if found is not None and spec.ingress is None else []
