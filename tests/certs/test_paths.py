"""The keys of the webhook's paths: their steps, their Secret, and which of them are accepted."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from certs import acceptance, issuance, paths, secret
from certs.acceptance import AcceptedKeys
from certs.authority import Authority
from certs.paths import NO_KEYS, PathKeys

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO, THREE = (issuance.path_key() for _ in range(3))


def test_a_key_is_random_and_fits_into_the_path_of_a_webhook() -> None:
    assert len({issuance.path_key() for _ in range(100)}) == 100
    assert len(issuance.path_key()) == 32
    assert paths.key_in({"url": f"https://10.0.0.1:8443{paths.with_key(paths.VALIDATE_PATH, ONE)}"}) == ONE
    assert paths.key_in({"service": {"path": paths.with_key(paths.MUTATE_PATH, ONE)}}) == ONE


@pytest.mark.parametrize("client", [{}, {"url": "https://10.0.0.1:8443/validate"}, {"service": {"path": "/x/SHORT"}}])
def test_a_client_without_a_key_has_an_empty_one(client: dict[str, object]) -> None:
    assert paths.key_in(client) == ""
    assert paths.with_key(paths.VALIDATE_PATH, "") == "/validate"


def test_a_key_is_never_printed() -> None:
    text = f'{PathKeys(ONE, TWO, THREE, NOW)!r} Post "https://x.svc:443/note-deletion/{ONE}?timeout=1s": refused'

    assert not any(key in paths.redacted(text) for key in (ONE, TWO, THREE))
    assert 'Post "https://x.svc:443/note-deletion/…?timeout=1s": refused' in paths.redacted(text)


@pytest.mark.parametrize(
    ("keys", "registered", "trusted", "expected"),
    [
        pytest.param(PathKeys(ONE), ONE, True, PathKeys(ONE), id="as it should be"),
        pytest.param(PathKeys(TWO, None, ONE), ONE, True, PathKeys(TWO, None, ONE), id="not registered yet"),
        pytest.param(PathKeys(TWO), ONE, True, PathKeys(ONE), id="somebody replaced the key in the Secret"),
        pytest.param(PathKeys(TWO, ONE), ONE, True, PathKeys(ONE), id="somebody moved it"),
        pytest.param(NO_KEYS, ONE, True, PathKeys(ONE), id="somebody deleted the Secret"),
        pytest.param(NO_KEYS, ONE, False, PathKeys(ONE), id="somebody deleted the Secret before we looked"),
        pytest.param(PathKeys(TWO), ONE, False, PathKeys(TWO), id="somebody edited the configuration"),
        pytest.param(PathKeys(ONE), None, True, PathKeys(ONE), id="nothing is registered"),
        pytest.param(PathKeys("", ONE), "", True, PathKeys("", ONE), id="registered by an older version"),
    ],
)
def test_the_registered_key_is_kept(keys: PathKeys, registered: str | None, trusted: bool, expected: PathKeys) -> None:
    assert paths.repaired(keys, registered, trusted=trusted) == expected


def test_the_next_key_becomes_current_and_the_current_one_previous() -> None:
    keys = paths.introduced(PathKeys(ONE, created=NOW), TWO)
    later = NOW + timedelta(minutes=1)

    assert keys.accepted == {ONE, TWO}
    assert paths.promoted(keys, later) == PathKeys(TWO, None, ONE, later)
    assert paths.retired(paths.promoted(keys, later)) == PathKeys(TWO, created=later)
    with pytest.raises(ValueError, match=r"^there is no next key to promote$"):
        paths.promoted(PathKeys(ONE), NOW)


def test_a_key_is_replaced_every_day_and_if_its_age_is_not_known() -> None:
    assert not paths.is_due(PathKeys(ONE, created=NOW), NOW + timedelta(hours=23))
    assert paths.is_due(PathKeys(ONE, created=NOW), NOW + timedelta(days=1))
    assert paths.is_due(PathKeys(ONE), NOW)


@pytest.mark.parametrize(
    "keys",
    [NO_KEYS, PathKeys(ONE, created=NOW), PathKeys(ONE, TWO), PathKeys(TWO, None, "", NOW), PathKeys("", ONE)],
    ids=["none", "current", "next", "previous without a key", "current without a key"],
)
def test_a_secret_gives_back_the_keys_that_were_put_in(keys: PathKeys) -> None:
    assert secret.parse_keys(secret.manifest("ns", "ca", Authority(None), keys=keys)) == keys


@pytest.mark.parametrize(
    "text",
    [b"", b"short", ONE.upper().encode(), b"../" + ONE.encode(), b"\xff" * 32],
    ids=["empty", "short", "upper case", "a path", "bytes"],
)
def test_what_is_not_a_key_in_a_secret_is_no_key(text: bytes) -> None:
    stored = secret.manifest("ns", "ca", Authority(None), keys=PathKeys(ONE))
    stored["data"] |= dict.fromkeys(("path.key", "path.next", "path.created"), base64.b64encode(text).decode())

    assert secret.parse_keys(stored) == NO_KEYS
    assert secret.parse_keys(None) == NO_KEYS


def test_a_time_without_a_zone_is_not_known() -> None:
    stored = secret.manifest("ns", "ca", Authority(None), keys=PathKeys(ONE, created=NOW.replace(tzinfo=None)))

    assert secret.parse_keys(stored).created is None


def test_two_keys_are_accepted_while_they_change_and_no_other_one() -> None:
    accepted = AcceptedKeys()

    accepted.update(PathKeys(ONE, TWO), NOW)

    assert [accepted.accepts(key) for key in (ONE, TWO)] == [True, True]
    assert not any(accepted.accepts(key) for key in ("", THREE, ONE[:-1], f"{ONE}/", ONE.upper(), "é", "\udcff"))


def test_before_the_secret_was_read_nothing_is_accepted_and_without_keys_in_it_plain_paths_are() -> None:
    accepted = AcceptedKeys()
    assert not accepted.accepts("")

    accepted.update(NO_KEYS, NOW)
    assert accepted.accepts("")
    assert not accepted.accepts(ONE)

    accepted.update(PathKeys(ONE), NOW)
    assert accepted.accepts("")
    accepted.update(PathKeys(ONE), NOW + acceptance.GRACE)
    assert not accepted.accepts("")


def test_a_key_that_is_removed_is_accepted_for_a_while() -> None:
    accepted = AcceptedKeys()
    accepted.update(PathKeys(ONE), NOW)
    accepted.update(PathKeys(TWO), NOW + timedelta(seconds=10))
    assert accepted.accepts(ONE)
    accepted.update(PathKeys(TWO), NOW + timedelta(seconds=20))
    assert accepted.accepts(ONE)

    accepted.update(PathKeys(TWO), NOW + timedelta(seconds=10) + acceptance.GRACE)
    assert (accepted.accepts(ONE), accepted.accepts(TWO), accepted.accepts("")) == (False, True, False)


def test_a_secret_that_lost_its_keys_changes_nothing() -> None:
    accepted = AcceptedKeys()
    accepted.update(PathKeys(ONE), NOW)
    accepted.update(PathKeys(ONE), NOW + acceptance.GRACE)

    accepted.update(NO_KEYS, NOW + timedelta(days=1))

    assert accepted.accepts(ONE)
    assert not accepted.accepts("")
