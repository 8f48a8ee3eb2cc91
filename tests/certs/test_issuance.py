"""What is in a certificate: a client that keeps to RFC 5280 accepts it, and it is good for nothing else."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs import issuance
from certs.authority import LIFETIME, Pair
from certs.tls import HotContext

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = f"{'a' * 63}.svc"


@pytest.fixture
def ca() -> Pair:
    return issuance.authority("one", NOW)


@pytest.fixture
def leaf(ca: Pair) -> Pair:
    return issuance.leaf(ca, [LONG, "10.0.0.7"], NOW)


def read(certificate: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate)


def extensions(certificate: bytes) -> dict[type[x509.ExtensionType], tuple[bool, x509.ExtensionType]]:
    return {type(each.value): (each.critical, each.value) for each in read(certificate).extensions}


def usage(*allowed: str) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    flags = dict.fromkeys([*names.split(), "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(**flags | dict.fromkeys(allowed, True))


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def test_the_extensions_of_a_ca(ca: Pair) -> None:
    identifier = x509.SubjectKeyIdentifier.from_public_key(read(ca.certificate).public_key())

    assert extensions(ca.certificate) == {
        x509.BasicConstraints: (True, x509.BasicConstraints(True, 0)),
        x509.KeyUsage: (True, usage("digital_signature", "key_cert_sign", "crl_sign")),
        x509.SubjectKeyIdentifier: (False, identifier),
    }


def test_the_extensions_of_a_leaf(ca: Pair, leaf: Pair) -> None:
    ours, theirs = (
        x509.SubjectKeyIdentifier.from_public_key(read(each.certificate).public_key()) for each in (leaf, ca)
    )
    hosts = [x509.DNSName(LONG), x509.IPAddress(ip_address("10.0.0.7"))]

    assert extensions(leaf.certificate) == {
        x509.BasicConstraints: (True, x509.BasicConstraints(False, None)),
        x509.KeyUsage: (True, usage("digital_signature")),
        x509.ExtendedKeyUsage: (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
        x509.SubjectAlternativeName: (False, x509.SubjectAlternativeName(hosts)),
        x509.SubjectKeyIdentifier: (False, ours),
        x509.AuthorityKeyIdentifier: (False, x509.AuthorityKeyIdentifier(theirs.digest, None, None)),
    }


def test_the_rest_of_a_certificate(ca: Pair, leaf: Pair) -> None:
    """A common name has at most 64 characters (RFC 5280, appendix A)."""
    for pair, subject, lifetime in ((ca, "one", LIFETIME), (leaf, LONG[:64], issuance.LEAF_LIFETIME)):
        found = read(pair.certificate)

        assert (found.subject, found.issuer) == (named(subject), named("one"))
        assert found.not_valid_before_utc == NOW - timedelta(minutes=5)
        assert found.not_valid_after_utc == NOW + lifetime
        assert isinstance(found.signature_hash_algorithm, hashes.SHA256)
        key: Any = found.public_key()
        assert isinstance(key.curve, ec.SECP256R1)
        found.verify_directly_issued_by(read(ca.certificate))
    assert read(issuance.leaf(ca, ["hook"], NOW).certificate).serial_number != read(leaf.certificate).serial_number


def test_a_connection_is_http_1_1_by_a_tls_that_is_not_broken(ca: Pair, leaf: Pair) -> None:
    plain, mutual = HotContext(leaf), HotContext(leaf, ca.certificate)

    assert [each.outer.minimum_version for each in (plain, mutual)] == [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
    assert [each.outer.verify_mode for each in (plain, mutual)] == [ssl.CERT_NONE, ssl.CERT_REQUIRED]
    client, (incoming, outgoing) = (
        ssl.create_default_context(cadata=ca.certificate.decode()),
        (ssl.MemoryBIO(), ssl.MemoryBIO()),
    )
    client.set_alpn_protocols(["h2", "http/1.1"])
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    ours = client.wrap_bio(incoming, outgoing)
    theirs = plain.outer.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(3):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue

    assert ours.selected_alpn_protocol() == "http/1.1"
