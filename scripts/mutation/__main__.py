"""``python -m scripts.mutation [PACKAGE…]`` runs mutation tests and writes docs/mutation.md.

Each package is run in a workspace of its own below ``mutants``, so that only its own functions are slowed down, and so
that what was found out about its tests is kept. `--again` runs only the survivors of all samples.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scripts.mutation import outcome
from scripts.mutation.outcome import Change, Outcome, Sample

ROOT = Path(__file__).parents[2]
WORKSPACES = ROOT / "mutants"
SETTINGS = tomllib.loads((Path(__file__).parent / "packages.toml").read_text())
# Seconds of tests for one mutant.
BUDGET = 20.0
# Not needed by the tests, or made by them.
_LEFT_OUT = {".git", ".venv", "mutants", "dist", "build", ".coverage", ".hypothesis", "setup.cfg"}
_FOLDERS = ("crd", "cluster", "certs", "webhook", "controller", "runtime", "cli", "scripts", "docs", "manifests")


def workspace(package: str) -> Path:
    """A folder with links to everything, and mutmut's settings for the package."""
    settings: dict[str, Any] = SETTINGS["packages"][package]
    folder = WORKSPACES / package
    folder.mkdir(parents=True, exist_ok=True)
    for entry in ROOT.iterdir():
        link = folder / entry.name
        if entry.name not in _LEFT_OUT and not entry.name.endswith("_cache") and not link.is_symlink():
            link.symlink_to(entry)
    options = {
        "source_paths": [settings["source"]],
        "only_mutate": settings["modules"],
        "do_not_mutate_patterns": SETTINGS["excluded"],
        "also_copy": [
            *(each for each in _FOLDERS if each != settings["source"]),
            "README.md",
            "CHANGELOG.md",
            "Makefile",
        ],
        "pytest_add_cli_args_test_selection": settings["tests"],
        "pytest_add_cli_args": [
            *("-m", "not integration and not e2e and not long", "-p", "no:cacheprovider"),
            *(f"--deselect={each}" for each in settings.get("without", ())),
        ],
    }
    lines = [f"{name} =\n" + "".join(f"    {value}\n" for value in values) for name, values in options.items()]
    (folder / "setup.cfg").write_text(
        "[mutmut]\n" + "".join(lines) + "use_git_change_detection = false\ntrack_dependencies = false\n"
    )
    return folder


def run(
    package: str, *, sample: int | None, seed: int, only: list[Change], children: int
) -> tuple[Outcome, set[Change]]:
    """Run mutants of a package: all, or a sample, or only some. Returns the latter, too, as far as there are any."""
    folder = workspace(package)
    request = {
        "sample": sample,
        "seed": seed,
        "only": [asdict(each) for each in only],
        "children": children,
        "budget": BUDGET,
    }
    engine = Path(__file__).parent / "engine.py"
    environment = {
        **os.environ,  # noqa: TID251 -- what mutmut is started with
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "examples"),
    }
    subprocess.run([sys.executable, engine, json.dumps(request)], cwd=folder, check=True, env=environment)
    found = json.loads((folder / "outcome.json").read_text())
    survivors, untested = ([Change(**each) for each in found[key]] for key in ("survivors", "untested"))
    done = Outcome(
        mutants=found["mutants"],
        excluded=found["excluded"],
        run=found["run"],
        killed=found["run"] - len(survivors) - len(untested),
        timeouts=found["timeouts"],
        seed=seed if found["sampled"] else None,
        survivors=sorted(survivors),
        untested=sorted(untested),
        commit=_commit(),
    )
    return done, {Change(**each) for each in found["changes"]}


def _commit() -> str:
    """The commit of the code that is run, if that is known."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip()


def run_again(package: str, before: Outcome, children: int) -> Outcome:
    """Run the survivors of all samples, with the tests and the code of now. What was killed is taken to be still."""
    found, ran = run(package, sample=None, seed=0, only=before.left(), children=children)
    return again(before, found, ran)


def again(before: Outcome, found: Outcome, ran: set[Change]) -> Outcome:
    """The outcome of samples whose survivors were run again. Those that did not, whose code is gone, are not killed."""
    left = {*found.survivors, *found.untested}

    def counts(survivors: list[Change], run: int) -> dict[str, Any]:
        gone = [each for each in survivors if each not in ran]
        still = [each for each in survivors if each in left]
        return {"killed": run - len(gone) - len(still), "survivors": still}

    sampled = counts([*before.survivors, *before.untested], before.run)
    return replace(
        before,
        mutants=found.mutants,
        killed=sampled["killed"],
        first=before.killed if before.first is None and before.seed is not None else before.first,
        timeouts=before.timeouts + found.timeouts,
        survivors=[each for each in sampled["survivors"] if each not in found.untested],
        untested=[each for each in sampled["survivors"] if each in found.untested],
        earlier=[
            replace(each, **counts(each.survivors, each.run)) if each.killed is not None else each
            for each in before.earlier
        ],
    )


def earlier(found: Outcome, before: Outcome | None) -> list[Sample]:
    """The samples that were drawn before this one."""
    if before is None or found.seed is None:
        return []
    last = before.sample()
    return [each for each in (*before.earlier, *([last] if last else ())) if each.seed != found.seed]


def run_named(names: list[str]) -> int:
    """Make each named mutation in a copy, and run its test. Returns the number of those that survive."""
    folder = WORKSPACES / "named"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.name in (*_FOLDERS, "tests"):
            shutil.copytree(entry, folder / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif entry.name not in _LEFT_OUT and entry.is_file():
            shutil.copy2(entry, folder / entry.name)
    survived = 0
    for each in outcome.named():
        if names and each["name"] not in names:
            continue
        file = folder / each["file"]
        source = file.read_text()
        if source.count(each["before"]) != 1:
            raise ValueError(f"{each['name']}: {each['before']!r} is not once in {each['file']}")
        codes = []
        for text in (source, source.replace(each["before"], each["after"])):
            file.write_text(text)
            command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", each["test"]]
            done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
            codes.append(done.returncode)
        file.write_text(source)
        killed = codes == [0, 1]
        survived += not killed
        print(f"{'killed' if killed else f'NOT KILLED {codes}'}: {each['name']}", flush=True)
    return survived


def main() -> int:
    """Run, keep the outcome, write the page."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutation", description=__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(SETTINGS['packages'])}; all")
    parser.add_argument("--sample", type=int, metavar="N", help="run so many mutants of each package")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="which ones")
    parser.add_argument("--again", action="store_true", help="run only the survivors of all samples")
    parser.add_argument("--children", type=int, default=2, metavar="N", help="test runs at once")
    parser.add_argument("--named", action="store_true", help="make the named mutations instead")
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args()
    if given.named:
        return run_named(given.packages)
    for package in () if given.page else given.packages or SETTINGS["packages"]:
        if given.again:
            found = run_again(package, outcome.load()[package], given.children)
        else:
            found, _ = run(package, sample=given.sample, seed=given.seed, only=[], children=given.children)
            found = replace(found, earlier=earlier(found, outcome.load().get(package)))
        outcomes = {**outcome.load(), package: found}
        outcome.store({name: outcomes[name] for name in SETTINGS["packages"] if name in outcomes})
    outcome.PAGE.write_text(outcome.render(outcome.load(), outcome.reasons(), BUDGET))
    return 0


if __name__ == "__main__":
    sys.exit(main())
