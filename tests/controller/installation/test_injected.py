"""With certificates of cert-manager: its bundle stays, everything else is repaired, and the key changes as ever."""

from __future__ import annotations

import base64
from typing import Any

from certs import secret
from controller.installation.installer import Installer
from controller.installation.registration import INJECT_FROM, Injected
from tests.controller.installation.test_installer import MUTATING, PROBE, VALIDATING, Wall, enforced, made, weaken
from tests.controller.installation.test_path_keys import Cluster

CERTIFICATE = Injected("mcp-system", "webhook")


class Injecting(Cluster):
    """The cainjector writes its bundle into each configuration that asks for it, some time after it was written."""

    def __init__(self, wall: Wall) -> None:
        super().__init__(wall)
        self.injected = b"the CA of cert-manager"

    def advance(self) -> None:
        for name in (VALIDATING, MUTATING, PROBE):
            if name in self.stored and self.stored[name]["metadata"].get("annotations", {}).get(INJECT_FROM):
                self.inject(name)
        super().advance()

    def inject(self, name: str) -> None:
        bundle = base64.b64encode(self.injected).decode()
        for webhook in self.stored[name]["webhooks"]:
            if webhook["clientConfig"].get("caBundle") != bundle:
                self.edit(name, lambda _, client=webhook["clientConfig"]: client.update(caBundle=bundle))  # type: ignore[misc]


def bundles(api: Injecting, name: str) -> set[str | None]:
    return {webhook["clientConfig"].get("caBundle") for webhook in api.stored[name]["webhooks"]}


async def installed() -> tuple[Injecting, Installer, Wall]:
    wall = Wall()
    api = Injecting(wall)
    api.canary = "live"
    found = made(api, wall, injected=CERTIFICATE)
    for _ in range(6):
        await found.step()
        api.advance()
    api.writes.clear()
    api.events.clear()
    api.refused.clear()
    return api, found, wall


async def test_there_is_no_ca_and_the_secret_holds_the_keys_alone() -> None:
    api, _, _ = await installed()

    stored = api.stored["ca"]
    assert stored["type"] == "Opaque"
    assert set(stored["data"]) == {"path.key", "path.created"}
    assert api.registered == {secret.parse_keys(stored).current}


async def test_the_configurations_name_the_certificate_and_the_bundle_is_not_ours() -> None:
    api, found, wall = await installed()
    for name in (VALIDATING, MUTATING):
        assert api.stored[name]["metadata"]["annotations"] == {INJECT_FROM: "mcp-system/webhook"}
    before = api.injected

    api.injected = b"a renewed CA"
    api.advance()
    await found.step()
    await made(api, wall, injected=CERTIFICATE).step()

    assert bundles(api, VALIDATING) == bundles(api, MUTATING) == {base64.b64encode(api.injected).decode()}
    assert api.injected != before
    assert (api.writes, api.events) == ([], [])


async def test_an_edit_is_undone_and_the_bundle_stays() -> None:
    api, found, _ = await installed()

    api.edit(VALIDATING, weaken)
    await found.step()

    assert api.stored[VALIDATING]["webhooks"][0]["failurePolicy"] == "Fail"
    assert bundles(api, VALIDATING) == {base64.b64encode(api.injected).decode()}
    assert api.reasons() == ["ForeignEditUndone"]


async def test_whoever_redirects_the_injection_is_undone() -> None:
    api, found, _ = await installed()

    def redirect(config: dict[str, Any]) -> None:
        config["metadata"]["annotations"] |= {
            INJECT_FROM: "default/mine",
            "cert-manager.io/inject-apiserver-ca": "true",
        }

    api.edit(MUTATING, redirect)
    await found.step()

    assert api.stored[MUTATING]["metadata"]["annotations"] == {INJECT_FROM: "mcp-system/webhook"}
    for name in ("inject-ca-from", "inject-apiserver-ca"):
        assert f"metadata.annotations[cert-manager.io/{name}]" in api.events[0]["note"]


async def test_an_outage_changes_the_key_through_a_probe_whose_bundle_is_injected() -> None:
    api, found, _ = await installed()
    shown = api.keys.current
    api.up = False
    for _ in range(3):
        await found.step()
        api.advance()
    api.up = True
    assert api.keys.following is not None

    for _ in range(60):
        await found.step()
        api.advance()

    assert api.registered == {api.keys.current} != {shown}
    assert api.refused == []
    assert PROBE not in api.stored
    assert set(api.stored["ca"]["data"]) == {"path.key", "path.created"}


async def test_from_an_own_ca_to_cert_manager_and_back_the_key_and_the_policy_stay() -> None:
    wall = Wall()
    api = Injecting(wall)
    await enforced(api, wall)
    (key,) = api.registered
    own = api.stored.pop("ca")

    await made(api, wall, injected=CERTIFICATE).step()
    api.advance()
    assert (api.registered, api.stored[VALIDATING]["webhooks"][0]["failurePolicy"]) == ({key}, "Fail")
    assert bundles(api, MUTATING) == {base64.b64encode(api.injected).decode()}

    api.stored["ca"] = own
    await made(api, wall).step()
    assert INJECT_FROM not in (api.stored[VALIDATING]["metadata"].get("annotations") or {})
    assert bundles(api, VALIDATING) == {base64.b64encode(secret.parse(own).current.certificate).decode()}  # type: ignore[union-attr]


async def test_with_an_own_ca_nobody_has_another_bundle_injected() -> None:
    api, wall = Cluster(Wall()), Wall()
    found = await enforced(api, wall)

    def inject(config: dict[str, Any]) -> None:
        config["metadata"]["annotations"] = {INJECT_FROM: "default/mine", "team": "a"}

    api.edit(VALIDATING, inject)
    await found.step()

    assert api.stored[VALIDATING]["metadata"]["annotations"] == {"team": "a"}
