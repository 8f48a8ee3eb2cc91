from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from certs import authority, issuance, secret
from certs.authority import Authority, Pair, Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CA = issuance.authority("one", NOW)
NEXT = issuance.authority("two", NOW + timedelta(days=250))
OTHER = issuance.authority("three", NOW)
ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize(
    ("held", "after", "proved", "step"),
    [
        pytest.param(Authority(None), 0, False, Step.CREATE, id="no CA yet"),
        pytest.param(Authority(CA), 1, True, Step.KEEP, id="young"),
        pytest.param(Authority(CA), 250, True, Step.INTRODUCE, id="two thirds of its life are over"),
        pytest.param(Authority(CA, NEXT), 251, False, Step.KEEP, id="the next one is not proved"),
        pytest.param(Authority(CA, NEXT), 251, True, Step.PROMOTE, id="the next one is proved"),
        pytest.param(Authority(CA, NEXT), 350, False, Step.KEEP, id="not proved, and time is left"),
        pytest.param(Authority(CA, NEXT), 352, False, Step.PROMOTE, id="not proved, and the current one ends soon"),
        pytest.param(Authority(None, None, (CA.certificate,)), 1, False, Step.INTRODUCE, id="the key is lost"),
        pytest.param(Authority(None, NEXT, (CA.certificate,)), 251, False, Step.KEEP, id="a replacement is not proved"),
        pytest.param(Authority(None, NEXT, (CA.certificate,)), 251, True, Step.PROMOTE, id="a replacement is proved"),
        pytest.param(Authority(None, NEXT), 251, False, Step.PROMOTE, id="nothing valid was signed before"),
    ],
)  # fmt: skip
def test_the_next_step(held: Authority, after: int, proved: bool, step: Step) -> None:
    assert authority.next_step(held, NOW + timedelta(days=after), proved=proved) is step


@pytest.mark.parametrize(
    "damaged",
    [
        Pair(CA.certificate, OTHER.key),
        Pair(CA.certificate, b""),
        Pair(CA.certificate, b"nonsense"),
        Pair(CA.certificate, ED25519),
    ],
    ids=["mismatched", "missing", "unreadable", "another algorithm"],
)
def test_a_pair_that_cannot_sign_leaves_its_certificate_in_the_bundle(damaged: Pair) -> None:
    held = authority.repaired(Authority(damaged), (), NOW)

    assert held == Authority(None, None, (CA.certificate,))
    assert authority.bundle(held, NOW) == CA.certificate


def test_a_leaf_is_not_a_ca() -> None:
    assert not authority.can_sign(issuance.leaf(CA, ["hook"], NOW), NOW)


def test_where_the_current_ca_is_lost_what_the_api_servers_were_given_stays_trusted() -> None:
    given = (CA.certificate, b"nonsense")

    assert authority.repaired(Authority(None), given, NOW).previous == (CA.certificate,)
    assert authority.repaired(Authority(OTHER), given, NOW).previous == ()


def test_an_expired_ca_is_neither_used_nor_trusted() -> None:
    later = NOW + timedelta(days=366)

    assert authority.repaired(Authority(CA, NEXT, (OTHER.certificate,)), (), later) == Authority(None, NEXT)


def test_a_bounded_number_of_replaced_cas_stays_trusted() -> None:
    held = Authority(CA)
    for number in range(6):
        held = authority.promoted(authority.introduced(held, issuance.authority(str(number), NOW)))

    assert len(held.previous) == authority.MAX_PREVIOUS
    assert CA.certificate not in held.previous


def test_the_bundle_holds_the_current_the_next_and_the_previous_ca() -> None:
    now = NOW + timedelta(days=251)

    assert authority.bundle(Authority(CA, NEXT), now) == CA.certificate + NEXT.certificate
    assert authority.bundle(authority.promoted(Authority(CA, NEXT)), now) == NEXT.certificate + CA.certificate
    assert authority.bundle(authority.promoted(Authority(CA, NEXT)), NOW + timedelta(days=400)) == NEXT.certificate


def test_nothing_is_promoted_without_a_next_one() -> None:
    with pytest.raises(ValueError, match="no next CA"):
        authority.promoted(Authority(CA))


def test_what_cannot_be_read_is_not_valid() -> None:
    assert not authority.is_valid(b"nonsense", NOW)
    assert authority.fingerprint(b"nonsense") == ""


@pytest.mark.parametrize(
    "held",
    [
        Authority(CA),
        Authority(CA, NEXT),
        Authority(NEXT, None, (CA.certificate, OTHER.certificate)),
        Authority(None, NEXT, (CA.certificate,)),
    ],
    ids=["current", "next", "previous", "no current"],
)
def test_a_secret_gives_back_what_was_put_in(held: Authority) -> None:
    stored = secret.manifest("ns", "name", held, "7")

    assert secret.parse(stored) == held
    assert {"tls.crt", "tls.key"} <= set(stored["data"])
    assert stored["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    "data", [None, {}, {"tls.crt": "not base64!"}, {"tls.crt": base64.b64encode(b"x").decode()}, {"tls.crt": 7}]
)
def test_a_secret_without_a_pair_holds_no_ca(data: object) -> None:
    assert secret.parse({"data": data}) == Authority(None)
    assert secret.parse(None) is None


def test_a_pair_that_somebody_else_put_in_place_does_not_sign() -> None:
    stored = secret.manifest("ns", "name", Authority(CA))
    other = secret.manifest("ns", "name", Authority(OTHER))
    for key in ("tls.crt", "tls.key"):
        stored["data"][key] = other["data"][key]

    assert secret.parse(stored) == Authority(None)


def test_a_leaf_is_for_servers_and_names_its_hosts() -> None:
    leaf = x509.load_pem_x509_certificate(issuance.leaf(CA, ["hook.ns.svc", "10.0.0.7"], NOW).certificate)

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hook.ns.svc"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_after_utc - NOW == issuance.LEAF_LIFETIME


@pytest.mark.parametrize(
    ("pair", "error"), [(Pair(CA.certificate, ED25519), TypeError), (Pair(CA.certificate, OTHER.key), ValueError)]
)
def test_a_ca_that_cannot_sign_signs_no_leaf(pair: Pair, error: type[Exception]) -> None:
    with pytest.raises(error, match="the CA's key"):
        issuance.leaf(pair, ["hook"], NOW)
