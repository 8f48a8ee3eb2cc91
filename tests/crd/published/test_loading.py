"""A catalog that is read in steps is the catalog, and shares with the one before what did not change."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import orjson
import pytest

from crd.published import catalogs, chunks, loading
from crd.published.catalogs import Catalog, InvalidCatalogError
from crd.published.entries import Backend, Message, Prompt, Tool
from crd.steps import finish

CATALOG = Catalog(
    "shop/main",
    tools=tuple(Tool(f"t{n:03d}", f"shop/t{n}", "GET", Backend("a.b.svc", 80, "/"), {"n": n}) for n in range(200)),
    prompts=(Prompt("p", "shop/p", (Message("user", "a\nb"),)),),
)


def published(catalog: Catalog) -> list[bytes]:
    """The lines of a catalog as the controller writes them."""
    lines: list[bytes] = []
    line = orjson.dumps({"format": 2, "server": catalog.server})[:-1]
    for name in ("tools", "prompts"):
        entries = {each.name: orjson.dumps(catalogs.lean(each)) for each in getattr(catalog, name)}
        for index, chunk in enumerate(chunks.edit((), (), entries)):
            lines += [line + (b"," if index else b',"%s":[' % name.encode()), chunk.line()[:-1]]
            line = b""
        line = b"]"
    return [*lines, line + b',"prefix":null}']


def load(lines: list[bytes], before: loading.Loaded | None = None) -> loading.Loaded:
    return finish(loading.load(lines, before))


@pytest.mark.parametrize("lines", [published(CATALOG), [catalogs.dump(CATALOG)]])
def test_both_layouts_are_read(lines: list[bytes]) -> None:
    loaded = load(lines)

    assert loaded.catalog == CATALOG == catalogs.load(b"\n".join(lines))
    assert loaded.digest == catalogs.digest(b"\n".join(lines))


def test_a_file_that_somebody_wrote_in_any_layout_is_read() -> None:
    pretty = orjson.dumps(orjson.loads(catalogs.dump(CATALOG)), option=orjson.OPT_INDENT_2)

    assert load(pretty.split(b"\n")).catalog == CATALOG


def test_entries_of_unchanged_lines_are_the_same_objects() -> None:
    before = load(published(CATALOG))
    changed = replace(CATALOG, tools=(replace(CATALOG.tools[0], title="x"), *CATALOG.tools[1:]))

    after = load(published(changed), before)

    assert after.catalog == changed
    same = [old is new for old, new in zip(before.catalog.tools, after.catalog.tools, strict=True)]
    assert not same[0]
    assert same[-1]
    assert sum(same) > 100


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("line", [b"{", b'{"x": 1}', b"7", b""])
def test_a_broken_line_is_an_invalid_catalog(number: int, line: bytes) -> None:
    lines = published(CATALOG)
    lines[number] = line

    with pytest.raises(InvalidCatalogError):
        load(lines)


def test_a_catalog_pauses_often() -> None:
    lines, steps = published(CATALOG), 0
    for _ in loading.load(lines):
        steps += 1

    assert steps >= 2 * (len(lines) // 2)


def test_a_gzip_of_many_members_is_inflated_in_parts() -> None:
    text = b"a" * 100_000 + b"\nb\n\n" + b"c" * 10
    packed = gzip.compress(text[:50_000]) + gzip.compress(text[50_000:100_002]) + gzip.compress(text[100_002:])

    assert finish(loading.inflate(packed)) == text.split(b"\n")
    assert catalogs.unpack({}, {catalogs.GZIP_FILE: packed}) == text
    for broken in (packed[:-3], packed[:-9] + b"x" * 9, packed + b"x"):
        with pytest.raises((InvalidCatalogError, OSError), match="does not decompress"):
            catalogs.unpack({}, {catalogs.GZIP_FILE: broken})


def test_a_gzip_is_inflated_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "INFLATED_LIMIT", 1000)
    for parts in ([b"x" * 1001], [b"x" * 600, b"x" * 401]):
        packed: Any = b"".join(map(gzip.compress, parts))
        with pytest.raises(InvalidCatalogError, match="more than 1000 bytes"):
            catalogs.unpack({}, {catalogs.GZIP_FILE: packed})
