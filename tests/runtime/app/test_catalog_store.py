"""Which catalogs a pod loads, when somebody else can write its ConfigMap."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crd.published import catalogs, signature
from crd.published.catalogs import Catalog
from runtime import pace
from runtime.app.catalog_store import CatalogStore, Trust
from runtime.app.compiled import CompiledCatalog

UID = "0d9c0f6e-6d42-4a5c-9d5b-1f3f6f6e0001"
ROOT = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
WORKING = Ed25519PrivateKey.from_private_bytes(b"w" * 32)


class Pod:
    """A store that trusts `ROOT`, and what it did."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.rejected: list[str] = []
        self.store = CatalogStore(
            lambda compiled: self.served.append(compiled.catalog.server),
            trust=Trust(ROOT.public_key(), UID),
            on_rejection=self.rejected.append,
        )


def config_map(
    server: str,
    version: int,
    *,
    uid: str = UID,
    packed: bool = False,
    generation: int = 1,
    content: bytes | None = None,
) -> dict[str, Any]:
    payload = catalogs.dump(Catalog(server)) if content is None else content
    name = catalogs.GZIP_FILE if packed else catalogs.FILE
    stored = gzip.compress(payload, mtime=0) if packed and content is None else payload
    certificate = signature.certify(ROOT, WORKING.public_key(), 1)
    envelope = signature.sign(WORKING, certificate, server_uid=uid, version=version, name=name, content=stored)
    data = {signature.FILE: envelope}
    if packed:
        return {"data": data, "binaryData": {name: base64.b64encode(stored).decode()}}
    return {"data": {**data, name: stored.decode()}}


@pytest.mark.parametrize("packed", [False, True])
def test_signed_catalogs_are_served_as_their_version_grows(packed: bool) -> None:
    pod = Pod()

    pod.store.put(config_map("shop/a", 1, packed=packed))
    pod.store.put(config_map("shop/b", 2, packed=packed))
    pod.store.put(config_map("shop/b", 2, packed=packed))

    assert (pod.served, pod.rejected, pod.store.error) == (["shop/a", "shop/b"], [], None)


def test_a_pod_that_has_just_started_loads_none_older_than_the_newest_that_was_published() -> None:
    pod = Pod()
    pod.store.require((1, 2))

    pod.store.put(config_map("shop/old", 1))
    assert (pod.served, pod.rejected, pod.store.compiled) == ([], ["old_version"], None)
    assert pod.store.error == "version 1.1 is older than version 1.2, which was published before"

    pod.store.put(config_map("shop/new", 2))
    assert (pod.served, pod.store.error) == (["shop/new"], None)


def test_a_catalog_in_force_is_given_up_when_it_turns_out_to_be_old() -> None:
    pod = Pod()
    pod.store.put(config_map("shop/old", 1))

    pod.store.require((1, 2))
    assert (pod.store.compiled, pod.rejected) == (None, ["old_version"])
    pod.store.put(config_map("shop/old", 1))
    assert pod.store.compiled is None
    pod.store.put(config_map("shop/newer", 3))

    assert pod.served == ["shop/old", "shop/newer"]
    pod.store.require((1, 2))
    assert pod.store.compiled is not None


async def test_a_catalog_that_turns_out_to_be_old_while_it_is_loaded_is_not_served() -> None:
    pod = Pod()
    steps = pod.store._put_steps(config_map("shop/old", 1))
    next(steps)

    pod.store.require((1, 2))
    for _ in steps:
        pass

    assert (pod.served, pod.store.compiled) == ([], None)


def test_an_old_catalog_that_is_put_back_is_refused_and_the_last_good_one_stays() -> None:
    pod = Pod()
    old = config_map("shop/old", 1)
    pod.store.put(old)
    pod.store.put(config_map("shop/new", 2))

    pod.store.put(old)

    assert pod.served == ["shop/old", "shop/new"]
    assert pod.rejected == ["old_version"]
    assert pod.store.compiled is not None
    assert pod.store.compiled.catalog.server == "shop/new"
    assert "older than version 1.2" in str(pod.store.error)


def test_the_version_grows_even_if_the_content_stays() -> None:
    pod = Pod()
    pod.store.put(config_map("shop/a", 1))
    pod.store.put(config_map("shop/a", 5))

    pod.store.put(config_map("shop/b", 4))

    assert (pod.served, pod.rejected) == (["shop/a"], ["old_version"])


def test_the_catalog_of_another_server_is_refused() -> None:
    pod = Pod()

    pod.store.put(config_map("rival/main", 9, uid=UID.replace("1", "2")))

    assert (pod.served, pod.rejected) == ([], ["bad_signature"])


def test_a_catalog_whose_signature_was_removed_is_refused() -> None:
    pod = Pod()
    item = config_map("shop/a", 1)
    del item["data"][signature.FILE]

    pod.store.put(item)

    assert (pod.served, pod.rejected) == ([], ["missing"])


def test_an_unsigned_gzip_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = Pod()
    item = config_map("shop/a", 1, packed=True)
    item["binaryData"][catalogs.GZIP_FILE] = base64.b64encode(gzip.compress(b"\0" * 2**20)).decode()
    monkeypatch.setattr(catalogs, "unpack", lambda *_: pytest.fail("inflated before it was verified"))

    pod.store.put(item)

    assert pod.rejected == ["bad_signature"]


def test_even_a_signed_gzip_is_inflated_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "INFLATED_LIMIT", 1000)
    pod = Pod()

    pod.store.put(config_map("shop/a", 1, packed=True, content=gzip.compress(b"\0" * 2000)))

    assert pod.rejected == ["invalid"]
    assert "more than 1000 bytes" in str(pod.store.error)


@pytest.mark.parametrize(
    "binary",
    ["A" * (2 * 1024 * 1024), "not base64", "é"],
)
def test_binary_data_that_no_config_map_holds_is_refused(binary: str) -> None:
    pod = Pod()

    pod.store.put({"binaryData": {catalogs.GZIP_FILE: binary}})
    pod.store.put({"data": None})

    assert pod.rejected == ["invalid", "invalid"]


def test_a_signed_catalog_that_cannot_be_served_does_not_advance_the_version() -> None:
    pod = Pod()

    pod.store.put(config_map("", 9, content=b'{"format":99}'))
    pod.store.put(config_map("shop/a", 8))

    assert (pod.rejected, pod.served) == (["invalid"], ["shop/a"])


def mount(folder: Path, item: dict[str, Any], revision: str = "..1") -> None:
    """Write a ConfigMap as the kubelet mounts it."""
    (folder / revision).mkdir(parents=True)
    for name, text in item["data"].items():
        (folder / revision / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data").unlink(missing_ok=True)
    (folder / "..data").symlink_to(revision)


def test_the_mounted_catalog_must_be_signed_too(tmp_path: Path) -> None:
    mount(tmp_path / "good", config_map("shop/a", 1))
    bad = config_map("shop/b", 2)
    del bad["data"][signature.FILE]
    mount(tmp_path / "bad", bad)
    pod = Pod()

    pod.store.read(tmp_path / "good")
    pod.store.read(tmp_path / "bad")

    assert (pod.served, pod.rejected) == (["shop/a"], ["missing"])


def test_signature_and_catalog_are_read_of_one_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount(tmp_path, config_map("shop/a", 1))
    is_file = Path.is_file

    def swap(path: Path) -> bool:
        # The kubelet replaces ..data between the two files.
        if path.name == signature.FILE and not (tmp_path / "..2").exists():
            mount(tmp_path, config_map("shop/b", 2), "..2")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", swap)
    pod = Pod()

    pod.store.read(tmp_path)

    assert (pod.served, pod.rejected) == (["shop/a"], [])


def test_a_huge_signature_file_is_not_read_whole(tmp_path: Path) -> None:
    item = config_map("shop/a", 1)
    item["data"][signature.FILE] += " " * 10_000
    mount(tmp_path, item)
    pod = Pod()

    pod.store.read(tmp_path)

    assert pod.rejected == ["malformed"]


def test_without_a_root_key_nothing_is_verified() -> None:
    served: list[str] = []
    store = CatalogStore(lambda compiled: served.append(compiled.catalog.server))

    store.put({"data": {catalogs.FILE: catalogs.dump(Catalog("shop/a")).decode()}})

    assert (served, store.error) == (["shop/a"], None)


def many(catalog_of: Any, number: int, text: str) -> dict[str, Any]:
    tool = catalog_of().tools[0]
    tools = tuple(replace(tool, name=f"t{n}", ingress_path="", description=text) for n in range(number))
    return {"data": {catalogs.FILE: catalogs.dump(catalog_of(tools=tools)).decode()}}


async def test_a_submitted_catalog_is_loaded_in_slices_and_the_newest_one_wins(
    catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SLICE", 0.0)
    swapped: list[str] = []
    store = CatalogStore(lambda compiled: swapped.append(compiled.digest))
    store.put(many(catalog_of, 300, "first"))
    work = asyncio.create_task(store.work())
    store.submit(many(catalog_of, 300, "second"))
    store.submit(many(catalog_of, 300, "third"))
    turns = 0
    async with asyncio.timeout(20):
        while len(swapped) < 2:
            turns += 1
            await asyncio.sleep(0)

    assert store.compiled is not None
    assert store.compiled.tools["t0"].description == "third"
    # The loop was free many times: once a slice at least.
    assert turns > 20
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert gc.isenabled()


async def test_a_broken_catalog_that_is_submitted_leaves_the_last_good_one(catalog_of: Any) -> None:
    reasons: list[str] = []
    store = CatalogStore(on_rejection=reasons.append)
    store.put(many(catalog_of, 1, "good"))
    work = asyncio.create_task(store.work())
    async with asyncio.timeout(10):
        store.submit({"data": {catalogs.FILE: "{"}})
        while not reasons:
            await asyncio.sleep(0)
        assert store.error is not None
        store.submit(many(catalog_of, 1, "better"))
        while store.error is not None:
            await asyncio.sleep(0)

    assert store.compiled is not None
    assert store.compiled.tools["t0"].description == "better"
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_a_replaced_catalog_is_freed_when_its_last_call_is_over(catalog_of: Any) -> None:
    store = CatalogStore()
    store.put(many(catalog_of, 300, "old"))
    used = store.compiled
    assert used is not None
    tool = weakref_of(used)
    work = asyncio.create_task(store.work())
    store.submit(many(catalog_of, 300, "new"))
    async with asyncio.timeout(20):
        while store.compiled is used:
            await asyncio.sleep(0)
        await asyncio.sleep(0.06)
        # A call still has it, whole.
        assert (len(used.tools), tool() is not None, len(store._retiring)) == (300, True, 1)
        del used
        while store._retiring:
            await asyncio.sleep(0.01)

    assert tool() is None
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def weakref_of(compiled: CompiledCatalog) -> weakref.ref[Any]:
    """A reference to something that lives as long as a tool of the catalog."""

    class Marked(dict[str, Any]):
        pass

    marked = Marked()
    compiled.tools["t0"].annotations["marked"] = marked
    return weakref.ref(marked)


def test_a_directory_changes_when_its_catalog_does(tmp_path: Path) -> None:
    assert CatalogStore.seen(tmp_path) is None
    (tmp_path / catalogs.FILE).write_text("{}")
    first = CatalogStore.seen(tmp_path)
    (tmp_path / catalogs.FILE).write_text("{ }")

    assert None not in (first, CatalogStore.seen(tmp_path))
    assert first != CatalogStore.seen(tmp_path)
