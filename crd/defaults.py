"""PURE. Derived defaults: those that depend on another field, so the schema cannot state them.

Called by the mutating webhook and before an offline verdict. Static defaults are in the CRDs. What a server derives
from its own spec at use (the session mode) is not written down: a value filled in on one day would bind the author on
the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.manifest import kind_of
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["defaulted"]


def defaulted(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with derived defaults filled in: ``spec.name`` and ``spec.service.namespace``.

    Nothing is filled in inside a list: ``kubectl apply`` sends a list whole, so it would take the value out again, and
    call an unchanged object configured. Never overrides a value, keeps fields it does not know, and gives an equal
    manifest for anything of another shape.
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
