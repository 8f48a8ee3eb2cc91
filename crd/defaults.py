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
    from collections.abc import Mapping

__all__ = ["set_defaults"]


def set_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with derived defaults: ``spec.name`` and ``spec.service.namespace``.

    Nothing is set inside lists: ``kubectl apply`` sends a list as a whole, so every apply would remove the value again
    and report a change. Existing values and unknown fields are kept; a manifest of another shape is returned unchanged.
    """
    result = dict(raw)
    metadata, spec = raw.get("metadata"), raw.get("spec")
    if kind_of(raw) not in (Kind.TOOL, Kind.PROMPT, Kind.RESOURCE):
        return result
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        return result
    spec = dict(spec)
    if isinstance(metadata.get("name"), str):
        spec.setdefault("name", metadata["name"])
    namespace = metadata.get("namespace")
    if isinstance(namespace, str) and isinstance(spec.get("service"), dict):
        spec["service"] = {"namespace": namespace, **spec["service"]}
    return {**result, "spec": spec}
