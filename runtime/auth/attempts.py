"""A limit for failed authentication, so that keys and tokens cannot be tried out.

It applies to an address and not to a user, because nobody knows the user before authentication succeeds. A credential
that was accepted before is tried even when its address has used up its attempts, so a stranger at the same address,
behind the same proxy, locks nobody out.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Attempts"]

# Failures in a row, and seconds until one more is allowed.
BURST, REFILL = 20, 3.0
MAX_ADDRESSES, MAX_KNOWN = 10_000, 10_000


class Attempts:
    """``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # The time at which all attempts of an address are available again.
        self._restored: dict[str, float] = {}
        self._known: dict[bytes, None] = {}
        self._hasher = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)

    def wait(self, address: str, authorization: Sequence[str]) -> int | None:
        """Seconds that this address has to wait before these credentials are tried; None if it may try them now."""
        pending = self._restored.get(address, 0.0) - self._monotonic()
        if pending <= (BURST - 1) * REFILL or self._hash(authorization) in self._known:
            return None
        return max(1, math.ceil(pending - (BURST - 1) * REFILL))

    def record_failure(self, address: str, authorization: Sequence[str]) -> None:
        """Count an attempt. Credentials that were accepted before are no longer tried unconditionally."""
        self._known.pop(self._hash(authorization), None)
        restored = max(self._restored.pop(address, 0.0), self._monotonic()) + REFILL
        self._restored[address] = restored
        if len(self._restored) > MAX_ADDRESSES:
            del self._restored[next(iter(self._restored))]

    def record_success(self, authorization: Sequence[str]) -> None:
        """Remember that these credentials were accepted."""
        digest = self._hash(authorization)
        self._known.pop(digest, None)
        self._known[digest] = None
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def _hash(self, authorization: Sequence[str]) -> bytes:
        hasher = self._hasher.copy()
        hasher.update("\n".join(authorization).encode(errors="surrogatepass"))
        return hasher.digest()
