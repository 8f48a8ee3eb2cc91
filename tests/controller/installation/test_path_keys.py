"""The key of the webhook's paths is created, replaced and repaired, and no review meets a webhook that refuses it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from certs import paths, secret
from certs.acceptance import AcceptedKeys
from certs.paths import PathKeys
from cluster.transport import ApiError
from controller.installation import installer, registration
from controller.installation.installer import Installer
from tests.controller.installation.test_installer import (
    MUTATING,
    PROBE,
    START,
    VALIDATING,
    Api,
    Wall,
    enforced,
    made,
    weaken,
)

TICK = timedelta(seconds=5)


class Cluster(Api):
    """API servers that learn of a configuration late, and replicas of the webhook that read the Secret in turn.

    The canary is answered by what the slowest API server would reach on any replica; so is every review that
    `advance` sends. ``refused`` are the reviews that met no webhook that accepts their path.
    """

    def __init__(self, wall: Wall, lag: int = 3) -> None:
        super().__init__()
        self.wall = wall
        self.lag = lag
        self.replicas = [AcceptedKeys(), AcceptedKeys()]
        self.configurations: list[set[str]] = []
        self.refused: list[str] = []
        self.up = True
        self.tick = 0

    def keys_in_use(self) -> set[str]:
        """The keys under which some API server calls: that of now and those of the last ticks."""
        now = self.registered if VALIDATING in self.stored and MUTATING in self.stored else set()
        return now.union(*self.configurations[-self.lag :])

    def is_answered(self, key: str) -> bool:
        return all(replica.accepts(key) for replica in self.replicas)

    def advance(self) -> None:
        """Time passes; one replica reads the Secret, and a review is sent to each replica by each API server."""
        self.tick += 1
        self.wall.now += TICK
        if "ca" in self.stored:
            held = secret.parse_keys(self.stored["ca"])
            self.replicas[self.tick % 2].update(held, self.wall.now)
        in_use = self.keys_in_use()
        self.refused += [f"{self.tick}: {key!r}" for key in in_use if not self.is_answered(key)]
        if VALIDATING in self.stored and MUTATING in self.stored:
            self.configurations.append(self.registered)

    def _prompt(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self.up:
            (key,) = self.registered
            url = f"https://hook.mcp-system.svc:443/validate/{key}?timeout=5s"
            text = f'failed calling webhook "{registration.VALIDATOR}": Post "{url}": connection refused'
            raise ApiError(500, "InternalError", text)
        return super()._prompt(body)

    def _probe(self, body: dict[str, Any]) -> dict[str, Any]:
        if PROBE in self.stored:
            key = paths.key_in(self.stored[PROBE]["webhooks"][0]["clientConfig"])
            self.served = lambda: self.bundle if self.is_answered(key) else b""
        return super()._probe(body)


async def installed(lag: int = 3) -> tuple[Cluster, Installer, Wall]:
    """An installation in force, which has come to rest."""
    wall = Wall()
    api = Cluster(wall, lag)
    found = await enforced(api, wall)
    for _ in range(4):
        await pass_time(api, found)
    api.refused.clear()
    api.events.clear()
    return api, found, wall


async def pass_time(api: Cluster, found: Installer, ticks: int = 1) -> None:
    for _ in range(ticks):
        await found.step()
        api.advance()


async def test_the_configurations_end_in_a_key_that_only_the_secret_has() -> None:
    api, _, _ = await installed()

    assert api.registered == {api.keys.current}
    assert len(api.keys.current) == 32
    held = [name for name, stored in api.stored.items() if api.keys.current in json.dumps(stored)]
    assert sorted(held) == [MUTATING, VALIDATING]  # and the Secret, in base64


async def test_an_outage_changes_the_key_and_no_review_is_refused_for_it() -> None:
    api, found, _ = await installed()
    shown = api.keys.current

    api.up = False
    await pass_time(api, found, 3)
    assert api.registered == {shown}
    api.up = True
    await pass_time(api, found, 60)

    assert api.registered == {api.keys.current} != {shown}
    assert api.keys.following is api.keys.previous is None
    assert not any(replica.accepts(shown) for replica in api.replicas)
    assert api.refused == []
    assert PROBE not in api.stored


async def test_both_keys_are_accepted_until_the_new_one_was_used_for_the_settling_time() -> None:
    api, found, wall = await installed()
    shown = api.keys.current
    api.up = False
    await pass_time(api, found, 1)
    api.up = True
    while api.registered == {shown}:
        await pass_time(api, found)
    changed = wall.now

    assert api.keys.previous == shown
    while api.keys.previous is not None:
        assert all(replica.accepts(shown) for replica in api.replicas)
        await pass_time(api, found)
    assert wall.now - changed >= installer.SETTLING


async def test_a_key_is_not_registered_before_an_api_server_has_used_it() -> None:
    """One replica does not read the Secret any more: under the next key, its reviews would be refused."""
    api, found, _ = await installed()
    shown = api.keys.current
    api.replicas[1].update = lambda *_: None  # type: ignore[method-assign]

    api.up = False
    await pass_time(api, found)
    api.up = True
    await pass_time(api, found, 60)

    assert api.registered == {shown}
    assert api.refused == []


async def test_a_key_is_replaced_every_day() -> None:
    """A call that failed between two canaries has shown the path to somebody too."""
    api, found, wall = await installed()
    shown = api.keys.current

    wall.now += paths.LIFETIME
    await pass_time(api, found, 60)

    assert api.registered == {api.keys.current} != {shown}
    assert api.refused == []


async def test_a_settled_key_is_kept() -> None:
    api, found, _ = await installed()
    shown = api.keys

    await pass_time(api, found, 60)

    assert api.keys == shown


async def test_the_paths_of_an_older_version_are_answered_until_they_are_replaced() -> None:
    api, found, wall = await installed()
    api.replicas = [AcceptedKeys(), AcceptedKeys()]
    api.configurations.clear()
    api.edit("ca", lambda stored: [stored["data"].pop(name) for name in ("path.key", "path.created")])
    for name in (VALIDATING, MUTATING):
        for webhook in api.stored[name]["webhooks"]:
            service = webhook["clientConfig"]["service"]
            service["path"] = service["path"].rpartition("/")[0]
    assert api.registered == {""}
    for replica in api.replicas:
        replica.update(api.keys, wall.now)

    await pass_time(api, made(api, wall), 1)
    assert api.registered == {""}
    await pass_time(api, found := made(api, wall), 60)

    assert api.registered == {api.keys.current} != {""}
    assert not any(replica.accepts("") for replica in api.replicas)
    assert api.refused == []
    assert found.trouble is None


def drop(stored: dict[str, Any]) -> None:
    del stored["data"]["path.key"]


def replace(stored: dict[str, Any]) -> None:
    stored["data"] |= secret.manifest("", "", secret.parse(stored), keys=PathKeys("f" * 32))["data"]  # type: ignore[arg-type]


def empty(stored: dict[str, Any]) -> None:
    stored["data"] = {}


@pytest.mark.parametrize("damage", [drop, replace, empty, None])
async def test_a_damaged_secret_keeps_the_key_that_is_registered(
    damage: Callable[[dict[str, Any]], None] | None,
) -> None:
    api, found, _ = await installed()
    before = api.keys.current

    if damage is None:
        del api.stored["ca"]
    else:
        api.edit("ca", damage)
    api.advance()  # A replica reads it before it is repaired.
    await pass_time(api, found)
    assert api.registered == {api.keys.current} == {before}
    await pass_time(api, found, 80)

    assert api.refused == []
    assert "f" * 32 not in api.registered


async def test_a_path_that_somebody_else_registers_is_undone() -> None:
    api, found, _ = await installed()
    before = copy.deepcopy(api.stored[VALIDATING])

    def call_elsewhere(config: dict[str, Any]) -> None:
        config["webhooks"][0]["clientConfig"]["service"]["path"] = "/validate/" + "f" * 32

    api.edit(VALIDATING, call_elsewhere)
    await found.step()

    assert registration.differences(api.stored[VALIDATING], before) == ()
    assert api.keys.accepted == {api.keys.current}


async def test_what_is_reported_of_an_outage_does_not_show_the_path() -> None:
    api, found, _ = await installed()
    shown = api.keys.current

    api.up = False
    await pass_time(api, found, 3)

    assert "CanaryNotRefused" in api.reasons()
    assert found.trouble is not None
    assert "/validate/…?timeout=5s" in found.trouble
    assert shown not in found.trouble
    assert shown not in json.dumps(api.events)


@pytest.mark.parametrize("canary", ["silent", "absent", "other"])
async def test_trouble_that_shows_the_path_to_nobody_changes_no_key(canary: str) -> None:
    """The API server does not answer, or another webhook refuses the canary."""
    api, found, _ = await installed()
    before = api.keys

    api.canary = canary
    await pass_time(api, found, 3)
    api.canary = "live"
    await pass_time(api, found, 3)

    assert api.keys == before


async def test_other_edits_change_no_key() -> None:
    api, found, _ = await installed()
    before = api.keys

    api.edit(VALIDATING, weaken)
    await pass_time(api, found, 5)

    assert api.keys == before


async def test_with_roles_only_a_key_is_replaced_when_an_administrator_installs_it() -> None:
    api, wall = Api(), Wall()
    found = made(api, wall, namespaces=("bank", "shop"))
    api.canary = "live"
    await found.step()
    first = api.keys.current
    wall.now = START + timedelta(days=30)
    await found.step()
    assert api.keys == PathKeys(first, created=START)

    api.canary = "down"
    await found.step()
    api.canary = "live"
    await found.step()
    assert found.trouble is not None
    assert "path is not installed yet" in found.trouble
    following = api.keys.following
    assert following is not None
    assert api.keys.current == first

    certificate = api.ca.current.certificate if api.ca.current else b""
    api.stored[PROBE] = registration.ca_probe(
        registration.ServiceTarget("mcp-system", "hook"),
        certificate,
        fingerprint=registration.probe_label(certificate, following),
        namespace="mcp-system",
        owner=None,
        key=following,
    )
    api.served = lambda: certificate
    for _ in range(3):
        wall.now += installer.SETTLING
        await found.step()

    assert api.keys.current == following
    wall.now += installer.SETTLING
    await found.step()
    assert api.keys.accepted == {following}
    assert found.trouble is None


async def test_with_roles_only_a_deleted_secret_gets_back_the_key_that_is_registered() -> None:
    api, wall = Api(), Wall()
    found = made(api, wall, namespaces=("shop",))
    api.canary = "live"
    await found.step()
    first = api.keys.current

    del api.stored["ca"]
    await found.step()

    assert api.keys.current == first
