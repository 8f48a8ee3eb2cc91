"""PURE. What a snapshot keeps of an object: the few facts that cross-object rules read, not the object.

`crd.manifest` draws facts out of manifests; `crd.snapshot` indexes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.ref import Ref
    from crd.selector import Selector

__all__ = [
    "BackendRef",
    "Claim",
    "Fact",
    "GrantFact",
    "MemberFact",
    "Mount",
    "NameFact",
    "ServerFact",
    "ServiceFact",
    "Space",
]


class Space(StrEnum):
    """The spaces in which one server serves each value once."""

    TOOL_NAME = "tool name"
    PROMPT_NAME = "prompt name"
    URI = "URI"
    REST_PATH = "ingress path"

    __hash__ = str.__hash__  # as that of a Kind


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A value an object wants to be served under; unique per server within its space.

    The value of a REST path is ``METHOD /path``: the REST paths of one server share one router.
    """

    space: Space
    value: str


@dataclass(frozen=True, slots=True)
class BackendRef:
    """A Service that an object calls, and the port by number or name. ``path`` is the field that names the Service."""

    service: Ref
    port: int | str
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mount:
    """A Secret or ConfigMap that an object reads; ``path`` is the field that names it."""

    ref: Ref
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class MemberFact:
    """An MCPTool, MCPPrompt or MCPResource: what servers select, and what it claims there.

    ``places`` are the fields that make the claims, one each: they are told, and never tell two claims apart.
    ``created`` is the creationTimestamp as RFC 3339 text in UTC; empty for an object that no API server has stored yet.
    ``weight`` is what the object adds to a published catalog, in compressed bytes; ``timeout`` its own, in seconds.
    """

    ref: Ref
    labels: Mapping[str, str]
    uid: str
    created: str
    claims: tuple[Claim, ...]
    backends: tuple[BackendRef, ...]
    places: tuple[tuple[str | int, ...], ...] = ()
    mounts: tuple[Mount, ...] = ()
    weight: int = 0
    timeout: float = 0.0

    @property
    def served_name(self) -> str | None:
        """The name of a tool or prompt, before any server's prefix; None for a resource, and for what is disabled."""
        return next((c.value for c in self.claims if c.space in (Space.TOOL_NAME, Space.PROMPT_NAME)), None)

    def place(self, claim: Claim) -> tuple[str | int, ...]:
        """The field that makes a claim; ``spec`` where no place is known."""
        return dict(zip(self.claims, self.places, strict=False)).get(claim, ("spec",))

    @property
    def seniority(self) -> tuple[str, Ref, str]:
        """Sorts the claimants of one claim, the rightful one first: oldest, then by name, then by uid."""
        return (self.created or "9999", self.ref, self.uid)


@dataclass(frozen=True, slots=True)
class ServerFact:
    """An MCPServer: whom it selects, kind by kind, and what its own fields say about them.

    ``limited`` are the served names that its rate limits name. ``ingress_key`` is host and path of its Ingress.
    """

    ref: Ref
    selector: Selector
    prompt_selector: Selector | None = None
    resource_selector: Selector | None = None
    strict: bool = False
    prefer_incumbent: bool = False
    prefix: str = ""
    request_timeout: float = 30.0
    limited: tuple[str, ...] = ()
    ingress_key: tuple[str, str] | None = None
    backends: tuple[BackendRef, ...] = ()
    mounts: tuple[Mount, ...] = ()
    uid: str = ""
    created: str = ""

    @property
    def seniority(self) -> tuple[str, Ref, str]:
        """As that of a member."""
        return (self.created or "9999", self.ref, self.uid)

    def selector_of(self, kind: Kind) -> Selector:
        """The selector that is in force for the members of a kind."""
        if kind is Kind.PROMPT and self.prompt_selector is not None:
            return self.prompt_selector
        if kind is Kind.RESOURCE and self.resource_selector is not None:
            return self.resource_selector
        return self.selector


@dataclass(frozen=True, slots=True)
class ServiceFact:
    """A Service of the cluster: its type and its ports as ``(name, number)``."""

    ref: Ref
    type: str
    ports: tuple[tuple[str, int], ...]

    def port_number(self, port: int | str) -> int | None:
        """The number of a port given by number or name; None if the Service has no such port."""
        for name, number in self.ports:
            if port in (name, number):
                return number
        return None


@dataclass(frozen=True, slots=True)
class GrantFact:
    """A ReferenceGrant: what may be referred to in its namespace, from which kinds of which namespaces.

    ``sources`` are ``(kind, namespace)`` of our kinds; ``targets`` names of Services, None for all of them.
    """

    ref: Ref
    sources: frozenset[tuple[str, str]]
    targets: frozenset[str] | None

    def allows(self, kind: str, namespace: str, service: str) -> bool:
        """Whether objects of a kind in a namespace may call this Service."""
        return (kind, namespace) in self.sources and (self.targets is None or service in self.targets)


@dataclass(frozen=True, slots=True)
class NameFact:
    """A Secret or ConfigMap: that it is there. What it holds is nobody's business here."""

    ref: Ref


Fact = MemberFact | ServerFact | ServiceFact | GrantFact | NameFact
