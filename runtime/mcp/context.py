"""PURE. What a call carries besides its arguments: the client, the era and the settings."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from crd.published.settings import Settings
from runtime.telemetry.call_record import CallRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Context"]

_SETTINGS = Settings()
# For calls of which nobody reads the record.
_UNREAD = CallRecord()


class Context(NamedTuple):
    """``principal`` is the user of the token or the name of the API key; empty without authentication.

    ``claims`` are those of the client's verified token. ``headers`` has all values of the client's headers, by
    lower-case name. ``modern``: the call belongs to the stateless era. ``record`` is filled along the way.
    """

    request_id: str
    principal: str = ""
    claims: Mapping[str, Any] = MappingProxyType({})
    headers: Mapping[str, Sequence[str]] = MappingProxyType({})
    modern: bool = True
    settings: Settings = _SETTINGS
    record: CallRecord = _UNREAD
