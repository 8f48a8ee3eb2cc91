"""PURE. What the controller keeps of each object that it watches: facts, and what it needs again as compressed JSON.

There may be fifty thousand members and a thousand servers with their workloads. A decoded manifest takes ten times the
memory of its JSON, and a decoded spec more than that, so neither is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from controller.planning.state import Rollout, ServerReadiness, catalog_name, workload_name
from controller.workloads import inputs, mounts
from crd import addresses, extraction, manifest
from crd.compiler import compilation, members
from crd.facts import MemberFact, ServerFact
from crd.models.tool import ToolSpec
from crd.published import catalogs, signature
from crd.published.signature import Refusal, Stamp
from crd.ref import GROUP, Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from crd.compiler.compilation import Incumbents
    from crd.compiler.known_tools import KnownTools
    from crd.compiler.members import CompiledMember
    from crd.facts import ServiceFact
    from crd.manifest import Object

__all__ = [
    "KeptCatalog",
    "KeptMember",
    "KeptObject",
    "KeptPod",
    "KeptReadiness",
    "KeptReplicaSet",
    "KeptServer",
    "KeptService",
    "KeptSlice",
    "PublishedCatalog",
    "ToolFacts",
    "hash_data",
    "keep_catalog",
    "keep_member",
    "keep_object",
    "keep_pod",
    "keep_readiness",
    "keep_replica_set",
    "keep_server",
    "keep_service",
    "keep_slice",
    "owner_uid",
    "pack",
    "unpack",
]

Manifest = dict[str, Any]

_MANAGERS = (inputs.MANAGER, inputs.SCALE_MANAGER)
# Restarts from which a container that has not started counts as one that crashes again and again.
CRASHES = 2
# EndpointSlices: the name of the Service.
_SERVICE_LABEL = "kubernetes.io/service-name"
_CATALOG_KEYS = (("data", catalogs.FILE), ("binaryData", catalogs.GZIP_FILE), ("data", signature.FILE))

# A preset dictionary (RFC 1950): what nearly all statuses and workloads contain, so that small texts compress well.
_WORDS = (
    b'{"apiVersion":"networking.k8s.io/v1","kind":"HorizontalPodAutoscaler","metadata":{"namespace":"","name":"-mcp",'
    b'"labels":{"app.kubernetes.io/name":"mcp-server","app.kubernetes.io/instance":"","app.kubernetes.io/managed-by":'
    b'"mcp-operator","mcp.example.com/server":""},"annotations":{"mcp.example.com/applied":""},"ownerReferences":['
    b'{"apiVersion":"mcp.example.com/v1alpha1","kind":"MCPServer","name":"","uid":"","controller":true,'
    b'"blockOwnerDeletion":true}]},"spec":{"ports":[{"name":"http","port":80,"targetPort":"http","protocol":"TCP"}]}}'
    b'{"servers":[{"name":"","servedName":"","accepted":true}],"resolvedEndpoint":"http://.svc:80/","schemaHash":'
    b'"sha256:","observedGeneration":1,"conditions":[{"type":"Accepted","status":"True","observedGeneration":1,'
    b'"lastTransitionTime":"2026-01-01T00:00:00Z","reason":"Accepted","message":"served by "},{"type":"ResolvedRefs",'
    b'"status":"True","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z","reason":"ResolvedRefs",'
    b'"message":"all referenced Services exist and may be called"},{"type":"Ready","status":"True",'
    b'"observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z","reason":"Ready","message":'
    b'"clients can use it"}]}'
)


def pack(value: Any) -> bytes:
    """JSON, compressed."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, zdict=_WORDS)
    return packer.compress(orjson.dumps(value)) + packer.flush()


def unpack(packed: bytes) -> Any:
    """What `pack` was given."""
    return orjson.loads(zlib.decompressobj(-15, zdict=_WORDS).decompress(packed))


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """What the status of a tool takes from its spec. ``path`` is the path of the Service and of the call.

    ``context_bytes`` and ``context_tokens`` are its size in a list of tools, as a server without a prefix lists it.
    ``refuses_drift`` says that calls are refused when a pinned tool has drifted.
    """

    enabled: bool
    scheme: str
    path: str
    schema_hash: str
    context_bytes: int = 0
    context_tokens: int = 0
    refuses_drift: bool = False


@dataclass(frozen=True, slots=True)
class KeptMember:
    """A tool, prompt or resource. ``going`` says that it has a deletionTimestamp: then it is served no longer.

    ``reported`` is its stored status. ``tool`` is None for all but a tool whose spec can be read.
    """

    compiled: CompiledMember
    uid: str
    generation: int
    going: bool
    tool: ToolFacts | None
    reported: bytes

    @property
    def ref(self) -> Ref:
        """The reference."""
        return self.compiled.ref

    @property
    def fact(self) -> MemberFact | None:
        """The facts, as far as it may be served."""
        return None if self.going else self.compiled.fact

    def status(self) -> Manifest:
        """The stored status."""
        status: Manifest = unpack(self.reported)
        return status


@dataclass(frozen=True, slots=True)
class KeptServer:
    """An MCPServer. ``fact`` is None if its spec cannot be read, or if it has a deletionTimestamp (``going``).

    ``version`` is that of the newest published catalog by its status.
    """

    ref: Ref
    fact: ServerFact | None
    uid: str
    generation: int
    going: bool
    serving: ServerReadiness
    packed: bytes
    version: str = ""

    def decode(self) -> Object:
        """The whole object."""
        return manifest.decode(unpack(self.packed))


@dataclass(frozen=True, slots=True)
class KeptService:
    """A Service: its facts, and what a NetworkPolicy needs of it. ``selects`` says that it selects pods."""

    fact: ServiceFact
    selects: bool
    packed: bytes

    def manifest(self) -> Manifest:
        """The manifest, reduced to the members of its spec that are read here."""
        reduced: Manifest = unpack(self.packed)
        return reduced


@dataclass(frozen=True, slots=True)
class KeptSlice:
    """An EndpointSlice of a Service with an address that must not be called, ``forbidden``."""

    service: Ref
    forbidden: str


@dataclass(frozen=True, slots=True)
class KeptReadiness:
    """An EndpointSlice of a Service that has a ready endpoint."""

    service: Ref


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object that carries the label of a server. Equal ones say the same but for status and version.

    ``owner`` is the UID of the MCPServer that controls it. ``editor`` is the first field manager, other than ours, that
    has set fields of its spec; empty if none has. ``rollout`` is that of a Deployment.
    """

    server: Ref
    uid: str
    owner: str
    packed: bytes
    editor: str = ""
    rollout: Rollout | None = None

    def manifest(self) -> Manifest:
        """The manifest without status, resourceVersion and generation."""
        whole: Manifest = unpack(self.packed)
        return whole


@dataclass(frozen=True, slots=True)
class PublishedCatalog:
    """A catalog that this controller, or another of the same installation, has signed.

    ``stored`` is a hash of the data as it is stored. ``root`` is the public key under which it is signed, for the
    MCPServer with this ``uid``.
    """

    stored: bytes
    digest: str
    incumbents: Incumbents
    stamp: Stamp
    root: str
    uid: str


@dataclass(frozen=True, slots=True)
class KeptCatalog:
    """The ConfigMap of a catalog. ``published`` is what it holds, or None if that does not count; ``fault`` says why.

    ``stored`` is a hash of its data. ``stamp`` is that of the signature, if it is valid, also where the catalog does
    not count. ``is_managed`` says that its data were written by our field manager.
    """

    server: Ref
    packed: bytes
    version: str
    stored: bytes
    published: PublishedCatalog | None
    stamp: Stamp | None
    is_managed: bool
    fault: str = ""

    def manifest(self) -> Manifest:
        """The manifest without data."""
        whole: Manifest = unpack(self.packed)
        whole["metadata"]["resourceVersion"] = self.version
        return whole


@dataclass(frozen=True, slots=True)
class KeptPod:
    """A pod with the label of a server. ``mounted`` are the Secrets and ConfigMaps that it mounts for members.

    ``owner`` is the UID of the ReplicaSet that controls it. ``on_host`` says that it is on the network of its node.
    ``trouble`` is the reason why it does not become ready, if one is known.
    """

    server: Ref
    name: str
    uid: str
    ready: bool
    going: bool
    address: str
    mounted: frozenset[Ref]
    owner: str
    on_host: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class KeptReplicaSet:
    """A ReplicaSet with the label of a server. ``owner`` is the UID of the Deployment that controls it."""

    server: Ref
    uid: str
    owner: str


def keep_member(raw: Manifest, known: KeptMember | None, tools: KnownTools) -> KeptMember:
    """A member; ``known`` is what was kept of it before, and still holds for the same uid and generation."""
    metadata = raw["metadata"]
    uid, generation = metadata.get("uid") or "", metadata.get("generation") or 0
    going, reported = "deletionTimestamp" in metadata, pack(raw.get("status") or {})
    if known is not None and generation and (known.uid, known.generation) == (uid, generation):
        compiled, labels = known.compiled, metadata.get("labels") or {}
        if compiled.fact is None:
            return replace(known, going=going, reported=reported)
        if compiled.fact.labels != labels:
            compiled = replace(compiled, fact=replace(compiled.fact, labels=labels))
        return replace(known, compiled=compiled, going=going, reported=reported)
    item, compiled = tools.compile(raw)
    return KeptMember(compiled, uid, generation, going, _tool_facts(item, compiled), reported)


def _tool_facts(item: Object, compiled: CompiledMember) -> ToolFacts | None:
    spec = item.spec
    if not isinstance(spec, ToolSpec):
        return None
    more = spec.mcp.path if spec.mcp else spec.http.path if spec.http else ""
    path = f"{spec.service.path.rstrip('/')}{more}" if more else spec.service.path
    schemas = {"input": spec.input_schema, "output": spec.output_schema}
    schema_hash = hashlib.sha256(orjson.dumps(schemas, option=orjson.OPT_SORT_KEYS)).hexdigest()
    context = members.context_of(compiled)
    refuses = spec.mcp is not None and spec.mcp.on_drift == "Refuse"
    return ToolFacts(spec.enabled, spec.service.scheme, path, f"sha256:{schema_hash}", *context, refuses)


def keep_server(raw: Manifest) -> KeptServer:
    """An MCPServer."""
    item, metadata = manifest.decode(raw), raw["metadata"]
    going = "deletionTimestamp" in metadata
    fact = item.fact if isinstance(item.fact, ServerFact) and not going else None
    return KeptServer(
        item.ref,
        fact,
        metadata.get("uid") or "",
        metadata.get("generation") or 0,
        going,
        _serving(raw),
        pack(_without_version(raw)),
        str((raw.get("status") or {}).get("catalogVersion") or ""),
    )


def _serving(raw: Manifest) -> ServerReadiness:
    for condition in (raw.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return (
                ServerReadiness.SCALED_TO_ZERO if condition.get("reason") == "ScaledToZero" else ServerReadiness.READY
            )
    return ServerReadiness.NOT_READY


def keep_service(raw: Manifest) -> KeptService:
    """A Service of the cluster."""
    spec = raw.get("spec") or {}
    reduced = {key: spec[key] for key in ("clusterIP", "ports", "selector", "type") if key in spec}
    return KeptService(extraction.service_fact(raw), bool(spec.get("selector")), pack({"spec": reduced}))


def keep_slice(raw: Manifest) -> KeptSlice | None:
    """An EndpointSlice that has an address that must not be called; None for any other."""
    metadata, forbidden = raw["metadata"], addresses.forbidden_endpoint(raw)
    service = (metadata.get("labels") or {}).get(_SERVICE_LABEL)
    return KeptSlice(Ref(Kind.SERVICE, metadata["namespace"], service), forbidden) if service and forbidden else None


def keep_readiness(raw: Manifest) -> KeptReadiness | None:
    """An EndpointSlice with a ready endpoint; None for any other. One whose state is unknown counts as ready."""
    metadata = raw["metadata"]
    service = (metadata.get("labels") or {}).get(_SERVICE_LABEL)
    is_ready = any((each.get("conditions") or {}).get("ready") is not False for each in raw.get("endpoints") or ())
    return KeptReadiness(Ref(Kind.SERVICE, metadata["namespace"], service)) if service and is_ready else None


def keep_object(raw: Manifest) -> KeptObject | None:
    """A workload of a server; None for an object without a server's label, or not under the name that it would have."""
    server, metadata = _server_of(raw), raw["metadata"]
    if server is None or metadata["name"] != workload_name(server.name):
        return None
    uid, owner = metadata.get("uid") or "", owner_uid(raw, Kind.SERVER.value)
    packed = pack(_without_version({k: v for k, v in raw.items() if k != "status"}))
    return KeptObject(server, uid, owner, packed, _editor_of(raw), _rollout_of(raw))


def _rollout_of(raw: Manifest) -> Rollout | None:
    if raw.get("kind") != "Deployment":
        return None
    status = raw.get("status") or {}
    return Rollout(
        (status.get("observedGeneration") or 0) >= (raw["metadata"].get("generation") or 0) > 0,
        status.get("replicas") or 0,
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        any(
            each.get("type") == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded"
            for each in status.get("conditions") or ()
        ),
    )


def _editor_of(raw: Manifest) -> str:
    """Who has set fields of the spec beside us.

    Numbers of pods come from autoscalers, by a subresource or not. `kubectl rollout restart` sets an annotation of the
    pods, which is left alone.
    """
    ours = [each for each in raw["metadata"].get("managedFields") or () if each.get("manager") in _MANAGERS]
    held = [(each.get("fieldsV1") or {}).get("f:spec") or {} for each in ours]
    for each in raw["metadata"].get("managedFields") or ():
        manager = str(each.get("manager") or "")
        if manager in _MANAGERS or each.get("subresource"):
            continue
        spec = {k: v for k, v in ((each.get("fieldsV1") or {}).get("f:spec") or {}).items() if k != "f:replicas"}
        if _sets_more(spec, held):
            return manager or "unknown"
    return ""


def _sets_more(fields: Mapping[str, Any], held: list[Mapping[str, Any]], depth: int = 0) -> bool:
    """Whether a tree of fields (FieldsV1) has a leaf that none of the others has."""
    for name, child in fields.items():
        if name == "." or (depth == 2 and name == "f:annotations"):
            continue
        below = [each[name] for each in held if name in each]
        if _sets_more(child, below, depth + 1) if child else not below:
            return True
    return False


def keep_catalog(
    raw: Manifest, known: Iterable[PublishedCatalog], prefix: str, root: Ed25519PublicKey, newest: Stamp | None
) -> KeptCatalog | None:
    """The ConfigMap of a catalog; None for one that is not under the name of a server's catalog, or has no label.

    It counts if an MCPServer controls it, our field manager wrote its data, and ``root`` vouches for the signature,
    which is verified before anything is inflated. It must not be older than ``newest``, the newest that counted.
    ``known`` are catalogs that need not be read again. ``prefix`` is the server's present one.
    """
    server, metadata = _server_of(raw), raw["metadata"]
    if server is None or metadata["name"] != catalog_name(server.name):
        return None
    packed = pack(_without_version({k: v for k, v in raw.items() if k not in ("data", "binaryData")}))
    version, stored, is_managed = str(metadata.get("resourceVersion") or ""), hash_data(raw), _is_managed(raw)
    uid = owner_uid(raw, Kind.SERVER.value)
    found = next((each for each in known if each.stored == stored and each.uid == uid), None)
    read: PublishedCatalog | tuple[Stamp | None, str] = found or _read(raw, stored, prefix, root, uid)
    stamp, fault = (read.stamp, "") if isinstance(read, PublishedCatalog) else read
    if not fault and not is_managed:
        fault = "its data were written by another field manager"
    if not fault and stamp and newest and (stamp.generation, stamp.version) < (newest.generation, newest.version):
        fault = "it is older than a catalog that was published before"
    counts = read if isinstance(read, PublishedCatalog) and not fault else None
    return KeptCatalog(server, packed, version, stored, counts, stamp, is_managed, fault)


def hash_data(raw: Mapping[str, Any]) -> bytes:
    """A hash of what a ConfigMap holds under the keys of a catalog and its signature, as it is stored."""
    texts = ((raw.get(section) or {}).get(name) for section, name in _CATALOG_KEYS)
    return b"".join(hashlib.blake2b(str(text or "").encode(), digest_size=16).digest() for text in texts)


def owner_uid(raw: Mapping[str, Any], kind: str) -> str:
    """The UID of the object of this kind that controls another one; empty if none does."""
    owners = (raw.get("metadata") or {}).get("ownerReferences") or ()
    return next(
        (str(each.get("uid") or "") for each in owners if each.get("controller") and each.get("kind") == kind), ""
    )


def _is_managed(raw: Mapping[str, Any]) -> bool:
    """Whether our field manager owns each of the catalog's keys that is there."""
    entries = raw["metadata"].get("managedFields") or ()
    ours = [each.get("fieldsV1") or {} for each in entries if each.get("manager") == inputs.MANAGER]
    return all(
        any(f"f:{name}" in (fields.get(f"f:{section}") or {}) for fields in ours)
        for section, name in _CATALOG_KEYS
        if name in (raw.get(section) or {})
    )


def _read(
    raw: Manifest, stored: bytes, prefix: str, root: Ed25519PublicKey, uid: str
) -> PublishedCatalog | tuple[Stamp | None, str]:
    """The catalog, or why it does not count, with the stamp of its signature if that is valid."""
    if not uid:
        return None, "no MCPServer controls it"
    data, binary = raw.get("data") or {}, raw.get("binaryData") or {}
    try:
        if catalogs.FILE in data:
            name, content = catalogs.FILE, data[catalogs.FILE].encode()
        else:
            name, content = catalogs.GZIP_FILE, base64.b64decode(binary.get(catalogs.GZIP_FILE) or "")
        envelope = data.get(signature.FILE)
        verified = signature.verify(envelope, root=root, server_uid=uid, name=name, content=content)
        if isinstance(verified, Refusal):
            return None, verified.message
        payload = catalogs.unpack({}, {name: content}) if name == catalogs.GZIP_FILE else content
        incumbents = compilation.incumbents_of(payload, prefix)
        key = signature.encode_public(root)
        return PublishedCatalog(stored, catalogs.digest(payload), incumbents, verified, key, uid)
    except (binascii.Error, catalogs.InvalidCatalogError) as error:
        return None, str(error)


def keep_pod(raw: Manifest) -> KeptPod | None:
    """A pod; None for one that does not carry a server's label."""
    server = _server_of(raw)
    if server is None:
        return None
    metadata, status = raw["metadata"], raw.get("status") or {}
    conditions, spec, address = status.get("conditions") or (), raw.get("spec") or {}, status.get("podIP") or ""
    return KeptPod(
        server,
        metadata["name"],
        metadata.get("uid") or "",
        any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions),
        "deletionTimestamp" in metadata,
        address,
        mounts.mounted(server.namespace, spec),
        owner_uid(raw, "ReplicaSet"),
        bool(spec.get("hostNetwork")) or (address != "" and address == status.get("hostIP")),
        _trouble(status),
    )


def _trouble(status: Mapping[str, Any]) -> str:
    """The reason why the container of a pod does not become ready.

    A kubelet alternates between some reasons; each has one name here, so that a status does not change with it.
    """
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        reason = str((state.get("waiting") or {}).get("reason") or "")
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            return "ImagePullBackOff"
        if reason in ("InvalidImageName", "CreateContainerConfigError"):
            return reason
        starts = not container.get("ready") and not container.get("started")
        if starts and (reason == "CrashLoopBackOff" or container.get("restartCount", 0) >= CRASHES):
            return "CrashLoopBackOff"
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("reason")) == ("PodScheduled", "Unschedulable"):
            return "Unschedulable"
    return ""


def keep_replica_set(raw: Manifest) -> KeptReplicaSet | None:
    """A ReplicaSet; None for one that does not carry a server's label."""
    server = _server_of(raw)
    if server is None:
        return None
    return KeptReplicaSet(server, raw["metadata"].get("uid") or "", owner_uid(raw, "Deployment"))


def _server_of(raw: Mapping[str, Any]) -> Ref | None:
    metadata = raw.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(inputs.SERVER_LABEL)
    return Ref(Kind.SERVER, metadata.get("namespace") or "", name) if name else None


def _without_version(raw: Manifest) -> Manifest:
    metadata = {k: v for k, v in raw["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    if raw.get("apiVersion", "").partition("/")[0] != GROUP:
        metadata.pop("generation", None)
    return {**raw, "metadata": metadata}
