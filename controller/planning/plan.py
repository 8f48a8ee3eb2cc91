"""PURE. From the state of a server to what is to be done: all of the controller's decisions.

A plan is a list of actions in order. What exists as desired is not an action, so a second reconcile writes nothing.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from controller.planning.drift import covers
from controller.planning.state import catalog_name
from controller.workloads import children, deployment, inputs, mounts, scaling
from controller.workloads.inputs import Inputs
from crd.facts import ServerFact
from crd.models.server import ServerSpec
from crd.published import catalogs
from crd.rules import servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controller.planning.state import ServerState
    from crd.compiler.compilation import Compilation

__all__ = [
    "Action",
    "Apply",
    "Plan",
    "Publish",
    "Remove",
    "Repair",
    "Scale",
    "conflicting",
    "plan_removal",
    "plan_server",
    "replacement",
]

# Bytes of a catalog over which it is published compressed.
COMPRESS_ABOVE = 256 * 1024
APPLIED = "mcp.example.com/applied"

# What is not written while an object that it relies on belongs to somebody else: pods would run under another account,
# a binding would give another Role, and so on. Everything else of the server is written.
RELIES_ON = {
    "RoleBinding": {"ServiceAccount", "Role"},
    "Deployment": {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"},
    "HorizontalPodAutoscaler": {"Deployment"},
    "Ingress": {"Service"},
}
# Members of a spec that the API server has assigned; a Service without them would lose its address.
_ASSIGNED = {
    "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"),
    "Deployment": ("replicas",),
}
# What cannot be changed: an object that differs in it is deleted and created anew.
_IMMUTABLE = {"RoleBinding": ("roleRef",), "Deployment": ("spec", "selector")}


@dataclass(frozen=True, slots=True)
class Publish:
    """Sign and write the catalog; with a resourceVersion it replaces only that state, without one none may exist yet.

    ``manifest`` holds the catalog under the key ``name``; ``content`` is its value in bytes.
    """

    manifest: Mapping[str, Any]
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of one object."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repair:
    """Replace an object of which ``editor``, a field manager, has set fields that we do not: `replacement`.

    Server-side apply would leave those fields as they are, or fail: two ports of one name, for example.
    """

    manifest: Mapping[str, Any]
    editor: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Server-side apply of the number of pods, by a manager of its own.

    A field goes back to its default when the last manager that applied it leaves it out. So the manager who applies
    the rest does not hold the number: when an autoscaler takes over, it starts from as many pods as there are, not
    from one.
    """

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete this incarnation of an object: the one with this uid."""

    manifest: Mapping[str, Any]


Action = Publish | Apply | Repair | Scale | Remove


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, the digest that pods are to serve, and what keeps the server from being served: reason, message."""

    actions: tuple[Action, ...] = ()
    digest: str = ""
    blocked_by: tuple[str, str] | None = None


def plan_server(state: ServerState) -> Plan:
    """What to do for one MCPServer.

    Nothing is changed if its catalog is too large, or if the name of its catalog belongs to another object. Where
    another name does, that object and what relies on it is left out.
    """
    spec, compilation = state.server.spec, state.compilation
    if compilation is None or not isinstance(spec, ServerSpec):
        return Plan()
    kinds = children.desired(spec)
    fact = state.server.fact
    if isinstance(fact, ServerFact) and any(servers.ingress_taken(state.snapshot, fact, blame_always=False)):
        # The older server keeps the host and path.
        kinds -= {"Ingress"}
    blocked_by, kept = None, kinds
    foreign = conflicting(state, kinds)
    if foreign:
        names = ", ".join(f"{m['kind']} {m['metadata']['name']}" for m in foreign)
        message = f"{names} exists and does not belong to this MCPServer; rename or remove it, or rename the server"
        blocked_by = ("NameTaken", message)
        taken = {str(found["kind"]) for found in foreign}
        if "ConfigMap" in taken:
            return Plan(blocked_by=blocked_by)
        kept = kinds - {kind for kind in kinds if kind in taken or RELIES_ON.get(kind, set()) & taken}
    size = compilation.size()
    compressed = compilation.packed() if size > COMPRESS_ABOVE else None
    if compressed is not None and (len(compressed) > catalogs.LIMIT or size > catalogs.INFLATED_LIMIT):
        message = (
            f"the catalog has {len(compressed) // 1024} KiB, must be at most {catalogs.LIMIT // 1024} KiB compressed "
            f"and {catalogs.INFLATED_LIMIT // 1024} KiB in all; select fewer objects or shorten them"
        )
        return Plan(blocked_by=("CatalogTooLarge", message))
    digest = compilation.digest()
    built = _inputs(state, spec, compilation)
    actions = (
        *_publish(state, compilation, compressed, digest),
        *_apply(state, built, kept),
        *(Remove(found) for found in _own(state) if found["kind"] not in {*kinds, "ConfigMap"}),
    )
    return Plan(actions, digest, blocked_by)


def plan_removal(state: ServerState) -> Plan:
    """Remove what belongs to a server with a deletionTimestamp: a finalizer may keep the object, but not its pods."""
    return Plan(tuple(Remove(found) for found in _own(state)))


def conflicting(state: ServerState, kinds: frozenset[str]) -> list[Mapping[str, Any]]:
    """Objects under the names we would use that do not belong to this server."""
    own = _own(state)
    return [found for kind, found in state.existing.items() if kind in {*kinds, "ConfigMap"} and found not in own]


def _own(state: ServerState) -> list[Mapping[str, Any]]:
    uid = state.server.metadata.get("uid")
    return [
        found
        for found in state.existing.values()
        if uid in [owner.get("uid") for owner in found["metadata"].get("ownerReferences") or ()]
    ]


def _publish(
    state: ServerState, compilation: Compilation, compressed: bytes | None, digest: str
) -> Iterator[Publish | Remove]:
    stored, server = state.existing.get("ConfigMap"), state.server
    metadata: dict[str, Any] = {
        "namespace": server.ref.namespace,
        "name": catalog_name(server.ref.name),
        "labels": inputs.labels(server.ref.name),
        "annotations": {catalogs.DIGEST_ANNOTATION: digest},
        "ownerReferences": [inputs.owner(server)],
    }
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    if stored is not None:
        is_frozen = bool(stored.get("immutable"))
        if state.stored_digest == digest and covers(stored, manifest) and not is_frozen:
            return
        if state.data_is_foreign or is_frozen:
            # A field that does not change keeps its manager, so that a replacement would not make it ours. One that
            # somebody has made immutable cannot be replaced at all.
            yield Remove(stored)
        else:
            metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
    if compressed is None:
        text = compilation.text()
        yield Publish({**manifest, "data": {catalogs.FILE: text.decode()}}, catalogs.FILE, text)
    else:
        packed = {catalogs.GZIP_FILE: base64.b64encode(compressed).decode()}
        yield Publish({**manifest, "binaryData": packed}, catalogs.GZIP_FILE, compressed)


def _inputs(state: ServerState, spec: ServerSpec, compilation: Compilation) -> Inputs:
    """What the workloads are built from: what is served decides what the pods mount and whom they call.

    What the pods mount already and need no longer stays until they are replaced for another reason.
    """
    fact = state.server.fact
    own = fact if isinstance(fact, ServerFact) else None
    # The certificate of the Ingress is for the Ingress controller.
    needed = {mount.ref for mount in (own.mounts if own else ()) if mount.path[:2] != ("spec", "ingress")}
    needed |= compilation.mounts.keys()
    backends = {(backend.service, backend.port) for backend in (own.backends if own else ())}
    backends |= compilation.backends.keys()
    built = Inputs(
        state.server,
        spec,
        state.image,
        state.catalog_root,
        tuple(sorted(needed)),
        tuple(sorted(backends, key=lambda backend: (backend[0], str(backend[1])))),
        state.services,
        state.arguments,
    )
    stored = state.existing.get("Deployment")
    if stored is None or stored not in _own(state):
        return built
    template = stored["spec"]["template"]
    mounted = mounts.mounted(state.server.ref.namespace, template["spec"])
    kept = replace(built, mounts=tuple(sorted(needed | mounted)))
    return kept if covers(template, deployment.deployment(kept)["spec"]["template"]) else built


def _apply(state: ServerState, built: Inputs, kinds: frozenset[str]) -> Iterator[Apply | Repair | Scale | Remove]:
    for unmarked in children.manifests(built, kinds):
        # A field that is no longer desired shows in the mark, though the stored object still covers the desired one.
        mark = hashlib.sha256(orjson.dumps(unmarked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        metadata = unmarked["metadata"]
        annotations = {**metadata.get("annotations", {}), APPLIED: mark}
        manifest = {**unmarked, "metadata": {**metadata, "annotations": annotations}}
        stored = state.existing.get(manifest["kind"])
        kind = manifest["kind"]
        if stored is not None and _is_other(kind, stored, manifest):
            yield Remove(stored)
            stored = None
        changed, editor = not covers(stored, manifest), state.edited.get(kind) if stored is not None else None
        write = Repair(manifest, editor) if editor else Apply(manifest) if changed else None
        if kind == "Deployment":
            yield from _apply_deployment(manifest, stored, built.spec, write)
        elif write:
            yield write


def _apply_deployment(
    manifest: dict[str, Any], stored: Mapping[str, Any] | None, spec: ServerSpec, write: Apply | Repair | None
) -> Iterator[Apply | Repair | Scale]:
    """The Deployment and its number of pods, which is left to the autoscaler where there is one."""
    number = {"replicas": scaling.fewest(spec)}
    metadata = {name: manifest["metadata"][name] for name in ("namespace", "name")}
    scale = Scale({**manifest, "metadata": metadata, "spec": number})
    if spec.autoscaling:
        if write:
            yield write
    elif stored is None:
        yield Apply({**manifest, "spec": {**number, **manifest["spec"]}})
        yield scale
    else:
        if write or stored["spec"].get("replicas") != number["replicas"]:
            yield scale
        if write:
            yield write


def _is_other(kind: str, stored: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether an object differs in what cannot be changed."""
    path = _IMMUTABLE.get(kind, ())
    for name in path:
        stored, manifest = stored.get(name) or {}, manifest.get(name) or {}
    return bool(path) and stored != manifest


def replacement(live: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the spec of ``manifest``, and nothing that others have set in it, to replace ``live``.

    What the API server has assigned is kept, and what `kubectl rollout restart` writes.
    """
    metadata, spec = dict(live["metadata"]), dict(manifest["spec"])
    for name in ("labels", "annotations"):
        metadata[name] = {**(metadata.get(name) or {}), **(manifest["metadata"].get(name) or {})}
    metadata["ownerReferences"] = manifest["metadata"]["ownerReferences"]
    metadata.pop("managedFields", None)
    spec |= {name: live["spec"][name] for name in _ASSIGNED.get(live["kind"], ()) if name in live["spec"]}
    if live["kind"] == "Deployment":
        pods = spec["template"]["metadata"]
        annotations = {**(live["spec"]["template"]["metadata"].get("annotations") or {}), **pods.get("annotations", {})}
        spec["template"] = {**spec["template"], "metadata": {**pods, "annotations": annotations}}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, "spec": spec}
