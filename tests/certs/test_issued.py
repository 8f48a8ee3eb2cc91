"""A certificate that cert-manager issues is served, and its renewal too; no connection fails for that."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from certs import issuance, secret
from certs.authority import Pair
from certs.issued import IssuedKeeper
from certs.paths import PathKeys
from cluster.transport import ApiError
from tests.certs.test_leaf import Clock, serial, served, trusted

NOW = datetime.now(UTC)  # noqa: TID251 -- TLS judges by the clock of the machine
ONE, TWO = issuance.authority("one", NOW), issuance.authority("two", NOW)
KEY = "a" * 32


class Secrets:
    """The Secret that cert-manager writes, and that of the keys."""

    def __init__(self, pair: Pair | None, keys: PathKeys | None) -> None:
        self.pair = pair
        self.keys = keys
        self.broken = False

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        if self.broken:
            raise ApiError(500, "InternalError", "no")
        if path.endswith("/keys") and self.keys is not None:
            return secret.keys_manifest(self.keys, "ns", "keys")
        if path.endswith("/issued") and self.pair is not None:
            parts = {"tls.crt": self.pair.certificate, "tls.key": self.pair.key, "ca.crt": ONE.certificate}
            return {"data": {name: base64.b64encode(value).decode() for name, value in parts.items()}}
        raise ApiError(404, "NotFound", "no")


def keeper(api: Secrets, clock: Clock | None = None) -> IssuedKeeper:
    clock = clock or Clock()
    return IssuedKeeper(api, namespace="ns", name="issued", keys_name="keys", now=lambda: clock.now, sleep=clock.sleep)


def leaf(ca: Pair = ONE) -> Pair:
    return issuance.leaf(ca, ["localhost"], NOW, timedelta(days=90))


async def test_it_waits_for_the_certificate_and_for_the_keys(caplog: pytest.LogCaptureFixture) -> None:
    """Without a key every path would be answered that has none."""
    api = Secrets(leaf(), None)
    keeping = keeper(api)
    waiting = asyncio.create_task(keeping.first())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    api.pair, api.keys = None, PathKeys(KEY)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()

    api.pair = leaf()

    serving, proving = await waiting
    assert serving is proving
    assert (keeping.keys.accepts(KEY), keeping.keys.accepts("")) == (True, False)
    runner, port = await served(serving)
    assert await trusted(port, ONE)
    await runner.cleanup()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "waiting for Secret ns/keys, which the controller makes",
        "Secret ns/issued is missing: waiting for it",
    ]


async def test_a_renewed_certificate_is_served_and_one_in_use_is_not_loaded_again() -> None:
    api = Secrets(leaf(), PathKeys(KEY))
    keeping = keeper(api)
    runner, port = await served((await keeping.first())[0])
    first = await serial(port, ONE)
    await keeping.renew()
    assert await serial(port, ONE) == first

    api.pair = leaf()
    await keeping.renew()
    second = await serial(port, ONE)
    api.pair = leaf(TWO)
    await keeping.renew()

    assert second != first
    assert await trusted(port, TWO)
    await runner.cleanup()


def encrypted(key: bytes) -> bytes:
    read = serialization.load_pem_private_key(key, None)
    cipher = serialization.BestAvailableEncryption(b"secret")
    return read.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, cipher)


@pytest.mark.parametrize("damage", ["broken", "gone", "mixed", "empty", "not a certificate", "encrypted"])
async def test_whatever_happens_to_the_secret_the_certificate_in_use_stays(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = Secrets(leaf(), PathKeys(KEY))
    keeping = keeper(api)
    runner, port = await served((await keeping.first())[0])
    caplog.clear()

    api.broken = damage == "broken"
    api.pair = {
        "gone": None,
        "mixed": Pair(leaf().certificate, leaf().key),
        "empty": Pair(b"", b""),
        "encrypted": Pair(leaf().certificate, encrypted(leaf().key)),
        "not a certificate": Pair(b"-----BEGIN CERTIFICATE-----\n", b"\xff"),
    }.get(damage, api.pair)
    await keeping.renew()
    await keeping.renew()

    assert await trusted(port, ONE)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("certs")]
    assert len(told) == (2 if damage == "broken" else 1)
    assert "Secret ns/" in told[0]
    await runner.cleanup()


async def test_the_keys_of_the_paths_come_from_their_own_secret() -> None:
    api, clock = Secrets(leaf(), PathKeys(KEY)), Clock()
    keeping = keeper(api, clock)
    await keeping.first()

    api.keys = PathKeys(KEY, "b" * 32)
    await keeping.renew()

    assert keeping.keys.accepts("b" * 32)
    api.keys = None
    clock.now += timedelta(hours=1)
    await keeping.renew()
    assert (keeping.keys.accepts(KEY), keeping.keys.accepts("")) == (True, False)


async def test_a_renewal_that_fails_as_nobody_expects_is_not_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    class Failing(IssuedKeeper):
        async def renew(self) -> None:
            tried.append(len(tried))
            if len(tried) == 3:
                raise asyncio.CancelledError
            raise RuntimeError("unheard of")

    async def sleep(_seconds: float) -> None:
        return

    transport: Any = None
    keeping = Failing(transport, namespace="ns", name="tls", keys_name="keys", now=Clock(), sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await keeping.run()
    assert tried == [0, 1, 2]
    assert caplog.text.count("renewing failed") == 2
