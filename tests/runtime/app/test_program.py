"""The server as a process: two ports, a directory with a catalog, a clean shutdown."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster import pod, probes
from cluster.informers import informer
from crd.published import catalogs
from crd.published.policy import Bucket
from crd.published.settings import Limits
from runtime.app import program
from runtime.app.catalog_store import CatalogStore, Trust
from runtime.http import streams
from runtime.telemetry.metrics import Metrics
from scripts.localcluster.ports import free_port
from tests.runtime import raw_http
from tests.runtime.raw_http import INITIALIZE, listen, send


async def status(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def running(
    directory: Path, *, probes: bool = False, **more: Any
) -> tuple[asyncio.Event, asyncio.Task[None], str]:
    """Start a process. The URL is that of its probes, or with Redis that of its serving port."""
    ports, stop = (free_port(), free_port()), asyncio.Event()
    settings = program.Settings(
        directory, host="127.0.0.1", port=ports[0], health_port=ports[1], drain_seconds=0.1, **more
    )
    task = asyncio.create_task(program.run(settings, stop))
    url = f"http://127.0.0.1:{ports[0] if more and not probes else ports[1]}"
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


async def test_an_unsigned_catalog_is_rejected_and_the_probes_say_so(tmp_path: Path, catalog_of: Any) -> None:
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of()))
    trust = Trust(Ed25519PrivateKey.from_private_bytes(b"r" * 32).public_key(), "uid-1")
    stop, task, url = await running(tmp_path, trust=trust, probes=True)

    assert await status(f"{url}/readyz") == (503, "the catalog is not signed: key catalog.signature is missing\n")
    assert 'mcp_server_catalog_rejections_total{reason="missing"} 1.0' in (await status(f"{url}/metrics"))[1]
    stop.set()
    await task


async def test_a_rejected_catalog_leaves_the_pod_ready_with_a_note(tmp_path: Path, catalog_of: Any) -> None:
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of()))
    store = CatalogStore()
    store.read(tmp_path)
    store.put({"data": {catalogs.FILE: "{}"}})
    app = program._health(store, Metrics(), asyncio.Event())
    listener = await probes.serve(app, "127.0.0.1", 0)

    code, text = await status(f"http://127.0.0.1:{listener.port}/readyz")

    assert (code, text.startswith("ok, but the newest catalog was rejected: ")) == (200, True)
    await listener.close()


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


async def test_what_fails_or_ends_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    metrics, runs, done = Metrics(), [0], asyncio.Event()

    async def work() -> None:
        runs[0] += 1
        if runs[0] == 1:
            raise ZeroDivisionError
        if runs[0] == 3:
            done.set()
            await asyncio.Event().wait()

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    task = asyncio.create_task(program._supervise("the watch", work, metrics, sleep))
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert metrics.registry.get_sample_value("mcp_server_task_restarts_total") == 2
    assert "the watch failed" in caplog.text
    assert "the watch ended" in caplog.text


async def test_a_catalog_that_changes_in_its_directory_is_served_without_a_watch(
    tmp_path: Path, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "POLL", 0.01)
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of()))
    stop, task, url = await running(tmp_path)
    newer = catalogs.dump(catalog_of(tools=catalog_of().tools[:1]))

    (tmp_path / catalogs.FILE).write_bytes(newer)
    async with asyncio.timeout(10):
        while catalogs.digest(newer) not in (await status(f"{url}/statusz"))[1]:
            await asyncio.sleep(0.01)

    stop.set()
    await task


async def test_who_listens_hears_of_a_catalog_and_of_the_end_of_the_process(
    tmp_path: Path, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "POLL", 0.01)
    monkeypatch.setattr(program, "LINGER", 0.0)
    monkeypatch.setattr(streams, "KEEP_ALIVE", 0.05)
    monkeypatch.setattr(streams, "TICK", 0.01)
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of()))
    stop, task, url = await running(tmp_path, key_prefix="test:")
    _, _, answer = await send(f"{url}/mcp", body=INITIALIZE)
    assert answer["result"]["capabilities"]["tools"] == {"listChanged": True}

    async with listen(f"{url}/mcp", "tools") as stream:
        await stream.next()
        async with asyncio.timeout(10):
            while not (await stream.answer.content.readline()).startswith(b":"):
                pass
        (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of(tools=())))
        assert (await stream.next())["method"] == "notifications/tools/list_changed"
        stop.set()
        assert (await stream.next())["result"]["resultType"] == "complete"
        assert await stream.next() is None
    await task


async def test_a_kept_connection_is_closed_before_the_streams_end(
    tmp_path: Path, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who listens again over it would reach the pod that ends."""
    monkeypatch.setattr(program, "LINGER", 0.0)
    monkeypatch.setattr(program, "QUIET", 0.0)
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(catalog_of()))
    stop, task, url = await running(tmp_path, key_prefix="test:")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Connection: close" not in await reader.readuntil(b"\r\n\r\n")

    async with listen(f"{url}/mcp", "tools") as stream, asyncio.timeout(20):
        await stream.next()
        stop.set()
        await reader.read()
        end = asyncio.create_task(stream.next())
        await asyncio.sleep(0)
        assert not end.done()
        assert (await end)["result"]["resultType"] == "complete"
    writer.close()
    await task


async def test_the_probes_say_how_many_clients_listen(tmp_path: Path, catalog_of: Any, replicas: Any) -> None:
    replica = await replicas.start(catalog_of())
    pages = program._health(replica.catalog_store, replica.metrics, asyncio.Event(), streams=replica.streams)

    async with listen(replica.mcp) as stream:
        await stream.next()
        assert json.loads((await pages["/statusz"]()).body)["streams"] == 1


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "raised"),
    [
        (1024, 500_000, True, 13_000),
        (1024, 4096, True, 4096),
        (1024, 500_000, False, None),
        (20_000, 500_000, True, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, True, None),
        (1024, resource.RLIM_INFINITY, True, 13_000),
    ],
)
def test_as_many_files_may_be_open_as_streams_need(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, allowed: bool, raised: int | None
) -> None:
    made: list[tuple[int, int]] = []

    def set_limit(_: int, limits: tuple[int, int]) -> None:
        if not allowed:
            raise ValueError
        made.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", set_limit)

    expected = raised if raised is not None else 13_000 if soft in (20_000, resource.RLIM_INFINITY) else soft
    assert program._open_files(13_000) == expected
    assert made == ([] if raised is None else [(raised, hard)])


async def test_the_watch_loads_each_catalog_of_its_config_map(
    tmp_path: Path, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process itself watches: with the store and in slices, as in a pod."""
    seen: dict[str, Any] = {}

    class FakeInformer:
        def __init__(self, transport: Any, resource: Any, handler: Any, **more: Any) -> None:
            seen.update(more, handler=handler)

        async def run(self) -> None:
            seen["handler"]({"data": {catalogs.FILE: catalogs.dump(catalog_of()).decode()}})
            await asyncio.Event().wait()

    class FakeTransport:
        def __init__(self, *_: Any) -> None:
            pass

        async def close(self) -> None:
            seen["closed"] = True

    monkeypatch.setattr(informer, "Informer", FakeInformer)
    monkeypatch.setattr(pod, "PodTransport", FakeTransport)
    stop, task, url = await running(
        tmp_path, probes=True, namespace="shop", config_map="main-catalog", api_host="api", api_directory=tmp_path
    )
    async with asyncio.timeout(10):
        while (await status(f"{url}/readyz"))[0] != 200:
            await asyncio.sleep(0.01)

    assert (seen["namespace"], seen["field_selector"]) == ("shop", "metadata.name=main-catalog")
    stop.set()
    await task
    assert seen["closed"]


def test_a_pod_loads_what_it_needs_only() -> None:
    """Each of them is several MiB, and few pods need them all."""
    large = {"aiohttp", "cryptography", "jwt", "opentelemetry", "pydantic", "redis", "requests"}
    code = f"import sys, cli.__main__, runtime.app.program\nprint(sorted({large} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


def test_the_driver_of_redis_imports_no_opentelemetry_and_keeps_nobody_from_it() -> None:
    code = "import sys\nfrom runtime.state import driver\ndriver.load()\nfrom runtime.state import redis\n"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    code += "import opentelemetry.sdk.metrics, runtime.telemetry.traces"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


async def test_a_process_answers_rest_paths_and_keeps_its_limits_and_sessions(tmp_path: Path, catalog_of: Any) -> None:
    wanted = catalog_of(limits=Limits(Bucket(3, 3600)))
    (tmp_path / catalogs.FILE).write_bytes(catalogs.dump(wanted))
    stop, task, url = await running(tmp_path, namespace="shop")

    _, headers, _ = await raw_http.send(f"{url}/mcp", body=raw_http.INITIALIZE)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
    assert len(headers["Mcp-Session-Id"]) == 32
    assert (await raw_http.send(f"{url}/mcp/greet?who=Ada", "GET"))[2] == "Dear Ada, hello"
    assert (await raw_http.send(f"{url}/mcp", body=raw_http.rpc("ping"), **session))[2]["result"] == {}
    assert (await raw_http.send(f"{url}/mcp/greet?who=Ada", "GET"))[0] == 429
    stop.set()
    await task
