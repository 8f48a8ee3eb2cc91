"""PURE. AdmissionReview v1: what the API server asks, and our answer, as bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

from crd.access import Requester

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ALLOWED", "InvalidReviewError", "Operation", "Review", "allowed", "denied", "failed", "parse"]

API_VERSION = "admission.k8s.io/v1"
# The API server limits what a user is: a client certificate or token of a few KiB. Groups are never cut, because a
# right can come from any of them.
MAX_REQUESTER_BYTES = 256 * 1024
ANONYMOUS = Requester()


class InvalidReviewError(ValueError):
    """The bytes are not an AdmissionReview of v1."""


class Operation(StrEnum):
    """What is being done to the object."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


ALLOWED = {"verdict": "allowed"}
"""The audit annotations of a decision without findings."""
# The answer with these alone, which is the most frequent one.
_ALLOWED = (
    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%s,"allowed":true,'
    b'"auditAnnotations":{"verdict":"allowed"}}}'
)
_OPERATIONS: dict[Any, Operation] = {operation.value: operation for operation in Operation}


@dataclass(frozen=True, slots=True)
class Review:
    """One question. ``new`` is None for a deletion, ``old`` for a creation."""

    uid: str
    operation: Operation
    kind: str
    namespace: str
    name: str
    new: Mapping[str, Any] | None = field(repr=False)
    old: Mapping[str, Any] | None = field(repr=False)
    dry_run: bool = False
    requester: Requester = ANONYMOUS


def parse(payload: bytes) -> Review:
    """Read a review. Raises InvalidReviewError for anything that is not one."""
    try:
        raw = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise InvalidReviewError(f"the body is not JSON: {error}") from error
    request = raw.get("request") if isinstance(raw, dict) else None
    if not isinstance(request, dict) or raw.get("apiVersion") != API_VERSION or raw.get("kind") != "AdmissionReview":
        raise InvalidReviewError(f"the body is not an AdmissionReview of {API_VERSION}")
    uid, kind = request.get("uid"), request.get("kind")
    if not isinstance(uid, str) or not uid or not isinstance(kind, dict):
        raise InvalidReviewError("the request lacks uid or kind")
    try:
        operation = _OPERATIONS[request.get("operation")]
    except (KeyError, TypeError) as error:
        raise InvalidReviewError(f"operation {request.get('operation')!r} is not one we are registered for") from error
    new, old = request.get("object"), request.get("oldObject")
    for member, value in (("object", new), ("oldObject", old)):
        if value is not None and not isinstance(value, dict):
            raise InvalidReviewError(f"{member} is not an object")
    return Review(
        uid,
        operation,
        str(kind.get("kind")),
        str(request.get("namespace") or ""),
        str(request.get("name") or ""),
        new,
        old,
        request.get("dryRun") is True,
        _requester(request.get("userInfo")),
    )


def allowed(
    uid: str,
    *,
    warnings: Sequence[str] = (),
    patch: Sequence[Mapping[str, Any]] = (),
    audit: Mapping[str, str] | None = None,
) -> bytes:
    """Yes, perhaps with warnings, a JSON Patch (RFC 6902) and audit annotations."""
    if not warnings and not patch and audit == ALLOWED:
        return _ALLOWED % orjson.dumps(uid)
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(list(patch))).decode()}
    return _rendered(response, warnings, audit)


def denied(
    uid: str,
    message: str,
    *,
    code: int = 422,
    reason: str,
    causes: Sequence[Mapping[str, str]] = (),
    warnings: Sequence[str] = (),
    audit: Mapping[str, str] | None = None,
) -> bytes:
    """No. kubectl prints ``reason`` and, behind the name of the webhook, ``message``.

    Not the reason ``Invalid``: for that one kubectl prints the causes instead, and those without their reasons.
    """
    status: dict[str, Any] = {"status": "Failure", "code": code, "reason": reason, "message": message}
    if causes:
        status["details"] = {"causes": [dict(cause) for cause in causes]}
    return _rendered({"uid": uid, "allowed": False, "status": status}, warnings, audit)


def failed(uid: str, code: int, message: str) -> bytes:
    """We could not judge; sent with an HTTP status of 5xx, so that the failure policy decides."""
    return denied(uid, message, code=code, reason="InternalError")


def _requester(value: object) -> Requester:
    """The user of a request; without userInfo, one without a name, who has no rights."""
    if value is None:
        return ANONYMOUS
    if not isinstance(value, dict):
        raise InvalidReviewError("userInfo is not an object")
    user, uid, groups = value.get("username"), value.get("uid", ""), value.get("groups", ())
    if type(user) is str and type(uid) is str and type(groups) is list and not value.get("extra"):
        # As nearly every requester is; what follows finds the same.
        size = len(user) + len(uid)
        for group in groups:
            if type(group) is not str:
                raise InvalidReviewError("userInfo is malformed")
            size += len(group)
        if size <= MAX_REQUESTER_BYTES:
            return Requester(user, uid, tuple(groups))
    texts = {member: "" if value.get(member) is None else value[member] for member in ("username", "uid")}
    groups, extra = value.get("groups") or [], value.get("extra") or {}
    lists: list[Any] = [groups, *extra.values()] if isinstance(extra, dict) else [None]
    if not all(isinstance(text, str) for text in texts.values()) or not all(map(_is_texts, lists)):
        raise InvalidReviewError("userInfo is malformed")
    size = sum(map(len, (*texts.values(), *extra))) + sum(len(text) for each in lists for text in each)
    if size > MAX_REQUESTER_BYTES:
        raise InvalidReviewError(f"userInfo has more than {MAX_REQUESTER_BYTES // 1024} KiB")
    return Requester(
        texts["username"], texts["uid"], tuple(groups), {key: tuple(values) for key, values in extra.items()}
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _rendered(response: dict[str, Any], warnings: Sequence[str], audit: Mapping[str, str] | None) -> bytes:
    if warnings:
        response["warnings"] = list(warnings)
    if audit:
        response["auditAnnotations"] = dict(audit)
    return orjson.dumps({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})
