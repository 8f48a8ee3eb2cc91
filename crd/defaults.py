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
    """The manifest with derived defaults filled in: ``spec.name``, and ``namespace`` of every ``service``.

    Never overrides a value, keeps fields it does not know, and gives an equal manifest for anything of another shape.
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
    if isinstance(namespace, str):
        _fill(spec, namespace)
        if isinstance(spec.get("operations"), list):
            spec["operations"] = [_filled(operation, namespace) for operation in spec["operations"]]
    return {**result, "spec": spec}


def _filled(operation: Any, namespace: str) -> Any:
    if not isinstance(operation, dict):
        return operation
    operation = dict(operation)
    _fill(operation, namespace)
    return operation


def _fill(holder: dict[str, Any], namespace: str) -> None:
    if isinstance(holder.get("service"), dict):
        holder["service"] = {"namespace": namespace, **holder["service"]}
