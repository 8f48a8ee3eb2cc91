"""PURE. What the conformance suite found, compared with what is expected, and the page that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Check", "Expected", "baseline", "judge", "parse_checks", "parse_expected", "parse_name", "render"]

WIRE = "wire-schema-valid"
_FOLDER = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a scenario. ``status`` is a word of the suite: SUCCESS, FAILURE, WARNING or SKIPPED."""

    id: str
    status: str
    message: str = ""

    @property
    def holds(self) -> bool:
        """Whether it holds."""
        return self.status == "SUCCESS"


Run = dict[str, tuple[Check, ...]]
"""The checks of each scenario."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Why some checks do not pass. ``failing``: scenario, or scenario:check."""

    reason: str
    failing: tuple[str, ...] = ()
    unexercised: tuple[str, ...] = ()

    def scenarios(self) -> tuple[str, ...]:
        """The scenarios that do not apply as a whole."""
        return (*(name for name in self.failing if ":" not in name), *self.unexercised)


def parse_name(folder: str) -> str | None:
    """The scenario of a folder of results."""
    found = _FOLDER.fullmatch(folder)
    return found[1] if found else None


def parse_checks(checks: Iterable[Mapping[str, Any]]) -> tuple[Check, ...]:
    """The checks of a file checks.json. What has the status INFO is a note, not a check."""
    return tuple(
        Check(each["id"], each["status"], each.get("errorMessage") or "") for each in checks if each["status"] != "INFO"
    )


def parse_expected(entries: Iterable[Mapping[str, Any]]) -> tuple[Expected, ...]:
    """The entries of expected.yaml."""
    return tuple(
        Expected(each["reason"], tuple(each.get("failing", ())), tuple(each.get("unexercised", ()))) for each in entries
    )


def baseline(expected: Iterable[Expected]) -> dict[str, list[str]]:
    """The suite's own form of what is expected to fail."""
    return {"server": sorted(name for each in expected for name in each.failing), "client": []}


def judge(runs: Mapping[str, Run], expected: Sequence[Expected]) -> list[str]:
    """What is not as expected, in all ``runs`` (by revision of MCP)."""
    failing = {name for each in expected for name in each.failing}
    unexercised = {name for each in expected for name in each.unexercised}
    problems = []
    for revision, run in runs.items():
        if not run:
            problems.append(f"{revision}: the suite ran no scenario")
        for scenario, checks in sorted(run.items()):
            if not checks and scenario not in unexercised:
                problems.append(f"{revision} {scenario}: the suite made no check")
            failed = {check.id for check in checks if not check.holds}
            problems += [
                f"{revision} {scenario}: {check.id} {check.status}: {check.message}"
                for check in checks
                if not check.holds and not _is_expected(scenario, check, failing, unexercised)
            ]
            if scenario in failing and not failed - {WIRE}:
                problems.append(f"{revision} {scenario}: passes; remove it from failing")
            for name in sorted(failing):
                owner, _, check_id = name.partition(":")
                if owner == scenario and check_id and check_id not in failed:
                    problems.append(f"{revision} {name}: passes; remove it from failing")
    known = {scenario for run in runs.values() for scenario in run}
    strangers = {name for name in failing | unexercised if name.partition(":")[0] not in known}
    return problems + [f"{name}: no revision has this scenario" for name in sorted(strangers)]


def _is_expected(scenario: str, check: Check, failing: set[str], unexercised: set[str]) -> bool:
    if f"{scenario}:{check.id}" in failing:
        return True
    if check.id == WIRE:
        return False
    return scenario in failing or (scenario in unexercised and check.status == "SKIPPED")


def render(runs: Mapping[str, Run], expected: Sequence[Expected], versions: str) -> str:
    """The page; the same for the same results."""
    absent = {name for each in expected for name in each.scenarios()}
    scenarios = list(dict.fromkeys(name for run in runs.values() for name in sorted(run)))
    rows = []
    for name in sorted(scenarios):
        cells = (_cell(run.get(name), name in absent) for run in runs.values())
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    reasons = [f"| {each.reason} | {', '.join(f'`{name}`' for name in _names(each))} |" for each in expected]
    return "\n".join([
        "# The conformance suite of MCP",
        "",
        "Written by `make conformance`, which runs the scenarios for servers of the official suite against a server of",
        "[these manifests](../scripts/conformance/manifests/server.yaml), with the tools, prompts and resources that",
        "the scenarios ask for by name. `mcp-operator dev` serves them with the code of the pods; sessions are in",
        "memory.",
        "The target ends with 1 if a check fails that passes here, or passes that does not.",
        "",
        f"With {versions}.",
        "",
        "| revision of MCP | scenarios | all checks pass | some checks pass | not applicable | checks that pass |",
        "|---|---|---|---|---|---|",
        *(_summary(revision, run, absent) for revision, run in runs.items()),
        "",
        "Each cell is the number of checks that pass, of those that the scenario makes.",
        "",
        f"| scenario | {' | '.join(runs)} |",
        f"|---|{'---|' * len(runs)}",
        *rows,
        "",
        "## What does not apply",
        "",
        "These scenarios are about optional features of MCP that the servers do not have. Where the suite passes one",
        "because it finds nothing to try, it is listed as not applicable, too. The suite scores most of them: it calls",
        "a server conformant only if it has these features.",
        "",
        "| why | scenarios, or checks of one |",
        "|---|---|",
        *reasons,
        "",
    ])  # fmt: skip


def _names(expected: Expected) -> list[str]:
    return sorted((*expected.failing, *expected.unexercised))


def _cell(checks: tuple[Check, ...] | None, is_absent: bool) -> str:
    if checks is None:
        return ""
    if is_absent:
        return "not applicable"
    return f"{sum(check.holds for check in checks)} of {len(checks)}"


def _summary(revision: str, run: Run, absent: set[str]) -> str:
    applicable = {name: checks for name, checks in run.items() if name not in absent}
    whole = sum(all(check.holds for check in checks) for checks in applicable.values())
    passing = sum(check.holds for checks in applicable.values() for check in checks)
    total = sum(map(len, applicable.values()))
    counts = (len(run), whole, len(applicable) - whole, len(run) - len(applicable))
    return f"| {revision} | {' | '.join(map(str, counts))} | {passing} of {total} |"
