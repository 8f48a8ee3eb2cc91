"""PURE. Derived defaults: those that depend on another field, so that the schema cannot set them.

Called by the mutating webhook and before an offline verdict. Static defaults are in the CRDs. Values that are derived
when they are used, such as the session mode, are not set here: a stored value would no longer follow later changes of
the fields that it is derived from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.manifest import kind_of
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["missing", "set_defaults"]

Path = tuple[str, ...]
_NAME: Path = ("spec", "name")
_NAMESPACE: Path = ("spec", "service", "namespace")


def missing(raw: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The derived defaults that a manifest lacks: ``spec.name`` and ``spec.service.namespace``, each with its path.

    Nothing is set inside lists: ``kubectl apply`` sends a list as a whole, so every apply would remove the value again
    and report a change. A manifest of another shape lacks nothing.
    """
    metadata, spec = raw.get("metadata"), raw.get("spec")
    if kind_of(raw) not in (Kind.TOOL, Kind.PROMPT, Kind.RESOURCE):
        return
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        return
    name, namespace, service = metadata.get("name"), metadata.get("namespace"), spec.get("service")
    if isinstance(name, str) and "name" not in spec:
        yield _NAME, name
    if isinstance(namespace, str) and isinstance(service, dict) and "namespace" not in service:
        yield _NAMESPACE, namespace


def set_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its derived defaults. Existing values and unknown fields are kept."""
    found = dict(missing(raw))
    if not found:
        return dict(raw)
    spec = dict(raw["spec"])
    if _NAME in found:
        spec["name"] = found[_NAME]
    if _NAMESPACE in found:
        spec["service"] = {"namespace": found[_NAMESPACE], **spec["service"]}
    return {**raw, "spec": spec}
