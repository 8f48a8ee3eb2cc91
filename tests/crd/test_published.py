"""The catalog of the pods: what is written is read, and nothing else is."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from crd import published
from crd.published import (
    Backend,
    Catalog,
    InlineResource,
    InvalidCatalogError,
    Operation,
    Parameter,
    Prompt,
    Settings,
    Tool,
    Variable,
)

BACKEND = Backend("orders.shop.svc", 80, "/a")
FULL = Catalog(
    server="shop/main",
    settings=Settings(hosts=("a.example.com",), sessions="Redis", session_ttl=60.0),
    tools=(Tool("t", "shop/t", "POST", BACKEND, {"type": "object", "b": 1, "a": [None]}, "d", "/t"),),
    prompts=(Prompt("p", "shop/p", "{{v}}", variables=(Variable("v", "d", False, ""), Variable("w", required=True))),),
    resources=(InlineResource("urn:a", "r", "shop/r", text="a"), InlineResource("urn:b", "r", "shop/r", blob="YQ==")),
    operations=(
        Operation("o", "shop/o", "GET", "/o/{a}", BACKEND, "shop://o/{a}", parameters=(Parameter("a", "path", True),)),
    ),
)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(published.dump(FULL))
    return loaded


@pytest.mark.parametrize("catalog", [FULL, Catalog(server="shop/empty")])
def test_what_is_written_is_read(catalog: Catalog) -> None:
    assert published.load(published.dump(catalog)) == catalog


def test_members_of_an_input_schema_keep_their_order() -> None:
    (tool,) = published.load(published.dump(FULL)).tools
    assert list(tool.input_schema) == ["type", "b", "a"]


def test_what_a_later_version_adds_is_ignored() -> None:
    raw = document()
    raw["later"] = 1
    raw["tools"][0]["later"] = {"a": 1}
    raw["tools"][0]["backend"]["later"] = 2
    assert published.load(orjson.dumps(raw)) == FULL


def broken(**members: Any) -> bytes:
    return orjson.dumps({**document(), **members})


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(b"", "not a catalog: JSONDecodeError", id="nothing"),
        pytest.param(b"[]", "not a catalog: TypeError", id="a list"),
        pytest.param(b"{}", "not a catalog: KeyError: 'format'", id="an empty object"),
        pytest.param(broken(format=2), "format is 2, this version reads 1", id="another format"),
        pytest.param(broken(tools=[{}]), "not a catalog: KeyError: 'backend'", id="a tool without a backend"),
        pytest.param(broken(prompts=[{"variables": []}]), "not a catalog: TypeError", id="a prompt without a name"),
        pytest.param(broken(settings={"hosts": None}), "not a catalog: TypeError", id="settings without hosts"),
        pytest.param(broken(resources=["a"]), "not a catalog: TypeError", id="text for a resource"),
    ],
)
def test_anything_else_is_no_catalog(payload: bytes, message: str) -> None:
    with pytest.raises(InvalidCatalogError, match=message):
        published.load(payload)


def test_the_digest_is_of_the_bytes() -> None:
    assert published.digest(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("data", "binary"),
    [
        pytest.param({"catalog.json": "{ü}"}, {}, id="text"),
        pytest.param({}, {"catalog.json.gz": gzip.compress("{ü}".encode())}, id="gzipped"),
        pytest.param({"catalog.json": "{ü}"}, {"catalog.json.gz": b"x"}, id="text before gzipped"),
    ],
)
def test_the_bytes_in_a_config_map(data: dict[str, str], binary: dict[str, bytes]) -> None:
    assert published.unpack(data, binary) == "{ü}".encode()


@pytest.mark.parametrize(
    ("binary", "message"),
    [
        pytest.param({}, "neither catalog.json nor catalog.json.gz is there", id="neither"),
        pytest.param({"catalog.json.gz": b"x"}, "does not decompress", id="no gzip"),
        pytest.param({"catalog.json.gz": gzip.compress(b"abc")[:-9]}, "does not decompress", id="cut short"),
        pytest.param({"catalog.json.gz": gzip.compress(b"")[:10] + b"\xff" * 9}, "does not decompress", id="garbled"),
    ],
)
def test_a_config_map_without_a_catalog(binary: dict[str, bytes], message: str) -> None:
    with pytest.raises(InvalidCatalogError, match=message):
        published.unpack({"other": "x"}, binary)
