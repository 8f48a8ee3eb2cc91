"""PURE. The signature of a published catalog, by which a pod knows that the controller published it for its server.

Two Ed25519 keys (RFC 8032) take part. The *root key* is long-lived; its public key stands in the pod template. It
certifies a *working key*, which signs catalogs. The certificate travels with the catalog, so a new working key rolls
no pod. docs/decisions/0023 argues the design.

The signed texts are UTF-8, each line ended by a line feed. No field can contain one, so a text has one reading, and
the first line separates the two kinds:

    mcp.example.com/catalog-key/v1              mcp.example.com/catalog/v1
    <generation>                                <UID of the MCPServer>
    <base64 of the working public key>          <version>
                                                <name of the data key: catalog.json or catalog.json.gz>
                                                <SHA-256, in hexadecimal, of the bytes under that data key>

The signature covers the bytes as they are stored, so a pod verifies them before it inflates them.

The envelope is a JSON object under the key `FILE` in the ``data`` of the same ConfigMap. (Pods read a mounted ConfigMap
at start, and annotations are not mounted.) Its members are ``generation``, ``key``, ``keySignature``, ``version`` and
``signature``; keys and signatures are base64. The UID and the digest are not in it: the pod knows the one and computes
the other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import orjson

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "CONTENT_LIMIT",
    "ENVELOPE_LIMIT",
    "FILE",
    "MAX_NUMBER",
    "Certificate",
    "Fault",
    "Order",
    "Refusal",
    "Stamp",
    "certify",
    "decode_root",
    "encode_public",
    "format_order",
    "read_order",
    "read_stamp",
    "sign",
    "verify",
]

FILE = "catalog.signature"
# Bytes. An envelope has about 350; a ConfigMap holds 1 MiB in all.
ENVELOPE_LIMIT = 1024
CONTENT_LIMIT = 1024 * 1024
# The largest generation and version: what a JSON number holds in every language.
MAX_NUMBER = 2**53 - 1

_KEY_CONTEXT = "mcp.example.com/catalog-key/v1"
_CATALOG_CONTEXT = "mcp.example.com/catalog/v1"
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_UID = re.compile(r"[A-Za-z0-9-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ORDER = re.compile(r"([1-9][0-9]{0,15})\.([1-9][0-9]{0,15})")
# Clocks of nodes differ, and not by more.
_AHEAD = 86_400
# Generation and version of a catalog.
Order: TypeAlias = "tuple[int, int]"


class Fault(Enum):
    """Why a catalog is refused. The values are labels of a metric."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNTRUSTED_KEY = "untrusted_key"
    BAD_SIGNATURE = "bad_signature"
    OLD_VERSION = "old_version"
    REUSED_VERSION = "reused_version"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A catalog that must not be loaded. ``message`` is for logs and probes and quotes no bytes of the input."""

    fault: Fault
    message: str


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """The place of a catalog in the order of all catalogs of its server: first by ``generation``, then by ``version``.

    The generation comes first, so that whoever stole a working key cannot outbid the key that replaces it.
    ``digest`` is the SHA-256 of the stored bytes, in hexadecimal.
    """

    generation: int
    version: int
    digest: str

    @property
    def order(self) -> Order:
        """Generation and version."""
        return self.generation, self.version


@dataclass(frozen=True, slots=True)
class Certificate:
    """A working key that the root key has certified. ``key`` is the public key; both byte strings are raw."""

    generation: int
    key: bytes
    signature: bytes


def certify(root: Ed25519PrivateKey, working: Ed25519PublicKey, generation: int) -> Certificate:
    """Certify a working key.

    ``generation`` orders the working keys of an installation: every new key takes a higher one. Pods refuse a key of
    a lower generation than that of the catalog they serve. Raises ValueError for a number outside 1 to `MAX_NUMBER`.
    """
    key = working.public_bytes_raw()
    return Certificate(generation, key, root.sign(_key_text(_checked(generation, "generation"), key)))


def sign(
    working: Ed25519PrivateKey, certificate: Certificate, *, server_uid: str, version: int, name: str, content: bytes
) -> str:
    """The envelope of a catalog: the string to store under `FILE` in the ``data`` of its ConfigMap.

    ``certificate`` is that of ``working``. ``server_uid`` is ``metadata.uid`` of the MCPServer. ``name`` is the key of
    the ConfigMap under which the catalog is stored, and ``content`` its value in bytes: UTF-8 for ``data``, before
    base64 for ``binaryData``.

    ``version`` is from 1 to `MAX_NUMBER` and higher than that of every catalog published for this server before. One
    more than the version of the stored envelope (`read_stamp`) will do: a concurrent writer fails on resourceVersion.
    If nothing is stored, milliseconds of Unix time are higher than what a deleted ConfigMap had. The same bytes need no
    new version. Raises ValueError for a value that cannot be signed.
    """
    if certificate.key != working.public_key().public_bytes_raw():
        raise ValueError("the certificate is not that of the working key")
    if len(content) > CONTENT_LIMIT:
        raise ValueError(f"the catalog has {len(content)} bytes; at most {CONTENT_LIMIT} can be signed")
    digest = hashlib.sha256(content).hexdigest()
    signature = working.sign(_catalog_text(server_uid, _checked(version, "version"), name, digest))
    members = {
        "generation": certificate.generation,
        "key": _encode(certificate.key),
        "keySignature": _encode(certificate.signature),
        "version": version,
        "signature": _encode(signature),
    }
    return orjson.dumps(members).decode()


def verify(
    envelope: str | bytes | None,
    *,
    root: Ed25519PublicKey,
    server_uid: str,
    name: str,
    content: bytes,
    in_force: Stamp | None = None,
    lowest: Order | None = None,
) -> Stamp | Refusal:
    """The stamp of a genuine catalog that may replace the one in force; else why it must not.

    None below ``lowest`` may: a catalog of that order was published, as the reader knows from elsewhere.
    ``envelope`` is what stands under `FILE`, None if nothing does. ``root``, ``server_uid`` and ``in_force`` are the
    reader's own; ``name`` and ``content`` are the catalog as stored, as for `sign`. The catalog in force is accepted
    again. Takes time linear in the content, and reads neither an envelope nor a content over its limit.
    """
    if envelope is None:
        return Refusal(Fault.MISSING, f"the catalog is not signed: key {FILE} is missing")
    parsed = _parse(envelope)
    if isinstance(parsed, Refusal):
        return parsed
    if len(content) > CONTENT_LIMIT:
        return Refusal(Fault.MALFORMED, f"the catalog has more than {CONTENT_LIMIT} bytes")
    certificate = parsed.certificate
    if not _is_signed(root, certificate.signature, _key_text(certificate.generation, certificate.key)):
        return Refusal(Fault.UNTRUSTED_KEY, "the key that signed the catalog is not certified by the root key")
    digest = hashlib.sha256(content).hexdigest()
    working = _read_key(certificate.key)
    try:
        text = _catalog_text(server_uid, parsed.version, name, digest)
    except ValueError as error:
        return Refusal(Fault.MALFORMED, str(error))
    if not _is_signed(working, parsed.signature, text):
        message = f"the signature of the catalog is not valid for these bytes, version {parsed.version} and this server"
        return Refusal(Fault.BAD_SIGNATURE, message)
    stamp = Stamp(certificate.generation, parsed.version, digest)
    if lowest is not None and stamp.order < lowest:
        message = f"version {_show(stamp)} is older than version {format_order(lowest)}, which was published before"
        return Refusal(Fault.OLD_VERSION, message)
    if in_force is None or stamp == in_force:
        return stamp
    new, old = stamp.order, in_force.order
    if new < old:
        message = f"version {_show(stamp)} is older than version {_show(in_force)}, which is in force"
        return Refusal(Fault.OLD_VERSION, message)
    if new == old:
        return Refusal(Fault.REUSED_VERSION, f"version {_show(stamp)} is in force with other bytes")
    return stamp


def read_stamp(envelope: str | bytes | None) -> tuple[int, int] | None:
    """Generation and version that an envelope claims, **not verified**; None if it cannot be read.

    For the writer, who chooses the next version. A reader uses `verify`.
    """
    parsed = None if envelope is None else _parse(envelope)
    return None if parsed is None or isinstance(parsed, Refusal) else (parsed.certificate.generation, parsed.version)


def format_order(order: Order) -> str:
    """The order of a catalog as the status of its MCPServer has it."""
    return f"{order[0]}.{order[1]}"


def read_order(text: object, seconds: float) -> Order | None:
    """The order in a status; None for what `format_order` did not write at ``seconds`` of Unix time, or before.

    The generation of a key, and the version of a catalog, follow the time when they were made. A forged status cannot
    name an order that no catalog will ever have.
    """
    found = _ORDER.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    generation, version = int(found[1]), int(found[2])
    latest = seconds + _AHEAD
    return (generation, version) if generation <= latest and version <= latest * 1000 else None


def encode_public(key: Ed25519PublicKey) -> str:
    """The base64 of a public key: the value of ``--catalog-root``."""
    return _encode(key.public_bytes_raw())


def decode_root(text: str) -> Ed25519PublicKey:
    """The public key in the value of ``--catalog-root``. Raises ValueError for anything else."""
    raw = _decode(text, _KEY_BYTES)
    if raw is None:
        raise ValueError(f"a public key must be the base64 of {_KEY_BYTES} bytes")
    return _read_key(raw)


@dataclass(frozen=True, slots=True)
class _Envelope:
    certificate: Certificate
    version: int
    signature: bytes


def _parse(envelope: str | bytes) -> _Envelope | Refusal:
    if len(envelope) > ENVELOPE_LIMIT:
        return Refusal(Fault.MALFORMED, f"the value of {FILE} has more than {ENVELOPE_LIMIT} bytes")
    try:
        members = orjson.loads(envelope)
    except orjson.JSONDecodeError:
        members = None
    if not isinstance(members, dict):
        return Refusal(Fault.MALFORMED, f"the value of {FILE} must be a JSON object")
    generation, version = members.get("generation"), members.get("version")
    key = _decode(members.get("key"), _KEY_BYTES)
    key_signature = _decode(members.get("keySignature"), _SIGNATURE_BYTES)
    signature = _decode(members.get("signature"), _SIGNATURE_BYTES)
    if not _is_number(generation) or not _is_number(version):
        message = f"generation and version in {FILE} must be integers from 1 to {MAX_NUMBER}"
        return Refusal(Fault.MALFORMED, message)
    if key is None or key_signature is None or signature is None:
        message = f"key, keySignature and signature in {FILE} must be base64 of an Ed25519 key or signature"
        return Refusal(Fault.MALFORMED, message)
    return _Envelope(Certificate(generation, key, key_signature), version, signature)


def _key_text(generation: int, key: bytes) -> bytes:
    return _text(_KEY_CONTEXT, str(generation), _encode(key))


def _catalog_text(server_uid: str, version: int, name: str, digest: str) -> bytes:
    if not _UID.fullmatch(server_uid):
        raise ValueError("the UID of a server must have 1 to 64 letters, digits and hyphens")
    if not _NAME.fullmatch(name):
        raise ValueError("the name of a data key must have 1 to 64 letters, digits, dots, hyphens and underscores")
    return _text(_CATALOG_CONTEXT, server_uid, str(version), name, digest)


def _text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _read_key(raw: bytes) -> Ed25519PublicKey:
    # The library is large, and a server without a root key verifies nothing.
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def _is_signed(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True


def _checked(number: int, what: str) -> int:
    if not _is_number(number):
        raise ValueError(f"{what} must be an integer from 1 to {MAX_NUMBER}")
    return number


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_NUMBER


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(value: object, size: int) -> bytes | None:
    """The bytes of a base64 string, if it is one and has this size. Only the canonical base64 is accepted."""
    if not isinstance(value, str) or len(value) > 4 * size:
        return None
    try:
        raw = base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if len(raw) == size and _encode(raw) == value else None


def _show(stamp: Stamp) -> str:
    return format_order(stamp.order)
