"""PURE. What a reconcile knows: everything that was read, as frozen data.

`controller.gather` makes it, `controller.planning.plan` and `controller.status` decide by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.kept import KeptMember
    from crd.compiler.compilation import Compilation
    from crd.facts import Claim
    from crd.manifest import Object
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["MemberState", "Pod", "ServerState", "catalog_name", "workload_name"]


def workload_name(server: str) -> str:
    """The name of everything that belongs to a server, except its catalog."""
    return f"{server}-mcp"


def catalog_name(server: str) -> str:
    """The name of the ConfigMap with a server's published catalog."""
    return f"{server}-catalog"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a server: whether it is ready, and the digest that it reports; None if it did not answer.

    ``asked`` is False for a ready pod that was not asked yet.
    """

    name: str
    ready: bool
    digest: str | None
    asked: bool = True


@dataclass(frozen=True, slots=True)
class ServerState:
    """An MCPServer, what it would serve, and the objects that exist under the names it uses.

    ``compilation`` is None if the spec cannot be read. ``existing`` has manifests by kind; that of the ConfigMap holds
    no data. ``stored_digest`` is the digest of the catalog in it, if that is signed with the present keys and nobody
    else wrote it; ``data_is_foreign`` says that another field manager owns its data. ``services`` are the manifests of
    the Services that the server calls, as far as they exist. ``catalog_root`` is the public key under which catalogs
    are signed.
    """

    server: Object
    snapshot: Snapshot
    compilation: Compilation | None
    stored_digest: str | None
    data_is_foreign: bool
    existing: Mapping[str, Mapping[str, Any]]
    pods: tuple[Pod, ...]
    services: Mapping[Ref, Mapping[str, Any]]
    image: str
    catalog_root: str
    now: str


@dataclass(frozen=True, slots=True)
class MemberState:
    """A tool, prompt or resource, the servers that select it, and who serves what there by bare claim.

    ``servers`` has None where nothing is published yet. ``unmounted`` are the Secrets and ConfigMaps that the object
    reads and that not all pods of a server have, by server.
    """

    member: KeptMember
    snapshot: Snapshot
    servers: Mapping[Ref, Mapping[Claim, Ref] | None]
    unmounted: Mapping[Ref, tuple[Ref, ...]]
    now: str
