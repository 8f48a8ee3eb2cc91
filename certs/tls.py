"""TLS of a server whose certificate can be replaced while it serves.

Each certificate gets a context of its own, which the SNI callback selects (OpenSSL calls it for clients without SNI
too). Loading a certificate into the context in use would break every later handshake if it does not fit its key.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certs.authority import Pair

__all__ = ["HotContext"]


class HotContext:
    """``outer`` is for the listening socket; `swap` replaces the certificate of new connections."""

    def __init__(self, pair: Pair) -> None:
        self._current = _context(pair)
        self.outer = _context(pair)
        self.outer.sni_callback = self._choose

    def swap(self, pair: Pair) -> None:
        """Serve this certificate from now on. Raises ssl.SSLError and keeps the old one if it does not fit its key."""
        self._current = _context(pair)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str, _outer: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL reads certificates from files only; this file exists in memory alone.
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, pair.certificate + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
