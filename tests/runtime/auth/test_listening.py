"""Streams of clients that authenticate: what they hear of, and how long they may listen."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crd.published.settings import Auth, Jwt
from runtime.auth.authenticator import Authenticator
from runtime.auth.jwks import KeySets, KeysUnavailableError
from tests.runtime.auth.test_auth import BY_KEY, BY_TOKEN, EC, KEYS, NOW, SCOPED, Secrets, bearer, public, token
from tests.runtime.http.test_streams import RESULT, changed, retitled
from tests.runtime.raw_http import listen


@pytest.fixture
def secrets(replicas: Any) -> Secrets:
    return Secrets(replicas.secrets)


async def test_a_client_hears_of_the_lists_that_it_is_served(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.issuer(*KEYS)
    one = catalog_of(auth=Auth("JWT", jwt=SCOPED))
    hidden = replace(one.tools[0], required_scopes=("a",))
    one = replace(one, tools=(hidden, *one.tools[1:]))
    replica = await replicas.start(one)
    sent = {scope: bearer(token(scope=scope)) for scope in ("a b", "b")}

    async with listen(replica.mcp, "tools", **sent["a b"]) as all_, listen(replica.mcp, "tools", **sent["b"]) as few:
        await all_.next()
        await few.next()
        one = retitled(one, "tools", "Another")
        replica.serve(one)
        assert await all_.next() == changed("tools")
        # This one is served to both. The second client has not heard of the change before.
        replica.serve(replace(one, tools=(one.tools[0], replace(one.tools[1], title="Another"), *one.tools[2:])))
        assert await all_.next() == changed("tools")
        assert await few.next() == changed("tools")
        await replica.streams.drain()
        assert await all_.next() == RESULT
        assert await few.next() == RESULT


async def test_without_a_credential_nobody_listens(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.put("clients", ada="first", bob="second")
    replica = await replicas.start(catalog_of(auth=BY_KEY))

    async with listen(replica.mcp, "tools") as refused, listen(replica.mcp, "tools", **bearer("first")) as stream:
        assert (refused.status, stream.status) == (401, 200)
        assert "WWW-Authenticate" in refused.headers
    await replica.streams.drain()


async def test_a_key_that_is_removed_ends_the_streams_of_its_client(
    replicas: Any, catalog_of: Any, secrets: Secrets
) -> None:
    secrets.put("clients", ada="first", bob="second")
    catalog = catalog_of(auth=BY_KEY)
    replica = await replicas.start(catalog)

    async with (
        listen(replica.mcp, "tools", **bearer("first")) as ada,
        listen(replica.mcp, "tools", **bearer("second")) as bob,
    ):
        await ada.next()
        await bob.next()
        secrets.put("clients", bob="second", eve="first")
        replica.serve(retitled(catalog, "tools", "Another"))
        assert await ada.next() == RESULT
        assert await bob.next() == changed("tools")


async def test_a_stream_ends_with_the_token_of_its_client(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.issuer(*KEYS)
    replica = await replicas.start(catalog_of(auth=BY_TOKEN))
    replica.streams._now = lambda: NOW + 89.8

    # The clocks of issuer and pod may differ by 30 s.
    async with listen(replica.mcp, "tools", **bearer(token(exp=NOW + 60))) as stream:
        await stream.next()
        replica.streams._now = lambda: NOW + 90.0
        async with asyncio.timeout(10):
            assert await stream.next() == RESULT
    assert replica.count("mcp_server_streams_ended_total", reason="expired") == 1


class Checks:
    """An authenticator with a key set in a Secret and API keys."""

    def __init__(self, folder: Path) -> None:
        self.now = float(NOW)
        self.secrets = Secrets(folder)
        self.secrets.issuer(*KEYS)
        self.secrets.put("clients", ada="first")
        self.authenticator = Authenticator(folder, KeySets(self.fetch, lambda: self.now), lambda: self.now)
        self.fetched: list[bytes] = []

    async def fetch(self, _: str) -> bytes:
        if not self.fetched:
            raise KeysUnavailableError("not now")
        return self.fetched[-1]


@pytest.fixture
def checks(tmp_path: Path) -> Checks:
    return Checks(tmp_path)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (Auth("JWT", jwt=SCOPED), True),
        (Auth("JWT", jwt=Jwt(**{name: getattr(SCOPED, name) for name in SCOPED.__slots__})), True),
        (Auth("JWT", jwt=replace(SCOPED, audiences=("other",))), False),
        (Auth("JWT", jwt=replace(SCOPED, required_scopes=("more",))), False),
        (Auth("JWT"), False),
        (BY_KEY, False),
        (Auth(), False),
    ],
)
async def test_a_token_was_verified_by_one_policy(checks: Checks, auth: Auth, expected: bool) -> None:
    identity = await checks.authenticator.authenticate(Auth("JWT", jwt=SCOPED), [f"Bearer {token()}"])

    assert await checks.authenticator.is_granted(auth, identity.grant) is expected


async def test_a_token_is_granted_until_it_expires_or_a_key_is_withdrawn(checks: Checks) -> None:
    auth = Auth("JWT", jwt=SCOPED)
    grant = (await checks.authenticator.authenticate(auth, [f"Bearer {token()}"])).grant

    checks.secrets.issuer(public(EC, "new", "ES256"), *KEYS)
    assert await checks.authenticator.is_granted(auth, grant)
    checks.secrets.issuer(public(EC, "new", "ES256"), *KEYS[1:])
    assert not await checks.authenticator.is_granted(auth, grant)
    checks.secrets.issuer(*KEYS)
    checks.now = NOW + 89.9
    assert await checks.authenticator.is_granted(auth, grant)
    checks.now = NOW + 90.0
    assert not await checks.authenticator.is_granted(auth, grant)


async def test_without_authentication_everybody_is_granted_until_there_is_one(checks: Checks) -> None:
    identity = await checks.authenticator.authenticate(Auth(), [])

    assert await checks.authenticator.is_granted(Auth(), identity.grant)
    assert not await checks.authenticator.is_granted(BY_KEY, identity.grant)


async def test_while_keys_are_unavailable_nothing_is_decided(checks: Checks) -> None:
    grant = (await checks.authenticator.authenticate(BY_KEY, ["Bearer first"])).grant
    assert await checks.authenticator.is_granted(BY_KEY, grant)

    with pytest.raises(KeysUnavailableError):
        await checks.authenticator.is_granted(replace(BY_KEY, api_key_secret="missing"), grant)


async def test_a_stream_stays_while_keys_are_unavailable(replicas: Any, catalog_of: Any, secrets: Secrets) -> None:
    secrets.put("clients", ada="first")
    catalog = catalog_of(auth=BY_KEY)
    replica = await replicas.start(catalog)

    async with listen(replica.mcp, "tools", **bearer("first")) as stream:
        await stream.next()
        shutil.rmtree(replicas.secrets / "clients")
        replica.serve(retitled(catalog, "tools", "Another"))
        assert await stream.next() == changed("tools")
