"""Prompts with several messages and resources, and completion of arguments."""

from __future__ import annotations

from typing import Any

import pytest

from crd.published import catalogs
from crd.published.entries import Message, Prompt, Variable
from runtime.app.compiled import CompiledCatalog
from runtime.mcp import prompts
from runtime.mcp.jsonrpc import RpcError
from tests.runtime.raw_http import modern


def test_a_resource_is_embedded_or_linked(catalog_of: Any) -> None:
    compiled = CompiledCatalog.load(catalogs.dump(catalog_of()))

    said = prompts.get(compiled, compiled.prompts["review"], {}, "2025-06-18")

    assert said == {
        "messages": [
            {"role": "user", "content": {"type": "text", "text": "Mind these:"}},
            {
                "role": "user",
                "content": {
                    "type": "resource",
                    "resource": {"uri": "shop://terms", "mimeType": "text/plain", "text": "p"},
                },
            },
            {
                "role": "assistant",
                "content": {
                    "type": "resource",
                    "resource": {"uri": "shop://logo", "mimeType": "image/png", "blob": "eA=="},
                },
            },
            {
                "role": "user",
                "content": {
                    "type": "resource_link",
                    "uri": "shop://price/mug",
                    "name": "price",
                    "title": "Price",
                    "description": "Of a thing",
                    "mimeType": "application/json",
                },
            },
            {"role": "user", "content": {"type": "resource_link", "uri": "shop://unknown", "name": "shop://unknown"}},
        ]
    }


def test_before_2025_06_18_a_link_is_text(catalog_of: Any) -> None:
    compiled = CompiledCatalog.load(catalogs.dump(catalog_of()))

    said = prompts.get(compiled, compiled.prompts["review"], {}, "2025-03-26")["messages"]

    assert [each["content"]["type"] for each in said] == ["text", "resource", "resource", "text", "text"]
    assert said[3]["content"]["text"] == "shop://price/mug"


def test_a_rest_path_renders_plain_text(catalog_of: Any) -> None:
    greet, review = catalog_of().prompts

    assert prompts.render(greet, {"who": "Ada", "unasked": "x"}) == "Dear Ada, hello"
    assert prompts.render(review, {}).split("\n\n") == [
        "Mind these:",
        "shop://terms",
        "shop://logo",
        "shop://price/mug",
        "shop://unknown",
    ]
    with pytest.raises(RpcError, match="required"):
        prompts.render(greet, {})


@pytest.mark.parametrize(
    ("ref", "argument", "expected"),
    [
        ({"type": "ref/prompt", "name": "greet"}, {"name": "tone", "value": "h"}, ["hello", "howdy", "Hi"]),
        ({"type": "ref/prompt", "name": "greet"}, {"name": "tone", "value": "HO"}, ["howdy"]),
        ({"type": "ref/prompt", "name": "greet"}, {"name": "who", "value": ""}, []),
        ({"type": "ref/prompt", "name": "greet"}, {"name": "unknown", "value": ""}, None),
        ({"type": "ref/prompt", "name": "unknown"}, {"name": "tone", "value": ""}, None),
        ({"type": "ref/resource", "uri": "shop://price/{sku}"}, {"name": "sku", "value": "m"}, []),
        ({"type": "ref/resource", "uri": "mcp://stock/{sku}{?warehouse}"}, {"name": "sku", "value": "m"}, []),
        ({"type": "ref/resource", "uri": "shop://terms"}, {"name": "x", "value": ""}, []),
        ({"type": "ref/resource", "uri": "shop://unknown/{x}"}, {"name": "x", "value": ""}, None),
    ],
)
async def test_completion_offers_the_choices_with_the_prefix(
    replicas: Any, catalog_of: Any, ref: Any, argument: Any, expected: list[str] | None
) -> None:
    replica = await replicas.start(catalog_of())

    _, _, answer = await modern(replica.mcp, "completion/complete", ref=ref, argument=argument)

    if expected is None:
        assert answer["error"]["code"] == -32602
    else:
        assert answer["result"]["completion"] == {"values": expected, "total": len(expected), "hasMore": False}


def test_a_completion_holds_at_most_a_hundred_values() -> None:
    found = prompts.complete([f"v{number}" for number in range(150)], "v")["completion"]

    assert (len(found["values"]), found["total"], found["hasMore"]) == (100, 150, True)


def test_an_optional_argument_without_a_value_is_empty() -> None:
    prompt = Prompt("p", "shop/p", (Message("user", "a{{x}}b"),), variables=(Variable("x"),))

    assert prompts.render(prompt, {}) == "ab"


def test_all_faults_of_the_arguments_are_reported_at_once() -> None:
    variables = (
        Variable("a", required=True),
        Variable("b", enum=("x", "y")),
        Variable("c"),
        Variable("d", default="e"),
    )
    prompt = Prompt("p", "shop/p", (Message("user", "{{d}}"),), variables=variables)

    with pytest.raises(RpcError) as caught:
        prompts.render(prompt, {"b": "z", "c": 7, "d": None})

    assert caught.value.message == (
        'missing required argument "a" of prompt "p"; /b: must be one of x, y; '
        "/c: must be a string of at most 8192 characters"
    )
    assert prompts.render(prompt, {"a": "1", "d": None}) == "e"
