"""The connection to Redis: databases, passwords, TLS, timeouts."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as driver

from runtime.state.redis import Redis, RedisSessions, RedisVerdicts, Script
from runtime.state.redis_servers import Options, Servers
from runtime.state.sessions import Session, StoreUnavailableError
from tests.runtime.state.certificates import server_words, write_certificates


def connect(options: Options, timeout: float = 5.0) -> Redis:
    return Redis(options, monotonic=time.monotonic, jitter=lambda: 0.5, timeout=timeout)


async def answers(connection: Redis) -> bool:
    try:
        return await connection.run_script(Script("return 1"), [], []) == 1
    except StoreUnavailableError:
        return False


async def remembers(options: Options) -> bool:
    connection = connect(options)
    try:
        sessions = RedisSessions(connection, "x:")
        await sessions.create("a", Session("2025-11-25", "ada"), 60, client="user:ada")
        return await sessions.use("a", "ada", 60) == Session("2025-11-25", "ada")
    finally:
        await connection.close()


async def test_a_client_has_a_number_of_sessions_and_others_keep_theirs(redis: Any) -> None:
    connection = connect(redis.options())
    sessions = RedisSessions(connection, "x:", per_client=2)
    await sessions.create("other", Session("2025-11-25"), 60, client="at:2")
    for identifier in ("a", "b"):
        await sessions.create(identifier, Session("2025-11-25"), 60, client="at:1")
        await asyncio.sleep(0.002)
    assert await sessions.use("a", "", 60)

    await sessions.create("c", Session("2025-11-25"), 60, client="at:1")

    found = [await sessions.use(identifier, "", 60) is not None for identifier in ("a", "b", "c", "other")]
    assert found == [True, False, True, True]
    await connection.close()


async def test_an_expired_session_makes_room(redis: Any) -> None:
    connection = connect(redis.options())
    sessions = RedisSessions(connection, "x:", per_client=2)
    await sessions.create("short", Session("2025-11-25"), 0.001, client="at:1")
    await sessions.create("a", Session("2025-11-25"), 60, client="at:1")
    await asyncio.sleep(0.005)

    await sessions.create("b", Session("2025-11-25"), 60, client="at:1")

    assert [await sessions.use(name, "", 60) is not None for name in ("short", "a", "b")] == [False, True, True]
    await connection.close()


async def test_a_session_is_stored_in_the_configured_database_under_the_prefix(redis: Any) -> None:
    assert await remembers(redis.options(db=3))

    async with driver.Redis(port=redis.port, db=3, decode_responses=True) as client:
        key, own = sorted(await client.keys("*"))
    assert key.startswith("x:session:")
    assert key.endswith(":a")
    assert own.startswith("x:sessions:")
    assert "ada" not in key + own
    async with driver.Redis(port=redis.port) as client:
        assert await client.keys("*") == []


async def test_the_password_is_read_for_every_connection(redis: Any, tmp_path: Path) -> None:
    redis.restart("--requirepass", "first")
    (tmp_path / "password").write_text("first\n")
    assert await remembers(redis.options(credentials=tmp_path))
    with pytest.raises(StoreUnavailableError, match="Authentication"):
        await remembers(redis.options())

    connection = connect(redis.options(credentials=tmp_path))
    assert await answers(connection)
    redis.restart("--requirepass", "second")
    (tmp_path / "password").write_text("second\n")
    async with asyncio.timeout(10):
        while not await answers(connection):
            await asyncio.sleep(0.02)
    await connection.close()


async def test_a_username_can_be_set(redis: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    redis.restart("--user", "mcp", "on", ">secret", "~*", "+@all", "--user", "default", "off")
    (tmp_path / "username").write_text("mcp")
    (tmp_path / "password").write_text("secret")

    assert await remembers(redis.options(credentials=tmp_path))
    # The driver warns of providers without a method of their own for asyncio, at every connection.
    assert caplog.messages == []


async def test_without_credential_files_redis_is_unavailable(redis: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        await remembers(redis.options(credentials=tmp_path))


async def test_tls_is_verified_with_the_configured_ca(redis: Any, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    redis.restart(*server_words(tmp_path, redis.port))

    assert await remembers(redis.options(tls=True, ca_file=tmp_path / "ca.crt"))
    with pytest.raises(StoreUnavailableError):
        await remembers(redis.options(tls=True))
    with pytest.raises(StoreUnavailableError):
        await remembers(redis.options())


async def test_a_rotated_ca_applies_to_the_next_connection_and_no_other_is_trusted(redis: Any, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write_certificates(tmp_path / name)
    shutil.copy(tmp_path / "old" / "ca.crt", tmp_path)
    redis.restart(*server_words(tmp_path / "old", redis.port))
    connection = connect(redis.options(tls=True, ca_file=tmp_path / "ca.crt"))
    assert await answers(connection)

    redis.restart(*server_words(tmp_path / "new", redis.port))
    assert not await answers(connection)
    shutil.copy(tmp_path / "new" / "ca.crt", tmp_path)
    async with asyncio.timeout(10):
        while not await answers(connection):
            await asyncio.sleep(0.02)
    await connection.close()


def test_a_context_is_made_once_and_trusts_the_configured_ca_alone(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    servers = Servers(Options("redis", tls=True, ca_file=tmp_path / "ca.crt"), 1.0)

    context = servers._context()

    assert servers._context() is context
    assert [dict(*each["subject"])["commonName"] for each in context.get_ca_certs()] == ["ca"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_without_its_ca_file_redis_is_unavailable(redis: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "other").write_text("no certificate")
    for name in ("missing", "empty", "other"):
        with pytest.raises(StoreUnavailableError):
            await remembers(redis.options(tls=True, ca_file=tmp_path / name))


async def test_after_a_timeout_commands_fail_at_once_for_a_while() -> None:
    connections = 0
    over = asyncio.Event()

    async def silent(_reader: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await over.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    now = 0.0
    options = Options("127.0.0.1", server.sockets[0].getsockname()[1], allow_loopback=True)
    connection = Redis(options, monotonic=lambda: now, jitter=lambda: 0.5, timeout=0.05)

    async def asked() -> str:
        with pytest.raises(StoreUnavailableError) as caught:
            await connection.run_script(Script("return 1"), [], [])
        return str(caught.value)

    assert "did not answer within 0.05 s; retrying in 0.1 s" in await asked()
    assert await asked() == "Redis timed out; retrying in 0.1 s"
    assert connections == 1
    now = 0.05
    assert "did not answer within 0.05 s; retrying in 0.1 s" in await asked()
    assert connections == 2
    over.set()
    await connection.close()
    server.close()


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("redis.shop.svc", "fd00:ec2::254"), ("redis.shop.svc", "::ffff:169.254.169.254")],
)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_forbidden_address_is_not_connected(
    monkeypatch: pytest.MonkeyPatch, host: str, address: str, tls: bool
) -> None:
    asked: list[str] = []

    async def resolve(name: str, port: int, **_: Any) -> Any:
        asked.append(name)
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port))]

    async def connect(**_: Any) -> Any:
        raise AssertionError("no connection must be opened")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    monkeypatch.setattr(asyncio, "open_connection", connect)
    connection = Redis(Options(host, tls=tls), monotonic=lambda: 0.0, jitter=lambda: 0.5)

    with pytest.raises(StoreUnavailableError, match="must not be called"):
        await connection.run_script(Script("return 1"), [], [])
    # Not by the search list of the pod, which may lead to another namespace.
    assert set(asked) == {"redis.shop.svc.cluster.local." if host.endswith(".svc") else host}
    await connection.close()


async def test_one_pod_claims_a_probe_and_all_read_what_it_found(redis: Any) -> None:
    first, second = connect(redis.options()), connect(redis.options())
    mine, others = RedisVerdicts(first, "x:"), RedisVerdicts(second, "x:")

    assert [await mine.claim("k", 0.2), await others.claim("k", 0.2), await others.claim("other", 5)] == [
        True,
        False,
        True,
    ]
    assert await others.get("k") is None
    await mine.put("k", "2A?", 5)
    assert await others.get("k") == "2A?"
    await asyncio.sleep(0.25)
    assert await others.claim("k", 5)
    keys = await first.run("KEYS", "*")
    assert sorted(keys) == ["x:pins:k", "x:pins:k:probe", "x:pins:other:probe"]
    assert await first.run("PTTL", "x:pins:k") > 0

    redis.kill()
    with pytest.raises(StoreUnavailableError):
        await mine.claim("k", 5)
    await first.close()
    await second.close()
