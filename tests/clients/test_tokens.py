"""The estimate of tokens, compared with the tokenizer."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from crd.clients import tokens
from crd.clients.listing import listed
from crd.facts import MemberFact
from crd.models.tool import ToolSpec
from scripts.clients.node import Judge
from tests.examples import corpus

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def example_lists() -> dict[str, bytes]:
    """What a client lists of the examples of each namespace."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in corpus.valid():
        if isinstance(item.spec, ToolSpec):
            schema = listed(item.spec.input_schema, of_arguments=True)
            tool = {"name": item.served_name, "description": item.spec.description, "inputSchema": schema}
            if item.spec.output_schema is not None:
                tool["outputSchema"] = listed(item.spec.output_schema, of_arguments=False)
            if item.spec.title:
                tool["title"] = item.spec.title
            if item.spec.annotations is not None:
                tool["annotations"] = item.spec.annotations.model_dump(by_alias=True, exclude_none=True)
            found[item.ref.namespace].append(tool)
    return {name: orjson.dumps({"tools": tools}) for name, tools in found.items()}


def cjk_tools() -> list[tuple[str, dict[str, Any]]]:
    """Each tool of corpus/cjk.json with its language."""
    return [
        (
            language,
            {
                "name": f"tool_{number}",
                "description": description,
                "inputSchema": {
                    "type": "object",
                    "properties": {
                        "first": {"type": "string", "description": first},
                        "second": {"type": "integer", "description": second},
                    },
                    "required": ["first"],
                },
            },
        )
        for number, (language, description, first, second) in enumerate(
            json.loads((HERE / "corpus" / "cjk.json").read_text())
        )
    ]


def error(judge: Judge, text: bytes) -> float:
    """The relative error of an estimate."""
    return tokens.estimate(text) / judge.tokens(text.decode()) - 1


@pytest.mark.parametrize("namespace", sorted(example_lists()))
def test_a_list_of_tools_is_estimated_within_five_percent(judge: Judge, namespace: str) -> None:
    assert abs(error(judge, example_lists()[namespace])) <= 0.05


@pytest.mark.parametrize("namespace", sorted(example_lists()))
def test_the_sum_over_the_tools_of_a_list_is_within_five_percent_too(judge: Judge, namespace: str) -> None:
    facts = (item.fact for item in corpus.valid() if item.ref.namespace == namespace)
    total = sum(fact.tokens for fact in facts if isinstance(fact, MemberFact))
    text = b",".join(orjson.dumps(tool) for tool in json.loads(example_lists()[namespace])["tools"])

    assert abs(total / judge.tokens(text.decode()) - 1) <= 0.05


@pytest.mark.parametrize("language", ["zh", "ja", "ko"])
def test_a_list_in_chinese_japanese_or_korean_is_estimated_within_five_percent(judge: Judge, language: str) -> None:
    text = orjson.dumps({"tools": [tool for each, tool in cjk_tools() if each.startswith(language)]})

    assert abs(error(judge, text)) <= 0.05


def test_one_short_tool_is_estimated_within_fifteen_percent(judge: Judge) -> None:
    errors = [error(judge, orjson.dumps(tool)) for _, tool in cjk_tools()]

    assert max(map(abs, errors)) <= 0.15


def test_the_schemas_for_editors_are_estimated_within_eight_percent(judge: Judge) -> None:
    files = sorted((ROOT / "docs" / "reference" / "schemas").glob("*.json"))
    errors = [error(judge, orjson.dumps(json.loads(file.read_text()))) for file in files]

    assert len(errors) > 3
    assert max(map(abs, errors)) <= 0.08


def test_nothing_has_no_tokens() -> None:
    assert tokens.estimate(b"") == 0
    assert tokens.estimate(b" ") == 1


@pytest.mark.parametrize(("digits", "expected"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2), (7, 3), (13, 5)])
def test_up_to_three_digits_are_one_token(digits: int, expected: int) -> None:
    # Each number after a space; 1.29 is the weight of a token of digits.
    assert tokens.estimate(b" " + b"7" * digits) == round(1.29 * expected)
    assert tokens.estimate((b" " + b"7" * digits) * 100) == round(129 * expected)
