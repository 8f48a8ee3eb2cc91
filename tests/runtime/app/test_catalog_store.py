"""Which catalogs a pod loads, when somebody else can write its ConfigMap."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crd.published import catalogs, signature
from crd.published.catalogs import Catalog
from runtime.app.catalog_store import CatalogStore, Trust

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
