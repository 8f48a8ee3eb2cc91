"""Signed catalogs, as an attacker who may write the ConfigMap sees them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crd.published import catalogs, signature
from crd.published.signature import Fault, Refusal, Stamp

UID = "0d9c0f6e-6d42-4a5c-9d5b-1f3f6f6e0001"
CONTENT = b'{"format":2}'
ROOT = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
WORKING = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
CERTIFICATE = signature.certify(ROOT, WORKING.public_key(), 3)


def signed(**more: Any) -> str:
    members = {"server_uid": UID, "version": 7, "name": catalogs.FILE, "content": CONTENT}
    return signature.sign(WORKING, more.pop("certificate", CERTIFICATE), **{**members, **more})


def verified(envelope: str | bytes | None, **more: Any) -> Stamp | Refusal:
    members = {"root": ROOT.public_key(), "server_uid": UID, "name": catalogs.FILE, "content": CONTENT}
    return signature.verify(envelope, **{**members, **more})


def fault(envelope: str | bytes | None, **more: Any) -> Fault:
    found = verified(envelope, **more)
    assert isinstance(found, Refusal)
    assert found.message
    return found.fault


def altered(envelope: str, **members: Any) -> str:
    return json.dumps({**json.loads(envelope), **members})


def test_a_signed_catalog_is_accepted_at_first_and_again() -> None:
    stamp = verified(signed())

    assert isinstance(stamp, Stamp)
    assert (stamp.generation, stamp.version) == (3, 7)
    assert verified(signed().encode(), in_force=stamp) == stamp
    assert signature.read_stamp(signed()) == (3, 7)


def test_a_catalog_without_a_signature_is_refused() -> None:
    assert fault(None) is Fault.MISSING
    assert signature.read_stamp(None) is None


@pytest.mark.parametrize(
    "forged",
    [
        {"content": b'{"format":2,"tools":[]}'},
        {"server_uid": UID.replace("1", "2")},
        {"name": catalogs.GZIP_FILE},
    ],
    ids=["other bytes", "the catalog of another server", "text read as gzip"],
)
def test_a_signature_holds_for_its_bytes_its_server_and_its_key_of_the_config_map(forged: dict[str, Any]) -> None:
    assert fault(signed(), **forged) is Fault.BAD_SIGNATURE


def test_a_version_that_was_raised_by_hand_is_refused() -> None:
    assert fault(altered(signed(), version=8)) is Fault.BAD_SIGNATURE


def test_a_key_that_the_root_did_not_certify_is_refused() -> None:
    own = signature.certify(OTHER, WORKING.public_key(), 3)

    assert fault(signed(certificate=own)) is Fault.UNTRUSTED_KEY
    assert fault(altered(signed(), generation=4)) is Fault.UNTRUSTED_KEY
    stolen = base64.b64encode(OTHER.public_key().public_bytes_raw()).decode()
    assert fault(altered(signed(), key=stolen)) is Fault.UNTRUSTED_KEY


def test_a_certificate_is_no_signature_of_a_catalog_and_the_other_way_round() -> None:
    envelope = json.loads(signed())

    assert fault(altered(signed(), signature=envelope["keySignature"])) is Fault.BAD_SIGNATURE
    assert fault(altered(signed(), keySignature=envelope["signature"])) is Fault.UNTRUSTED_KEY


def test_an_older_catalog_is_refused_and_a_newer_one_accepted() -> None:
    in_force = verified(signed())
    assert isinstance(in_force, Stamp)

    assert fault(signed(version=6), in_force=in_force) is Fault.OLD_VERSION
    assert isinstance(verified(signed(version=8), in_force=in_force), Stamp)


def test_one_version_has_one_content() -> None:
    in_force = verified(signed())
    assert isinstance(in_force, Stamp)

    other = b'{"format":2,"server":""}'
    assert fault(signed(content=other), content=other, in_force=in_force) is Fault.REUSED_VERSION


def test_a_replaced_working_key_is_refused_whatever_version_it_signs() -> None:
    newer = signature.certify(ROOT, OTHER.public_key(), 4)
    rotated = signature.sign(OTHER, newer, server_uid=UID, version=8, name=catalogs.FILE, content=CONTENT)
    in_force = verified(rotated, in_force=Stamp(3, 2**40, "stolen"))
    assert isinstance(in_force, Stamp)

    assert fault(signed(version=signature.MAX_NUMBER), in_force=in_force) is Fault.OLD_VERSION


MALFORMED: list[Any] = [
    "",
    "[]",
    "null",
    "{",
    "[" * 1000,
    b"\xff\xfe",
    "{" + " " * signature.ENVELOPE_LIMIT + "}",
    altered(signed(), version=0),
    altered(signed(), version=True),
    altered(signed(), version=7.0),
    altered(signed(), version="7"),
    altered(signed(), version=2**53),
    altered(signed(), generation=-1),
    altered(signed(), generation=None),
    altered(signed(), key="AAAA"),
    altered(signed(), key=7),
    altered(signed(), signature="é" * 88),
    altered(signed(), signature="A" * 600),
    altered(signed(), keySignature="!" * 88),
    altered(signed(), key=json.loads(signed())["key"].replace("=", "\n=")),
]


@pytest.mark.parametrize("envelope", MALFORMED)
def test_a_malformed_envelope_is_refused(envelope: str | bytes) -> None:
    assert fault(envelope) is Fault.MALFORMED
    assert signature.read_stamp(envelope) is None


def test_a_key_has_one_spelling() -> None:
    key = json.loads(signed())["key"]
    other = key[:-2] + chr(ord(key[-2]) + 1) + "="
    assert base64.b64decode(other) == base64.b64decode(key)

    assert fault(altered(signed(), key=other)) is Fault.MALFORMED


def test_a_content_over_the_limit_is_neither_hashed_nor_signed() -> None:
    huge = b"x" * (signature.CONTENT_LIMIT + 1)

    assert fault(signed(), content=huge) is Fault.MALFORMED
    with pytest.raises(ValueError, match="at most"):
        signed(content=huge)


@pytest.mark.parametrize("uid", ["", "a\nb", "x" * 65, "ü"])
def test_a_uid_cannot_change_the_signed_text(uid: str) -> None:
    with pytest.raises(ValueError, match="UID"):
        signed(server_uid=uid)
    assert fault(signed(), server_uid=uid) is Fault.MALFORMED


@pytest.mark.parametrize("wrong", [{"version": 0}, {"version": 2**53}, {"name": "a\nb"}])
def test_nothing_is_signed_that_no_pod_would_accept(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        signed(**wrong)


def test_a_certificate_belongs_to_its_key() -> None:
    with pytest.raises(ValueError, match="not that of the working key"):
        signed(certificate=replace(CERTIFICATE, key=b"k" * 32))
    with pytest.raises(ValueError, match="generation"):
        signature.certify(ROOT, WORKING.public_key(), 0)


def test_the_root_key_as_an_argument() -> None:
    text = signature.encode_public(ROOT.public_key())

    assert signature.decode_root(text) == ROOT.public_key()
    for wrong in ("", "AAAA", text[:-1], f"{text}\n"):
        with pytest.raises(ValueError, match="32 bytes"):
            signature.decode_root(wrong)
