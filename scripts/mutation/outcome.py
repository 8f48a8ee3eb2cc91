"""What a run of one package has shown, the reasons of its survivors, and the page that says so."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

__all__ = ["NAMED", "PAGE", "RESULTS", "Change", "Outcome", "Sample", "load", "named", "reasons", "render", "store"]

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
PAGE = ROOT / "docs" / "mutation.md"
RESULTS = FOLDER / "results.json"
REASONS = FOLDER / "survivors.toml"
NAMED = FOLDER / "named.toml"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One mutation. It is known by its function and by the lines that it changes, wherever in the file they stand."""

    function: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample that was drawn of ``mutants``, those of the code of ``commit``.

    Of ``run``, ``first`` were killed when it was drawn, and ``killed`` when the survivors were run last; None if they
    were not.
    """

    seed: int
    mutants: int
    run: int
    first: int
    killed: int | None = None
    commit: str = ""
    survivors: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one package: ``mutants`` there are, ``excluded`` were left out, ``run`` were run, of the code of ``commit``.

    ``timeouts`` are among the ``killed``. ``untested`` are the survivors that no test reaches. With a ``seed``, those
    that were run are a random sample. ``first`` were killed before tests were written for it. ``earlier`` are the
    samples that were drawn before; tests were written for their survivors before this one was drawn.
    """

    mutants: int
    excluded: int
    run: int
    killed: int
    timeouts: int
    seed: int | None = None
    first: int | None = None
    commit: str = ""
    earlier: list[Sample] = field(default_factory=list)
    survivors: list[Change] = field(default_factory=list)
    untested: list[Change] = field(default_factory=list)

    def left(self) -> list[Change]:
        """The survivors of all samples."""
        of_earlier = (change for each in self.earlier for change in each.survivors)
        return sorted({*self.survivors, *self.untested, *of_earlier})

    def sample(self) -> Sample | None:
        """What was run as a sample; None if that were all mutants."""
        if self.seed is None:
            return None
        first = self.killed if self.first is None else self.first
        left = sorted({*self.survivors, *self.untested})
        return Sample(self.seed, self.mutants, self.run, first, self.killed, self.commit, left)


def _interval(killed: int, run: int) -> str:
    """The 95 % interval (Wilson) of the share that was killed of all mutants when the sample was drawn."""
    share, z = killed / run, 1.96
    middle = share + z * z / (2 * run)
    spread = z * sqrt(share * (1 - share) / run + z * z / (4 * run**2))
    return f"{(middle - spread) / (1 + z * z / run):.1%} to {(middle + spread) / (1 + z * z / run):.1%}"


def load() -> dict[str, Outcome]:
    """The last outcome of each package."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return {
        package: Outcome(
            **{
                **each,
                **{key: [Change(**one) for one in each[key]] for key in ("survivors", "untested")},
                "earlier": [
                    Sample(**{**one, "survivors": [Change(**left) for left in one["survivors"]]})
                    for one in each["earlier"]
                ],
            }
        )
        for package, each in found.items()
    }


def store(outcomes: dict[str, Outcome]) -> None:
    """Keep the outcomes for the page."""
    RESULTS.write_text(json.dumps({name: asdict(each) for name, each in outcomes.items()}, indent=1) + "\n")


def reasons() -> dict[Change, str]:
    """Why a survivor is left alone."""
    found = tomllib.loads(REASONS.read_text()).get("survivor", []) if REASONS.exists() else []
    return {Change(each["function"], each["before"], each["after"]): each["reason"] for each in found}


def named() -> list[dict[str, Any]]:
    """The mutations that must die, each with the test that kills it."""
    found: list[dict[str, Any]] = tomllib.loads(NAMED.read_text())["mutation"]
    return found


_HEAD = """\
# Mutation tests

`make mutation` changes one expression of the code at a time and runs the unit tests that reach it. A mutant that no
test notices has survived: a test is missing, or the change makes no difference.

- A package is run whole, or as a random sample of its mutants (`--sample N --seed S`).
- *Excluded* are mutants of log lines and of type casts. `scripts/mutation/packages.toml` has the rule, and for each
  package its modules and its tests. What mutmut leaves out is not counted: annotations, decorated functions, and what
  is outside functions.
- A mutant is judged by the tests that reach its function, the nearest and the quickest first, as many as took
  {budget:g} s in all. One that these do not kill counts as a survivor. A mutant that makes the tests run into their
  time-out is killed.

| package | mutants | excluded | run | killed | by time-out | survived | untested | share killed |
|---|---|---|---|---|---|---|---|---|
"""

_SAMPLES = """
## Samples

When tests had been written for the survivors of a sample, the next one was drawn: of mutants outside a sample, the new
tests kill fewer than of those within. The interval is that of the share of all mutants that was killed *at first*, when
the sample was drawn, with 95 % confidence (Wilson). *Now* is when the survivors were last run again; some of the
samples were given up before. A survivor whose code is gone does not count as killed.

| package | seed | commit | mutants | run | killed at first | share | interval | killed now | share |
|---|---|---|---|---|---|---|---|---|---|
"""


def _row(package: str, each: Outcome) -> str:
    run = f"{each.run}, seed {each.seed}" if each.seed is not None else "all"
    counts = f"{each.killed} | {each.timeouts} | {len(each.survivors)} | {len(each.untested)}"
    return f"| `{package}` | {each.mutants} | {each.excluded} | {run} | {counts} | {each.killed / each.run:.1%} |\n"


def _sample_row(package: str, each: Sample) -> str:
    commit = f"`{each.commit}`" if each.commit else ""
    first = f"{each.first} | {each.first / each.run:.1%} | {_interval(each.first, each.run)}"
    now = f"{each.killed} | {each.killed / each.run:.1%}" if each.killed is not None else " | "
    return f"| `{package}` | {each.seed} | {commit} | {each.mutants} | {each.run} | {first} | {now} |\n"


def _code(text: str) -> str:
    shown = text.replace("|", "\\|") or " "
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def render(outcomes: dict[str, Outcome], given: dict[Change, str], budget: float) -> str:
    """The page."""
    page = _HEAD.format(budget=budget) + "".join(_row(package, each) for package, each in outcomes.items())
    page += _SAMPLES
    for package, each in outcomes.items():
        last = each.sample()
        page += "".join(_sample_row(package, one) for one in (*each.earlier, *([last] if last else ())))
    page += """
## Named mutations

Faults that an earlier version of the tests did not notice. `python -m scripts.mutation --named` makes each of them in a
copy, and runs the test, which must fail.

| mutation | in | test, below `tests/` |
|---|---|---|
"""
    page += "".join(
        f"| {each['name']} | `{each['file']}` | `{each['test'].removeprefix('tests/')}` |\n" for each in named()
    )
    page += "\n## Survivors\n\nThose of all samples that were not given up.\n"
    for package, each in outcomes.items():
        page += f"\n### `{package}`\n\n"
        left = each.left()
        if not left:
            page += "None.\n"
            continue
        page += "| function | line | mutated | why it survives |\n|---|---|---|---|\n"
        for change in left:
            untested = " No test reaches the function." if change in each.untested else ""
            why = given.get(change, f"No reason: a test is missing.{untested}")
            page += f"| `{change.function}` | {_code(change.before)} | {_code(change.after)} | {why} |\n"
    return page
