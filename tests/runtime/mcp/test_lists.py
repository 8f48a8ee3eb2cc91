"""Lists: page by page, in the shape of each era, with cursors that are valid for one catalog only."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from crd.published import catalogs
from crd.published.settings import Info
from runtime.app.compiled import CompiledCatalog
from runtime.mcp import lists, methods
from tests.runtime.raw_http import INITIALIZE, modern, rpc, send

INFO = Info("The shop", "7.1", "Look before you order.", "https://shop.example.com")


def compile_catalog(catalog: Any) -> CompiledCatalog:
    return CompiledCatalog.load(catalogs.dump(catalog))


def page(compiled: CompiledCatalog, method: str, era: bool = True, cursor: str | None = None) -> Any:
    return json.loads(compiled.pages[method, era, cursor])


@pytest.mark.parametrize("era", [True, False], ids=["modern", "legacy"])
@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_pages_together_are_the_list_in_order(catalog_of: Any, era: bool, size: int) -> None:
    compiled = compile_catalog(catalog_of(page_size=size))

    names, sizes, cursor = [], [], None
    while True:
        found = page(compiled, "tools/list", era, cursor)
        names += [tool["name"] for tool in found["tools"]]
        sizes.append(len(found["tools"]))
        cursor = found.get("nextCursor")
        if cursor is None:
            break

    assert names == ["echo", "rare", "region", "bug", "gone", "missing", "odd", "slow"]
    assert max(sizes) == min(size, 8)
    assert min(sizes) > 0


def test_an_empty_list_has_one_empty_page(catalog_of: Any) -> None:
    compiled = compile_catalog(catalog_of(prompts=()))

    assert page(compiled, "prompts/list", era=False) == {"prompts": []}


async def test_a_cursor_of_an_earlier_catalog_or_another_list_is_refused(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(page_size=1, sessions="Stateless"))
    _, _, first = await modern(replica.mcp, "tools/list")
    cursor = first["result"]["nextCursor"]

    assert (await modern(replica.mcp, "tools/list", cursor=cursor))[2]["result"]["tools"][0]["name"] == "rare"
    assert (await send(replica.mcp, body=rpc("tools/list", cursor=cursor)))[2]["result"]["tools"][0]["name"] == "rare"
    assert (await modern(replica.mcp, "prompts/list", cursor=cursor))[2]["error"]["code"] == -32602
    replica.serve(catalog_of(page_size=1, list_ttl=1.0))
    assert (await modern(replica.mcp, "tools/list", cursor=cursor))[2]["error"]["code"] == -32602


def test_a_resource_is_listed_with_what_is_said_about_it_and_nothing_else(catalog_of: Any) -> None:
    compiled = compile_catalog(catalog_of())
    found = {each["name"]: each for each in page(compiled, "resources/list")["resources"]}

    assert found["terms"] == {
        "uri": "shop://terms", "name": "terms", "title": "Terms", "mimeType": "text/plain",
        "annotations": {"audience": ["user"]},
    }  # fmt: skip
    assert found["logo"] == {"uri": "shop://logo", "name": "logo", "mimeType": "image/png"}
    assert found["gone"] == {"uri": "shop://gone", "name": "gone"}


def test_lists_have_a_ttl_in_the_stateless_era_only(catalog_of: Any) -> None:
    compiled = compile_catalog(catalog_of(list_ttl=2.5))

    assert {page(compiled, method)["ttlMs"] for method in lists.LISTS} == {2500}
    assert {page(compiled, method)["cacheScope"] for method in lists.LISTS} == {"private"}
    assert all("ttlMs" not in page(compiled, method, era=False) for method in lists.LISTS)


@pytest.mark.parametrize("uri", ["shop://terms", "shop://price/mug", "shop://none", "mcp://stock/mug"])
async def test_only_content_of_the_catalog_may_be_cached(replicas: Any, catalog_of: Any, uri: str) -> None:
    replica = await replicas.start(catalog_of(list_ttl=2.5))

    _, _, answer = await modern(replica.mcp, "resources/read", uri=uri)

    expected = {"shop://terms": 2500, "shop://none": None}.get(uri, 0)
    assert answer.get("result", {}).get("ttlMs") == expected


@pytest.mark.parametrize(
    ("version", "members"),
    [
        ("2025-03-26", {"name", "version"}),
        ("2025-06-18", {"name", "version", "title"}),
        ("2025-11-25", {"name", "version", "title", "websiteUrl"}),
        ("2026-07-28", {"name", "version", "title", "websiteUrl"}),
    ],
)
def test_an_implementation_has_the_members_of_its_version(catalog_of: Any, version: str, members: set[str]) -> None:
    assert set(lists.implementation(catalog_of(info=INFO), version)) == members


async def test_info_reaches_clients_of_both_eras(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(info=INFO, list_ttl=1.0))
    said = {"name": "shop/main", "version": "7.1", "title": "The shop", "websiteUrl": "https://shop.example.com"}

    _, _, answer = await send(replica.mcp, body=INITIALIZE)
    assert answer["result"]["serverInfo"] == said
    assert answer["result"]["instructions"] == "Look before you order."
    _, _, answer = await modern(replica.mcp, "server/discover")
    assert answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"] == said
    assert answer["result"]["instructions"] == "Look before you order."
    assert (answer["result"]["ttlMs"], answer["result"]["resultType"]) == (1000, "complete")
    assert set(answer["result"]["capabilities"]) == {"tools", "prompts", "resources", "completions"}


def test_the_version_defaults_to_that_of_the_project(catalog_of: Any) -> None:
    compiled = compile_catalog(catalog_of())
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

    assert lists.implementation(compiled.catalog, "2026-07-28") == {"name": "shop/main", "version": project["version"]}
    assert "instructions" not in json.loads(methods.initialize(compiled, "2025-11-25", notifies=True))


def test_an_output_that_is_not_an_object_is_wrapped_in_the_era_of_sessions(catalog_of: Any) -> None:
    compiled = compile_catalog(catalog_of())

    listed = {era: page(compiled, "tools/list", era)["tools"][2].get("outputSchema") for era in (True, False)}

    wrapped = {"type": "object", "properties": {"result": {"type": "array"}}, "required": ["result"]}
    assert listed == {True: {"type": "array"}, False: wrapped}


def test_empty_members_are_left_out(catalog_of: Any) -> None:
    compiled = compile_catalog(catalog_of())

    assert set(page(compiled, "tools/list")["tools"][1]) == {"name", "description", "inputSchema"}
    assert page(compiled, "prompts/list")["prompts"][0] == {
        "name": "greet",
        "title": "Greet",
        "description": "A greeting",
        "arguments": [{"name": "who", "title": "Who", "required": True}, {"name": "tone", "required": False}],
    }
