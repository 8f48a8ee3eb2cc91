"""Mutation tests: ``python -m scripts.mutation [PATTERN…]`` runs mutmut and writes docs/mutation.md.

mutmut changes one expression at a time and runs the unit tests that reach it: a mutant survives if they all pass. A
pattern such as ``certs.*`` limits the run. Results are kept in ``mutants``, so that a run can be continued.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

__all__ = ["render", "summarise"]

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
PAGE = ROOT / "docs" / "mutation.md"
# Exit codes of the test run of a mutant (mutmut, stats.py). Any other code, such as that of a time-out, is a kill: the
# mutant changed what the tests see.
SURVIVED, UNTESTED, NOT_RUN = "0", ("5", "33"), ("None", "2", "34")

_HEAD = """\
# Mutation tests

`make mutation` changes one expression of the code at a time and runs the unit tests that reach it. A mutant that no
test notices has survived: a test is missing, or the change makes no difference. `mutmut browse` shows each of them.
A package that is not listed has not been measured.

| package | mutants | killed | survived | without a test |
|---|---|---|---|---|
"""


def summarise(mutants: Path) -> dict[str, Counter[str]]:
    """The number of mutants that were run, by package and outcome: killed, survived or untested."""
    found: dict[str, Counter[str]] = {}
    for meta in sorted(mutants.rglob("*.meta")):
        package = ".".join(meta.relative_to(mutants).parts[:-1])
        for code in map(str, json.loads(meta.read_text())["exit_code_by_key"].values()):
            if code not in NOT_RUN:
                outcome = "survived" if code == SURVIVED else "untested" if code in UNTESTED else "killed"
                found.setdefault(package, Counter())[outcome] += 1
    return found


def render(counts: dict[str, Counter[str]]) -> str:
    """The page with a row for each package."""
    rows = [
        f"| `{package}` | {count.total()} | {count['killed']} | {count['survived']} | {count['untested']} |"
        for package, count in counts.items()
    ]
    return _HEAD + "".join(f"{row}\n" for row in rows)


def main(patterns: list[str]) -> int:
    """Run mutmut and write the page. Returns 1 if mutmut could not run."""
    done = subprocess.run([sys.executable, "-m", "mutmut", "run", *patterns], cwd=ROOT, check=False)
    if done.returncode != 0:
        return 1
    PAGE.write_text(render(summarise(MUTANTS)))
    print(PAGE.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
