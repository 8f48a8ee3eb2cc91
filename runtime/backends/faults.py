"""PURE. Why a call failed, as reported to the model and to callers of REST paths.

Each fault knows what became of the request (`Fate`). Whether the call may be repeated, what the model reads, the log
and the metric follow from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from runtime.backends import error_bodies

if TYPE_CHECKING:
    from runtime.http.exchange import Reply

__all__ = [
    "CallError",
    "Fate",
    "after_attempts",
    "bad_response",
    "before_call",
    "disconnected",
    "drifted",
    "from_reply",
    "retry_after",
    "timeout",
    "unreachable",
]

# Seconds: the longest Retry-After that is reported, about eleven days.
MAX_RETRY_AFTER = 999_999
MAX_LOCATION = 1024
_NOTHING_SENT = "; nothing was sent"
_SECONDS = re.compile(r"([0-9]+)(?:\.0*|(\.0*[1-9][0-9]*))?")
# The three forms of a date (RFC 9110, section 5.6.7). Only the last one lacks the zone, which is GMT, too.
_DATE = re.compile(
    r"[A-Z][a-z]{2}, (?P<d>\d\d) (?P<m>[A-Z][a-z]{2}) (?P<y>\d{4}) (?P<t>\d\d:\d\d:\d\d) (?:GMT|UTC|[+-]0000)"
    r"|[A-Z][a-z]{5,8}, (?P<d2>\d\d)-(?P<m2>[A-Z][a-z]{2})-(?P<y2>\d\d) (?P<t2>\d\d:\d\d:\d\d) GMT"
    r"|[A-Z][a-z]{2} (?P<m3>[A-Z][a-z]{2}) (?P<d3>[ \d]\d) (?P<t3>\d\d:\d\d:\d\d) (?P<y3>\d{4})",
    re.ASCII,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_STATUS = {
    "invalid_arguments": 400,
    "invalid_request": 400,
    "misconfigured": 500,
    "drifted": 502,
    "unavailable": 503,
    "unreachable": 502,
    "disconnected": 502,
    "timeout": 504,
    "bad_response": 502,
    "rate_limited": 429,
}
_CODES = {
    400: "invalid_request",
    401: "upstream_denied",
    403: "upstream_denied",
    404: "not_found",
    409: "conflict",
    410: "not_found",
    412: "conflict",
    422: "invalid_request",
    429: "upstream_busy",
}
# Statuses after which the same request may succeed later. 501 and 505 will not change.
_TRANSIENT = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})


class Fate(StrEnum):
    """What became of the request of a failed call. The value is what the model reads."""

    NOT_SENT = "not sent"
    # A request that was sent, and whose effect on the backend cannot be known.
    UNKNOWN = "sent, outcome unknown"
    # The backend answered that it did not carry out the request.
    REFUSED = "refused"
    # The backend answered that it carried out the request.
    DONE = "done"


@dataclass(slots=True, eq=False)
class CallError(Exception):
    """A failed call. ``code`` is one of a fixed set. ``status`` is the backend's HTTP status, if it sent one.

    ``is_transient``: the cause may pass. ``idempotent``: the request may be carried out twice. ``detail``, a JSON
    value, quotes the backend. It is set for 4xx replies only, because those address the caller.
    """

    code: str
    message: str
    fate: Fate = Fate.NOT_SENT
    is_transient: bool = False
    idempotent: bool = False
    status: int | None = None
    retry_after: int | None = None
    detail: Any = None

    def __post_init__(self) -> None:
        if self.fate is not Fate.NOT_SENT and self.code in ("unreachable", "invalid_arguments", "unavailable"):
            raise ValueError(f"{self.code} must not be reported for a request that is {self.fate}")

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def retryable(self) -> bool:
        """Whether the same call may be made again: it may succeed then, and cannot take effect twice."""
        return self.is_transient and (self.idempotent or self.fate in (Fate.NOT_SENT, Fate.REFUSED))

    def to_json(self, request_id: str) -> str:
        """The fault as one line of JSON, without absent members."""
        members = {
            "code": self.code,
            "status": self.status,
            "message": self.message,
            "request": self.fate.value,
            "retryable": self.retryable,
            "retryAfter": self.retry_after,
            "requestId": request_id,
            "detail": self.detail,
        }
        return orjson.dumps({"error": {key: value for key, value in members.items() if value is not None}}).decode()

    @property
    def http_status(self) -> int:
        """The HTTP status with which a REST path reports the fault: the backend's own, if it is an error."""
        if self.status is not None and 400 <= self.status < 600:
            return self.status
        return _HTTP_STATUS.get(self.code, 502)


def from_reply(reply: Reply, *, idempotent: bool) -> CallError:
    """The fault for a reply with an unexpected status. 401 and 403 concern our credentials, so they have no detail."""
    status = reply.status
    code = _CODES.get(status) or ("invalid_request" if 400 <= status < 500 else "upstream_error")
    is_transient = status in _TRANSIENT
    has_detail = 400 <= status < 500 and code != "upstream_denied"
    return CallError(
        code,
        f"the backend answered {_name(status)}{_redirect(reply)}",
        _fate(status),
        is_transient,
        idempotent,
        status,
        retry_after=retry_after(reply) if is_transient else None,
        detail=error_bodies.detail(reply) if has_detail else None,
    )


def bad_response(status: int, what: str, *, is_transient: bool = False, idempotent: bool = False) -> CallError:
    """The fault for a reply that its status calls a reply, and that cannot be used. ``what`` is wrong with it."""
    fate = _fate(status)
    outcome = "; the request itself is done, do not repeat it" if fate is Fate.DONE and not idempotent else ""
    return CallError("bad_response", f"{what}{outcome}", fate, is_transient, idempotent, status)


def timeout(seconds: float, *, idempotent: bool, status: int | None = None) -> CallError:
    """The fault for a request that was sent and has no complete reply after ``seconds``. ``status`` if it began."""
    limit = f"{max(0.1, round(seconds, 1)):g} s"
    message = f"no reply within {limit}" if status is None else f"the reply did not end within {limit}"
    return CallError("timeout", message, _fate(status), True, idempotent, status)


def disconnected(what: str, *, idempotent: bool) -> CallError:
    """The fault for a request that was sent, and whose connection ended without a reply."""
    return CallError("disconnected", what, Fate.UNKNOWN, True, idempotent)


def unreachable(what: str, *, is_transient: bool = True) -> CallError:
    """The fault for a request of which nothing was sent, because there was no connection."""
    return CallError("unreachable", f"{what}{_NOTHING_SENT}", Fate.NOT_SENT, is_transient)


def drifted(verdict: str) -> CallError:
    """The fault of a call of a pinned tool that is no longer what was reviewed."""
    message = (
        f"the MCP server of this tool no longer lists it as it was reviewed: {verdict}; calls are refused until an "
        "administrator runs mcp-operator import mcp again and reviews the difference"
    )
    return CallError("drifted", f"{message}{_NOTHING_SENT}")


def after_attempts(fault: CallError, earlier: Fate) -> CallError:
    """The fault of a call whose last attempt failed, if the outcome of an ``earlier`` attempt is unknown, too."""
    if earlier is not Fate.UNKNOWN or fault.fate in (Fate.UNKNOWN, Fate.DONE):
        return fault
    message = f"{fault.message.removesuffix(_NOTHING_SENT)}; an earlier attempt was sent, and its outcome is unknown"
    code = "disconnected" if fault.code == "unreachable" else fault.code
    return replace(fault, code=code, message=message, fate=Fate.UNKNOWN)


def before_call(fault: CallError) -> CallError:
    """The fault of a call that was not sent, because what has to precede it failed."""
    message = f"no session with the backend could be opened: {fault.message}"
    return replace(fault, message=message, fate=Fate.NOT_SENT)


def retry_after(reply: Reply) -> int | None:
    """Seconds of Retry-After, whether it is a number or a date (RFC 9110, section 10.2.3), at most `MAX_RETRY_AFTER`.

    A date is compared with the backend's own clock, if it sent the header Date. A fraction, which the RFC does not have
    and some backends send, is rounded up. None for anything else.
    """
    value = reply.headers.get("retry-after", "").strip()
    found = _SECONDS.fullmatch(value)
    if found is not None:
        whole = int(found[1]) if len(found[1]) <= 6 else MAX_RETRY_AFTER
        return min(whole + (found[2] is not None), MAX_RETRY_AFTER)
    until = _parse_date(value)
    if until is None:
        return None
    now = _parse_date(reply.headers.get("date", "").strip()) or datetime.fromtimestamp(reply.received_at, UTC)
    return max(0, min(-((now - until) // timedelta(seconds=1)), MAX_RETRY_AFTER))


def _parse_date(value: str) -> datetime | None:
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    day, month, year, clock = (
        next(text for text in (found[name], found[f"{name}2"], found[f"{name}3"]) if text) for name in "dmyt"
    )
    # A year of two digits is in the past or less than 50 years ahead; Retry-After is never about the last century.
    full_year = int(year) + (2000 if len(year) == 2 else 0)
    try:
        hour, minute, second = map(int, clock.split(":"))
        # A leap second is the last second of its minute.
        return datetime(full_year, _MONTHS.index(month) + 1, int(day), hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None


def _fate(status: int | None) -> Fate:
    """What a status says about its request. A redirect other than 303 asks for another request (RFC 9110, 15.4)."""
    if status is None:
        return Fate.UNKNOWN
    if 200 <= status < 300 or status == 303:
        return Fate.DONE
    return Fate.REFUSED if 400 <= status < 500 or status in (307, 308) else Fate.UNKNOWN


def _name(status: int) -> str:
    """The status and its phrase, which is ours: a backend's own phrase may be any text."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _redirect(reply: Reply) -> str:
    """Where a redirect points, without credentials, query and fragment, which may be secret."""
    location = reply.headers.get("location", "").strip()
    if not 300 <= reply.status < 400 or not location:
        return ""
    try:
        parts = urlsplit(location[:MAX_LOCATION])
    except ValueError:
        return ", which points to an invalid URL"
    host = parts.netloc.rpartition("@")[2]
    target = f"{parts.scheme}:" * bool(parts.scheme) + f"//{host}" * bool(host) + parts.path
    query = "?…" if parts.query else ""
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in target)
    return f", which points to {clean}{query}; redirects are not followed"
