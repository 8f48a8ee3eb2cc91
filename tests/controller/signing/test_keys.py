"""What is in the Secret of the keys, what is done about a damaged one, and when a working key is replaced."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.signing import keys
from controller.signing.keys import Keys
from crd.published import signature
from crd.published.signature import Stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIFETIME = timedelta(days=90)
MADE = keys.generate(NOW)


def sign(by: Keys, version: int = 1) -> str:
    return by.sign(server_uid="uid-1", version=version, name="catalog.json", content=b"{}")


def verified(envelope: str, root: Keys, in_force: Stamp | None = None) -> Any:
    return signature.verify(
        envelope, root=root.public, server_uid="uid-1", name="catalog.json", content=b"{}", in_force=in_force
    )


def secret(**changed: str | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        **keys.secret_data(MADE),
        **{name.replace("_", "."): text for name, text in changed.items()},
    }
    return {"data": data}


def certificate(**changed: Any) -> str:
    stored = json.loads(base64.b64decode(keys.secret_data(MADE)["working.certificate"]))
    return base64.b64encode(json.dumps({**stored, **changed}).encode()).decode()


def test_what_the_keys_sign_verifies_under_the_root() -> None:
    assert isinstance(verified(sign(MADE), MADE), Stamp)
    assert not isinstance(verified(sign(keys.generate(NOW)), MADE), Stamp)


def test_stored_keys_are_read_again_as_they_were() -> None:
    read = keys.parse(keys.manifest("mcp-system", "keys", MADE, "7"))

    assert read is not None
    assert (read.argument, read.generation) == (MADE.argument, MADE.generation)
    assert sign(read) == sign(MADE)
    assert keys.advance(read, NOW, LIFETIME) is read
    assert keys.manifest("mcp-system", "keys", MADE, "7")["metadata"]["resourceVersion"] == "7"


def test_private_keys_stand_in_no_text() -> None:
    raw = base64.b64decode(keys.secret_data(MADE)["root.key"])

    assert raw.hex() not in repr(MADE)
    assert "Ed25519PrivateKey" not in repr(MADE)


@pytest.mark.parametrize("stored", [None, *(secret(root_key=text) for text in (None, "", "?", "AAAA", 7))])  # type: ignore[arg-type]
def test_a_root_key_that_cannot_be_read_is_replaced_with_all_that_it_certified(stored: Any) -> None:
    made = keys.advance(keys.parse(stored), NOW, LIFETIME)

    assert made.argument != MADE.argument
    assert isinstance(verified(sign(made), made), Stamp)


@pytest.mark.parametrize(
    "damaged",
    [
        {"working_key": None},
        {"working_key": "AAAA"},
        {"working_key": base64.b64encode(b"x" * 32).decode()},
        {"working_certificate": None},
        {"working_certificate": base64.b64encode(b"[]").decode()},
        {"working_certificate": base64.b64encode(b"{").decode()},
        {"working_certificate": certificate(signature="AAAA")},
        {"working_certificate": certificate(generation=1)},
        {"working_certificate": certificate(generation="x")},
        {"working_certificate": certificate(made=True)},
    ],
)
def test_a_damaged_working_key_is_replaced_under_the_same_root(damaged: dict[str, Any]) -> None:
    later = NOW + timedelta(seconds=5)

    made = keys.advance(keys.parse(secret(**damaged)), later, LIFETIME)

    assert made.argument == MADE.argument
    assert made.generation > MADE.generation
    assert isinstance(verified(sign(made), MADE), Stamp)


@pytest.mark.parametrize(("age", "rotates"), [(LIFETIME - timedelta(seconds=1), False), (LIFETIME, True)])
def test_a_working_key_is_replaced_when_it_is_old(age: timedelta, rotates: bool) -> None:
    made = keys.advance(MADE, NOW + age, LIFETIME)

    assert (made is not MADE) == rotates
    assert made.argument == MADE.argument
    if rotates:
        old = verified(sign(MADE, 2**50), MADE)
        new = verified(sign(made), MADE, in_force=old)
        assert isinstance(new, Stamp)
        assert not isinstance(verified(sign(MADE, 2**51), MADE, in_force=new), Stamp)


def test_a_generation_grows_also_where_the_clock_went_back() -> None:
    aged = keys.advance(MADE, NOW - timedelta(days=400), timedelta(days=-500))

    assert aged.generation == MADE.generation + 1


@pytest.mark.parametrize(("least", "generation"), [(MADE.generation, MADE.generation), (2**40, 2**40)])
def test_a_generation_that_a_catalog_has_is_reached(least: int, generation: int) -> None:
    assert keys.advance(MADE, NOW, LIFETIME, least=least).generation == generation


def test_incomplete_keys_sign_nothing() -> None:
    with pytest.raises(ValueError, match="no root key"):
        _ = Keys(None, None).public
    with pytest.raises(ValueError, match="no working key"):
        sign(Keys(MADE.root, None))
