"""PURE. One HTTP exchange with a backend, as data: the request and its reply."""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Header", "Reply", "Request"]

Header = tuple[str, str]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 -- the grammar of a token (RFC 9110, section 5.6.2)
_MEDIA_TYPE = re.compile(rf"[ \t]*({_TOKEN}/{_TOKEN})")
_PARAMETER = re.compile(rf';[ \t]*({_TOKEN})[ \t]*=[ \t]*(?:"([^"]*)"|({_TOKEN}))')
# A longer Content-Type is not read beyond this.
_MAX_CONTENT_TYPE = 1024


class Request(NamedTuple):
    """``url`` is already escaped and is sent unchanged. ``idempotent``: the request may be sent again."""

    method: str
    url: str
    headers: tuple[Header, ...] = ()
    body: bytes | None = None
    idempotent: bool = False


class Reply(NamedTuple):
    """``headers`` by lower-case name. ``received_at`` is the Unix time at which the headers arrived.

    ``cut`` is None if ``body`` is complete. Otherwise it is the full length in bytes, or 0 if the length is unknown.
    ``broken`` says why ``body`` could not be read to its end; ``is_incomplete``: because the connection ended.
    """

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    cut: int | None = None
    broken: str = ""
    is_incomplete: bool = False
    received_at: float = 0.0

    @property
    def content_type(self) -> str:
        """The Content-Type header; empty if absent."""
        return self.headers.get("content-type", "")

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, in lower case; empty if absent or malformed. The first of several counts."""
        return _parse_content_type(self.content_type[:_MAX_CONTENT_TYPE])[0]

    @property
    def charset(self) -> str:
        """The parameter ``charset`` of Content-Type, in lower case; empty if absent."""
        return _parse_content_type(self.headers.get("content-type", "")[:_MAX_CONTENT_TYPE])[1]

    @property
    def is_json(self) -> bool:
        """Whether the media type is ``*/json`` or ``*/*+json``."""
        return _parse_content_type(self.headers.get("content-type", "")[:_MAX_CONTENT_TYPE])[2]


@lru_cache(maxsize=256)
def _parse_content_type(value: str) -> tuple[str, str, bool]:
    """Media type and charset, in lower case, and whether that is JSON. Backends send few different values."""
    found = _MEDIA_TYPE.match(value)
    parameters = (parameter for parameter in _PARAMETER.finditer(value) if parameter[1].lower() == "charset")
    charset = next(((each[2] or each[3] or "").strip(" \t'").lower() for each in parameters), "")
    media_type = found[1].lower() if found else ""
    return media_type, charset, media_type.endswith(("/json", "+json"))
