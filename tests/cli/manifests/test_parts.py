"""A file that is composed by parts has the same documents and positions, and parses only the parts that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.dev.memo import Memo
from cli.manifests import documents, yaml_nodes
from cli.manifests.documents import Document, Fault, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.manifests.yaml_nodes import Nodes

# Whole documents, faults, and lines that end, begin or redefine documents.
PIECES = (
    "apiVersion: v1\nkind: A\n", "kind: B\napiVersion: v1\nspec:\n  text: |\n    ---\n    x\n", "ä: 1\n", "- 1\n",
    "---\n", "--- # next\n", "---\r\n", "--- \n", "...\n", "--- {apiVersion: v1, kind: C}\n", "--- |\n  text\n",
    "# only a comment\n", "\n", "%YAML 1.1\n", "%TAG !e! tag:yaml.org,2002:\n", "a: !e!str 7\n", "a: [1\n",
    "a: &x {b: 1}\nc: *x\n", "a: *gone\n", "a: 1\na: 2\n", "\tb: 1\n",
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: D}\n- {kind: E}\n",
)  # fmt: skip


def rendered(found: Document | Fault) -> Any:
    if isinstance(found, Fault):
        return found.position, found.message
    return found.raw, [found.position(path) for path in ((), ("kind",), ("spec", "text"), ("items", 1))]


@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_parts_are_the_documents_of_the_whole(pieces: list[str]) -> None:
    source = Source("a.yaml", "".join(pieces))
    memo = Memo()

    def remember(part: str, make: Callable[[], Nodes]) -> Nodes:
        return memo.get(part, None, make)

    whole = [rendered(found) for found in documents.parse_text(source)]
    for _ in range(2):
        assert [rendered(found) for found in documents.parse_text(source, remember=remember)] == whole


@pytest.mark.parametrize("change", ["kind: A\n", "kind: Longer\nspec: {text: a}\n"])
def test_only_the_part_that_changed_is_parsed(change: str) -> None:
    memo, parsed = Memo(), []

    def remember(part: str, make: Callable[[], Nodes]) -> Nodes:
        def parse() -> Nodes:
            parsed.append(part)
            return make()

        return memo.get(part, None, parse)

    text = "---\n".join(f"apiVersion: v1\nkind: K{number}\n" for number in range(5))
    yaml_nodes.compose_parts(text, remember)
    assert len(parsed) == 5
    edited = text.replace("kind: K1\n", change)
    found = documents.parse_text(Source("a.yaml", edited), remember=remember)

    assert [item.position(("kind",)) for item in found if isinstance(item, Document)][-1] == (
        (14, 1) if change.count("\n") == 1 else (15, 1)
    )
    assert len(parsed) == 6


def test_the_limit_of_aliases_is_that_of_the_file() -> None:
    part = f"a: &x {'x' * 1_000_000}\nb: [*x, *x, *x]\n"
    made: list[str] = []

    def remember(part: str, make: Callable[[], Nodes]) -> Nodes:
        made.append(part)
        return make()

    source = Source("a.yaml", f"{part}---\n{part}")
    (fault,) = [
        item for item in documents.parse_text(source, remember=remember) if "unfold" in getattr(item, "message", "")
    ]

    assert made
    assert isinstance(fault, Fault)
    assert fault.position[0] == 5
