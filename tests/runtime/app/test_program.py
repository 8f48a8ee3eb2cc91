"""The server as a process: two ports, a directory with a catalog, a clean shutdown."""

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
from tests.runtime import raw_http


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def status(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def running(directory: Path, **more: Any) -> tuple[asyncio.Event, asyncio.Task[None], str]:
    """Start a process. The URL is that of its probes, or with Redis that of its serving port."""
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
async def test_it_serves_the_catalog_of_a_directory_and_stops_on_request(
    tmp_path: Path, catalog_of: Any, packed: bool
) -> None:
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


async def test_without_a_catalog_it_is_alive_but_not_ready(tmp_path: Path) -> None:
    stop, task, url = await running(tmp_path)

    assert await status(f"{url}/readyz") == (503, "no catalog is loaded yet\n")
    stop.set()
    await task


async def test_readyz_reports_an_unreadable_catalog(tmp_path: Path) -> None:
    (tmp_path / catalogs.FILE).write_text('{"format": 99}')
    stop, task, url = await running(tmp_path)

    assert "format is 99" in (await status(f"{url}/readyz"))[1]
    stop.set()
    await task


async def test_the_catalog_sets_the_log_level(tmp_path: Path, catalog_of: Any) -> None:
    before = logging.getLogger().level
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of(log_level="error")))
    stop, task, _ = await running(tmp_path)

    assert logging.getLogger().level == logging.ERROR
    stop.set()
    await task
    logging.getLogger().setLevel(before)


async def test_a_process_with_redis_keeps_sessions_and_limits_there(
    tmp_path: Path, catalog_of: Any, redis: Any
) -> None:
    wanted = catalog_of(sessions="Redis", limits=Limits(Bucket(1, 3600)))
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(wanted))
    stop, task, url = await running(tmp_path, redis=redis.options())

    statuses = [(await raw_http.send(f"{url}/mcp", body=raw_http.INITIALIZE))[0] for _ in range(2)]

    assert statuses == [200, 429]
    stop.set()
    await task
