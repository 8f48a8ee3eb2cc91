"""Names are looked up once at a time, remembered for as long as DNS says, and wait for nobody else."""

from __future__ import annotations

import asyncio

import pytest

from runtime.http import resolver as module
from runtime.http.resolver import Resolver, look_up


class Names:
    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[str] = []
        self.ttl = 5.0
        self.slow: dict[str, asyncio.Event] = {}
        self.known = {"a.": ("10.0.0.1", "fd00::1")}

    async def look_up(self, host: str) -> tuple[tuple[str, ...], float]:
        self.asked.append(host)
        if host in self.slow:
            await self.slow[host].wait()
        if host not in self.known:
            raise OSError("no such name")
        return self.known[host], self.ttl

    def resolver(self) -> Resolver:
        return Resolver(self.look_up, lambda: self.now)


@pytest.mark.parametrize(("ttl", "seconds"), [(5.0, 5.0), (0.0, module.MIN_TTL), (86_400.0, module.MAX_TTL)])
async def test_addresses_are_remembered_within_bounds(ttl: float, seconds: float) -> None:
    names = Names()
    names.ttl = ttl
    resolver = names.resolver()

    assert await resolver.resolve("a.") == ("10.0.0.1", "fd00::1")
    names.now += seconds - 0.01
    await resolver.resolve("a.")
    assert names.asked == ["a."]
    names.now += 0.02
    await resolver.resolve("a.")
    assert names.asked == ["a.", "a."]


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("::1", "::1")])
async def test_an_address_is_not_looked_up(host: str, address: str) -> None:
    names = Names()
    resolver = names.resolver()

    found = await resolver.resolve(host)
    names.now += module.MAX_TTL + 1.0
    assert found == (address,)
    assert await resolver.resolve(host) is found
    assert names.asked == []


async def test_who_asks_meanwhile_waits_for_the_same_answer_and_may_give_up() -> None:
    names = Names()
    names.slow["a."] = asyncio.Event()
    resolver = names.resolver()

    first, second = (asyncio.create_task(resolver.resolve("a.")) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    names.slow["a."].set()

    assert await second == ("10.0.0.1", "fd00::1")
    assert names.asked == ["a."]


async def test_slow_names_delay_no_other() -> None:
    names = Names()
    names.slow = {f"slow-{number}.": asyncio.Event() for number in range(50)}
    resolver = names.resolver()
    waiting = [asyncio.create_task(resolver.resolve(host)) for host in names.slow]
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        assert await resolver.resolve("a.") == ("10.0.0.1", "fd00::1")

    await resolver.close()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError)


async def test_a_failed_look_up_is_made_again() -> None:
    names = Names()
    resolver = names.resolver()
    with pytest.raises(OSError, match="no such name"):
        await resolver.resolve("b.")
    names.known["b."] = ("10.0.0.2",)

    assert await resolver.resolve("b.") == ("10.0.0.2",)


async def test_a_look_up_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKUP_TIMEOUT", 0.01)
    names = Names()
    names.slow["a."] = asyncio.Event()

    with pytest.raises(OSError, match="no answer of DNS"):
        await names.resolver().resolve("a.")


async def test_the_names_that_are_remembered_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 2)
    names = Names()
    names.known = {f"{number}.": (f"10.0.0.{number}",) for number in range(4)}
    resolver = names.resolver()
    for host in names.known:
        await resolver.resolve(host)

    assert list(resolver._known) == ["2.", "3."]


async def test_the_local_host_is_found_without_dns() -> None:
    addresses, ttl = await look_up()("localhost")

    assert "127.0.0.1" in addresses
    assert ttl >= 0.0


async def test_what_dns_does_not_know_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r".+"):
        await look_up()("a..b")
