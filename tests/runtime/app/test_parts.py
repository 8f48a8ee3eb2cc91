"""The parts of the process, each alone: what they watch, ask and report, with clocks that need no waiting."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster import pod, resources
from cluster.informers import informer
from crd.published import catalogs
from runtime.app import newest_version, program
from runtime.app.catalog_store import CatalogStore, Trust
from runtime.telemetry.metrics import Metrics

TRUST = Trust(Ed25519PrivateKey.from_private_bytes(b"r" * 32).public_key(), "uid-1")


class Ended(Exception):  # noqa: N818 -- ends a loop that has no end
    pass


class Transport:
    """The connection to the API server; ``made`` are all of them."""

    made: list[Transport]

    def __init__(self, *words: Any) -> None:
        self.words = words
        self.closed = 0
        self.made.append(self)

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def transports(monkeypatch: pytest.MonkeyPatch) -> list[Transport]:
    Transport.made = []
    monkeypatch.setattr(pod, "PodTransport", Transport)
    return Transport.made


def in_a_pod(tmp_path: Path, **more: Any) -> program.Settings:
    given = {"namespace": "shop", "config_map": "main-catalog", "api_host": "api", "api_directory": tmp_path}
    return program.Settings(tmp_path, **{**given, "api_port": 6443, "trust": TRUST, **more})


async def test_the_watch_is_of_one_config_map_and_closes_its_connection(
    tmp_path: Path, transports: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class FakeInformer:
        def __init__(self, *words: Any, **more: Any) -> None:
            seen.extend((*words, more))

        async def run(self) -> None:
            raise Ended

    monkeypatch.setattr(informer, "Informer", FakeInformer)
    store = CatalogStore()

    with pytest.raises(Ended):
        await program._watch(in_a_pod(tmp_path), store)

    ((transport,), (given, kind, handler, more)) = transports, seen
    assert (given, kind, handler) == (transport, resources.CONFIG_MAPS, store.submit)
    clock = more.pop("clock")
    assert more == {"namespace": "shop", "field_selector": "metadata.name=main-catalog"}
    assert 0 <= clock.jitter() < 1
    assert (transport.words, transport.closed) == ((tmp_path, "api", 6443), 1)


@pytest.mark.parametrize("missing", ["config_map", "api_host", "api_directory"])
async def test_without_an_api_the_directory_is_followed(
    tmp_path: Path, transports: list[Transport], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    followed: list[Any] = []

    async def follow(*words: Any) -> None:
        followed.append(words)

    monkeypatch.setattr(program, "_follow", follow)
    store = CatalogStore()

    await program._watch(in_a_pod(tmp_path, **{missing: None}), store)

    assert (followed, transports) == ([(tmp_path, store)], [])


async def test_a_directory_is_read_again_once_for_each_change(tmp_path: Path, catalog_of: Any) -> None:
    file, slept, read = tmp_path / catalogs.FILE, list[float](), list[int]()
    store = CatalogStore()
    store.reread = lambda directory: read.append(len(slept)) or None  # type: ignore[method-assign, func-returns-value]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) in (2, 4):
            file.write_text("{" + " " * len(slept))
        if len(slept) == 6:
            raise Ended

    with pytest.raises(Ended):
        await program._follow(tmp_path, store, sleep)

    assert (slept, read) == ([program.POLL] * 6, [2, 4])


async def test_work_is_started_again_after_a_pause() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise Ended

    async def work() -> None:
        return

    metrics = Metrics()
    with pytest.raises(Ended):
        await program._supervise("it", work, metrics, sleep)

    assert slept == [program.RESTART] * 3
    assert metrics.registry.get_sample_value("mcp_server_task_restarts_total") == 3


@pytest.mark.parametrize("lowest", [(3, 4), None])
async def test_the_newest_version_is_asked_for_and_required(
    tmp_path: Path, transports: list[Transport], monkeypatch: pytest.MonkeyPatch, lowest: Any
) -> None:
    asked: list[Any] = []
    required: list[Any] = []

    async def learn(transport: Any, **more: Any) -> Any:
        asked.append((transport, more))
        return lowest

    monkeypatch.setattr(newest_version, "learn", learn)
    store = CatalogStore()
    store.require = required.append  # type: ignore[method-assign]

    await program._require_newest(in_a_pod(tmp_path), store, seconds := lambda: 7.0)

    ((transport, more),) = asked
    assert more == {"namespace": "shop", "server": "main", "uid": "uid-1", "seconds": seconds}
    assert (transport.words, transport.closed) == ((tmp_path, "api", 6443), 1)
    assert required == ([lowest] if lowest else [])


async def test_what_keeps_the_newest_version_from_being_learned_keeps_no_pod_from_starting(
    tmp_path: Path, transports: list[Transport], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def learn(*_: Any, **__: Any) -> Any:
        raise OSError("no route")

    monkeypatch.setattr(newest_version, "learn", learn)

    await program._require_newest(in_a_pod(tmp_path), CatalogStore(), lambda: 7.0)

    assert [each.closed for each in transports] == [1]
    assert "the newest version of the catalog cannot be learned" in caplog.text


@pytest.mark.parametrize("missing", ["trust", "config_map", "api_host", "api_directory"])
async def test_without_signatures_or_an_api_no_version_is_asked_for(
    tmp_path: Path, transports: list[Transport], missing: str
) -> None:
    await program._require_newest(in_a_pod(tmp_path, **{missing: None}), CatalogStore(), lambda: 7.0)

    assert transports == []


@pytest.mark.parametrize(
    ("seconds", "open_requests", "slept", "left"),
    [
        (27.0, [], [5.0, 0.5], 0),
        (3.0, [], [3.0, 0.0], 0),
        (27.0, [2, 1], [5.0, 0.5, 0.05, 0.05], 0),
        (5.6, [9] * 99, [5.0, 0.5, 0.05, 0.05], 9),
        (5.2, [9] * 99, [5.0, 0.2], 9),
    ],
)
async def test_a_pod_lingers_and_then_waits_for_its_requests(
    monkeypatch: pytest.MonkeyPatch, seconds: float, open_requests: list[int], slept: list[float], left: int
) -> None:
    now, pauses, pending = [100.0], list[float](), iter(open_requests)

    steps: list[tuple[str, float]] = []

    class Connections:
        def close_quiet(self, quiet: float) -> None:
            steps.append((f"closed after {quiet} s of silence", now[0] - 100))

    class App:
        connections = Connections()

        @property
        def open_requests(self) -> int:
            return next(pending, 0)

    async def sleep(pause: float) -> None:
        pauses.append(round(pause, 3))
        now[0] = round(now[0] + pause, 3)

    monkeypatch.setattr(program, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(program, "asyncio", SimpleNamespace(sleep=sleep))

    class Streams:
        async def drain(self, seconds: float) -> None:
            steps.append((f"streams end within {seconds:.2f} s", now[0] - 100))

    await program._drain(App(), Streams(), seconds)  # type: ignore[arg-type]

    assert (pauses, next(pending, 0)) == (slept, left)
    begun = sum(slept[:2])
    spread = min(10.0, (seconds - begun) / 2)
    assert steps == [
        ("closed after 0.5 s of silence", slept[0]),
        (f"streams end within {spread:.2f} s", pytest.approx(begun)),
    ]


def test_the_ids_of_requests_count_behind_a_prefix_of_the_process() -> None:
    first, second = program._request_ids(), program._request_ids()
    found = [first() for _ in range(17)]

    assert re.fullmatch(r"[0-9a-f]{12}-1", found[0])
    assert [each.partition("-")[2] for each in found] == [f"{number:x}" for number in range(1, 18)]
    assert len({each.partition("-")[0] for each in (*found, second())}) == 2
    assert len(program._new_id()) == 32
    assert program._new_id() != program._new_id()


def test_as_much_is_said_as_fits() -> None:
    members = {"a": 1, "b": 22, "c": 3}
    sizes = [len(orjson.dumps({name: value})) for name, value in members.items()]

    assert sizes == [7, 8, 7]
    assert program._fit(members, 22) == members
    assert program._fit(members, 21) == {"a": 1, "b": 22}
    assert program._fit(members, 15) == {"a": 1, "b": 22}
    assert program._fit(members, 14) == {"a": 1}
    assert program._fit(members, 6) == {}


class Dispatcher:
    """What is wrong with backends."""

    def __init__(self, circuits: dict[str, str], faults: dict[str, Any]) -> None:
        self.circuits, self.faults = circuits, faults

    def open_circuits(self) -> dict[str, str]:
        return self.circuits

    def last_faults(self) -> dict[str, Any]:
        return self.faults


class Watch:
    """Verdicts on pinned tools, as many bytes as they may take."""

    def __init__(self) -> None:
        self.rooms: list[int] = []

    def status(self, room: int) -> Any:
        self.rooms.append(room)
        return ["x"]


async def statusz(store: CatalogStore, *parts: Any) -> dict[str, Any]:
    page = program._health(store, Metrics(), asyncio.Event(), *parts)["/statusz"]
    found = page()
    answer = await found if asyncio.iscoroutine(found) else found
    assert answer.status == 200
    return dict(json.loads(answer.body))


async def test_statusz_has_the_catalog_in_force_and_what_is_wrong(catalog_of: Any) -> None:
    store, payload = CatalogStore(), catalogs.dump(catalog_of())
    none = {"tools": 0, "prompts": 0, "resources": 0, "streams": 0}
    nothing = {"digest": None, **none, "error": None, "redis": None}
    assert await statusz(store) == nothing
    store.put({"data": {catalogs.FILE: payload.decode()}})

    serving = {**nothing, "digest": catalogs.digest(payload), "tools": 8, "prompts": 2, "resources": 6}
    assert await statusz(store) == serving
    assert (await statusz(store, None, None, None, "abc"))["streams"] == 3
    store.error = "e" * 600
    watch = Watch()
    dispatcher = Dispatcher({"tool shop/a": "open"}, {"a.b.svc:80": {"code": "timeout"}})
    parts: tuple[Any, ...] = (dispatcher, SimpleNamespace(failure="refused"), watch)
    assert await statusz(store, *parts) == {
        **serving,
        "error": "e" * 500,
        "redis": "refused",
        "pins": ["x"],
        "circuits": {"tool shop/a": "open"},
        "faults": {"a.b.svc:80": {"code": "timeout"}},
        "omitted": 0,
    }
    assert watch.rooms == [
        (program.STATUS_BYTES - len(orjson.dumps({**serving, "error": "e" * 500, "redis": "refused"}))) // 2
    ]
    store.error = None
    assert (await statusz(store, None, SimpleNamespace(failure=None), watch))["redis"] == "available"
    assert watch.rooms[1] == program.PIN_ROOM


async def test_circuits_and_faults_share_the_room_and_the_rest_is_counted() -> None:
    circuits = {f"tool shop/t{number:03}": "open" for number in range(200)}
    faults = {f"s{number:03}.shop.svc:80": {"code": "timeout"} for number in range(200)}

    found = await statusz(CatalogStore(), Dispatcher(circuits, faults))

    sizes = [len(orjson.dumps(found[name])) for name in ("circuits", "faults")]
    assert all(1500 < size <= program.STATUS_BYTES // 2 for size in sizes)
    assert found["omitted"] == 400 - len(found["circuits"]) - len(found["faults"])
    (few,) = [await statusz(CatalogStore(), Dispatcher({}, faults))]
    assert len(few["faults"]) == len(found["faults"])
