"""PURE. The CA as it stands in its Secret."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from certs.authority import Authority, Pair

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["manifest", "parse"]


def parse(secret: Mapping[str, Any] | None) -> Authority | None:
    """The CA in a Secret; None if there is no Secret, or no pair in it."""
    data = (secret or {}).get("data") or {}
    try:
        parts = {name: base64.b64decode(value, validate=True) for name, value in data.items()}
    except (binascii.Error, TypeError):
        return None
    if not parts.get("tls.crt") or not parts.get("tls.key"):
        return None
    following = Pair(parts["next.crt"], parts["next.key"]) if parts.get("next.crt") and parts.get("next.key") else None
    return Authority(Pair(parts["tls.crt"], parts["tls.key"]), following, parts.get("previous.crt") or None)


def manifest(namespace: str, name: str, authority: Authority, resource_version: str | None = None) -> dict[str, Any]:
    """The Secret that holds this CA; with a resourceVersion, it replaces only that state of it."""
    parts = {"tls.crt": authority.current.certificate, "tls.key": authority.current.key}
    if authority.following:
        parts |= {"next.crt": authority.following.certificate, "next.key": authority.following.key}
    if authority.previous:
        parts["previous.crt"] = authority.previous
    metadata: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "labels": {"app.kubernetes.io/part-of": "mcp-operator"},
    }
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in parts.items()},
    }
