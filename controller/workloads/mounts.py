"""PURE. Secrets and ConfigMaps in the pods: one volume each, where the runtime looks for them.

They are optional: a pod starts without them, and the kubelet brings them in when they come and when they change.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from crd.published import settings
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["mounted", "secret_path", "volume_mounts", "volumes"]

_PREFIXES = {Kind.SECRET: "secret-", Kind.CONFIG_MAP: "config-map-"}
_ROOTS = {Kind.SECRET: settings.SECRETS, Kind.CONFIG_MAP: settings.CONFIG_MAPS}


def secret_path(name: str, key: str = "") -> str:
    """Where a pod finds a Secret, or one key of it."""
    return "/".join(part for part in (settings.SECRETS, name, key) if part)


def volumes(mounts: Sequence[Ref]) -> list[dict[str, Any]]:
    """The volumes of a pod. Their names are digests: those of Secrets may be too long, and hold dots."""
    return [{"name": _name(ref), **_source(ref)} for ref in mounts]


def volume_mounts(mounts: Sequence[Ref]) -> list[dict[str, Any]]:
    """The volumeMounts of the container."""
    return [{"name": _name(ref), "mountPath": f"{_ROOTS[ref.kind]}/{ref.name}", "readOnly": True} for ref in mounts]


def mounted(namespace: str, pod: Mapping[str, Any]) -> frozenset[Ref]:
    """What a pod spec mounts already."""
    found = set()
    for volume in pod.get("volumes") or ():
        name = volume.get("name") or ""
        if name.startswith(_PREFIXES[Kind.SECRET]) and "secret" in volume:
            found.add(Ref(Kind.SECRET, namespace, volume["secret"]["secretName"]))
        elif name.startswith(_PREFIXES[Kind.CONFIG_MAP]) and "configMap" in volume:
            found.add(Ref(Kind.CONFIG_MAP, namespace, volume["configMap"]["name"]))
    return frozenset(found)


def _name(ref: Ref) -> str:
    return _PREFIXES[ref.kind] + hashlib.sha256(ref.name.encode()).hexdigest()[:16]


def _source(ref: Ref) -> dict[str, Any]:
    if ref.kind is Kind.SECRET:
        return {"secret": {"secretName": ref.name, "optional": True}}
    return {"configMap": {"name": ref.name, "optional": True}}
