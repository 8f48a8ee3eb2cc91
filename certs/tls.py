"""TLS of a server whose certificate, and whose CA of clients, can be replaced while it serves.

Each certificate gets a context of its own, which the SNI callback selects (OpenSSL calls it for clients without SNI
too). Loading a certificate into the context in use would break every later handshake if it does not fit its key.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from certs.authority import Pair

__all__ = ["HotContext", "names"]


class HotContext:
    """``outer`` is for the listening socket; `swap` replaces the certificate of new connections.

    With ``client_ca``, PEM, only clients with a certificate of it get through the handshake.
    """

    def __init__(self, pair: Pair, client_ca: bytes | None = None) -> None:
        self._current = _context(pair, client_ca)
        # Whether clients are verified is decided by this context, and by which CA by the current one.
        self.outer = _context(pair, client_ca)
        self.outer.sni_callback = self._choose

    def swap(self, pair: Pair, client_ca: bytes | None = None) -> None:
        """Serve this certificate, and trust this CA of clients, from now on.

        Raises ssl.SSLError, and keeps what there was, if the certificate does not fit its key or the CA is none.
        """
        self._current = _context(pair, client_ca)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str, _outer: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(pair: Pair, client_ca: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if client_ca is not None:
        # A resumed session is not verified again. TLS 1.3 resumes by tickets alone, and none is given out.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.verify_mode = ssl.CERT_REQUIRED
        # Between the certificates may be words in any language.
        context.load_verify_locations(cadata=client_ca.decode("ascii", errors="ignore"))
    # OpenSSL reads certificates from files only; this file exists in memory alone.
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, pair.certificate + pair.key)
        # With a password, OpenSSL does not ask the terminal for the one of an encrypted key.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)
    return context


def names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The common name and the DNS names of a verified certificate, as `ssl.SSLSocket.getpeercert` gives it."""
    found = certificate or {}
    subject = {value for part in found.get("subject", ()) for kind, value in part if kind == "commonName"}
    return frozenset(subject | {value for kind, value in found.get("subjectAltName", ()) if kind == "DNS"})
