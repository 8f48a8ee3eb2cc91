"""Informers of several namespaces behave like one."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster import resources
from cluster.clock import Clock
from cluster.informers.informer import Informer
from cluster.informers.scope import NamespaceInformers, make_informer
from tests.controller.fake_api import FakeApi


def service(namespace: str, name: str, version: str = "1") -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "resourceVersion": version}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}}


def scoped(*namespaces: str, api: FakeApi | None = None) -> NamespaceInformers[str]:
    made = make_informer(
        api or FakeApi(),
        resources.SERVICES,
        lambda raw: str(raw["metadata"]["name"]),
        clock=Clock(lambda: 0.0, asyncio.sleep, lambda: 0.5),
        namespaces=namespaces,
        indexers={"first": lambda name: name[:1]},
    )
    assert isinstance(made, NamespaceInformers)
    return made


def test_without_namespaces_it_is_one_informer_of_the_cluster() -> None:
    clock = Clock(lambda: 0.0, asyncio.sleep, lambda: 0.5)
    made = make_informer(FakeApi(), resources.SERVICES, lambda raw: raw, clock=clock)

    assert isinstance(made, Informer)
    assert made._path == "/api/v1/services"
    assert made.covers("shop")


def test_each_namespace_is_listed_on_its_own() -> None:
    made = scoped("bank", "shop")

    assert [each._path for each in made._by_namespace.values()] == [
        "/api/v1/namespaces/bank/services", "/api/v1/namespaces/shop/services",
    ]  # fmt: skip


def test_what_is_found_is_in_one_of_the_namespaces() -> None:
    made = scoped("bank", "shop")
    seen: list[Any] = []
    made.on_change(lambda key, _old, new: seen.append((key, new)))

    assert made.offer_read(("shop", "a"), service("shop", "a"), made.sequence())
    assert made.offer_read(("bank", "ab"), service("bank", "ab", "7"), made.sequence())
    assert not made.offer_read(("free", "c"), service("free", "c"), made.sequence())
    assert seen == [(("shop", "a"), "a"), (("bank", "ab"), "ab")]
    assert (made.get("shop", "a"), made.get("bank", "a"), made.get("free", "c")) == ("a", None, None)
    assert sorted(made.by("first", "a")) == ["a", "ab"]
    assert (made.has("first", "a"), made.has("first", "b")) == (True, False)
    assert dict(made.items()) == {("bank", "ab"): "ab", ("shop", "a"): "a"}
    assert len(made) == 2
    assert (made.changed_at("bank", "ab"), made.changed_at("free", "c")) == (7, None)


def test_a_read_that_a_change_in_its_namespace_has_overtaken_does_not_count() -> None:
    """Tokens are valid across the namespaces, however much happened in each of them."""
    made = scoped("bank", "shop")
    for number in range(50):
        made.offer_read(("bank", "busy"), service("bank", "busy", str(number + 1)), made.sequence())
    token = made.sequence()
    assert made.offer_read(("shop", "a"), service("shop", "a"), made.sequence())

    assert not made.offer_read(("shop", "a"), None, token)
    assert made.get("shop", "a") == "a"
    assert made.offer_read(("shop", "a"), None, made.sequence())
    assert made.get("shop", "a") is None
    made._by_namespace["shop"]._store.put(("shop", "b"), 8, "b")
    made._by_namespace["shop"]._store.drop(("shop", "b"), 9)
    assert made.changed_at("shop", "b") == 9


async def test_it_is_synced_when_every_namespace_is() -> None:
    api = FakeApi()
    api.put(service("shop", "a"))
    made = scoped("bank", "shop", api=api)
    assert made.reached is None
    assert made.unready() == "services not listed yet"
    assert made.is_listing("shop")
    assert made.is_listing("free")
    assert (made.covers("shop"), made.covers("free")) == (True, False)

    task = asyncio.create_task(made.run())
    async with asyncio.timeout(10):
        await made.synced.wait()
    assert made.synced.is_set()
    assert made.unready() is None
    assert made.reached is not None
    assert not made.is_listing("shop")
    assert made.silent_for() == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_holds_for_all_namespaces_is_that_of_the_last_one() -> None:
    made = scoped("bank", "shop")
    bank, shop = made._by_namespace.values()

    assert made.reached is None
    bank._version = "7"
    assert made.reached is None
    shop._version = "5"
    assert made.reached == 5
    bank._version = "4"
    assert made.reached == 4
    assert (made.covers("bank"), made.covers("free")) == (True, False)
    shop._version = None
    assert [made.is_listing(each) for each in ("bank", "shop", "free")] == [False, True, True]
    assert made.offer_read(("shop", "a"), service("shop", "a", "3"), made.sequence())
    assert made.offer_read(("bank", "b"), service("bank", "b", "4"), made.sequence())
    assert (made.changed_at("shop", "a"), made.changed_at("bank", "a"), made.changed_at("free", "a")) == (3, None, None)
    assert len(made) == 2
    assert dict(made.items()) == {("shop", "a"): "a", ("bank", "b"): "b"}
    bank._heard, shop._heard = -3.0, -5.0
    assert made.silent_for() == 5.0
    assert made.unready() == "services not listed yet"
    bank.synced.set()
    assert not made.synced.is_set()
    shop.synced.set()
    assert (made.synced.is_set(), made.unready()) == (True, None)
    bank._fault = "a bug"
    assert made.unready() == "watching services failed: a bug"
