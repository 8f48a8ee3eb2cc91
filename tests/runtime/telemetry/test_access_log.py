"""Lines of the access log: whole, in order, together, and never more than a reader takes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.telemetry import access_log
from runtime.telemetry.access_log import AccessLog


@pytest.fixture(autouse=True)
def level() -> Iterator[logging.Logger]:
    logger = logging.getLogger("access")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(before)


def lines(written: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(written).splitlines()]


async def test_lines_are_written_together_and_in_order() -> None:
    written: list[bytes] = []
    log = AccessLog(written.append, lambda: 1_800_000_000.5)

    for number in range(3):
        log.add(dict, ({"requestId": str(number), "ms": 1.5},))
    assert written == []
    async with asyncio.timeout(10):
        while not written:
            await asyncio.sleep(access_log.DELAY)

    assert len(written) == 1
    assert [line["requestId"] for line in lines(written)] == ["0", "1", "2"]
    assert lines(written)[0] == {
        "time": "2027-01-15T08:00:00.500Z",
        "level": "info",
        "logger": "access",
        "requestId": "0",
        "ms": 1.5,
    }


async def test_above_the_level_info_only_warnings_are_logged(level: logging.Logger) -> None:
    written: list[bytes] = []
    log = AccessLog(written.append, lambda: 0.0)
    level.setLevel(logging.WARNING)

    assert not log.is_enabled()
    assert log.is_enabled(warning=True)
    log.add(dict, ({"requestId": "2"},), warning=True)
    log.flush()
    assert [(line["requestId"], line["level"]) for line in lines(written)] == [("2", "warning")]


async def test_what_waits_has_a_limit_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MAX_WAITING", 3)
    written: list[bytes] = []
    log = AccessLog(written.append, lambda: 0.0)

    for number in range(20):
        log.add(dict, ({"requestId": str(number)},))
    log.flush()
    log.add(dict, ({"requestId": "later"},))
    log.flush()

    found = lines(written)
    kept = [line["requestId"] for line in found if "requestId" in line]
    assert kept == ["0", "1", "2", "later"]
    assert [line["dropped"] for line in found if "dropped" in line] == [17]


def test_a_pipe_that_takes_little_gets_every_byte(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[bytes] = []

    def write(_: int, data: memoryview) -> int:
        taken.append(bytes(data[:7]))
        return len(taken[-1])

    monkeypatch.setattr(os, "write", write)
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(access_log.sys, "stderr", file)
        access_log.write_to_stderr(b"a line of the log\n")

    assert b"".join(taken) == b"a line of the log\n"


async def test_each_line_has_the_time_of_its_call() -> None:
    written: list[bytes] = []
    times = iter((1_800_000_000.25, 1_800_000_000.9996, 1_800_000_001.0, 1_799_999_999.0625))
    log = AccessLog(written.append, lambda: next(times))

    for level in (False, True, False, True):
        log.add(lambda *seen: {"seen": seen}, (1, "x"), warning=level)
    log.flush()

    assert [(line["time"], line["level"], line["seen"]) for line in lines(written)] == [
        ("2027-01-15T08:00:00.250Z", "info", [1, "x"]),
        ("2027-01-15T08:00:00.999Z", "warning", [1, "x"]),
        ("2027-01-15T08:00:01.000Z", "info", [1, "x"]),
        ("2027-01-15T07:59:59.062Z", "warning", [1, "x"]),
    ]
    assert b"".join(written).count(b"\n") == 4


async def test_nothing_is_written_when_nothing_waits_and_a_flush_ends_the_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log, "DELAY", 3600.0)
    written: list[bytes] = []
    log = AccessLog(written.append, lambda: 0.0)
    log.flush()
    log.add(dict, ({"a": 1},))
    timer = log._timer
    assert timer is not None
    log.add(dict, ({"a": 2},))
    assert log._timer is timer

    log.flush()

    assert (timer.cancelled(), log._timer, len(written)) == (True, None, 1)
    log.flush()
    assert len(written) == 1
    log.add(dict, ({"a": 3},))
    assert log._timer is not None
    log.flush()
    assert [line["a"] for line in lines(written)] == [1, 2, 3]


async def test_lines_that_are_dropped_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MAX_WAITING", 1)
    written: list[bytes] = []
    log = AccessLog(written.append, lambda: 0.0)
    log.add(dict, ({"a": 1},))
    log.add(dict, ({"a": 2},))

    log.flush()
    log.flush()

    assert lines(written)[1:] == [{"logger": "access", "dropped": 1}]
