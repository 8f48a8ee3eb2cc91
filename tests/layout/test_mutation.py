"""The mutation tests: their page is current, what they name exists, and a run is summed up as it was."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from scripts.mutation import outcome
from scripts.mutation.__main__ import BUDGET, again, earlier
from scripts.mutation.outcome import Change, Outcome, Sample

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
    found = {change for each in outcome.load().values() for change in each.left()}

    assert set(outcome.reasons()) - found == set()


def test_the_page_shows_the_share_of_each_sample_with_its_interval_and_all_survivors() -> None:
    left, other = Change("certs.paths.is_due", "a | b", "a"), Change("certs.paths.is_due", "`a`", "")
    given_up, before = Sample(1, 90, 10, 8), Sample(2, 95, 20, 17, 19, "abc1234", [other])
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
        "runtime": Outcome(99, 0, 20, 20, 0, seed=3, first=19, commit="def5678", earlier=[given_up, before]),
        "webhook": Outcome(mutants=10, excluded=0, run=10, killed=10, timeouts=0),
    }

    page = outcome.render(outcomes, {left: "It is as well."}, BUDGET)

    assert (
        "| `certs` | 455 | 9 | 100, seed 7 | 98 | 3 | 1 | 1 | 98.0% |\n"
        "| `runtime` | 99 | 0 | 20, seed 3 | 20 | 0 | 0 | 0 | 100.0% |\n"
        "| `webhook` | 10 | 0 | all | 10 | 0 | 0 | 0 | 100.0% |\n"
    ) in page
    assert (
        "| `certs` | 7 |  | 455 | 100 | 80 | 80.0% | 71.1% to 86.7% | 98 | 98.0% |\n"
        "| `runtime` | 1 |  | 90 | 10 | 8 | 80.0% | 49.0% to 94.3% |  |  |\n"
        "| `runtime` | 2 | `abc1234` | 95 | 20 | 17 | 85.0% | 64.0% to 94.8% | 19 | 95.0% |\n"
        "| `runtime` | 3 | `def5678` | 99 | 20 | 19 | 95.0% | 76.4% to 99.1% | 20 | 100.0% |\n\n"
    ) in page
    assert "| `certs.paths.is_due` | `a \\| b` | `a` | It is as well. |\n" in page
    assert (
        "| `certs.paths.is_due` | `` `a` `` | ` ` | No reason: a test is missing. No test reaches the function. |"
        in page
    )
    assert "### `runtime`\n\n| function |" in page
    assert page.endswith("### `webhook`\n\nNone.\n")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, []),
        (Outcome(99, 0, 99, 90, 0), []),
        (Outcome(99, 0, 20, 15, 0, seed=2), []),
        (Outcome(99, 0, 20, 15, 0, seed=1), [Sample(1, 99, 20, 15, 15)]),
        (Outcome(99, 0, 20, 15, 0, seed=1, first=12, commit="a"), [Sample(1, 99, 20, 12, 15, "a")]),
        (
            Outcome(99, 0, 20, 19, 0, seed=1, earlier=[Sample(7, 98, 10, 9)], survivors=[Change("f", "a", "b")]),
            [Sample(7, 98, 10, 9), Sample(1, 99, 20, 19, 19, survivors=[Change("f", "a", "b")])],
        ),
    ],
)
def test_a_fresh_sample_is_shown_with_those_before(before: Outcome | None, expected: list[Sample]) -> None:
    assert earlier(Outcome(99, 0, 20, 19, 0, seed=2), before) == expected


def test_survivors_that_are_run_again_are_killed_or_left_or_gone() -> None:
    killed, left, gone, alone = (Change("certs.paths.is_due", "a", after) for after in "bcde")
    before = Outcome(
        mutants=50,
        excluded=0,
        run=20,
        killed=16,
        timeouts=0,
        seed=3,
        survivors=[killed, left, gone],
        untested=[alone],
        earlier=[Sample(1, 40, 10, 6), Sample(2, 45, 10, 7, 8, survivors=[gone, left])],
    )
    found = Outcome(mutants=55, excluded=0, run=3, killed=1, timeouts=1, survivors=[left], untested=[alone])

    after = again(before, found, {killed, left, alone})

    assert (after.mutants, after.run, after.first, after.killed, after.timeouts) == (55, 20, 16, 17, 1)
    assert (after.survivors, after.untested) == ([left], [alone])
    assert after.earlier == [Sample(1, 40, 10, 6), Sample(2, 45, 10, 7, 8, survivors=[left])]
    assert again(after, found, {left, alone}).first == 16
