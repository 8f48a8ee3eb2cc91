"""PURE. The input of a reconcile, as frozen data: everything that was read from the cluster.

`controller.gather` builds it. `controller.planning.plan` and `controller.status` make their decisions from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from crd.published.settings import CATALOG_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.kept import KeptMember
    from crd.compiler.compilation import Compilation
    from crd.facts import Claim
    from crd.manifest import Object
    from crd.published.pins import Verdict
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["MemberState", "Pod", "Rollout", "ServerReadiness", "ServerState", "catalog_name", "workload_name"]


def workload_name(server: str) -> str:
    """The name of everything that belongs to a server, except its catalog."""
    return f"{server}-mcp"


def catalog_name(server: str) -> str:
    """The name of the ConfigMap with a server's published catalog."""
    return f"{server}{CATALOG_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a server, and the digest of the catalog that it reports.

    ``digest`` is None if the pod did not answer. ``asked`` is False for a ready pod that was not asked yet.
    ``trouble`` is a reason that keeps a pod from becoming ready, such as ImagePullBackOff; empty if none is known.
    """

    name: str
    ready: bool
    digest: str | None
    asked: bool = True
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a Deployment is with its present template.

    ``is_observed`` says that the numbers are about that one. ``is_late`` says that the Deployment has exceeded its
    progress deadline.
    """

    is_observed: bool
    total: int
    updated: int
    available: int
    is_late: bool

    def is_complete(self, desired: int) -> bool:
        """Whether that many pods of the present template are available, and none of a former one is left."""
        return self.is_observed and self.total == self.updated >= desired and self.available >= desired


class ServerReadiness(Enum):
    """Whether an MCPServer serves what it has published, by its status."""

    READY = "ready"
    NOT_READY = "not ready"
    SCALED_TO_ZERO = "scaled to zero"


@dataclass(frozen=True, slots=True)
class ServerState:
    """An MCPServer, what it would serve, and the objects that exist under the names it uses.

    ``compilation`` is None if the spec cannot be read. ``existing`` has manifests by kind; the manifest of the
    catalog's ConfigMap is without data. ``stored_digest`` is the digest of the stored catalog; None unless it is signed
    with the current keys and the controller wrote it. ``data_is_foreign`` says that another field manager owns the data
    of the ConfigMap. ``services`` are the manifests of those Services called by the server that exist. ``catalog_root``
    is the public key under which catalogs are signed. ``now`` is the time written into conditions. ``arguments`` are
    further ones of the program in the pods. ``rollout`` is None without a Deployment. ``is_behind`` says that ready
    pods have had time to load the published catalog and do not serve it. ``edited`` has, by kind, who else has set
    fields of the spec of an object that belongs to the server.
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
    arguments: tuple[str, ...] = ()
    rollout: Rollout | None = None
    is_behind: bool = False
    edited: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberState:
    """A tool, prompt or resource, and the servers that select it.

    ``servers`` says for each server which object serves each claim, without the server's prefix; None if nothing is
    published yet.
    ``unmounted`` has, by server, the Secrets and ConfigMaps that the object reads and that not every pod of the server
    has mounted. ``serving`` has the state of each server, ``deserted`` the Services called that have no ready endpoint.
    ``now`` is the time written into conditions. ``verdict`` is what pods found of a pinned tool; None if none has
    compared it with its pin.
    """

    member: KeptMember
    snapshot: Snapshot
    servers: Mapping[Ref, Mapping[Claim, Ref] | None]
    unmounted: Mapping[Ref, tuple[Ref, ...]]
    serving: Mapping[Ref, ServerReadiness]
    deserted: tuple[Ref, ...]
    now: str
    verdict: Verdict | None = None
