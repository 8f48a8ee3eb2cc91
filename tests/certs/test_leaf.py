"""The certificate in use changes while it is in use; no connection fails for that."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, TCPConnector, web
from cryptography import x509

from certs import issuance, leaf, secret, tls
from certs import keeper as keeper_module
from certs.authority import Authority, Pair
from certs.paths import NO_KEYS, PathKeys
from certs.tls import HotContext
from cluster.transport import ApiError
from scripts.localcluster.certificates import Authority as Clients

NOW = datetime.now(UTC)  # noqa: TID251 -- TLS judges by the clock of the machine
ONE, TWO = issuance.authority("one", NOW), issuance.authority("two", NOW)


class Secrets:
    def __init__(self) -> None:
        self.held: Authority | None = None
        self.keys = NO_KEYS
        self.broken = False

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/ns/secrets/ca"
        if self.broken:
            raise ApiError(500, "InternalError", "no")
        if self.held is None:
            raise ApiError(404, "NotFound", "no")
        return secret.manifest("ns", "ca", self.held, keys=self.keys)


class Clock:
    """A wall clock to set; of a sleep only the length is kept."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def keeper(api: Secrets, clock: Clock | None = None, client_ca: Path | None = None) -> leaf.SigningKeeper:
    clock = clock or Clock()
    return leaf.SigningKeeper(
        api,  # type: ignore[arg-type]
        namespace="ns",
        name="ca",
        hosts=["localhost"],
        now=lambda: clock.now,
        client_ca=client_ca,
        sleep=clock.sleep,
    )


async def serial(port: int, ca: Pair) -> int:
    """The serial number of the certificate that is served, which this CA must have signed."""
    context = ssl.create_default_context(cadata=ca.certificate.decode())
    _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    presented = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(presented).serial_number


async def trusted(port: int, ca: Pair) -> bool:
    context = ssl.create_default_context(cadata=ca.certificate.decode())
    async with ClientSession(connector=TCPConnector(ssl=context)) as session:
        try:
            async with session.get(f"https://localhost:{port}/") as answer:
                return answer.status == 200
        except ClientConnectorError:
            return False


async def served(context: HotContext) -> tuple[web.AppRunner, int]:
    async def ok(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", ok)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=context.outer).start()
    return runner, int(runner.addresses[0][1])


async def test_it_waits_for_a_ca_and_signs_with_it() -> None:
    api, clock = Secrets(), Clock()
    keeping = keeper(api, clock)
    waiting = asyncio.create_task(keeping.first())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert set(clock.slept) == {keeper_module.FIRST_INTERVAL}

    api.held = Authority(ONE)

    runner, port = await served((await waiting)[0])
    assert await trusted(port, ONE)
    await runner.cleanup()


async def test_before_there_is_a_secret_no_path_is_accepted_and_without_it_the_last_keys_are() -> None:
    """A webhook that starts first must not answer under paths that an older version registered."""
    api, clock = Secrets(), Clock()
    keeping = keeper(api, clock)
    await keeping.renew()
    assert not keeping.keys.accepts("")

    api.held, api.keys = Authority(ONE), PathKeys("a" * 32)
    await keeping.renew()
    assert (keeping.keys.accepts("a" * 32), keeping.keys.accepts("")) == (True, False)
    api.held = None
    clock.now += timedelta(hours=1)
    await keeping.renew()
    assert (keeping.keys.accepts("a" * 32), keeping.keys.accepts("")) == (True, False)


async def test_a_missing_ca_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    api = Secrets()
    keeping = keeper(api)
    for _ in range(3):
        await keeping.renew()
    assert [record.getMessage() for record in caplog.records] == [
        "Secret ns/ca holds no CA that can sign: waiting for one"
    ]

    api.held = Authority(ONE)
    await keeping.renew()
    api.held = None
    await keeping.renew()
    assert caplog.records[-1].getMessage() == "Secret ns/ca holds no CA that can sign: the certificate in use stays"


async def test_a_new_ca_is_taken_up_and_trouble_changes_nothing() -> None:
    api = Secrets()
    api.held = Authority(ONE)
    keeping = keeper(api)
    runner, port = await served((await keeping.first())[0])
    assert await trusted(port, ONE)

    api.broken = True
    await keeping.renew()
    assert await trusted(port, ONE)
    api.broken, api.held = False, Authority(Pair(TWO.certificate, ONE.key))
    await keeping.renew()
    assert await trusted(port, ONE)
    api.held = Authority(TWO, None, (ONE.certificate,))
    await keeping.renew()
    assert await trusted(port, TWO)
    assert not await trusted(port, ONE)
    await runner.cleanup()


async def test_a_leaf_is_signed_anew_at_half_its_life_and_not_before() -> None:
    api, clock = Secrets(), Clock()
    ca = issuance.authority("older", NOW - timedelta(days=9))
    api.held = Authority(ca)
    keeping = keeper(api, clock)
    clock.now = NOW - timedelta(days=4)
    runner, port = await served((await keeping.first())[0])
    first = await serial(port, ca)

    clock.now = NOW - timedelta(days=1)
    await keeping.renew()
    assert await serial(port, ca) == first
    clock.now = NOW
    await keeping.renew()
    assert await serial(port, ca) != first
    await runner.cleanup()


async def test_it_goes_on_renewing() -> None:
    api, clock = Secrets(), Clock()
    early = issuance.authority("early", NOW - issuance.LEAF_LIFETIME)
    api.held = Authority(early)
    clock.now = NOW - issuance.LEAF_LIFETIME * 0.6
    keeping = keeper(api, clock)
    serving, _ = await keeping.first()
    runner, port = await served(serving)
    first = await serial(port, early)
    clock.now = NOW
    looked = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if clock.slept:
            looked.set()
            await asyncio.get_running_loop().create_future()
        clock.slept.append(seconds)

    keeping._sleep = sleep
    task = asyncio.create_task(keeping.run())
    await looked.wait()
    second = await serial(port, early)
    task.cancel()
    await runner.cleanup()

    assert second != first
    assert set(clock.slept) == {keeper_module.INTERVAL}
    assert keeper_module.INTERVAL <= 60


async def test_the_next_ca_signs_what_is_served_for_its_proof_and_nothing_else() -> None:
    api = Secrets()
    api.held = Authority(ONE)
    keeping = keeper(api)
    serving, proving = await keeping.first()
    runner, port = await served(serving)
    prover, next_port = await served(proving)
    assert await trusted(next_port, ONE)

    api.held = Authority(ONE, TWO)
    await keeping.renew()

    assert (await trusted(port, ONE), await trusted(port, TWO)) == (True, False)
    assert (await trusted(next_port, ONE), await trusted(next_port, TWO)) == (False, True)
    await runner.cleanup()
    await prover.cleanup()


async def test_while_no_ca_can_sign_what_is_served_stays_and_a_new_replica_uses_the_next_ca() -> None:
    api = Secrets()
    api.held = Authority(ONE)
    keeping = keeper(api)
    runner, port = await served((await keeping.first())[0])

    api.held = Authority(None, TWO, (ONE.certificate,))
    await keeping.renew()
    other, other_port = await served((await keeper(api).first())[0])

    assert await trusted(port, ONE)
    assert await trusted(other_port, TWO)
    await runner.cleanup()
    await other.cleanup()


async def test_while_no_ca_can_sign_the_next_one_signs_what_is_due() -> None:
    api, clock = Secrets(), Clock()
    early = issuance.authority("early", NOW - issuance.LEAF_LIFETIME)
    clock.now = NOW - issuance.LEAF_LIFETIME * 0.6
    api.held = Authority(early)
    keeping = keeper(api, clock)
    runner, port = await served((await keeping.first())[0])
    api.held = Authority(None, TWO, (early.certificate,))

    clock.now = NOW
    await keeping.renew()

    assert await trusted(port, TWO)
    await runner.cleanup()


def test_a_pair_that_does_not_fit_is_refused_and_the_old_one_stays() -> None:
    good, other = issuance.leaf(ONE, ["localhost"], NOW), issuance.leaf(ONE, ["localhost"], NOW)
    context = HotContext(good)

    with pytest.raises(ssl.SSLError):
        context.swap(Pair(good.certificate, other.key))


async def answer(port: int, client: tuple[Path, Path] | None) -> bytes:
    """What a client with this certificate gets; empty if the connection ends before an answer."""
    context = ssl.create_default_context(cadata=ONE.certificate.decode())
    if client is not None:
        context.load_cert_chain(*client)
    try:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        found = (await reader.read())[:15]
        writer.close()
    except (ssl.SSLError, ConnectionError):
        return b""
    return found


OK = b"HTTP/1.1 200 OK"


async def test_only_clients_with_a_certificate_of_their_ca_get_an_answer(tmp_path: Path) -> None:
    api, ours, others = Secrets(), Clients(tmp_path / "ours"), Clients(tmp_path / "others")
    api.held = Authority(ONE, TWO)
    keeping = keeper(api, client_ca=ours.ca_file)
    for context in await keeping.first():
        runner, port = await served(context)
        if context is keeping.next_context:
            context.swap(issuance.leaf(ONE, ["localhost"], NOW), ours.ca_file.read_bytes())

        assert await answer(port, ours.issue("client", "kube-apiserver")) == OK
        assert await answer(port, None) == b""
        assert await answer(port, others.issue("client", "kube-apiserver")) == b""
        await runner.cleanup()


async def test_the_ca_of_clients_is_read_again_and_trouble_changes_nothing(tmp_path: Path) -> None:
    api, one, two = Secrets(), Clients(tmp_path / "one"), Clients(tmp_path / "two")
    api.held = Authority(ONE)
    file = tmp_path / "clients.crt"
    file.write_bytes(one.ca_file.read_bytes())
    keeping = keeper(api, client_ca=file)
    runner, port = await served((await keeping.first())[0])
    pairs = [each.issue("client", "kube-apiserver") for each in (one, two)]

    file.write_bytes(two.ca_file.read_bytes())
    await keeping.renew()
    assert [await answer(port, pair) for pair in pairs] == [b"", OK]
    for damage in (lambda: file.write_bytes(b"nonsense"), file.unlink):
        damage()
        await keeping.renew()
        assert [await answer(port, pair) for pair in pairs] == [b"", OK]
    file.write_bytes("# Autorité de l'équipe\n".encode() + one.ca_file.read_bytes() + two.ca_file.read_bytes())
    await keeping.renew()
    assert [await answer(port, pair) for pair in pairs] == [OK, OK]
    await runner.cleanup()


async def test_without_the_ca_of_clients_nothing_is_served(tmp_path: Path) -> None:
    api, file = Secrets(), tmp_path / "clients.crt"
    api.held = Authority(ONE)
    keeping = keeper(api, client_ca=file)
    for content in (None, b"", b"nonsense"):
        if content is not None:
            file.write_bytes(content)
        await keeping.renew()
        assert keeping.context is None

    file.write_bytes(Clients(tmp_path / "one").ca_file.read_bytes())
    await keeping.renew()
    assert keeping.context is not None


async def test_no_session_is_resumed_because_that_would_verify_nobody(tmp_path: Path) -> None:
    api, clients = Secrets(), Clients(tmp_path / "clients")
    api.held = Authority(ONE)
    runner, port = await served((await keeper(api, client_ca=clients.ca_file).first())[0])
    context = ssl.create_default_context(cadata=ONE.certificate.decode())
    context.load_cert_chain(*clients.issue("client", "kube-apiserver"))

    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    await reader.read()
    connection = writer.get_extra_info("ssl_object")
    assert connection.version() == "TLSv1.3"
    assert connection.session is None or not connection.session.has_ticket
    writer.close()
    await runner.cleanup()


def test_the_names_of_a_certificate() -> None:
    subject = ((("organizationName", "system:masters"),), (("commonName", "kube-apiserver"),))
    found = {"subject": subject, "subjectAltName": (("DNS", "api.example.com"), ("IP Address", "10.0.0.1"))}

    assert tls.names(found) == {"kube-apiserver", "api.example.com"}
    assert tls.names(None) == tls.names({}) == frozenset()


def test_the_service_is_known_by_all_its_names() -> None:
    assert leaf.names("hook", "ns", ["10.0.0.1"]) == (
        "hook.ns.svc", "hook.ns.svc.cluster.local", "hook.ns", "hook", "10.0.0.1",
    )  # fmt: skip
