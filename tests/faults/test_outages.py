"""The API server is paused, killed, or comes back with an empty watch cache and a compacted etcd; or nothing happens.

Whenever the API server admits again what we are not asked about, we refuse nothing valid for longer than two seconds.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from scripts.localcluster import installation
from tests.faults.applies import Recovery, connected, readiness, recovery, refusal
from tests.faults.replicas import Installation, server, tool

if TYPE_CHECKING:
    from cluster.transport import Transport
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

INSTALLATION = {"webhooks": 2, "controllers": 1}
API = "kube-apiserver"
SECONDS = 2.0


def long(seconds: float) -> Any:
    return pytest.param(seconds, marks=pytest.mark.long)


def served(installed: Installation, shop: str) -> None:
    """A server and a tool, known to every replica."""
    for manifest in (server(shop, "main"), tool(shop, "taken", "taken")):
        installed.cluster.run("apply", "-f", "-", stdin=json.dumps(manifest))
    installation.until("the conflict is known", lambda: _conflicts(installed.cluster, shop, 4), 30)


def _conflicts(cluster: Cluster, shop: str, times: int = 1, name: str = "taken") -> bool:
    """Whether another tool of the name is refused, each time; the replicas take turns."""

    async def ask(transport: Transport) -> bool:
        answers = [await refusal(transport, tool(shop, "again", name), dry_run=True) for _ in range(times)]
        return all("DuplicateName" in (answer or "") for answer in answers)

    return bool(asyncio.run(connected(cluster, ask)))


def recovered(installed: Installation, shop: str) -> Recovery:
    async def ask(transport: Transport) -> Recovery:
        return await recovery(transport, shop)

    found: Recovery = asyncio.run(connected(installed.cluster, ask))
    print(f"refused {len(found.refused)}, the last after {found.seconds:.1f} s; admitted {len(found.admitted)}")
    return found


def sleep(seconds: float) -> None:
    asyncio.run(asyncio.sleep(seconds))


def compact(cluster: Cluster) -> None:
    """Have etcd forget all history."""
    address = cluster.argument("etcd", "--listen-client-urls")

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{address}/v3/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.loads(answer.read()))

    revision = post("kv/range", {"key": "AA=="})["header"]["revision"]
    post("kv/compaction", {"revision": revision, "physical": True})


@pytest.mark.parametrize("seconds", [20.0, long(100.0)])
def test_after_a_pause_of_the_api_server_nothing_is_refused(installed: Installation, shop: str, seconds: float) -> None:
    served(installed, shop)
    with readiness(installed.webhooks) as unready:
        installed.cluster.pause(API)
        try:
            sleep(seconds)
        finally:
            installed.cluster.resume(API)
        found = recovered(installed, shop)

    assert found.seconds <= SECONDS, found.refused
    assert unready == []
    assert _conflicts(installed.cluster, shop)


@pytest.mark.parametrize("seconds", [5.0, long(130.0)])
def test_after_a_restart_with_an_empty_watch_cache_and_a_compacted_etcd_nothing_is_refused(
    installed: Installation, shop: str, seconds: float
) -> None:
    served(installed, shop)
    with readiness(installed.webhooks) as unready:
        installed.cluster.kill(API)
        try:
            compact(installed.cluster)
            sleep(seconds)
        finally:
            installed.cluster.start(API)
        found = recovered(installed, shop)

    assert found.seconds <= SECONDS, found.refused
    assert unready == []
    assert _conflicts(installed.cluster, shop)
    # And what is created now is seen by everybody, who lists or watches again.
    installed.cluster.run("apply", "-f", "-", stdin=json.dumps(tool(shop, "later", "later")))
    installation.until("every replica knows it", lambda: _conflicts(installed.cluster, shop, 4, "later"), 30)


@pytest.mark.long
def test_in_fifteen_idle_minutes_nothing_is_refused(installed: Installation, shop: str) -> None:
    served(installed, shop)

    async def apply(transport: Transport) -> list[str | None]:
        answers = []
        for _ in range(900):
            answers.append(await refusal(transport, tool(shop, "probe", "probe"), dry_run=True))
            await asyncio.sleep(1)
        return answers

    with readiness(installed.webhooks, 1.0) as unready:
        answers = asyncio.run(connected(installed.cluster, apply))

    assert [answer for answer in answers if answer is not None] == []
    assert unready == []
