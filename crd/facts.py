"""PURE. What a catalog keeps of an object: the few facts that cross-object rules read, not the object.

`crd.manifest` draws facts out of manifests; `crd.catalog` indexes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.ref import Ref
    from crd.selector import Selector

__all__ = ["Backend", "Claim", "Fact", "MemberFact", "ServerFact", "ServiceFact", "Space"]


class Space(StrEnum):
    """The spaces in which one server serves each value once."""

    TOOL_NAME = "tool name"
    PROMPT_NAME = "prompt name"
    URI = "URI"
    DOOR = "ingress path"


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A value an object wants to be served under; unique per server within its space.

    A door's value is ``METHOD /path``: the plain-HTTP doors of one server share one router.
    """

    space: Space
    value: str


@dataclass(frozen=True, slots=True)
class Backend:
    """The Service an object calls, by number or by name of a port; ``path`` is the field that names it."""

    service: Ref
    port: int | str
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class MemberFact:
    """An MCPTool, MCPPrompt or MCPResource: what servers select, and what it claims there.

    ``places`` are the fields that make the claims, one each: they are told, and never tell two claims apart.
    ``created`` is the creationTimestamp as RFC 3339 text in UTC; empty for an object that no API server has stored yet.
    """

    ref: Ref
    labels: Mapping[str, str]
    uid: str
    created: str
    claims: tuple[Claim, ...]
    backends: tuple[Backend, ...]
    places: tuple[tuple[str | int, ...], ...] = ()

    def place(self, claim: Claim) -> tuple[str | int, ...]:
        """The field that makes a claim; ``spec`` where no place is known."""
        return dict(zip(self.claims, self.places, strict=False)).get(claim, ("spec",))

    @property
    def seniority(self) -> tuple[str, Ref, str]:
        """Sorts holders of one claim, the rightful one first: oldest, then by name, then by uid."""
        return (self.created or "9999", self.ref, self.uid)


@dataclass(frozen=True, slots=True)
class ServerFact:
    """An MCPServer: whom it selects."""

    ref: Ref
    selector: Selector


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


Fact = MemberFact | ServerFact | ServiceFact
