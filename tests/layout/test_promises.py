"""Every sentence of the documentation that promises something has a test: `docs/promises.md` lists both."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = "docs/promises.md"
TRACKED = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
# Decisions and the changelog describe a moment, not the product.
PAGES = [name for name in TRACKED if not name.startswith("docs/decisions/") and name not in (PAGE, "CHANGELOG.md")]
PROMISE = re.compile(r"\b(?:never|always|every)\b", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.:;!?])\s+(?=[A-Z`\[*0-9])")
NEW_BLOCK = re.compile(r"\s*(?:[-*]\s|\d+\.\s|#)")
TEST = re.compile(r"`([a-z_/0-9]+\.py)::(test_\w+)`")


def blocks(text: str) -> Iterator[str]:
    """Paragraphs, items of lists and cells of tables, each on one line."""
    lines: list[str] = []
    for line in [*re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines(), ""]:
        is_row = line.startswith("|")
        if is_row or not line.strip() or NEW_BLOCK.match(line):
            yield " ".join(lines)
            lines = []
        if is_row:
            yield from (cell.strip() for cell in line.strip("|").split("|"))
        elif line.strip():
            lines.append(line.strip())


def promises(text: str) -> list[str]:
    """The sentences of a page that contain a word of a promise outside code. Two words are not a sentence."""
    sentences = (sentence for block in blocks(text) for sentence in SENTENCE.split(block))
    long = (sentence for sentence in sentences if len(sentence.split()) > 2)
    return [sentence for sentence in long if PROMISE.search(re.sub("`[^`]*`", "", sentence))]


def rows(heading: str) -> dict[str, str]:
    """The second cell of each row of a table in `docs/promises.md`, by the first cell."""
    table = (ROOT / PAGE).read_text().partition(f"| {heading} |")[2].partition("\n## ")[0]
    cells = (line.strip("|").split("|") for line in table.splitlines()[2:] if line.startswith("|"))
    return {first.strip(): second.strip() for first, second in cells}


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    """The tests of a file that run without condition."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())) if path.exists() else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = " ".join(ast.unparse(each) for each in node.decorator_list)
            if "skip" not in marks and "xfail" not in marks:
                found.add(node.name)
    return frozenset(found)


HELD, OTHERS = rows("promise"), rows("sentence")


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_is_listed(page: str) -> None:
    known = [*HELD, *OTHERS]

    unlisted = [each for each in promises((ROOT / page).read_text()) if not any(row in each for row in known)]

    assert unlisted == [], f"list these sentences of {page} in {PAGE}, with the tests that hold them"


def test_every_row_is_a_sentence_of_a_page() -> None:
    sentences = [sentence for page in PAGES for sentence in promises((ROOT / page).read_text())]

    assert [row for row in (*HELD, *OTHERS) if not any(row in sentence for sentence in sentences)] == []


@pytest.mark.parametrize("promise", HELD)
def test_the_tests_of_a_promise_exist(promise: str) -> None:
    listed = TEST.findall(HELD[promise])

    assert listed, "a promise needs a test"
    assert [f"{file}::{name}" for file, name in listed if name not in names_of_tests(ROOT / "tests" / file)] == []


def test_the_checker_sees_what_is_missing(tmp_path: Path) -> None:
    page = (
        "# A\n\nIt is\nalways so. Not so.\n\n- never: x\n\n| every cell here | always |\n\n```\nevery one here\n```\n"
    )
    assert promises(page) == ["It is always so.", "- never: x", "every cell here"]
    module = tmp_path / "test_x.py"
    module.write_text("@pytest.mark.skip\ndef test_a(): ...\n\nasync def test_b(): ...\n")
    assert names_of_tests(module) == {"test_b"}
    assert names_of_tests(tmp_path / "none.py") == frozenset()
