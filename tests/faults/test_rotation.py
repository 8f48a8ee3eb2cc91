"""Applies go on while the CA is replaced every ten seconds and the webhooks are rolled."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from scripts.localcluster import installation
from tests.faults.applies import create_all
from tests.faults.replicas import CA_SECRET, NAMESPACE, Installation, tool
from tests.threads import meanwhile

if TYPE_CHECKING:
    import threading

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

INSTALLATION = {"webhooks": 2, "controllers": 1, "shorter": ("rotation", "lease,rotation")}
APPLIES_PER_SECOND = 10


def roll(installed: Installation, stop: threading.Event) -> None:
    """Replace the replicas one after the other, as a Deployment does, until told to stop.

    A Deployment ends a pod when it has seen the next one ready, and a Service has both as endpoints in between.
    """
    while not stop.is_set():
        for replica in installed.webhooks:
            replica.end()
            replica.start()
            installation.until("connections go to the new process", lambda: installed.balancer.knows(replica), 60)  # noqa: B023


def note_signers(cluster: Cluster, signers: list[str], stop: threading.Event) -> None:
    """Note each CA that signs, in turn."""
    while not stop.wait(1):
        secret = json.loads(cluster.run("get", "secret", CA_SECRET, "-n", NAMESPACE, "-o", "json").stdout)
        signer = secret["data"]["signer"]
        if signer not in signers:
            signers.append(signer)


@pytest.mark.parametrize("number", [300, pytest.param(2000, marks=pytest.mark.long)])
def test_no_apply_fails_while_the_ca_is_replaced_and_the_webhooks_are_rolled(
    installed: Installation, shop: str, number: int
) -> None:
    signers = list[str]()
    with meanwhile(partial(roll, installed), partial(note_signers, installed.cluster, signers)):
        made = [tool(shop, f"t{n}", f"tool_{n}") for n in range(number)]
        answers = asyncio.run(create_all(installed.cluster, made, 4, interval=1 / APPLIES_PER_SECOND))

    print(f"{number} applies, {len(signers)} CAs", *installed.balancer.faults, sep="\n")
    assert [answer for answer in answers if answer is not None] == []
    assert len(answers) == number
    # Ten seconds, and what the proof of a CA takes.
    assert len(signers) >= max(2, number // APPLIES_PER_SECOND // 20)
