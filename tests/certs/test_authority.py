from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from certs import authority, issuance, secret
from certs.authority import Authority, Pair, Step
from certs.paths import PathKeys

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
        pytest.param(Authority(CA, NEXT), 351, False, Step.PROMOTE, id="not proved, and two weeks are left"),
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


def test_a_next_ca_that_cannot_sign_stays_trusted_as_well() -> None:
    held = authority.repaired(Authority(CA, Pair(NEXT.certificate, b"")), (), NOW + timedelta(days=250))

    assert held == Authority(CA, None, (NEXT.certificate,))


def test_a_certificate_is_valid_from_its_first_moment_to_the_one_before_its_last() -> None:
    begin, end = NOW - issuance.BACKDATE, NOW + authority.LIFETIME
    moment = timedelta(seconds=1)

    assert [authority.is_valid(CA.certificate, each) for each in (begin - moment, begin, end - moment, end)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert [authority.can_sign(CA, each) for each in (begin - moment, begin)] == [False, True]


def test_a_certificate_is_due_when_two_thirds_of_its_life_are_over_or_another_share() -> None:
    begin = NOW - issuance.BACKDATE
    period = NOW + authority.LIFETIME - begin

    assert authority.renewal_due(CA.certificate, begin + period * (2 / 3))
    assert not authority.renewal_due(CA.certificate, begin + period * (2 / 3) - timedelta(seconds=1))
    assert authority.renewal_due(CA.certificate, begin + period / 4, 1 / 4)


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
    assert authority.repaired(held, (), NOW).previous == held.previous
    more = Authority(held.current, None, (*held.previous, CA.certificate))
    assert authority.repaired(more, (), NOW).previous == held.previous


def test_the_bundle_holds_the_current_the_next_and_the_previous_ca() -> None:
    now = NOW + timedelta(days=251)

    assert authority.bundle(Authority(CA, NEXT), now) == CA.certificate + NEXT.certificate
    assert authority.bundle(authority.promoted(Authority(CA, NEXT)), now) == NEXT.certificate + CA.certificate
    assert authority.bundle(authority.promoted(Authority(CA, NEXT)), NOW + timedelta(days=400)) == NEXT.certificate


def test_a_next_ca_takes_the_place_of_none() -> None:
    assert authority.promoted(Authority(None, NEXT, (CA.certificate,))) == Authority(NEXT, None, (CA.certificate,))


def test_nothing_is_promoted_without_a_next_one() -> None:
    with pytest.raises(ValueError, match=r"^there is no next CA to promote$"):
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


def test_what_is_damaged_in_a_secret_does_not_hide_the_rest() -> None:
    stored = secret.manifest("ns", "name", Authority(CA, NEXT))["data"]

    assert secret.parse({"data": {"other": 7, "next": "!", **stored}}) == Authority(CA, NEXT)
    assert secret.parse({"data": {**stored, "next.crt": f"!{stored['next.crt']}"}}) == Authority(CA)
    without = {name: value for name, value in stored.items() if not name.endswith(".key")}
    assert secret.parse({"data": without}) == Authority(Pair(CA.certificate, b""), Pair(NEXT.certificate, b""))
    signer = base64.b64encode(b"\xff").decode()
    assert secret.parse({"data": {**stored, "signer": signer}}) == Authority(None, NEXT)
    assert secret.parse({"data": {"signer": signer}}) == Authority(None)


def test_while_nothing_can_sign_both_entries_of_tls_are_empty() -> None:
    assert secret.manifest("ns", "name", Authority(None))["data"] == {"tls.crt": "", "tls.key": ""}


def test_the_certificates_of_a_bundle_are_told_apart() -> None:
    bundle = CA.certificate.rstrip() + b"\n\n# words\n" + NEXT.certificate.rstrip()

    assert secret.certificates(bundle) == (CA.certificate, NEXT.certificate)


def test_the_secret_of_the_ca_is_one_of_tls() -> None:
    keys = PathKeys("a" * 32, "b" * 32, "c" * 32, NOW)
    stored = secret.manifest("ns", "name", Authority(CA, NEXT, (OTHER.certificate, CA.certificate)), keys=keys)
    data = {name: base64.b64decode(value).decode() for name, value in stored.pop("data").items()}

    assert stored == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": "ns", "name": "name", "labels": {"app.kubernetes.io/part-of": "mcp-operator"}},
        "type": "kubernetes.io/tls",
    }
    assert data == {
        "tls.crt": CA.certificate.decode(),
        "tls.key": CA.key.decode(),
        "signer": x509.load_pem_x509_certificate(CA.certificate).fingerprint(hashes.SHA256()).hex(),
        "next.crt": NEXT.certificate.decode(),
        "next.key": NEXT.key.decode(),
        "previous.crt": (OTHER.certificate + CA.certificate).decode(),
        "path.key": "a" * 32,
        "path.next": "b" * 32,
        "path.previous": "c" * 32,
        "path.created": "2026-01-01T00:00:00+00:00",
    }


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
    ("pair", "error", "message"),
    [
        (Pair(CA.certificate, ED25519), TypeError, "is a Ed25519PrivateKey, not an ECDSA key"),
        (Pair(CA.certificate, OTHER.key), ValueError, "does not belong to its certificate"),
    ],
)
def test_a_ca_that_cannot_sign_signs_no_leaf(pair: Pair, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^the CA's key {message}$"):
        issuance.leaf(pair, ["hook"], NOW)
