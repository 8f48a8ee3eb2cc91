"""PURE. What the API server and ``kubectl apply`` refuse, or change, in the metadata of any object.

Inside a cluster these faults never reach the webhook; files are checked without an API server. The rules are those of
apimachinery (``pkg/api/validation/objectmeta.go``, ``pkg/util/validation``) and of kubectl's client-side apply. Called
by `cli.commands.check`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from crd.finding import Finding, Level, Reason, shorten
from crd.ref import Kind
from crd.suggestions import Suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.ref import Ref

__all__ = ["MAX_ANNOTATIONS", "find_faults"]

Path = tuple[str | int, ...]
# apimachinery, TotalAnnotationSizeLimitB.
MAX_ANNOTATIONS = 256 * 1024
MAX_NULLS = 10
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_GENERATED = re.compile(r"[a-z0-9]([-a-z0-9.]*)")
# ObjectMeta v1.
_MEMBERS = (
    "annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
    "generation", "labels", "managedFields", "name", "namespace", "ownerReferences", "resourceVersion", "selfLink",
    "uid",
)  # fmt: skip
# Fields of our kinds whose members the API server does not know, so that it stores nulls there.
_OPEN = ("inputSchema", "outputSchema")


def find_faults(ref: Ref, raw: Mapping[str, Any]) -> Iterator[Finding]:
    """The findings about an object of a file, with paths from its root."""
    metadata = raw.get("metadata")
    if isinstance(metadata, dict):
        yield from _names(ref, metadata)
        yield from _maps(ref, metadata)
        yield from _sizes(ref, raw, metadata)
    yield from _nulls(ref, raw)


def _names(ref: Ref, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    name, prefix, namespace = (metadata.get(member) for member in ("name", "generateName", "namespace"))
    # The name of an MCPServer has a rule of its own, which is stricter.
    if isinstance(name, str) and name and ref.kind is not Kind.SERVER and not _is_subdomain(name):
        message = (
            f'must have at most 253 lower-case letters, digits, "-" and ".", and start and end with a letter or digit, '
            f"got {shorten(name)}; rename the object"
        )
        yield Finding.of(Reason.INVALID_NAME, ref, message, path=("metadata", "name"))
    if isinstance(prefix, str) and prefix and not name and not _GENERATED.fullmatch(prefix):
        message = f'must have lower-case letters, digits, "-" and ".", got {shorten(prefix)}; correct it'
        yield Finding.of(Reason.INVALID_NAME, ref, message, path=("metadata", "generateName"))
    if isinstance(namespace, str) and namespace and not (_LABEL.fullmatch(namespace) and len(namespace) <= 63):
        message = f'must have at most 63 lower-case letters, digits and "-", got {shorten(namespace)}; correct it'
        yield Finding.of(Reason.INVALID_FIELD, ref, message, path=("metadata", "namespace"))
    known = Suggestions(_MEMBERS)
    for member in metadata:
        if member not in _MEMBERS:
            near = known.nearest(str(member))
            repair = f'did you mean "{near}"?' if near else "remove it"
            message = f'unknown field "{member}"; {repair}'
            yield Finding.of(Reason.UNKNOWN_FIELD, ref, message, path=("metadata", str(member)))


def _maps(ref: Ref, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    for member in ("labels", "annotations"):
        values = metadata.get(member)
        for key, value in values.items() if isinstance(values, dict) else ():
            path = ("metadata", member, str(key))
            if isinstance(key, str) and not _is_qualified(key.lower() if member == "annotations" else key):
                message = (
                    f"{shorten(key)} is not a valid key; use a name of at most 63 letters, digits, "
                    '"-", "_" and ".", optionally after a domain and "/"'
                )
                yield Finding.of(Reason.INVALID_FIELD, ref, message, path=path)
            elif member == "labels" and isinstance(value, str) and not _is_label_value(value):
                message = (
                    'must have at most 63 letters, digits, "-", "_" and ".", and start and end with a letter or '
                    f"digit, got {shorten(value)}; correct it"
                )
                yield Finding.of(Reason.INVALID_FIELD, ref, message, path=path)
            elif member == "annotations" and not isinstance(value, str):
                repair = "; quote it" if isinstance(value, bool | int | float) else ""
                message = f"must be a string, got {json.dumps(value, default=str)[:80]}{repair}"
                yield Finding.of(Reason.INVALID_FIELD, ref, message, path=path)


def _sizes(ref: Ref, raw: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Finding]:
    values = metadata.get("annotations")
    given = {
        key: value
        for key, value in (values.items() if isinstance(values, dict) else ())
        if isinstance(key, str) and isinstance(value, str) and key != _LAST_APPLIED
    }
    size = sum(_bytes(key) + _bytes(value) for key, value in given.items())
    if size > MAX_ANNOTATIONS:
        message = f"all annotations must have at most {MAX_ANNOTATIONS} bytes, got {size}; shorten them"
        yield Finding.of(Reason.INVALID_FIELD, ref, message, path=("metadata", "annotations"))
        return
    text = json.dumps(raw, ensure_ascii=False, separators=(",", ":"), default=str)
    applied = size + len(_LAST_APPLIED) + _bytes(text) + 1
    if applied > MAX_ANNOTATIONS:
        message = (
            f"kubectl apply copies the object into an annotation, and all annotations must have at most "
            f"{MAX_ANNOTATIONS} bytes, got {applied}; use kubectl apply --server-side, or shorten the object"
        )
        path = ("metadata", "annotations")
        yield Finding.of(
            Reason.INVALID_FIELD, ref, message, subject=("client-side apply",), path=path, level=Level.WARNING
        )


def _nulls(ref: Ref, raw: Mapping[str, Any]) -> Iterator[Finding]:
    """Nulls that a JSON merge patch (RFC 7386) removes. It replaces a list as a whole, so they stay in one."""
    spec = raw.get("spec")
    if ref.kind is not Kind.TOOL or not isinstance(spec, dict):
        return
    left = MAX_NULLS
    pending: list[tuple[Path, Any]] = [(("spec", member), spec.get(member)) for member in reversed(_OPEN)]
    while pending and left:
        path, node = pending.pop()
        if not isinstance(node, dict):
            continue
        for key, value in node.items():
            if value is None and left:
                left -= 1
                message = (
                    "kubectl apply drops a null when it updates the object, and server-side apply keeps it; "
                    "remove it, or write a list such as enum: [null]"
                )
                here = (*path, str(key))
                yield Finding.of(
                    Reason.INVALID_FIELD, ref, message, subject=(*map(str, here), "null"), path=here,
                    level=Level.WARNING,
                )  # fmt: skip
        pending += [((*path, str(key)), value) for key, value in reversed(node.items()) if isinstance(value, dict)]


def _is_subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def _is_qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not _is_subdomain(prefix):
        return False
    return len(name) <= 63 and _QUALIFIED.fullmatch(name) is not None


def _is_label_value(value: str) -> bool:
    return not value or (len(value) <= 63 and _QUALIFIED.fullmatch(value) is not None)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
