from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from cluster import probes


@pytest.mark.parametrize(
    ("unready", "note", "status", "text"),
    [
        (None, None, 200, "ok\n"),
        (None, "the canary was admitted", 200, "ok, but the canary was admitted\n"),
        ("not synced", "the canary was admitted", 503, "not synced\n"),
    ],
)
async def test_readiness_says_why_not_and_what_else_to_know(
    unready: str | None, note: str | None, status: int, text: str
) -> None:
    app = probes.application(CollectorRegistry(), lambda: unready, note=lambda: note)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/readyz")

        assert (answer.status, await answer.text()) == (status, text)
