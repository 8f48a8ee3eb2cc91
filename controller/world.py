"""PURE. What a reconcile knows: everything that was read, as frozen data.

`controller.gather` makes it, `controller.plan` and `controller.status` decide by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd import published
    from crd.catalog import Catalog
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["MemberWorld", "Pod", "ServerWorld", "catalog_name", "workload_name"]


def workload_name(server: str) -> str:
    """The name of a server's Deployment, Service, ServiceAccount, Role, RoleBinding and Ingress."""
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
    """An MCPServer, what it selects, and what there is of it: ``existing`` by kind, under the names it would use."""

    server: Object
    members: tuple[Object, ...]
    catalog: Catalog
    incumbents: published.Catalog | None
    existing: Mapping[str, Mapping[str, Any]]
    pods: tuple[Pod, ...]
    image: str
    now: str


@dataclass(frozen=True, slots=True)
class MemberWorld:
    """A tool, prompt or resource, the servers that select it, and what they have published (None: nothing yet)."""

    member: Object
    catalog: Catalog
    servers: Mapping[Ref, published.Catalog | None]
    now: str
