"""The route of one AdmissionReview through the packages stays short."""

from __future__ import annotations

import asyncio

import pytest

from cluster.workqueue import Workqueue
from scripts import trace_route

# The most stops, by package; None is the whole route. It took 333 before packages and names were reordered. A bound is
# lowered when the route gets shorter, and raised only for a new check.
BOUNDS = {None: 200, "webhook": 34}


@pytest.fixture(scope="module")
def review() -> trace_route.Route:
    return asyncio.run(trace_route.trace_review())


@pytest.mark.parametrize("package", BOUNDS)
def test_the_route_of_a_review_is_short(review: trace_route.Route, package: str | None) -> None:
    route = review.within(package) if package else review

    assert 0 < len(route.stops) <= BOUNDS[package]


def test_a_route_begins_at_the_server_and_reaches_the_rules(review: trace_route.Route) -> None:
    assert review.stops[0].startswith("webhook.connection:")
    assert "crd.rules.schemas:invalid_schema" in review.stops


async def test_a_resumed_coroutine_counts_once() -> None:
    queue: Workqueue[str] = Workqueue()

    async def wait_for_a_key() -> str:
        asyncio.get_running_loop().call_soon(queue.add, "key")
        return await queue.take()

    key, route = await trace_route.trace(wait_for_a_key())

    assert key == "key"
    assert route.stops.count("cluster.workqueue:Workqueue.take") == 1
