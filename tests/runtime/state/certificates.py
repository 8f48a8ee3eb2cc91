"""Certificates for servers of Redis."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_certificates(folder: Path, *hosts: str) -> None:
    """Write a CA ``ca.crt`` and a certificate that it issued for these hosts; without any, for 127.0.0.1."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    later = now.replace(year=2099)
    authority, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca, us = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("ca", "redis"))

    def signed(subject: x509.Name, key: Any, extension: Any) -> bytes:
        builder = x509.CertificateBuilder(ca, subject, key.public_key(), x509.random_serial_number(), now, later)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        named = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        for each, critical in ((extension, True), (identifier, False), (named, False)):
            builder = builder.add_extension(each, critical)
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    names = [x509.DNSName(host) for host in hosts] or [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    name = x509.SubjectAlternativeName(names)
    (folder / "ca.crt").write_bytes(signed(ca, authority, x509.BasicConstraints(ca=True, path_length=0)))
    (folder / "tls.crt").write_bytes(signed(us, leaf, name))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "tls.key").write_bytes(leaf.private_bytes(serialization.Encoding.PEM, *plain))


def server_words(folder: Path, port: int) -> list[str]:
    """The arguments of a redis-server that speaks TLS alone."""
    files = {"cert": "tls.crt", "key": "tls.key", "ca-cert": "ca.crt"}
    words = [word for name, file in files.items() for word in (f"--tls-{name}-file", str(folder / file))]
    return ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", *words]
