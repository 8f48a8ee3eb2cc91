"""A server's TLS whose certificate can be changed while it serves.

Every certificate gets a context of its own, handed out in the SNI callback (which OpenSSL also calls for clients
without SNI). A certificate loaded into the context in use would, if it does not fit its key, spoil every later
handshake.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certs.authority import Pair

__all__ = ["HotContext"]


class HotContext:
    """``outer`` is for the listening socket; `swap` changes what new connections are shown."""

    def __init__(self, pair: Pair) -> None:
        self._current = _context(pair)
        self.outer = _context(pair)
        self.outer.sni_callback = self._chosen

    def swap(self, pair: Pair) -> None:
        """Serve this certificate from now on. Raises ssl.SSLError, keeping the old one, if it does not fit its key."""
        self._current = _context(pair)

    def _chosen(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str, _outer: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL takes files only; this one exists in memory and nowhere else.
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, pair.certificate + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
