from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from certs import authority, issuance, secret
from certs.authority import Authority, Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CA = issuance.authority("one", NOW)
NEXT = issuance.authority("two", NOW + timedelta(days=250))


@pytest.mark.parametrize(
    ("held", "after", "proved", "step"),
    [
        pytest.param(None, 0, False, Step.CREATE, id="there is none"),
        pytest.param(Authority(CA), 366, True, Step.CREATE, id="it has expired"),
        pytest.param(Authority(CA), 1, True, Step.KEEP, id="it is young"),
        pytest.param(Authority(CA), 250, True, Step.INTRODUCE, id="two thirds of its life are over"),
        pytest.param(Authority(CA, NEXT), 251, False, Step.KEEP, id="the next one is not seen by the API server yet"),
        pytest.param(Authority(CA, NEXT), 251, True, Step.PROMOTE, id="the next one is proved"),
    ],
)
def test_what_is_to_be_done(held: Authority | None, after: int, proved: bool, step: Step) -> None:
    assert authority.next_step(held, NOW + timedelta(days=after), proved=proved) is step


def test_the_bundle_holds_what_signs_what_will_and_what_did() -> None:
    now = NOW + timedelta(days=251)

    assert authority.bundle(Authority(CA, NEXT), now) == CA.certificate + NEXT.certificate
    assert authority.bundle(authority.promoted(Authority(CA, NEXT)), now) == NEXT.certificate + CA.certificate


def test_what_has_expired_leaves_the_bundle() -> None:
    promoted = authority.promoted(Authority(CA, NEXT))

    assert authority.bundle(promoted, NOW + timedelta(days=400)) == NEXT.certificate


def test_nothing_is_promoted_without_a_next_one() -> None:
    with pytest.raises(ValueError, match="no next CA"):
        authority.promoted(Authority(CA))


def test_what_cannot_be_read_is_not_alive() -> None:
    assert not authority.is_alive(b"nonsense", NOW)


@pytest.mark.parametrize(
    "held", [Authority(CA), Authority(CA, NEXT), Authority(NEXT, None, CA.certificate)], ids=["one", "two", "three"]
)
def test_a_secret_gives_back_what_was_put_in(held: Authority) -> None:
    stored = secret.manifest("ns", "name", held, "7")

    assert secret.parse(stored) == held
    assert stored["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    "data", [None, {}, {"tls.crt": "not base64!"}, {"tls.crt": base64.b64encode(b"x").decode()}, {"tls.crt": 7}]
)
def test_a_secret_without_a_pair_holds_no_authority(data: object) -> None:
    assert secret.parse({"data": data}) is None
    assert secret.parse(None) is None


def test_a_leaf_is_for_servers_and_names_its_hosts() -> None:
    leaf = x509.load_pem_x509_certificate(issuance.leaf(CA, ["hook.ns.svc", "10.0.0.7"], NOW).certificate)

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hook.ns.svc"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_after_utc - NOW == issuance.LEAF_LIFETIME
