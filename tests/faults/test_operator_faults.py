"""Replicas that are killed and leases that are lost, on a real API server under the product's own rights."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from crd.published import catalogs
from scripts.localcluster import installation
from tests.faults.applies import create_all
from tests.faults.replicas import LEASE, NAMESPACE, Installation, server, tool
from tests.threads import meanwhile

if TYPE_CHECKING:
    import threading

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

INSTALLATION = {"webhooks": 3, "controllers": 2}
LEASED = ("lease", LEASE, "-n", NAMESPACE)


def published(cluster: Cluster, shop: str, name: str) -> catalogs.Catalog | None:
    """The catalog of a server, as its pods read it."""
    found = cluster.run("get", "configmap", f"{name}-catalog", "-n", shop, "-o", "json", check=False)
    if found.returncode:
        return None
    stored = json.loads(found.stdout)
    binary = {key: base64.b64decode(value) for key, value in (stored.get("binaryData") or {}).items()}
    return catalogs.load(catalogs.unpack(stored.get("data") or {}, binary))


def conflicting_creates(installed: Installation, shop: str, pairs: int, integrity: str) -> tuple[int, int, int]:
    """Create pairs of tools of one name while replicas are killed.

    Returns how many were refused, how many names are stored twice, and how many are served twice.
    """
    cluster = installed.cluster
    cluster.run("apply", "-f", "-", stdin=json.dumps(server(shop, "main", integrity=integrity)))
    time.sleep(2)  # until every replica has seen the server

    def kill(stop: threading.Event) -> None:
        while not stop.wait(2):
            for replica in installed.webhooks:
                replica.end(signal.SIGKILL)
                replica.start()
                installation.until("the killed replica is back", replica.ready, 60)
                if stop.wait(1):
                    return

    made = [tool(shop, f"t{n}-{side}", f"tool_{n}") for n in range(pairs) for side in ("a", "b")]
    with meanwhile(kill):
        answers = asyncio.run(create_all(cluster, made, 16))
    stored = json.loads(cluster.run("get", "mcptools", "-n", shop, "-o", "json").stdout)["items"]
    names = [item["spec"]["name"] for item in stored]
    doubled = len(names) - len(set(names))
    expected = len(set(names))
    installation.until("every name is published", lambda: _tools(cluster, shop) >= expected, 120)
    catalog = published(cluster, shop, "main")
    assert catalog is not None
    served = [entry.name for entry in catalog.tools]
    return sum(answer is not None for answer in answers), doubled, len(served) - len(set(served))


def _tools(cluster: Cluster, shop: str) -> int:
    catalog = published(cluster, shop, "main")
    return len(catalog.tools) if catalog else 0


PAIRS = pytest.mark.parametrize("pairs", [100, pytest.param(5000, marks=pytest.mark.long)])


@PAIRS
def test_strict_admits_no_conflict_while_replicas_are_killed(installed: Installation, shop: str, pairs: int) -> None:
    refused, doubled, served_twice = conflicting_creates(installed, shop, pairs, "Strict")

    print(f"Strict, {pairs} pairs: {refused} refused, {doubled} stored twice, {served_twice} served twice")
    assert (doubled, served_twice) == (0, 0)
    assert refused >= pairs


@PAIRS
def test_standard_never_serves_a_conflict_while_replicas_are_killed(
    installed: Installation, shop: str, pairs: int
) -> None:
    refused, doubled, served_twice = conflicting_creates(installed, shop, pairs, "Standard")

    print(f"Standard, {pairs} pairs: {refused} refused, {doubled} stored twice, {served_twice} served twice")
    assert served_twice == 0
    assert refused > 0


def test_a_controller_that_lost_its_lease_works_again_when_it_leads_again(installed: Installation, shop: str) -> None:
    cluster = installed.cluster
    cluster.run("apply", "-f", "-", stdin=json.dumps(server(shop, "first")))
    installation.until("the first server is published", lambda: published(cluster, shop, "first") is not None, 60)
    controller, held = installed.leader()
    for other in installed.controllers:
        if other is not controller:
            other.end()

    stolen = {"spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3}}
    cluster.run("patch", *LEASED, "--type=merge", "-p", json.dumps(stolen))
    installation.until("the controller notices", lambda: "lost the lease" in controller.log.read_text(), 30)
    cluster.run("apply", "-f", "-", stdin=json.dumps(server(shop, "second")))
    cluster.run("delete", "configmap", "first-catalog", "-n", shop, "--wait=false")

    installation.until("the second server is published", lambda: published(cluster, shop, "second") is not None, 90)
    installation.until("the first server is published again", lambda: published(cluster, shop, "first") is not None, 90)
    assert controller.process is not None
    assert controller.process.poll() is None, "the process went on"
    assert json.loads(cluster.run("get", *LEASED, "-o", "json").stdout)["spec"]["holderIdentity"] == held


def test_a_killed_leader_is_followed_by_the_other_controller(installed: Installation, shop: str) -> None:
    cluster = installed.cluster
    leader, _ = installed.leader()
    leader.end(signal.SIGKILL)
    cluster.run("apply", "-f", "-", stdin=json.dumps(server(shop, "third")))

    installation.until(
        "the server is published by the other one", lambda: published(cluster, shop, "third") is not None, 90
    )


def test_deletions_pass_with_everything_down(installed: Installation, shop: str) -> None:
    cluster = installed.cluster
    cluster.run("apply", "-f", "-", stdin=json.dumps(server(shop, "main", integrity="Strict")))
    for number in range(3):
        cluster.run("apply", "-f", "-", stdin=json.dumps(tool(shop, f"t{number}", f"tool_{number}")))
    for replica in (*installed.webhooks, *installed.controllers):
        replica.end(signal.SIGKILL)

    refused = cluster.run("apply", "-f", "-", stdin=json.dumps(tool(shop, "t9", "tool_9")), check=False)
    assert "failed calling webhook" in refused.stderr
    cluster.run("delete", "mcptool", "t0", "-n", shop, "--timeout=20s")
    cluster.run("delete", "mcp", "--all", "-n", shop, "--timeout=20s")
    cluster.run("delete", "namespace", shop, "--timeout=60s")
