"""PURE. When the CA of the webhook is created, renewed, repaired and replaced, and which certificates clients trust.

A CA signs for everybody only after an API server has been seen to trust it: the API servers learn of a new CA later
than the webhook does. So the next CA first joins the bundle, then it is proved, and then it becomes the current one.
Until the certificates of the webhook are signed by it, the bundle keeps the CA that it replaces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LIFETIME",
    "Authority",
    "Pair",
    "Step",
    "bundle",
    "can_sign",
    "fingerprint",
    "introduced",
    "is_valid",
    "next_step",
    "promoted",
    "renewal_due",
    "repaired",
]

LIFETIME = timedelta(days=365)
# A CA so close to its end is replaced even if no API server could be asked about the next one.
LAST_RESORT = timedelta(days=14)
# So many replaced CAs stay in the bundle until they expire.
MAX_PREVIOUS = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """``current`` signs, ``following`` will, ``previous`` are the certificates of those that did, newest first.

    ``current`` is None while what the Secret holds cannot sign, and its replacement is not proved yet.
    """

    current: Pair | None
    following: Pair | None = None
    previous: tuple[bytes, ...] = ()


class Step(Enum):
    """What to do about the CA now."""

    CREATE = "create"
    INTRODUCE = "introduce"
    PROMOTE = "promote"
    KEEP = "keep"


def repaired(authority: Authority, trusted: Iterable[bytes], now: datetime) -> Authority:
    """The authority without pairs that cannot sign and certificates that have expired.

    The certificate of a pair whose key is lost stays trusted, because the webhook still serves what it signed. So do
    ``trusted``, the certificates that the API servers were given, where the Secret has no current CA any more.
    """
    current = authority.current if authority.current and can_sign(authority.current, now) else None
    following = authority.following if authority.following and can_sign(authority.following, now) else None
    lost = [pair.certificate for pair in (authority.current, authority.following) if pair]
    candidates = (*lost, *authority.previous, *(trusted if current is None else ()))
    in_use = {pair.certificate for pair in (current, following) if pair}
    kept = [each for each in dict.fromkeys(candidates) if each not in in_use and is_valid(each, now)]
    return Authority(current, following, tuple(kept[:MAX_PREVIOUS]))


def next_step(authority: Authority, now: datetime, *, proved: bool) -> Step:
    """What to do about a `repaired` authority.

    ``proved``: an API server has used the next CA, and had time enough to be followed by the others.
    """
    if authority.current is None:
        if authority.following is None:
            return Step.INTRODUCE if authority.previous else Step.CREATE
        # Where nothing valid was signed before, nothing is lost by not waiting.
        return Step.PROMOTE if proved or not authority.previous else Step.KEEP
    if authority.following is not None:
        return Step.PROMOTE if proved or _ends_soon(authority.current, now) else Step.KEEP
    return Step.INTRODUCE if renewal_due(authority.current.certificate, now) else Step.KEEP


def introduced(authority: Authority, pair: Pair) -> Authority:
    """The authority with this pair as the next CA."""
    return replace(authority, following=pair)


def promoted(authority: Authority) -> Authority:
    """The next CA signs from now on. Raises ValueError if there is none."""
    if authority.following is None:
        raise ValueError("there is no next CA to promote")
    replaced = (authority.current.certificate,) if authority.current else ()
    return Authority(authority.following, None, (*replaced, *authority.previous)[:MAX_PREVIOUS])


def bundle(authority: Authority, now: datetime) -> bytes:
    """The certificates to trust: current, next and previous CA, without those that have expired."""
    pairs = (pair.certificate for pair in (authority.current, authority.following) if pair)
    return b"".join(part for part in dict.fromkeys((*pairs, *authority.previous)) if is_valid(part, now))


def is_valid(certificate: bytes, now: datetime) -> bool:
    """Whether a PEM certificate can be read and is within its validity period."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return False
    return parsed.not_valid_before_utc <= now < parsed.not_valid_after_utc


def can_sign(pair: Pair, now: datetime) -> bool:
    """Whether the certificate is a CA's and valid now, and the key is its own ECDSA key."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return (
        is_valid(pair.certificate, now)
        and constraints.ca
        and isinstance(key, ec.EllipticCurvePrivateKey)
        and key.public_key() == certificate.public_key()
    )


def renewal_due(certificate: bytes, now: datetime, share: float = 2 / 3) -> bool:
    """Whether this share of a certificate's validity period is over."""
    parsed = x509.load_pem_x509_certificate(certificate)
    period = parsed.not_valid_after_utc - parsed.not_valid_before_utc
    return now >= parsed.not_valid_before_utc + period * share


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a PEM certificate's DER form, in hex; empty for what is not a certificate."""
    try:
        return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()
    except ValueError:
        return ""


def _ends_soon(pair: Pair, now: datetime) -> bool:
    return now >= x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc - LAST_RESORT
