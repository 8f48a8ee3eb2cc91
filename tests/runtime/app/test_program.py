"""The server as a process: two ports, a folder with a catalog, a clean end."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crd.published import catalogs
from crd.published.policy import Bucket
from crd.published.settings import Limits
from runtime.app import program
from runtime.state.sessions import MemorySessions, Session, StoreUnavailableError
from tests.runtime import asking


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def status(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def running(directory: Path, **more: Any) -> tuple[asyncio.Event, asyncio.Task[None], str]:
    """A process; the URL is that of its probes, or with a Redis that of its endpoint."""
    ports, stop = (free_port(), free_port()), asyncio.Event()
    settings = program.Settings(
        directory, host="127.0.0.1", port=ports[0], health_port=ports[1], drain_seconds=0.1, **more
    )
    task = asyncio.create_task(program.run(settings, stop))
    url = f"http://127.0.0.1:{ports[0] if more else ports[1]}"
    while True:
        try:
            await status(f"{url}/healthz")
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.01)
        else:
            return stop, task, url


@pytest.mark.parametrize("packed", [False, True])
async def test_it_serves_a_folder_and_stops_when_told(tmp_path: Path, catalog_of: Any, packed: bool) -> None:
    payload = catalogs.dump(catalog_of())
    if packed:
        (tmp_path / catalogs.GZIP_FILE).write_bytes(gzip.compress(payload))
    else:
        (tmp_path / catalogs.FILE).write_bytes(payload)
    stop, task, url = await running(tmp_path)

    assert (await status(f"{url}/readyz"))[0] == 200
    assert catalogs.digest(payload) in (await status(f"{url}/statusz"))[1]
    assert "mcp_server_tools 8.0" in (await status(f"{url}/metrics"))[1]
    stop.set()
    await task


async def test_without_a_catalog_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    stop, task, url = await running(tmp_path)

    assert await status(f"{url}/readyz") == (503, "no catalog is loaded yet\n")
    stop.set()
    await task


async def test_a_catalog_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / catalogs.FILE).write_text('{"format": 99}')
    stop, task, url = await running(tmp_path)

    assert "format is 99" in (await status(f"{url}/readyz"))[1]
    stop.set()
    await task


async def test_sessions_in_memory_end_with_their_time_and_have_a_limit() -> None:
    now = 0.0
    store = MemorySessions(lambda: now, limit=1)
    await store.create("a", Session("2025-11-25"), ttl=10)
    with pytest.raises(StoreUnavailableError):
        await store.create("b", Session("2025-11-25"), ttl=10)
    now = 9.0
    assert await store.use("a", "", ttl=10) is not None
    now = 20.0
    assert await store.use("a", "", ttl=10) is None
    await store.create("b", Session("2025-11-25"), ttl=10)
    now = 40.0
    await store.create("c", Session("2025-11-25"), ttl=10)
    assert not await store.end("b", "")


async def test_the_catalog_says_how_much_is_logged(tmp_path: Path, catalog_of: Any) -> None:
    before = logging.getLogger().level
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of(log_level="error")))
    stop, task, _ = await running(tmp_path)

    assert logging.getLogger().level == logging.ERROR
    stop.set()
    await task
    logging.getLogger().setLevel(before)


async def test_limits_and_sessions_of_a_process_are_in_its_redis(tmp_path: Path, catalog_of: Any, redis: Any) -> None:
    wanted = catalog_of(sessions="Redis", limits=Limits(Bucket(1, 3600)))
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(wanted))
    stop, task, url = await running(tmp_path, redis=redis.options())

    statuses = [(await asking.send(f"{url}/mcp", body=asking.INITIALIZE))[0] for _ in range(2)]

    assert statuses == [200, 429]
    stop.set()
    await task
