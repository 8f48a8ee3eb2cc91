"""The two keys that sign catalogs, as they are used and as they are stored in a Secret.

`crd.published.signature` says what each key does. The Secret holds ``root.key`` and ``working.key`` (32 raw bytes each,
RFC 8032) and ``working.certificate``, a JSON object with ``generation``, ``signature`` (base64) and ``made``, the Unix
time in seconds at which the working key was made.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crd.published import signature

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from crd.published.signature import Certificate

__all__ = ["Keys", "advance", "generate", "manifest", "parse", "secret_data"]

_ROOT, _WORKING, _CERTIFICATE = "root.key", "working.key", "working.certificate"


@dataclass(frozen=True, slots=True)
class _Working:
    key: Ed25519PrivateKey = field(repr=False)
    certificate: Certificate
    made: int


@dataclass(frozen=True, slots=True)
class Keys:
    """The root key and the working key that it certifies; ``made`` is the age of the latter, as Unix time in seconds.

    ``root`` is None where a Secret holds no root key that can be read, ``working`` where it holds no working key that
    the root key certifies. Only complete keys sign.
    """

    root: Ed25519PrivateKey | None = field(repr=False)
    working: _Working | None

    @property
    def public(self) -> Ed25519PublicKey:
        """The public root key."""
        return self._root().public_key()

    @property
    def argument(self) -> str:
        """The public root key as pods take it (``--catalog-root``)."""
        return signature.encode_public(self.public)

    @property
    def generation(self) -> int:
        """The generation of the working key."""
        return self._working().certificate.generation

    def sign(self, *, server_uid: str, version: int, name: str, content: bytes) -> str:
        """The envelope of a catalog; see `crd.published.signature.sign`."""
        working = self._working()
        return signature.sign(
            working.key, working.certificate, server_uid=server_uid, version=version, name=name, content=content
        )

    def _root(self) -> Ed25519PrivateKey:
        if self.root is None:
            raise ValueError("there is no root key")
        return self.root

    def _working(self) -> _Working:
        if self.working is None:
            raise ValueError("there is no working key")
        return self.working


def generate(now: datetime) -> Keys:
    """New keys."""
    return _with_new_working(Keys(Ed25519PrivateKey.generate(), None), now, 1)


def advance(stored: Keys | None, now: datetime, lifetime: timedelta, *, least: int = 1) -> Keys:
    """The keys to use from now on; ``stored`` itself if they still serve.

    A root key that is missing is replaced, and with it the working key. A working key is replaced if it is missing, if
    it is as old as ``lifetime``, or if its generation is lower than ``least``.
    """
    if stored is None or stored.root is None:
        return generate(now)
    working = stored.working
    if working is None:
        return _with_new_working(stored, now, least)
    is_old = now.timestamp() - working.made >= lifetime.total_seconds()
    generation = working.certificate.generation
    return _with_new_working(stored, now, max(generation + 1, least)) if is_old or generation < least else stored


def _with_new_working(keys: Keys, now: datetime, least: int) -> Keys:
    # The time, so that it also grows where the generation before was lost or the Secret was restored from a backup.
    seconds = int(now.timestamp())
    key, root = Ed25519PrivateKey.generate(), keys._root()
    certificate = signature.certify(root, key.public_key(), max(least, seconds))
    return Keys(root, _Working(key, certificate, seconds))


def parse(secret: Mapping[str, Any] | None) -> Keys | None:
    """The keys in a Secret, as far as they can be used; None if there is no Secret."""
    if secret is None:
        return None
    data = secret.get("data") or {}
    root = _key(data.get(_ROOT))
    return Keys(root, _working(root, data) if root else None)


def secret_data(keys: Keys) -> dict[str, str]:
    """The ``data`` of the Secret."""
    working = keys._working()
    certificate = {
        "generation": working.certificate.generation,
        "signature": base64.b64encode(working.certificate.signature).decode(),
        "made": working.made,
    }
    parts = {
        _ROOT: keys._root().private_bytes_raw(),
        _WORKING: working.key.private_bytes_raw(),
        _CERTIFICATE: orjson.dumps(certificate),
    }
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def manifest(namespace: str, name: str, keys: Keys, resource_version: str | None = None) -> dict[str, Any]:
    """The Secret that holds these keys; with a resourceVersion, it replaces only that state of it."""
    metadata: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "labels": {"app.kubernetes.io/part-of": "mcp-operator"},
    }
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": secret_data(keys)}


def _working(root: Ed25519PrivateKey, data: Mapping[str, Any]) -> _Working | None:
    key = _key(data.get(_WORKING))
    try:
        stored = orjson.loads(_decode(data.get(_CERTIFICATE)))
        generation, made = stored["generation"], stored["made"]
        signed = _decode(stored["signature"])
        if key is None or not isinstance(made, int) or isinstance(made, bool):
            return None
        expected = signature.certify(root, key.public_key(), generation)
    except (TypeError, KeyError, ValueError):
        return None
    # Ed25519 is deterministic: what this root key has signed is equal.
    return _Working(key, expected, made) if signed == expected.signature else None


def _key(encoded: object) -> Ed25519PrivateKey | None:
    try:
        return Ed25519PrivateKey.from_private_bytes(_decode(encoded))
    except ValueError:
        return None


def _decode(encoded: object) -> bytes:
    """Raises ValueError for what is not base64."""
    if not isinstance(encoded, str):
        raise ValueError("must be base64")  # noqa: TRY004 -- a value that was read, not an argument
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("must be base64") from error
