"""PURE. When the CA of the webhook is made, renewed and replaced, and which certificates clients are to trust.

Renewal has two phases, because the API server learns of a new CA later than we do. First the next CA joins the bundle;
only when the canary has been refused through that bundle does it become the one that signs. The Secret holds
``tls.crt`` and ``tls.key`` (what signs), ``next.crt`` and ``next.key`` (what will), ``previous.crt`` (what did).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509

__all__ = ["LIFETIME", "Authority", "Pair", "Step", "bundle", "is_alive", "next_step", "promoted", "renewal_due"]

LIFETIME = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """What the Secret holds."""

    current: Pair
    following: Pair | None = None
    previous: bytes | None = None


class Step(Enum):
    """What is to be done about the CA now."""

    CREATE = "create"
    INTRODUCE = "introduce"
    PROMOTE = "promote"
    KEEP = "keep"


def next_step(authority: Authority | None, now: datetime, *, proved: bool) -> Step:
    """``proved``: the canary has been refused through a bundle that holds everything the Secret holds."""
    if authority is None or not is_alive(authority.current.certificate, now):
        return Step.CREATE
    if authority.following is not None and is_alive(authority.following.certificate, now):
        return Step.PROMOTE if proved else Step.KEEP
    if renewal_due(authority.current.certificate, now):
        return Step.INTRODUCE
    return Step.KEEP


def promoted(authority: Authority) -> Authority:
    """The next CA signs from now on. Raises ValueError if there is none."""
    if authority.following is None:
        raise ValueError("there is no next CA to promote")
    return Authority(authority.following, None, authority.current.certificate)


def bundle(authority: Authority, now: datetime) -> bytes:
    """The certificates to trust: what signs, what will, what did, without those that have expired."""
    following = authority.following.certificate if authority.following else None
    parts = (authority.current.certificate, following, authority.previous)
    return b"".join(part for part in parts if part and is_alive(part, now))


def is_alive(certificate: bytes, now: datetime) -> bool:
    """Whether a PEM certificate can be read and is within its time."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return False
    return parsed.not_valid_before_utc <= now < parsed.not_valid_after_utc


def renewal_due(certificate: bytes, now: datetime, share: float = 2 / 3) -> bool:
    """Whether this share of a certificate's life is over."""
    parsed = x509.load_pem_x509_certificate(certificate)
    life = parsed.not_valid_after_utc - parsed.not_valid_before_utc
    return now >= parsed.not_valid_before_utc + life * share
