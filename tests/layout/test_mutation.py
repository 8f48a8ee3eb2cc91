"""The mutation tests: their page is current, what they name exists, and a run is summed up as it was."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from scripts.mutation import outcome
from scripts.mutation.__main__ import BUDGET, earlier
from scripts.mutation.outcome import Change, Outcome

NAMED = outcome.named()


def test_the_page_is_current() -> None:
    assert outcome.PAGE.read_text() == outcome.render(outcome.load(), outcome.reasons(), BUDGET)


@pytest.mark.parametrize("mutation", NAMED, ids=[each["name"] for each in NAMED])
def test_a_named_mutation_can_be_made_and_its_test_exists(mutation: dict[str, Any]) -> None:
    """`python -m scripts.mutation --named` makes it, and sees the test fail."""
    file, _, test = mutation["test"].partition("::")
    tree = ast.parse((outcome.ROOT / file).read_text())

    assert (outcome.ROOT / mutation["file"]).read_text().count(mutation["before"]) == 1
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_a_reason_belongs_to_a_survivor() -> None:
    found = {change for each in outcome.load().values() for change in (*each.survivors, *each.untested)}

    assert set(outcome.reasons()) - found == set()


def test_the_page_shows_the_share_of_a_sample_with_its_interval_and_every_survivor() -> None:
    left, other = Change("certs.paths.is_due", "a | b", "a"), Change("certs.paths.is_due", "`a`", "")
    outcomes = {
        "certs": Outcome(
            mutants=455,
            excluded=9,
            run=100,
            killed=98,
            timeouts=3,
            seed=7,
            first=80,
            survivors=[left],
            untested=[other],
        ),
        "runtime": Outcome(mutants=99, excluded=0, run=20, killed=19, timeouts=0, seed=2, earlier=[8, 10, 1]),
        "runtime again": Outcome(99, 0, 20, 20, 0, seed=2, first=19, earlier=[8, 10, 1]),
        "webhook": Outcome(mutants=10, excluded=0, run=10, killed=10, timeouts=0),
    }

    page = outcome.render(outcomes, {left: "It is as well."}, BUDGET)

    assert "| `certs` | 455 | 9 | 100, seed 7 | 98 | 3 | 1 | 1 | 98.0% | 80.0% | 71.1% to 86.7% |\n" in page
    assert (
        "| `runtime` | 99 | 0 | 20, seed 2 | 19 | 0 | 0 | 0 | 95.0% | 80.0% of 10, seed 1 | 76.4% to 99.1% |\n" in page
    )
    shares = "100.0% | 95.0%; 80.0% of 10, seed 1 | 76.4% to 99.1%"
    assert f"| `runtime again` | 99 | 0 | 20, seed 2 | 20 | 0 | 0 | 0 | {shares} |\n" in page
    assert "| `webhook` | 10 | 0 | all | 10 | 0 | 0 | 0 | 100.0% |  |  |\n" in page
    assert "| `certs.paths.is_due` | `a \\| b` | `a` | It is as well. |\n" in page
    assert (
        "| `certs.paths.is_due` | `` `a` `` | ` ` | No reason: a test is missing. No test reaches the function. |"
        in page
    )
    assert page.endswith("### `webhook`\n\nNone.\n")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, None),
        (Outcome(99, 0, 99, 90, 0), None),
        (Outcome(99, 0, 20, 15, 0, seed=2), None),
        (Outcome(99, 0, 20, 15, 0, seed=1), (15, 20, 1)),
        (Outcome(99, 0, 20, 15, 0, seed=1, first=12), (12, 20, 1)),
        (Outcome(99, 0, 20, 15, 0, seed=1, earlier=[9, 10, 7]), [9, 10, 7]),
    ],
)
def test_a_fresh_sample_is_shown_with_the_first_one(before: Outcome | None, expected: object) -> None:
    assert earlier(Outcome(99, 0, 20, 19, 0, seed=2), before) == expected
