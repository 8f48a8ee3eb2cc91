"""PURE. What a call carries besides its arguments: who makes it, in which era, under which settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crd.published.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """``headers`` are the client's, by lower-case name; ``claims`` those of its verified token, if there is one.

    ``principal`` names the client: a user of a token, a key of the API keys, else empty. ``modern`` tells the era.
    """

    request_id: str
    principal: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    modern: bool = True
    settings: Settings = field(default_factory=Settings)
