"""PURE. The CA, and the keys of the paths, as they are stored in their Secret.

``tls.crt`` and ``tls.key`` are the current CA, ``next.crt`` and ``next.key`` the next one, ``previous.crt`` the
certificates of replaced ones. ``signer`` is the fingerprint of the CA that may sign: a pair that somebody else puts in
place of the current one does not match it, and signs nothing, because no API server trusts it yet.

``path.key``, ``path.next`` and ``path.previous`` are the keys of `certs.paths`, and ``path.created`` is the time when
the current one was registered. With certificates of cert-manager these are all that the Secret holds, and another one
holds the certificate: ``tls.crt`` and ``tls.key``.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from certs.authority import Authority, Pair, fingerprint
from certs.paths import NO_KEYS, PathKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["certificates", "keys_manifest", "manifest", "parse", "parse_keys", "parse_pair"]

_KEY_NAMES = ("path.key", "path.next", "path.previous")
_KEY = re.compile(rb"(?:[0-9a-f]{32})?")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?")


def parse(secret: Mapping[str, Any] | None) -> Authority | None:
    """The CA in a Secret, None if there is no Secret. What it holds may be damaged; see `certs.authority.repaired`."""
    if secret is None:
        return None
    parts = dict(_decoded(secret.get("data") or {}))
    current = Pair(parts.get("tls.crt", b""), parts.get("tls.key", b""))
    following = Pair(parts.get("next.crt", b""), parts.get("next.key", b""))
    signer = parts.get("signer", b"").decode(errors="replace")
    return Authority(
        current if signer and fingerprint(current.certificate) == signer else None,
        following if following.certificate else None,
        certificates(parts.get("previous.crt", b"")),
    )


def parse_pair(secret: Mapping[str, Any]) -> Pair:
    """The certificate and key in a Secret of type ``kubernetes.io/tls``; empty for what is not there."""
    parts = dict(_decoded(secret.get("data") or {}))
    return Pair(parts.get("tls.crt", b""), parts.get("tls.key", b""))


def parse_keys(secret: Mapping[str, Any] | None) -> PathKeys:
    """The keys of the paths in a Secret; what is not a key is left out."""
    parts = dict(_decoded((secret or {}).get("data") or {}))
    keys = [parts[name].decode() if _KEY.fullmatch(parts.get(name, b"-")) else None for name in _KEY_NAMES]
    try:
        created = datetime.fromisoformat(parts.get("path.created", b"").decode())
    except ValueError:
        created = None
    if created is not None and created.tzinfo is None:
        created = None
    return PathKeys(keys[0] or "", keys[1] or None, keys[2], created)


def certificates(bundle: bytes) -> tuple[bytes, ...]:
    """The PEM certificates in a bundle, one by one."""
    return tuple(found.rstrip(b"\n") + b"\n" for found in _CERTIFICATE.findall(bundle))


def manifest(
    namespace: str, name: str, authority: Authority, resource_version: str | None = None, keys: PathKeys = NO_KEYS
) -> dict[str, Any]:
    """The Secret that holds this CA and these keys; with a resourceVersion, it replaces only that state of it."""
    # The type demands both entries, also while nothing can sign.
    parts = {"tls.crt": b"", "tls.key": b""}
    if authority.current:
        parts = {"tls.crt": authority.current.certificate, "tls.key": authority.current.key}
        parts["signer"] = fingerprint(authority.current.certificate).encode()
    if authority.following:
        parts |= {"next.crt": authority.following.certificate, "next.key": authority.following.key}
    if authority.previous:
        parts["previous.crt"] = b"".join(authority.previous)
    return _manifest(namespace, name, "kubernetes.io/tls", parts | _encoded(keys), resource_version)


def keys_manifest(keys: PathKeys, namespace: str, name: str, resource_version: str | None = None) -> dict[str, Any]:
    """The Secret that holds these keys alone; with a resourceVersion, it replaces only that state of it."""
    return _manifest(namespace, name, "Opaque", _encoded(keys), resource_version)


def _encoded(keys: PathKeys) -> dict[str, bytes]:
    held = zip(_KEY_NAMES, (keys.current or None, keys.following, keys.previous), strict=True)
    parts = {name: key.encode() for name, key in held if key is not None}
    if keys.created is not None:
        parts["path.created"] = keys.created.isoformat().encode()
    return parts


def _manifest(
    namespace: str, name: str, kind: str, parts: Mapping[str, bytes], resource_version: str | None
) -> dict[str, Any]:
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
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in parts.items()},
    }


def _decoded(data: Mapping[str, Any]) -> Iterable[tuple[str, bytes]]:
    for name, value in data.items():
        try:
            yield name, base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            continue
