"""The hook is registered, proved, enforced, and its CA renewed in two phases."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from certs import secret
from cluster.transport import ApiError
from controller.installation import registration
from controller.installation.installer import Publication
from controller.metrics import Metrics

START = datetime(2026, 1, 1, tzinfo=UTC)


class Api:
    """Stores Secrets and configurations; ``hook`` says how the canary fares."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.hook = "absent"
        self.policies: list[str] = []
        self.version = 0

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        if path.endswith("/mcpprompts"):
            return self.canary()
        if method == "GET":
            if name not in self.stored:
                raise ApiError(404, "NotFound", "no")
            return self.stored[name]
        name = body["metadata"]["name"]
        self.version += 1
        self.stored[name] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        if name == registration.VALIDATING:
            self.policies.append(body["webhooks"][0]["failurePolicy"])
        return self.stored[name]

    def canary(self) -> dict[str, Any]:
        words = {
            "live": f'admission webhook "{registration.VALIDATOR}" denied the request: no',
            "down": f'failed calling webhook "{registration.VALIDATOR}": connection refused',
            "other": 'admission webhook "policy.example.com" denied the request: no',
        }
        if self.hook in words:
            raise ApiError(422, "x", words[self.hook])
        if self.hook == "silent":
            raise TimeoutError
        return {}

    @property
    def bundle(self) -> bytes:
        config = self.stored[registration.VALIDATING]["webhooks"][0]["clientConfig"]
        return base64.b64decode(config["caBundle"])


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def publication(api: Api, clock: Clock) -> Publication:
    return Publication(
        api,  # type: ignore[arg-type]
        namespace="mcp-system",
        ca_secret="ca",
        cluster_role="role",
        target=registration.ServiceTarget("mcp-system", "hook"),
        metrics=Metrics(),
        now=clock,
    )


async def test_an_unproved_hook_is_not_enforced() -> None:
    api = Api()
    published = publication(api, Clock())
    for api.hook in ("absent", "down", "other", "silent"):
        await published.step()

    assert set(api.policies) == {"Ignore"}


async def test_at_the_first_refusal_of_the_canary_it_is_enforced() -> None:
    api = Api()
    api.hook = "live"

    await publication(api, Clock()).step()

    assert api.policies == ["Ignore", "Fail"]


async def test_once_enforced_it_stays_so_whoever_leads_and_whatever_the_canary_says() -> None:
    api, clock = Api(), Clock()
    api.hook = "live"
    await publication(api, clock).step()
    api.policies.clear()

    api.hook = "down"
    await publication(api, clock).step()

    assert api.policies == ["Fail"]


async def test_the_configurations_are_owned_by_the_cluster_role() -> None:
    api = Api()
    api.stored["role"] = {"metadata": {"uid": "u-role"}}

    await publication(api, Clock()).step()

    assert api.stored[registration.MUTATING]["metadata"]["ownerReferences"][0]["uid"] == "u-role"


async def test_a_new_ca_is_trusted_and_proved_before_it_signs() -> None:
    api, clock = Api(), Clock()
    api.hook = "live"
    published = publication(api, clock)
    await published.step()
    first = secret.parse(api.stored["ca"])
    assert first is not None

    clock.now = START + timedelta(days=250)
    api.hook = "down"
    await published.step()
    await published.step()
    introduced = secret.parse(api.stored["ca"])
    assert introduced is not None
    assert introduced.current == first.current
    assert introduced.following is not None
    assert introduced.following.certificate in api.bundle

    api.hook = "live"
    await published.step()
    await published.step()
    promoted = secret.parse(api.stored["ca"])
    assert promoted is not None
    assert promoted.current == introduced.following
    assert first.current.certificate in api.bundle


async def test_an_expired_ca_is_made_anew() -> None:
    api, clock = Api(), Clock()
    published = publication(api, clock)
    await published.step()
    before = api.bundle

    clock.now = START + timedelta(days=400)
    await published.step()

    assert api.bundle
    assert api.bundle != before
