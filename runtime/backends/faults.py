"""PURE. Why a call failed, as reported to the model and to callers of REST paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["CallError", "from_status", "timeout"]

# Retry-After in seconds (RFC 9110, section 10.2.3), up to about eleven days; a date is ignored.
_SECONDS = re.compile("[0-9]{1,6}")
_HTTP_STATUS = {
    "invalid_arguments": 400,
    "misconfigured": 500,
    "unavailable": 503,
    "unreachable": 502,
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


@dataclass(slots=True, eq=False)
class CallError(Exception):
    """A failed call. ``code`` is one of a fixed set. ``status`` is the backend's HTTP status, if it sent one.

    ``detail`` quotes the backend. It is set for 4xx replies only, because those address the caller.
    """

    code: str
    message: str
    retryable: bool = False
    status: int | None = None
    retry_after: int | None = None
    detail: str | None = None

    def to_json(self, request_id: str) -> str:
        """The fault as one line of JSON, without absent members."""
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
    def http_status(self) -> int:
        """The HTTP status with which a REST path reports the fault: the backend's own, if it sent one."""
        return self.status or _HTTP_STATUS.get(self.code, 502)


def from_status(status: int, body: bytes, *, idempotent: bool, retry_after: str | None = None) -> CallError:
    """The fault for a backend's status. 401 and 403 concern our credentials, so the client sees no detail of them."""
    code = _CODES.get(status) or ("upstream_error" if status >= 500 or status < 400 else "invalid_request")
    is_transient = status == 429 or status >= 500
    return CallError(
        code,
        f"the backend answered {status}",
        retryable=idempotent and is_transient,
        status=status,
        retry_after=int(retry_after) if is_transient and retry_after and _SECONDS.fullmatch(retry_after) else None,
        detail=_detail(body) if 400 <= status < 500 and code != "upstream_denied" else None,
    )


def timeout(seconds: float, *, retryable: bool) -> CallError:
    """The fault for a backend that sent no reply in time."""
    return CallError("timeout", f"no reply within {max(0.1, round(seconds, 1)):g} s", retryable=retryable)


def _detail(body: bytes) -> str | None:
    """Title and detail of a problem (RFC 9457), else the body as text: at most 4 KiB, without control characters."""
    text = body[:65536].decode(errors="replace")
    try:
        problem: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    if isinstance(problem, dict) and (problem.get("title") or problem.get("detail")):
        text = ": ".join(str(problem[key]) for key in ("title", "detail") if problem.get(key))
    clean = "".join(character if character.isprintable() or character in "\n\t" else " " for character in text)
    return clean.strip()[:4096] or None
