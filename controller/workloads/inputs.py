"""PURE. What the objects of a server are built from, and what all of them carry: name, labels, owner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from controller.planning.state import workload_name
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.manifest import Object
    from crd.models.server import ServerSpec
    from crd.ref import Ref

__all__ = [
    "MANAGED_BY",
    "MANAGER",
    "SCALE_MANAGER",
    "SERVER_LABEL",
    "Inputs",
    "Manifest",
    "labels",
    "owned_object",
    "owner",
]

Manifest = dict[str, Any]

# The field manager of all that the controller writes beside statuses and numbers of pods.
MANAGER = "mcp-operator"
SCALE_MANAGER = "mcp-operator-scale"
SERVER_LABEL = f"{GROUP}/server"
MANAGED_BY = {"app.kubernetes.io/managed-by": MANAGER}


@dataclass(frozen=True, slots=True)
class Inputs:
    """One MCPServer and what the rest of the cluster adds to its workloads.

    ``image`` is for a spec that names none. ``arguments`` are those of the program in the pods that the controller was
    started with. ``catalog_root`` is the public key under which catalogs are signed.
    ``mounts`` are the Secrets and ConfigMaps that the pods read, sorted.
    ``backends`` are the Services and ports that the pods call, ``services`` the manifests of those of them, and of the
    API server's, that exist.
    """

    server: Object
    spec: ServerSpec
    image: str
    catalog_root: str
    mounts: tuple[Ref, ...] = ()
    backends: tuple[tuple[Ref, int | str], ...] = ()
    services: Mapping[Ref, Mapping[str, Any]] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def labels(server: str) -> dict[str, str]:
    """The labels of everything that belongs to a server."""
    return {
        "app.kubernetes.io/name": "mcp-server",
        "app.kubernetes.io/instance": server,
        **MANAGED_BY,
        SERVER_LABEL: server,
    }


def owner(server: Object) -> Manifest:
    """The owner reference that makes the garbage collector remove what belongs to the server."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": Kind.SERVER.value,
        "name": server.ref.name,
        "uid": server.metadata.get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_object(
    inputs: Inputs, api_version: str, kind: str, annotations: Mapping[str, str] | None = None, **members: Any
) -> Manifest:
    """An object that belongs to the server; ``members`` are those of its kind."""
    server = inputs.server
    metadata: Manifest = {
        "namespace": server.ref.namespace,
        "name": workload_name(server.ref.name),
        "labels": labels(server.ref.name),
        "ownerReferences": [owner(server)],
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **members}
