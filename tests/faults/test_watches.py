"""Watches that are silent, that the API server closes, or whose token it does not accept, at sixty times the speed."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from scripts.localcluster import installation
from tests.faults.applies import connected, readiness, refusal
from tests.faults.program import WATCHES
from tests.faults.replicas import Installation, Replica, tool

if TYPE_CHECKING:
    from cluster.transport import Transport

pytestmark = pytest.mark.integration

INSTALLATION = {"webhooks": 2, "controllers": 1, "shorter": ("watches", "lease")}


def silent_watches(replica: Replica) -> float:
    """How many watches a webhook has opened again because nothing came."""
    with urllib.request.urlopen(f"http://127.0.0.1:{replica.ports.health}/metrics", timeout=5) as answer:
        found = re.findall(rb'mcp_operator_watch_ends_total{end="silent",[^}]*} (\S+)', answer.read())
    return sum(map(float, found))


def test_an_idle_cluster_costs_no_readiness(installed: Installation, shop: str) -> None:
    async def apply(transport: Transport) -> list[str | None]:
        answers, end = [], time.monotonic() + 300 / WATCHES
        while time.monotonic() < end:
            answers.append(await refusal(transport, tool(shop, "probe", "probe"), dry_run=True))
            await asyncio.sleep(0.1)
        return answers

    before = [silent_watches(replica) for replica in installed.webhooks]
    with readiness(installed.webhooks, 0.05) as unready:
        answers = asyncio.run(connected(installed.cluster, apply))

    assert [answer for answer in answers if answer is not None] == []
    assert len(answers) > 10
    assert unready == []
    for replica, silent in zip(installed.webhooks, before, strict=True):
        assert silent_watches(replica) >= silent + 6


def test_a_token_that_is_not_accepted_costs_readiness_until_there_is_another(
    installed: Installation, shop: str
) -> None:
    broken, other = installed.webhooks
    token = broken.account / "token"
    valid = token.read_text()
    process = broken.process

    async def apply(transport: Transport) -> list[str | None]:
        return [await refusal(transport, tool(shop, "probe", "probe"), dry_run=True) for _ in range(5)]

    with readiness([other]) as unready:
        token.write_text("not-a-token")
        installation.until("the replica says that it is not ready", lambda: not broken.ready(), 15)
        time.sleep(1)  # until the balancer has seen it too
        answers = asyncio.run(connected(installed.cluster, apply))
        token.write_text(valid)
        restored = time.monotonic()
        installation.until("the replica is ready again", broken.ready, 15)
        seconds = time.monotonic() - restored

    # A retry a second, and half a second of reporting.
    assert seconds < 2.5
    assert unready == []
    assert [answer for answer in answers if answer is not None] == []
    assert broken.process is process
    assert broken.running()
