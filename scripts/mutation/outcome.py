"""What a run of one package has shown, the reasons of its survivors, and the page that says so."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAMED", "PAGE", "RESULTS", "Change", "Outcome", "load", "named", "reasons", "render", "store"]

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
class Outcome:
    """Of one package: ``mutants`` there are, ``excluded`` were left out, ``run`` were run.

    ``timeouts`` are among the ``killed``. ``untested`` are the survivors that no test reaches. With a ``seed``, those
    that were run are a random sample. ``first`` were killed before tests were written for it. ``earlier`` is another
    sample, for which tests were written before this one was drawn: how many were killed at first, how many were run,
    and its seed.
    """

    mutants: int
    excluded: int
    run: int
    killed: int
    timeouts: int
    seed: int | None = None
    first: int | None = None
    earlier: Sequence[int] | None = None
    survivors: list[Change] = field(default_factory=list)
    untested: list[Change] = field(default_factory=list)

    def interval(self) -> tuple[float, float]:
        """The 95 % interval (Wilson) of the share that was killed of all mutants when the sample was drawn."""
        share, z = (self.killed if self.first is None else self.first) / self.run, 1.96
        middle = share + z * z / (2 * self.run)
        spread = z * sqrt(share * (1 - share) / self.run + z * z / (4 * self.run**2))
        return (middle - spread) / (1 + z * z / self.run), (middle + spread) / (1 + z * z / self.run)


def load() -> dict[str, Outcome]:
    """The last outcome of each package."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return {
        package: Outcome(**{**each, **{key: [Change(**one) for one in each[key]] for key in ("survivors", "untested")}})
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

- A package is run whole, or as a random sample of its mutants (`--sample N --seed S`). The interval is that of the
  share of all its mutants that was killed when the sample was drawn, with 95 % confidence (Wilson). Where tests were
  written for survivors of the sample, *at first* is the share before: of mutants outside the sample, the new tests kill
  fewer than of those within. With a seed, *at first* is the share of another sample, drawn before the tests were
  written; the new sample is drawn after that.
- *Excluded* are mutants of log lines and of type casts. `scripts/mutation/packages.toml` has the rule, and for each
  package its modules and its tests. What mutmut leaves out is not counted: annotations, decorated functions, and what
  is outside functions.
- A mutant is judged by the tests that reach its function, the nearest and the quickest first, as many as took
  {budget:g} s in all. One that these do not kill counts as a survivor. A mutant that makes the tests run into their
  time-out is killed.

| package | mutants | excluded | run | killed | by time-out | survived | untested | share killed | at first | interval |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def _row(package: str, each: Outcome) -> str:
    run = f"{each.run}, seed {each.seed}" if each.seed is not None else "all"
    low, high = each.interval()
    interval = f"{low:.1%} to {high:.1%}" if each.seed is not None else ""
    counts = f"{each.killed} | {each.timeouts} | {len(each.survivors)} | {len(each.untested)}"
    before = [f"{each.first / each.run:.1%}"] if each.first is not None else []
    if each.earlier is not None:
        killed, sampled, seed = each.earlier
        before.append(f"{killed / sampled:.1%} of {sampled}, seed {seed}")
    first = "; ".join(before)
    share = f"{each.killed / each.run:.1%} | {first} | {interval}"
    return f"| `{package}` | {each.mutants} | {each.excluded} | {run} | {counts} | {share} |\n"


def _code(text: str) -> str:
    shown = text.replace("|", "\\|") or " "
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def render(outcomes: dict[str, Outcome], given: dict[Change, str], budget: float) -> str:
    """The page."""
    page = _HEAD.format(budget=budget) + "".join(_row(package, each) for package, each in outcomes.items())
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
    page += "\n## Survivors\n"
    for package, each in outcomes.items():
        page += f"\n### `{package}`\n\n"
        if not each.survivors and not each.untested:
            page += "None.\n"
            continue
        page += "| function | line | mutated | why it survives |\n|---|---|---|---|\n"
        for change in sorted({*each.survivors, *each.untested}):
            untested = " No test reaches the function." if change in each.untested else ""
            why = given.get(change, f"No reason: a test is missing.{untested}")
            page += f"| `{change.function}` | {_code(change.before)} | {_code(change.after)} | {why} |\n"
    return page
