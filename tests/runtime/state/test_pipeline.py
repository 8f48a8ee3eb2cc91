"""Commands of many callers on one connection: each gets its own answer, and none waits for ever."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
import redis.asyncio as driver
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.state import pipeline as module
from runtime.state.pipeline import Pipeline, pack


def connect(port: int, timeout: float = 5.0) -> Pipeline:
    pool = driver.Redis(host="127.0.0.1", port=port, socket_timeout=None, decode_responses=True).connection_pool
    return Pipeline(pool.make_connection(), timeout)  # type: ignore[no-untyped-call]


async def test_answers_reach_those_who_asked(redis: Any) -> None:
    pipeline = connect(redis.port)

    answers = await asyncio.gather(*(pipeline.execute("ECHO", f"number {n}") for n in range(500)))

    assert answers == [f"number {n}" for n in range(500)]
    await pipeline.close()


async def test_a_command_that_fails_fails_alone(redis: Any) -> None:
    pipeline = connect(redis.port)

    first, bad, last = await asyncio.gather(
        pipeline.execute("ECHO", "a"),
        pipeline.execute("NO-SUCH"),
        pipeline.execute("ECHO", "b"),
        return_exceptions=True,
    )

    assert (first, last) == ("a", "b")
    assert isinstance(bad, ResponseError)
    await pipeline.close()


async def test_who_gives_up_takes_no_answer_of_others(redis: Any) -> None:
    pipeline = connect(redis.port)
    await pipeline.execute("PING")

    left = asyncio.create_task(pipeline.execute("ECHO", "left"))
    await asyncio.sleep(0)
    stayed = asyncio.create_task(pipeline.execute("ECHO", "stayed"))
    await asyncio.sleep(0)
    left.cancel()

    assert await stayed == "stayed"
    await pipeline.close()


async def test_after_a_restart_it_goes_on(redis: Any) -> None:
    pipeline = connect(redis.port)
    await pipeline.execute("PING")
    redis.restart()

    async with asyncio.timeout(10):
        while True:
            try:
                assert await pipeline.execute("ECHO", "again") == "again"
                break
            except RedisConnectionError:
                await asyncio.sleep(0.02)
    await pipeline.close()


async def test_what_waits_when_the_connection_ends_fails_at_once(redis: Any) -> None:
    pipeline = connect(redis.port, 60.0)
    await pipeline.execute("PING")
    waiting = [asyncio.create_task(pipeline.execute("BLPOP", "nothing", 0)) for _ in range(3)]
    await asyncio.sleep(0.05)
    redis.kill()

    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, RedisConnectionError) for outcome in outcomes)
    await pipeline.close()


async def test_a_server_that_does_not_answer_times_out() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    pipeline = connect(server.sockets[0].getsockname()[1], 0.05)
    async with asyncio.timeout(10):
        for _ in range(2):
            with pytest.raises(RedisTimeoutError):
                await pipeline.execute("PING")
    await pipeline.close()
    server.close()


async def test_a_connection_on_which_nothing_is_answered_any_more_is_left(redis: Any) -> None:
    pipeline = connect(redis.port, 0.5)
    assert await pipeline.execute("ECHO", "a") == "a"
    redis.process.send_signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            with pytest.raises(RedisTimeoutError):
                await pipeline.execute("ECHO", "b")
    finally:
        redis.process.send_signal(signal.SIGCONT)

    async with asyncio.timeout(10):
        assert await pipeline.execute("ECHO", "c") == "c"
    await pipeline.close()


async def test_answers_in_time_are_waited_for_however_long_the_row_is(redis: Any) -> None:
    pipeline = connect(redis.port, 0.2)
    deadline = asyncio.get_running_loop().time() + 0.7
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.gather(*(pipeline.execute("PING") for _ in range(20)))
    assert pipeline._stream is not None
    await pipeline.close()


async def test_a_refused_connection_is_told_to_all() -> None:
    pipeline = connect(1)

    outcomes = await asyncio.gather(*(pipeline.execute("PING") for _ in range(3)), return_exceptions=True)

    assert all(isinstance(outcome, RedisConnectionError) for outcome in outcomes)
    await pipeline.close()


async def test_the_row_has_a_limit(redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    pipeline = connect(redis.port)

    outcomes = await asyncio.gather(*(pipeline.execute("PING") for _ in range(3)), return_exceptions=True)

    assert outcomes[:2] == ["PONG", "PONG"]
    assert isinstance(outcomes[2], RedisConnectionError)
    await pipeline.close()


async def test_closing_fails_what_waits(redis: Any) -> None:
    pipeline = connect(redis.port)
    waiting = asyncio.create_task(pipeline.execute("BLPOP", "nothing", 0))
    await asyncio.sleep(0.05)

    await pipeline.close()

    with pytest.raises(RedisConnectionError):
        await waiting


async def test_what_redis_says_without_being_asked_is_no_answer(redis: Any) -> None:
    client = driver.Redis(host="127.0.0.1", port=redis.port, socket_timeout=None, decode_responses=True, protocol=3)
    pipeline = Pipeline(client.connection_pool.make_connection(), 5.0)  # type: ignore[no-untyped-call]
    await pipeline.execute("CLIENT", "TRACKING", "ON")
    await pipeline.execute("GET", "watched")
    stream = pipeline._stream
    async with driver.Redis(port=redis.port) as other:
        await other.set("watched", "changed")

    assert [await pipeline.execute("ECHO", str(n)) for n in range(3)] == ["0", "1", "2"]
    assert pipeline._stream is stream
    await pipeline.close()


@pytest.mark.parametrize("answer", [b"what is that\r\n", b"-MOVED\r\n", b"-ASK 1 nowhere\r\n", b"$1\r\n\xff\r\n"])
async def test_bytes_that_are_no_answer_end_the_connection(redis: Any, answer: bytes) -> None:
    pipeline = connect(redis.port)
    await pipeline.execute("PING")
    asked = pipeline.execute_packed(pack("BLPOP", "nothing", 0))

    stream = pipeline._stream
    assert stream is not None
    stream.data_received(answer)

    with pytest.raises(RedisConnectionError, match="cannot be read"):
        await asked
    assert await pipeline.execute("ECHO", "again") == "again"
    await pipeline.close()
