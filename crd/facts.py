"""PURE. The facts about an object that rules about several objects read; a snapshot stores them instead of the object.

`crd.extraction` extracts facts from manifests; `crd.snapshot` indexes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.ref import Ref
    from crd.selector import Selector
    from crd.ways_in import WaysIn

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
    """The namespaces of claims: a server serves each value at most once per space."""

    TOOL_NAME = "tool name"
    PROMPT_NAME = "prompt name"
    URI = "URI"
    REST_PATH = "ingress path"

    __hash__ = str.__hash__  # see Kind


class Claim(NamedTuple):
    """A value under which an object is to be served; unique per server within its space.

    The value of a REST path is ``METHOD /path``, because all REST paths of a server share one router. It is a tuple
    for the reason that a `Ref` is one.
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
    """An MCPTool, MCPPrompt or MCPResource: an object that servers select, and its claims.

    ``places`` are the paths of the fields that make the claims, one per claim; messages name them.
    ``created`` is the creationTimestamp in RFC 3339 format and UTC; empty for an object that is not stored yet.
    ``weight`` is the estimated size of the object in a published catalog, in compressed bytes. ``timeout`` is in
    seconds; 0 if the object sets none. ``deleting`` says that it has a deletionTimestamp: it is not served any more, so
    it makes no claims and another object may take its names. ``scopes`` are those that a client's token must have,
    ``token_claims`` the claims of the token that calls send.
    ``unsupported`` are the clients whose limits the schemas of a tool exceed, by `crd.clients.portability`: the name of
    the profile, the path of the field, and what is wrong. ``tokens`` are those of a tool in a list of tools, by
    `crd.clients.tokens`; 0 for everything that is not listed as a tool. ``pinned`` says that a tool of another MCP
    server has a pin (`crd.published.pins`).
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
    deleting: bool = False
    scopes: tuple[str, ...] = ()
    token_claims: tuple[str, ...] = ()
    unsupported: tuple[tuple[str, tuple[str | int, ...], str], ...] = ()
    tokens: int = 0
    pinned: bool = False

    @property
    def served_name(self) -> str | None:
        """The name of a tool or prompt, without a server's prefix; None for resources and disabled tools."""
        return next((c.value for c in self.claims if c.space in (Space.TOOL_NAME, Space.PROMPT_NAME)), None)

    def place(self, claim: Claim) -> tuple[str | int, ...]:
        """The path of the field that makes a claim; ``spec`` if it is unknown."""
        return dict(zip(self.claims, self.places, strict=False)).get(claim, ("spec",))

    @property
    def seniority(self) -> tuple[str, Ref, str]:
        """A sort key for the claimants of a claim; the one to be served comes first: oldest, then by name and uid."""
        return (self.created or "9999", self.ref, self.uid)


@dataclass(frozen=True, slots=True)
class ServerFact:
    """An MCPServer: its selectors, and its settings that affect the objects it selects.

    ``limited`` are the served names in its rate limits. ``ways_in`` are the host and paths of its Ingress.
    ``has_tokens``: its clients have tokens. ``scopes`` and ``token_claims`` are those that the tokens may have; None if
    that is not known. ``clients`` are the client profiles that its tools must fit. ``budget`` is how many tokens the
    list of its tools may have, ``prefix_tokens`` how many of them the prefix adds to each tool.
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
    ways_in: WaysIn | None = None
    backends: tuple[BackendRef, ...] = ()
    mounts: tuple[Mount, ...] = ()
    uid: str = ""
    created: str = ""
    deleting: bool = False
    has_tokens: bool = False
    scopes: frozenset[str] | None = None
    token_claims: frozenset[str] | None = None
    clients: tuple[str, ...] = ()
    budget: int | None = None
    prefix_tokens: int = 0

    @property
    def seniority(self) -> tuple[str, Ref, str]:
        """A sort key as in `MemberFact.seniority`."""
        return (self.created or "9999", self.ref, self.uid)

    def selector_of(self, kind: Kind) -> Selector:
        """The selector that applies to members of a kind."""
        if kind is Kind.PROMPT and self.prompt_selector is not None:
            return self.prompt_selector
        if kind is Kind.RESOURCE and self.resource_selector is not None:
            return self.resource_selector
        return self.selector


@dataclass(frozen=True, slots=True)
class ServiceFact:
    """A Service of the cluster: its type and its ports as ``(name, number)``.

    ``forbidden`` is an address among its endpoints that must not be called, and why. The controller knows it, and
    ``check`` does of the files.
    """

    ref: Ref
    type: str
    ports: tuple[tuple[str, int], ...]
    forbidden: str = ""

    def port_number(self, port: int | str) -> int | None:
        """The number of a port that is given by number or name; None if the Service has no such port."""
        for name, number in self.ports:
            if port in (name, number):
                return number
        return None


@dataclass(frozen=True, slots=True)
class GrantFact:
    """A ReferenceGrant: which objects may refer to which Services of its namespace.

    ``sources`` are pairs of kind and namespace, for our kinds only. ``targets`` are names of Services; None allows all.
    """

    ref: Ref
    sources: frozenset[tuple[str, str]]
    targets: frozenset[str] | None

    def allows(self, kind: str, namespace: str, service: str) -> bool:
        """Whether objects of this kind and namespace may call this Service."""
        return (kind, namespace) in self.sources and (self.targets is None or service in self.targets)


@dataclass(frozen=True, slots=True)
class NameFact:
    """The existence of a Secret or ConfigMap. Its content is never read."""

    ref: Ref


Fact = MemberFact | ServerFact | ServiceFact | GrantFact | NameFact
