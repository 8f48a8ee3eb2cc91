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

from controller.workloads import inputs, mounts
from crd import extraction, manifest
from crd.compiler import compilation, members
from crd.facts import MemberFact, ServerFact
from crd.models.tool import ToolSpec
from crd.published import catalogs
from crd.ref import GROUP, Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crd.compiler.compilation import Incumbents
    from crd.compiler.members import CompiledMember
    from crd.facts import ServiceFact
    from crd.manifest import Object

__all__ = [
    "KeptCatalog",
    "KeptMember",
    "KeptObject",
    "KeptPod",
    "KeptServer",
    "KeptService",
    "PublishedCatalog",
    "ToolFacts",
    "hash_data",
    "keep_catalog",
    "keep_member",
    "keep_object",
    "keep_pod",
    "keep_server",
    "keep_service",
    "pack",
    "unpack",
]

Manifest = dict[str, Any]

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
    """What the status of a tool takes from its spec. ``path`` is the path of the Service and of the call."""

    enabled: bool
    scheme: str
    path: str
    schema_hash: str


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
    """An MCPServer. ``fact`` is None if its spec cannot be read, or if it has a deletionTimestamp (``going``)."""

    ref: Ref
    fact: ServerFact | None
    uid: str
    generation: int
    going: bool
    packed: bytes

    def decode(self) -> Object:
        """The whole object."""
        return manifest.decode(unpack(self.packed))


@dataclass(frozen=True, slots=True)
class KeptService:
    """A Service: its facts, and what a NetworkPolicy needs of it."""

    fact: ServiceFact
    packed: bytes

    def manifest(self) -> Manifest:
        """The manifest, reduced to the members of its spec that are read here."""
        reduced: Manifest = unpack(self.packed)
        return reduced


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object that carries the label of a server. Equal ones say the same but for status and version."""

    server: Ref
    packed: bytes

    def manifest(self) -> Manifest:
        """The manifest without status, resourceVersion and generation."""
        whole: Manifest = unpack(self.packed)
        return whole


@dataclass(frozen=True, slots=True)
class PublishedCatalog:
    """The data of a catalog's ConfigMap: a hash of it as it is stored, the catalog's digest, and who serves what.

    ``digest`` and ``incumbents`` are None if the catalog cannot be read.
    """

    stored: bytes
    digest: str | None
    incumbents: Incumbents | None


@dataclass(frozen=True, slots=True)
class KeptCatalog:
    """The ConfigMap of a published catalog."""

    server: Ref
    packed: bytes
    version: str
    published: PublishedCatalog

    def manifest(self) -> Manifest:
        """The manifest without data."""
        whole: Manifest = unpack(self.packed)
        whole["metadata"]["resourceVersion"] = self.version
        return whole


@dataclass(frozen=True, slots=True)
class KeptPod:
    """A pod of a server. ``mounted`` are the Secrets and ConfigMaps that it mounts for members."""

    server: Ref
    name: str
    uid: str
    ready: bool
    going: bool
    address: str
    mounted: frozenset[Ref]


def keep_member(raw: Manifest, known: KeptMember | None) -> KeptMember:
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
    item = manifest.decode(raw)
    compiled = members.compile_member(item)
    return KeptMember(compiled, uid, generation, going, _tool_facts(item), reported)


def _tool_facts(item: Object) -> ToolFacts | None:
    spec = item.spec
    if not isinstance(spec, ToolSpec):
        return None
    more = spec.mcp.path if spec.mcp else spec.http.path if spec.http else ""
    path = f"{spec.service.path.rstrip('/')}{more}" if more else spec.service.path
    schemas = {"input": spec.input_schema, "output": spec.output_schema}
    schema_hash = hashlib.sha256(orjson.dumps(schemas, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return ToolFacts(spec.enabled, spec.service.scheme, path, f"sha256:{schema_hash}")


def keep_server(raw: Manifest) -> KeptServer:
    """An MCPServer."""
    item, metadata = manifest.decode(raw), raw["metadata"]
    going = "deletionTimestamp" in metadata
    fact = item.fact if isinstance(item.fact, ServerFact) and not going else None
    return KeptServer(
        item.ref, fact, metadata.get("uid") or "", metadata.get("generation") or 0, going, pack(_without_version(raw))
    )


def keep_service(raw: Manifest) -> KeptService:
    """A Service of the cluster."""
    spec = raw.get("spec") or {}
    reduced = {key: spec[key] for key in ("clusterIP", "ports", "selector", "type") if key in spec}
    return KeptService(extraction.service_fact(raw), pack({"spec": reduced}))


def keep_object(raw: Manifest) -> KeptObject | None:
    """A workload of a server; None for an object that does not carry a server's label."""
    server = _server_of(raw)
    if server is None:
        return None
    return KeptObject(server, pack(_without_version({k: v for k, v in raw.items() if k != "status"})))


def keep_catalog(raw: Manifest, known: Iterable[PublishedCatalog], prefix: str) -> KeptCatalog | None:
    """The ConfigMap of a catalog; None for one that does not carry a server's label.

    ``known`` are catalogs that need not be decoded again. ``prefix`` is the server's present one.
    """
    server = _server_of(raw)
    if server is None:
        return None
    packed = pack(_without_version({k: v for k, v in raw.items() if k not in ("data", "binaryData")}))
    version, stored = str(raw["metadata"].get("resourceVersion") or ""), hash_data(raw)
    published = next((each for each in known if each.stored == stored), None) or _read(raw, stored, prefix)
    return KeptCatalog(server, packed, version, published)


def hash_data(raw: Mapping[str, Any]) -> bytes:
    """A hash of what a ConfigMap holds under the keys of a catalog, as it is stored."""
    texts = ((raw.get("data") or {}).get(catalogs.FILE), (raw.get("binaryData") or {}).get(catalogs.GZIP_FILE))
    return b"".join(hashlib.blake2b((text or "").encode(), digest_size=16).digest() for text in texts)


def _read(raw: Manifest, stored: bytes, prefix: str) -> PublishedCatalog:
    try:
        binary = {key: base64.b64decode(value) for key, value in (raw.get("binaryData") or {}).items()}
        payload = catalogs.unpack(raw.get("data") or {}, binary)
        return PublishedCatalog(stored, catalogs.digest(payload), compilation.incumbents_of(payload, prefix))
    except (binascii.Error, catalogs.InvalidCatalogError):
        return PublishedCatalog(stored, None, None)


def keep_pod(raw: Manifest) -> KeptPod | None:
    """A pod; None for one that does not carry a server's label."""
    server = _server_of(raw)
    if server is None:
        return None
    metadata, status = raw["metadata"], raw.get("status") or {}
    conditions = status.get("conditions") or ()
    return KeptPod(
        server,
        metadata["name"],
        metadata.get("uid") or "",
        any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions),
        "deletionTimestamp" in metadata,
        status.get("podIP") or "",
        mounts.mounted(server.namespace, raw.get("spec") or {}),
    )


def _server_of(raw: Mapping[str, Any]) -> Ref | None:
    metadata = raw.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(inputs.SERVER_LABEL)
    return Ref(Kind.SERVER, metadata.get("namespace") or "", name) if name else None


def _without_version(raw: Manifest) -> Manifest:
    metadata = {k: v for k, v in raw["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    if raw.get("apiVersion", "").partition("/")[0] != GROUP:
        metadata.pop("generation", None)
    return {**raw, "metadata": metadata}
