"""PURE. One HTTP exchange with a backend, as data: the request and its reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Header", "Reply", "Request"]

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """``url`` is already escaped and is sent unchanged. ``idempotent``: the request may be sent again."""

    method: str
    url: str
    headers: tuple[Header, ...] = ()
    body: bytes | None = None
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """``headers`` by lower-case name.

    ``cut`` is None if ``body`` is complete. Otherwise it is the full length in bytes, or 0 if the length is unknown.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None

    @property
    def content_type(self) -> str:
        """The Content-Type header; empty if absent."""
        return self.headers.get("content-type", "")

    @property
    def retry_after(self) -> str | None:
        """The Retry-After header."""
        return self.headers.get("retry-after")

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """Whether the media type is ``*/json`` or ``*/*+json``."""
        return self.media_type.endswith(("/json", "+json"))
