"""Runs the mutants of one package in the workspace that is the working directory: ``python engine.py REQUEST``.

mutmut makes the mutants and finds out which tests reach which function. Which mutants and tests are run is decided
here. mutmut would also run them, but starts pytest anew for each mutant, which takes longer than most tests.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import random  # noqa: TID251 -- the seed is published
import signal
import sys
import time
import warnings
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.core import MutmutCallStack
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import create_mutations
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd, walk_mutatable_files
from mutmut.utils.format_utils import mangled_name_from_mutant_name
from mutmut.workers import isolation

# How many tests may fail without a mutation.
FAILING = 3
KILLED, TIMED_OUT, SURVIVED, UNTESTED = "killed", "timed out", "survived", "untested"


def count_excluded() -> int:
    """How many mutants are left out by the patterns."""
    patterns, counts = config().do_not_mutate_patterns, []
    for used in ([], patterns):
        config().do_not_mutate_patterns = used
        found = (create_mutations(str(path), path.read_text())[1] for path in walk_mutatable_files())
        counts.append(sum(each.contained_by_top_level_function is not None for one in found for each in one))
    return counts[0] - counts[1]


def change_of(mutant: str, path: Path) -> dict[str, str]:
    """The function of a mutant, and the lines that it changes."""
    module, _, function = mangled_name_from_mutant_name(mutant).rpartition(".")
    lines = get_diff_for_mutant(mutant, path=path).splitlines()[2:]
    before = " ⏎ ".join(line[1:].strip() for line in lines if line.startswith("-"))
    after = " ⏎ ".join(line[1:].strip() for line in lines if line.startswith("+"))
    name = function.removeprefix("x_") if "ǁ" not in function else ".".join(function.split("ǁ")[1:])
    return {"function": f"{module}.{name}", "before": before, "after": after}


def tests_of(mutant: str, stem: str, budget: float) -> list[str]:
    """The tests that reach the function of a mutant: those of its module first, then the quickest."""
    durations = state().duration_by_test
    found = state().tests_by_mangled_function_name.get(mangled_name_from_mutant_name(mutant), set())
    ordered = sorted(found, key=lambda test: (stem not in test.partition("::")[0], durations[test], test))
    chosen, spent = [], 0.0
    for test in ordered:
        spent += durations[test] + 0.01
        if chosen and spent > budget:
            break
        chosen.append(test)
    return chosen


class Forks:
    """A pytest plugin. Instead of the collected tests, it runs those of each mutant, in a process of its own."""

    def __init__(self, selected: dict[str, list[str]], children: int) -> None:
        self.outcomes: dict[str, str] = {}
        self._selected = selected
        self._children = children
        self._running: dict[int, tuple[str, float]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests of all mutants."""
        items = {item.nodeid: item for item in session.items}
        gc.freeze()
        for mutant, tests in self._selected.items():
            while len(self._running) >= self._children:
                self._wait()
            # Without a mutation nothing hangs: only the machine may be busy.
            limit = (3 if mutant else 30) * (3.0 + sum(state().duration_by_test[test] for test in tests))
            self._running[self._fork(session, mutant, [items[test] for test in tests if test in items])] = (
                mutant,
                time.monotonic() + limit,
            )
        while self._running:
            self._wait()
        return True

    def _fork(self, session: pytest.Session, mutant: str, items: list[pytest.Item]) -> int:
        pid = os.fork()
        if pid:
            return pid
        # Its own group, so that what the tests start can be ended with it.
        os.setpgid(0, 0)
        mutmut.set_mutant_under_test(mutant)
        failing = []
        for item, following in zip_longest(items, items[1:]):
            before = session.testsfailed
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed > before:
                failing.append(item.nodeid)
                if mutant:
                    session._setupstate.teardown_exact(None)
                    os._exit(1)
        Path("failing.json").write_text(json.dumps(failing))
        os._exit(0)

    def _wait(self) -> None:
        """Wait until one has ended, or takes too long."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in self._running:
                mutant, _ = self._running.pop(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                self._end(mutant, SURVIVED if status == 0 else KILLED)
                return
            late = next((pid for pid, (_, deadline) in self._running.items() if time.monotonic() > deadline), None)
            if late is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(late, signal.SIGKILL)
                os.waitpid(late, 0)
                self._end(self._running.pop(late)[0], TIMED_OUT)
                return
            time.sleep(0.005)

    def _end(self, mutant: str, found: str) -> None:
        self.outcomes[mutant] = found
        if len(self.outcomes) % 20 == 0:
            Path("progress.json").write_text(json.dumps(self.outcomes, indent=0))


def run(chosen: dict[str, Path], children: int, budget: float) -> dict[str, str]:
    """What became of each mutant."""
    selected = {mutant: tests_of(mutant, path.stem, budget) for mutant, path in chosen.items()}
    untested = {mutant: UNTESTED for mutant, tests in selected.items() if not tests}
    tests = sorted({test for found in selected.values() for test in found})
    durations = state().duration_by_test
    selected = {mutant: sorted(found, key=lambda test: durations[test]) for mutant, found in selected.items() if found}
    files = sorted({test.partition("::")[0] for test in tests})
    options = ["--rootdir=.", "-qq", "--no-header", "--no-summary", "--tb=no", *config().pytest_add_cli_args, *files]
    # A test that fails without a mutation, perhaps because the machine is busy, is left out.
    plain, forks = Forks({"": tests}, 1), Forks(selected, children)
    with change_cwd("mutants"):
        pytest.main(options, plugins=[plain])
        failing = json.loads(Path("failing.json").read_text())
        if plain.outcomes != {"": SURVIVED} or len(failing) > FAILING:
            sys.exit(f"the tests fail without a mutation: {failing}")
        for found in selected.values():
            found[:] = [test for test in found if test not in failing]
        pytest.main(options, plugins=[forks])
    print(f"left out, because they fail without a mutation: {failing}")
    return forks.outcomes | untested


def forget_changed_tests() -> None:
    """mutmut looks at new tests only. A test whose file has changed is new, too."""
    stats, hashes = Path("mutants/mutmut-stats.json"), Path("test-files.json")
    files = {str(path.relative_to("mutants")): path.read_bytes() for path in Path("mutants/tests").rglob("*.py")}
    now = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    if stats.exists() and hashes.exists():
        before, known = json.loads(hashes.read_text()), json.loads(stats.read_text())
        durations = known["duration_by_test"]
        for test in [*durations]:
            file = test.partition("::")[0]
            if before.get(file) != now.get(file):
                del durations[test]
        stats.write_text(json.dumps(known))
    hashes.write_text(json.dumps(now))


class Failures:
    """A pytest plugin. Counts the tests that failed."""

    number = 0

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """All have run."""
        self.number = session.testsfailed


class Collecting(PytestRunner):
    """A few tests may fail while it is found out what they reach, perhaps because the machine is busy."""

    def execute_pytest(self, params: list[str], **kwargs: Any) -> int:
        """The exit code of pytest, which is 0 in spite of a few failures: `run` tries these tests again."""
        failures = Failures()
        plugins = [*kwargs.pop("plugins", ()), failures]
        code = super().execute_pytest([*params, f"--maxfail={FAILING + 1}"], plugins=plugins, **kwargs)
        return 0 if code == pytest.ExitCode.TESTS_FAILED and failures.number <= FAILING else code


def collect() -> None:
    """Find out which tests reach which function, in another process: this one is forked for each mutant."""
    forget_changed_tests()
    pid = os.fork()
    if not pid:
        # Who called a function is not needed, and to remember it in a context variable slows down every call.
        MutmutCallStack.get = lambda: (None, 0)
        MutmutCallStack.set = MutmutCallStack.reset = lambda _: None
        isolation.PytestRunner = Collecting
        mutmut.collect_or_load_stats(mutmut.get_mutant_runner(1), apply_config_invalidation=True)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit("the tests fail")
    mutmut.load_stats()


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Make, choose and run mutants."""
    warnings.simplefilter("ignore")
    mutmut.set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    with mutmut.CatchOutput():
        mutmut.copy_src_dir()
        mutmut.copy_also_copy_files()
        mutmut.setup_source_paths()
        mutmut.create_mutants(1)
    collect()
    where: dict[str, Path] = {}
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        where |= dict.fromkeys(data.exit_code_by_key, path)
    names = sorted(where)
    if request["only"]:
        wanted = {tuple(each[key] for key in ("function", "before", "after")) for each in request["only"]}
        functions = {each["function"] for each in request["only"]}
        changes = {name: change_of(name, where[name]) for name in names if _function(name) in functions}
        chosen = [name for name, change in changes.items() if tuple(change.values()) in wanted]
    elif request["sample"] is not None and request["sample"] < len(names):
        chosen = random.Random(request["seed"]).sample(names, request["sample"])  # noqa: S311 -- no secret
    else:
        chosen = names
    found = run({name: where[name] for name in chosen}, request["children"], request["budget"])
    changes = {name: change_of(name, where[name]) for name, each in found.items() if each in (SURVIVED, UNTESTED)}
    return {
        "mutants": len(names),
        "excluded": count_excluded(),
        "run": len(found),
        "timeouts": sum(each == TIMED_OUT for each in found.values()),
        "survivors": [change for name, change in changes.items() if found[name] == SURVIVED],
        "untested": [change for name, change in changes.items() if found[name] == UNTESTED],
        "sampled": len(chosen) < len(names),
        "changes": [change_of(name, where[name]) for name in found] if request["only"] else [],
    }


def _function(mutant: str) -> str:
    module, _, function = mangled_name_from_mutant_name(mutant).rpartition(".")
    return f"{module}.{function.removeprefix('x_') if 'ǁ' not in function else '.'.join(function.split('ǁ')[1:])}"


if __name__ == "__main__":
    answer = main(json.loads(sys.argv[1]))
    Path("outcome.json").write_text(json.dumps(answer))
