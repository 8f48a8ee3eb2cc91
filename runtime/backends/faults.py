"""PURE. What went wrong with a call, as the model and the plain-HTTP doors are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["CallError", "of_status"]

_DOORS = {
    "invalid_arguments": 400,
    "misconfigured": 500,
    "unavailable": 503,
    "unreachable": 502,
    "timeout": 504,
    "bad_response": 502,
    "rate_limited": 429,
}


@dataclass(slots=True, eq=False)
class CallError(Exception):
    """A call that failed. ``code`` is one of a fixed vocabulary, ``status`` the backend's HTTP status if it gave one.

    ``detail`` is the backend's own words, for its 4xx answers only: those speak to the caller.
    """

    code: str
    message: str
    retryable: bool = False
    status: int | None = None
    retry_after: int | None = None
    detail: str | None = None

    def line(self, request_id: str) -> str:
        """One line of JSON, for the text of an ``isError`` result. Absent members are left out."""
        members = {
            "code": self.code,
            "status": self.status,
            "message": self.message,
            "retryable": self.retryable,
            "retryAfter": self.retry_after,
            "requestId": request_id,
            "detail": self.detail,
        }
        return orjson.dumps({"error": {key: value for key, value in members.items() if value is not None}}).decode()

    @property
    def door_status(self) -> int:
        """The HTTP status of a plain-HTTP door: the backend's own where it answered."""
        return self.status or _DOORS.get(self.code, 502)


def of_status(status: int, body: bytes, *, idempotent: bool, retry_after: str | None = None) -> CallError:
    """The fault that a backend's status means; 401 and 403 are the backend's quarrel with us, not the client's."""
    code = {400: "invalid_request", 422: "invalid_request", 401: "upstream_denied", 403: "upstream_denied"}.get(status)
    code = code or {404: "not_found", 410: "not_found", 409: "conflict", 412: "conflict", 429: "upstream_busy"}.get(
        status
    )
    if code is None:
        code = "upstream_error" if status >= 500 or status < 400 else "invalid_request"
    passing = status == 429 or status >= 500
    return CallError(
        code,
        f"the backend answered {status}",
        retryable=idempotent and passing,
        status=status,
        retry_after=int(retry_after) if passing and retry_after and retry_after.isdigit() else None,
        detail=_detail(body) if 400 <= status < 500 and code != "upstream_denied" else None,
    )


def _detail(body: bytes) -> str | None:
    """A problem's title and detail (RFC 9457), else the text; at most 4 KiB, without control characters."""
    text = body[:65536].decode(errors="replace")
    try:
        problem: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    if isinstance(problem, dict) and (problem.get("title") or problem.get("detail")):
        text = ": ".join(str(problem[key]) for key in ("title", "detail") if problem.get(key))
    clean = "".join(character if character.isprintable() or character in "\n\t" else " " for character in text)
    return clean.strip()[:4096] or None
