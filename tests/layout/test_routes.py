"""The route of one AdmissionReview through the packages stays short."""

from __future__ import annotations

import asyncio

import pytest

from cluster.workqueue import Workqueue
from scripts import trace_route

# Stops and modules at most, by package; None is the whole route. A bound is lowered with the route, and never raised
# for a fragment that could be inlined.
BOUNDS = {None: (340, 41), "webhook": (40, 8)}


@pytest.fixture(scope="module")
def review() -> trace_route.Route:
    return asyncio.run(trace_route.trace_review())


@pytest.mark.parametrize("package", BOUNDS)
def test_the_route_of_a_review_is_short(review: trace_route.Route, package: str | None) -> None:
    route = review.within(package) if package else review
    stops, modules = BOUNDS[package]

    assert 0 < len(route.stops) <= stops
    assert len(route.modules) <= modules


def test_a_route_begins_at_the_server_and_reaches_the_rules(review: trace_route.Route) -> None:
    assert review.stops[0].startswith("webhook.server:")
    assert any(module.startswith("crd.rules.") for module in review.modules)


async def test_a_resumed_coroutine_counts_once() -> None:
    queue: Workqueue[str] = Workqueue()

    async def wait_for_a_key() -> str:
        asyncio.get_running_loop().call_soon(queue.add, "key")
        return await queue.take()

    key, route = await trace_route.trace(wait_for_a_key())

    assert key == "key"
    assert route.stops.count("cluster.workqueue:Workqueue.take") == 1
