"""PURE. What a reconcile knows: everything that was read, as frozen data.

`controller.gather` makes it, `controller.planning.plan` and `controller.status` decide by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.facts import Claim
    from crd.manifest import Object
    from crd.published import catalogs
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["MemberWorld", "Pod", "ServerWorld", "catalog_name", "workload_name"]


def workload_name(server: str) -> str:
    """The name of everything that a server is made of, but for its catalog."""
    return f"{server}-mcp"


def catalog_name(server: str) -> str:
    """The name of the ConfigMap with a server's published catalog."""
    return f"{server}-catalog"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a server: whether it is ready, and the digest that it says it serves; None if it did not say."""

    name: str
    ready: bool
    digest: str | None


@dataclass(frozen=True, slots=True)
class ServerWorld:
    """An MCPServer, what it selects, and what there is of it: ``existing`` by kind, under the names it would use.

    ``services`` are the manifests of the Services that it calls, as far as they exist.
    """

    server: Object
    members: tuple[Object, ...]
    catalog: Snapshot
    incumbents: catalogs.Catalog | None
    existing: Mapping[str, Mapping[str, Any]]
    pods: tuple[Pod, ...]
    services: Mapping[Ref, Mapping[str, Any]]
    image: str
    now: str


@dataclass(frozen=True, slots=True)
class MemberWorld:
    """A tool, prompt or resource, the servers that select it, and who serves what there (None: nothing published yet).

    ``unmounted`` are the Secrets and ConfigMaps that it reads and that not all pods of a server have, by server.
    """

    member: Object
    catalog: Snapshot
    servers: Mapping[Ref, Mapping[Claim, Ref] | None]
    unmounted: Mapping[Ref, tuple[Ref, ...]]
    now: str
