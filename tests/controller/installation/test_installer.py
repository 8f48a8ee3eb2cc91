"""Admission is installed, proved, enforced, kept as it is, and its CA renewed and repaired without a gap in trust."""

from __future__ import annotations

import asyncio
import base64
import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certs import authority, issuance, paths, secret
from certs.authority import Authority
from certs.paths import PathKeys
from cluster.clock import Clock
from cluster.transport import ApiError
from controller.installation import installer, registration
from controller.installation.installer import Installer
from controller.metrics import Metrics

START = datetime(2026, 1, 1, tzinfo=UTC)
VALIDATING, MUTATING, PROBE = registration.VALIDATING, registration.MUTATING, registration.CA_PROBE


class Api:
    """An API server that stores objects by name, counts writes, and answers canaries.

    ``canary`` says how the webhook answers; ``served`` is the CA that signed what the webhook shows on its second port.
    """

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {"mcp-system": {"metadata": {"uid": "u-namespace"}}}
        self.canary = "absent"
        self.served: Callable[[], bytes] = lambda: b""
        self.writes: list[str] = []
        self.policies: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.probed = 0
        self.version = 0
        self.before_create: Callable[[str], None] = lambda _name: None

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        if path.endswith("/mcpprompts"):
            return self._prompt(body)
        if path.endswith("/events"):
            self.events.append(body)
            return {}
        name = path.rpartition("/")[2] if method != "POST" else body["metadata"]["name"]
        if method == "POST":
            self.before_create(name)
            if name in self.stored:
                raise ApiError(409, "AlreadyExists", name)
            return self.put(name, body)
        if name not in self.stored:
            raise ApiError(404, "NotFound", name)
        if method == "DELETE":
            self.writes.append(f"delete {name}")
            del self.stored[name]
            return {}
        if method == "PUT":
            stored = self.stored[name]
            if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
                raise ApiError(409, "Conflict", name)
            if stored.get("immutable") or stored.get("type") != body.get("type"):
                raise ApiError(422, "Invalid", name)
            return self.put(name, body)
        return copy.deepcopy(self.stored[name])

    def put(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.writes.append(name)
        metadata = {"uid": f"u-{name}", **body["metadata"], "resourceVersion": str(self.version)}
        self.stored[name] = {**copy.deepcopy(body), "metadata": metadata}
        if name == VALIDATING:
            self.policies.append(body["webhooks"][0]["failurePolicy"])
        return copy.deepcopy(self.stored[name])

    def edit(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """What somebody else does to an object."""
        change(self.stored[name])
        self.version += 1
        self.stored[name]["metadata"]["resourceVersion"] = str(self.version)

    def _prompt(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["metadata"]["namespace"] == "mcp-system":
            return self._probe(body)
        answers = {
            "live": f'admission webhook "{registration.VALIDATOR}" denied the request: no',
            "down": f'failed calling webhook "{registration.VALIDATOR}": connection refused',
            "other": 'admission webhook "policy.example.com" denied the request: no',
        }
        if self.canary in answers:
            raise ApiError(422, "x", answers[self.canary])
        if self.canary == "silent":
            raise TimeoutError
        return {}

    def _probe(self, body: dict[str, Any]) -> dict[str, Any]:
        """The API server calls the second port, if the registration matches and its bundle verifies what is served."""
        self.probed += 1
        config = self.stored.get(PROBE)
        if config is None:
            return {}
        webhook = config["webhooks"][0]
        assert webhook["matchConditions"][0]["expression"] == f"object.metadata.name == '{body['metadata']['name']}'"
        if webhook["objectSelector"]["matchLabels"] != body["metadata"]["labels"]:
            return {}
        if base64.b64decode(webhook["clientConfig"].get("caBundle", "")) != self.served():
            return {}
        raise ApiError(422, "x", f'admission webhook "{registration.CA_PROVER}" denied the request: no')

    @property
    def bundle(self) -> bytes:
        return base64.b64decode(self.stored[VALIDATING]["webhooks"][0]["clientConfig"]["caBundle"])

    @property
    def ca(self) -> Authority:
        held = secret.parse(self.stored["ca"])
        assert held is not None
        return held

    @property
    def keys(self) -> PathKeys:
        return secret.parse_keys(self.stored["ca"])

    @property
    def registered(self) -> set[str]:
        """The keys in the configurations."""
        found = [
            webhook["clientConfig"] for name in (VALIDATING, MUTATING) for webhook in self.stored[name]["webhooks"]
        ]
        return {paths.key_in(client) for client in found}

    def serve_next(self) -> None:
        """The webhook serves a certificate of the next CA on its second port."""
        self.served = lambda: self.ca.following.certificate if self.ca.following else b""

    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.events]


class Wall:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def made(api: Any, wall: Wall, **more: Any) -> Installer:
    return Installer(
        api,
        namespace="mcp-system",
        secret_name="ca",
        target=registration.ServiceTarget("mcp-system", "hook"),
        identity="one",
        metrics=Metrics(),
        now=wall,
        clock=Clock(lambda: 0.0, lambda _seconds: asyncio.sleep(0), lambda: 0.5),
        **more,
    )


async def enforced(api: Api, wall: Wall) -> Installer:
    """An installation that is in force."""
    api.canary = "live"
    found = made(api, wall)
    await found.step()
    await found.step()
    api.writes.clear()
    api.policies.clear()
    api.events.clear()
    return found


async def test_a_webhook_that_does_not_refuse_the_canary_is_not_enforced() -> None:
    api = Api()
    found = made(api, Wall())
    for api.canary in ("absent", "down", "other", "silent"):
        await found.step()
        assert found.trouble

    assert set(api.policies) == {"Ignore"}


async def test_at_the_first_refusal_of_the_canary_it_is_enforced() -> None:
    api = Api()
    api.canary = "live"
    found = made(api, Wall())

    await found.step()

    assert api.policies == ["Ignore", "Fail"]
    assert api.reasons() == ["AdmissionEnforced"]
    assert found.trouble is None


async def test_once_enforced_it_stays_so_whoever_leads_and_whatever_the_canary_says() -> None:
    api, wall = Api(), Wall()
    await enforced(api, wall)

    api.canary = "down"
    await made(api, wall).step()

    assert api.stored[VALIDATING]["webhooks"][0]["failurePolicy"] == "Fail"


async def test_a_settled_installation_is_not_written_to() -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)

    await found.step()
    await made(api, wall).step()

    assert api.writes == []


async def test_the_configurations_are_owned_by_the_namespace_of_the_operator() -> None:
    api = Api()

    await made(api, Wall()).step()

    for name in (VALIDATING, MUTATING):
        (owner,) = api.stored[name]["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Namespace", "u-namespace")


def add_condition(config: dict[str, Any]) -> None:
    config["webhooks"][0]["matchConditions"].append({"name": "none", "expression": "false"})


def add_selector(config: dict[str, Any]) -> None:
    config["webhooks"][0]["objectSelector"] = {"matchLabels": {"judge": "me"}}


def weaken(config: dict[str, Any]) -> None:
    config["webhooks"][0]["failurePolicy"] = "Ignore"


def remove(config: dict[str, Any]) -> None:
    config["webhooks"].pop()


def disown(config: dict[str, Any]) -> None:
    config["metadata"].pop("ownerReferences")


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        (VALIDATING, add_condition, f"webhooks[{registration.VALIDATOR}].matchConditions"),
        (VALIDATING, add_selector, f"webhooks[{registration.VALIDATOR}].objectSelector"),
        (VALIDATING, weaken, f"webhooks[{registration.VALIDATOR}].failurePolicy"),
        (VALIDATING, remove, f"webhooks[{registration.DELETION_NOTER}]"),
        (VALIDATING, disown, "metadata.ownerReferences"),
        (MUTATING, add_selector, "webhooks[mutate.mcp.example.com].objectSelector"),
    ],
)
async def test_what_somebody_else_changes_is_undone_and_reported(
    name: str, change: Callable[[dict[str, Any]], None], field: str
) -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)
    before = copy.deepcopy(api.stored[name])

    api.edit(name, change)
    await found.step()

    assert registration.differences(api.stored[name], before) == ()
    assert api.reasons() == ["ForeignEditUndone"]
    assert api.events[0]["note"].endswith(f": {field}")


async def test_labels_and_annotations_of_others_stay() -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)

    api.edit(VALIDATING, lambda config: config["metadata"]["labels"].update(team="a"))
    await found.step()
    api.edit(VALIDATING, weaken)
    await found.step()

    assert api.stored[VALIDATING]["metadata"]["labels"]["team"] == "a"
    assert api.reasons() == ["ForeignEditUndone"]


async def test_a_deleted_configuration_comes_back_and_is_enforced_only_when_the_canary_is_refused() -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)

    api.canary = "down"
    del api.stored[VALIDATING]
    await found.step()
    await found.step()
    assert api.policies == ["Ignore"]
    api.canary = "live"
    await found.step()

    assert api.policies == ["Ignore", "Fail"]
    assert api.reasons() == ["ForeignEditUndone", "AdmissionEnforced"]


async def test_a_canary_that_is_not_refused_any_more_is_reported_once_and_so_is_its_recovery() -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)

    api.canary = "down"
    for _ in range(4):
        await found.step()
    assert found.trouble is not None
    assert "connection refused" in found.trouble
    api.canary = "live"
    for _ in range(3):
        await found.step()

    assert api.reasons() == ["CanaryNotRefused", "CanaryRefused"]


async def introduced(api: Api, wall: Wall) -> Installer:
    """An installation that has a next CA."""
    found = await enforced(api, wall)
    wall.now = START + timedelta(days=250)
    await found.step()
    assert api.ca.following is not None
    return found


async def test_a_new_ca_signs_only_after_an_api_server_has_used_it_alone() -> None:
    api, wall = Api(), Wall()
    found = await introduced(api, wall)
    first = api.ca.current

    # The canary of the present bundle goes on being refused; that proves nothing about the next CA.
    for _ in range(5):
        wall.now += installer.SETTLING
        await found.step()
    assert api.probed > 0
    assert api.ca.current == first
    assert api.ca.following is not None
    assert api.ca.following.certificate in api.bundle

    following = api.ca.following
    api.serve_next()
    await found.step()
    wall.now += installer.SETTLING
    await found.step()
    assert api.ca.current == following
    assert first is not None
    assert first.certificate in api.bundle
    assert PROBE not in api.stored


async def test_a_proof_has_to_hold_for_the_settling_time() -> None:
    api, wall = Api(), Wall()
    found = await introduced(api, wall)
    api.serve_next()
    await found.step()
    wall.now += installer.SETTLING - timedelta(seconds=1)
    await found.step()
    assert api.ca.following is not None

    api.served = lambda: b"another CA"
    await found.step()
    api.serve_next()
    wall.now += timedelta(seconds=1)
    await found.step()
    assert api.ca.following is not None

    wall.now += installer.SETTLING
    await found.step()
    assert api.ca.following is None


async def test_the_probe_matches_one_object_and_trusts_the_next_ca_alone() -> None:
    api, wall = Api(), Wall()
    await introduced(api, wall)

    (webhook,) = api.stored[PROBE]["webhooks"]

    assert api.ca.following is not None
    assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == api.ca.following.certificate
    assert webhook["clientConfig"]["service"]["port"] == 444
    assert webhook["failurePolicy"] == "Ignore"
    assert webhook["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "mcp-system"}}
    assert api.keys.following is not None
    assert webhook["clientConfig"]["service"]["path"] == f"/validate/{api.keys.following}"
    label = registration.probe_label(api.ca.following.certificate, api.keys.following)
    assert webhook["objectSelector"] == {"matchLabels": {registration.CA_PROBE_LABEL: label}}


def lose_key(stored: dict[str, Any]) -> None:
    stored["data"]["tls.key"] = ""


def swap_key(stored: dict[str, Any]) -> None:
    stored["data"]["tls.key"] = base64.b64encode(issuance.authority("other", START).key).decode()


def swap_pair(stored: dict[str, Any]) -> None:
    stored["data"] = secret.manifest("", "", Authority(issuance.authority("other", START)))["data"] | {
        "signer": stored["data"]["signer"]
    }


def empty(stored: dict[str, Any]) -> None:
    stored["data"] = None


def freeze(stored: dict[str, Any]) -> None:
    stored |= {"data": {}, "immutable": True}


@pytest.mark.parametrize("damage", [lose_key, swap_key, swap_pair, empty, freeze, None])
async def test_a_damaged_ca_secret_is_repaired_while_what_the_webhook_serves_stays_trusted(
    damage: Callable[[dict[str, Any]], None] | None,
) -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)
    first = api.ca.current
    assert first is not None

    if damage is None:
        del api.stored["ca"]
    else:
        api.edit("ca", damage)
    # Also by a controller that has just begun to lead and remembers nothing.
    found = made(api, wall) if damage in (empty, None) else found
    await found.step()
    assert api.ca.current is None
    assert api.ca.following is not None
    assert api.bundle == api.ca.following.certificate + first.certificate
    assert "CARepaired" in api.reasons()

    following = api.ca.following
    api.serve_next()
    await found.step()
    wall.now += installer.SETTLING
    await found.step()
    assert api.ca.current == following
    assert api.bundle == following.certificate + first.certificate
    assert api.stored[VALIDATING]["webhooks"][0]["failurePolicy"] == "Fail"


async def test_a_replaced_ca_that_is_removed_from_the_secret_is_not_trusted_any_more() -> None:
    api, wall = Api(), Wall()
    found = await introduced(api, wall)
    api.serve_next()
    await found.step()
    wall.now += installer.SETTLING
    await found.step()
    (replaced,) = api.ca.previous

    api.edit("ca", lambda stored: stored["data"].pop("previous.crt"))
    await found.step()

    assert api.ca.current is not None
    assert api.bundle == api.ca.current.certificate != replaced


async def test_an_expired_ca_is_replaced_at_once() -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)
    before = api.bundle

    wall.now = START + timedelta(days=400)
    await found.step()

    assert api.ca.current is not None
    assert api.bundle == api.ca.current.certificate != before


async def test_of_two_controllers_that_create_the_ca_one_reads_what_the_other_wrote() -> None:
    api, wall = Api(), Wall()
    theirs = Authority(issuance.authority("theirs", START))

    def created_first(name: str) -> None:
        if name == "ca" and name not in api.stored:
            api.put("ca", secret.manifest("mcp-system", "ca", theirs))

    api.before_create = created_first
    await made(api, wall).step()

    assert api.ca == theirs
    assert theirs.current is not None
    assert api.bundle == theirs.current.certificate


async def turns(until: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds; no time passes."""
    for _ in range(1000):
        if until():
            return
        await asyncio.sleep(0)
    pytest.fail("the condition never held")


async def test_a_change_is_answered_at_once_and_trouble_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)
    rounds: list[Exception | None] = [
        ApiError(500, "InternalError", "no"),
        ApiError(409, "Conflict", "no"),
        TimeoutError(),
        OSError("no route"),
    ]
    step, done = found.step, 0

    async def troubled() -> None:
        nonlocal done
        done += 1
        if rounds and (error := rounds.pop(0)):
            raise error
        await step()

    monkeypatch.setattr(found, "step", troubled)
    task = asyncio.create_task(found._keep_installed())
    for number in range(1, 6):
        # After a conflict the next round comes by itself; after other trouble with the next change.
        await turns(lambda number=number: done >= number)  # type: ignore[misc]
        if number != 2:
            await turns(lambda: not found._changed.is_set())
            found._changed.set()
    api.edit(VALIDATING, weaken)
    found._changed.set()
    await turns(lambda: "ForeignEditUndone" in api.reasons())

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert api.stored[VALIDATING]["webhooks"][0]["failurePolicy"] == "Fail"


async def test_what_others_do_to_what_is_installed_is_watched() -> None:
    watched = [(each.resource.kind, each._path, each._query) for each in made(Api(), Wall())._informers()]

    assert watched == [
        (
            "ValidatingWebhookConfiguration",
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
            {"fieldSelector": f"metadata.name={VALIDATING}"},
        ),
        (
            "MutatingWebhookConfiguration",
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            {"fieldSelector": f"metadata.name={MUTATING}"},
        ),
        ("Secret", "/api/v1/namespaces/mcp-system/secrets", {"fieldSelector": "metadata.name=ca"}),
    ]


@pytest.mark.parametrize(
    ("policy", "refused", "proving", "interval"),
    [
        ("Ignore", False, False, installer.FIRST_INTERVAL),
        ("Fail", True, False, installer.INTERVAL),
        ("Fail", False, False, installer.PROVING_INTERVAL),
        ("Fail", True, True, installer.PROVING_INTERVAL),
    ],
)
async def test_rounds_come_sooner_while_something_is_not_proved(
    policy: str, refused: bool, proving: bool, interval: float
) -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall) if policy == "Fail" else made(api, wall)
    if proving:
        wall.now = START + timedelta(days=250)
    api.canary = "live" if refused else "down"
    await found.step()

    assert found._interval() == interval


async def test_without_its_namespace_nothing_owns_the_configurations() -> None:
    api = Api()
    del api.stored["mcp-system"]

    await made(api, Wall()).step()

    assert "ownerReferences" not in api.stored[VALIDATING]["metadata"]


async def test_a_secret_that_others_keep_changing_is_left_for_the_next_round() -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)
    api.edit("ca", lose_key)
    stored = api.request

    async def conflicting(method: str, path: str, **arguments: Any) -> dict[str, Any]:
        if method == "PUT" and path.endswith("/ca"):
            raise ApiError(409, "Conflict", "ca")
        return await stored(method, path, **arguments)

    api.request = conflicting  # type: ignore[method-assign]
    with pytest.raises(TimeoutError, match="was changed by others"):
        await found.step()


async def test_a_bundle_that_cannot_be_read_is_not_trusted() -> None:
    api, wall = Api(), Wall()
    await enforced(api, wall)
    del api.stored["ca"]
    api.edit(VALIDATING, lambda config: config["webhooks"][0]["clientConfig"].update(caBundle="not base64!"))

    await made(api, wall).step()

    assert api.ca.current is not None
    assert api.ca.previous == ()


def installed_by_an_administrator(api: Api) -> None:
    """What `mcp-operator registration` prints, as far as this API server looks at it."""
    held = api.ca
    assert held.following is not None
    certificate = held.following.certificate
    probe = registration.ca_probe(
        registration.ServiceTarget("mcp-system", "hook"),
        certificate,
        fingerprint=registration.probe_label(certificate, api.keys.current),
        namespace="mcp-system",
        owner=None,
        key=api.keys.current,
    )
    api.stored[PROBE] = probe


async def test_with_roles_only_the_ca_is_kept_and_no_configuration_is_touched() -> None:
    api, wall = Api(), Wall()
    found = made(api, wall, namespaces=("bank", "shop"))

    await found.step()
    assert api.writes == ["ca"]
    assert found.trouble is not None
    assert found.trouble.endswith("; install the output of mcp-operator registration")
    api.canary = "live"
    await found.step()
    assert found.trouble is None
    assert [informer.resource.plural for informer in found._informers()] == ["secrets"]


async def test_with_roles_only_the_next_ca_signs_once_an_administrator_has_installed_its_proof() -> None:
    api, wall = Api(), Wall()
    api.canary = "live"
    found = made(api, wall, namespaces=("bank", "shop"))
    await found.step()
    first = api.ca.current
    wall.now += authority.LIFETIME * 0.7

    await found.step()
    assert found.trouble == (
        "the next CA or path is not installed yet; install the output of mcp-operator registration again"
    )
    api.serve_next()
    wall.now += installer.SETTLING
    await found.step()
    assert api.ca.current == first

    installed_by_an_administrator(api)
    await found.step()
    assert found.trouble is None
    wall.now += installer.SETTLING
    await found.step()
    assert api.ca.following is None
    assert api.ca.current != first
    assert set(api.writes) == {"ca"}
