"""Whether admission is in force, as a condition of the controller's pod."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.clock import Clock
from cluster.transport import ApiError
from controller.installation import condition
from controller.installation.condition import STANDBY, PodCondition, State
from tests.controller.installation.test_installer import Api, Wall, enforced, made

BASE = Path(__file__).parents[3] / "manifests" / "base"
REFUSED = State(holds=True, reason="CanaryRefused", message="the webhook refuses the canary")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Pods:
    """An API server that takes the status of one pod."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []
        self.fails = False

    async def request(self, method: str, path: str, *, body: Any, **_: Any) -> dict[str, Any]:
        assert (method, path) == ("PATCH", "/api/v1/namespaces/mcp-system/pods/controller-1/status")
        if self.fails:
            raise ApiError(404, "NotFound", "no such pod")
        self.applied += body["status"]["conditions"]
        return {}


def condition_of(pods: Any, states: list[State | None], now: Any = lambda: START) -> PodCondition:
    return PodCondition(
        pods,
        namespace="mcp-system",
        name="controller-1",
        state=lambda: states[-1],
        now=now,
        clock=Clock(lambda: 0.0, lambda _seconds: asyncio.sleep(0), lambda: 0.5),
    )


async def test_a_condition_is_written_when_it_changes_and_keeps_the_time_of_its_last_transition() -> None:
    pods, states, times = Pods(), [STANDBY], [START]
    found = condition_of(pods, states, lambda: times[-1])
    for state in (STANDBY, REFUSED, None, State(holds=False, reason="CanaryNotRefused", message="why")):
        states.append(state)
        times.append(times[-1] + timedelta(seconds=1))
        await found.step()

    assert [(each["status"], each["reason"], each["lastTransitionTime"]) for each in pods.applied] == [
        ("True", "Standby", "2026-01-01T00:00:01Z"),
        ("True", "CanaryRefused", "2026-01-01T00:00:01Z"),
        ("False", "CanaryNotRefused", "2026-01-01T00:00:04Z"),
    ]
    assert {each["type"] for each in pods.applied} == {condition.TYPE}


async def test_what_could_not_be_written_is_written_later() -> None:
    pods = Pods()
    found = condition_of(pods, [REFUSED])
    pods.fails = True
    await found.step()
    assert pods.applied == []

    pods.fails = False
    await found.step()
    await found.step()
    assert [each["reason"] for each in pods.applied] == ["CanaryRefused"]


async def test_one_failure_is_none_and_two_say_why() -> None:
    api, wall = Api(), Wall()
    found = await enforced(api, wall)
    assert found.state == REFUSED

    api.canary = "down"
    await found.step()
    assert found.state is None
    await found.step()
    assert found.state is not None
    assert not found.state.holds
    assert "connection refused" in found.state.message

    api.canary = "live"
    await found.step()
    assert found.state == REFUSED


async def test_before_the_webhook_has_refused_a_canary_the_first_failure_counts() -> None:
    found = made(Api(), Wall())
    assert found.state is None

    await found.step()
    assert found.state is not None
    assert found.state.reason == "CanaryNotRefused"


@pytest.mark.parametrize("folder", ["base/rbac/controller.yaml", "namespaced/operator/rbac.yaml"])
def test_the_condition_is_a_readiness_gate_that_the_controller_may_write(folder: str) -> None:
    deployment = yaml.safe_load((BASE / "controller" / "deployment.yaml").read_text())
    roles = [each for each in yaml.safe_load_all((BASE.parent / folder).read_text()) if each["kind"] == "Role"]

    assert deployment["spec"]["template"]["spec"]["readinessGates"] == [{"conditionType": condition.TYPE}]
    rules = [rule for role in roles for rule in role["rules"] if "pods/status" in rule["resources"]]
    assert [rule["verbs"] for rule in rules] == [["patch"]]
