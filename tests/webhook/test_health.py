"""The probes answer while the main loop is busy, and say when it hangs."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from scripts.localcluster.ports import free_port
from webhook.health import HUNG_SECONDS, Health


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_probes_answer_while_the_event_loop_stands_still() -> None:
    why: list[str | None] = [None]
    health = Health(CollectorRegistry(), lambda: why[0], time.monotonic)
    port = free_port()
    health.start("127.0.0.1", port)
    try:
        assert get(port, "/readyz") == (503, "starting\n")
        health.report()
        # These calls block the event loop of this test; the answers come from the other one.
        assert get(port, "/readyz") == (200, "ok\n")
        assert get(port, "/healthz") == (200, "ok\n")
        why[0] = "draining"
        health.report()
        assert get(port, "/readyz") == (503, "draining\n")
        assert get(port, "/metrics")[1].endswith("# EOF\n")
    finally:
        await health.stop()


async def test_a_loop_that_hangs_is_not_alive_and_a_judgement_is_no_hang() -> None:
    now = [100.0]
    health = Health(CollectorRegistry(), lambda: None, lambda: now[0])
    reporting = asyncio.create_task(health.run())
    await asyncio.sleep(0)

    now[0] += 0.5
    assert (health.hung(), health.unready()) == (None, None)
    now[0] += HUNG_SECONDS
    assert health.hung() == health.unready() == "the event loop has not run for 6 s"
    reporting.cancel()


async def test_the_kubelet_restarts_a_process_whose_loop_hangs() -> None:
    now = [100.0]
    health = Health(CollectorRegistry(), lambda: None, lambda: now[0])
    health.report()
    port = free_port()
    health.start("127.0.0.1", port)
    try:
        assert get(port, "/healthz")[0] == 200
        now[0] += HUNG_SECONDS + 1
        assert get(port, "/healthz") == (503, "the event loop has not run for 6 s\n")
    finally:
        await health.stop()


async def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        health = Health(CollectorRegistry(), lambda: None, time.monotonic)
        with pytest.raises(OSError, match="address already in use"):
            health.start("127.0.0.1", taken.getsockname()[1])
        await health.stop()


async def test_the_port_is_open_on_the_given_address_alone() -> None:
    health, port = Health(CollectorRegistry(), lambda: None, time.monotonic), free_port()
    health.start("127.0.0.1", port)
    try:
        assert get(port, "/healthz") == (200, "ok\n")
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    finally:
        await health.stop()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
