"""The certificate in use changes while it is in use; no connection fails for that."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, TCPConnector, web

from certs import issuance, leaf, secret
from certs.authority import Authority, Pair
from certs.tls import HotContext
from cluster.transport import ApiError

NOW = datetime.now(UTC)  # noqa: TID251 -- TLS judges by the clock of the machine
ONE, TWO = issuance.authority("one", NOW), issuance.authority("two", NOW)


class Secrets:
    def __init__(self) -> None:
        self.held: Authority | None = None
        self.broken = False

    async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        if self.broken:
            raise ApiError(500, "InternalError", "no")
        if self.held is None:
            raise ApiError(404, "NotFound", "no")
        return secret.manifest("ns", "ca", self.held)


def keeper(api: Secrets, days: float = 0) -> leaf.Keeper:
    now = NOW + timedelta(days=days)
    return leaf.Keeper(api, namespace="ns", name="ca", hosts=["localhost"], now=lambda: now)  # type: ignore[arg-type]


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
    api = Secrets()
    keeping = keeper(api)
    waiting = asyncio.create_task(keeping.first())
    await asyncio.sleep(0.03)
    assert not waiting.done()

    api.held = Authority(ONE)

    runner, port = await served(await waiting)
    assert await trusted(port, ONE)
    await runner.cleanup()


async def test_a_new_ca_is_taken_up_and_trouble_changes_nothing() -> None:
    api = Secrets()
    api.held = Authority(ONE)
    keeping = keeper(api)
    runner, port = await served(await keeping.first())
    assert await trusted(port, ONE)

    api.broken = True
    await keeping._renew()
    assert await trusted(port, ONE)
    api.broken, api.held = False, Authority(Pair(TWO.certificate, ONE.key))
    await keeping._renew()
    assert await trusted(port, ONE)
    api.held = Authority(TWO, None, ONE.certificate)
    await keeping._renew()
    assert await trusted(port, TWO)
    assert not await trusted(port, ONE)
    await runner.cleanup()


def test_a_pair_that_does_not_fit_is_refused_and_the_old_one_stays() -> None:
    good, other = issuance.leaf(ONE, ["localhost"], NOW), issuance.leaf(ONE, ["localhost"], NOW)
    context = HotContext(good)

    with pytest.raises(ssl.SSLError):
        context.swap(Pair(good.certificate, other.key))


def test_the_service_is_known_by_all_its_names() -> None:
    assert leaf.names("hook", "ns", ["10.0.0.1"]) == (
        "hook.ns.svc", "hook.ns.svc.cluster.local", "hook.ns", "hook", "10.0.0.1",
    )  # fmt: skip
