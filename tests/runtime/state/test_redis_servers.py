"""Sentinel and Cluster, with real servers: a failover while calls run, slots that move, servers that do not answer."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as driver
from redis.crc import key_slot

from crd.published.policy import Bucket
from crd.published.settings import Limits
from runtime.state import redis as module
from runtime.state.limits import Charge
from runtime.state.redis import Redis, RedisBuckets, RedisSessions
from runtime.state.redis_servers import Options, Sentinels
from runtime.state.sessions import Session, StoreUnavailableError
from scripts.localcluster import packages
from scripts.localcluster.ports import free_port
from tests.runtime.conftest import Redis as Server
from tests.runtime.raw_http import INITIALIZE, rpc, send
from tests.runtime.state.certificates import server_words, write_certificates

LEGACY = {"MCP-Protocol-Version": "2025-11-25"}
HOUR = 3600
STOP, CONTINUE = 19, 18
# A replica that has no copy yet cannot become the master.
AT_ONCE = ("--repl-diskless-sync-delay", "0")
# Of the keys of replicas in tests, whose prefix is test:.
SLOT = key_slot(b"{test:}")
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


def resolving(*addresses: str) -> Resolve:
    """The host ``service`` has these addresses; every other one is an address."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses) if host == "service" else [host]

    return resolve


class Secured:
    """Servers that speak TLS alone. Their user ``mcp`` may do what the product needs, their administrator everything.

    ``hosts`` are those for which their certificate is valid. ``credentials`` are those of the user.
    """

    def __init__(self, folder: Path, *hosts: str) -> None:
        folder.mkdir()
        write_certificates(folder, *hosts)
        self._folder = folder
        self.ca = folder / "ca.crt"
        self.credentials = folder / "credentials"
        self.credentials.mkdir()
        (self.credentials / "username").write_text("mcp\n")
        (self.credentials / "password").write_text("secret\n")
        # Of the administrator.
        self.client = {"ssl": True, "ssl_ca_certs": str(self.ca), "ssl_check_hostname": False, "password": "admin"}
        self.cli = ["--tls", "--cacert", str(self.ca), "-a", "admin"]

    def words(self, port: int) -> list[str]:
        """The arguments of a server."""
        rights = ("on", ">secret", "~test:*", "~{test:}*", "+@all", "-@admin", "-@dangerous")
        passwords = ["--requirepass", "admin", "--masterauth", "admin", "--user", "mcp", *rights]
        return [*self.sentinel_words(port), *passwords]

    def sentinel_words(self, port: int) -> list[str]:
        """The arguments of a Sentinel."""
        return [*server_words(self._folder, port), "--tls-replication", "yes"]


async def copied(host: str, port: int, **more: Any) -> None:
    """Wait until a server is a master, or a replica that has a copy."""
    async with driver.Redis(host=host, port=port, decode_responses=True, **more) as client, asyncio.timeout(20):
        while (found := await client.info("replication"))["role"] != "master" and found["master_link_status"] != "up":
            await asyncio.sleep(0.05)


class Watched:
    """A master, a replica, and three Sentinels at three addresses of one host."""

    def __init__(self, folder: Path, *more: str, secured: Secured | None = None) -> None:
        ports = [free_port(), free_port()]
        servers = []
        for name, port in zip(("master", "replica"), ports, strict=True):
            (folder / name).mkdir()
            words = [*AT_ONCE, "--dir", str(folder / name), *(secured.words(port) if secured else ())]
            if servers:
                words += ["--replicaof", "127.0.0.1", str(ports[0])]
            servers.append(Server(*words, port=port))
        self.master, self.replica = servers
        self.secured, self.client = secured, secured.client if secured else {}
        self.port = free_port()
        self.addresses = [f"127.0.0.{number}" for number in (1, 2, 3)]
        self.sentinels = []
        for address in self.addresses:
            file = folder / f"{address}.conf"
            lines = [
                f"sentinel monitor main 127.0.0.1 {self.master.port} 2",
                "sentinel down-after-milliseconds main 500",
                "sentinel failover-timeout main 2000",
                f"sentinel announce-ip {address}",
            ]
            own = list(more)
            if secured is not None:
                lines += ["sentinel auth-pass main admin", f"sentinel announce-port {self.port}"]
                own += secured.sentinel_words(self.port)
            file.write_text("\n".join([*lines, ""]))
            self.sentinels.append(Server(str(file), "--sentinel", *own, port=self.port, address=address))
        self.resolve = resolving(*self.addresses)

    def options(self, **more: Any) -> Options:
        sentinels = Sentinels("service", "main", self.port, **more)
        found = Options("redis", sentinels=sentinels, allow_loopback=True)
        if self.secured is None:
            return found
        return replace(found, tls=True, ca_file=self.secured.ca, credentials=self.secured.credentials)

    async def ready(self) -> None:
        """Wait until every Sentinel knows the others and the replica."""
        await copied("127.0.0.1", self.replica.port, **self.client)
        # Sentinels have another password, or none.
        security = {**self.client, "password": None} if self.client else {}
        for address in self.addresses:
            async with driver.Redis(host=address, port=self.port, decode_responses=True, **security) as client:
                async with asyncio.timeout(20):
                    while True:
                        state = (await client.sentinel_masters())["main"]
                        if state["num-other-sentinels"] == 2 and state["num-slaves"] == 1:
                            break
                        await asyncio.sleep(0.05)

    def kill(self) -> None:
        for server in (self.master, self.replica, *self.sentinels):
            server.kill()


class Cluster:
    """Three nodes with a third of the slots each, and a replica of each, at addresses of one host."""

    def __init__(self, folder: Path, secured: Secured | None = None) -> None:
        self.secured = secured
        # The nodes speak to one another at a port that is 10,000 higher.
        self.port = free_port()
        self.addresses = [f"127.0.0.{number}" for number in range(1, 7)]
        self.nodes = {}
        for address in self.addresses:
            home = folder / address
            home.mkdir()
            own = [*AT_ONCE, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--dir", str(home)]
            own += [*secured.words(self.port), "--tls-cluster", "yes"] if secured else []
            self.nodes[address] = Server(*own, "--cluster-announce-ip", address, port=self.port, address=address)
        create = ["redis-cli", "--cluster", "create", *(f"{address}:{self.port}" for address in self.addresses)]
        create += ["--cluster-replicas", "1", "--cluster-yes", *(secured.cli if secured else ())]
        subprocess.run(create, check=True, capture_output=True)
        self.resolve = resolving(*self.addresses)

    def options(self, **more: Any) -> Options:
        if self.secured is not None:
            more = {"tls": True, "ca_file": self.secured.ca, "credentials": self.secured.credentials} | more
        return Options("service", self.port, is_cluster=True, allow_loopback=True, **more)

    @contextlib.asynccontextmanager
    async def client(self, address: str) -> AsyncIterator[Any]:
        security: dict[str, Any] = self.secured.client if self.secured else {}
        async with driver.Redis(host=address, port=self.port, decode_responses=True, **security) as client:
            yield client

    async def owner(self, slot: int = SLOT) -> str:
        """The address of the node that has a slot."""
        for address, node in self.nodes.items():
            if node.process.poll() is None:
                async with self.client(address) as client:
                    for low, high, master, *_ in await client.execute_command("CLUSTER", "SLOTS"):
                        if low <= slot <= high:
                            return str(master[0])
        raise AssertionError("no node has the slot")

    async def redirections(self) -> int:
        """How many scripts the nodes sent on to others."""
        found = 0
        for address in self.addresses:
            async with self.client(address) as client:
                stats = await client.info("commandstats")
                found += sum(stats.get(f"cmdstat_{name}", {}).get("rejected_calls", 0) for name in ("eval", "evalsha"))
        return found

    async def identifier(self, address: str) -> str:
        async with self.client(address) as client:
            return str(await client.execute_command("CLUSTER", "MYID"))

    async def ready(self) -> None:
        """Wait until every node says that all slots are served, and until replicas have copies."""
        for address in self.addresses:
            async with self.client(address) as client, asyncio.timeout(20):
                while "cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):
                    await asyncio.sleep(0.05)
            await copied(address, self.port, **(self.secured.client if self.secured else {}))

    def kill(self) -> None:
        for node in self.nodes.values():
            node.kill()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    packages.ensure(packages.REDIS)
    found = Watched(tmp_path)
    try:
        await found.ready()
        yield found
    finally:
        found.kill()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    packages.ensure(packages.REDIS)
    assert shutil.which("redis-cli")
    found = Cluster(tmp_path)
    try:
        await found.ready()
        yield found
    finally:
        found.kill()


def connect(servers: Any, timeout: float = 1.0, **more: Any) -> Redis:
    return Redis(
        servers.options(**more), monotonic=time.monotonic, jitter=lambda: 0.0, resolve=servers.resolve, timeout=timeout
    )


def charge(bucket: Bucket, key: str = "k") -> Charge:
    return Charge("server", key, bucket)


async def works(connection: Redis) -> bool:
    """Whether a session can be stored, used and ended."""
    sessions = RedisSessions(connection, "test:")
    await sessions.create("a", Session("2025-11-25", "ada"), 60, client="user:ada")
    found = await sessions.use("a", "ada", 60)
    return found == Session("2025-11-25", "ada") and await sessions.end("a", "ada")


class Load:
    """Calls of a server without sessions and with a limit, and new sessions of another server, until it is stopped."""

    def __init__(self, limited: Any, sessions: Any) -> None:
        self._limited, self._sessions = limited, sessions
        self.calls: list[int] = []
        self.opened: list[tuple[int, str | None]] = []
        self.longest = 0.0
        self._tasks = [asyncio.create_task(self._repeat(each)) for each in (self._call, self._open)]

    async def _repeat(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            begun = time.monotonic()
            await act()
            self.longest = max(self.longest, time.monotonic() - begun)
            await asyncio.sleep(0.01)

    async def _call(self) -> None:
        self.calls.append((await send(self._limited.mcp, body=rpc("ping"), **LEGACY))[0])

    async def _open(self) -> None:
        status, headers, _ = await send(self._sessions.mcp, body=INITIALIZE)
        self.opened.append((status, headers.get("Retry-After")))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def survive(replicas: Any, catalog_of: Any, servers: Any, break_it: Callable[[], Awaitable[None]]) -> None:
    """Calls go on through a failover, sessions say when to come again, and limits count again by themselves."""
    limits = Limits(Bucket(1_000_000, HOUR), on_store_failure="Open")
    limited = await replicas.start(catalog_of(sessions="Stateless", limits=limits), servers)
    sessions = await replicas.start(catalog_of(sessions="Redis"), servers)
    load = Load(limited, sessions)
    # The first connection may take longer than a call may, on a machine that does much else.
    async with asyncio.timeout(20):
        while not load.calls or load.opened[-3:] != [(200, None)] * 3:
            await asyncio.sleep(0.01)
    await break_it()
    async with asyncio.timeout(30):
        while (503, "1") not in load.opened:
            await asyncio.sleep(0.01)
        uncounted = limited.count("mcp_server_limit_store_failures_total")
        while load.opened[-5:] != [(200, None)] * 5 or uncounted != (
            uncounted := limited.count("mcp_server_limit_store_failures_total")
        ):
            await asyncio.sleep(0.1)
    await load.stop()
    assert set(load.calls) == {200}
    assert set(load.opened) == {(200, None), (503, "1")}
    assert uncounted > 0
    assert load.longest < 5


async def test_the_master_that_sentinels_name_is_used(watched: Watched) -> None:
    connection = connect(watched)
    assert await works(connection)
    async with driver.Redis(port=watched.master.port) as client:
        assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 3
    await connection.close()


async def test_a_failover_by_sentinels_is_survived(replicas: Any, catalog_of: Any, watched: Watched) -> None:
    async def break_it() -> None:
        watched.master.kill()

    await survive(replicas, catalog_of, watched, break_it)


async def test_a_master_that_became_a_replica_is_left(watched: Watched) -> None:
    connection = connect(watched)
    assert await works(connection)
    async with driver.Redis(host="127.0.0.1", port=watched.port) as client:
        await client.execute_command("SENTINEL", "FAILOVER", "main")
    async with asyncio.timeout(20), driver.Redis(port=watched.replica.port, decode_responses=True) as client:
        while (await client.execute_command("ROLE"))[0] != "master":
            await asyncio.sleep(0.05)
        while True:
            with contextlib.suppress(StoreUnavailableError):
                await works(connection)
                if "cmdstat_evalsha" in await client.info("commandstats"):
                    break
            await asyncio.sleep(0.05)
    await connection.close()


async def test_a_sentinel_that_does_not_answer_is_passed_over(watched: Watched) -> None:
    watched.sentinels[0].process.send_signal(STOP)
    watched.sentinels[1].kill()
    connection = connect(watched)
    assert await works(connection)
    await connection.close()
    watched.sentinels[0].process.send_signal(CONTINUE)


async def test_sentinels_have_credentials_of_their_own(tmp_path: Path) -> None:
    packages.ensure(packages.REDIS)
    watched = Watched(tmp_path, "--requirepass", "secret")
    (tmp_path / "password").write_text("secret\n")
    try:
        connection = connect(watched, credentials=tmp_path)
        assert await works(connection)
        await connection.close()
        connection = connect(watched)
        with pytest.raises(
            StoreUnavailableError, match=r'no Sentinel names the master "main": .*: (HELLO|NOAUTH|Authentication)'
        ):
            await works(connection)
        await connection.close()
    finally:
        watched.kill()


async def test_a_name_that_no_sentinel_knows_has_no_master(watched: Watched) -> None:
    options = replace(watched.options(), sentinels=Sentinels("service", "other", watched.port))
    connection = Redis(options, monotonic=time.monotonic, jitter=lambda: 0.0, resolve=watched.resolve)
    with pytest.raises(StoreUnavailableError, match=r'no Sentinel names the master "other": 127.0.0.1 knows no such'):
        await works(connection)
    await connection.close()


async def test_a_forbidden_master_is_not_connected(watched: Watched) -> None:
    options = replace(watched.options(), allow_loopback=False)
    connection = Redis(options, monotonic=time.monotonic, jitter=lambda: 0.0, resolve=watched.resolve)
    with pytest.raises(StoreUnavailableError, match="must not be called"):
        await works(connection)
    await connection.close()


async def test_in_a_cluster_all_keys_of_a_server_are_in_one_slot(cluster: Cluster) -> None:
    connection = connect(cluster)
    assert await works(connection)
    buckets = RedisBuckets(connection, "test:")
    bucket = Bucket(3, HOUR)
    verdicts = [await buckets.take([charge(bucket), charge(bucket, "other")]) for _ in range(4)]
    assert [verdict.scope for verdict in verdicts] == [None, None, None, "server"]
    await RedisSessions(connection, "test:").create("b", Session("2025-11-25"), 60, client="at:1")
    async with cluster.client(await cluster.owner()) as client:
        keys = await client.keys("*")
    assert len(keys) == 5
    assert {key_slot(key.encode()) for key in keys} == {SLOT}
    await connection.close()


async def test_other_prefixes_are_on_other_nodes(cluster: Cluster) -> None:
    owners = set()
    for number in range(12):
        prefix = f"server-{number}:"
        connection = connect(cluster)
        await RedisBuckets(connection, prefix).take([charge(Bucket(1, HOUR))])
        owners.add(await cluster.owner(key_slot(f"{{{prefix}}}".encode())))
        await connection.close()
    assert len(owners) == 3


async def test_a_failover_of_a_cluster_is_survived(replicas: Any, catalog_of: Any, cluster: Cluster) -> None:
    async def break_it() -> None:
        cluster.nodes[await cluster.owner()].kill()

    await survive(replicas, catalog_of, cluster, break_it)


async def test_a_node_that_does_not_answer_is_left_for_its_replica(
    replicas: Any, catalog_of: Any, cluster: Cluster
) -> None:
    owner = await cluster.owner()
    node = cluster.nodes[owner]
    # The name leads to it first, and it accepts connections.
    cluster.resolve = resolving(owner, *cluster.addresses)

    async def break_it() -> None:
        node.process.send_signal(STOP)

    await survive(replicas, catalog_of, cluster, break_it)
    node.process.send_signal(CONTINUE)


async def test_a_slot_that_moves_is_followed(cluster: Cluster) -> None:
    source = await cluster.owner()
    owners = {await cluster.owner(slot) for slot in range(0, 16384, 1000)}
    target, third = sorted(owners - {source})
    # The name leads to neither of them.
    cluster.resolve = resolving(third)
    connection = connect(cluster)
    buckets, bucket = RedisBuckets(connection, "test:"), Bucket(2, HOUR)
    assert (await buckets.take([charge(bucket)])).scope is None
    ids = await cluster.identifier(source), await cluster.identifier(target)
    async with cluster.client(source) as old, cluster.client(target) as new:
        await new.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", ids[0])
        await old.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", ids[1])
        # What is not there is asked of the node that takes over.
        assert (await buckets.take([charge(bucket, "new")])).scope is None
        assert len(await new.keys("*")) == 1
        # What is there is still there.
        assert (await buckets.take([charge(bucket)])).scope is None
        (key,) = await old.keys("*")
        await old.execute_command("MIGRATE", target, cluster.port, key, 0, 1000)
        for client in (new, old):
            await client.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", ids[1])
        assert (await buckets.take([charge(bucket)])).scope == "server"
        assert (await buckets.take([charge(bucket, "new")])).scope is None
        assert (await buckets.take([charge(bucket, "new")])).scope == "server"
    # What was learnt is remembered.
    before = await cluster.redirections()
    assert before > 0
    await buckets.take([charge(bucket)])
    assert await cluster.redirections() == before
    await connection.close()


async def test_a_node_of_a_cluster_is_no_standalone_server(cluster: Cluster) -> None:
    owner = await cluster.owner()
    other = next(address for address in cluster.addresses if address != owner)
    options = Options(other, cluster.port, allow_loopback=True)
    connection = Redis(options, monotonic=time.monotonic, jitter=lambda: 0.0)
    with pytest.raises(StoreUnavailableError, match=r"MovedError: .* \(the server belongs to a Redis Cluster\)"):
        await RedisBuckets(connection, "test:").take([charge(Bucket(1, HOUR))])
    await connection.close()


@pytest.fixture
async def misleading() -> AsyncIterator[tuple[int, list[str]]]:
    """The port of a node that sends every script on to itself at another address, and the addresses that were asked."""
    asked: list[str] = []
    numbers = iter(range(2, 250))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"EVAL"):
                asked.append(writer.get_extra_info("sockname")[0])
                writer.write(b"-MOVED 1 127.0.0.%d:%d\r\n" % (next(numbers), port))
            elif line.startswith((b"CLIENT", b"HELLO", b"PING")):
                writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    yield port, asked
    server.close()


async def test_redirections_and_connections_have_a_limit(
    misleading: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_NODES", 4)
    options = Options("127.0.0.1", misleading[0], is_cluster=True, allow_loopback=True)
    connection = Redis(options, monotonic=time.monotonic, jitter=lambda: 0.0)
    with pytest.raises(StoreUnavailableError, match="MovedError"):
        await RedisBuckets(connection, "test:").take([charge(Bucket(1, HOUR))])
    assert misleading[1] == [f"127.0.0.{number}" for number in range(1, 7)]
    assert len(connection._pipelines) == 4
    await connection.close()


async def refused(servers: Any, *, resolve: Resolve | None = None, **more: Any) -> str:
    """Why there is no connection with these options."""
    options = replace(servers.options(), **more)
    connection = Redis(
        options, monotonic=time.monotonic, jitter=lambda: 0.0, resolve=resolve or servers.resolve, timeout=10.0
    )
    with pytest.raises(StoreUnavailableError) as caught:
        await works(connection)
    await connection.close()
    return str(caught.value)


async def test_sentinels_and_their_servers_speak_tls(replicas: Any, catalog_of: Any, tmp_path: Path) -> None:
    packages.ensure(packages.REDIS)
    watched = Watched(tmp_path, secured=Secured(tmp_path / "secured", "redis", "service"))

    async def break_it() -> None:
        watched.master.kill()

    try:
        await watched.ready()
        connection = connect(watched, timeout=10.0)
        assert await works(connection)
        await connection.close()
        assert "certificate verify failed" in await refused(watched, ca_file=None)
        assert "no Sentinel names" in await refused(watched, tls=False)
        # The certificate of a server is that of the host, wherever the Sentinels say that it is.
        assert "certificate is not valid for 'other'" in await refused(watched, host="other")
        sentinels = Sentinels("127.0.0.1", "main", watched.port)
        assert "certificate is not valid for '127.0.0.1'" in await refused(watched, sentinels=sentinels)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "password").write_text("wrong")
        assert "invalid username-password pair" in await refused(watched, credentials=tmp_path / "other")
        await survive(replicas, catalog_of, watched, break_it)
    finally:
        watched.kill()


async def test_the_nodes_of_a_cluster_speak_tls(replicas: Any, catalog_of: Any, tmp_path: Path) -> None:
    packages.ensure(packages.REDIS)
    cluster = Cluster(tmp_path, Secured(tmp_path / "secured", "service"))

    async def break_it() -> None:
        cluster.nodes[await cluster.owner()].kill()

    try:
        await cluster.ready()
        # Two of the three know the slot only by its owner, which they name by its address.
        owners = {await cluster.owner(slot) for slot in range(0, 16384, 1000)}
        for address in owners:
            cluster.resolve = resolving(address)
            connection = connect(cluster, timeout=10.0)
            assert await works(connection)
            await connection.close()
        assert await cluster.redirections() > 0
        cluster.resolve = resolving(*cluster.addresses)
        assert "certificate verify failed" in await refused(cluster, ca_file=None)
        assert "certificate is not valid for 'other'" in await refused(
            cluster, host="other", resolve=lambda *_: cluster.resolve("service", 0)
        )
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "password").write_text("wrong")
        assert "invalid username-password pair" in await refused(cluster, credentials=tmp_path / "other")
        await survive(replicas, catalog_of, cluster, break_it)
    finally:
        cluster.kill()
